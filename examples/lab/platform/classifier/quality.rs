//! How the last columns were classified: time, truth, failures. The four numbers that alerts watch.

use std::collections::VecDeque;
use std::time::Duration;

/// One round through the columns with known types.
const REMEMBERED: usize = 256;
/// Fewer columns would make every mistake an alarm.
const TOLD_FROM: usize = 64;

/// How a column was classified.
#[derive(Clone, Copy)]
pub struct Classified {
    pub took: Duration,
    /// `None` when the model gave no answer.
    pub right: Option<bool>,
}

#[derive(Default)]
pub struct Quality {
    recent: VecDeque<Classified>,
    /// Of the settings and the model that the columns were classified with.
    generation: u64,
    /// Since the start.
    pub total: u64,
}

/// What is told about the last columns; nothing while they are few.
pub struct Told {
    pub mean_milliseconds: f64,
    pub accuracy: Option<f64>,
    pub error_percent: f64,
}

impl Quality {
    /// Remembers columns, and forgets those of an earlier generation.
    pub fn remember(&mut self, generation: u64, columns: impl IntoIterator<Item = Classified>) {
        if generation < self.generation {
            return;
        }
        if generation > self.generation {
            self.generation = generation;
            self.recent.clear();
        }
        for column in columns {
            if self.recent.len() == REMEMBERED {
                self.recent.pop_front();
            }
            self.recent.push_back(column);
            self.total += 1;
        }
    }

    /// Other columns come in from now on.
    pub fn forget(&mut self) {
        self.recent.clear();
    }

    /// `generation` is the present one; columns of an earlier one say nothing about it.
    pub fn tell(&self, generation: u64) -> Option<Told> {
        if self.recent.len() < TOLD_FROM || self.generation != generation {
            return None;
        }
        let count = self.recent.len() as f64;
        let answered: Vec<bool> = self.recent.iter().filter_map(|column| column.right).collect();
        let right = answered.iter().filter(|right| **right).count() as f64;
        Some(Told {
            mean_milliseconds: self.recent.iter().map(|column| column.took.as_secs_f64()).sum::<f64>() / count * 1000.0,
            accuracy: (!answered.is_empty()).then(|| right / answered.len() as f64),
            error_percent: (count - answered.len() as f64) / count * 100.0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_failed_is_an_error_and_not_a_wrong_answer() {
        let mut quality = Quality::default();
        let column = |right| Classified { took: Duration::from_millis(10), right };
        quality.remember(1, [Some(true), Some(false), Some(true), None].map(column).into_iter().cycle().take(128));
        assert!(quality.tell(2).is_none());
        let told = quality.tell(1).unwrap();
        assert!((told.mean_milliseconds - 10.0).abs() < 1e-9 && (told.error_percent - 25.0).abs() < 1e-9);
        assert!((told.accuracy.unwrap() - 2.0 / 3.0).abs() < 1e-9);
        quality.remember(0, [column(None)]);
        quality.remember(2, [column(None)]);
        assert!(quality.tell(2).is_none());
        assert_eq!(quality.total, 129);
    }
}
