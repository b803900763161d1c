//! Measures alternatives in turn and compares them.

use std::any::Any;
use std::error::Error;
use std::io::{self, Write};
use std::time::Duration;

use runbook::base::Clock;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// One way to do something. What `work` makes is dropped when its time has been taken.
pub struct Alternative<'a> {
    name: String,
    work: Box<dyn FnMut() -> Result<Box<dyn Any>> + 'a>,
}

impl<'a> Alternative<'a> {
    pub fn new<T: 'static>(name: impl Into<String>, mut work: impl FnMut() -> Result<T> + 'a) -> Self {
        Alternative { name: name.into(), work: Box::new(move || Ok(Box::new(work()?))) }
    }
}

/// The times of each alternative, by round.
pub struct Comparison {
    names: Vec<String>,
    times: Vec<Vec<Duration>>,
}

/// Every round runs every alternative once and begins with another one, so that none has always the
/// same predecessor. A first round warms the caches and does not count.
pub fn in_turn(rounds: usize, mut alternatives: Vec<Alternative<'_>>) -> Result<Comparison> {
    let clock = Clock::start();
    let count = alternatives.len();
    let mut times = vec![Vec::with_capacity(rounds); count];
    for round in 0..=rounds {
        for offset in 0..count {
            let position = (round + offset) % count;
            let started = clock.elapsed();
            let made = (alternatives[position].work)()?;
            let time = clock.elapsed() - started;
            drop(made);
            if round > 0 {
                times[position].push(time);
            }
        }
    }
    Ok(Comparison { names: alternatives.into_iter().map(|alternative| alternative.name).collect(), times })
}

impl Comparison {
    /// A line for each alternative: its time and, in each round, its ratio to the first one's time;
    /// the median and, in brackets, the least and the third quartile.
    pub fn print(&self, out: &mut dyn Write, title: &str) -> io::Result<()> {
        writeln!(out, "\n{title}")?;
        for (name, times) in self.names.iter().zip(&self.times) {
            let ratios = times.iter().zip(&self.times[0]).map(|(time, first)| time.as_secs_f64() / first.as_secs_f64());
            let [least, median, high] = spread(times.iter().map(|time| time.as_secs_f64() * 1e3));
            let [ratio_least, ratio, ratio_high] = spread(ratios);
            writeln!(
                out,
                "  {name:<40} {median:>9.2} ms ({least:.2} to {high:.2}) {ratio:>7.2} x ({ratio_least:.2} to {ratio_high:.2})"
            )?;
        }
        out.flush()
    }
}

/// The least measurement, the median and the third quartile. Other work on the machine only ever adds,
/// so the least says most about the program and the slowest quarter nothing.
fn spread(measurements: impl Iterator<Item = f64>) -> [f64; 3] {
    let mut sorted: Vec<f64> = measurements.collect();
    sorted.sort_by(f64::total_cmp);
    [0, 2, 3].map(|quarter| sorted[(sorted.len() - 1) * quarter / 4])
}
