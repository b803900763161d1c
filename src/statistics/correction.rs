//! Many tests at once: of 376 columns that did not change, 19 have a p-value below 0.05.

use serde::{Deserialize, Serialize};

/// How p-values are adjusted for their number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Correction {
    /// Bonferroni: at most a share of `alpha` of all checks raises even one false alarm. Strict.
    Bonferroni,
    /// Benjamini and Hochberg (1995): of the alarms raised, a share of `alpha` is false. Finds more.
    FalseDiscovery,
    /// Each column by itself.
    None,
}

/// P-values in the same order, adjusted so that they can be compared with the one `alpha`.
///
/// Bonferroni multiplies by the number of tests. Benjamini and Hochberg multiply the i-th smallest of m by m/i and take the
/// smallest such number from there on upwards (`scipy.stats.false_discovery_control`).
pub fn adjusted(p_values: &[f64], correction: Correction) -> Vec<f64> {
    let count = p_values.len() as f64;
    match correction {
        Correction::Bonferroni => p_values.iter().map(|p| (p * count).min(1.0)).collect(),
        Correction::FalseDiscovery => false_discovery(p_values),
        Correction::None => p_values.to_vec(),
    }
}

fn false_discovery(p_values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|left, right| p_values[*left].total_cmp(&p_values[*right]));
    let mut adjusted = vec![1.0; p_values.len()];
    let mut least = 1.0_f64;
    for (rank, place) in order.iter().enumerate().rev() {
        least = least.min(p_values[*place] * p_values.len() as f64 / (rank + 1) as f64);
        adjusted[*place] = least;
    }
    adjusted
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn corrections_are_ordered_by_strictness(p_values in prop::collection::vec(0.0..=1.0_f64, 0..60)) {
            let strict = adjusted(&p_values, Correction::Bonferroni);
            let mild = adjusted(&p_values, Correction::FalseDiscovery);
            for ((raw, mild), strict) in p_values.iter().zip(&mild).zip(&strict) {
                prop_assert!(raw <= &(mild + 1e-15) && mild <= &(strict + 1e-15) && *strict <= 1.0);
            }
        }

        #[test]
        fn the_order_of_tests_does_not_matter(p_values in prop::collection::vec(0.0..=1.0_f64, 1..60)) {
            let reversed: Vec<f64> = p_values.iter().rev().copied().collect();
            let mut back = adjusted(&reversed, Correction::FalseDiscovery);
            back.reverse();
            prop_assert_eq!(adjusted(&p_values, Correction::FalseDiscovery), back);
        }
    }
}
