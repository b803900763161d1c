//! What the runs of one process share, and how a run is prepared and continued.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock};

use serde_json::Value;
use tokio::sync::mpsc;

use super::anchoring::Anchoring;
use super::answers::{Answer, Approver, Question};
use super::approvers::{self, ApproverProblem};
use super::calls::{Calls, Said};
use super::driver::{Driver, Ended};
use super::guards::Guards;
use super::outbox::Entrance;
use super::place::Place;
use super::running::Running;
use super::spoken::Spoken;
use super::turns::Turns;
use crate::base::{Clock, Diagnostic, RunId, entropy, private, redaction};
use crate::engine::event::{ApprovalVerdict, Risk};
use crate::engine::rerun::RerunError;
use crate::engine::{Graph, IllegalTransition, RunState, What};
use crate::journal::{Journal, JournalError, MemoryJournal};
use crate::kind::Services;
use crate::language::{Given, GivenProblem};
use crate::notify::Templates;
use crate::plan::{self, Settings};
use crate::playbook::{Library, Notify, Playbook, inputs};
use crate::report::{FanOut, Reporter};
use crate::site::Site;

/// Why a run could not be started or continued.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error("the playbook is not valid")]
    Playbook(Vec<Diagnostic>),
    #[error("the inputs are not valid")]
    Inputs(Vec<GivenProblem>),
    #[error("{step} asks people who cannot agree: {source}")]
    People { step: String, source: ApproverProblem },
    #[error("the journal of run {run} does not make sense")]
    Damaged { run: String, source: IllegalTransition },
    #[error("bug: run {run} cannot be gone on with: the program panicked over its events")]
    Panicked { run: String },
    #[error("this version of runbook makes another plan of the playbook of run {run} than the one it was started with")]
    PlanChanged { run: String },
    #[error("run {0} has ended; there is nothing to continue")]
    Over(String),
    #[error("what was said to run {run} was not heard, because run {caller} did not go on with it")]
    Unheard { run: String, caller: String },
    #[error("run {0} is being run by another process")]
    RunsElsewhere(String),
    #[error("cannot tell whether run {run} is being run by another process")]
    CannotHold { run: String, source: std::io::Error },
    #[error("run {0} has not ended")]
    NotOver(String),
    #[error("run {0} was started by a step of another run")]
    Called(String),
    #[error("run {run} cannot be done anew from there: {source}")]
    Rerun { run: String, within: String, source: RerunError },
    #[error("the playbook of run {run} is not kept any more ({path})")]
    PlaybookGone { run: String, path: PathBuf, source: std::io::Error },
    #[error("the kept playbook of run {run} is not the one it was started with ({path})")]
    PlaybookChanged { run: String, path: PathBuf },
    #[error("{what} has a secret of the site file in it")]
    SecretInClear { what: String },
    #[error("cannot keep a copy of the playbook at {path}")]
    CannotKeep { path: PathBuf, source: std::io::Error },
    #[error("bug: the engine produced an event it does not accept")]
    Engine(#[from] IllegalTransition),
}

/// A run that is ready to start.
#[derive(Debug, Clone)]
pub struct Prepared {
    pub run: RunId,
    pub playbook: Playbook,
    pub graph: Graph,
}

/// Everything the runs of this process share.
pub struct Host {
    pub(super) place: Place,
    pub journal: Arc<dyn Journal>,
    /// Where runs and orders of before are looked up; the journal itself, unless it forgets.
    history: Arc<dyn Journal>,
    pub library: Library,
    pub clock: Clock,
    pub(super) anchoring: Arc<Anchoring>,
    reporter: Mutex<Box<dyn Reporter>>,
    pub(super) turns: Turns,
    pub(super) said: Said,
    /// Where messages wait that must not go out at once; none where each does.
    pub(super) outbox: OnceLock<Entrance>,
}

impl Host {
    pub fn new(
        site: Site,
        journal: Arc<dyn Journal>,
        approver: Arc<dyn Approver>,
        templates: Templates,
        reporter: Box<dyn Reporter>,
    ) -> Arc<Self> {
        Self::with_history(site, journal.clone(), journal, approver, templates, reporter)
    }

    /// A host whose own runs leave no trace, but that knows those of before.
    pub fn with_history(
        site: Site,
        journal: Arc<dyn Journal>,
        history: Arc<dyn Journal>,
        approver: Arc<dyn Approver>,
        templates: Templates,
        reporter: Box<dyn Reporter>,
    ) -> Arc<Self> {
        let clock = Clock::start();
        let library = Library::new(site.playbooks.clone());
        Arc::new_cyclic(|host| {
            let mut services = Services::new(site, clock);
            services.playbooks = Some(Arc::new(Calls::new(host.clone(), approver)));
            let services = Arc::new(services);
            Host {
                anchoring: Anchoring::new(journal.clone(), services.clone()),
                place: Place::new(services, templates),
                journal,
                history,
                library,
                clock,
                reporter: Mutex::new(reporter),
                turns: Turns::default(),
                said: Said::default(),
                outbox: OnceLock::new(),
            }
        })
    }

    /// The same host with a journal in memory that nobody reads: for looks that are no runs.
    pub(super) fn without_trace(&self) -> Arc<Self> {
        let journal: Arc<dyn Journal> = Arc::new(MemoryJournal::new());
        let now = self.place.now();
        Arc::new(Host {
            anchoring: Anchoring::new(journal.clone(), now.services.clone()),
            place: Place::of(now),
            journal,
            history: self.history.clone(),
            library: self.library.clone(),
            clock: self.clock,
            said: Said::default(),
            outbox: OnceLock::new(),
            reporter: Mutex::new(Box::new(FanOut::new(Vec::new()))),
            turns: Turns::default(),
        })
    }

    /// Shows something to whoever looks. A reporter that panicked is out of use, and the run goes on.
    pub fn show(&self, tell: impl FnOnce(&mut dyn Reporter)) {
        if let Ok(mut reporter) = self.reporter.lock() {
            tell(reporter.as_mut());
        }
    }

    /// Shows what happened in a run before, so that the reader of its continuation sees the whole of it. A run
    /// that cannot be gone on with is not shown.
    pub fn show_before(&self, run: &RunId) -> Result<(), RuntimeError> {
        self.restore(run)?;
        for run in run.with_callers() {
            let before = self.journal.read(&run)?;
            self.show(|reporter| before.iter().for_each(|record| reporter.report(record)));
        }
        Ok(())
    }

    pub(super) async fn ask(&self, approver: &dyn Approver, question: Question) -> Answer {
        let _turn = self.turns.questions.lock().await;
        self.show(|reporter| reporter.pause());
        let answer = approver.ask(question).await;
        self.show(|reporter| reporter.resume());
        match approvers::refuse_secrets(&answer.answers) {
            Ok(()) => answer,
            Err(why) => Answer::new(ApprovalVerdict::Parked, "nobody", why.to_string()),
        }
    }

    /// Checks a playbook with its inputs and makes its graph.
    pub fn prepare(
        &self,
        playbook: Playbook,
        given: &BTreeMap<String, Given>,
        by: &str,
        trigger: &str,
    ) -> Result<Prepared, RuntimeError> {
        let problems = plan::check(&playbook);
        if !problems.is_empty() {
            return Err(RuntimeError::Playbook(problems));
        }
        let inputs = inputs::resolve(&playbook, given).map_err(RuntimeError::Inputs)?;
        let run = RunId::new(self.clock.now(), entropy::random());
        let graph = self.compile(&playbook, inputs, by, trigger);
        approvers::check(&graph, &self.services().site)?;
        Ok(Prepared { run, playbook, graph })
    }

    /// What may keep a run from changing anything.
    pub fn guards(&self, prepared: &Prepared) -> Guards {
        let Prepared { run, playbook, graph } = prepared;
        Guards::of(self.history.clone(), &self.services().site, playbook, graph, run)
    }

    /// The graph of a playbook that is valid, as a run of it would have.
    pub fn compile(&self, playbook: &Playbook, inputs: Value, by: &str, trigger: &str) -> Graph {
        let parallel = self.services().site.parallel;
        // Nobody should be asked about what cannot hurt; everything that disrupts is asked about.
        let mut graph = plan::compile(
            playbook,
            Settings { inputs, by: by.to_owned(), trigger: trigger.to_owned(), parallel, ask_from: Risk::Disruptive },
        );
        approvers::resolve(&mut graph, &self.services().site);
        graph
    }

    /// Runs to the end, or until a person is needed.
    pub async fn run(
        self: &Arc<Self>,
        prepared: Prepared,
        approver: Arc<dyn Approver>,
        stops: Option<mpsc::UnboundedReceiver<bool>>,
    ) -> Result<Ended, RuntimeError> {
        self.run_from(prepared, What::Start, approver, stops).await
    }

    /// The same for a run that begins with `first`.
    pub async fn run_from(
        self: &Arc<Self>,
        prepared: Prepared,
        first: What,
        approver: Arc<dyn Approver>,
        stops: Option<mpsc::UnboundedReceiver<bool>>,
    ) -> Result<Ended, RuntimeError> {
        self.services().site.meet_secrets().await;
        refuse_secrets(&prepared)?;
        let running = if prepared.graph.look_only.is_some() {
            None
        } else {
            self.keep_playbook(&prepared.playbook)?;
            self.hold(&prepared.run)?
        };
        let ended = Driver::new(self.clone(), prepared, RunState::default(), approver).run(first, stops).await?;
        let_go(running, &ended);
        Ok(ended)
    }

    /// The sole right to run it; a called run is its caller's.
    pub(super) fn hold(&self, run: &RunId) -> Result<Option<Running>, RuntimeError> {
        if run.is_child() {
            return Ok(None);
        }
        match Running::hold(&self.services().site.state, run) {
            Ok(Some(running)) => Ok(Some(running)),
            Ok(None) => Err(RuntimeError::RunsElsewhere(run.to_string())),
            Err(source) => Err(RuntimeError::CannotHold { run: run.to_string(), source }),
        }
    }

    /// Goes on with an unfinished run.
    pub async fn resume(
        self: &Arc<Self>,
        run: &RunId,
        first: impl Into<Spoken>,
        approver: Arc<dyn Approver>,
        stops: Option<mpsc::UnboundedReceiver<bool>>,
    ) -> Result<Ended, RuntimeError> {
        let Spoken { words, held } = first.into();
        // Before the journal is read, so that nobody adds to it meanwhile.
        let running = match held.filter(|held| held.is_of(run)) {
            Some(held) => Some(held),
            None => self.hold(run)?,
        };
        self.services().site.meet_secrets().await;
        let (prepared, state, open) = self.restore(run)?;
        let records = self.journal.read(run)?;
        let by = crate::base::environment::user();
        let mut driver = Driver::new(self.clone(), prepared, state, approver);
        let goes_on = driver.take_over(open);
        driver.catch_up(&records);
        driver.queue(words);
        let ended = driver.run(What::Resumed { by, goes_on }, stops).await?;
        let_go(running, &ended);
        Ok(ended)
    }

    /// A run is pinned to the text it was started with, whatever happens to the file.
    fn keep_playbook(&self, playbook: &Playbook) -> Result<(), RuntimeError> {
        let path = self.kept_playbook(&playbook.digest);
        if path.exists() {
            return Ok(());
        }
        let write = || {
            private::create_folder(path.parent().unwrap_or(&path))?;
            // As durable as the journal, which is worth nothing to a run without it.
            private::write_durably(&path, playbook.source.text.as_bytes())
        };
        write().map_err(|source| RuntimeError::CannotKeep { path: path.clone(), source })
    }

    pub(super) fn kept_playbook(&self, digest: &str) -> PathBuf {
        self.services().site.state.join("playbooks").join(format!("{digest}.yaml"))
    }
}

pub(super) fn let_go(running: Option<Running>, ended: &Ended) {
    if let Some(running) = running {
        running.let_go(ended.outcome);
    }
}

/// The text of a playbook is kept as it is and inputs are data that goes anywhere, so neither may hold a secret.
fn refuse_secrets(prepared: &Prepared) -> Result<(), RuntimeError> {
    let known = redaction::known();
    let source = &prepared.playbook.source;
    if known.finds(&source.text) {
        return Err(RuntimeError::SecretInClear { what: format!("the playbook {}", source.path.display()) });
    }
    for (name, value) in prepared.graph.inputs().as_object().into_iter().flatten() {
        if known.finds(&value.to_string()) {
            return Err(RuntimeError::SecretInClear { what: format!("the input '{name}'") });
        }
    }
    Ok(())
}

impl Prepared {
    pub(super) fn notify(&self) -> Option<&Notify> {
        self.playbook.header.notify.as_ref()
    }
}
