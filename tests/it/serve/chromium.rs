//! The pages in a real browser: live, by keyboard alone, on a telephone, in the dark, without a word of complaint.

use runbook::base::environment;
use serde_json::json;

use super::webdriver::{ENTER, TAB, Window, is_installed};
use super::{Served, place, start, token};
use crate::support::Runbook;

/// A fault whose diagnosis goes on until the test lets it, and that is fixed when somebody approves it.
const FAULT: &str = "
runbook: 1
name: model-load-error
title: OCR or vision model fails to load
code: MODEL_LOAD_ERROR
inputs: {provider: {type: string, default: ocr-text}}
triggers:
  - alert: {source: alertmanager, match: {alertname: Note}, inputs: {provider: labels.target}}
  - schedule: {cron: '0 6 * * *', timezone: Europe/Berlin}
detect:
  any:
    missing: {file: {path: 'models/{{inputs.provider}}/model.onnx'}, holds: '!exists'}
diagnose:
  folder: {file: {path: 'models/{{inputs.provider}}'}, expect: exists}
  memory: {memory: {}, expect: available > 0}
  disk: {disk: {path: .}, expect: free > 0}
  log: {command: {argv: [sh, -c, 'echo loading the model; while [ ! -e go ]; do sleep 0.05; done; echo there is no file']}, effect: read, needs: [folder]}
  present: {file: {path: 'models/{{inputs.provider}}/model.onnx'}, expect: exists, needs: [folder]}
  mirror: {file: {path: 'mirror/{{inputs.provider}}.onnx'}, expect: exists, needs: [folder]}
  space: {command: {argv: ['true']}, effect: read, needs: [disk, mirror]}
  health: {command: {argv: ['true']}, effect: read, needs: [log, memory]}
causes:
  missing_file: {title: The model file is missing, when: diagnose.present.failed}
remediate:
  fetch:
    fixes: [missing_file]
    command: {argv: [cp, 'mirror/{{inputs.provider}}.onnx', 'models/{{inputs.provider}}/model.onnx']}
    help: Fetch the missing model from the mirror.
    risk: disruptive
    approve: {timeout: 15m}
  load_again: {fixes: [missing_file], needs: [fetch], command: {argv: ['true']}, risk: safe}
verify:
  answers: {command: {argv: ['true']}, effect: read}
";

const SECOND: &str = "
runbook: 1
name: cache-full
title: The cache of rendered pages is full
triggers: [{watch: {every: 10s}}]
detect: {any: {full: {file: {path: cache-is-full}, holds: exists}}}
";

const NAME: &str = "RUNBOOK_TEST_IMAGES";

fn broken() -> Runbook {
    place("")
        .file("playbooks/note.yaml", FAULT)
        .file("playbooks/cache.yaml", SECOND)
        .file("mirror/ocr-text.onnx", "a model")
        .file("models/ocr-text/labels.txt", "a label")
}

/// The smallest contrast between text and what is behind it (WCAG 2.2, 1.4.3), and whose it is.
const CONTRAST: &str = "
const channels = (colour) => (colour.match(/[0-9.]+/g) || []).map(Number);
const light = (colour) => { const [r, g, b] = channels(colour).map((value) => { value /= 255;
  return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4; }); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
const behind = (one) => { for (; one; one = one.parentElement) { const colour = getComputedStyle(one).backgroundColor;
  const parts = channels(colour); if (parts.length < 4 || parts[3] > 0) return colour; } return 'rgb(255, 255, 255)'; };
let least = [99, ''];
for (const one of document.querySelectorAll('body *')) {
  if (![...one.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim())) continue;
  const style = getComputedStyle(one), colour = one.namespaceURI.endsWith('svg') ? style.fill : style.color;
  const [high, low] = [light(colour), light(behind(one))].sort((a, b) => b - a);
  const ratio = (high + 0.05) / (low + 0.05);
  if (ratio < least[0]) least = [ratio, one.outerHTML.slice(0, 200)];
}
return least;";

pub fn until(window: &Window, served: &mut Served, text: &str) {
    served.running.until(text, || window.text().contains(text));
}

/// Presses Tab until what has the focus fits; everything on the way must show that it has it.
pub fn tab_to(window: &Window, what: &str) {
    for _ in 0..80 {
        window.press([TAB]);
        let seen = window.script(
            "const one = document.activeElement; return [one.innerText || one.name || '', getComputedStyle(one).outlineStyle]",
        );
        let inside = window.script("return document.activeElement !== document.body");
        assert!(inside == json!(false) || seen[1] != json!("none"), "the focus is not seen on {seen}");
        if seen[0].as_str().is_some_and(|name| name.contains(what)) {
            return;
        }
    }
    panic!("Tab does not lead to {what}: {}", window.text());
}

fn keep(window: &Window, name: &str) {
    if environment::variable(NAME).is_some() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/images");
        std::fs::write(folder.join(name), window.picture()).expect("a writable folder");
    }
}

/// As on a telephone at night, and as on a desk by day: nothing to scroll sideways, and everything can be read.
pub fn is_readable(window: &Window, page: &str) {
    for (scheme, width) in [("dark", 360), ("light", 1_200)] {
        window.colours(scheme);
        window.size(width, 800);
        let wide = window.script("return document.documentElement.scrollWidth").as_u64();
        assert!(wide.is_some_and(|wide| wide <= u64::from(width)), "{page} is {wide:?} wide on {width}");
        let least = window.script(CONTRAST);
        assert!(least[0].as_f64().is_some_and(|ratio| ratio >= 4.5), "{page} in {scheme}: {least}");
        let ground = window.script("return getComputedStyle(document.body).backgroundColor");
        assert_eq!(ground == json!("rgb(255, 255, 255)"), scheme == "light", "{page}: {ground}");
    }
}

#[test]
#[expect(clippy::print_stderr, reason = "what is not here and the figures are told")]
fn a_live_run_is_opened_approved_and_seen_to_end_by_keyboard_alone() {
    if !is_installed() {
        eprintln!(
            "SKIPPED: test 54 (pages in a real browser), which is not here; Debian has chromium and chromium-driver"
        );
        return;
    }
    let runbook = broken();
    let mut served = start(&runbook);
    let started =
        served.client.post("/api/v1/runs", Some(&token("operator")), &json!({"playbook": "model-load-error"}));
    let run = started.is(202).json()["run"].as_str().expect("a run").to_owned();
    let window = Window::open(&runbook);
    window.size(1_200, 800);
    let (base, path) = (format!("http://{}", served.client.address()), format!("/runs/{run}"));

    // Signs in and is brought to the page that was asked for.
    window.go(&format!("{base}{path}"));
    assert_eq!(window.path(), "/login");
    window.press(token("approver").chars().chain([ENTER]));
    served.running.until("the run is shown", || window.path() == path);
    until(&window, &mut served, "has not ended");
    window.script("window.same = true");
    // What a step prints is no event, and is there all the same.
    until(&window, &mut served, "Output of diagnose.log, as it comes");
    until(&window, &mut served, "loading the model");

    // The question appears by itself, and what is typed meanwhile stays.
    runbook.write("go", "");
    until(&window, &mut served, "Exactly this will be done");
    assert!(window.text().contains("command.argv: [\"cp\",\"mirror/ocr-text.onnx\""), "{}", window.text());
    assert_eq!(window.script("return window.same"), json!(true), "without loading the page again");
    is_readable(&window, "one run");
    window.script("scrollTo(0, 0)");
    window.size(1_200, 1_500);
    keep(&window, "web-run.png");
    window.size(1_200, 800);

    tab_to(&window, "reason");
    window.press("the mirror has it".chars());
    tab_to(&window, "Approve");
    window.press([ENTER]);
    until(&window, &mut served, "Approved; the answer is in the journal.");
    until(&window, &mut served, "✓ resolved");
    assert!(runbook.exists("models/ocr-text/model.onnx"));
    assert!(!window.text().contains("Exactly this will be done"));

    for (page, address, name) in [("runs", "/runs", "web-runs.png"), ("playbooks", "/playbooks", "web-playbooks.png")] {
        window.go(&format!("{base}{address}"));
        is_readable(&window, page);
        window.size(1_200, 520);
        keep(&window, name);
    }
    for page in ["/tickets", "/freeze", "/audit", &path, "/login"] {
        window.go(&format!("{base}{page}"));
        is_readable(&window, page);
    }
    window.colours("dark");
    window.size(360, 740);
    window.go(&format!("{base}{path}"));
    keep(&window, "web-telephone.png");
    assert_eq!(window.complaints(), Vec::<String>::new(), "the console");

    for page in [path.as_str(), "/runs", "/playbooks"] {
        let mut paints: Vec<i64> =
            (0..9).map(|_| first_paint(&window, &mut served, &format!("{base}{page}"))).collect();
        paints.sort_unstable();
        eprintln!("first paint of {page}, in ms after it was asked for: median {}, longest {}", paints[4], paints[8]);
    }
}

/// When the browser showed something of the page, in milliseconds after it was asked for.
fn first_paint(window: &Window, served: &mut Served, address: &str) -> i64 {
    window.go(address);
    let painted = || {
        window
            .script("return Math.round(performance.getEntriesByName('first-contentful-paint')[0]?.startTime)")
            .as_i64()
    };
    served.running.until("something is shown", || painted().is_some());
    painted().expect("it is shown")
}
