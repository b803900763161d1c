//! A playbook and its inputs to a graph that is ready to run, with every mistake that concerns
//! several parts: names, types, edges.

mod calls;
mod check;
mod dag;
mod names;
#[cfg(test)]
mod tests;

pub use calls::check_calls;

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use serde_json::Value;

use crate::base::{Diagnostic, Route};
use crate::engine::RECHECK;
use crate::engine::event::{FORMAT, Phase, Risk, RunStarted, StepOutline};
use crate::engine::graph::{
    Approval, CauseRule, Detection, Escalation, ForEach, Graph, ImpactTexts, Recovery, Repeat, Retry, SideAction, Step,
    StepIndex,
};
use crate::kind::Effect;
use crate::language::Template;
use crate::playbook::{self, Action, FanOut, Look, OnError, Playbook, RetryOn, RetryStatus};

/// Every mistake of a playbook that parsed: names, types, cycles. Needs no inputs.
pub fn check(playbook: &Playbook) -> Vec<Diagnostic> {
    let mut problems = check::all(playbook);
    problems.extend(dag::check(playbook));
    problems.sort_by_key(|problem| problem.place.as_ref().map(|(_, span)| span.start));
    problems
}

/// What differs between runs of one playbook.
#[derive(Debug, Clone)]
pub struct Settings {
    pub inputs: Value,
    pub by: String,
    pub trigger: String,
    pub parallel: usize,
    /// Steps of this risk and above are asked for.
    pub ask_from: Risk,
}

/// The graph of a run. The playbook must have passed [`check`].
pub fn compile(playbook: &Playbook, settings: Settings) -> Graph {
    let edges = dag::edges(playbook);
    let mut steps: Vec<Step> = playbook.steps.iter().map(compile_step).collect();
    for (step, needs) in steps.iter_mut().zip(&edges) {
        step.needs = needs.clone();
    }
    let detection = playbook.detect.as_ref().map(|detect| resolve_detection(playbook, detect));
    let recheck = detection.as_ref().map(|detection| add_recheck(&mut steps, detection));
    link(&mut steps);
    let header = header(playbook, &settings, &steps);
    Graph {
        header,
        index: steps.iter().enumerate().map(|(index, step)| (step.id.clone(), index)).collect(),
        detection,
        recheck,
        causes: playbook
            .causes
            .iter()
            .map(|cause| CauseRule { name: cause.name.clone(), title: cause.title.clone(), when: cause.when.clone() })
            .collect(),
        severity: playbook.severity.clone(),
        impact: playbook.header.impact.as_ref().map(impact).unwrap_or_default(),
        recovery: Recovery {
            within: Duration::from_secs_f64(playbook.header.recovery.within),
            every: Duration::from_secs_f64(playbook.header.recovery.every.max(0.01)),
        },
        escalation: playbook.header.escalate.as_ref().map(|escalate| Escalation {
            policy: escalate.policy.clone(),
            when: escalate.when.as_deref().and_then(|text| crate::language::Expression::parse(text).ok()),
        }),
        parallel: playbook.header.parallel.unwrap_or(settings.parallel).max(1),
        ask_from: settings.ask_from,
        look_only: None,
        open_answers: false,
        steps,
    }
}

fn impact(impact: &playbook::Impact) -> ImpactTexts {
    let text = |text: &Option<String>| text.as_deref().and_then(|text| Template::parse(text).ok());
    ImpactTexts { affected: text(&impact.affected), summary: text(&impact.summary) }
}

fn compile_step(step: &playbook::Step) -> Step {
    let keys = &step.keys;
    let remediates = step.phase == Phase::Remediate;
    let default_risk = if remediates && step.effect() != Effect::Read { Risk::Disruptive } else { Risk::Safe };
    Step {
        id: step.id(),
        phase: step.phase,
        kind: step.action.kind.name.to_owned(),
        help: keys.help.clone(),
        needs: Vec::new(),
        dependents: Vec::new(),
        request: step.action.request.clone(),
        when: step.when.clone(),
        expect: step.expect.clone(),
        hold: keys.hold.map(Duration::from_secs_f64),
        for_each: step.for_each.as_ref().map(|fan| compile_fan_out(fan, keys.on_error, remediates)),
        time_limit: keys.timeout.map_or_else(|| step.action.time_limit(), Duration::from_secs_f64),
        retry: keys.retry.as_ref().map(compile_retry),
        repeat: repeat(step.effect()),
        risk: keys.risk.unwrap_or(default_risk),
        approval: keys.approve.as_ref().map(|approve| Approval {
            by: approve.by.clone(),
            // Who they stand for is known to the place, not to the procedure.
            logins: std::collections::BTreeSet::new(),
            quorum: approve.quorum,
            timeout: approve.timeout.map(Duration::from_secs_f64),
            answers: step.answers.clone(),
        }),
        stop_on_error: keys.on_error.map_or(remediates, |on_error| on_error == OnError::Stop),
        tolerated: keys.on_error == Some(OnError::Continue),
        fixes: keys.fixes.clone(),
        precondition: step.precondition.as_ref().map(compile_look),
        check: step.check.as_ref().map(compile_look),
        undo: step.undo.as_ref().map(side_action),
        severity: keys.severity,
        probe: step.phase == Phase::Detect,
    }
}

/// Unless its author says otherwise, a remediation acts on few targets and stops at the first that it
/// could not help.
fn compile_fan_out(fan: &FanOut, on_error: Option<OnError>, remediates: bool) -> ForEach {
    const MOST_TARGETS: u32 = 10;
    let FanOut { list, of, keys } = fan;
    ForEach {
        list: list.clone(),
        name: keys.name.clone(),
        limit: keys.limit,
        share: keys.share,
        most: keys.most.or(remediates.then_some(MOST_TARGETS)),
        max_errors: keys.max_errors.or((remediates && on_error != Some(OnError::Continue)).then_some(1)),
        of: of.clone(),
        stop_above: keys.stop_above,
    }
}

fn compile_look((action, expect): &Look) -> SideAction {
    SideAction { expect: expect.clone(), ..side_action(action) }
}

fn side_action(action: &Action) -> SideAction {
    SideAction {
        kind: action.kind.name.to_owned(),
        request: action.request.clone(),
        expect: None,
        repeat: repeat(action.effect()),
    }
}

fn repeat(effect: Effect) -> Repeat {
    match effect {
        Effect::Read | Effect::Idempotent => Repeat::Safe,
        Effect::Once => Repeat::Unknown,
    }
}

fn compile_retry(retry: &playbook::Retry) -> Retry {
    let has =
        |wanted: RetryStatus| retry.on.iter().any(|on| matches!(on, RetryOn::Status(status) if *status == wanted));
    let code = |on: &RetryOn| match on {
        RetryOn::Code(code) => Some(*code),
        RetryOn::Status(_) => None,
    };
    Retry {
        attempts: retry.attempts,
        backoff: Duration::from_secs_f64(retry.backoff),
        max: Duration::from_secs_f64(retry.max),
        factor: retry.factor,
        jitter: retry.jitter,
        on_error: has(RetryStatus::Error),
        on_failed: has(RetryStatus::Failed),
        codes: retry.on.iter().filter_map(code).collect(),
    }
}

fn resolve_detection(playbook: &Playbook, detect: &playbook::Detection) -> Detection<StepIndex> {
    let all = |parts: &[playbook::Detection]| parts.iter().map(|part| resolve_detection(playbook, part)).collect();
    match detect {
        playbook::Detection::Any(parts) => Detection::Any(all(parts)),
        playbook::Detection::All(parts) => Detection::All(all(parts)),
        playbook::Detection::Not(inner) => Detection::Not(Box::new(resolve_detection(playbook, inner))),
        playbook::Detection::Probe(name) => {
            let same = |step: &playbook::Step| step.phase == Phase::Detect && step.name == *name;
            // `decode` makes a probe and its step together.
            Detection::Probe(playbook.steps.iter().position(same).unwrap_or_default())
        }
    }
}

/// Adds a second copy of every detection probe, to be evaluated after remediation. The copies do not
/// wait for a duration: that the fault is gone is seen at once.
fn add_recheck(steps: &mut Vec<Step>, detection: &Detection<StepIndex>) -> Detection<StepIndex> {
    let mut copies: HashMap<StepIndex, StepIndex> = HashMap::new();
    for probe in detection.probes() {
        let name = steps[probe].id.trim_start_matches("detect.").to_owned();
        let copy = Step { id: format!("{RECHECK}{name}"), phase: Phase::Verify, hold: None, ..steps[probe].clone() };
        copies.insert(probe, steps.len());
        steps.push(copy);
    }
    for copy in copies.values() {
        let needs = steps[*copy].needs.iter().filter_map(|need| copies.get(need).copied()).collect();
        steps[*copy].needs = needs;
    }
    detection.map(&|probe| copies[&probe])
}

fn link(steps: &mut [Step]) {
    let edges: Vec<(StepIndex, StepIndex)> =
        steps.iter().enumerate().flat_map(|(index, step)| step.needs.iter().map(move |need| (*need, index))).collect();
    for (need, dependent) in edges {
        steps[need].dependents.push(dependent);
    }
}

fn header(playbook: &Playbook, settings: &Settings, steps: &[Step]) -> RunStarted {
    let outline = |step: &Step| StepOutline {
        id: step.id.clone(),
        phase: step.phase,
        kind: step.kind.clone(),
        needs: step.needs.iter().map(|need| steps[*need].id.clone()).collect(),
        help: step.help.clone(),
    };
    RunStarted {
        format: FORMAT,
        playbook: playbook.header.name.clone(),
        title: playbook.header.title.clone(),
        code: playbook.header.code.clone(),
        file: playbook.source.path.display().to_string(),
        digest: playbook.digest.clone(),
        inputs: settings.inputs.clone(),
        by: settings.by.clone(),
        trigger: settings.trigger.clone(),
        withheld: None,
        from_outside: BTreeSet::new(),
        labels: std::collections::BTreeMap::new(),
        rerun_of: None,
        steps: steps.iter().map(outline).collect(),
    }
}

/// The place of a step's key in the playbook.
fn step_route(step: &playbook::Step, key: &str) -> Route {
    step.route.key(key)
}
