//! Secrets stay with whom they are meant for: plan entries 59, 27 and 35 of the reliability tests.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "figures, and what could not be tried, are told")]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};

use runbook::base::redaction::{Redactor, Stream};

use crate::support::Runbook;

/// Each is hard in a way of its own: characters that some encoding changes, lines, length, other scripts.
const SECRETS: [&str; 20] = [
    "hunter22",
    "correct horse battery staple",
    "+++regex.*(?:x)[a-z]+++",
    "p@ss/w0rd?a=b&c=d#e",
    "quote'single'quote",
    "quote\"double\"quote",
    "back\\slash\\n-not-a-line",
    "$HOME/`id`/$(id)/${x}",
    "percent%2Fescaped%20twice",
    "tab\tand\u{7}control",
    "schlüssel-größe-ß",
    "秘密の鍵はここにある",
    "emoji-🔑-outside-the-plane",
    "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "<script>alert('&amp;')</script>",
    "first-line-of-key\nsecond-line-of-key\nthird-line-of-key",
    "{\"type\": \"service_account\", \"key\": \"abc/def\"}",
    "{{inputs.name}}-{{{raw}}}",
    "!bang!~tilde~^caret^",
    "a-very-long-secret-0123456789-0123456789-0123456789-0123456789-0123456789-0123456789-0123456789",
];

/// What programs make of a text before they print it. The names are those of the encodings counted.
fn encodings(secret: &str) -> Vec<(&'static str, String)> {
    let quoted = serde_json::to_string(secret).expect("a text");
    let json = quoted[1..quoted.len() - 1].to_owned();
    let percent = |upper: bool| -> String {
        let escape = |byte: u8| match byte {
            byte if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) => char::from(byte).to_string(),
            byte if upper => format!("%{byte:02X}"),
            byte => format!("%{byte:02x}"),
        };
        secret.bytes().map(escape).collect()
    };
    let hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
    vec![
        ("raw", secret.to_owned()),
        ("last line", secret.lines().last().expect("a line").to_owned()),
        ("base64", STANDARD.encode(secret)),
        ("base64 after one byte", inner(&STANDARD.encode(format!("x{secret}")), 1, secret.len())),
        ("base64 after two bytes", inner(&STANDARD.encode(format!("xy{secret}")), 2, secret.len())),
        ("base64 for addresses", URL_SAFE.encode(secret)),
        ("hex", hex.clone()),
        ("HEX", hex.to_uppercase()),
        ("json", json),
        ("percent", percent(true)),
        ("percent, small", percent(false)),
        ("shell", secret.replace('\'', r"'\''")),
    ]
}

/// The letters of the base64 text that depend on the secret alone.
fn inner(encoded: &str, before: usize, length: usize) -> String {
    encoded[(before * 8).div_ceil(6)..(before + length) * 8 / 6].to_owned()
}

fn site(hook: &str) -> String {
    format!(
        "secrets: {{key: {{file: key}}}}\nchannels:\n  webhook:\n    hook: {{url: '{hook}', secret: {{file: signing}}}}\n"
    )
}

const PLAYBOOK: &str = r#"
runbook: 1
name: leak
title: A program that prints what it should not
notify: {on: [resolved, unresolved, error, started], to: [webhook:hook]}
detect:
  any:
    printed: {command: {shell: 'cat printed; test ! -e fixed'}, effect: read, holds: exit_code == 0}
diagnose:
  show: {command: {argv: [sh, show.sh], env: {KEY: {secret: key}}}, effect: read, expect: exit_code == 0}
  pieces: {command: {argv: [sh, pieces.sh]}, effect: read}
  parsed: {command: {argv: [cat, printed.json], parse: json}, effect: read}
  lines: {command: {argv: [cat, printed], parse: lines}, effect: read}
  failed: {command: {argv: [sh, -c, 'cat printed >&2; exit 3']}, effect: read, on_error: continue}
  file: {log_scan: {file: printed, pattern: '.*'}, on_error: continue}
  link: {file: {path: link}, on_error: continue}
causes:
  leaked: {title: 'It printed {{diagnose.show.stdout}}', when: 'diagnose.failed.exit_code == 3'}
remediate:
  again: {command: {argv: [cat], stdin: {secret: key}}, fixes: [leaked], risk: safe}
  onward: {command: {argv: [sh, -c, 'echo "$1"; touch fixed', onward, '{{remediate.again.stdout}} {{diagnose.show.stdout}}']}, fixes: [leaked], risk: safe}
finally:
  told: {report: {text: 'it said {{diagnose.show.stdout}} and {{remediate.again.stdout}}'}}
"#;

/// A peer that takes notifications and gives the test what was sent.
fn listener() -> (String, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = format!("http://{}/", listener.local_addr().expect("its address"));
    let (sender, received) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming().take(100).map_while(Result::ok) {
            drop(sender.send(answer(stream)));
        }
    });
    (address, received)
}

fn answer(mut stream: TcpStream) -> String {
    stream.set_read_timeout(Some(Duration::from_secs(5))).expect("a socket");
    let (mut text, mut piece) = (Vec::new(), [0_u8; 4096]);
    let whole = |text: &[u8]| {
        let shown = String::from_utf8_lossy(text).to_lowercase();
        let (head, _) = shown.split_once("\r\n\r\n")?;
        let length =
            head.lines().find_map(|line| line.strip_prefix("content-length:"))?.trim().parse::<usize>().ok()?;
        Some(text.len() >= head.len() + 4 + length)
    };
    while whole(&text) != Some(true) {
        match stream.read(&mut piece) {
            Ok(count @ 1..) => text.extend_from_slice(&piece[..count]),
            _ => break,
        }
    }
    drop(stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"));
    String::from_utf8_lossy(&text).into_owned()
}

fn private(place: &Runbook, name: &str, text: &str) {
    let mut file =
        std::fs::File::options().write(true).create_new(true).mode(0o600).open(place.path(name)).expect("new");
    file.write_all(text.as_bytes()).expect("room");
}

/// Every file below a folder, its name before its bytes.
fn everything(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    let inner = entries.flat_map(|path| match path.is_dir() {
        true => everything(&path),
        false => vec![(path.display().to_string(), std::fs::read(&path).expect("a file"))],
    });
    inner.collect()
}

/// The files and folders below a folder with their modes.
fn modes(folder: &Path) -> Vec<(String, u32)> {
    let entries = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    let inner = entries.flat_map(|path| {
        let mode = std::fs::metadata(&path).expect("it is there").permissions().mode() & 0o777;
        let below = if path.is_dir() { modes(&path) } else { Vec::new() };
        [vec![(path.display().to_string(), mode)], below].concat()
    });
    inner.collect()
}

/// A program that writes the printed text in two pieces at every place, one after the other.
fn pieces(length: usize) -> String {
    format!(
        "i=0\nwhile [ $i -le {length} ]; do head -c $i printed; tail -c +$((i + 1)) printed; echo; i=$((i + 1)); done\n"
    )
}

#[derive(Default)]
struct Tally {
    searches: usize,
    leaks: Vec<String>,
}

impl Tally {
    fn search(&mut self, place: &str, bytes: &[u8], forms: &[(&'static str, String)]) {
        for (name, form) in forms {
            // Only what does not depend on the bytes that follow the secret: more of it never stands alone.
            let whole = form.trim_end_matches('=');
            let form = if name.starts_with("base64") { &whole[..whole.len() - 1] } else { form };
            self.searches += 1;
            if bytes.windows(form.len()).any(|window| window == form.as_bytes()) {
                self.leaks.push(format!("{name} of {:?} in {place}", forms[0].1));
            }
        }
    }
}

#[test]
fn test_59_no_form_of_a_secret_is_stored_shown_or_sent() {
    let mut tally = Tally::default();
    for (number, secret) in SECRETS.iter().enumerate() {
        let forms = encodings(secret);
        let printed: String = forms.iter().map(|(_, form)| format!("<{form}>\n")).collect();
        let (hook, received) = listener();
        let place = Runbook::new().file("leak.yaml", PLAYBOOK).file("runbook.yaml", site(&hook));
        let place = place.variable("RUNBOOK_LOG", "trace").file("printed", &printed);
        private(&place, "key", secret);
        private(&place, "signing", "whsec_QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFB");
        place.write("show.sh", "printf '%s\\n' \"$KEY\"; cat printed");
        place.write("pieces.sh", pieces(printed.len().min(60)));
        let mut parsed = serde_json::Map::new();
        parsed.insert(secret.to_string(), forms.iter().map(|(_, form)| form.clone()).collect());
        place.write("printed.json", serde_json::Value::Object(parsed).to_string());

        // Its target is a text that no other layer has masked before it becomes the output of a step.
        std::os::unix::fs::symlink(secret, place.path("link")).expect("room");
        let format = if number % 2 == 0 { "text" } else { "json" };
        let done = place.args(["run", "leak.yaml", "--format", format]).done();
        tally.search("standard output", done.stdout().as_bytes(), &forms);
        tally.search("both outputs", done.shown().as_bytes(), &forms);
        assert!(done.stdout().contains("[secret]"), "{secret:?} was never met:\n{}", done.shown());
        for line in ["show", "show --format json", "history", "audit export"] {
            let shown = place.call(line);
            tally.search(line, shown.stdout().as_bytes(), &forms);
        }
        let report = place.args(["report", &place.newest_run()]).done();
        tally.search("report", report.stdout().as_bytes(), &forms);
        for (file, bytes) in everything(&place.state()) {
            tally.search(&file, &bytes, &forms);
        }
        let messages: Vec<String> = received.try_iter().collect();
        assert!(!messages.is_empty(), "nothing was sent");
        messages.iter().for_each(|message| tally.search("a notification", message.as_bytes(), &forms));
    }
    println!("test 59: {} secrets, {} searches, {} leaks", SECRETS.len(), tally.searches, tally.leaks.len());
    assert!(tally.leaks.is_empty(), "{} leaks:\n{}", tally.leaks.len(), tally.leaks.join("\n"));
}

/// Every place where a pipe may cut each encoding of each secret in two.
#[test]
fn test_59_no_cut_of_a_stream_hides_a_secret() {
    let (mut cuts, mut leaks) = (0, Vec::new());
    for secret in SECRETS {
        let redactor = Arc::new(Redactor::new([secret]));
        for (name, form) in encodings(secret) {
            let text = format!("<{form}>");
            for cut in 0..=text.len() {
                let (first, second) = text.as_bytes().split_at(cut);
                let mut stream = Stream::new(redactor.clone());
                let shown = [stream.push(first), stream.push(second), stream.finish()].concat();
                cuts += 1;
                if shown != b"<[secret]>" {
                    leaks.push(format!("{name} of {secret:?} at {cut}: {}", String::from_utf8_lossy(&shown)));
                }
            }
        }
    }
    println!("test 59: {cuts} cuts, {} leaks", leaks.len());
    assert!(leaks.is_empty(), "{}", leaks.join("\n"));
}

#[test]
fn test_59_a_crash_leaves_no_secret_in_the_write_ahead_log_or_in_a_receipt() {
    let secret = SECRETS[1];
    let place = Runbook::new().file("runbook.yaml", "secrets: {key: {file: key}}\n").file(
        "hang.yaml",
        "runbook: 1\nname: hang\ntitle: Hang\nremediate:\n  show: {command: {shell: 'echo $KEY', env: {KEY: {secret: key}}}, risk: safe}\n  \
         wait: {command: {shell: 'echo > ready; until [ -e go ]; do sleep 0.02; done; echo $KEY', env: {KEY: {secret: key}}}, risk: safe, needs: [show]}\n",
    );
    private(&place, "key", secret);
    let mut run = place.args(["run", "hang.yaml"]).start();
    run.until("the second step runs", || place.exists("ready"));
    run.kill();
    // The program goes on without the engine, and what it prints ends up in its receipt.
    place.write("go", "");
    place.write("ended.sh", "until [ -e \"$RUNBOOK_STATE\"/receipts/*/*/ended ]; do sleep 0.02; done");
    drop(place.shell("ended.sh"));
    let open: Vec<String> =
        modes(&place.state()).into_iter().filter(|(_, mode)| mode & 0o077 != 0).map(|(name, _)| name).collect();
    assert_eq!(open, Vec::<String>::new(), "others could read these");
    let mut tally = Tally::default();
    let files = everything(&place.state());
    assert!(files.iter().any(|(name, bytes)| name.ends_with("-wal") && !bytes.is_empty()), "no write-ahead log");
    files.iter().for_each(|(file, bytes)| tally.search(file, bytes, &encodings(secret)));
    assert_eq!(tally.leaks, Vec::<String>::new());
}

/// The arguments of a running step show nothing; its environment holds the secret, and no other process's does.
#[test]
fn test_59_the_secret_is_in_the_environment_of_its_step_and_in_no_arguments() {
    let secret = "only-in-the-environment";
    let playbook = "runbook: 1\nname: look\ntitle: Look\nremediate:\n  wait:\n    command:\n      shell: |\n        \
                    cat /proc/[0-9]*/cmdline | tr '\\0' '\\n' > cmdlines\n        cat /proc/$$/environ > mine\n        \
                    cat /proc/$PPID/environ > engine || true\n      env: {KEY: {secret: key}}\n    risk: safe\n  \
                    other: {command: {shell: 'cat /proc/$$/environ > others'}, risk: safe}\n";
    let place = Runbook::new().file("look.yaml", playbook).file("runbook.yaml", "secrets: {key: {file: key}}\n");
    private(&place, "key", secret);
    place.call("run look.yaml").exits(0);
    assert!(place.read("mine").contains(&format!("KEY={secret}")));
    assert!(place.read("cmdlines").contains("/bin/sh"), "nothing was seen");
    for name in ["cmdlines", "engine", "others"] {
        assert!(!place.read(name).contains(secret), "{name}");
    }
}

/// Entries 27 and 35: what a step inherits is the list of the documentation, and no input can add to it.
#[test]
fn test_27_a_secret_in_the_environment_of_the_engine_stays_there() {
    let secret = "from-the-environment";
    let playbook = "runbook: 1\nname: env\ntitle: Env\ninputs: {label: {type: string}}\nremediate:\n  \
                    env: {command: {shell: 'env > env; ls /proc/$$/fd > fds', env: {RB_LABEL: '{{inputs.label}}'}}, risk: safe}\n";
    let place = Runbook::new().file("env.yaml", playbook).file("runbook.yaml", "secrets: {key: {env: RUNBOOK_KEY}}\n");
    let place = place.variable("RUNBOOK_KEY", secret).variable("BASH_ENV", "/x").variable("LD_AUDIT", "/x");
    place.args(["run", "env.yaml", "--input", "label=LD_PRELOAD=/x"]).done().exits(0);
    let allowed = ["PATH", "HOME", "TZ", "USER", "RB_RUN", "RB_STEP", "RB_ATTEMPT", "RB_IDEMPOTENCY_KEY", "RB_LABEL"];
    // The shell adds these to what it was given.
    let of_the_shell = ["PWD", "OLDPWD", "SHLVL", "_"];
    let text = place.read("env");
    let names = text.lines().filter_map(|line| line.split_once('=')).map(|(name, _)| name);
    let leaks: Vec<&str> = names.filter(|name| !allowed.contains(name) && !of_the_shell.contains(name)).collect();
    println!("test 27: {} leaks", leaks.len());
    assert_eq!(leaks, Vec::<&str>::new());
}

#[test]
fn a_secret_is_refused_with_its_place_and_never_shown() {
    let playbook = "runbook: 1\nname: use\ntitle: Use\nremediate:\n  a: {command: {argv: [env], env: {K: {secret: key}}}, risk: safe}\n";
    let place = Runbook::new().file("use.yaml", playbook);
    for (reference, content, mode, part) in [
        ("{file: key}", "hunter2", 0o600, "fewer than 8 characters"),
        ("{file: key}", "hunter22", 0o644, "make it 0600"),
        ("{file: gone}", "hunter22", 0o600, "cannot read the secret file"),
        ("{env: NOT_SET_HERE}", "", 0o600, "NOT_SET_HERE is not set"),
        ("{credential: key}", "", 0o600, "CREDENTIALS_DIRECTORY is not set"),
        ("{command: {argv: [sh, -c, 'echo hunter22; echo hunter22 >&2; exit 4']}}", "", 0o600, "exit status: 4"),
        ("{command: {argv: [sleep, '60'], timeout: 100ms}}", "", 0o600, "gave no secret within"),
    ] {
        place.write("runbook.yaml", format!("secrets: {{key: {reference}}}\n"));
        place.write("key", content);
        std::fs::set_permissions(place.path("key"), std::fs::Permissions::from_mode(mode)).expect("ours");
        let done = place.call("run use.yaml");
        let said = done.shown();
        assert!(said.contains(part), "{reference}:\n{said}");
        assert!(!said.contains("hunter2"), "{said}");
    }
}

#[test]
fn a_secret_written_where_it_would_be_kept_stops_the_run_before_anything_is_kept() {
    let playbook = "runbook: 1\nname: clear\ntitle: Clear\ninputs: {x: {type: string, default: none}}\nremediate:\n  a: {command: {argv: [echo, TEXT, '{{inputs.x}}']}, risk: safe}\n";
    let place = Runbook::new().file("clear.yaml", playbook.replace("TEXT", "hunter22-hunter22"));
    place.write("runbook.yaml", "secrets: {key: {file: key}}\n");
    private(&place, "key", "hunter22-hunter22");
    place.call("run clear.yaml").exits(2).says("has a secret of the site file in it");
    place.write("clear.yaml", playbook);
    place.call("run clear.yaml --input x=hunter22-hunter22").exits(2).says("the input 'x' has a secret");
    assert!(everything(&place.state()).is_empty(), "something was kept");
    place.call("run clear.yaml").exits(0);
}

#[test]
fn systemd_credentials_and_programs_give_secrets_too() {
    let playbook = "runbook: 1\nname: two\ntitle: Two\nremediate:\n  \
                    a: {command: {shell: 'printf %s \"$A $B\" > both', env: {A: {secret: a}, B: {secret: b}}}, risk: safe}\n";
    let site = "secrets:\n  a: {credential: pager}\n  b: {command: {argv: [sh, -c, 'echo from-the-vault']}}\n";
    let place =
        Runbook::new().file("two.yaml", playbook).file("runbook.yaml", site).file("cred/pager", "from-systemd\n");
    let folder = place.path("cred").display().to_string();
    let place = place.variable("CREDENTIALS_DIRECTORY", folder);
    place.call("run two.yaml").exits(0);
    assert_eq!(place.read("both"), "from-systemd from-the-vault");
}

/// With the real program where it is installed, and in any case with one that is called in the same way.
#[test]
fn an_age_file_is_opened_by_the_age_program() {
    let playbook = "runbook: 1\nname: age\ntitle: Age\nremediate:\n  a: {command: {shell: 'printf %s \"$A\" > got', env: {A: {secret: a}}}, risk: safe}\n";
    let place = Runbook::new().file("age.yaml", playbook);
    place.write("runbook.yaml", "secrets: {a: {age: {file: a.age, identity: key.txt}}}\n");
    place.write(
        "make.sh",
        "command -v age && age-keygen -o key.txt && printf sealed-with-age | age -r $(age-keygen -y key.txt) -o a.age",
    );
    drop(place.shell("make.sh"));
    if !place.exists("a.age") {
        eprintln!("age is not installed: a program of the same form stands in for it");
        place.write("bin/age", "#!/bin/sh\n[ \"$1 $2 $4\" = '--decrypt --identity --' ] && cat \"$3\" \"$5\"\n");
        std::fs::set_permissions(place.path("bin/age"), std::fs::Permissions::from_mode(0o755)).expect("ours");
        place.write("key.txt", "sealed-");
        place.write("a.age", "with-age");
    }
    let path =
        format!("{}:{}", place.path("bin").display(), runbook::base::environment::variable("PATH").unwrap_or_default());
    let place = place.variable("PATH", path);
    place.call("run age.yaml").exits(0);
    assert_eq!(place.read("got"), "sealed-with-age");
}
