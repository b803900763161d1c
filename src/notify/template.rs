//! The wording of messages: Handlebars templates, shipped ones and those of a site that replace or add
//! to them. A file begins with `Subject: …`; what follows is the text.
//!
//! Templates are compiled when they are loaded and never from data, and what data they insert stays
//! as it is: escaping belongs to the channel, which knows its format.

use std::path::{Path, PathBuf};

use handlebars::{Handlebars, RenderError, RenderErrorReason, no_escape};
use serde_json::Value;

use super::{Facts, Occasion};
use crate::base::suggestion::did_you_mean;
use crate::site::Site;

/// Name and text of the shipped templates: one an occasion, and the status update that goes to
/// people who do not run anything themselves.
const SHIPPED: [(&str, &str); 10] = [
    ("started", include_str!("templates/started.hbs")),
    ("approval", include_str!("templates/approval.hbs")),
    ("resolved", include_str!("templates/resolved.hbs")),
    ("unresolved", include_str!("templates/unresolved.hbs")),
    ("escalated", include_str!("templates/escalated.hbs")),
    ("parked", include_str!("templates/parked.hbs")),
    ("break_glass", include_str!("templates/break_glass.hbs")),
    ("error", include_str!("templates/error.hbs")),
    ("acknowledged", include_str!("templates/acknowledged.hbs")),
    ("status-update", include_str!("templates/status-update.hbs")),
];

/// The name that stands for the template of the occasion.
pub const DEFAULT: &str = "default";

#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    #[error("cannot read the message templates at {path}")]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error("the message template {path} must begin with 'Subject: ' and the subject")]
    NoSubject { path: PathBuf },
    #[error("the message template {path} is not valid Handlebars")]
    Invalid { path: PathBuf, source: Box<handlebars::TemplateError> },
    #[error("the message template {path} uses a value that messages do not have")]
    WrongValue { path: PathBuf, source: Box<RenderError> },
    #[error("there is no message template called '{name}'")]
    Unknown { name: String, help: Option<String> },
    #[error("the template '{name}' cannot be used for this run: {why}")]
    Unusable { name: String, why: String },
}

impl TemplateError {
    /// What the reader can do next.
    pub fn help(&self) -> Option<String> {
        match self {
            TemplateError::Unreadable { .. } => {
                Some("`templates` in the site file names a folder of .hbs files".into())
            }
            TemplateError::NoSubject { .. } => Some("for example: Subject: {{title}} ({{affected}})".into()),
            TemplateError::Invalid { .. } | TemplateError::Unusable { .. } => None,
            TemplateError::WrongValue { .. } => Some(format!("messages have {}", known_values())),
            TemplateError::Unknown { help, .. } => help.clone(),
        }
    }
}

fn known_values() -> String {
    let values = Facts::sample(Occasion::Started).values();
    values.as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ")
}

/// The templates of a place.
#[derive(Debug, Clone)]
pub struct Templates {
    registry: Handlebars<'static>,
}

impl Templates {
    /// Only the shipped ones.
    pub fn shipped() -> Self {
        let mut registry = Handlebars::new();
        // A misspelt name in a template is an error when it is loaded, not a gap in a message at night.
        registry.set_strict_mode(true);
        registry.register_escape_fn(no_escape);
        let mut templates = Templates { registry };
        for (name, text) in SHIPPED {
            templates.add(name, Path::new(name), text).expect("a test adds every shipped template");
        }
        templates
    }

    /// The shipped ones and those of a site's folder, where `started.hbs` replaces the shipped
    /// `started` and any other name adds a template. Reports everything that is wrong.
    fn load(folder: Option<&Path>) -> Result<Self, Vec<TemplateError>> {
        let mut templates = Templates::shipped();
        let files = folder.map_or(Ok(Vec::new()), template_files).map_err(|error| vec![error])?;
        let errors: Vec<TemplateError> = files.iter().filter_map(|path| templates.add_file(path).err()).collect();
        if errors.is_empty() { Ok(templates) } else { Err(errors) }
    }

    /// Those of a site, and what its own status updates use.
    pub fn of(site: &Site) -> Result<Self, Vec<TemplateError>> {
        let templates = Templates::load(site.templates.as_deref())?;
        let used = site.notify.status.iter().filter_map(|status| status.template.as_deref());
        let unknown: Vec<TemplateError> = used.filter_map(|name| templates.check(name).err()).collect();
        if unknown.is_empty() { Ok(templates) } else { Err(unknown) }
    }

    /// Whether a playbook can name this template.
    pub fn check(&self, name: &str) -> Result<(), TemplateError> {
        if name == DEFAULT || self.registry.has_template(&subject_of(name)) {
            return Ok(());
        }
        let known: Vec<&str> =
            self.registry.get_templates().keys().filter_map(|key| key.strip_suffix(".subject")).collect();
        let help = did_you_mean(name, known.into_iter().chain([DEFAULT]));
        Err(TemplateError::Unknown { name: name.to_owned(), help })
    }

    /// Subject and body.
    pub(super) fn render(&self, name: &str, on: Occasion, values: &Value) -> Result<(String, String), TemplateError> {
        self.check(name)?;
        let name = if name == DEFAULT { on.label() } else { name };
        self.parts(name, values).map_err(|error| TemplateError::Unusable { name: name.into(), why: explain(&error) })
    }

    fn parts(&self, name: &str, values: &Value) -> Result<(String, String), RenderError> {
        Ok((self.registry.render(&subject_of(name), values)?, self.registry.render(&body_of(name), values)?))
    }

    fn add_file(&mut self, path: &Path) -> Result<(), TemplateError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| TemplateError::Unreadable { path: path.to_owned(), source })?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        self.add(&name, path, &text)?;
        self.try_out(&name)
            .map_err(|source| TemplateError::WrongValue { path: path.to_owned(), source: Box::new(source) })
    }

    /// The subject is split off before anything is inserted, so that no value can end or begin it.
    fn add(&mut self, name: &str, path: &Path, text: &str) -> Result<(), TemplateError> {
        let (first, body) = text.split_once('\n').unwrap_or((text, ""));
        let subject = first.trim_end().strip_prefix("Subject: ").filter(|subject| !subject.is_empty());
        let subject = subject.ok_or_else(|| TemplateError::NoSubject { path: path.to_owned() })?;
        // The empty first line keeps the line numbers of errors those of the file.
        let registered = self.registry.register_template_string(&subject_of(name), subject);
        registered
            .and_then(|()| self.registry.register_template_string(&body_of(name), format!("\n{body}")))
            .map_err(|source| TemplateError::Invalid { path: path.to_owned(), source: Box::new(source) })
    }

    /// Renders once for every occasion. Inputs differ from playbook to playbook, so those a sample run
    /// does not have prove nothing.
    fn try_out(&self, name: &str) -> Result<(), RenderError> {
        for on in Occasion::ALL {
            match self.parts(name, &Facts::sample(on).values()) {
                Err(error) if missing(&error).is_some_and(|name| name.contains("inputs.")) => {}
                rendered => drop(rendered?),
            }
        }
        Ok(())
    }
}

fn subject_of(name: &str) -> String {
    format!("{name}.subject")
}

fn body_of(name: &str) -> String {
    format!("{name}.body")
}

fn missing(error: &RenderError) -> Option<&str> {
    match error.reason() {
        RenderErrorReason::MissingVariable(name) => name.as_deref(),
        _ => None,
    }
}

fn explain(error: &RenderError) -> String {
    missing(error).map_or_else(|| error.to_string(), |name| format!("there is no value '{name}'"))
}

fn template_files(folder: &Path) -> Result<Vec<PathBuf>, TemplateError> {
    let unreadable = |source| TemplateError::Unreadable { path: folder.to_owned(), source };
    let mut files = Vec::new();
    for file in std::fs::read_dir(folder).map_err(unreadable)? {
        let path = file.map_err(unreadable)?.path();
        if path.extension().is_some_and(|ending| ending == "hbs") {
            files.push(path);
        }
    }
    // The order of a folder differs between file systems; errors should not.
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        folder
    }

    #[test]
    fn shipped_templates_use_only_values_that_messages_have() {
        let templates = Templates::shipped();
        for (name, _) in SHIPPED {
            templates.try_out(name).unwrap();
        }
        for on in Occasion::ALL {
            assert!(SHIPPED.iter().any(|(name, _)| *name == on.label()), "{on}");
        }
    }

    #[test]
    fn the_shipped_wording() {
        let templates = Templates::shipped();
        let shown = |on| {
            let message = templates.message(DEFAULT, &Facts::sample(on));
            format!("Subject: {}\n\n{}\n", message.subject, message.text)
        };
        insta::assert_snapshot!(Occasion::ALL.map(shown).join("\n----\n\n"));
    }

    #[test]
    fn the_status_update_follows_the_communication_template() {
        let message = Templates::shipped().message("status-update", &Facts::sample(Occasion::Approval));
        assert_eq!(message.subject, "MODEL_LOAD_ERROR - deepseek");
        let expected = "\
Status: Mitigating
Impact: deepseek unavailable
Started: 2026-11-22 17:40:12 UTC
ETA: about 2026-11-22 17:55:12 UTC

Current Actions:
- remediate.restore: downloaded model.onnx

Next Steps:
- Reload the model

Updates: every 30 minutes or on status change

To run it again:
runbook run model-load-error --input 'provider=deepseek' --input 'api=http://127.0.0.1:8000'

To approve it:
runbook approve 1122-174012-k3f9 remediate.reload";
        assert_eq!(message.text, expected);
    }

    #[test]
    fn the_status_moves_from_investigating_to_resolved() {
        let status = |facts: &Facts| {
            let text = Templates::shipped().message("status-update", facts).text;
            text.lines().next().unwrap().to_owned()
        };
        let started = Facts { actions_done: vec![], approval: None, ..Facts::sample(Occasion::Started) };
        assert_eq!(status(&started), "Status: Investigating");
        assert_eq!(status(&Facts::sample(Occasion::Escalated)), "Status: Mitigating");
        assert_eq!(status(&Facts::sample(Occasion::Resolved)), "Status: Resolved");
        let mitigated = Facts { outcome: Some("mitigated".into()), ..Facts::sample(Occasion::Resolved) };
        assert_eq!(status(&mitigated), "Status: Mitigating");
    }

    #[test]
    fn a_site_replaces_a_template_and_adds_another() {
        let files = [
            ("started.hbs", "Subject: ours: {{title}}\nHello <{{inputs.provider}}>\n"),
            ("short.hbs", "Subject: {{code}}\n"),
            ("notes.txt", "x"),
        ];
        let folder = folder(&files);
        let templates = Templates::load(Some(folder.path())).unwrap();
        let message = templates.message(DEFAULT, &Facts::sample(Occasion::Started));
        assert_eq!(message.subject, "ours: OCR or vision model fails to load");
        assert!(message.text.starts_with("Hello <deepseek>\n\nTo run it again:\n"), "{}", message.text);
        assert!(message.text.ends_with("\n\nTo see everything:\nrunbook show 1122-174012-k3f9"), "{}", message.text);
        assert_eq!(templates.message("short", &Facts::sample(Occasion::Started)).subject, "MODEL_LOAD_ERROR");
        assert!(templates.check("notes").is_err());
    }

    #[test]
    fn everything_wrong_in_a_folder_is_reported_at_once() {
        let files = [
            ("a.hbs", "Subject: {{titel}}\n"),
            ("b.hbs", "no subject\n"),
            ("c.hbs", "Subject: x\n{{#if run}}\n"),
            ("d.hbs", "Subject: {{inputs.only_elsewhere}}\n"),
        ];
        let folder = folder(&files);
        let errors = Templates::load(Some(folder.path())).unwrap_err();
        assert!(
            matches!(
                errors.as_slice(),
                [TemplateError::WrongValue { .. }, TemplateError::NoSubject { .. }, TemplateError::Invalid { .. }]
            ),
            "{errors:?}"
        );
        assert!(errors[0].help().unwrap().contains("title"));
        assert!(matches!(
            &Templates::load(Some(&folder.path().join("none"))).unwrap_err()[..],
            [TemplateError::Unreadable { .. }]
        ));
    }

    #[test]
    fn a_template_that_does_not_fit_the_run_does_not_cost_the_message() {
        let folder = folder(&[("started.hbs", "Subject: {{inputs.only_elsewhere}}\n")]);
        let templates = Templates::load(Some(folder.path())).unwrap();
        let message = templates.message(DEFAULT, &Facts::sample(Occasion::Started));
        assert!(message.subject.contains("OCR or vision model fails to load"), "{}", message.subject);
        assert!(
            message.text.contains("'started' cannot be used for this run: there is no value 'inputs.only_elsewhere'"),
            "{}",
            message.text
        );
    }

    #[test]
    fn a_misspelt_template_is_recognised() {
        let error = Templates::shipped().check("status-updat").unwrap_err();
        assert!(error.help().unwrap().starts_with("did you mean 'status-update'"));
        assert!(Templates::shipped().check(DEFAULT).is_ok());
    }
}
