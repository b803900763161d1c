//! Random plans of every shape the engine knows, each from one number.

use crate::engine::event::{Risk, Severity};
use crate::engine::graph::{Detection, Graph, Repeat, Retry};
use serde_json::json;

use super::super::plan::{Plan, probe, retry};

/// A small, fast source of numbers that looks the same on every machine (Steele, Lea and Flood, "Fast
/// splittable pseudorandom number generators", 2014).
pub(super) struct Dice(pub u64);

impl Dice {
    pub(super) fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.0)
    }

    pub(super) fn below(&mut self, limit: u64) -> u64 {
        self.roll() % limit
    }

    /// True in `percent` of a hundred cases.
    pub(super) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

pub(super) fn mix(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    number ^ (number >> 31)
}

pub(super) fn plan(seed: u64) -> Graph {
    let mut dice = Dice(seed);
    let mut plan = Plan::new()
        .inputs(json!({"many": [1, 2, 3, 4, 5], "one": [1], "none": []}))
        .parallel(1 + dice.below(4) as usize)
        .recovery(dice.below(3) * 4, 2)
        .severity_rule(Some("causes.first"), Severity::High);
    if dice.chance(50) {
        plan = plan.escalate(dice.chance(50).then_some("unresolved || run_elapsed > 20s"));
    }
    if dice.chance(30) {
        plan = plan.ask_from(Risk::Disruptive);
    }
    plan = detection(plan, &mut dice);
    let diagnoses = dice.below(4);
    plan = phase(plan, &mut dice, "diagnose", diagnoses);
    if dice.chance(70) && diagnoses > 0 {
        plan = plan.cause("first", "diagnose.s0.failed || diagnose.s0.ok").cause("second", "!diagnose.s0.ok");
    }
    let remediations = dice.below(5);
    plan = phase(plan, &mut dice, "remediate", remediations);
    let verifications = dice.below(3);
    plan = phase(plan, &mut dice, "verify", verifications);
    let last = dice.below(3);
    phase(plan, &mut dice, "finally", last).graph()
}

fn detection(mut plan: Plan, dice: &mut Dice) -> Plan {
    let probes = dice.below(4);
    if probes == 0 {
        return plan;
    }
    for number in 0..probes {
        plan = plan.step(&format!("detect.p{number}")).holds("ok");
        if dice.chance(25) {
            plan = plan.hold_for(1 + dice.below(10));
        }
        if dice.chance(20) {
            let list = ["inputs.many", "inputs.one", "inputs.none"][dice.below(3) as usize];
            plan = plan.for_each(list, 1 + dice.below(3) as u32);
        }
        if number > 0 && dice.chance(30) {
            plan = plan.needs(&["p0"]);
        }
        if dice.chance(30) {
            plan = plan.retry(some_retry(dice));
        }
        if dice.chance(15) {
            plan = plan.when("inputs.one.0 == 2");
        }
    }
    let all = ["p0", "p1", "p2"].into_iter().take(probes as usize).map(probe).collect();
    let whole = if dice.chance(60) { Detection::Any(all) } else { Detection::All(all) };
    plan.detection(if dice.chance(15) { Detection::Not(Box::new(whole)) } else { whole })
}

fn phase(mut plan: Plan, dice: &mut Dice, phase: &str, steps: u64) -> Plan {
    for number in 0..steps {
        plan = plan.step(&format!("{phase}.s{number}"));
        plan = edges(plan, dice, number);
        plan = conditions(plan, dice);
        if phase == "remediate" {
            plan = remediation(plan, dice);
        }
        if dice.chance(10) {
            plan = plan.approve(dice.chance(50).then_some(5));
        } else if dice.chance(8) {
            plan = plan.approve_by(&["grace", "edsger", "barbara"], 1 + dice.below(2) as u32);
        } else if dice.chance(8) {
            plan = plan.approve_by(&["grace", "edsger", "barbara"], 1 + dice.below(2) as u32).asking_for_answers();
        }
    }
    plan
}

fn edges(mut plan: Plan, dice: &mut Dice, number: u64) -> Plan {
    for earlier in 0..number {
        if dice.chance(35) {
            plan = plan.needs(&[&format!("s{earlier}")]);
        }
    }
    plan
}

fn conditions(mut plan: Plan, dice: &mut Dice) -> Plan {
    if dice.chance(40) {
        plan = plan.expect("ok");
    }
    if dice.chance(30) {
        plan = plan.retry(some_retry(dice));
    }
    if dice.chance(15) {
        plan = plan.when(["inputs.one.0 == 1", "inputs.one.0 == 2", "inputs.none.0 == 1"][dice.below(3) as usize]);
    }
    if dice.chance(25) {
        let list = ["inputs.many", "inputs.many", "inputs.one", "inputs.none"][dice.below(4) as usize];
        plan = plan.for_each(list, 1 + dice.below(3) as u32);
        if dice.chance(30) {
            plan = plan.max_errors(1 + dice.below(2) as u32);
        }
    }
    if dice.chance(20) {
        plan = plan.severity(Severity::Critical);
    }
    match dice.below(4) {
        0 => plan.continues(),
        1 => plan.stops(),
        _ => plan,
    }
}

fn remediation(mut plan: Plan, dice: &mut Dice) -> Plan {
    if dice.chance(40) {
        plan = plan.repeat(Repeat::Safe);
    }
    if dice.chance(25) {
        plan = plan.precondition(dice.chance(70).then_some("ok"));
    }
    if dice.chance(40) {
        plan = plan.check(dice.chance(50).then_some("ok"));
    }
    if dice.chance(60) {
        plan = plan.undo(if dice.chance(50) { Repeat::Safe } else { Repeat::Unknown });
    }
    if dice.chance(30) {
        plan = plan.fixes(&[["first", "second"][dice.below(2) as usize]]);
    }
    plan.risk([Risk::Safe, Risk::Disruptive, Risk::Destructive][dice.below(3) as usize])
}

fn some_retry(dice: &mut Dice) -> Retry {
    Retry { on_failed: dice.chance(50), jitter: 0.5, ..retry(1 + dice.below(3) as u32) }
}
