//! Models from the command line, and the child that judges one for a step.

use std::path::{Path, PathBuf};

use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::output::{self, Failure};
use super::{Exit, Format, setup};
use crate::base::units::show_bytes;
use crate::kind::child::answer;
use crate::model::preflight::{self, Inspection, ModelFile};
use crate::model::selection::Search;
use crate::model::{self, EngineChoice, ModelFault, TensorInfo};
use crate::probe::{self, checksum::released};
use crate::report::escape_control;
use crate::site::Site;

/// This program, as its children are started.
pub fn this_program() -> PathBuf {
    // The running image itself: it is there, and speaks the same protocol, when an upgrade has replaced the file.
    let image = Path::new("/proc/self/exe");
    if image.exists() { image.to_owned() } else { std::env::current_exe().unwrap_or_else(|_| "runbook".into()) }
}

/// Does what the request on standard input asks.
pub fn child() -> Result<Exit, Failure> {
    let kinds = [probe::KINDS, probe::PARTS].concat();
    let work = |work: &RawValue, bench| answer(&kinds, work, bench);
    model::child::serve(work).map(|()| Exit::Done).map_err(|error| Failure::because(Exit::Error, &error))
}

/// Tries a library of ONNX Runtime and says how it went.
pub fn probe_library(path: &Path) -> Result<Exit, Failure> {
    model::library::probe_and_tell(path).map(|()| Exit::Done).map_err(|error| Failure::because(Exit::Error, &error))
}

/// How engines are looked for here.
pub fn search(site: &Site) -> Search {
    Search { program: this_program(), named: site.models.onnxruntime.clone(), known: site.engines_file() }
}

/// `model inspect`: judged by the limits of the engine that would load the model, without loading it.
pub fn inspect(config: Option<&Path>, file: &Path, manifest: Option<&Path>, format: Format) -> Result<Exit, Failure> {
    let site = setup::site(config)?;
    let listed = manifest.map(|manifest| released(manifest, file)).transpose();
    let listed = listed.map_err(|error| Failure::new(Exit::Invalid, error.message).help(error.help))?;
    let engine = setup::block_on(async { Ok(search(&site).select().await.choice) })?;
    let mut inspection = preflight::inspect(file, &engine.limits());
    inspection.warnings.extend(engine.blind_spots(&inspection.file));
    if let Some(listed) = listed {
        inspection.compare_release(&listed);
    }
    match format {
        Format::Json => output::json(&as_json(file, &inspection, &engine)),
        Format::Text => {
            as_text(file, &inspection).iter().for_each(|line| output::line(&escape_control(line)));
        }
    }
    Ok(match inspection.faults.first() {
        None => Exit::Done,
        Some(fault) if fault.is_unjudged() => Exit::Error,
        Some(_) => Exit::Unresolved,
    })
}

fn as_json(path: &Path, inspection: &Inspection, engine: &EngineChoice) -> Value {
    let fault = |fault: &ModelFault| json!({"kind": fault.kind, "detail": fault.detail, "remedy": fault.remedy()});
    json!({
        "path": path,
        "sound": inspection.faults.is_empty(),
        "faults": inspection.faults.iter().map(fault).collect::<Vec<_>>(),
        "warnings": inspection.warnings,
        "file": inspection.file,
        "judged_for": engine.identity(),
    })
}

fn as_text(path: &Path, inspection: &Inspection) -> Vec<String> {
    let mut lines = vec![path.display().to_string()];
    let rows = rows(&inspection.file).into_iter().filter(|(_, value)| !value.is_empty());
    lines.extend(rows.map(|(name, value)| format!("  {name:<9}  {value}")));
    lines.extend(inspection.warnings.iter().map(|warning| format!("  warning: {warning}")));
    for fault in &inspection.faults {
        lines.push(format!("  ✗ {}: {}", fault.kind.name(), fault.detail));
        lines.push(format!("    help: {}", fault.remedy()));
    }
    if inspection.faults.is_empty() {
        lines.push("  ✓ no faults in the file; `onnx_load` and `onnx_golden` steps run it".into());
    }
    lines
}

/// What could be read: without a hash nothing, without a format version only bytes.
fn rows(file: &ModelFile) -> Vec<(&'static str, String)> {
    let mut rows = Vec::new();
    if !file.sha256.is_empty() {
        rows.extend([("size", show_bytes(file.size)), ("sha256", file.sha256.clone())]);
    }
    if file.ir_version > 0 {
        rows.extend([
            ("format", format!("IR {}, {}", file.ir_version, opsets(file))),
            ("producer", file.producer.clone()),
            ("inputs", tensors(&file.inputs)),
            ("outputs", tensors(&file.outputs)),
            ("nodes", format!("{} ({})", file.node_count, operators(file))),
            ("weights", show_bytes(file.weight_bytes)),
            ("data", file.external_files.join(", ")),
            ("metadata", metadata(file)),
        ]);
    }
    rows
}

fn opsets(file: &ModelFile) -> String {
    let sets: Vec<String> = file.opsets.iter().map(|(domain, version)| format!("{domain} {version}")).collect();
    sets.join(", ")
}

fn tensors(infos: &[TensorInfo]) -> String {
    let show = |info: &TensorInfo| format!("{} {}{}", info.name, info.element, info.show_shape());
    infos.iter().map(show).collect::<Vec<_>>().join(", ")
}

/// The most frequent ones; all of them are in the JSON form.
fn operators(file: &ModelFile) -> String {
    const SHOWN: usize = 8;
    let mut counted: Vec<(&String, &usize)> = file.operators.iter().collect();
    counted.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    let mut shown: Vec<String> = counted.iter().take(SHOWN).map(|(name, count)| format!("{count} {name}")).collect();
    if counted.len() > SHOWN {
        shown.push(format!("{} other operators", counted.len() - SHOWN));
    }
    shown.join(", ")
}

fn metadata(file: &ModelFile) -> String {
    let show = |(key, value): (&String, &String)| format!("{key}: {}", first_letters(value));
    file.metadata.iter().map(show).collect::<Vec<_>>().join(", ")
}

/// Exporters put whole dictionaries into metadata; all of it is in the JSON form.
fn first_letters(text: &str) -> String {
    const SHOWN: usize = 60;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}… ({} letters)", &text[..end], text.chars().count()),
        None => text.to_owned(),
    }
}
