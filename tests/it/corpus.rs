//! The injection corpus: hundreds of hostile texts through inputs and outputs of steps into every kind of place.
//! None may run anything, and each must arrive as it is or be refused.

use std::io::{Read, Write};
use std::net::TcpListener;

use serde_json::json;

use crate::support::Runbook;

/// What each class wants to happen: a file named `canary`.
const COMMANDS: [&str; 6] = [
    "touch canary",
    "touch${IFS}canary",
    ">canary",
    "sh -c 'touch canary'",
    "python3 -c 'open(\"canary\",\"w\")'",
    "cp x canary",
];

/// How a text breaks out of the place it stands in; `§` is the command.
const FRAMES: [&str; 66] = [
    // Shells.
    "$(§)",
    "`§`",
    "; §",
    "; §;",
    "| §",
    "|| §",
    "& §",
    "&& §",
    "\n§",
    "\r\n§\n",
    "$((0)); §",
    "${x:-$(§)}",
    "x > y; §",
    "<(§)",
    ">(§)",
    "{§,}",
    "!§",
    "a b; § #",
    // Quotes.
    "'; §; '",
    "\"; §; \"",
    "'\"`; § #",
    "\\'; §; \\'",
    "\\\"; §",
    "'$(§)'",
    "\"$(§)\"",
    "$'\\n'§",
    "%27; §",
    // Templates.
    "{{inputs.other}}; §",
    "{{{§}}}",
    "{{#if true}}§{{/if}}",
    "{{lookup this '§'}}",
    "${§}",
    "#{§}",
    "<%= § %>",
    "{% § %}",
    "${{ § }}",
    "[[§]]",
    "{{{{raw}}}}§{{{{/raw}}}}",
    // Options of programs.
    "--upload-pack=§",
    "-oProxyCommand=§",
    "--exec=§",
    "--checkpoint-action=exec=§",
    "-e §",
    "--",
    "-",
    "@§",
    // Paths.
    "../§",
    "../../../../§",
    "..\\§",
    "/§",
    "./§",
    "a/../../§",
    "%2e%2e%2f§",
    "....//§",
    // Look-alikes and what cannot be seen.
    "；§",
    "｀§｀",
    "＄（§）",
    "\u{202e}§",
    "\u{200b}; §",
    "\u{2028}§",
    "a\u{a0}; §",
    // Query languages, JSON, addresses.
    "'; DROP TABLE runs; -- §",
    "\"} or vector(1) # §",
    "\"], \"x\": [\"§",
    "?a=§&b=c#d",
    "@127.0.0.1:1/§",
];

pub fn payloads() -> Vec<String> {
    let of = |frame: &str| -> Vec<String> {
        let plain = COMMANDS.iter().map(|command| frame.replace('§', command));
        let within = COMMANDS.iter().take(2).map(|command| format!("ok{}", frame.replace('§', command)));
        plain.chain(within).collect()
    };
    let mut payloads: Vec<String> = FRAMES.iter().flat_map(|frame| of(frame)).collect();
    payloads.sort();
    payloads.dedup();
    payloads
}

/// Answers every request with the same JSON; returns its address.
fn service() -> String {
    const BODY: &str = r#"{"status": "success", "data": {"resultType": "vector", "result": []}}"#;
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = format!("http://{}", listener.local_addr().expect("its address"));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            drop(stream.read(&mut [0; 65536]));
            let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close";
            drop(write!(stream, "{head}\r\nContent-Length: {}\r\n\r\n{BODY}", BODY.len()));
        }
    });
    address
}

/// Each payload reaches one program three ways, which must be alike, and every other kind of place once.
const EVERYWHERE: &str = "
runbook: 1
name: corpus
title: Hostile data everywhere
inputs:
  api: {type: url}
  other: {type: string, default: FILLED}
  payloads: {type: list, of: string}
diagnose:
  found: {command: {argv: [cat, payloads.json], parse: json}, effect: read}
  given:
    for_each: {in: inputs.payloads, as: text, limit: 8}
    command: {argv: [sh, same.sh, --, '{{text}}'], env: {TEXT: '{{text}}'}, stdin: '{{text}}'}
    effect: read
  passed_on:
    needs: [found]
    for_each: {in: diagnose.found.json, as: text, limit: 8}
    command: {argv: [sh, same.sh, --, '{{text}}'], env: {TEXT: '{{text}}'}, stdin: '{{text}}'}
    effect: read
  option:
    for_each: {in: inputs.payloads, as: text, limit: 8}
    command: {argv: [sh, no-option.sh, '{{text}}']}
    effect: read
  file:
    for_each: {in: inputs.payloads, as: text, limit: 8}
    file: {path: 'below/{{text}}'}
  log:
    for_each: {in: inputs.payloads, as: text, limit: 8}
    log_scan: {file: app.log, pattern: 'x{{text}}y'}
  url:
    for_each: {in: inputs.payloads, as: text, limit: 8}
    http: {get: '{{inputs.api}}/a/{{text}}?q={{text}}', extract: {found: '$[\"{{text}}\"]'}}
  promql:
    for_each: {in: inputs.payloads, as: text, limit: 8}
    promql: {url: '{{inputs.api}}', query: 'up{job=\"{{text}}\"}'}
";

const SAME: &str = "[ \"$2\" = \"$TEXT\" ] || exit 1\nread_all=$(cat; printf x)\n[ \"${read_all%x}\" = \"$TEXT\" ]\n";
const NO_OPTION: &str = "case \"$1\" in -*|@*) exit 1;; esac\n";

#[test]
#[expect(clippy::print_stderr, reason = "the figures are told")]
fn t29_t31_t32_t33_t36_no_payload_is_ever_run() {
    let payloads = payloads();
    assert!(payloads.len() >= 500, "{}", payloads.len());
    let place = Runbook::new()
        .file("corpus.yaml", EVERYWHERE)
        .file("same.sh", SAME)
        .file("no-option.sh", NO_OPTION)
        .file("app.log", "nothing\n")
        .file("payloads.json", serde_json::to_vec(&payloads).unwrap())
        .file("inputs.json", json!({"api": service(), "payloads": payloads}).to_string());
    let done = place.call("run corpus.yaml --inputs inputs.json");
    let run = place.newest();
    let of = |step: &str| &run["steps"][format!("diagnose.{step}")];
    for step in ["given", "passed_on"] {
        assert_eq!(
            of(step)["output"]["passed_count"],
            payloads.len(),
            "{step}: {}\n{}",
            of(step)["reason"],
            done.shown()
        );
    }
    let begins = |first: [char; 2]| payloads.iter().filter(|text| text.starts_with(first)).count();
    let option = &of("option")["output"];
    assert_eq!(option["failed_count"], 0, "an option was injected");
    assert_eq!(option["error_count"], begins(['-', '@']), "each is refused");
    for step in ["file", "url", "promql"] {
        assert!(of(step)["output"]["count"] == payloads.len(), "{step}: {}", of(step));
    }
    let leading_up = payloads.iter().filter(|text| text.split('/').any(|part| part == "..")).count();
    assert_eq!(of("file")["output"]["error_count"], leading_up);
    assert_eq!(of("url")["output"]["error_count"], 0);
    assert_eq!(of("promql")["output"]["error_count"], 0);
    assert!(!place.exists("canary"), "a payload was run");
    eprintln!("tests 29-36: {} payloads in 10 places, executions = 0", payloads.len());
}

/// Plan 35: data names no variable of a program.
#[test]
fn t35_names_of_variables_are_the_playbooks_own() {
    for name in ["LD_PRELOAD", "PATH", "BASH_ENV", "'{{inputs.name}}'"] {
        let playbook = format!(
            "runbook: 1\nname: names\ntitle: Names\ninputs: {{name: {{type: string}}}}\n\
             remediate: {{show: {{command: {{argv: [env], env: {{{name}: x}}}}, risk: safe}}}}\n"
        );
        let place = Runbook::new().file("names.yaml", playbook);
        let shown = place.call("run names.yaml --input name=LD_PRELOAD").shown();
        assert!(shown.contains("error") && !shown.contains("=x\n"), "{name}: {shown}");
    }
}
