//! Lists of digests, as `sha256sum`, `md5sum` and their BSD relatives write them.

use std::collections::HashMap;
use std::path::{Component, PathBuf};

use super::digest::{Algorithm, DigestFault, check_digest};

/// A file and the digest it should have.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Item {
    /// As the manifest writes it.
    pub name: String,
    pub path: PathBuf,
    pub algorithm: Algorithm,
    pub digest: String,
}

/// Why a text is not a manifest; lines are counted from 1.
#[derive(Debug, PartialEq, thiserror::Error)]
pub(super) enum ManifestFault {
    #[error("it is not UTF-8 text")]
    NotText,
    #[error("line {0} has no digest and name")]
    Form(usize),
    #[error("line {0}: {1}")]
    Digest(usize, DigestFault),
    #[error("line {0} leads out of the manifest's folder: '{1}'")]
    Outside(usize, String),
    #[error("line {0} gives '{1}' a second, different digest")]
    Contradiction(usize, String),
}

/// The items of a manifest, sorted by name. Empty lines and lines that start with `#` are left out.
pub(super) fn parse(bytes: &[u8], algorithm: Option<Algorithm>) -> Result<Vec<Item>, ManifestFault> {
    let text = std::str::from_utf8(bytes).map_err(|_| ManifestFault::NotText)?;
    // Windows editors put a mark before the text.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut seen: HashMap<(String, usize), String> = HashMap::new();
    let mut items = Vec::new();
    for (index, line) in text.split('\n').enumerate() {
        let line = line.strip_suffix('\r').unwrap_or(line);
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        let item = parse_line(line, index + 1, algorithm)?;
        match seen.insert((item.name.clone(), item.digest.len()), item.digest.clone()) {
            None => items.push(item),
            Some(earlier) if earlier == item.digest => {}
            Some(_) => return Err(ManifestFault::Contradiction(index + 1, item.name)),
        }
    }
    items.sort_by(|left, right| left.name.cmp(&right.name));
    Ok(items)
}

fn parse_line(line: &str, number: usize, wanted: Option<Algorithm>) -> Result<Item, ManifestFault> {
    // A leading backslash says that the name is written with escapes.
    let (escaped, line) = line.strip_prefix('\\').map_or((false, line), |rest| (true, rest));
    let (digest, name) = split_bsd(line).or_else(|| split_gnu(line)).ok_or(ManifestFault::Form(number))?;
    let name = if escaped { unescape(name).ok_or(ManifestFault::Form(number))? } else { name.to_owned() };
    let algorithm = wanted.map_or_else(|| Algorithm::of_digest(digest), Ok);
    let checked = algorithm.and_then(|algorithm| Ok((algorithm, check_digest(algorithm, digest)?)));
    let (algorithm, digest) = checked.map_err(|fault| ManifestFault::Digest(number, fault))?;
    let path = confine(&name).ok_or_else(|| ManifestFault::Outside(number, name.clone()))?;
    Ok(Item { name, path, algorithm, digest })
}

/// `digest  name` and `digest *name`.
fn split_gnu(line: &str) -> Option<(&str, &str)> {
    let (digest, rest) = line.split_once([' ', '\t'])?;
    // The second character says how the file was read; without it (one space) the name follows.
    let name = rest.strip_prefix([' ', '*']).unwrap_or(rest);
    (!digest.is_empty() && !name.is_empty()).then_some((digest, name))
}

/// `SHA256 (name) = digest`.
fn split_bsd(line: &str) -> Option<(&str, &str)> {
    let (name, digest) = line.split_once(" (")?.1.rsplit_once(") = ")?;
    (!name.is_empty()).then_some((digest.trim(), name))
}

fn unescape(name: &str) -> Option<String> {
    let mut plain = String::with_capacity(name.len());
    let mut letters = name.chars();
    while let Some(letter) = letters.next() {
        plain.push(match letter {
            '\\' => match letters.next()? {
                '\\' => '\\',
                'n' => '\n',
                'r' => '\r',
                _ => return None,
            },
            other => other,
        });
    }
    Some(plain)
}

/// The path without `./`, unless it is absolute or climbs out of the folder.
fn confine(name: &str) -> Option<PathBuf> {
    let mut path = PathBuf::new();
    for component in PathBuf::from(name).components() {
        match component {
            Component::Normal(part) => path.push(part),
            Component::CurDir => {}
            _ => return None,
        }
    }
    (path.components().next().is_some() && !name.contains('\0')).then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MD5: &str = "d41d8cd98f00b204e9800998ecf8427e";

    fn sha256() -> String {
        "ab".repeat(32)
    }

    fn names(text: &str) -> Vec<String> {
        parse(text.as_bytes(), None).unwrap().into_iter().map(|item| item.name).collect()
    }

    fn fault(text: &str) -> ManifestFault {
        parse(text.as_bytes(), None).unwrap_err()
    }

    #[test]
    fn the_forms_a_line_has() {
        let digest = sha256();
        for (line, name) in [
            (format!("{digest}  model.onnx"), "model.onnx"),
            (format!("{digest} *model.onnx\r"), "model.onnx"),
            (format!("{digest} model.onnx"), "model.onnx"),
            (format!("{digest}  with two  spaces"), "with two  spaces"),
            (format!("{digest}   leading space"), " leading space"),
            (format!("\\{digest}  a\\\\b\\nc"), "a\\b\nc"),
            (format!("SHA256 (sub/model (1).onnx) = {digest}"), "sub/model (1).onnx"),
            (format!("{}  ./x", digest.to_uppercase()), "./x"),
            (format!("\u{feff}{MD5}  x"), "x"),
        ] {
            assert_eq!(names(&line), [name], "{line}");
        }
    }

    #[test]
    fn comments_and_empty_lines_are_left_out_and_names_are_sorted() {
        assert_eq!(names(&format!("# made by hand\r\n\r\n{MD5}  b\n{MD5}  a\n{MD5}  b\n \n")), ["a", "b"]);
        assert!(names("").is_empty());
    }

    #[test]
    fn names_stay_in_the_folder() {
        for name in ["/etc/passwd", "../x", "a/../../x", ".", "a\0b"] {
            assert!(matches!(fault(&format!("{MD5}  {name}")), ManifestFault::Outside(1, _)), "{name}");
        }
        assert_eq!(confine("./a/./b"), Some(PathBuf::from("a/b")));
    }

    #[test]
    fn faults_name_their_line() {
        assert_eq!(fault(&format!("{MD5}  a\n{MD5}")), ManifestFault::Form(2));
        assert!(matches!(fault("xyz  a"), ManifestFault::Digest(1, DigestFault::Length { .. })));
        assert!(matches!(
            fault(&format!("{}  a", "zz".repeat(16))),
            ManifestFault::Digest(1, DigestFault::NotHexadecimal(_))
        ));
        assert_eq!(fault(&format!("\\{MD5}  a\\x")), ManifestFault::Form(1));
        assert_eq!(parse(b"\xff\xfe", None), Err(ManifestFault::NotText));
        let other = "0".repeat(32);
        assert_eq!(fault(&format!("{MD5}  a\n{other}  a")), ManifestFault::Contradiction(2, "a".into()));
    }

    #[test]
    fn a_named_algorithm_must_fit() {
        let text = format!("{MD5}  a");
        assert!(parse(text.as_bytes(), Some(Algorithm::Sha256)).is_err());
        assert_eq!(parse(text.as_bytes(), Some(Algorithm::Md5)).unwrap().len(), 1);
    }
}
