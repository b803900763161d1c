//! Hostile texts as inputs of every playbook that is shipped or shown in the documentation. The number is that of
//! the reliability test plan.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use runbook::base::environment;
use runbook::playbook::inputs::{Given, resolve};
use runbook::playbook::{Playbook, library};

use crate::corpus::payloads;
use crate::docs::playbooks_shown;
use crate::support::Runbook;
use crate::tracing::each;

/// What some type of input takes, first that which nobody should take for more than data. Nothing listens there.
const SOUND: [&str; 7] = ["a", "1", "10s", "http://127.0.0.1:9/", "absent", "[a]", "0.5"];

/// So many payloads does each playbook get in plain `cargo test`; `RUNBOOK_TEST_PAYLOADS` asks for more. With 13 each
/// payload is tried in some playbook.
const EACH: usize = 2;

/// The inputs of the playbook that take the text, and for the others something that they take.
fn hostile<'a>(playbook: &Playbook, text: &'a str) -> (BTreeMap<String, &'a str>, usize) {
    let takes = |name: &String, text: &str| {
        let given = BTreeMap::from([(name.clone(), Given::Text(text.to_owned()))]);
        let refused = resolve(playbook, &given).err().unwrap_or_default();
        !refused.iter().any(|problem| problem.message.contains(&format!("'{name}'")))
    };
    let mut hostile = 0;
    let mut inputs = BTreeMap::new();
    for (name, declaration) in &playbook.inputs {
        if takes(name, text) {
            hostile += 1;
            inputs.insert(name.clone(), text);
        } else if declaration.default.is_none()
            && let Some(sound) = SOUND.into_iter().find(|sound| takes(name, sound))
        {
            inputs.insert(name.clone(), sound);
        }
    }
    (inputs, hostile)
}

/// Looks for real, which runs every probe and diagnosis, and shows every remediation with its values filled in.
fn plan(file: &Path, text: &str) -> usize {
    let library = concat!(env!("CARGO_MANIFEST_DIR"), "/playbooks");
    let folder = file.parent().expect("a folder").display();
    let site =
        format!("playbooks: ['{library}', '{folder}']\ncontacts: {{ml-platform: {{members: [ada]}}, ada: {{}}}}\n");
    let place = Runbook::new().file("runbook.yaml", site);
    let playbook = library::load(file).expect("a valid playbook");
    let (inputs, hostile) = hostile(&playbook, text);
    if hostile == 0 {
        return 0;
    }
    let inputs = inputs.iter().flat_map(|(name, text)| ["--input".to_owned(), format!("{name}={text}")]);
    let arguments = ["plan".to_owned(), file.display().to_string()].into_iter().chain(inputs);
    let done = place.args(arguments).done();
    assert!(done.status.code().is_some(), "{}: {text}: {}", file.display(), done.shown());
    assert_ne!(done.status.code(), Some(2), "{}: {text}: {}", file.display(), done.shown());
    assert!(!place.exists("canary"), "{}: {text} was run", file.display());
    hostile
}

#[test]
#[expect(clippy::print_stderr, reason = "the figures are told")]
fn t39_no_payload_is_run_by_a_playbook_that_is_shipped_or_shown() {
    let shown = Runbook::new();
    let mut files = library::yaml_files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("playbooks"));
    files.extend(playbooks_shown(&shown).into_iter().map(|(file, _)| shown.path(&file)));
    let payloads = payloads();
    let asked = environment::variable("RUNBOOK_TEST_PAYLOADS").and_then(|count| count.parse().ok());
    let count = asked.unwrap_or(EACH);
    let case = |number: usize| (&files[number % files.len()], &payloads[number % payloads.len()]);
    let cases: Vec<_> = (0..files.len() * count).map(case).collect();
    let tried = AtomicUsize::new(0);
    each(&cases, |(file, text)| {
        tried.fetch_add(plan(file, text), Ordering::Relaxed);
    });
    let tried = tried.into_inner();
    assert!(tried >= files.len(), "hardly an input took a payload: {tried}");
    eprintln!("test 39: {} playbooks, {} plans, {tried} hostile inputs, executions = 0", files.len(), cases.len());
}
