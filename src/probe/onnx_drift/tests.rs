//! Drift of real rows, of made-up columns, and of predictions.

use serde_json::json;

use super::*;
use crate::probe::onnx::testing::{fixture, model, rows};

async fn run(config: Value) -> StepResult<Output> {
    Step::run(serde_json::from_value(config).unwrap(), Context::for_tests()).await
}

#[tokio::test]
async fn fresh_rows_of_the_same_kind_are_stable() {
    for correction in ["bonferroni", "false_discovery"] {
        let config = json!({"model": model(), "reference": rows("reference"), "current": rows("valid"), "correction": correction});
        let outcome = run(config).await.unwrap();
        assert_eq!(outcome.failure, None, "{correction}");
        let output = outcome.output;
        assert_eq!((&*output.verdict, output.columns, output.moved_columns, output.bins), ("stable", 376, 0, 10));
        // (1/256 + 1/256) (10 - 1)
        assert_eq!(output.psi_noise, 0.0703125);
        assert!(
            output.worst_psi < output.psi_limit
                && output.prediction_psi.unwrap() < output.prediction_psi_limit.unwrap()
        );
    }
}

#[tokio::test]
async fn rows_that_moved_are_found_column_by_column() {
    let config = json!({"reference": rows("reference"), "current": rows("shifted")});
    let outcome = run(config).await.unwrap();
    let output = outcome.output;
    // The generator moves the first 125 of 376 columns by 1.5 standard deviations.
    assert_eq!((&*output.verdict, output.moved_columns), ("columns_moved", 125));
    assert!(output.worst_column < 125 && output.worst.iter().all(|column| column.moved && column.column < 125));
    assert!(output.worst_psi > 1.5 && output.engine.is_none() && output.prediction_psi.is_none());
    assert!(outcome.failure.unwrap().contains("125 of 376 columns moved"));
    let tolerant = json!({"reference": rows("reference"), "current": rows("shifted"), "max_moved": 125});
    assert_eq!(run(tolerant).await.unwrap().output.verdict, "stable");
}

#[tokio::test]
async fn a_model_tells_whether_the_drift_matters() {
    let config = json!({"model": model(), "reference": rows("reference"), "current": rows("shifted")});
    let output = run(config).await.unwrap().output;
    assert_eq!(output.verdict, "predictions_moved");
    assert_eq!(output.engine.as_deref(), Some("rten"));
    assert!(output.confidence_p_value.unwrap() < 0.05);
    assert!((output.current_shares.unwrap().iter().sum::<f64>() - 1.0).abs() < 1e-9);
}

fn stored(folder: &tempfile::TempDir, name: &str, rows: &[Vec<f64>]) -> Value {
    let file = folder.path().join(name);
    std::fs::write(&file, serde_json::to_vec(rows).unwrap()).unwrap();
    json!({"file": file})
}

#[tokio::test]
async fn predictions_of_one_class_have_collapsed() {
    let folder = tempfile::tempdir().unwrap();
    let data = Data { file: rows("valid")["file"].as_str().unwrap().into(), shape: None, array: None };
    let one = data.read_rows(None, "features").unwrap().swap_remove(0);
    let current = stored(&folder, "one.json", &vec![one; 60]);
    let config = json!({"model": model(), "reference": rows("reference"), "current": current});
    let outcome = run(config).await.unwrap();
    assert_eq!((&*outcome.output.verdict, outcome.output.current_evenness), ("collapsed", Some(0.0)));
    // 60 rows do not fill ten intervals.
    assert_eq!(outcome.output.bins, 3);
    assert!(outcome.failure.unwrap().contains("collapsed to few classes"));
}

#[tokio::test]
async fn a_harmless_change_of_very_many_rows_is_not_drift() {
    let folder = tempfile::tempdir().unwrap();
    let ramp = |shift: f64| (0..4000).map(|row| vec![f64::from(row) / 4000.0 + shift]).collect::<Vec<_>>();
    let (reference, current) = (stored(&folder, "a.json", &ramp(0.0)), stored(&folder, "b.json", &ramp(0.05)));
    let config = |distance: f64| json!({"reference": reference, "current": current, "min_distance": distance});
    let outcome = run(config(0.15)).await.unwrap();
    assert_eq!(outcome.output.verdict, "stable");
    assert!(outcome.output.worst[0].p_value < 0.001);
    assert_eq!(run(config(0.01)).await.unwrap().output.verdict, "columns_moved");
}

#[tokio::test]
async fn what_cannot_be_compared_is_an_error() {
    let message = async |config: Value| run(config).await.unwrap_err().message;
    let folder = tempfile::tempdir().unwrap();
    let narrow = stored(&folder, "narrow.json", &vec![vec![1.0]; 50]);
    let few = stored(&folder, "few.json", &vec![vec![1.0]; 39]);
    assert!(message(json!({"reference": rows("reference"), "current": narrow})).await.contains("376 columns"));
    assert!(message(json!({"reference": narrow, "current": few})).await.contains("39 rows are too few"));
    let file = folder.path().join("missing.csv");
    std::fs::write(&file, "1\n".repeat(49) + "nan\n").unwrap();
    assert!(message(json!({"reference": narrow, "current": {"file": file}})).await.contains("row 49, column 0 is NaN"));
    let broken = json!({"model": fixture("bad_empty"), "reference": narrow, "current": narrow});
    assert!(message(broken).await.contains("does not load"));
    assert!(message(json!({"reference": narrow, "current": narrow, "alpha": 0})).await.contains("alpha"));
}
