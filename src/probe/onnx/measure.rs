//! The loops that time runs and weigh the memory of the process that makes them.

use std::time::Duration;

use super::{Broken, Session};
use crate::kind::StepError;
use crate::model::Tensor;
use crate::probe::procfs::Proc;

/// Seconds that runs of one request took.
#[derive(Debug)]
pub(in crate::probe) struct Timings {
    /// The very first run, in which engines allocate and choose their kernels.
    pub first: f64,
    /// The runs after the warm-up; fewer than asked for if the time was up.
    pub runs: Vec<f64>,
}

/// Times up to `runs` runs after `warm_up` runs that are not counted, but no longer than `within`. At least one is counted.
pub(in crate::probe) fn timings(
    session: &Session<'_>,
    inputs: &[(String, Tensor)],
    warm_up: usize,
    runs: usize,
    within: Duration,
) -> Result<Timings, Broken> {
    let started = session.now();
    let in_time = || session.now() - started < within;
    session.round("measuring run", 1, runs);
    let first = timed(session, inputs)?;
    for _ in 0..warm_up.saturating_sub(1) {
        if in_time() {
            timed(session, inputs)?;
        }
    }
    let mut seconds = vec![timed(session, inputs)?];
    while seconds.len() < runs && in_time() {
        session.round("measuring run", seconds.len() + 1, runs);
        seconds.push(timed(session, inputs)?);
    }
    Ok(Timings { first, runs: seconds })
}

fn timed(session: &Session<'_>, inputs: &[(String, Tensor)]) -> Result<f64, Broken> {
    let started = session.now();
    session.compute(inputs)?;
    Ok((session.now() - started).as_secs_f64())
}

/// Resident memory of the process while it runs a model.
#[derive(Debug)]
pub(in crate::probe) struct Residence {
    /// How many runs had been made at each sample, the warm-up not counted.
    pub runs: Vec<f64>,
    /// Resident bytes at each sample.
    pub resident: Vec<f64>,
    /// The most there ever was.
    pub peak: u64,
}

/// Weighs the process `samples` times, evenly over `runs` runs, after `warm_up` runs.
pub(in crate::probe) fn residence(
    session: &Session<'_>,
    inputs: &[(String, Tensor)],
    warm_up: usize,
    runs: usize,
    samples: usize,
) -> Result<Residence, StepError> {
    for _ in 0..warm_up {
        session.compute(inputs)?;
    }
    let mut residence = Residence { runs: Vec::new(), resident: Vec::new(), peak: 0 };
    weigh(&mut residence, 0)?;
    for run in 1..=runs {
        session.round("weighing run", run, runs);
        session.compute(inputs)?;
        // The next sample is due when its share of the runs is made.
        if run * samples >= residence.runs.len() * runs {
            weigh(&mut residence, run)?;
        }
    }
    Ok(residence)
}

fn weigh(residence: &mut Residence, run: usize) -> Result<(), StepError> {
    let memory = Proc::system().process_memory(std::process::id())?.ok_or_else(|| {
        StepError::new("the kernel does not tell the memory of this process")
            .help("this step needs Linux with /proc mounted")
    })?;
    residence.runs.push(run as f64);
    residence.resident.push(memory.resident as f64);
    residence.peak = memory.resident_peak;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Engine;
    use crate::probe::onnx::feed::Feed;

    fn session() -> Session<'static> {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("models/ocr-text/model.onnx");
        Session::for_tests(crate::model::embedded::EmbeddedEngine.load(&path).unwrap())
    }

    #[test]
    fn runs_are_counted_without_the_warm_up() {
        let session = session();
        let inputs = Feed::made_up(session.model.inputs(), 1).unwrap().slice(0..1).unwrap();
        let timings = timings(&session, &inputs, 3, 20, Duration::from_secs(60)).unwrap();
        assert_eq!(timings.runs.len(), 20);
        assert!(timings.runs.iter().all(|seconds| *seconds > 0.0) && timings.first > 0.0);
    }

    #[test]
    fn the_time_limit_holds_but_one_run_is_counted() {
        let session = session();
        let inputs = Feed::made_up(session.model.inputs(), 1).unwrap().slice(0..1).unwrap();
        assert_eq!(timings(&session, &inputs, 1000, 1_000_000, Duration::ZERO).unwrap().runs.len(), 1);
    }

    #[test]
    fn memory_is_weighed_evenly() {
        let session = session();
        let inputs = Feed::made_up(session.model.inputs(), 1).unwrap().slice(0..1).unwrap();
        let residence = residence(&session, &inputs, 2, 100, 4).unwrap();
        assert_eq!(residence.runs, [0.0, 25.0, 50.0, 75.0, 100.0]);
        assert!(residence.peak as f64 >= residence.resident[0]);
    }
}
