//! The statistics of model checks: pure functions over slices, each with its definition and its source.
//!
//! A number that steers a roll-back must mean what its name means elsewhere, so every function follows
//! the definition of a named program (numpy, scipy, scikit-learn) or paper. Three nets hold them there:
//! property tests beside the code, `reference.json` (values that `scripts/check-statistics.py` computed with
//! those programs, compared in `tests/it/statistics.rs`), and the same script on fresh random data.
//!
//! Nothing here guesses: where a number is not defined (an empty sample, NaN among the values) the answer is `None`.

pub mod calibration;
pub mod classification;
pub mod correction;
pub mod regression;
pub mod sample;
pub mod shares;
pub mod smirnov;
mod special;
pub mod stability;

pub use calibration::{
    ReliabilityBin, brier_score, expected_calibration_error, maximum_calibration_error, reliability,
};
pub use classification::{ClassScore, Confusion, argmax, disagreements, wilson_interval};
pub use correction::{Correction, adjusted};
pub use regression::{Line, least_squares};
pub use sample::{Histogram, Sorted, histogram, mean, standard_deviation};
pub use shares::{class_shares, entropy, evenness};
pub use smirnov::{KolmogorovSmirnov, kolmogorov_smirnov};
pub use stability::{ReferenceBins, psi_limit, psi_noise, share_index};
