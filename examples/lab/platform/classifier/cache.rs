//! The cache of extracted features: bounded by columns, and by the memory that the pool has.

use std::collections::VecDeque;

/// The text of a column that is kept with its features, to extract more of them later.
const TEXT_BYTES: usize = 64 * 1024;
/// A lab that is forgotten with an unbounded cache must not take the machine down.
const POOL_BYTES: usize = 512 * 1024 * 1024;

#[derive(Default)]
pub struct Cache {
    entries: VecDeque<Entry>,
}

struct Entry {
    features: Vec<f32>,
    text: Vec<u8>,
}

/// The pool is used up.
#[derive(Debug, thiserror::Error)]
#[error("Failed to allocate feature vector: out of memory")]
pub struct OutOfMemory;

impl Cache {
    /// Keeps the features of a column, and lets the oldest ones go that are too many. 0 is no bound.
    pub fn keep(&mut self, features: &[f32], most: usize) -> Result<(), OutOfMemory> {
        if most > 0 {
            self.entries.drain(..(self.entries.len() + 1).saturating_sub(most).min(self.entries.len()));
        }
        if self.bytes() + TEXT_BYTES > POOL_BYTES {
            return Err(OutOfMemory);
        }
        self.entries.push_back(Entry { features: features.to_vec(), text: vec![b'x'; TEXT_BYTES] });
        Ok(())
    }

    pub fn clear(&mut self) {
        self.entries = VecDeque::new();
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn bytes(&self) -> usize {
        self.entries.iter().map(|entry| entry.text.len() + size_of_val(entry.features.as_slice())).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_holds_and_takes_effect_on_what_is_there() {
        let mut cache = Cache::default();
        let mut kept = |count: usize, most: usize| {
            (0..count).for_each(|_| cache.keep(&[0.0; 376], most).unwrap());
            cache.len()
        };
        assert_eq!([kept(5, 0), kept(1, 4), kept(3, 4), kept(1, 1)], [5, 4, 4, 1]);
    }

    #[test]
    fn the_pool_ends() {
        let mut cache = Cache::default();
        let kept = (0..100_000).take_while(|_| cache.keep(&[], 0).is_ok()).count();
        assert_eq!(kept, POOL_BYTES / TEXT_BYTES);
    }
}
