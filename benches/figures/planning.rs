//! How long it takes to read, check and compile a large playbook.

use std::io::Write;
use std::path::Path;

use runbook::base::Source;
use runbook::engine::event::Risk;
use runbook::plan::{self, Settings};
use runbook::{playbook, yaml};

use crate::Outcome;
use crate::measure::{Alternative, in_turn};
use crate::playbooks::{Effect, Shape, processes, rich};

const STEPS: usize = 10_000;
const ROUNDS: usize = 15;

pub fn measure(out: &mut dyn Write, _folder: &Path) -> Outcome {
    let chain = Source::new("chain.yaml", processes(Shape::Chain, Effect::Read, STEPS));
    let rich = Source::new("rich.yaml", rich(STEPS));
    let alternatives = vec![
        Alternative::new("a chain, YAML to tree only", || read(&chain)),
        Alternative::new("a chain, parse", || parse(&chain)),
        Alternative::new("a chain, parse + check + compile", || plan(&chain)),
        Alternative::new("with templates and expectations, parse", || parse(&rich)),
        Alternative::new("with templates and expectations, all", || plan(&rich)),
    ];
    let title = format!("planning {STEPS} steps ({} and {} KiB)", chain.text.len() >> 10, rich.text.len() >> 10);
    in_turn(ROUNDS, alternatives)?.print(out, &title)?;
    Ok(())
}

fn read(source: &Source) -> Outcome {
    yaml::parse(source).map_err(|problems| format!("{} problems", problems.len()))?;
    Ok(())
}

fn parse(source: &Source) -> Outcome {
    playbook::parse(source).map_err(|problems| format!("{}: {}", problems.len(), problems[0].message))?;
    Ok(())
}

fn plan(source: &Source) -> Outcome {
    let playbook = playbook::parse(source).map_err(|problems| format!("{} problems", problems.len()))?;
    if let Some(problem) = plan::check(&playbook).first() {
        return Err(problem.message.clone().into());
    }
    let settings = Settings {
        inputs: serde_json::json!({"host": "localhost"}),
        by: "bench".into(),
        trigger: "hand".into(),
        parallel: 16,
        ask_from: Risk::Disruptive,
    };
    let graph = plan::compile(&playbook, settings);
    if graph.steps.len() == STEPS { Ok(()) } else { Err("steps are missing".into()) }
}
