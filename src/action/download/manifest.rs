//! The digest a file must have, as it is written in the step or in a manifest.

use std::path::Path;

use super::fetch::Fetcher;
use super::{Config, Source};
use crate::http::parse_url;
use crate::kind::StepError;

/// The name under which most projects publish their digests.
const DEFAULT_NAME: &str = "SHA256SUMS";

/// The digest in lower-case hexadecimal.
pub(super) async fn expected_digest(
    config: &Config,
    source: &Source,
    fetcher: &Fetcher<'_>,
) -> Result<String, StepError> {
    if config.sha256 != "from_manifest" {
        return written_digest(config);
    }
    let manifest = place(config, source)?;
    let text = fetcher.read_small(&manifest).await?;
    let names = [source.file_name(), config.to.file_name().map(|name| name.to_string_lossy().into_owned())];
    let names: Vec<&str> = names.iter().flatten().map(String::as_str).collect();
    find(&text, &names, &manifest.to_string())
}

fn written_digest(config: &Config) -> Result<String, StepError> {
    if config.manifest.is_some() || config.manifest_file.is_some() {
        return Err(StepError::new("a digest and a manifest are given")
            .help("write `sha256: from_manifest`, or leave the manifest out"));
    }
    let digest = config.sha256.trim();
    if is_digest(digest) {
        return Ok(digest.to_ascii_lowercase());
    }
    Err(StepError::new(format!("'{digest}' is not a SHA-256 digest"))
        .help("give 64 hexadecimal digits as sha256sum prints them, or `from_manifest`"))
}

/// Where the manifest is.
fn place(config: &Config, source: &Source) -> Result<Source, StepError> {
    match (&config.manifest, &config.manifest_file) {
        (Some(url), None) => parse_url(url).map(Source::Address),
        (None, Some(path)) => Ok(Source::File(path.clone())),
        (Some(_), Some(_)) => {
            Err(StepError::new("two manifests are given").help("give one of `manifest` and `manifest_file`"))
        }
        (None, None) => beside(source),
    }
}

fn beside(source: &Source) -> Result<Source, StepError> {
    match source {
        Source::File(path) => Ok(Source::File(path.with_file_name(DEFAULT_NAME))),
        Source::Address(url) => {
            let mut manifest = url.join(DEFAULT_NAME).map_err(|error| {
                StepError::because(format!("there is no address beside {source}"), &error).help("give `manifest`")
            })?;
            // A query can be a signature; then it is part of what makes the address answer.
            manifest.set_query(url.query());
            Ok(Source::Address(manifest))
        }
    }
}

fn is_digest(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|letter| letter.is_ascii_hexdigit())
}

/// The digest of the first of `names` that the manifest lists.
fn find(text: &str, names: &[&str], place: &str) -> Result<String, StepError> {
    let entries: Vec<(String, &str)> = text.lines().filter_map(read_line).collect();
    for name in names {
        let exact = |listed: &str| listed.strip_prefix("./").unwrap_or(listed) == *name;
        let in_a_folder = |listed: &str| Path::new(listed).file_name().is_some_and(|last| last == *name);
        // A name without its folder counts only when nothing is listed under the name itself.
        for matches in [&exact as &dyn Fn(&str) -> bool, &in_a_folder] {
            let mut found: Vec<&str> =
                entries.iter().filter(|(_, listed)| matches(listed)).map(|(digest, _)| digest.as_str()).collect();
            found.sort_unstable();
            found.dedup();
            match found.as_slice() {
                [] => (),
                [digest] => return Ok((*digest).to_owned()),
                _ => {
                    return Err(StepError::new(format!("{place} lists different digests for '{name}'"))
                        .help("give the digest itself under `sha256`"));
                }
            }
        }
    }
    Err(StepError::new(format!("{place} lists no digest for {}", quoted(names)))
        .help("check the name, or give the digest itself under `sha256`"))
}

fn quoted(names: &[&str]) -> String {
    let mut names = names.to_vec();
    names.dedup();
    names.iter().map(|name| format!("'{name}'")).collect::<Vec<_>>().join(" or ")
}

/// Digest and name of a line: `DIGEST  name`, `DIGEST *name` or `SHA256 (name) = DIGEST`.
fn read_line(line: &str) -> Option<(String, &str)> {
    let line = line.trim_end_matches('\r');
    let (digest, name) = match line.strip_prefix("SHA256 (") {
        Some(rest) => {
            let (name, digest) = rest.rsplit_once(") = ")?;
            (digest, name)
        }
        None => {
            let (digest, rest) = line.split_at_checked(64)?;
            (digest, rest.strip_prefix("  ").or_else(|| rest.strip_prefix(" *"))?)
        }
    };
    is_digest(digest).then(|| (digest.to_ascii_lowercase(), name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(letter: char) -> String {
        letter.to_string().repeat(64)
    }

    #[test]
    fn every_form_of_a_line() {
        let text = format!(
            "{}  a.onnx\n{} *./b.onnx\r\nSHA256 (c d.onnx) = {}\n# remark\n\n{}  old/a.onnx\n{}  x/e.onnx\n",
            digest('1'),
            digest('B'),
            digest('3'),
            digest('4'),
            digest('5')
        );
        let of = |names: &[&str]| find(&text, names, "M").map_err(|error| error.message);
        assert_eq!(of(&["a.onnx"]), Ok(digest('1')), "the exact name wins over one in a folder");
        assert_eq!(of(&["b.onnx"]), Ok(digest('b')));
        assert_eq!(of(&["c d.onnx"]), Ok(digest('3')));
        assert_eq!(of(&["e.onnx"]), Ok(digest('5')));
        assert_eq!(of(&["nothing", "b.onnx"]), Ok(digest('b')), "the name of the target is the second choice");
        assert_eq!(of(&["x.onnx", "x.onnx"]), Err("M lists no digest for 'x.onnx'".into()));
    }

    #[test]
    fn two_digests_for_one_name_are_not_guessed_between() {
        let text = format!("{}  v1/a\n{}  v2/a\n", digest('1'), digest('2'));
        assert!(find(&text, &["a"], "M").unwrap_err().message.contains("different digests"));
    }
}
