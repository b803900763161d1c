//! Plans for tests, written step by step without a playbook's text.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use serde_json::{Value, json};

use crate::base::Route;
use crate::engine::RECHECK;
use crate::engine::event::{FORMAT, Phase, Risk, RunStarted, Severity, StepOutline};
use crate::engine::graph::{
    Approval, CauseRule, Detection, Escalation, ForEach, Graph, ImpactTexts, Recovery, Repeat, Retry, SideAction, Step,
    StepIndex,
};
use crate::language::encoding::Encoding;
use crate::language::{Expression, Request, Slot, Template, Wanted};

/// A plan that is being written; methods that describe a step describe the last one.
pub(super) struct Plan {
    pub(super) graph: Graph,
    needs: Vec<Vec<String>>,
    detection: Option<Detection<&'static str>>,
}

pub(super) fn expression(text: &str) -> Expression {
    Expression::parse(text).unwrap_or_else(|problem| panic!("{text}: {problem}"))
}

/// A retry as the language has it by default, without the random share.
pub(super) fn retry(attempts: u32) -> Retry {
    Retry {
        attempts,
        backoff: Duration::from_secs(1),
        max: Duration::from_secs(30),
        factor: 2.0,
        jitter: 0.0,
        on_error: true,
        on_failed: false,
        codes: Vec::new(),
    }
}

pub(super) fn any(probes: &[&'static str]) -> Detection<&'static str> {
    Detection::Any(probes.iter().map(|name| probe(name)).collect())
}

pub(super) fn all(probes: &[&'static str]) -> Detection<&'static str> {
    Detection::All(probes.iter().map(|name| probe(name)).collect())
}

pub(super) fn not(inner: Detection<&'static str>) -> Detection<&'static str> {
    Detection::Not(Box::new(inner))
}

pub(super) fn probe(name: &'static str) -> Detection<&'static str> {
    Detection::Probe(name)
}

impl Plan {
    pub(super) fn new() -> Self {
        let header = RunStarted {
            format: FORMAT,
            playbook: "test".into(),
            title: "A test".into(),
            code: None,
            file: "test.yaml".into(),
            digest: "00".into(),
            inputs: json!({}),
            by: "ada".into(),
            trigger: "hand".into(),
            withheld: None,
            from_outside: BTreeSet::new(),
            labels: std::collections::BTreeMap::new(),
            rerun_of: None,
            steps: Vec::new(),
        };
        let graph = Graph {
            header,
            steps: Vec::new(),
            detection: None,
            recheck: None,
            causes: Vec::new(),
            severity: Vec::new(),
            impact: ImpactTexts::default(),
            recovery: Recovery { within: Duration::ZERO, every: Duration::from_secs(1) },
            escalation: None,
            parallel: 8,
            ask_from: Risk::Destructive,
            look_only: None,
            open_answers: false,
            index: HashMap::new(),
        };
        Plan { graph, needs: Vec::new(), detection: None }
    }

    /// A plan whose one probe `detect.fault` says `broken` (its `holds` reads `broken`).
    pub(super) fn detecting() -> Self {
        Plan::new().detection(any(&["fault"])).step("detect.fault").holds("broken")
    }

    pub(super) fn detection(mut self, detection: Detection<&'static str>) -> Self {
        self.detection = Some(detection);
        self
    }

    pub(super) fn inputs(mut self, inputs: Value) -> Self {
        self.graph.header.inputs = inputs;
        self
    }

    pub(super) fn parallel(mut self, limit: usize) -> Self {
        self.graph.parallel = limit;
        self
    }

    pub(super) fn ask_from(mut self, risk: Risk) -> Self {
        self.graph.ask_from = risk;
        self
    }

    pub(super) fn recovery(mut self, within: u64, every: u64) -> Self {
        self.graph.recovery = Recovery { within: Duration::from_secs(within), every: Duration::from_secs(every) };
        self
    }

    pub(super) fn cause(mut self, name: &str, when: &str) -> Self {
        self.graph.causes.push(CauseRule { name: name.into(), title: format!("The {name}"), when: expression(when) });
        self
    }

    pub(super) fn severity_rule(mut self, when: Option<&str>, severity: Severity) -> Self {
        self.graph.severity.push((when.map(expression), severity));
        self
    }

    pub(super) fn escalate(mut self, when: Option<&str>) -> Self {
        self.graph.escalation = Some(Escalation { policy: "on-call".into(), when: when.map(expression) });
        self
    }

    pub(super) fn look_only(mut self) -> Self {
        self.graph.look_only = Some(Phase::Remediate);
        self
    }

    pub(super) fn step(mut self, id: &str) -> Self {
        let phase = phase(id);
        self.needs.push(Vec::new());
        self.graph.steps.push(Step {
            id: id.into(),
            phase,
            kind: "test".into(),
            help: None,
            needs: Vec::new(),
            dependents: Vec::new(),
            request: request(json!({"do": id})),
            when: None,
            expect: None,
            hold: None,
            for_each: None,
            time_limit: Duration::from_secs(60),
            retry: None,
            repeat: if phase == Phase::Remediate { Repeat::Unknown } else { Repeat::Safe },
            risk: Risk::Safe,
            approval: None,
            stop_on_error: phase == Phase::Remediate,
            tolerated: false,
            fixes: Vec::new(),
            precondition: None,
            check: None,
            undo: None,
            severity: None,
            probe: phase == Phase::Detect,
        });
        self
    }

    fn last(mut self, change: impl FnOnce(&mut Step)) -> Self {
        change(self.graph.steps.last_mut().expect("a step comes first"));
        self
    }

    pub(super) fn needs(mut self, names: &[&str]) -> Self {
        let phase = self.graph.steps.last().expect("a step comes first").phase;
        let ids = names.iter().map(|name| format!("{phase}.{name}"));
        self.needs.last_mut().expect("a step comes first").extend(ids);
        self
    }

    pub(super) fn when(self, text: &str) -> Self {
        self.last(|step| step.when = Some(expression(text)))
    }

    pub(super) fn expect(self, text: &str) -> Self {
        self.last(|step| step.expect = Some(expression(text)))
    }

    /// What a probe holds by; the same as `expect` under the name it has in a detection.
    pub(super) fn holds(self, text: &str) -> Self {
        self.expect(text)
    }

    pub(super) fn hold_for(self, seconds: u64) -> Self {
        self.last(|step| step.hold = Some(Duration::from_secs(seconds)))
    }

    /// The configuration, in which text with `{{` is a template.
    pub(super) fn config(self, config: Value) -> Self {
        self.last(|step| step.request = request(config))
    }

    pub(super) fn for_each(self, list: &str, limit: u32) -> Self {
        let for_each = ForEach {
            list: expression(list),
            name: "item".into(),
            limit,
            share: 1.0,
            most: None,
            max_errors: None,
            of: None,
            stop_above: 0.4,
        };
        self.last(|step| step.for_each = Some(for_each))
    }

    pub(super) fn retry(self, retry: Retry) -> Self {
        self.last(|step| step.retry = Some(retry))
    }

    pub(super) fn repeat(self, repeat: Repeat) -> Self {
        self.last(|step| step.repeat = repeat)
    }

    pub(super) fn risk(self, risk: Risk) -> Self {
        self.last(|step| step.risk = risk)
    }

    pub(super) fn approve(self, timeout: Option<u64>) -> Self {
        let approval = Approval { timeout: timeout.map(Duration::from_secs), ..Approval::default() };
        self.last(|step| step.approval = Some(approval))
    }

    /// `approve: {by: …, quorum: …}`, with the people themselves.
    pub(super) fn approve_by(self, logins: &[&str], quorum: u32) -> Self {
        let by: Vec<String> = logins.iter().map(|login| (*login).to_owned()).collect();
        let logins = by.iter().cloned().collect();
        self.last(|step| step.approval = Some(Approval { by, logins, quorum: Some(quorum), ..Approval::default() }))
    }

    /// Whoever approves the step says a `number` from 1 to 10, which its request has in it, and a `word`.
    pub(super) fn asking_for_answers(self) -> Self {
        let declared = [
            ("number", json!({"type": "int", "min": 1, "max": 10})),
            ("word", json!({"type": "string", "pattern": "[a-z]*", "default": "none"})),
        ];
        let declared = declared.map(|(name, text)| (name.into(), serde_json::from_value(text).expect("a declaration")));
        let config = json!({"number": "{{answers.number}}", "word": "say {{answers.word}}"});
        let asking = self.last(|step| step.approval.get_or_insert_default().answers = declared.into());
        asking.config(config)
    }

    pub(super) fn fixes(self, causes: &[&str]) -> Self {
        self.last(|step| step.fixes = causes.iter().map(|cause| (*cause).to_owned()).collect())
    }

    /// `on_error: continue`.
    pub(super) fn continues(self) -> Self {
        self.last(|step| (step.tolerated, step.stop_on_error) = (true, false))
    }

    /// `on_error: stop`.
    pub(super) fn stops(self) -> Self {
        self.last(|step| step.stop_on_error = true)
    }

    pub(super) fn check(self, expect: Option<&str>) -> Self {
        let check = SideAction { expect: expect.map(expression), ..side(Repeat::Safe) };
        self.last(|step| step.check = Some(check))
    }

    pub(super) fn precondition(self, expect: Option<&str>) -> Self {
        let precondition = SideAction { expect: expect.map(expression), ..side(Repeat::Safe) };
        self.last(|step| step.precondition = Some(precondition))
    }

    pub(super) fn most(self, most: u32) -> Self {
        self.fan(|for_each| for_each.most = Some(most))
    }

    pub(super) fn max_errors(self, errors: u32) -> Self {
        self.fan(|for_each| for_each.max_errors = Some(errors))
    }

    pub(super) fn share(self, share: f64) -> Self {
        self.fan(|for_each| for_each.share = share)
    }

    /// The list of all targets.
    pub(super) fn of(self, list: &str) -> Self {
        self.fan(|for_each| for_each.of = Some(expression(list)))
    }

    fn fan(self, change: impl FnOnce(&mut ForEach)) -> Self {
        self.last(|step| change(step.for_each.as_mut().expect("it fans out")))
    }

    pub(super) fn undo(self, repeat: Repeat) -> Self {
        self.last(|step| step.undo = Some(side(repeat)))
    }

    pub(super) fn severity(self, severity: Severity) -> Self {
        self.last(|step| step.severity = Some(severity))
    }

    pub(super) fn graph(mut self) -> Graph {
        self.link();
        let find = |name: &str| self.graph.index[&format!("detect.{name}")];
        self.graph.detection = self.detection.as_ref().map(|detection| detection.map(&find));
        if let Some(detection) = self.graph.detection.clone() {
            self.graph.recheck = Some(self.add_recheck(&detection));
        }
        self.outline();
        self.graph
    }

    fn link(&mut self) {
        let ids = self.graph.steps.iter().enumerate().map(|(index, step)| (step.id.clone(), index));
        self.graph.index = ids.collect();
        for (position, names) in self.needs.iter().enumerate() {
            self.graph.steps[position].needs = names.iter().map(|name| self.graph.index[name]).collect();
        }
    }

    fn add_recheck(&mut self, detection: &Detection<StepIndex>) -> Detection<StepIndex> {
        let probes = detection.probes();
        let first = self.graph.steps.len();
        let copy_of = |probe: StepIndex| first + probes.iter().position(|known| *known == probe).unwrap_or_default();
        for probe in &probes {
            let original = &self.graph.steps[*probe];
            let copy = Step {
                id: original.id.replace("detect.", RECHECK),
                phase: Phase::Verify,
                hold: None,
                needs: original.needs.iter().map(|need| copy_of(*need)).collect(),
                ..original.clone()
            };
            self.graph.index.insert(copy.id.clone(), self.graph.steps.len());
            self.graph.steps.push(copy);
        }
        detection.map(&|probe| copy_of(probe))
    }

    fn outline(&mut self) {
        let edges: Vec<(StepIndex, StepIndex)> = (0..self.graph.steps.len())
            .flat_map(|index| self.graph.steps[index].needs.clone().into_iter().map(move |need| (need, index)))
            .collect();
        for (need, dependent) in edges {
            self.graph.steps[need].dependents.push(dependent);
        }
        let steps = &self.graph.steps;
        let outline = |step: &Step| StepOutline {
            id: step.id.clone(),
            phase: step.phase,
            kind: step.kind.clone(),
            needs: step.needs.iter().map(|need| steps[*need].id.clone()).collect(),
            help: None,
        };
        self.graph.header.steps = steps.iter().map(outline).collect();
    }
}

fn phase(id: &str) -> Phase {
    match id.split('.').next() {
        Some("detect") => Phase::Detect,
        Some("diagnose") => Phase::Diagnose,
        Some("remediate") => Phase::Remediate,
        Some("verify") => Phase::Verify,
        Some("finally") => Phase::Finally,
        other => panic!("no phase is called {other:?}"),
    }
}

fn side(repeat: Repeat) -> SideAction {
    SideAction { kind: "test".into(), request: request(json!({})), expect: None, repeat }
}

/// A request with a slot for every template at the top of its configuration.
pub(super) fn request(raw: Value) -> Request {
    let fields = raw.as_object().cloned().unwrap_or_default();
    let slot = |(name, value): (String, Value)| {
        let text = value.as_str().filter(|text| text.contains("{{"))?;
        let template = Template::parse(text).unwrap_or_else(|problem| panic!("{text}: {problem}"));
        Some(Slot { route: Route::of([name.as_str()]), template, encoding: Encoding::Plain, wanted: Wanted::Any })
    };
    Request { slots: fields.into_iter().filter_map(slot).collect(), raw }
}
