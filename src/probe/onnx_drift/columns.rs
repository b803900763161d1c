//! Drift of the rows themselves, column by column.

use schemars::JsonSchema;
use serde::Serialize;

use super::{Config, ROWS_A_BIN};
use crate::kind::StepError;
use crate::model::golden::Values;
use crate::probe::onnx::MOST_ITEMS;
use crate::statistics::{
    Correction, KolmogorovSmirnov, ReferenceBins, Sorted, adjusted, kolmogorov_smirnov, mean, psi_limit, psi_noise,
};

/// How far one column moved.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Column {
    /// Counted from 0.
    pub column: usize,
    /// The population stability index.
    pub psi: f64,
    /// The distance of the Kolmogorov-Smirnov test.
    distance: f64,
    /// The p-value of that test, adjusted for the number of columns.
    pub p_value: f64,
    /// Whether it moved by more than the limits.
    pub moved: bool,
    /// The mean in the reference.
    reference_mean: f64,
    /// The mean now.
    current_mean: f64,
}

/// All columns together.
pub(super) struct Columns {
    pub count: usize,
    pub moved: usize,
    pub limit: f64,
    pub noise: f64,
    pub bins: usize,
    /// Of the reference and of now.
    pub rows: (usize, usize),
    /// The largest index first.
    pub worst: Vec<Column>,
}

struct Measured {
    psi: f64,
    bins: usize,
    test: KolmogorovSmirnov,
    means: (f64, f64),
}

pub(super) fn compare(config: &Config, reference: &Values, current: &Values) -> Result<Columns, StepError> {
    let (width, other) = (reference.shape[1], current.shape[1]);
    if width != other {
        return Err(StepError::new(format!("the reference has {width} columns, the rows of now have {other}"))
            .help("give two files with the same columns in the same order"));
    }
    let rows = (reference.shape[0], current.shape[0]);
    let bins = config.bins.min(rows.0.min(rows.1) / ROWS_A_BIN);
    let measured: Option<Vec<Measured>> =
        (0..width).map(|column| measure(&values_of(reference, column), &values_of(current, column), bins)).collect();
    let measured = measured.ok_or_else(|| StepError::new("bug: a column without numbers"))?;
    let p_values: Vec<f64> = measured.iter().map(|column| column.test.p_value).collect();
    let p_values = adjusted(&p_values, config.correction);
    // The limit of each column allows for the number of columns as the test does.
    let alpha = if config.correction == Correction::None { config.alpha } else { config.alpha / width as f64 };
    let limit = |bins| psi_limit(config.max_psi, rows.0, rows.1, bins, alpha);
    let judged = measured.iter().zip(p_values).enumerate().map(|(column, (measured, p_value))| Column {
        column,
        psi: measured.psi,
        distance: measured.test.statistic,
        p_value,
        moved: measured.psi > limit(measured.bins)
            || (p_value < config.alpha && measured.test.statistic >= config.min_distance),
        reference_mean: measured.means.0,
        current_mean: measured.means.1,
    });
    let mut worst: Vec<Column> = judged.collect();
    let moved = worst.iter().filter(|column| column.moved).count();
    worst.sort_by(|left, right| right.psi.total_cmp(&left.psi));
    worst.truncate(MOST_ITEMS);
    let noise = psi_noise(rows.0, rows.1, bins);
    Ok(Columns { count: width, moved, limit: limit(bins), noise, bins, rows, worst })
}

fn values_of(table: &Values, column: usize) -> Vec<f64> {
    table.data.iter().skip(column).step_by(table.shape[1]).copied().collect()
}

fn measure(reference: &[f64], current: &[f64], bins: usize) -> Option<Measured> {
    let means = (mean(reference)?, mean(current)?);
    let (reference, current) = (Sorted::new(reference.to_vec())?, Sorted::new(current.to_vec())?);
    let cut = ReferenceBins::new(&reference, bins);
    Some(Measured {
        psi: cut.index(&current),
        bins: cut.count(),
        test: kolmogorov_smirnov(&reference, &current),
        means,
    })
}
