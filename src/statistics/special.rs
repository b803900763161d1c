//! The special functions behind confidence intervals and thresholds.
//!
//! Written here because only these few are needed and the crates that have them bring linear algebra along.
//! Quantiles are found by halving an interval: slower than Newton's rule, but it cannot miss, and a check asks
//! for one or two of them.

use std::f64::consts::PI;

/// Halvings after which an interval of any width is down to neighbouring floats.
const HALVINGS: usize = 200;
/// Terms after which a series or fraction that converges at all has converged.
const TERMS: usize = 10_000;

/// The logarithm of the gamma function for `x > 0`, by Lanczos' approximation (g = 7, nine terms).
pub(super) fn ln_gamma(x: f64) -> f64 {
    const G: f64 = 7.0;
    const FIRST: f64 = 0.999_999_999_999_809_9;
    const REST: [f64; 8] = [
        676.520_368_121_885_1,
        -1_259.139_216_722_402_8,
        771.323_428_777_653_1,
        -176.615_029_162_140_6,
        12.507_343_278_686_905,
        -0.138_571_095_265_720_12,
        9.984_369_578_019_572e-6,
        1.505_632_735_149_311_6e-7,
    ];
    let x = x - 1.0;
    let sum = REST.iter().enumerate().fold(FIRST, |sum, (index, term)| sum + term / (x + index as f64 + 1.0));
    let base = x + G + 0.5;
    0.5 * (2.0 * PI).ln() + (x + 0.5) * base.ln() - base + sum.ln()
}

/// The regularised incomplete beta function `I_x(a, b)`, by its continued fraction (DLMF 8.17.22).
pub(super) fn incomplete_beta(a: f64, b: f64, x: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    if x >= 1.0 {
        return 1.0;
    }
    // The fraction converges fast below the mean; above it the mirrored function is below its own.
    if x > (a + 1.0) / (a + b + 2.0) {
        return 1.0 - incomplete_beta(b, a, 1.0 - x);
    }
    let front = a * x.ln() + b * (-x).ln_1p() - ln_gamma(a) - ln_gamma(b) + ln_gamma(a + b);
    let term = |index: usize| {
        let m = (index / 2) as f64;
        if index.is_multiple_of(2) {
            m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m))
        } else {
            -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0))
        }
    };
    front.exp() / (a * continued_fraction(term))
}

/// `1 + t₁/(1 + t₂/(1 + …))` by Lentz' method as Thompson and Barnett changed it.
fn continued_fraction(term: impl Fn(usize) -> f64) -> f64 {
    const TINY: f64 = 1e-300;
    let not_zero = |value: f64| if value.abs() < TINY { TINY } else { value };
    let (mut value, mut upper, mut lower) = (1.0, 1.0, 0.0);
    for index in 1..TERMS {
        let next = term(index);
        lower = 1.0 / not_zero(1.0 + next * lower);
        upper = not_zero(1.0 + next / upper);
        value *= upper * lower;
        if (upper * lower - 1.0).abs() < 1e-16 {
            break;
        }
    }
    value
}

/// The regularised lower incomplete gamma function `P(a, x)`, by its series (DLMF 8.7.1).
pub(super) fn incomplete_gamma(a: f64, x: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    let (mut term, mut sum) = (1.0 / a, 1.0 / a);
    for index in 1..TERMS {
        term *= x / (a + index as f64);
        sum += term;
        if term < sum * 1e-17 {
            break;
        }
    }
    (sum.ln() + a * x.ln() - x - ln_gamma(a)).exp().min(1.0)
}

/// The `p` quantile of Student's t distribution for `0.5 <= p < 1`.
pub(super) fn student_quantile(p: f64, degrees: f64) -> f64 {
    // P(|T| > t) = I_x(ν/2, 1/2) with x = ν/(ν + t²), so t follows from x.
    let tails = 2.0 * (1.0 - p);
    let x = halved(0.0, 1.0, |x| incomplete_beta(degrees / 2.0, 0.5, x) < tails);
    (degrees * (1.0 - x) / x).sqrt()
}

/// The `p` quantile of the chi-squared distribution for `0 < p < 1`.
pub(super) fn chi_squared_quantile(p: f64, degrees: f64) -> f64 {
    let below = |x: f64| incomplete_gamma(degrees / 2.0, x / 2.0) < p;
    let mut high = degrees + 10.0;
    while below(high) && high.is_finite() {
        high *= 2.0;
    }
    halved(0.0, high, below)
}

/// The place between `low` and `high` up to which `below` holds.
fn halved(mut low: f64, mut high: f64, below: impl Fn(f64) -> bool) -> f64 {
    for _ in 0..HALVINGS {
        let middle = f64::midpoint(low, high);
        if below(middle) {
            low = middle;
        } else {
            high = middle;
        }
    }
    f64::midpoint(low, high)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(actual: f64, expected: f64) {
        assert!((actual - expected).abs() <= 1e-11 * expected.abs().max(1.0), "{actual} is not {expected}");
    }

    #[test]
    fn the_gamma_function_is_the_factorial() {
        let mut factorial: f64 = 1.0;
        for number in 1..20 {
            close(ln_gamma(f64::from(number)), factorial.ln());
            factorial *= f64::from(number);
        }
        close(ln_gamma(0.5), PI.sqrt().ln());
    }

    #[test]
    fn closed_forms_are_met() {
        for x in [0.01, 0.3, 0.5, 0.77, 0.99] {
            close(incomplete_beta(1.0, 3.0, x), 1.0 - (1.0_f64 - x).powi(3));
            close(incomplete_beta(2.5, 0.5, x), 1.0 - incomplete_beta(0.5, 2.5, 1.0 - x));
            close(incomplete_gamma(1.0, 9.0 * x), 1.0 - (-9.0 * x).exp());
        }
    }

    #[test]
    fn quantiles_of_the_tables() {
        close(student_quantile(0.975, 1.0), 12.706_204_736_174_7);
        close(student_quantile(0.975, 10.0), 2.228_138_851_964_94);
        close(chi_squared_quantile(0.95, 1.0), 3.841_458_820_694_12);
        close(chi_squared_quantile(0.95, 9.0), 16.918_977_604_620_4);
    }
}
