//! What a platform that classifies columns does around its model: takes features from columns, keeps
//! them, classifies batch by batch, and counts how well that goes.

mod cache;
mod quality;
mod rules;
mod traffic;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::json;

use crate::columns::{self, Column};
use crate::error::LabError;
use crate::platform::overrides::ColumnSettings;
use crate::profile::ProviderSpec;
use cache::{Cache, OutOfMemory};
pub use quality::Told;
use quality::{Classified, Quality};
pub use rules::Guess;
use rules::classify as classify_by_rules;

/// Columns of a table that comes in every half second.
const TABLE: usize = 32;

pub struct Classifier {
    traffic: PathBuf,
    samples: PathBuf,
    width: usize,
    state: Mutex<State>,
}

struct State {
    columns: Vec<Column>,
    next: usize,
    cache: Cache,
    quality: Quality,
}

/// Columns with the features that were taken from them.
struct Extracted {
    column: Column,
    features: Vec<f32>,
}

/// What the metrics page says.
pub struct Numbers {
    pub told: Option<Told>,
    pub total: u64,
    pub cached_columns: usize,
    pub cached_bytes: usize,
}

impl Classifier {
    /// `traffic` holds the columns that come in, `samples` is where the last features are written to.
    pub fn new(spec: &ProviderSpec, traffic: PathBuf, samples: PathBuf) -> Result<Self, LabError> {
        let columns = columns::read(&traffic, spec.features)?;
        let state = State { columns, next: 0, cache: Cache::default(), quality: Quality::default() };
        Ok(Classifier { traffic, samples, width: spec.features, state: Mutex::new(state) })
    }

    /// Reads the columns that come in again, since a fault may have changed them, and empties the cache.
    pub fn reload(&self) -> Result<(), LabError> {
        let columns = columns::read(&self.traffic, self.width)?;
        let mut state = self.state();
        state.columns = columns;
        state.cache.clear();
        state.quality.forget();
        Ok(())
    }

    /// The columns of the next table.
    fn table(&self) -> Vec<Column> {
        let mut state = self.state();
        let start = state.next;
        state.next = (start + TABLE) % state.columns.len().max(1);
        state.columns.iter().cycle().skip(start).take(TABLE).cloned().collect()
    }

    /// Takes the features from columns and keeps them.
    fn extract(&self, columns: Vec<Column>, settings: &ColumnSettings) -> Result<Vec<Extracted>, OutOfMemory> {
        let mut state = self.state();
        columns
            .into_iter()
            .map(|column| {
                let features = features(&column, settings);
                state.cache.keep(&features, settings.cache_columns)?;
                Ok(Extracted { column, features })
            })
            .collect()
    }

    fn remember(&self, generation: u64, columns: impl IntoIterator<Item = Classified>) {
        self.state().quality.remember(generation, columns);
    }

    /// `generation` is that of the model and the settings in use.
    pub fn numbers(&self, generation: u64) -> Numbers {
        let state = self.state();
        Numbers {
            told: state.quality.tell(generation),
            total: state.quality.total,
            cached_columns: state.cache.len(),
            cached_bytes: state.cache.bytes(),
        }
    }

    fn samples(&self) -> &Path {
        &self.samples
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change is complete before anything can fail.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn features(column: &Column, settings: &ColumnSettings) -> Vec<f32> {
    let fill = |number: &f32| if settings.fill_missing && number.is_nan() { 0.0 } else { *number };
    column.features.iter().take(settings.feature_length).map(fill).collect()
}

/// Writes the features of a table for checks from outside; JSON has no NaN, so it becomes `null`. Blocking.
fn write_samples(path: &Path, rows: &[Vec<f32>], labels: &[usize]) -> std::io::Result<()> {
    let partial = path.with_extension("partial");
    std::fs::write(&partial, json!({"features": rows, "labels": labels}).to_string())?;
    // Whoever reads it must never see half of it.
    std::fs::rename(&partial, path)
}

/// How each of the rows was classified that took so long together.
fn judge(extracted: &[Extracted], probabilities: Option<&[f32]>, took: Duration) -> Vec<Classified> {
    let width = probabilities.map_or(1, |numbers| numbers.len() / extracted.len().max(1)).max(1);
    let rows = |index: usize| probabilities.and_then(|numbers| numbers.chunks(width).nth(index));
    let right = |(index, row): (usize, &Extracted)| rows(index).map(|answer| most_likely(answer).0 == row.column.label);
    extracted.iter().enumerate().map(|row| Classified { took, right: right(row) }).collect()
}

/// The class with the largest number, and that number.
fn most_likely(answer: &[f32]) -> (usize, f32) {
    let largest = answer.iter().copied().enumerate().max_by(|(_, left), (_, right)| left.total_cmp(right));
    largest.unwrap_or((usize::MAX, 0.0))
}
