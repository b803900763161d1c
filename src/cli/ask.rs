//! The question at the terminal. The reporter has already shown exactly what will be done.

use std::io::{self, BufRead, Write};

use super::output;
use crate::base::environment;
use crate::engine::event::ApprovalVerdict;
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
    Answer { verdict, by: environment::user(), reason: reason.to_owned() }
}

fn ask(question: &Question) -> Answer {
    loop {
        match prompt(&format!("  Do {} now? ({}) [y]es, [n]o, [l]ater: ", question.key, question.risk)) {
            Some(text) => match text.trim().to_lowercase().as_str() {
                "y" | "yes" => return settle(ApprovalVerdict::Approved, "approved at the terminal"),
                "n" | "no" => return settle(ApprovalVerdict::Rejected, "rejected at the terminal"),
                "l" | "later" => return settle(ApprovalVerdict::Parked, "put off at the terminal"),
                _ => {}
            },
            // The terminal is gone.
            None => return settle(ApprovalVerdict::Parked, "nobody answered"),
        }
    }
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
