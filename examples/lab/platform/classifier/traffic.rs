//! The own traffic of a platform that classifies columns: a table at a time, batch by batch.

use std::time::Duration;

use ndarray::{ArrayD, IxDyn};
use runbook::model::Tensor;

use super::{Classified, Classifier, Extracted, Guess, classify_by_rules, judge, most_likely};
use crate::platform::overrides::{ColumnSettings, Mode};
use crate::platform::provider::Provider;
use crate::platform::{Caller, Platform};

/// A column that takes longer is written down.
const SLOW: Duration = Duration::from_millis(50);

impl Platform {
    /// Classifies the next table with the model, as its settings say.
    pub async fn classify_table(&self, classifier: &Classifier, provider: &Provider) {
        let settings = provider.settings().columns.unwrap_or_default();
        if settings.mode == Mode::Rules {
            return;
        }
        match classifier.extract(classifier.table(), &settings) {
            Ok(extracted) => self.classify_extracted(classifier, provider, extracted, &settings).await,
            Err(error) => {
                self.log.error("memory_pool", &error.to_string());
                let failed = Classified { took: Duration::ZERO, right: None };
                classifier.remember(provider.generation(), [failed; super::TABLE]);
            }
        }
    }

    async fn classify_extracted(
        &self,
        classifier: &Classifier,
        provider: &Provider,
        extracted: Vec<Extracted>,
        settings: &ColumnSettings,
    ) {
        if let Some(Extracted { column, features }) = extracted.first() {
            let count = features.len();
            self.log.info("feature_extractor", &format!("Extracted {count} features for column '{}'", column.name));
        }
        for batch in extracted.chunks(settings.batch_size.max(1)) {
            self.classify_batch(classifier, provider, batch).await;
        }
        // The files are for checks; the service goes on without them.
        drop(classifier.write_down(&extracted));
    }

    async fn classify_batch(&self, classifier: &Classifier, provider: &Provider, batch: &[Extracted]) {
        let generation = provider.generation();
        let started = self.clock.elapsed();
        let inputs = vec![(provider.spec.input.to_owned(), rows(batch))];
        let answers = self.infer(provider, batch.len(), inputs, Caller::Platform).await;
        let took = self.clock.elapsed() - started;
        let probabilities = answers.as_ref().ok().and_then(|answers| numbers(answers));
        self.note_batch(batch, probabilities.as_deref(), took);
        classifier.remember(generation, judge(batch, probabilities.as_deref(), took));
    }

    fn note_batch(&self, batch: &[Extracted], probabilities: Option<&[f32]>, took: Duration) {
        let (Some(first), Some(numbers)) = (batch.first(), probabilities) else {
            self.log.warning("ml_classifier", "Falling back to rule-based classification");
            return;
        };
        let (class, confidence) = most_likely(&numbers[..numbers.len() / batch.len()]);
        let what = format!("Classified '{}' as type_{class} (confidence: {confidence:.2})", first.column.name);
        self.log.info("ml_classifier", &what);
        if took > SLOW {
            let what = format!("Classification took {}ms (threshold: {}ms)", took.as_millis(), SLOW.as_millis());
            self.log.warning("ml_classifier", &what);
        }
    }

    /// Classifies the values of a column by rules, which works in every mode.
    pub fn classify_values(&self, values: &[String]) -> Option<Guess> {
        self.log.warning("ml_classifier", "Falling back to rule-based classification");
        classify_by_rules(values)
    }
}

/// The features of the rows as the model takes them.
fn rows(batch: &[Extracted]) -> Tensor {
    let width = batch.first().map_or(0, |row| row.features.len());
    let numbers: Vec<f32> = batch.iter().flat_map(|row| row.features.iter().copied()).collect();
    // Every row was cut to the same width.
    Tensor::F32(ArrayD::from_shape_vec(IxDyn(&[batch.len(), width]), numbers).unwrap_or_default())
}

fn numbers(answers: &[(String, Tensor)]) -> Option<Vec<f32>> {
    match answers.first() {
        Some((_, Tensor::F32(numbers))) => Some(numbers.iter().copied().collect()),
        _ => None,
    }
}
