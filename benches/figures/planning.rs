//! How long it takes to read, check and compile a large playbook.

use std::error::Error;
use std::io::Write;
use std::path::Path;

use runbook::base::{Diagnostic, Source};
use runbook::engine::Graph;
use runbook::engine::event::Risk;
use runbook::plan::{self, Settings};
use runbook::playbook::{self, Playbook};
use runbook::yaml::{self, Node};

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

fn read(source: &Source) -> Result<Node, Box<dyn Error>> {
    yaml::parse(source).map_err(refused)
}

fn parse(source: &Source) -> Result<Playbook, Box<dyn Error>> {
    playbook::parse(source).map_err(refused)
}

fn plan(source: &Source) -> Result<(Playbook, Graph), Box<dyn Error>> {
    let playbook = parse(source)?;
    let problems = plan::check(&playbook);
    if !problems.is_empty() {
        return Err(refused(problems));
    }
    let settings = Settings {
        inputs: serde_json::json!({"host": "localhost"}),
        by: "bench".into(),
        trigger: "hand".into(),
        parallel: 16,
        ask_from: Risk::Disruptive,
    };
    let graph = plan::compile(&playbook, settings);
    if graph.steps.len() == STEPS { Ok((playbook, graph)) } else { Err("steps are missing".into()) }
}

fn refused(problems: Vec<Diagnostic>) -> Box<dyn Error> {
    problems.first().map_or_else(String::new, |problem| problem.message.clone()).into()
}
