//! The question at the terminal. The reporter has already shown exactly what will be done.

use std::io::{self, BufRead, Write};

use super::output;
use crate::base::environment;
use crate::engine::event::{ApprovalVerdict, Risk};
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
                text if agrees(text, &yes) => return settle(ApprovalVerdict::Approved, "approved at the terminal"),
                "n" | "no" => return settle(ApprovalVerdict::Rejected, "rejected at the terminal"),
                "l" | "later" => return settle(ApprovalVerdict::Parked, "put off at the terminal"),
                _ => {}
            },
            // The terminal is gone.
            None => return settle(ApprovalVerdict::Parked, "nobody answered"),
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
    use super::agrees;

    #[test]
    fn what_destroys_something_is_agreed_to_by_its_name_and_nothing_shorter() {
        assert!(agrees("y", "y") && agrees("yes", "y") && !agrees("", "y"));
        assert!(agrees("remediate.wipe", "remediate.wipe"));
        for text in ["y", "yes", "", "remediate", "remediate.wip"] {
            assert!(!agrees(text, "remediate.wipe"), "{text}");
        }
    }
}
