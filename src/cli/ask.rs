//! The question at the terminal. The reporter has already shown exactly what will be done.

use std::collections::BTreeMap;
use std::io::{self, BufRead, Write};

use super::output;
use crate::base::environment;
use crate::base::value::show;
use crate::engine::event::{ApprovalVerdict, Risk};
use crate::language::{Declaration, Given};
use crate::runtime::{Answer, Approver, Question};

/// Asks the person at the terminal.
pub struct Terminal;

type AnswerFuture = std::pin::Pin<Box<dyn Future<Output = Answer> + Send>>;

impl Approver for Terminal {
    fn ask(&self, question: Question) -> AnswerFuture {
        Box::pin(async move {
            let answer = tokio::task::spawn_blocking(move || ask(&question)).await;
            answer.unwrap_or_else(|_| settle(ApprovalVerdict::Parked, "the question could not be asked"))
        })
    }
}

fn settle(verdict: ApprovalVerdict, reason: &str) -> Answer {
    Answer::new(verdict, environment::user(), reason)
}

fn ask(question: &Question) -> Answer {
    // Nobody types the name of a step by habit, as they do a y.
    let (yes, offer) = match question.risk {
        Risk::Destructive => (question.key.to_string(), format!("type {} to do it, ", question.key)),
        _ => ("y".to_owned(), "[y]es, ".to_owned()),
    };
    if let Some(why) = &question.barred {
        return Answer::new(ApprovalVerdict::Parked, "nobody", why);
    }
    loop {
        match prompt(&format!("  Do {} now? ({}) {offer}[n]o, [l]ater: ", question.key, question.risk)) {
            Some(text) => match text.trim().to_lowercase().as_str() {
                text if agrees(text, &yes) => return approved(question),
                "n" | "no" => return settle(ApprovalVerdict::Rejected, "rejected at the terminal"),
                "l" | "later" => return settle(ApprovalVerdict::Parked, "put off at the terminal"),
                _ => {}
            },
            // The terminal is gone.
            None => return settle(ApprovalVerdict::Parked, "nobody answered"),
        }
    }
}

/// A yes is worth as much as what is said with it: without all of it the question stays open.
fn approved(question: &Question) -> Answer {
    match answers(&question.answers, prompt) {
        Some(answers) => Answer { answers, ..settle(ApprovalVerdict::Approved, "approved at the terminal") },
        None => settle(ApprovalVerdict::Parked, "nobody answered"),
    }
}

/// Asks for one after the other, each until what is said fits; none when the terminal is gone.
fn answers(
    asked: &[(String, Declaration)],
    mut prompt: impl FnMut(&str) -> Option<String>,
) -> Option<BTreeMap<String, Given>> {
    let mut said = BTreeMap::new();
    for (name, declaration) in asked {
        if let Some(given) = answer(name, declaration, &mut prompt)? {
            said.insert(name.clone(), given);
        }
    }
    Some(said)
}

/// One answer; the inner `None` takes the default.
fn answer(
    name: &str,
    declaration: &Declaration,
    prompt: &mut impl FnMut(&str) -> Option<String>,
) -> Option<Option<Given>> {
    let title = declaration.title.as_ref().or(declaration.help.as_ref());
    let title = title.map(|title| format!("{title}; ")).unwrap_or_default();
    let default = declaration.default.as_ref().map(|default| format!(" [{}]", show(default))).unwrap_or_default();
    let mut wrong = String::new();
    loop {
        let text = prompt(&format!("{wrong}  {name} ({title}{}){default}: ", declaration.expected()))?;
        let text = text.trim_end_matches(['\n', '\r']);
        if text.is_empty() && declaration.default.is_some() {
            return Some(None);
        }
        let given = Given::Text(text.to_owned());
        match declaration.read(&given) {
            Ok(_) => return Some(Some(given)),
            Err(why) => wrong = format!("  {name}: {why}\n"),
        }
    }
}

/// `yes` in full stands for `y`, and for nothing else that has to be typed.
fn agrees(text: &str, yes: &str) -> bool {
    text == yes.to_lowercase() || (yes == "y" && text == "yes")
}

fn prompt(text: &str) -> Option<String> {
    let mut output = output::stdout();
    write!(output, "{text}").and_then(|()| output.flush()).ok()?;
    drop(output);
    let mut answer = String::new();
    match io::stdin().lock().read_line(&mut answer) {
        Ok(0) | Err(_) => None,
        Ok(_) => Some(answer),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Given, agrees, answers};

    /// What is asked, and what comes of these lines.
    fn asked(lines: &[&str]) -> (Vec<String>, Option<Vec<(String, Given)>>) {
        let declared = [
            ("replicas", json!({"type": "int", "min": 1, "max": 10, "title": "How many", "default": 2})),
            ("ticket", json!({"type": "string", "pattern": "[A-Z]+-[0-9]+"})),
        ];
        let declared = declared.map(|(name, value)| (name.to_owned(), serde_json::from_value(value).expect("valid")));
        let (mut prompts, mut lines) = (Vec::new(), lines.iter());
        let said = answers(&declared, |prompt| {
            prompts.push(prompt.to_owned());
            lines.next().map(|line| (*line).to_owned())
        });
        (prompts, said.map(|said| said.into_iter().collect()))
    }

    #[test]
    fn each_answer_is_asked_until_it_fits() {
        let (prompts, said) = asked(&["11\n", "x\n", "3\n", "\n", "ops-7\n", "OPS-7\n"]);
        let given = |name: &str, text: &str| (name.to_owned(), Given::Text(text.to_owned()));
        assert_eq!(said, Some(vec![given("replicas", "3"), given("ticket", "OPS-7")]));
        assert_eq!(prompts[0], "  replicas (How many; a whole number, from 1 to 10) [2]: ");
        assert!(prompts[1].starts_with("  replicas: it is more than 10\n"), "{}", prompts[1]);
        assert!(prompts[2].contains("'x' is not a whole number"), "{}", prompts[2]);
        assert!(prompts[4].contains("does not match"), "nothing is no ticket: {}", prompts[4]);
    }

    #[test]
    fn an_empty_line_takes_the_default_and_a_lost_terminal_answers_nothing() {
        let ticket = ("ticket".to_owned(), Given::Text("OPS-7".to_owned()));
        assert_eq!(asked(&["\n", "OPS-7\n"]).1, Some(vec![ticket]));
        assert_eq!(asked(&["3\n"]).1, None);
    }

    #[test]
    fn what_destroys_something_is_agreed_to_by_its_name_and_nothing_shorter() {
        assert!(agrees("y", "y") && agrees("yes", "y") && !agrees("", "y"));
        assert!(agrees("remediate.wipe", "remediate.wipe"));
        for text in ["y", "yes", "", "remediate", "remediate.wip"] {
            assert!(!agrees(text, "remediate.wipe"), "{text}");
        }
    }
}
