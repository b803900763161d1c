//! What commands have in common: site file, journal, inputs, reporters, the runtime.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal};
use std::path::Path;
use std::sync::Arc;

use indicatif::ProgressDrawTarget;

use super::notice;
use super::output::{self, Failure};
use super::{Exit, Format, InputArguments, model};
use crate::audit::KeyFile;
use crate::base::{Source, suggestion};
use crate::engine::{Event, Record};
use crate::journal::{Journal, JournalError, MemoryJournal, Observer, SqliteJournal};
use crate::language::Given;
use crate::notify::Templates;
use crate::notify::template::TemplateError;
use crate::playbook::{self, Playbook};
use crate::report::{FanOut, Gallery, Glyphs, Json, Look, Plain, Progress, Reporter, Sketches, TimeZoneChoice};
use crate::runtime::{Approver, Host, RuntimeError};
use crate::site::{FILE_NAME, Site};
use crate::yaml;

/// The site file that was named, else the one in the working directory, else the defaults.
pub fn site(config: Option<&Path>) -> Result<Site, Failure> {
    let mut site = match site_file(config) {
        Some(path) => playbook::load_site(path).map_err(|problems| Failure::diagnostics(&problems))?,
        None => {
            let mut site = Site::default();
            site.resolve_state(false);
            site
        }
    };
    site.program = Some(model::this_program());
    Ok(site)
}

/// Where the site file is, if there is one.
pub fn site_file(config: Option<&Path>) -> Option<&Path> {
    let here = Path::new(FILE_NAME);
    config.or_else(|| here.exists().then_some(here))
}

/// The journal, and a word about runs that were left behind in it.
pub fn journal(site: &Site) -> Result<Arc<dyn Journal>, Failure> {
    let journal = open_journal(site)?;
    notice::left_behind(site, journal.as_ref(), None);
    Ok(journal)
}

pub fn open_journal(site: &Site) -> Result<Arc<dyn Journal>, Failure> {
    Ok(Arc::new(sqlite_journal(site)?))
}

/// The journal, with somebody who is told how long writing takes.
pub fn observed_journal(site: &Site, observer: Arc<dyn Observer>) -> Result<Arc<dyn Journal>, Failure> {
    Ok(Arc::new(sqlite_journal(site)?.observed_by(observer)))
}

fn sqlite_journal(site: &Site) -> Result<SqliteJournal, Failure> {
    let journal = SqliteJournal::open(site.journal_file()).map_err(|error| journal_failure(&error))?;
    Ok(journal.signing_with(KeyFile(site.audit_key_file())))
}

pub fn journal_failure(error: &JournalError) -> Failure {
    Failure::because(Exit::Error, error).help(error.help().to_owned())
}

pub fn host(
    site: Site,
    journal: Arc<dyn Journal>,
    approver: Arc<dyn Approver>,
    reporter: FanOut,
) -> Result<Arc<Host>, Failure> {
    let templates = templates(&site)?;
    Ok(Host::new(site, journal, approver, templates, Box::new(reporter)))
}

/// A host that keeps its events in memory. It knows the runs and orders of before, if there are any.
pub fn host_without_trace(site: Site, approver: Arc<dyn Approver>, reporter: FanOut) -> Result<Arc<Host>, Failure> {
    let templates = templates(&site)?;
    let memory: Arc<dyn Journal> = Arc::new(MemoryJournal::new());
    let history = if site.journal_file().exists() { journal(&site)? } else { memory.clone() };
    Ok(Host::with_history(site, memory, history, approver, templates, Box::new(reporter)))
}

pub fn templates(site: &Site) -> Result<Templates, Failure> {
    Templates::of(site).map_err(|errors| {
        let all: Vec<String> = errors.iter().map(ToString::to_string).collect();
        let help = errors.iter().find_map(TemplateError::help);
        Failure::new(Exit::Invalid, all.join("\n")).help(help)
    })
}

/// Runs a future on this thread. One thread is enough: the work is waiting, and starting more would
/// cost more than a short run.
pub fn block_on<T>(future: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::because(Exit::Error, &error))?;
    let result = runtime.block_on(future);
    // A question that nobody answered must not keep the program from ending.
    runtime.shutdown_background();
    result
}

/// The inputs of the command line, merged with those of the file. The file may serve several playbooks,
/// so what this one does not know is left out, unless it looks like a slip.
pub fn inputs(arguments: &InputArguments, playbook: &Playbook) -> Result<BTreeMap<String, Given>, Failure> {
    let mut given = match &arguments.file {
        Some(file) => inputs_of_file(file, playbook)?,
        None => BTreeMap::new(),
    };
    for text in &arguments.inputs {
        let (name, value) = named_value("input", text)?;
        given.insert(name, value);
    }
    Ok(given)
}

/// A value of the command line with its name; `noun` is the option that gives it.
pub fn named_value(noun: &str, text: &str) -> Result<(String, Given), Failure> {
    let (name, value) = text.split_once('=').ok_or_else(|| {
        Failure::new(Exit::Invalid, format!("'{text}' is not an {noun}")).help(format!("write --{noun} name=value"))
    })?;
    Ok((name.trim().to_owned(), Given::Text(value.to_owned())))
}

fn inputs_of_file(file: &Path, playbook: &Playbook) -> Result<BTreeMap<String, Given>, Failure> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| Failure::new(Exit::Invalid, format!("cannot read the inputs {}: {error}", file.display())))?;
    let root = yaml::parse(&Source::new(file, text)).map_err(|problems| Failure::diagnostics(&problems))?;
    let names: Vec<&str> = playbook.inputs.iter().map(|(name, _)| name.as_str()).collect();
    let mut given = BTreeMap::new();
    for entry in root.entries() {
        if names.contains(&entry.key.as_str()) {
            given.insert(entry.key.clone(), Given::Value(entry.value.to_json()));
            continue;
        }
        let missing: Vec<&str> = names.iter().copied().filter(|name| root.get(name).is_none()).collect();
        if let Some(near) = missing.into_iter().find(|name| suggestion::is_slip(&entry.key, name)) {
            let message = format!("{} has no input '{}' (in {})", playbook.header.name, entry.key, file.display());
            return Err(Failure::new(Exit::Invalid, message).help(format!("did you mean '{near}'?")));
        }
        tracing::info!("{}: '{}' is no input of {} and is left out", file.display(), entry.key, playbook.header.name);
    }
    Ok(given)
}

/// Names and values as they are written in arguments: `name=value`.
pub fn pairs(noun: &str, texts: &[String]) -> Result<BTreeMap<String, String>, Failure> {
    let pair = |text: &String| {
        let wrong = || Failure::new(Exit::Invalid, format!("'{text}' is not a {noun}"));
        let (name, value) = text.split_once('=').ok_or_else(|| wrong().help(format!("write --{noun} name=value")))?;
        Ok((name.trim().to_owned(), value.to_owned()))
    };
    texts.iter().map(pair).collect()
}

/// The reporters for a run: live on a terminal, lines elsewhere, or JSON.
pub fn reporter(format: Format) -> FanOut {
    let stdout = io::stdout();
    let main: Box<dyn Reporter> = match format {
        Format::Json => return FanOut::new(vec![Box::new(Json::new(Box::new(output::stdout())))]),
        Format::Text if stdout.is_terminal() => Box::new(Progress::new(ProgressDrawTarget::stdout(), look())),
        Format::Text => Box::new(Plain::new(Box::new(output::stdout()), TimeZoneChoice::Local).sketching(sketches())),
    };
    FanOut::new(vec![main, Box::new(Console)])
}

/// How text looks on standard output.
pub fn look() -> Look {
    let colour = output::colour(&io::stdout());
    let look = if io::stdout().is_terminal() {
        Look::of_terminal(&console::Term::stdout(), colour)
    } else {
        Look { colour, ..Look::default() }
    };
    Look { sketches: sketches(), ..look }
}

fn sketches() -> Sketches {
    Sketches { gallery: Gallery::new(playbook::registry::pictures), glyphs: Glyphs::of_terminal() }
}

/// Shows the messages of the `console` channel, whose receipt is their text.
struct Console;

impl Reporter for Console {
    fn report(&mut self, record: &Record) {
        if let Event::NotificationSent { channel, delivered: Some(text), .. } = &record.event
            && channel == "console"
        {
            output::message(text);
        }
    }
}

pub fn runtime_failure(error: &RuntimeError) -> Failure {
    match error {
        RuntimeError::Playbook(problems) => Failure::diagnostics(problems),
        RuntimeError::Inputs(problems) => {
            let all: Vec<String> = problems
                .iter()
                .map(|problem| match &problem.help {
                    Some(help) => format!("error: {}\n  help: {help}", problem.message),
                    None => format!("error: {}", problem.message),
                })
                .collect();
            Failure { exit: Exit::Invalid, message: String::new(), help: Some(all.join("\n")) }
        }
        RuntimeError::People { .. } => Failure::because(Exit::Invalid, error).help(
            "`approve: {by: …}` names `contacts` of the site file (runbook.yaml); see docs/site-file.md".to_owned(),
        ),
        RuntimeError::Journal(error) => journal_failure(error),
        RuntimeError::Over(_) => {
            Failure::because(Exit::Invalid, error).help("`runbook history` shows what has not ended".to_owned())
        }
        RuntimeError::Damaged { .. } | RuntimeError::Panicked { .. } => Failure::because(Exit::Error, error).help(
            "its events are kept and can still be read: `runbook show`, `runbook audit verify`; take over by hand"
                .to_owned(),
        ),
        RuntimeError::PlanChanged { .. } => Failure::because(Exit::Error, error)
            .help("go on with it by the version that started it, or take over by hand".to_owned()),
        RuntimeError::RunsElsewhere(run) => Failure::because(Exit::Invalid, error)
            .help(format!("wait for its end, or stop that process; `runbook show {run}` shows where it stands")),
        RuntimeError::Unheard { caller, .. } => Failure::because(Exit::Error, error)
            .help(format!("`runbook show {caller}` says what keeps it; say it again when that is gone")),
        RuntimeError::NotOver(run) => Failure::because(Exit::Invalid, error)
            .help(format!("`runbook resume {run}` goes on with it; only a run that has ended can be done anew")),
        RuntimeError::Called(run) => {
            let caller = run.split('/').next().unwrap_or(run);
            Failure::because(Exit::Invalid, error)
                .help(format!("do its caller anew from inside of the call: `runbook rerun {caller} --from STEP/STEP`"))
        }
        RuntimeError::Rerun { within, source, .. } => Failure::because(Exit::Invalid, error).help(source.help(within)),
        RuntimeError::SecretInClear { .. } => Failure::because(Exit::Invalid, error)
            .help("nothing was started or kept; refer to the secret by its name, {secret: NAME}".to_owned()),
        RuntimeError::CannotKeep { .. } => Failure::because(Exit::Error, error)
            .help("nothing was started; make the state folder writable, or name another with RUNBOOK_STATE".to_owned()),
        other => Failure::because(Exit::Error, other),
    }
}
