//! Reads the system journal through `journalctl`, the only stable way in.

use std::process::Stdio;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};
use tokio::process::Command;

use super::collect::Collector;
use super::lines::LINE_BYTES;
use super::{Output, Settings};
use crate::kind::{Context, StepError};
use crate::probe::text::clean;

/// An entry as JSON: bytes that are not text take up to five characters each.
const ENTRY_BYTES: u64 = 1 << 20;

/// Kept of what `journalctl` complains of.
const COMPLAINT_BYTES: usize = 1024;

/// Part of the system journal.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub struct Journal {
    /// The unit, such as `cad-ml-platform`; all units without one.
    #[serde(default)]
    pub unit: Option<String>,
    /// Only messages of the kernel, as `dmesg` shows them.
    #[serde(default)]
    pub kernel: bool,
    /// The journal of this user's own services instead of the system's.
    #[serde(default)]
    pub user: bool,
}

pub(super) async fn scan(journal: &Journal, settings: Settings, context: &Context) -> Result<Output, StepError> {
    if settings.since.is_none() && settings.tail.is_none() {
        return Err(StepError::new("a journal without an end is asked for").help("add `window`, `since` or `tail`"));
    }
    let reading = read(&["journalctl"], journal, &settings);
    tokio::select! {
        output = reading => output,
        () = context.cancelled() => Err(StepError::new("stopped before the journal was read")),
    }
}

/// Reads with the given program; tests give one of their own.
async fn read(program: &[&str], journal: &Journal, settings: &Settings) -> Result<Output, StepError> {
    let mut collector = settings.collector();
    collector.start_file("journal".into());
    let entries = run(command(program, journal, settings), Some(&mut collector)).await?;
    // Without a running journal `journalctl` prints nothing and calls it success. An answer of
    // "nothing" counts only when there is a journal to be silent.
    if entries == 0 && run(probe(program, journal), None).await? == 0 {
        return Err(StepError::new("the journal is empty").help(
            "see that systemd-journald runs here and that this user may read it, or scan a log file with `file`",
        ));
    }
    let mut output = collector.finish();
    output.files = vec!["journal".into()];
    Ok(output)
}

fn command(program: &[&str], journal: &Journal, settings: &Settings) -> Command {
    let mut command = probe(program, journal);
    // With "=", a value that starts with a dash stays a value.
    command.args(journal.unit.iter().map(|unit| format!("--unit={unit}")));
    command.args(journal.kernel.then_some("--dmesg"));
    command.args(settings.since.map(|since| format!("--since=@{}", since.0.div_euclid(1000))));
    // Overrides the single entry of the probe.
    command.args([settings.tail.map_or_else(|| "--lines=all".into(), |count| format!("--lines={count}"))]);
    command
}

/// Asks for the newest entry of all.
fn probe(program: &[&str], journal: &Journal) -> Command {
    let mut command = Command::new(program[0]);
    command.args(&program[1..]).args(["--no-pager", "--output=json", "--output-fields=MESSAGE", "--lines=1"]);
    command.args(journal.user.then_some("--user"));
    // Complaints are recognised by their English text.
    command.env("LC_ALL", "C").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

/// Runs the command to its end, gives each entry to the collector and returns how many there were.
async fn run(mut command: Command, collector: Option<&mut Collector<'_>>) -> Result<u64, StepError> {
    let mut child = command.spawn().map_err(|error| {
        StepError::because("cannot run journalctl", &error)
            .help("this machine has no systemd journal; scan a log file with `file` instead")
    })?;
    let (Some(output), Some(complaints)) = (child.stdout.take(), child.stderr.take()) else {
        return Err(StepError::new("bug: journalctl was started without its pipes"));
    };
    let (entries, complaint) = tokio::join!(entries(output, collector), first_of(complaints));
    let status = child.wait().await.map_err(|error| StepError::because("cannot wait for journalctl", &error))?;
    let entries = entries.map_err(|error| StepError::because("cannot read from journalctl", &error))?;
    if !status.success() {
        return Err(StepError::new(format!("journalctl ended with {status}: {complaint}"))
            .help("run `journalctl --lines=1` by hand as this user"));
    }
    if complaint.contains("not seeing messages") || complaint.contains("No journal files were") {
        return Err(StepError::new(format!("the journal cannot be read: {complaint}"))
            .help("run as root or as a member of the group systemd-journal"));
    }
    Ok(entries)
}

async fn entries(output: impl AsyncRead + Unpin, mut collector: Option<&mut Collector<'_>>) -> std::io::Result<u64> {
    let mut reader = BufReader::new(output);
    let mut buffer = Vec::new();
    let mut entries = 0;
    loop {
        buffer.clear();
        let length = (&mut reader).take(ENTRY_BYTES).read_until(b'\n', &mut buffer).await? as u64;
        if length == 0 {
            return Ok(entries);
        }
        let cut = length == ENTRY_BYTES && buffer.last() != Some(&b'\n');
        if cut {
            skip_line(&mut reader).await?;
        }
        entries += 1;
        if let Some(collector) = &mut collector {
            collector.count_read(length, cut);
            add_entry(collector, &buffer);
        }
    }
}

async fn skip_line(reader: &mut (impl AsyncBufReadExt + Unpin)) -> std::io::Result<()> {
    loop {
        let piece = reader.fill_buf().await?;
        let end = piece.iter().position(|byte| *byte == b'\n');
        let used = end.map_or(piece.len(), |end| end + 1);
        reader.consume(used);
        if end.is_some() || used == 0 {
            return Ok(());
        }
    }
}

#[derive(Deserialize)]
struct Entry {
    #[serde(rename = "__REALTIME_TIMESTAMP")]
    microseconds: Option<String>,
    #[serde(rename = "MESSAGE", default)]
    message: Value,
}

/// Each line of a message counts as a line. An entry that was cut is no JSON and has been counted as cut.
fn add_entry(collector: &mut Collector, bytes: &[u8]) {
    let Ok(entry) = serde_json::from_slice::<Entry>(bytes) else { return };
    let at = entry.microseconds.and_then(|text| text.parse::<i64>().ok()).map(|microseconds| microseconds / 1000);
    let message = message_bytes(&entry.message);
    for line in message.split(|byte| *byte == b'\n') {
        collector.line(&line[..line.len().min(LINE_BYTES)], at);
    }
}

/// A message that is not UTF-8 comes as a list of bytes, one given several times as a list of messages.
fn message_bytes(message: &Value) -> Vec<u8> {
    match message {
        Value::String(text) => text.clone().into_bytes(),
        Value::Array(items) if items.iter().all(Value::is_u64) => {
            items.iter().filter_map(|item| u8::try_from(item.as_u64()?).ok()).collect()
        }
        Value::Array(messages) => messages.iter().map(message_bytes).collect::<Vec<_>>().join(&b'\n'),
        _ => Vec::new(),
    }
}

/// The start of a text for people; the rest is read too, so that the writer is not held up.
async fn first_of(mut reader: impl AsyncRead + Unpin) -> String {
    let mut kept = Vec::new();
    let mut piece = [0; 1024];
    while let Ok(length @ 1..) = reader.read(&mut piece).await {
        kept.extend_from_slice(&piece[..length.min(COMPLAINT_BYTES.saturating_sub(kept.len()))]);
    }
    clean(kept.trim_ascii(), COMPLAINT_BYTES)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::base::Timestamp;

    const NOW: Timestamp = Timestamp(1_700_000_600_000);

    fn settings(more: Value) -> Settings {
        let mut config = json!({"pattern": "provider=(?<provider>\\w+)", "window": 600});
        config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        Settings::of(&serde_json::from_value(config).unwrap(), NOW).unwrap()
    }

    fn journal(config: Value) -> Journal {
        serde_json::from_value(config).unwrap()
    }

    /// Runs a stand-in whose text is a shell script; its arguments are those of `journalctl`.
    async fn read_script(script: &str, journal: Value, more: Value) -> Result<Output, StepError> {
        read(&["sh", "-c", script, "journalctl"], &self::journal(journal), &settings(more)).await
    }

    #[tokio::test]
    async fn entries_are_counted() {
        let script = r#"cat <<'END'
{"__REALTIME_TIMESTAMP":"1700000100000000","MESSAGE":"init provider=paddle\nprovider=paddle again"}
{"__REALTIME_TIMESTAMP":"1700000200000000","MESSAGE":[112,114,111,118,105,100,101,114,61,97,255]}
{"__REALTIME_TIMESTAMP":"1600000000000000","MESSAGE":"provider=old"}
{"__REALTIME_TIMESTAMP":"1700000300000000","MESSAGE":null}
END"#;
        let output = read_script(script, json!({}), json!({})).await.unwrap();
        assert_eq!((output.count, output.scanned_lines), (3, 4));
        assert_eq!((output.first_at, output.last_at), (Some(1_700_000_100.0), Some(1_700_000_200.0)));
        assert_eq!(output.groups["provider"][0].value, "paddle");
        assert_eq!(output.last_line, "provider=a\u{fffd}");
    }

    #[tokio::test]
    async fn values_stay_arguments_of_their_own() {
        let script = r#"printf '{"MESSAGE":"%s"}\n' "$@""#;
        let config = json!({"unit": "--flush", "kernel": true, "user": true});
        let output = read_script(script, config, json!({"pattern": ".", "tail": 7, "window": null})).await.unwrap();
        let arguments: Vec<_> = output.samples.iter().map(|sample| sample.text.as_str()).collect();
        let expected = [
            "--no-pager",
            "--output=json",
            "--output-fields=MESSAGE",
            "--lines=1",
            "--user",
            "--unit=--flush",
            "--dmesg",
            "--lines=7",
        ];
        assert_eq!(arguments, expected);
    }

    #[tokio::test]
    async fn the_window_reaches_journalctl() {
        let script = r#"printf '{"__REALTIME_TIMESTAMP":"1700000100000000","MESSAGE":"%s"}\n' "$@""#;
        let output = read_script(script, json!({}), json!({"pattern": "since"})).await.unwrap();
        assert_eq!(output.last_line, "--since=@1700000000");
    }

    #[tokio::test]
    async fn silence_counts_only_where_there_is_a_journal() {
        // The probe asks for one line, the scan for all.
        let quiet = r#"case "$*" in *lines=all*) ;; *) echo '{"MESSAGE":"x"}' ;; esac"#;
        assert_eq!(read_script(quiet, json!({}), json!({})).await.unwrap().count, 0);
        let absent = read_script("true", json!({}), json!({})).await.unwrap_err();
        assert_eq!(absent.message, "the journal is empty");
        assert!(absent.help.unwrap().contains("systemd-journald"));
    }

    #[tokio::test]
    async fn complaints_are_errors() {
        let refused = read_script("echo 'no access' >&2; exit 1", json!({}), json!({})).await.unwrap_err();
        assert!(refused.message.contains("no access") && refused.help.is_some(), "{refused}");
        let hint =
            "echo 'Hint: You are currently not seeing messages from other users' >&2; echo '{\"MESSAGE\":\"x\"}'";
        assert!(read_script(hint, json!({}), json!({})).await.unwrap_err().help.unwrap().contains("systemd-journal"));
        let missing = read(&["no-such-program-here"], &journal(json!({})), &settings(json!({}))).await.unwrap_err();
        assert!(missing.help.unwrap().contains("no systemd journal"));
    }

    #[tokio::test]
    async fn huge_and_broken_entries_are_survived() {
        let script = r#"head -c 3000000 /dev/zero | tr '\0' x; echo
echo 'not json'
echo '{"__REALTIME_TIMESTAMP":"1700000100000000","MESSAGE":"provider=a"}'
head -c 2000000 /dev/zero >&2"#;
        let output = read_script(script, json!({}), json!({})).await.unwrap();
        assert_eq!((output.count, output.scanned_lines, output.cut_lines), (1, 3, 1));
    }

    #[tokio::test]
    async fn an_endless_journal_is_refused_before_it_is_read() {
        let error =
            scan(&journal(json!({})), settings(json!({"window": null})), &Context::for_tests()).await.unwrap_err();
        assert_eq!(error.help.as_deref(), Some("add `window`, `since` or `tail`"));
    }
}
