//! Data stays data: hostile text from inputs, services and programs reaches each place as it is and is
//! never run, expanded or filled in again.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::mpsc;

use crate::support::Runbook;

/// Each would leave a file named `canary` if any shell saw it, or change if a template were filled in twice.
const HOSTILE: [&str; 8] = [
    "$(touch canary)",
    "`touch canary`",
    "'; touch canary; '",
    "\"; touch canary; \"",
    "a; touch canary",
    "a\ntouch canary",
    "{{inputs.other}} {{{{x}}}}",
    "a' || env:PATH || \"}} or 1=1",
];

const EVERYWHERE: &str = "
runbook: 1
name: taint
title: Hostile data
inputs:
  text: {type: string}
  other: {type: string, default: FILLED}
remediate:
  argv: {command: {argv: [sh, show.sh, argv, '{{inputs.text}}']}, risk: safe}
  env: {command: {shell: 'printf %s \"$TEXT\" > env', env: {TEXT: '{{inputs.text}}'}}, risk: safe}
  stdin: {command: {argv: [sh, -c, 'cat > stdin'], stdin: '{{inputs.text}}'}, risk: safe}
  echo: {command: {argv: [printf, '%s', '{{inputs.text}}']}, risk: safe}
  output: {command: {argv: [sh, show.sh, output, '{{remediate.echo.stdout}}']}, risk: safe}
  inside: {command: {argv: [sh, show.sh, inside, 'a {{inputs.text}} b']}, risk: safe}
";

#[test]
fn hostile_text_reaches_programs_as_it_is() {
    for text in HOSTILE {
        let place = Runbook::new().file("taint.yaml", EVERYWHERE).file("show.sh", "printf %s \"$2\" > \"$1\"");
        place.args(["run", "taint.yaml", "--input", &format!("text={text}")]).done().exits(0);
        for name in ["argv", "env", "stdin", "output"] {
            assert_eq!(place.read(name), text, "{name}");
        }
        assert_eq!(place.read("inside"), format!("a {text} b"));
        assert!(!place.exists("canary"), "{text} was run");
        let report = place.args(["report", &place.newest_run()]).done().exits(0).stdout();
        assert!(!report.contains("FILLED FILLED"), "the report filled a template in:\n{report}");
    }
}

#[test]
fn a_template_in_shell_text_is_refused_before_anything_runs() {
    let text = EVERYWHERE.replace("\"$TEXT\"", "{{inputs.text}}");
    let place = Runbook::new().file("taint.yaml", text);
    place.args(["run", "taint.yaml", "--input", "text=$(touch canary)"]).done().exits(2).says("template-in-code");
    assert!(!place.exists("canary"));
}

/// Answers every request with `body` and sends each request line to the test.
fn service(body: &'static str) -> (String, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = format!("http://{}", listener.local_addr().expect("its address"));
    let (sender, requests) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut lines = BufReader::new(stream.try_clone().expect("a stream")).lines().map_while(Result::ok);
            let first = lines.next().unwrap_or_default();
            lines.take_while(|line| !line.is_empty()).for_each(drop);
            let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close";
            drop(write!(stream, "{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
            if sender.send(first).is_err() {
                return;
            }
        }
    });
    (address, requests)
}

const ASKS: &str = "
runbook: 1
name: asks
title: Asks a service
inputs: {api: {type: url}, text: {type: string}}
diagnose:
  url: {http: {get: '{{inputs.api}}/a/{{inputs.text}}?q={{inputs.text}}'}}
  promql: {promql: {url: '{{inputs.api}}', query: 'up{job=\"{{inputs.text}}\"}'}}
  jsonpath: {http: {get: '{{inputs.api}}/', extract: {found: '$[\"{{inputs.text}}\"]'}}}
  command: {command: {argv: [sh, show.sh, '{{diagnose.url.body}}']}, effect: read}
";

/// `/`, `?`, `#` and `&` would lead elsewhere, quotes would end the query's own.
#[test]
fn hostile_text_stays_inside_its_part_of_a_request() {
    const BODY: &str =
        r#"{"status": "success", "data": {"resultType": "vector", "result": []}, "x": "$(touch canary)"}"#;
    for text in ["../../admin?x=1#y&z", "\"} or vector(1) #", "$(touch canary)", "a b%2e%2e/", "{{inputs.api}}"] {
        let (address, requests) = service(BODY);
        let place = Runbook::new().file("asks.yaml", ASKS).file("show.sh", "printf %s \"$1\" > shown");
        let inputs = [format!("api={address}"), format!("text={text}")];
        place.args(["run", "asks.yaml", "--input", &inputs[0], "--input", &inputs[1]]).done();
        let lines: Vec<String> = requests.try_iter().collect();
        let asked = lines.iter().find(|line| line.starts_with("GET /a/")).unwrap_or_else(|| panic!("{lines:?}"));
        let path = asked.split(' ').nth(1).expect("a path");
        assert_eq!(path.matches('/').count(), 2, "{text} made another path: {asked}");
        assert_eq!((path.matches('?').count(), path.contains('#'), path.contains('&')), (1, false, false), "{asked}");
        assert!(!place.exists("canary"), "{text}");
        assert_eq!(place.read("shown"), BODY, "a body is text, whatever is in it");
        let promql = &place.newest()["steps"]["diagnose.promql"];
        assert_ne!(promql["status"], "error", "the query stayed a query: {promql}");
    }
}

/// A log line or a body with control characters must not paint the terminal of the reader.
#[test]
fn control_characters_are_shown_and_not_sent() {
    let place = Runbook::new().file("taint.yaml", EVERYWHERE).file("show.sh", "printf '\\033[2J\\007gone' >&2; exit 1");
    let done = place.args(["run", "taint.yaml", "--input", "text=\u{1b}[31mred\u{7}"]).done().exits(1);
    let shown = place.call("show").exits(0).stdout();
    let report = place.args(["report", &place.newest_run()]).done().exits(0).stdout();
    for text in [done.stdout(), shown, report] {
        assert!(!text.contains('\u{1b}') && !text.contains('\u{7}'), "{text:?}");
    }
}

/// Secrets come from the environment and stay out of all that is kept or shown.
#[test]
fn variables_of_the_program_do_not_leak_into_steps() {
    let playbook =
        "runbook: 1\nname: env\ntitle: Environment\nremediate: {show: {command: {argv: [env]}, risk: safe}}\n";
    let place = Runbook::new().file("env.yaml", playbook).variable("SLACK_TOKEN", "hush-hush");
    place.call("run env.yaml").exits(0);
    place.call("show --format json").exits(0).does_not_say("hush-hush");
}

/// The process that outlives the program needs none of them either.
#[test]
#[expect(clippy::print_stderr, reason = "what could not be tried here must be seen")]
fn variables_of_the_program_do_not_reach_the_process_that_outlives_it() {
    let playbook = "runbook: 1\nname: env\ntitle: Environment\n\
                    remediate: {wait: {command: {argv: [sh, wait.sh]}, risk: safe}}\n";
    let wait = "echo $$ > waiting; until [ -e go ]; do sleep 0.05; done";
    let place = Runbook::new().file("env.yaml", playbook).file("wait.sh", wait).variable("SLACK_TOKEN", "hush-hush");
    let mut running = place.args(["run", "env.yaml"]).start();
    running.until("the step", || place.read("waiting").ends_with('\n'));
    let shim = place.shim_of("waiting").expect("its shim");
    let environment = std::fs::read_to_string(format!("/proc/{}/environ", shim.pid));
    place.write("go", "");
    running.done().exits(0);
    match environment {
        Ok(text) => assert_eq!(text, ""),
        Err(error) => eprintln!("NOT CHECKED: this account may not look at the environment of the process: {error}"),
    }
}
