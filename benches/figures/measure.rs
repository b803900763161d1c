//! Measures alternatives in turn and compares them.

use std::error::Error;
use std::io::{self, Write};
use std::time::Duration;

use runbook::base::Clock;

/// One way to do something. Only `work` is timed, not what the next round needs prepared.
pub struct Alternative<'a> {
    pub name: String,
    pub work: Box<dyn FnMut() -> Result<(), Box<dyn Error>> + 'a>,
}

impl<'a> Alternative<'a> {
    pub fn new(name: impl Into<String>, work: impl FnMut() -> Result<(), Box<dyn Error>> + 'a) -> Self {
        Alternative { name: name.into(), work: Box::new(work) }
    }
}

/// The times of each alternative, by round.
pub struct Comparison {
    names: Vec<String>,
    times: Vec<Vec<Duration>>,
}

/// Every round runs every alternative once and begins with another one, so that none has always the
/// same predecessor. A first round warms the caches and does not count.
pub fn in_turn(rounds: usize, mut alternatives: Vec<Alternative<'_>>) -> Result<Comparison, Box<dyn Error>> {
    let clock = Clock::start();
    let count = alternatives.len();
    let mut times = vec![Vec::with_capacity(rounds); count];
    for round in 0..=rounds {
        for offset in 0..count {
            let position = (round + offset) % count;
            let started = clock.elapsed();
            (alternatives[position].work)()?;
            let time = clock.elapsed() - started;
            if round > 0 {
                times[position].push(time);
            }
        }
    }
    Ok(Comparison { names: alternatives.into_iter().map(|alternative| alternative.name).collect(), times })
}

impl Comparison {
    /// A line for each alternative: its time and, in each round, its ratio to the first one's time.
    pub fn print(&self, out: &mut dyn Write, title: &str) -> io::Result<()> {
        writeln!(out, "\n{title}")?;
        for (name, times) in self.names.iter().zip(&self.times) {
            let ratios = times.iter().zip(&self.times[0]).map(|(time, first)| time.as_secs_f64() / first.as_secs_f64());
            let [low, median, high] = quartiles(times.iter().map(|time| time.as_secs_f64() * 1e3));
            let [ratio_low, ratio, ratio_high] = quartiles(ratios);
            writeln!(
                out,
                "  {name:<44} {median:>9.2} ms  ({low:.2} to {high:.2})  {ratio:>6.2} x  ({ratio_low:.2} to {ratio_high:.2})"
            )?;
        }
        out.flush()
    }
}

/// The middle of the measurements, and the range that holds the middle half of them.
fn quartiles(measurements: impl Iterator<Item = f64>) -> [f64; 3] {
    let mut sorted: Vec<f64> = measurements.collect();
    sorted.sort_by(f64::total_cmp);
    [1, 2, 3].map(|quarter| sorted[(sorted.len() - 1) * quarter / 4])
}
