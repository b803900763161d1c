//! Random runs, each cut after every one of its events and resumed from there.

mod generator;
mod oracle;
mod simulation;

use crate::engine::event::{Event, Record};
use crate::engine::{Graph, RunState};
use generator::{Dice, mix, plan};
use simulation::{Simulation, Temper};

/// Runs of the ordinary test: enough for thousands of crash points in a debug build within two seconds.
const RUNS: u64 = 120;

#[derive(Default)]
struct Figures {
    runs: usize,
    crash_points: usize,
    second_crashes: usize,
    events: usize,
}

fn temper(seed: u64) -> Temper {
    let mut dice = Dice(mix(seed ^ 0x7e3e));
    let stop = dice.chance(25).then(|| (1 + dice.below(25) as usize, dice.chance(40)));
    let held = if dice.chance(20) { 30 } else { 0 };
    Temper { seed, stop, held }
}

/// The run of a seed, whole and cut after every event.
fn crash_everywhere(seed: u64, figures: &mut Figures) -> Result<(), String> {
    let graph = plan(seed);
    let whole = Simulation::whole(&graph, temper(seed))?;
    oracle::judge(&graph, &whole)?;
    if Simulation::whole(&graph, temper(seed))? != whole {
        return Err("the same inputs led to other events".into());
    }
    figures.runs += 1;
    let mut state = RunState::default();
    for (cut, record) in whole.iter().enumerate().take(whole.len() - 1) {
        state.apply(record).map_err(|problem| problem.to_string())?;
        crash_at(&graph, seed, &whole[..=cut], state.clone(), figures)
            .map_err(|why| format!("cut after event {}: {why}", record.seq))?;
    }
    Ok(())
}

fn crash_at(graph: &Graph, seed: u64, before: &[Record], state: RunState, figures: &mut Figures) -> Result<(), String> {
    let point = mix(seed ^ mix(before.len() as u64));
    let temper = Temper { seed: point, ..temper(point) };
    let records = Simulation::resumed(graph, temper, before, state)?;
    oracle::judge(graph, &records).map_err(|why| format!("{why}\n{}", told(&records)))?;
    figures.crash_points += 1;
    figures.events += records.len() - before.len();
    // The resumed run dies too, at a random event of its own.
    let rest = (records.len() - before.len()) as u64;
    let second = before.len() + mix(point) as usize % rest as usize;
    if records[second].event != records[records.len() - 1].event && mix(point).is_multiple_of(4) {
        let state = RunState::replay(&records[..=second]).map_err(|problem| problem.to_string())?;
        let again =
            Simulation::resumed(graph, Temper { seed: !point, stop: None, held: 0 }, &records[..=second], state)?;
        oracle::judge(graph, &again)
            .map_err(|why| format!("cut again after event {}: {why}\n{}", second + 1, told(&again)))?;
        figures.second_crashes += 1;
    }
    Ok(())
}

/// A journal for the reader of a failure.
fn told(records: &[Record]) -> String {
    let line = |record: &Record| match &record.event {
        Event::RunStarted(_) => format!("{} run_started", record.seq),
        event => format!("{} at {} {}", record.seq, record.at.0, serde_json::to_string(event).unwrap_or_default()),
    };
    records.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// For the reader of the log, who wants to see how much was tried.
fn tell(figures: &str) {
    let _ = std::io::Write::write_all(&mut std::io::stderr(), figures.as_bytes());
}

#[test]
fn t03_every_prefix_of_a_journal_is_a_legal_state_and_the_run_goes_on_from_it() {
    let mut figures = Figures::default();
    for seed in 0..RUNS {
        if let Err(why) = crash_everywhere(seed, &mut figures) {
            panic!("run {seed}: {why}");
        }
    }
    let Figures { runs, crash_points, second_crashes, events } = figures;
    assert!(crash_points > 2_000, "only {crash_points} crash points");
    tell(&format!(
        "test 3: {runs} runs, {crash_points} prefixes, {second_crashes} second crashes, {events} events after crashes, illegal = 0\n"
    ));
}

/// Seeds of the ordinary test; `RUNBOOK_TEST_SEEDS` asks for more.
const SEEDS: u64 = 1_000;

/// A run with its faults, the same run again, and one that dies at a random event.
fn simulate(seed: u64, figures: &mut Figures) -> Result<(), String> {
    let graph = plan(seed);
    let whole = Simulation::whole(&graph, temper(seed))?;
    oracle::judge(&graph, &whole).map_err(|why| format!("{why}\n{}", told(&whole)))?;
    if Simulation::whole(&graph, temper(seed))? != whole {
        return Err("the same seed led to other events".into());
    }
    figures.runs += 1;
    let cut = 1 + mix(!seed) as usize % (whole.len() - 1).max(1);
    let state = RunState::replay(&whole[..cut]).map_err(|problem| problem.to_string())?;
    crash_at(&graph, seed, &whole[..cut], state, figures)
}

#[test]
fn t18_simulated_runs_with_faults_keep_what_is_promised() {
    let asked = crate::base::environment::variable("RUNBOOK_TEST_SEEDS").and_then(|count| count.parse().ok());
    let mut figures = Figures::default();
    // Other seeds than those of the test above.
    for seed in (0..asked.unwrap_or(SEEDS)).map(|seed| mix(seed + 1)) {
        if let Err(why) = simulate(seed, &mut figures) {
            panic!("seed {seed}: {why}");
        }
    }
    let Figures { runs, crash_points, second_crashes, .. } = figures;
    tell(&format!("test 18: {runs} seeds, {crash_points} crashes, {second_crashes} second crashes, violations = 0\n"));
}
