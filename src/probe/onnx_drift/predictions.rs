//! Drift of what a model predicts for the rows.

use super::{Config, ROWS_A_BIN};
use crate::kind::StepError;
use crate::probe::onnx::{Answers, Data, Feed, MOST_ITEMS, Scores, Session};
use crate::statistics::{
    KolmogorovSmirnov, Sorted, class_shares, evenness, kolmogorov_smirnov, psi_limit, share_index,
};

/// Each pair is of the reference and of now.
pub(super) struct Predictions {
    pub psi: f64,
    pub limit: f64,
    pub confidence: KolmogorovSmirnov,
    pub evenness: (f64, f64),
    /// Of the first classes.
    pub shares: (Vec<f64>, Vec<f64>),
}

impl Predictions {
    pub(super) fn moved(&self, config: &Config) -> bool {
        let certain = self.confidence.p_value < config.alpha && self.confidence.statistic >= config.min_distance;
        self.psi > self.limit || certain
    }

    pub(super) fn collapsed(&self, config: &Config) -> bool {
        self.evenness.1 < self.evenness.0 * config.min_evenness
    }
}

pub(super) fn compare(config: &Config, session: &Session<'_>) -> Result<Predictions, StepError> {
    let (before, now) = (scores(config, session, &config.reference)?, scores(config, session, &config.current)?);
    let then = class_shares(&before.predictions()?, before.classes);
    let today = class_shares(&now.predictions()?, now.classes);
    let (n, m) = (before.rows().len(), now.rows().len());
    let (pooled_then, pooled_today) = pooled(&then, &today, ROWS_A_BIN as f64 / n.min(m) as f64);
    let sorted = |scores: &Scores| Sorted::new(scores.confidences());
    let confidence = sorted(&before).zip(sorted(&now)).map(|(before, now)| kolmogorov_smirnov(&before, &now));
    Ok(Predictions {
        psi: share_index(&pooled_then, &pooled_today),
        limit: psi_limit(config.max_psi, n, m, pooled_then.len(), config.alpha),
        confidence: confidence.ok_or_else(|| StepError::new("bug: confidence that is no number"))?,
        evenness: (evenness(&then), evenness(&today)),
        shares: (first(&then), first(&today)),
    })
}

fn scores(config: &Config, session: &Session<'_>, data: &Data) -> Result<Scores, StepError> {
    let model = config.model.as_deref().unwrap_or(std::path::Path::new(""));
    let feed = Feed::read(session.model.inputs(), data, model)?;
    Answers::of(session, &feed, config.batch)?.scores(config.output.as_deref())
}

/// The shares with all classes that are rare in the reference taken together: each alone has too few rows to compare.
fn pooled(then: &[f64], today: &[f64], rare: f64) -> (Vec<f64>, Vec<f64>) {
    let (mut kept, mut rest) = ((Vec::new(), Vec::new()), (0.0, 0.0));
    for (then, today) in then.iter().zip(today) {
        if *then < rare {
            rest = (rest.0 + then, rest.1 + today);
        } else {
            kept.0.push(*then);
            kept.1.push(*today);
        }
    }
    if rest != (0.0, 0.0) {
        kept.0.push(rest.0);
        kept.1.push(rest.1);
    }
    kept
}

fn first(shares: &[f64]) -> Vec<f64> {
    shares.iter().take(MOST_ITEMS).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rare_classes_are_taken_together() {
        let (then, today) = pooled(&[0.9, 0.06, 0.04, 0.0], &[0.5, 0.1, 0.1, 0.3], 0.1);
        assert_eq!((then[0], today[0], then.len()), (0.9, 0.5, 2));
        assert!((then[1] - 0.1).abs() < 1e-12 && (today[1] - 0.5).abs() < 1e-12);
        assert_eq!(pooled(&[1.0, 0.0], &[1.0, 0.0], 0.1).0, [1.0]);
    }
}
