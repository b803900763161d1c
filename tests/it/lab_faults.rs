//! The playbooks of the CAD platform against the lab: each fault leads to its own cause and its own
//! fix, and what does not help is taken back.

pub mod server;

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::lab::{Called, Lab, in_repository, lab_program};
use server::{StrainedPlatform, serve};

/// Short enough for a test, and longer than the pause between two requests of the platform's own.
const WATCHED: [&str; 2] = ["ramp_hold=700ms", "error_window=700ms"];

impl Lab {
    fn with(faults: &[&str]) -> Self {
        Lab::of("cad", faults)
    }

    fn run(&self, playbook: &str) -> Called {
        let quick: &[&str] = match playbook {
            "model-load-error" => &WATCHED,
            "cad-reenable-provider" => &["hold=700ms"],
            _ => &[],
        };
        self.call(&["run", playbook, "--yes"], quick)
    }
}

/// The fault is found, fixed in its own way, and gone.
fn heals(fault: &str, cause: &str, severity: &str, fixes: &[&str]) {
    let lab = Lab::with(&[fault]);
    lab.run("model-load-error").ends("resolved", 0).finds(&[cause], severity).does(fixes);
    assert!(lab.is_healthy(), "{fault}");
}

#[test]
fn a_missing_file_is_fetched() {
    heals("missing-file", "missing_file", "medium", &["fetch", "load_again"]);
}

#[test]
fn an_empty_file_is_fetched() {
    heals("empty-file", "empty_file", "medium", &["fetch", "load_again"]);
}

#[test]
fn a_truncated_file_is_replaced_and_corruption_is_critical() {
    heals("truncated-file", "damaged_file", "critical", &["replace", "load_again"]);
}

#[test]
fn a_flipped_bit_is_found_though_the_platform_is_healthy() {
    heals("flipped-bit", "altered_file", "critical", &["replace", "load_again"]);
}

#[test]
fn a_release_for_another_engine_is_rolled_back() {
    heals("wrong-opset", "unsupported_release", "medium", &["roll_back", "roll_back_manifest", "load_again"]);
}

#[test]
fn a_release_that_answers_nan_is_rolled_back() {
    heals("nan-output", "answers_not_finite", "medium", &["roll_back", "roll_back_manifest", "load_again"]);
}

#[test]
fn a_release_with_another_shape_is_rolled_back() {
    heals("wrong-shape", "wrong_shape", "medium", &["roll_back", "roll_back_manifest", "load_again"]);
}

#[test]
fn a_disabled_provider_is_enabled_with_a_ramp() {
    heals("disabled-provider", "disabled", "medium", &["reenable"]);
}

#[test]
fn a_batching_window_is_removed() {
    heals("slow", "batching_window", "medium", &["unbatch", "reload"]);
}

#[test]
fn a_process_that_is_gone_is_started() {
    heals("crashed", "crashed", "critical", &["start"]);
}

#[test]
fn all_affected_providers_are_fixed() {
    heals("two-providers", "missing_file", "critical", &["fetch", "load_again"]);
}

#[test]
fn several_faults_are_fixed_in_one_run() {
    let lab = Lab::with(&["nan-output", "crashed"]);
    lab.run("model-load-error").ends("resolved", 0).finds(&["crashed", "answers_not_finite"], "critical").does(&[
        "roll_back",
        "roll_back_manifest",
        "start",
        "load_again",
    ]);
    assert!(lab.is_healthy());
    lab.run("model-load-error").ends("healthy", 0).finds(&[], "info").does(&[]);
}

#[test]
fn a_healthy_platform_is_left_alone() {
    let lab = Lab::with(&[]);
    let before = lab.files();
    lab.run("model-load-error").ends("healthy", 0).finds(&[], "info").does(&[]);
    assert!(lab.is_healthy());
    assert!(before == lab.files(), "a file was changed");
}

#[test]
fn a_fix_that_does_not_help_is_taken_back() {
    let lab = Lab::with(&["bad-mirror"]);
    let before = lab.files();
    let run = lab.run("model-load-error");
    run.ends("unresolved", 1).finds(&["answers_not_finite"], "medium").does(&["roll_back", "roll_back_manifest"]);
    let undone = run.events.iter().filter(|event| event["event"] == "undo_finished" && event["error"].is_null());
    let undone: Vec<&str> = undone.filter_map(|event| event["key"].as_str()).collect();
    assert_eq!(undone, ["remediate.roll_back_manifest[0]", "remediate.roll_back[0]"]);
    assert!(before == lab.files(), "the files are not as they were");
}

#[test]
fn a_plan_shows_the_fix_and_changes_nothing() {
    let lab = Lab::with(&["wrong-opset"]);
    let before = lab.files();
    let plan = lab.call(&["plan", "model-load-error"], &WATCHED);
    assert_eq!(plan.status.code(), Some(0), "{}", plan.everything);
    assert_eq!(plan.last()["causes"], serde_json::json!(["unsupported_release"]), "{}", plan.everything);
    let steps = plan.last()["steps"].as_array().expect("steps");
    let would = steps.iter().filter(|step| step["would"] == "run").filter_map(|step| step["step"].as_str());
    let expected = ["remediate.roll_back[0]", "remediate.roll_back_manifest[0]", "remediate.load_again[0]"];
    assert_eq!(would.collect::<Vec<_>>(), expected);
    assert!(before == lab.files(), "a file was changed");
}

#[test]
fn the_checks_find_nothing_wrong_with_a_healthy_platform() {
    let lab = Lab::with(&[]);
    let before = lab.files();
    for check in [
        "cad-identify-affected-providers",
        "cad-check-model-files",
        "cad-check-resources",
        "cad-test-model-loading",
        "cad-log-detection",
        "cad-deep-investigation",
        "cad-preflight-checks",
        "cad-validate-model-loading",
    ] {
        lab.run(check).ends("healthy", 0);
    }
    assert!(before == lab.files(), "a file was changed");
}

#[test]
fn the_checks_find_a_damaged_file() {
    let lab = Lab::with(&["truncated-file"]);
    for (check, causes, severity) in [
        ("cad-identify-affected-providers", vec!["unhealthy", "not_loaded"], "medium"),
        ("cad-check-model-files", vec!["wrong_content"], "critical"),
        ("cad-test-model-loading", vec!["broken"], "medium"),
        ("cad-log-detection", vec!["load_errors"], "medium"),
        ("cad-deep-investigation", vec!["model_file"], "medium"),
        ("cad-preflight-checks", vec![], "medium"),
        ("cad-validate-model-loading", vec![], "medium"),
    ] {
        lab.run(check).ends("unresolved", 1).finds(&causes, severity);
    }
    lab.run("cad-fix-corrupted-model").ends("resolved", 0).does(&["clear_cache", "replace", "load_again"]);
    assert!(lab.is_healthy());
}

#[test]
fn a_missing_file_can_be_fetched_by_hand() {
    let lab = Lab::with(&["missing-file"]);
    lab.run("cad-fix-missing-model-files").ends("resolved", 0).does(&["fetch", "load_again"]);
    assert!(lab.is_healthy());
}

#[test]
fn the_procedures_of_operation_do_what_they_say() {
    let lab = Lab::with(&[]);
    lab.run("cad-disable-provider").ends("resolved", 0).does(&["disable", "reload"]);
    assert!(!lab.is_healthy());
    lab.run("cad-reenable-provider").ends("resolved", 0);
    assert!(lab.is_healthy());
    lab.run("cad-restart-with-monitoring").ends("resolved", 0).does(&["restart"]);
    assert!(lab.is_healthy());
    let model = lab.folder().join("models/ocr-text/model.onnx");
    fs::set_permissions(&model, fs::Permissions::from_mode(0o600)).expect("a file of this test");
    lab.run("cad-fix-permissions").ends("resolved", 0).does(&["permit", "relabel"]);
    assert_eq!(fs::metadata(&model).expect("a file").permissions().mode() & 0o777, 0o644);
}

#[test]
fn a_candidate_is_proven_before_it_is_served() {
    let lab = Lab::with(&[]);
    let before = lab.files();
    for (candidate, outcome, code, causes) in [
        ("ocr-text/model.onnx", "healthy", 0, vec![]),
        ("faults/ocr-text/nan.onnx", "unresolved", 1, vec!["wrong_answers"]),
        ("faults/ocr-text/future-opset.onnx", "unresolved", 1, vec!["does_not_load"]),
    ] {
        let candidate = format!("candidate={}/models/{candidate}", env!("CARGO_MANIFEST_DIR"));
        // The same model twice, on a machine that may be busy with other tests.
        let inputs = [&candidate, "max_latency_ratio=1000"];
        let proof = lab.call(&["run", "cad-long-term-prevention"], &inputs);
        proof.ends(outcome, code).finds(&causes, "medium");
    }
    assert!(before == lab.files(), "a file was changed");
}

#[test]
fn a_stub_answers_for_a_model_that_cannot_be_loaded_and_says_so() {
    let lab = Lab::with(&["truncated-file"]);
    lab.run("cad-graceful-degradation").ends("resolved", 0).does(&["stub", "reload"]);
    assert!(!lab.is_healthy(), "a stub is no health");
    lab.run("cad-fix-corrupted-model").ends("resolved", 0);
    assert!(lab.is_healthy(), "the model's own answers take its place");
}

#[test]
fn a_provider_that_errs_at_the_first_rate_is_disabled_again() {
    let lab = Lab::with(&["nan-output", "disabled-provider"]);
    let before = lab.files();
    let ramp = lab.run("cad-reenable-provider");
    ramp.ends("unresolved", 1);
    assert!(ramp.done().contains("disable_again"), "{}", ramp.everything);
    assert!(!ramp.done().contains("raise"), "{}", ramp.everything);
    assert!(before == lab.files(), "the configuration is not as it was");
}

#[test]
fn a_provider_that_errs_at_the_second_rate_goes_back_to_the_first() {
    let place = tempfile::tempdir().expect("a temporary folder");
    let overrides = place.path().join("overrides.yaml");
    fs::write(&overrides, "providers:\n  a:\n    enabled: false\n    rate_limit: 50\n").expect("a writable place");
    let mut platform = StrainedPlatform::new(overrides.clone());
    let api = serve(move |path| platform.body(path));
    let mut command = in_repository(env!("CARGO_BIN_EXE_runbook"), &place.path().join("state"));
    command.args(["run", "cad-reenable-provider", "--yes", "--format", "json"]);
    let inputs = [
        "provider=a".to_owned(),
        "hold=100ms".to_owned(),
        format!("api={api}"),
        format!("overrides={}", overrides.display()),
    ];
    let ramp = Called::of(command.args(inputs.iter().flat_map(|input| ["--input", input])));
    ramp.ends("mitigated", 1);
    assert!(ramp.done().contains("raise") && ramp.done().contains("lower_again"), "{}", ramp.everything);
    let text = fs::read_to_string(&overrides).expect("a file");
    assert!(text.contains("enabled: true") && text.contains("rate_limit: 1.0\n"), "{text}");
}

#[test]
fn an_alert_leads_to_the_response() {
    let lab = Lab::with(&["missing-file"]);
    let model = lab.folder().join("models/ocr-text/model.onnx");
    // Stands in for Prometheus: the rule fires for as long as there is no model.
    let prometheus = serve(move |_| {
        let firing = r#"{"metric": {"provider": "ocr-text"}, "value": [0, "1"]}"#;
        let series = if model.exists() { "" } else { firing };
        format!(r#"{{"status": "success", "data": {{"resultType": "vector", "result": [{series}]}}}}"#)
    });
    let alert = ["run", "cad-alert-model-load-failure", "--yes"];
    lab.call(&alert, &[&format!("prometheus={prometheus}")]).ends("resolved", 0).does(&["respond"]);
    assert!(lab.is_healthy());
}

#[test]
fn the_demonstration_ends_well() {
    let place = tempfile::tempdir().expect("a temporary folder");
    let mut demo = in_repository(lab_program(), place.path());
    let demo = demo.args(["demo", "model-load-error", "--yes", "--runbook", env!("CARGO_BIN_EXE_runbook")]);
    let demo = Called::of(demo.env("TMPDIR", place.path()));
    assert_eq!(demo.status.code(), Some(0), "{}", demo.everything);
    assert!(demo.everything.contains("resolved after"), "{}", demo.everything);
}
