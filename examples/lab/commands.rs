//! What each command of the lab does.

use std::path::Path;
use std::process::ExitCode;

use serde_json::Value;
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::{Break, Serve, Up};
use crate::client::Client;
use crate::error::LabError;
use crate::faults;
use crate::folder::{Facts, Folder};
use crate::profile::Profile;
use crate::{mirror, platform, setup, supervisor};

/// Sets a lab up, starts its mirror and its platform. The platform is reaped when it ends.
pub async fn raise(root: &Path, port: u16, profile: &str) -> Result<Folder, LabError> {
    let profile = Profile::find(profile)
        .ok_or_else(|| LabError::impossible(format!("there is no profile '{profile}'"), "see `lab up --help`"))?;
    if let Ok(folder) = Folder::open(root) {
        supervisor::refuse_if_running(&folder)?;
    }
    let (listener, mirror) = mirror::listen().await?;
    let facts =
        Facts { profile: profile.name.to_owned(), port: free_port(port).await?, mirror, owner: std::process::id() };
    let folder = Folder::create(root, profile, facts)?;
    setup::restore(&folder)?;
    setup::clear_logs(&folder)?;
    setup::write_inputs(&folder)?;
    mirror::spawn(listener, folder.mirror());
    let mut child = supervisor::start(&folder).await?;
    // Otherwise a killed platform would stay as a process that has ended but still has a number.
    tokio::spawn(async move { child.wait().await });
    Ok(folder)
}

/// The port itself, or one that is free now. A number is needed before the platform has it, because
/// its restart must take the same one.
async fn free_port(port: u16) -> Result<u16, LabError> {
    let failed = |source| LabError::Listen { port, source };
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.map_err(failed)?;
    listener.local_addr().map(|address| address.port()).map_err(failed)
}

pub async fn up(up: Up) -> Result<ExitCode, LabError> {
    let folder = raise(&up.dir, up.port, &up.profile).await?;
    faults::settle(&folder, &Client::new(&folder)?).await?;
    let broken = break_all(&folder, &up.faults).await;
    if broken.is_ok() {
        introduce(&folder);
        until_asked_to_end().await?;
        println!("Stopping the platform.");
    }
    supervisor::stop(&folder).await?;
    broken.map(|()| ExitCode::SUCCESS)
}

async fn break_all(folder: &Folder, names: &[String]) -> Result<(), LabError> {
    for name in names {
        let fault = faults::find(name)?;
        fault.inject(folder).await?;
        println!("Broken: {} ({})", fault.name, fault.summary);
    }
    Ok(())
}

fn introduce(folder: &Folder) {
    let providers: Vec<&str> = folder.profile.providers.iter().map(|provider| provider.name).collect();
    let root = folder.root().display();
    println!("The {} is up with {}.", folder.profile.title, providers.join(" and "));
    println!("  health   {}/health", folder.api());
    println!("  metrics  {}/metrics", folder.api());
    println!("  mirror   {}", folder.facts.mirror);
    println!("  log      {}", folder.log_file().display());
    println!("In another terminal:");
    println!("  cargo run --release --example lab -- break missing-file --dir {root}");
    println!("  runbook run PLAYBOOK --inputs {}", folder.inputs_file().display());
    println!("Ctrl-C ends it.");
}

async fn until_asked_to_end() -> Result<(), LabError> {
    let mut interrupt = signal(SignalKind::interrupt()).map_err(LabError::Signals)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(LabError::Signals)?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}

pub async fn serve(serve: Serve) -> Result<ExitCode, LabError> {
    let folder = Folder::open(&serve.dir)?;
    if serve.background {
        supervisor::start(&folder).await?;
        return Ok(ExitCode::SUCCESS);
    }
    if serve.detached {
        let failed = |error: rustix::io::Errno| LabError::Run { program: "setsid".into(), source: error.into() };
        rustix::process::setsid().map_err(failed)?;
    }
    platform::serve(folder, serve.port).await?;
    Ok(ExitCode::SUCCESS)
}

pub async fn break_platform(target: Break) -> Result<ExitCode, LabError> {
    let folder = Folder::open(&target.dir)?;
    break_all(&folder, &[target.fault]).await?;
    Ok(ExitCode::SUCCESS)
}

pub async fn heal(dir: &Path) -> Result<ExitCode, LabError> {
    let folder = Folder::open(dir)?;
    setup::restore(&folder)?;
    let client = Client::new(&folder)?;
    if supervisor::running(&folder).is_some() {
        client.reload().await?;
        faults::load_all_again(&folder, &client).await?;
    } else {
        supervisor::start(&folder).await?;
    }
    status(dir).await
}

pub async fn status(dir: &Path) -> Result<ExitCode, LabError> {
    let folder = Folder::open(dir)?;
    let health = Client::new(&folder)?.health().await?;
    let overall = &health["status"];
    let process = supervisor::running(&folder).map_or("no process".to_owned(), |pid| format!("process {pid}"));
    println!("{} ({process}, {})", text(overall), folder.api());
    for (name, provider) in health["providers"].as_object().into_iter().flatten() {
        println!(
            "  {name:12} {:10} score {:<5} {}",
            text(&provider["status"]),
            provider["score"],
            text(&provider["error"])
        );
    }
    Ok(ExitCode::from(u8::from(overall != "healthy")))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

pub fn list_faults() -> ExitCode {
    for fault in faults::all() {
        println!("{:18} {}", fault.name, fault.summary);
    }
    ExitCode::SUCCESS
}
