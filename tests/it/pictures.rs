//! Reports with pictures of what model checks measured, from a real run through the program.

use std::path::Path;

use roxmltree::{Document, ParsingOptions};

use crate::support::Runbook;

const PLAYBOOK: &str = "
runbook: 1
name: model-health
title: 'The <column> classifier'
detect:
  any:
    slow:
      onnx_latency: {model: [model]/model.onnx, runs: 250, require_engine: embedded}
      holds: mean > 0
diagnose:
  memory: {onnx_memory: {model: [model]/model.onnx, runs: 50, max_growth: 1 GiB, require_engine: embedded}}
  calibration:
    onnx_calibration:
      {model: [model]/model.onnx, inputs: {file: [model]/data/valid.npz}, max_error: 0.5, require_engine: embedded}
  drift:
    onnx_drift:
      reference: {file: [model]/data/reference.npz}
      current: {file: [model]/data/shifted.npz}
causes:
  moved: {title: The data of now are not those of the training, when: diagnose.drift.failed}
";

/// A place in which the playbook ran once.
fn place() -> Runbook {
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/column-classifier");
    let text = PLAYBOOK.replace("[model]", &model.display().to_string());
    Runbook::new().file("playbooks/model-health.yaml", text)
}

/// The titles of the pictures, in the order of the report.
const TITLES: [&str; 4] = [
    "Time of the measured runs",
    "Memory over the runs",
    "Share that is right by confidence",
    "Columns that moved most",
];

#[test]
fn the_page_holds_every_picture_and_is_well_formed() {
    let place = place();
    place.call("run model-health").exits(1);
    let page = place.args(["report", &place.newest_run(), "--format", "html"]).done().exits(0).stdout();
    let options = ParsingOptions { allow_dtd: true, ..ParsingOptions::default() };
    let document = Document::parse_with_options(&page, options).unwrap_or_else(|error| panic!("{error}:\n{page}"));
    let pictures = document.descendants().filter(|node| node.tag_name().name() == "svg");
    let titles: Vec<&str> =
        pictures.filter_map(|svg| svg.descendants().find(|node| node.tag_name().name() == "title")?.text()).collect();
    assert_eq!(titles, TITLES);
    let text: String = document.descendants().filter_map(|node| node.text()).collect();
    for said in ["The <column> classifier", "diagnose.drift.failed", "failed", "runbook audit verify --head"] {
        assert!(text.contains(said), "{said}: {text}");
    }
}

#[test]
fn markdown_has_its_pictures_inside_or_beside_it() {
    let place = place();
    place.call("run model-health").exits(1);
    let run = place.newest_run();
    let inside = place.args(["report", &run]).done().exits(0).stdout();
    assert_eq!(inside.matches("<svg ").count(), 4, "{inside}");
    // A blank line would end the element for a reader of Markdown.
    for svg in inside.split("<svg ").skip(1) {
        assert!(!svg.split("</svg>").next().unwrap_or_default().contains("\n\n"), "{svg}");
    }
    let beside = place.args(["report", &run, "--pictures", "drawn"]).done().exits(0).stdout();
    assert!(!beside.contains("<svg"), "{beside}");
    for name in ["01-detect.slow", "02-diagnose.memory", "03-diagnose.calibration", "04-diagnose.drift"] {
        assert!(beside.contains(&format!("](<drawn/{name}.svg>)")), "{name}: {beside}");
        let svg = place.read(&format!("drawn/{name}.svg"));
        assert!(
            Document::parse(&svg)
                .is_ok_and(|svg| svg.root_element().has_tag_name(("http://www.w3.org/2000/svg", "svg")))
        );
    }
}

#[test]
fn steps_are_sketched_where_they_are_told() {
    let place = place();
    let told = place.call("run model-health").exits(1).stdout();
    let shown = place.call("show").exits(0).stdout();
    for text in [&told, &shown] {
        for title in TITLES {
            assert!(text.contains(&format!("{title}: ")), "{title}: {text}");
        }
        assert!(text.contains('█') && !text.contains('\u{1b}'), "{text}");
    }
    assert!(shown.lines().all(|line| line.chars().count() <= 80 || line.contains('/')), "{shown}");
    let plain = place.variable("LC_ALL", "C").call("show").exits(0).stdout();
    assert!(!plain.contains('█') && plain.contains('#'), "{plain}");
}

#[test]
fn what_cannot_be_written_says_so() {
    let place = place().file("taken", "a file");
    place.call("run model-health").exits(1);
    let run = place.newest_run();
    place.args(["report", &run, "--pictures", "taken"]).done().exits(2).says("cannot write taken");
    place
        .args(["report", &run, "--pictures", "x", "--format", "html"])
        .done()
        .exits(2)
        .says("--pictures is for Markdown");
    assert!(!place.exists("x"));
}
