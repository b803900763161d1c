//! Who may answer a question, what an answer is bound to, and when enough people have agreed.

use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::event::{Answers, ApprovalVerdict, AskedAnswer, Event};
use super::graph::{Approval, Graph, Step};
use super::input::Answered;
use super::scope::RunScope;
use super::state::{Item, ItemState, RunState};
use crate::base::value::show;
use crate::base::{StepKey, Timestamp};
use crate::language::Declaration;
use crate::language::declaration::{self, GivenProblem, Wording};

/// How long a question may be answered when the step does not say. Within an hour what was found is
/// still likely to be so; what somebody agrees to the next morning was found the evening before.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(3600);

/// Hexadecimal digits of a digest that a person has to compare: 64 bits, too many to search for
/// another request that has the same.
const DIGITS: usize = 16;

/// What an answer is bound to: the playbook, the step, and exactly what would be done.
pub(super) fn digest(graph: &Graph, key: &StepKey, request: &Value) -> String {
    // An array, so that no part can be taken for the end of another; the keys of objects are sorted.
    of_text(&json!([graph.header.digest, key.to_string(), request]).to_string())
}

/// What an answer is bound to once somebody has said with what the step is to be done: whoever agrees after them
/// agrees to that as well.
pub fn digest_with(digest: &str, answers: &Answers) -> String {
    if answers.is_empty() { digest.to_owned() } else { of_text(&json!([digest, answers]).to_string()) }
}

fn of_text(text: &str) -> String {
    let mut digest = hex::encode(Sha256::digest(text));
    digest.truncate(DIGITS);
    digest
}

/// What a person is told of something that they have to say.
pub(super) fn asked((name, declaration): &(String, Declaration)) -> AskedAnswer {
    AskedAnswer {
        name: name.clone(),
        title: declaration.title.clone().or_else(|| declaration.help.clone()),
        expected: declaration.expected(),
        default: declaration.default.clone(),
    }
}

/// What follows from an answer. Nothing follows when nobody was asked.
pub(super) fn answered(graph: &Graph, state: &RunState, at: Timestamp, answer: &Answered) -> Vec<Event> {
    let place = state.find(&answer.key);
    let item = place.and_then(|(step, item)| state.steps.get(step)?.items.get(item as usize));
    let Some((item, expires_at, parked)) = item.and_then(open) else { return Vec::new() };
    let over = expires_at.is_some_and(|expires_at| expires_at <= at);
    if answer.verdict == ApprovalVerdict::Parked {
        return if over || parked || state.finished.is_some() {
            Vec::new()
        } else {
            vec![settled(answer, answer.verdict, Answers::new())]
        };
    }
    let question = Question { graph, state, item, over };
    let answers = match question.refusal(answer).map_or_else(|| question.answers(answer), Err) {
        Ok(answers) => answers,
        Err(why) => {
            let refused = Event::ApprovalRefused { key: answer.key.clone(), by: answer.by.clone(), why };
            // Whoever was asked here cannot answer; the run waits for somebody else.
            let waits = !over && !parked && state.finished.is_none();
            return std::iter::once(refused).chain(waits.then(|| wait_for_others(answer))).collect();
        }
    };
    // A parked run has to be resumed before an answer counts.
    if state.finished.is_some() {
        return Vec::new();
    }
    if let Some(reason) = question.needs_break_glass(answer) {
        let broken = Event::GlassBroken { key: answer.key.clone(), by: answer.by.clone(), reason: reason.clone() };
        return vec![broken, settled(answer, ApprovalVerdict::Approved, answers)];
    }
    let quorum = question.quorum();
    let have = item.approved_by.len() as u32 + 1;
    if answer.verdict == ApprovalVerdict::Approved && have < quorum {
        let counted = Event::ApprovalCounted {
            key: answer.key.clone(),
            by: answer.by.clone(),
            reason: answer.reason.clone(),
            have,
            quorum,
            answers,
        };
        return std::iter::once(counted).chain((!parked).then(|| wait_for_others(answer))).collect();
    }
    vec![settled(answer, answer.verdict, answers)]
}

fn open(item: &Item) -> Option<(&Item, Option<Timestamp>, bool)> {
    match item.state {
        ItemState::Asked { expires_at, parked } => Some((item, expires_at, parked)),
        _ => None,
    }
}

fn settled(answer: &Answered, verdict: ApprovalVerdict, answers: Answers) -> Event {
    let (by, reason) = (answer.by.clone(), answer.reason.clone());
    Event::ApprovalSettled { key: answer.key.clone(), verdict, by, reason, answers }
}

fn wait_for_others(answer: &Answered) -> Event {
    Event::ApprovalSettled {
        key: answer.key.clone(),
        verdict: ApprovalVerdict::Parked,
        by: "nobody".to_owned(),
        reason: "others have to answer".to_owned(),
        answers: Answers::new(),
    }
}

/// Why this person may not approve the step in any case; none when they may.
pub fn barred(graph: &Graph, state: &RunState, key: &StepKey, by: &str) -> Option<String> {
    let (step, item) = state.find(key)?;
    let item = state.steps.get(step)?.items.get(item as usize)?;
    Question { graph, state, item, over: false }.stranger(&graph.steps[step].approval.clone()?, by)
}

/// Everything that is wrong with answers, and what would fit.
fn told(problems: &[GivenProblem]) -> String {
    let one = |problem: &GivenProblem| match (&problem.expected, &problem.help) {
        (Some(expected), _) if !problem.message.ends_with(expected) => {
            format!("{}; expected: {expected}", problem.message)
        }
        (None, Some(help)) => format!("{}; {help}", problem.message),
        _ => problem.message.clone(),
    };
    problems.iter().map(one).collect::<Vec<_>>().join("; ")
}

struct Question<'a> {
    graph: &'a Graph,
    state: &'a RunState,
    item: &'a Item,
    over: bool,
}

impl Question<'_> {
    fn approval(&self, key: &StepKey) -> Option<&Approval> {
        self.graph.step(&key.step)?.1.approval.as_ref()
    }

    /// How many people have to agree, as the question said when it was asked.
    fn quorum(&self) -> u32 {
        self.item.quorum.max(1)
    }

    fn starter(&self) -> &str {
        self.state.header.as_ref().map_or("", |header| header.by.as_str())
    }

    /// Why an answer does not count.
    fn refusal(&self, answer: &Answered) -> Option<String> {
        if self.over {
            return Some("the time to answer was over".to_owned());
        }
        if let Some(shown) = answer.digest.as_ref().filter(|shown| **shown != self.item.asked_digest()) {
            return Some(format!("it is about {shown}, and what is asked is {}", self.item.asked_digest()));
        }
        if answer.break_glass.as_ref().is_some_and(|reason| reason.trim().is_empty()) {
            return Some("breaking the glass needs a reason".to_owned());
        }
        let approval = self.approval(&answer.key).filter(|approval| approval.is_guarded())?;
        // Who started the run may withdraw it, and in an emergency go on alone.
        let allowed = answer.verdict == ApprovalVerdict::Rejected || answer.break_glass.is_some();
        if allowed && answer.by == self.starter() {
            return None;
        }
        let twice = || format!("{} has approved it already; another person has to", answer.by);
        let again = answer.verdict == ApprovalVerdict::Approved
            && answer.break_glass.is_none()
            && self.item.approved_by.contains(&answer.by);
        self.stranger(approval, &answer.by).or_else(|| again.then(twice))
    }

    fn stranger(&self, approval: &Approval, by: &str) -> Option<String> {
        if !approval.is_guarded() {
            return None;
        }
        if by == self.starter() {
            return Some(format!("{by} started the run, and another person has to approve it"));
        }
        let known = approval.by.is_empty() || approval.logins.contains(by);
        (!known).then(|| format!("{by} is none of those who may answer: {}", approval.by.join(", ")))
    }

    /// The reason, when the answer counts only because somebody broke the glass.
    fn needs_break_glass<'b>(&self, answer: &'b Answered) -> Option<&'b String> {
        let reason = answer.break_glass.as_ref().filter(|_| answer.verdict == ApprovalVerdict::Approved)?;
        let approval = self.approval(&answer.key).filter(|approval| approval.is_guarded())?;
        let enough = self.item.approved_by.len() as u32 + 1 >= self.quorum();
        let ordinary = enough && self.stranger(approval, &answer.by).is_none();
        (!ordinary).then_some(reason)
    }

    /// What the step is to be done with, or why the answer does not count.
    fn answers(&self, answer: &Answered) -> Result<Answers, String> {
        let Some((_, step)) = self.graph.step(&answer.key.step) else { return Ok(Answers::new()) };
        if answer.verdict != ApprovalVerdict::Approved || self.graph.open_answers {
            return Ok(Answers::new());
        }
        let Some(first) = self.item.approved_by.first() else { return self.first_answers(step, answer) };
        self.same_answers(step, answer, first)
    }

    fn first_answers(&self, step: &Step, answer: &Answered) -> Result<Answers, String> {
        let wording = Wording::answers(&step.id);
        let answers = declaration::resolve(step.answers(), &answer.answers, wording).map_err(|all| told(&all))?;
        let scope = RunScope::of_step(self.graph, self.state, step, Some(self.item)).answered(&answers);
        // A step that could not be done with them must not wait for others and fail then.
        match step.request.render(&scope) {
            Err(problem) if !answers.is_empty() => Err(format!("it cannot be done with this: {}", problem.message)),
            _ => Ok(answers),
        }
    }

    /// Whoever agrees after the first one agrees to what that one said.
    fn same_answers(&self, step: &Step, answer: &Answered, first: &str) -> Result<Answers, String> {
        let standing = &self.item.answers;
        let given = |(name, _): &&(String, Declaration)| answer.answers.contains_key(name);
        let given: Vec<(String, Declaration)> = step.answers().iter().filter(given).cloned().collect();
        let own =
            declaration::resolve(&given, &answer.answers, Wording::answers(&step.id)).map_err(|all| told(&all))?;
        let differs = own.iter().find(|(name, value)| standing.get(*name) != Some(*value));
        match differs {
            Some((name, value)) => {
                let before = standing.get(name).map(show).unwrap_or_default();
                Err(format!(
                    "{first} said {name} = {before}, and {} says {}; all have to say the same",
                    answer.by,
                    show(value)
                ))
            }
            None => Ok(standing.clone()),
        }
    }
}
