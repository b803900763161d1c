//! Names and types of every expression and template, each mistake with its place.

use super::names::{Catalogue, Fields, Place};
use super::step_route;
use crate::base::source::Part;
use crate::base::{Diagnostic, Field, Route, Type, suggestion};
use crate::engine::event::Phase;
use crate::language::{Expression, LanguageError, Names, Request, Template};
use crate::playbook::{Action, Look, Playbook, Step};
use crate::schema::language_problem;

pub(super) fn all(playbook: &Playbook) -> Vec<Diagnostic> {
    let catalogue = Catalogue::new(playbook);
    let mut checker = Checker { playbook, catalogue: &catalogue, problems: Vec::new() };
    playbook.steps.iter().for_each(|step| checker.step(step));
    checker.causes();
    checker.severity();
    checker.impact();
    checker.escalation();
    checker.budget();
    checker.problems
}

struct Checker<'a> {
    playbook: &'a Playbook,
    catalogue: &'a Catalogue<'a>,
    problems: Vec<Diagnostic>,
}

impl<'a> Checker<'a> {
    fn place(&self, step: &'a Step) -> Place<'a> {
        Place {
            catalogue: self.catalogue,
            phase: step.phase,
            own: Fields::default(),
            item: step.for_each.as_ref().map(|fan| fan.keys.name.as_str()),
            not_yet: Some(step),
            causes: step.phase >= Phase::Remediate,
            answers: &step.answers,
            only_own: false,
        }
    }

    fn step(&mut self, step: &'a Step) {
        let place = self.place(step);
        self.request(&step.action, &place);
        self.shown_as_it_runs(step);
        let place = Place { item: None, answers: &[], ..place };
        if let Some(when) = &step.when {
            self.condition(when, &place, &step_route(step, "when"));
        }
        if let Some(fan) = &step.for_each {
            let route = step_route(step, "for_each");
            self.list(&fan.list, &place, &route.key("in"));
            fan.of.iter().for_each(|of| self.list(of, &place, &route.key("of")));
        }
        if let Some(expect) = &step.expect {
            let judged_by = if step.phase == Phase::Detect { "holds" } else { "expect" };
            let own = self.catalogue.outputs_of(&step.action);
            self.condition(expect, &Place { own, ..self.place(step) }, &step_route(step, judged_by));
        }
        self.second_actions(step);
        self.fixes(step);
    }

    fn second_actions(&mut self, step: &'a Step) {
        for (name, look) in [("precondition", &step.precondition), ("check", &step.check)] {
            if let Some(look) = look {
                self.look(step, name, look);
            }
        }
        if let Some(undo) = &step.undo {
            let place = Place { not_yet: None, ..self.place(step) };
            self.request(undo, &place);
        }
    }

    fn look(&mut self, step: &'a Step, name: &str, (action, expect): &Look) {
        self.request(action, &self.place(step));
        if let Some(expect) = expect {
            let own = self.catalogue.outputs_of(action);
            self.condition(expect, &Place { own, ..self.place(step) }, &step_route(step, name).key("expect"));
        }
        if action.effect() != crate::kind::Effect::Read {
            self.problem("changes-while-observing", format!("a {name} must only read"), &action.route, None);
        }
    }

    fn fixes(&mut self, step: &Step) {
        let causes = &self.playbook.causes;
        let is_known =
            |name: &str| causes.iter().any(|cause| cause.name == name) || self.playbook.is_written("causes", name);
        for (position, name) in step.keys.fixes.iter().enumerate().filter(|(_, name)| !is_known(name)) {
            let route = step_route(step, "fixes").index(position);
            let help = suggestion::did_you_mean(name, causes.iter().map(|cause| cause.name.as_str()));
            self.problem("unknown-cause", format!("there is no cause '{name}'"), &route, help);
        }
    }

    fn causes(&mut self) {
        for cause in &self.playbook.causes {
            let place = self.general(Phase::Diagnose);
            self.condition(&cause.when, &place, &cause.route.key("when"));
        }
    }

    fn severity(&mut self) {
        for (position, (when, _)) in self.playbook.severity.iter().enumerate() {
            let place = Place { causes: true, ..self.general(Phase::Diagnose) };
            if let Some(when) = when {
                self.condition(when, &place, &Route::of(["severity"]).index(position).key("when"));
            }
        }
    }

    fn impact(&mut self) {
        let Some(impact) = &self.playbook.header.impact else { return };
        let place = Place { causes: true, ..self.general(Phase::Diagnose) };
        for (name, text) in [("affected", &impact.affected), ("summary", &impact.summary)] {
            let Some(text) = text else { continue };
            let problems = match Template::parse(text) {
                Ok(template) => template.check(&place),
                Err(problem) => vec![problem],
            };
            let route = Route::of(["impact", name]);
            problems.iter().for_each(|problem| self.language("bad-template", problem, &route));
        }
    }

    fn escalation(&mut self) {
        let Some(text) = self.playbook.header.escalate.as_ref().and_then(|escalate| escalate.when.as_deref()) else {
            return;
        };
        let Ok(when) = Expression::parse(text) else { return };
        let flag = |name: &str| Field::new(name, Type::Bool, "how the run ended");
        let time = |name: &str| Field::new(name, Type::Duration, "time passed");
        let own =
            vec![flag("unresolved"), flag("mitigated"), flag("error"), time("phase_elapsed"), time("run_elapsed")];
        let place = Place { own: own.into(), causes: true, ..self.general(Phase::Finally) };
        self.condition(&when, &place, &Route::of(["escalate", "when"]));
    }

    fn budget(&mut self) {
        let Some(budget) = &self.playbook.header.budget else { return };
        for (position, name) in budget.per.iter().enumerate() {
            let route = Route::of(["budget", "per"]).index(position);
            if !name.starts_with("inputs.") {
                self.problem(
                    "bad-budget",
                    format!("'{name}' is not an input"),
                    &route,
                    Some("write inputs.NAME".to_owned()),
                );
            } else if let Err(problem) = self.general(Phase::Finally).type_of(name) {
                self.language("bad-budget", &problem, &route);
            }
        }
    }

    fn general(&self, phase: Phase) -> Place<'a> {
        Place {
            catalogue: self.catalogue,
            phase,
            own: Fields::default(),
            item: None,
            not_yet: None,
            causes: false,
            answers: &[],
            only_own: false,
        }
    }

    fn list(&mut self, expression: &Expression, place: &Place<'_>, route: &Route) {
        self.expression(expression, place, route, |kind| matches!(kind, Type::List(_) | Type::Any), "a list");
    }

    fn condition(&mut self, expression: &Expression, place: &Place<'_>, route: &Route) {
        self.expression(expression, place, route, |kind| matches!(kind, Type::Bool | Type::Any), "true or false");
    }

    fn expression(
        &mut self,
        expression: &Expression,
        place: &Place<'_>,
        route: &Route,
        accept: fn(&Type) -> bool,
        wanted: &str,
    ) {
        match expression.check(place) {
            Ok(kind) if accept(&kind) => {}
            Ok(kind) => {
                self.problem("wrong-type", format!("the expression is {kind}, but must be {wanted}"), route, None)
            }
            Err(problems) => problems.iter().for_each(|problem| self.language("bad-expression", problem, route)),
        }
    }

    fn request(&mut self, action: &Action, place: &Place<'_>) {
        let Request { slots, .. } = &action.request;
        for slot in slots {
            for problem in Template::check(&slot.template, place) {
                self.language("bad-template", &problem, &join(&action.route, &slot.route));
            }
        }
        self.inner_conditions(action, place);
    }

    /// Whoever approves reads the request with a placeholder for each answer. A block could make more of it than a
    /// place to fill: another request than the one that was read.
    fn shown_as_it_runs(&mut self, step: &Step) {
        let answer = |name: &&String| name.starts_with("answers.");
        for slot in step.action.request.slots.iter().filter(|slot| slot.template.has_blocks()) {
            let Some(name) = slot.template.references().iter().find(answer).filter(|_| !step.answers.is_empty()) else {
                continue;
            };
            let problem = LanguageError::new(format!("'{name}' cannot be used inside a block or helper"))
                .help("an answer is inserted as it is, so that what is approved is what is done".to_owned());
            let problem = problem.pointing_at(slot.template.text(), name);
            self.language("answer-in-block", &problem, &join(&step.action.route, &slot.route));
        }
    }

    /// Conditions inside a kind's configuration use only the names that the kind gives them.
    fn inner_conditions(&mut self, action: &Action, place: &Place<'_>) {
        for condition in (action.kind.conditions)(&action.request.raw) {
            let route = join(&action.route, &condition.route);
            let inner = Place { own: condition.names.into(), item: None, not_yet: None, only_own: true, ..*place };
            match Expression::parse(&condition.text) {
                Ok(expression) => self.condition(&expression, &inner, &route),
                Err(problem) => self.language("bad-expression", &problem, &route),
            }
        }
    }

    fn language(&mut self, code: &'static str, problem: &LanguageError, route: &Route) {
        let span = self.playbook.root.locate(route);
        self.problems.push(language_problem(code, problem, &self.playbook.source, span));
    }

    fn problem(&mut self, code: &'static str, message: String, route: &Route, help: Option<String>) {
        let span = self.playbook.root.locate(route);
        self.problems.push(Diagnostic::error(code, message).at(&self.playbook.source, span).help(help));
    }
}

fn join(route: &Route, inner: &Route) -> Route {
    inner.parts().iter().fold(route.clone(), |route, part| match part {
        Part::Key(key) => route.key(key),
        Part::Index(index) => route.index(*index),
    })
}
