//! The playbooks of the column classifier against the lab: each fault leads to its own cause and its own
//! fix, and what only people can do is left to them.

use std::fs;

use crate::lab::{Called, Lab};
use crate::lab_faults::server::serve;

/// Machines that run tests are slow now and then; what the faults do is slower still.
const LATENCY: &str = "max_latency=80ms";

fn broken(faults: &[&str]) -> Lab {
    Lab::of("column-classifier", faults)
}

fn run(lab: &Lab, playbook: &str, inputs: &[&str]) -> Called {
    lab.call(&["run", playbook, "--yes"], inputs)
}

/// The fault is found, fixed in its own way, and gone.
fn heals(fault: &str, playbook: &str, inputs: &[&str], cause: &str, fixes: &[&str]) -> Lab {
    let lab = broken(&[fault]);
    let fixed = run(&lab, playbook, inputs);
    fixed.ends("resolved", 0).does(fixes);
    assert_eq!(fixed.last()["causes"], serde_json::json!([cause]), "{}", fixed.everything);
    // A fix that holds is not made again.
    assert!(run(&lab, playbook, inputs).done().is_empty());
    lab
}

#[test]
fn a_missing_model_is_fetched() {
    let lab = heals("missing-file", "datacloak-model-load-failure", &[], "missing_file", &["fetch", "load_again"]);
    assert!(lab.is_healthy());
}

#[test]
fn a_release_that_does_not_load_is_rolled_back() {
    let fixes = ["roll_back", "roll_back_manifest", "load_again"];
    for (fault, cause) in [("wrong-opset", "unsupported_release"), ("wrong-shape", "wrong_release")] {
        let lab = broken(&[fault]);
        let fixed = run(&lab, "datacloak-model-load-failure", &[]);
        fixed.ends("resolved", 0).finds(&[cause], "high").does(&fixes);
        assert!(lab.is_healthy(), "{fault}");
    }
}

#[test]
fn corruption_is_recovered_from_the_mirror_and_the_corrupted_file_is_kept() {
    for fault in ["truncated-file", "empty-file", "flipped-bit"] {
        let lab = heals(fault, "datacloak-model-corruption", &[], "damaged", &["replace", "sound", "load_again"]);
        assert!(lab.is_healthy(), "{fault}");
        let entries = fs::read_dir(lab.folder().join("models/column-classifier")).expect("a folder");
        let kept = entries.flatten().filter(|entry| entry.file_name().to_string_lossy().contains(".kept-"));
        assert_eq!(kept.count(), 1, "{fault}");
    }
}

#[test]
fn a_mirror_without_a_good_model_ends_with_people() {
    let lab = broken(&["bad-mirror"]);
    let before = lab.files();
    run(&lab, "datacloak-model-corruption", &[]).ends("unresolved", 1).finds(&["bad_release"], "critical");
    assert!(before == lab.files(), "the files are not as they were");
}

#[test]
fn a_model_is_executed_by_what_there_is() {
    let fixes = ["use_fallback", "reload"];
    let lab = heals("missing-executor", "datacloak-onnx-provider", &[], "nothing_executes", &fixes);
    assert!(lab.is_healthy());
}

#[test]
fn a_model_that_nothing_executes_is_no_broken_model() {
    let lab = broken(&["missing-executor"]);
    let models = fs::read(lab.folder().join("models/column-classifier/model.onnx")).expect("a model");
    let fixed = run(&lab, "datacloak-model-load-failure", &[]);
    fixed.ends("resolved", 0).finds(&["no_executor"], "high").does(&["use_available", "load_again"]);
    assert_eq!(models, fs::read(lab.folder().join("models/column-classifier/model.onnx")).expect("a model"));
}

#[test]
fn columns_that_wait_for_a_batch_no_longer_do() {
    let fixes = ["unbatch", "reload"];
    heals("slow", "datacloak-slow-classification", &[LATENCY], "waits_for_batch", &fixes);
}

#[test]
fn a_slow_model_gives_way_to_the_quantised_one() {
    let inputs = [LATENCY];
    let lab = broken(&["slow-model"]);
    let fixed = run(&lab, "datacloak-slow-classification", &inputs);
    fixed.ends("resolved", 0).does(&["quantise", "reload"]).finds(&["slow_model"], "medium");
    let settings = fs::read_to_string(lab.folder().join("config/overrides.yaml")).expect("a configuration");
    assert!(settings.contains("quantised: true"), "{settings}");
}

#[test]
fn the_best_batch_size_is_configured() {
    let lab = broken(&["batch-of-one"]);
    run(&lab, "datacloak-batch-size-sweep", &[]).ends("resolved", 0).does(&["choose", "reload"]);
    let settings = fs::read_to_string(lab.folder().join("config/overrides.yaml")).expect("a configuration");
    assert!(!settings.contains("batch_size: 1\n"), "{settings}");
}

#[test]
fn an_unbounded_cache_gets_its_bound_back() {
    let inputs = ["max_growth=5", "watch=3s"];
    let fixes = ["bound", "restart"];
    heals("leak", "datacloak-high-memory", &inputs, "unbounded_cache", &fixes);
}

#[test]
fn memory_that_is_used_up_is_given_back() {
    let lab = broken(&["leak"]);
    // More than the service needs, and reached within seconds without a bound.
    run(&lab, "datacloak-high-memory", &["max_growth=1", "watch=3s"]).ends("resolved", 0);
    let fixed = run(&lab, "datacloak-memory-exhaustion", &["critical=1 MB", "cache_columns=16"]);
    assert_eq!(fixed.last()["causes"], serde_json::json!(["service"]), "{}", fixed.everything);
    assert!(fixed.done().is_superset(&["bound", "smaller_batches", "restart"].into()), "{}", fixed.everything);
}

#[test]
fn a_model_that_is_wrong_is_rolled_back() {
    let fixes = ["roll_back", "roll_back_manifest", "load_again"];
    let lab = heals("wrong-labels", "datacloak-low-accuracy", &[], "wrong_model", &fixes);
    assert!(lab.is_healthy());
}

#[test]
fn other_columns_than_the_model_knows_are_left_to_people() {
    let lab = broken(&["shifted-data"]);
    let before = lab.files();
    run(&lab, "datacloak-low-accuracy", &[]).ends("unresolved", 1).finds(&["other_columns"], "high").does(&[]);
    assert!(before == lab.files(), "a file was changed");
}

#[test]
fn features_are_put_right() {
    let (playbook, fixed) = ("datacloak-feature-validation", "reload");
    heals("short-features", playbook, &[], "wrong_length", &["set_length", fixed]);
    heals("nan-features", playbook, &[], "gaps", &["fill_gaps", fixed]);
}

#[test]
fn wrong_features_are_found_behind_low_accuracy_and_behind_a_broken_graph() {
    let lab = broken(&["short-features"]);
    run(&lab, "datacloak-low-accuracy", &[]).ends("resolved", 0).does(&["correct_features"]);
    heals("nan-features", "datacloak-similarity-graph", &[], "invalid_features", &["correct_features"]);
}

#[test]
fn a_model_that_is_right_more_often_than_sure_is_found() {
    let lab = broken(&["underconfident"]);
    let found = run(&lab, "datacloak-confidence-calibration", &[]);
    found.ends("unresolved", 1).finds(&["underconfident"], "medium").does(&[]);
    // Its labels are right, so nothing else is wrong with it.
    run(&lab, "datacloak-low-accuracy", &[]).ends("healthy", 0);
}

#[test]
fn a_service_that_is_down_comes_back_by_way_of_the_rules() {
    let lab = broken(&["crashed"]);
    let fixed = run(&lab, "datacloak-complete-failure", &[]);
    fixed.ends("resolved", 0).finds(&["crashed"], "critical").does(&[
        "fall_back",
        "restart",
        "rules",
        "use_model",
        "reload",
    ]);
    assert!(lab.is_healthy());
    let lab = broken(&["missing-file"]);
    let fixed = run(&lab, "datacloak-complete-failure", &[]);
    fixed.ends("resolved", 0).finds(&["no_model"], "critical");
    let settings = fs::read_to_string(lab.folder().join("config/overrides.yaml")).expect("a configuration");
    assert!(!settings.contains("rules"), "{settings}");
}

#[test]
fn recovery_does_what_is_wrong_needs() {
    for (fault, cause, step) in [
        ("short-features", "bad_features", "correct_features"),
        ("wrong-shape", "down", "recover"),
        ("slow", "degraded", "restart"),
    ] {
        let lab = broken(&[fault]);
        let ended = run(&lab, "datacloak-automated-recovery", &[]);
        assert_eq!(ended.last()["causes"], serde_json::json!([cause]), "{}", ended.everything);
        // A restart does not help against a configuration that makes the service slow.
        let outcome = if fault == "slow" { ("unresolved", 1) } else { ("resolved", 0) };
        ended.ends(outcome.0, outcome.1);
        assert!(ended.done().contains(step), "{}", ended.everything);
    }
}

#[test]
fn the_checks_find_nothing_wrong_with_a_healthy_service() {
    let lab = broken(&[]);
    let before = lab.files();
    let checks = [
        "datacloak-quick-diagnostics",
        "datacloak-health-check",
        "datacloak-daily-health-check",
        "datacloak-confidence-calibration",
        "datacloak-log-heartbeat",
        "datacloak-low-accuracy",
        "datacloak-similarity-graph",
        "datacloak-model-corruption",
        "datacloak-model-load-failure",
        "datacloak-onnx-provider",
    ];
    for check in checks {
        run(&lab, check, &[]).ends("healthy", 0);
    }
    assert!(before == lab.files(), "a file was changed");
}

#[test]
fn the_checks_find_a_model_that_does_not_load() {
    let lab = broken(&["truncated-file"]);
    run(&lab, "datacloak-health-check", &[LATENCY])
        .ends("unresolved", 1)
        .finds(&["not_loading", "not_answering"], "critical");
    run(&lab, "datacloak-log-patterns", &[]).ends("unresolved", 1).finds(&["bad_model", "by_rules"], "critical");
    run(&lab, "datacloak-quick-diagnostics", &[]).ends("unresolved", 1);
}

#[test]
fn evidence_is_packed() {
    let lab = broken(&[]);
    let bundle = lab.folder().join("evidence.tar.gz");
    run(&lab, "datacloak-support-evidence", &[&format!("bundle={}", bundle.display())])
        .ends("resolved", 0)
        .does(&["pack"]);
    assert!(bundle.exists());
}

#[test]
fn an_alert_leads_to_the_response() {
    let manifest = "models/column-classifier/SHA256SUMS";
    for (alert, fault, changed_by_the_fix) in [
        ("datacloak-alert-accuracy-drop", "wrong-labels", manifest),
        ("datacloak-alert-high-latency", "slow", "config/overrides.yaml"),
        ("datacloak-alert-error-rate", "short-features", "config/overrides.yaml"),
    ] {
        let lab = broken(&[fault]);
        let file = lab.folder().join(changed_by_the_fix);
        let bad = fs::read(&file).expect("a file of the lab");
        // Stands in for Prometheus: the rule fires for as long as the fault is there.
        let prometheus = serve(move |_| {
            let fires = fs::read(&file).is_ok_and(|now| now == bad);
            let series = if fires { r#"{"metric": {}, "value": [0, "1"]}"# } else { "" };
            format!(r#"{{"status": "success", "data": {{"resultType": "vector", "result": [{series}]}}}}"#)
        });
        run(&lab, alert, &[&format!("prometheus={prometheus}")]).ends("resolved", 0).does(&["respond"]);
    }
}
