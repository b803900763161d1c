//! What a platform that classifies columns does around its model: takes features from columns, keeps
//! them, classifies batch by batch, and counts how well that goes.

mod cache;
mod quality;
mod rules;
mod traffic;

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::json;

use crate::columns::{self, Column};
use crate::error::LabError;
use crate::folder::Folder;
use crate::platform::overrides::ColumnSettings;
use crate::profile::ProviderSpec;
use cache::{Cache, OutOfMemory};
pub use quality::Told;
use quality::{Classified, Quality};
pub use rules::Guess;
use rules::classify as classify_by_rules;

/// Columns of a table that comes in every half second.
const TABLE: usize = 32;
/// Columns whose features are written down for statistics: a round through all that come in.
const RECENT: usize = 256;

pub struct Classifier {
    traffic: PathBuf,
    samples: PathBuf,
    recent: PathBuf,
    width: usize,
    state: Mutex<State>,
}

struct State {
    columns: Vec<Column>,
    next: usize,
    cache: Cache,
    quality: Quality,
    /// The features of the last round through the columns.
    recent: VecDeque<Vec<f32>>,
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
    pub fn new(spec: &ProviderSpec, folder: &Folder) -> Result<Self, LabError> {
        let (traffic, samples, recent) = (folder.traffic_file(), folder.samples_file(), folder.recent_file());
        let columns = columns::read(&traffic, spec.features)?;
        let (cache, quality) = (Cache::default(), Quality::default());
        let state = State { columns, next: 0, cache, quality, recent: VecDeque::new() };
        Ok(Classifier { traffic, samples, recent, width: spec.features, state: Mutex::new(state) })
    }

    /// Reads the columns that come in again, since a fault may have changed them, and empties the cache.
    pub fn reload(&self) -> Result<(), LabError> {
        let columns = columns::read(&self.traffic, self.width)?;
        let mut state = self.state();
        state.columns = columns;
        state.cache.clear();
        state.quality.forget();
        state.recent.clear();
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

    /// Writes the features of a table down, and with them those of the last tables.
    fn write_down(&self, extracted: &[Extracted]) -> std::io::Result<()> {
        let rows: Vec<&[f32]> = extracted.iter().map(|row| row.features.as_slice()).collect();
        let labels: Vec<usize> = extracted.iter().map(|row| row.column.label).collect();
        // JSON has no NaN, so it becomes `null`.
        replace(&self.samples, json!({"features": rows, "labels": labels}).to_string().as_bytes())?;
        replace(&self.recent, &self.recent_bytes(extracted))
    }

    /// The features of the last tables as plain little-endian numbers.
    fn recent_bytes(&self, extracted: &[Extracted]) -> Vec<u8> {
        let mut state = self.state();
        state.recent.extend(extracted.iter().map(|row| row.features.clone()));
        let surplus = state.recent.len().saturating_sub(RECENT);
        state.recent.drain(..surplus);
        state.recent.iter().flatten().flat_map(|number| number.to_le_bytes()).collect()
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

/// Whoever reads the file must never see half of it.
fn replace(path: &Path, content: &[u8]) -> std::io::Result<()> {
    let partial = path.with_extension("partial");
    std::fs::write(&partial, content)?;
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
