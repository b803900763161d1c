//! Problems shown to a person, and the one renderer for them.

use annotate_snippets::{AnnotationKind, Level as SnippetLevel, Renderer, Snippet};
use serde::Serialize;

use super::source::{Source, Span};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    Error,
    Warning,
}

/// One problem: what is wrong (`message`), where (`source`, `span`), why it is wrong there (`label`)
/// and what to do next (`help`). `code` is stable and names a section of `docs/errors.md`.
#[derive(Debug, Clone)]
pub struct Diagnostic {
    pub level: Level,
    pub code: &'static str,
    pub message: String,
    pub label: String,
    pub help: Option<String>,
    pub place: Option<(Source, Span)>,
}

impl Diagnostic {
    pub fn error(code: &'static str, message: impl Into<String>) -> Self {
        Diagnostic { level: Level::Error, code, message: message.into(), label: String::new(), help: None, place: None }
    }

    pub fn warning(code: &'static str, message: impl Into<String>) -> Self {
        Diagnostic { level: Level::Warning, ..Diagnostic::error(code, message) }
    }

    #[must_use]
    pub fn at(mut self, source: &Source, span: Span) -> Self {
        self.place = Some((source.clone(), span));
        self
    }

    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    #[must_use]
    pub fn help(mut self, help: impl Into<Option<String>>) -> Self {
        self.help = help.into();
        self
    }

    /// The problem with its source excerpt and a caret, as a compiler would show it.
    pub fn render(&self, colour: bool) -> String {
        let level = match self.level {
            Level::Error => SnippetLevel::ERROR,
            Level::Warning => SnippetLevel::WARNING,
        };
        let mut title = level
            .primary_title(self.message.as_str())
            .id(self.code)
            .elements(None::<Snippet<'_, annotate_snippets::Annotation<'_>>>);
        let path = self.place.as_ref().map(|(source, _)| source.path.display().to_string());
        if let (Some((source, span)), Some(path)) = (&self.place, &path) {
            let (excerpt, line, place) = source.excerpt(*span);
            let annotation = AnnotationKind::Primary.span(place.start..place.end).label(self.label.as_str());
            title = title.element(Snippet::source(excerpt).line_start(line).path(path.as_str()).annotation(annotation));
        }
        if let Some(help) = &self.help {
            title = title.element(SnippetLevel::HELP.message(help.as_str()));
        }
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
        renderer.render(&[title])
    }

    /// Where it is and what it is, in one line for logs and programs: `file:line:column: message`.
    pub fn in_a_line(&self) -> String {
        let place = self.place.as_ref().map_or(String::new(), |(source, span)| {
            let (line, column) = source.line_column(span.start);
            format!("{}:{line}:{column}: ", source.path.display())
        });
        let label = if self.label.is_empty() { String::new() } else { format!(": {}", self.label) };
        let help = self.help.as_ref().map_or(String::new(), |help| format!(" ({help})"));
        format!("{place}{}{label}{help}", self.message)
    }

    /// The machine-readable form of `validate --format json`.
    pub fn to_json(&self) -> serde_json::Value {
        let (file, line, column) = match &self.place {
            Some((source, span)) => {
                let (line, column) = source.line_column(span.start);
                (Some(source.path.display().to_string()), Some(line), Some(column))
            }
            None => (None, None, None),
        };
        let message =
            if self.label.is_empty() { self.message.clone() } else { format!("{}: {}", self.message, self.label) };
        serde_json::json!({
            "level": self.level, "file": file, "line": line, "column": column,
            "code": self.code, "message": message, "help": self.help,
        })
    }
}
