//! The command line.

mod ack;
mod alert;
mod answer;
mod ask;
mod audit;
mod describe;
mod doctor;
pub mod exit;
mod inspect;
mod model;
mod notice;
mod notify;
mod orders;
mod output;
mod plan;
mod protection;
mod reference;
mod report;
mod rerun;
mod run;
mod schedule;
mod serve;
mod setup;
mod silence;
#[cfg(feature = "otel")]
mod spans;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub use exit::Exit;

/// Runs operational runbooks: detects a fault, finds its cause, fixes it, verifies the fix, and keeps
/// the proof.
#[derive(Debug, Parser)]
#[command(name = "runbook", version, arg_required_else_help = true, after_help = EXIT_CODES)]
struct Arguments {
    /// The site file. Default: runbook.yaml in the working directory, if it is there.
    #[arg(long, global = true, env = "RUNBOOK_CONFIG", hide_env_values = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "\
Exit codes: 0 healthy or resolved, 1 unresolved or mitigated, 2 invalid input, playbook or usage,
3 parked (waits for a person), 4 rejected or cancelled, 5 error.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a playbook: detect, diagnose, fix, verify, and record every step.
    Run(RunArguments),
    /// Look for the fault and its cause for real, change nothing, and show what a run would do.
    Plan(PlanArguments),
    /// Take alerts, start runs and answer people, until told to stop.
    Serve(serve::ServeArguments),
    /// Show what `runbook serve` runs by itself: next times, last outcomes, missed ones.
    Schedule(schedule::ScheduleArguments),
    /// Show what an alert would start, and why other triggers are not for it; starts nothing.
    Alert(alert::AlertArguments),
    /// Check playbooks and show every mistake with its place.
    Validate(ValidateArguments),
    /// List the playbooks, or explain one: its inputs, causes and remediations.
    List {
        /// The name of a playbook, or the path of its file.
        playbook: Option<String>,
    },
    /// Show the runs, newest first.
    History(HistoryArguments),
    /// Show one run.
    Show(ShowArguments),
    /// Write the incident report of a run as Markdown or HTML, with pictures.
    Report(ReportArguments),
    /// Go on with a run that was interrupted or waits for a person.
    Resume(ResumeArguments),
    /// Do a run anew from one of its steps, as a new run.
    Rerun(rerun::RerunArguments),
    /// Approve what a parked run waits for, and go on with it.
    Approve(answer::ApproveArguments),
    /// Reject what a parked run waits for, and let it end.
    Reject(answer::AnswerArguments),
    /// Say what became of a step that was interrupted, and go on with its run.
    Resolve(answer::ResolveArguments),
    /// Take over an escalated fault: no further level is told, and those who were told know.
    Ack(ack::AckArguments),
    /// Tell the next level of an escalation now.
    Escalate(ack::EscalateArguments),
    /// Keep every run from changing anything, until it is lifted.
    Freeze(orders::FreezeArguments),
    /// Lift a freeze.
    Unfreeze(orders::UnfreezeArguments),
    /// Close the breaker of a playbook whose budget was spent.
    #[command(subcommand)]
    Breaker(orders::BreakerCommand),
    /// Let alerts, schedules and watches start no run for some time.
    #[command(subcommand)]
    Silence(silence::SilenceCommand),
    /// Show what holds runs back: a freeze, open breakers, windows, silences.
    Holds(orders::HoldsArguments),
    /// Show messages without sending them, or try out a channel.
    #[command(subcommand)]
    Notify(notify::NotifyCommand),
    /// Check, prove or export the audit trail.
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Look at model files.
    #[command(subcommand)]
    Model(ModelCommand),
    /// Show what the program finds on this machine, and what it lacks.
    Doctor {
        #[arg(long, value_enum, default_value = "text")]
        format: Format,
    },
    /// List the kinds of steps, or explain one.
    Kinds {
        /// A kind, such as http.
        kind: Option<String>,
    },
    /// Explain the code of an error, such as unknown-key, and what to do about it.
    Explain {
        /// The code in brackets after `error`.
        code: String,
    },
    /// Print the JSON Schema of playbooks or of the site file, for editors.
    Schema {
        /// What the schema describes.
        #[arg(value_enum)]
        of: SchemaOf,
    },
    /// Judge one model: the child of a step.
    #[command(name = crate::model::SUBCOMMAND, hide = true)]
    ModelChild,
    /// Try a library of ONNX Runtime: the child of the search for an engine.
    #[command(name = crate::model::library::SUBCOMMAND, hide = true)]
    ProbeLibrary { path: PathBuf },
    /// Watch over one program: the child of a step that must not be repeated.
    #[command(name = crate::action::process::shim::SUBCOMMAND, hide = true)]
    Shim,
    /// Set up a process and become the program of a step.
    #[command(name = crate::action::process::shim::LAUNCH, hide = true)]
    Launch {
        set_up: String,
        #[arg(last = true)]
        argv: Vec<std::ffi::OsString>,
    },
    /// Write the schemas and reference pages of this repository.
    #[command(hide = true)]
    Generate {
        /// The root of the repository.
        #[arg(default_value = ".")]
        root: PathBuf,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum SchemaOf {
    Playbook,
    Site,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

#[derive(Debug, Args)]
struct InputArguments {
    /// An input of the playbook; may be given several times.
    #[arg(long = "input", short = 'i', value_name = "NAME=VALUE")]
    inputs: Vec<String>,
    /// A YAML file with inputs; --input wins over it.
    #[arg(long = "inputs", value_name = "FILE")]
    file: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct RunArguments {
    /// The name of a playbook, or the path of its file.
    playbook: String,
    #[command(flatten)]
    inputs: InputArguments,
    /// Mark the run as an exercise: it does everything it would do, and whoever is told of it reads DRILL.
    #[arg(long)]
    drill: bool,
    /// Approve every step that asks, as the person who runs this.
    #[arg(long, short = 'y')]
    yes: bool,
    #[command(flatten)]
    emergency: Emergency,
    /// For people, or one JSON event a line for programs.
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

#[derive(Debug, Args)]
struct PlanArguments {
    /// The name of a playbook, or the path of its file.
    playbook: String,
    #[command(flatten)]
    inputs: InputArguments,
    /// For people, or as JSON for programs.
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

#[derive(Debug, Args)]
struct ValidateArguments {
    /// Playbook files, folders or names. Default: the folders of the site file.
    playbooks: Vec<String>,
    /// For people, or as JSON for programs.
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

#[derive(Debug, Args)]
struct HistoryArguments {
    /// The most runs to show.
    #[arg(long, short = 'n', default_value_t = 20)]
    limit: usize,
    /// Only runs of this playbook.
    #[arg(long)]
    playbook: Option<String>,
    /// Also show the runs that other playbooks started.
    #[arg(long)]
    all: bool,
    /// For people, or as JSON for programs.
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

#[derive(Debug, Args)]
struct ShowArguments {
    /// The run, or the beginning of its identifier. Default: the newest.
    run: Option<String>,
    /// For people, or as JSON for programs.
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ReportFormat {
    Markdown,
    Html,
}

#[derive(Debug, Args)]
struct ReportArguments {
    /// The run, or the beginning of its identifier.
    run: String,
    /// HTML is one page that needs nothing else and can be read on a telephone.
    #[arg(long, value_enum, default_value = "markdown")]
    format: ReportFormat,
    /// Write the pictures of a Markdown report as SVG files into this folder and link them, for places such as GitHub
    /// that do not show pictures inside the text.
    #[arg(long, value_name = "FOLDER")]
    pictures: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct ResumeArguments {
    /// The run, or the beginning of its identifier. Default: the newest that has not ended.
    run: Option<String>,
    /// Approve every step that asks, as the person who runs this.
    #[arg(long, short = 'y')]
    yes: bool,
    #[command(flatten)]
    emergency: Emergency,
    /// For people, or as JSON for programs.
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

#[derive(Debug, Args)]
struct Emergency {
    /// In an emergency, approve without those who should agree, and say why. The owner is told.
    #[arg(long, value_name = "REASON", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    break_glass: Option<String>,
}

#[derive(Debug, Subcommand)]
enum ModelCommand {
    /// Read an ONNX file without running it: what it holds, each fault and what to do about it.
    Inspect {
        /// The model file.
        file: PathBuf,
        /// A list of digests in which the file is named, as sha256sum writes it, or in JSON with its length as well:
        /// {"files": [{"file": "model.onnx", "bytes": 51876, "sha256": "…"}]}.
        #[arg(long, value_name = "FILE")]
        manifest: Option<PathBuf>,
        #[arg(long, value_enum, default_value = "text")]
        format: Format,
    },
}

#[derive(Debug, Subcommand)]
enum AuditCommand {
    /// Check that no entry was edited, deleted, inserted or moved.
    Verify(audit::VerifyArguments),
    /// Write the proof that an entry is in the trail, for somebody without the journal.
    Prove {
        /// The number of the entry.
        #[arg(value_name = "ENTRY")]
        entry: u64,
        /// The file to write, such as entry-17.tlog-proof. Default: standard output.
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
    },
    /// Print the public key that the trail is signed with.
    Key,
    /// Write every entry as a line of JSON.
    Export,
}

/// Parses the arguments and does what they say.
pub fn main() -> Exit {
    // What a careless parent left open is not for the programs that steps start.
    close_fds::set_fds_cloexec(3, &[]);
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version are no mistakes; clap knows where each belongs.
            let exit = if error.use_stderr() { Exit::Invalid } else { Exit::Done };
            drop(error.print());
            return exit;
        }
    };
    output::start_logging(match &arguments.command {
        Command::Serve(arguments) => arguments.log_format,
        _ => output::LogFormat::Text,
    });
    protection::start();
    let result = dispatch(arguments);
    output::finish_logging();
    match result {
        Ok(exit) => exit,
        Err(failure) => {
            output::error(&failure.to_string());
            failure.exit
        }
    }
}

fn dispatch(arguments: Arguments) -> Result<Exit, output::Failure> {
    use crate::action::process::shim;
    use output::Failure;
    let config = arguments.config.as_deref();
    match arguments.command {
        Command::Run(arguments) => run::run(config, &arguments),
        Command::Plan(arguments) => plan::plan(config, &arguments),
        Command::Serve(arguments) => serve::serve(config, &arguments),
        Command::Schedule(arguments) => schedule::schedule(config, &arguments),
        Command::Alert(arguments) => alert::alert(config, &arguments),
        Command::Validate(arguments) => inspect::validate(config, &arguments),
        Command::List { playbook } => describe::list(config, playbook.as_deref()),
        Command::History(arguments) => inspect::history(config, &arguments),
        Command::Show(arguments) => inspect::show(config, &arguments),
        Command::Report(arguments) => report::report(config, &arguments),
        Command::Resume(arguments) => run::resume(config, &arguments),
        Command::Rerun(arguments) => rerun::rerun(config, &arguments),
        Command::Approve(arguments) => answer::approve(config, &arguments),
        Command::Reject(arguments) => answer::reject(config, &arguments),
        Command::Resolve(arguments) => answer::resolve(config, &arguments),
        Command::Ack(arguments) => ack::ack(config, &arguments),
        Command::Escalate(arguments) => ack::escalate(config, &arguments),
        Command::Freeze(arguments) => orders::freeze(config, &arguments),
        Command::Unfreeze(arguments) => orders::unfreeze(config, &arguments),
        Command::Breaker(command) => orders::breaker(config, &command),
        Command::Silence(command) => silence::silence(config, &command),
        Command::Holds(arguments) => orders::holds(config, &arguments),
        Command::Notify(command) => notify::notify(config, &command),
        Command::Audit(AuditCommand::Verify(arguments)) => audit::verify(config, &arguments),
        Command::Audit(AuditCommand::Prove { entry, file }) => audit::prove(config, entry, file.as_deref()),
        Command::Audit(AuditCommand::Key) => audit::key(config),
        Command::Audit(AuditCommand::Export) => audit::export(config),
        Command::Model(ModelCommand::Inspect { file, manifest, format }) => {
            model::inspect(config, &file, manifest.as_deref(), format)
        }
        Command::Doctor { format } => doctor::doctor(config, format),
        Command::Kinds { kind } => reference::kinds(kind.as_deref()),
        Command::Explain { code } => reference::explain_code(&code),
        Command::Schema { of } => reference::schema(of),
        Command::ModelChild => model::child(),
        Command::ProbeLibrary { path } => model::probe_library(&path),
        Command::Shim => shim::serve().map(|()| Exit::Done).map_err(|error| Failure::because(Exit::Error, &error)),
        Command::Launch { set_up, argv } => shim::Launcher::become_program(&set_up, &argv)
            .map(|()| Exit::Error)
            .map_err(|error| Failure::because(Exit::Error, &error)),
        Command::Generate { root } => reference::generate(&root),
    }
}
