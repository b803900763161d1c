//! Which execution provider runs a model, and how two engines compare, judged by the real program.

use serde_json::{Value, json};

use crate::models::{Desk, LIMIT, fixture_path, root};
use crate::support::Runbook;

fn classifier() -> Value {
    json!(root().join("models/column-classifier/model.onnx"))
}

#[tokio::test]
async fn every_node_is_told_with_the_provider_that_ran_it() {
    let Some(desk) = Desk::with_onnxruntime().await else { return };
    let config = json!({"model": classifier(), "required": "cpu", "rows": 4});
    let outcome = desk.run("onnx_provider", config, LIMIT).await.unwrap();
    assert_eq!(outcome.failure, None);
    let output = outcome.output;
    assert_eq!((&output["verdict"], &output["provider"]), (&json!("first_choice"), &json!("cpu")));
    assert!(output["nodes"].as_u64().unwrap() >= 1, "{output}");
    assert_eq!(output["nodes_by_provider"], json!({"cpu": output["nodes"]}));
    assert_eq!((&output["fallen_back"], &output["engine"]), (&json!([]), &json!("onnxruntime")));
}

/// The libraries that the script brings have no CUDA, and the one of the wheel has a provider for calls to the network,
/// which takes no node of this model.
#[tokio::test]
async fn the_cpu_does_not_hide_that_a_better_provider_is_missing() {
    let Some(desk) = Desk::with_onnxruntime().await else { return };
    let order = json!({"model": classifier(), "preferred": ["cuda", "azure", "cpu"]});
    let outcome = desk.run("onnx_provider", order, LIMIT).await.unwrap();
    assert_eq!(outcome.failure, None);
    let output = outcome.output;
    assert_eq!((&output["verdict"], &output["fell_back"]), (&json!("fell_back"), &json!(true)));
    let [cuda, azure, cpu] = output["attempts"].as_array().unwrap().as_slice() else { panic!("{output}") };
    assert_eq!(cuda["outcome"], "not_registered");
    assert!(cuda["why"].as_str().unwrap().contains("CUDA"), "{cuda}");
    assert!(["none", "not_registered"].contains(&azure["outcome"].as_str().unwrap()), "{azure}");
    assert_eq!((&cpu["outcome"], &cpu["why"]), (&json!("all"), &Value::Null));

    let required = json!({"model": classifier(), "required": "cuda"});
    let outcome = desk.run("onnx_provider", required, LIMIT).await.unwrap();
    assert_eq!((&outcome.output["verdict"], &outcome.output["provider"]), (&json!("unavailable"), &Value::Null));
    let why = outcome.failure.unwrap();
    assert!(why.starts_with("no node runs on cuda, and a service that asks for it computes on the CPU"), "{why}");
}

#[tokio::test]
async fn a_broken_model_is_no_matter_of_providers() {
    let Some(desk) = Desk::with_onnxruntime().await else { return };
    for (file, fault) in [("bad_truncated.onnx", "malformed"), ("bad_dangling.onnx", "dangling_name")] {
        let config = json!({"model": fixture_path(file), "preferred": ["cuda", "cpu"]});
        let error = desk.run("onnx_provider", config, LIMIT).await.unwrap_err();
        assert!(error.message.contains(&format!("does not load ({fault})")), "{error}");
    }
}

#[tokio::test]
async fn where_no_profile_can_be_written_nothing_is_claimed() {
    let Some(desk) = Desk::with_onnxruntime().await else { return };
    let library = desk.site.models.onnxruntime.clone().unwrap();
    let runbook = playbook("required: cpu")
        .variable("ORT_DYLIB_PATH", library.display().to_string())
        .variable("TMPDIR", "/nowhere/at/all");
    let done = runbook.call("run provider.yaml").exits(5);
    done.says("cannot tell which provider ran each node").says("folder for temporary files");
}

fn playbook(asked: &str) -> Runbook {
    let model = classifier();
    let text = format!(
        "runbook: 1\nname: provider\ntitle: The model runs where it should\ndetect:\n  any:\n    place:\n      \
         onnx_provider: {{model: {model}, {asked}}}\n      holds: fell_back\n"
    );
    Runbook::new().file("provider.yaml", text)
}

#[test]
fn the_embedded_engine_says_that_it_cannot_tell() {
    let done = playbook("preferred: [cuda, cpu]").call("run provider.yaml").exits(5);
    done.says("the embedded engine (rten) has no execution providers").says("get-onnxruntime.sh");
}

#[tokio::test]
async fn two_engines_are_compared_on_one_model() {
    let Some(desk) = Desk::with_onnxruntime().await else { return };
    let compare = async |old: &str, new: &str| {
        let file = classifier();
        let config = json!({"old": file, "new": file, "old_engine": old, "new_engine": new, "runs": 3});
        desk.run("onnx_compare", config, LIMIT).await.unwrap()
    };
    for (old, new) in [("onnxruntime", "embedded"), ("embedded", "onnxruntime")] {
        let outcome = compare(old, new).await;
        assert_eq!((&outcome.output["verdict"], outcome.failure), (&json!("equivalent"), None));
        let name = |engine: &str| if engine == "embedded" { "rten" } else { "onnxruntime" };
        assert_eq!((&outcome.output["engine"], &outcome.output["new_engine"]), (&json!(name(old)), &json!(name(new))));
        // Two engines never compute the same to the last bit.
        assert!(outcome.output["max_difference"].as_f64().unwrap() > 0.0, "{}", outcome.output);
    }
}
