//! A straight line through points, and how sure its slope is.

use super::sample::mean;
use super::special::student_quantile;

/// The line `intercept + slope · x` with the least squared distance in `y`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Line {
    pub slope: f64,
    pub intercept: f64,
    /// The standard error of the slope, `sqrt(Σ residual² / (n − 2) / Σ(x − mean)²)`.
    pub slope_error: f64,
    /// Points less the two numbers that were fitted.
    pub degrees: usize,
}

/// Ordinary least squares, as `scipy.stats.linregress`. `None` below three points, for lists of different length, when
/// all `x` are equal, or with a number that is not finite.
pub fn least_squares(x: &[f64], y: &[f64]) -> Option<Line> {
    let finite = x.iter().chain(y).all(|number| number.is_finite());
    if x.len() != y.len() || x.len() < 3 || !finite {
        return None;
    }
    let (middle_x, middle_y) = (mean(x)?, mean(y)?);
    let spread: f64 = x.iter().map(|x| (x - middle_x).powi(2)).sum();
    if spread == 0.0 {
        return None;
    }
    let slope = x.iter().zip(y).map(|(x, y)| (x - middle_x) * (y - middle_y)).sum::<f64>() / spread;
    let intercept = middle_y - slope * middle_x;
    // Around the middle, so that large numbers of the kind "bytes in use" lose no digits.
    let residual = |x: &f64, y: &f64| (y - middle_y) - slope * (x - middle_x);
    let squares: f64 = x.iter().zip(y).map(|(x, y)| residual(x, y).powi(2)).sum();
    let degrees = x.len() - 2;
    Some(Line { slope, intercept, slope_error: (squares / degrees as f64 / spread).sqrt(), degrees })
}

impl Line {
    /// The interval that holds the true slope with the given confidence (0.95 for 95 %), from Student's t distribution.
    /// It assumes that the points scatter independently around the line.
    pub fn slope_interval(&self, confidence: f64) -> (f64, f64) {
        let t = student_quantile(f64::midpoint(1.0, confidence), self.degrees as f64);
        (self.slope - t * self.slope_error, self.slope + t * self.slope_error)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn count_up(count: usize) -> Vec<f64> {
        (0..count).map(|number| number as f64).collect()
    }

    proptest! {
        #[test]
        fn a_line_is_found_again(slope in -1e3..1e3_f64, intercept in -1e3..1e3_f64, count in 3..50_usize) {
            let x = count_up(count);
            let y: Vec<f64> = x.iter().map(|x| intercept + slope * x).collect();
            let line = least_squares(&x, &y).unwrap();
            prop_assert!((line.slope - slope).abs() < 1e-9 && (line.intercept - intercept).abs() < 1e-8);
            prop_assert!(line.slope_error < 1e-9);
        }

        #[test]
        fn no_other_slope_is_nearer(y in prop::collection::vec(-1e3..1e3_f64, 3..40), tilt in -1.0..1.0_f64) {
            let x = count_up(y.len());
            let line = least_squares(&x, &y).unwrap();
            let distance = |slope: f64, intercept: f64| -> f64 {
                x.iter().zip(&y).map(|(x, y)| (y - intercept - slope * x).powi(2)).sum()
            };
            prop_assert!(distance(line.slope, line.intercept) <= distance(line.slope + tilt, line.intercept) + 1e-6);
        }

        #[test]
        fn more_confidence_is_a_wider_interval(y in prop::collection::vec(-1e3..1e3_f64, 3..40)) {
            let line = least_squares(&count_up(y.len()), &y).unwrap();
            let (narrow, wide) = (line.slope_interval(0.9), line.slope_interval(0.99));
            prop_assert!(wide.0 <= narrow.0 && narrow.0 <= line.slope && line.slope <= narrow.1 && narrow.1 <= wide.1);
        }
    }

    #[test]
    fn no_line_without_points_to_hold_it() {
        assert_eq!(least_squares(&[1.0, 2.0], &[1.0, 2.0]), None);
        assert_eq!(least_squares(&[1.0; 5], &[1.0, 2.0, 3.0, 4.0, 5.0]), None);
        assert_eq!(least_squares(&[1.0, 2.0, 3.0], &[1.0, f64::NAN, 2.0]), None);
    }
}
