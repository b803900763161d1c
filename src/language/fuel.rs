//! What bounds the filling of a template: how often its blocks go round, and how much text they make. Both
//! depend on the data, so that no look at the template alone can tell.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use handlebars::template::{HelperTemplate, TemplateElement};
use handlebars::{Context, Handlebars, Helper, HelperDef, HelperResult, Output, RenderContext, RenderErrorReason};
use handlebars::{Template as Compiled, TemplateError};

/// Rounds of all `each` blocks together: about a tenth of a second. No request lists more things.
const MAX_ROUNDS: usize = 100_000;
/// No body of a request and no file that a step writes is larger; a playbook may not be either.
const MAX_TEXT: usize = 16 << 20;

/// The helper that counts rounds. A template cannot call it: it is none of its helpers, and no value has this name.
const ROUND: &str = "runbook-round";

/// Makes every `each` block count its rounds.
pub(super) fn count_rounds(template: &mut Compiled) -> Result<(), TemplateError> {
    let round = Compiled::compile(&format!("{{{{{ROUND}}}}}"))?;
    put_into(template, &round);
    Ok(())
}

fn put_into(template: &mut Compiled, round: &Compiled) {
    for element in &mut template.elements {
        let TemplateElement::HelperBlock(block) = element else { continue };
        [&mut block.template, &mut block.inverse].into_iter().flatten().for_each(|inner| put_into(inner, round));
        if is_each(block)
            && let Some(body) = &mut block.template
        {
            body.elements.splice(0..0, round.elements.iter().cloned());
            // Each element has its place in the text.
            body.mapping.splice(0..0, round.mapping.iter().cloned());
        }
    }
}

fn is_each(block: &HelperTemplate) -> bool {
    block.name.as_name() == Some("each")
}

/// The length of what is inserted, which is not yet in the text: there a mark stands for it.
#[derive(Debug, Clone, Default)]
pub(super) struct Length(Arc<AtomicUsize>);

impl Length {
    /// Counts a value. One that there is no room for need not be kept: the next write fails.
    pub fn has_room_for(&self, value: &str) -> bool {
        self.0.fetch_add(value.len(), Ordering::Relaxed) + value.len() <= MAX_TEXT
    }
}

/// Fills a template whose rounds and inserted values are counted.
pub(super) fn render(
    handlebars: &mut Handlebars<'_>,
    name: &str,
    data: &serde_json::Value,
    inserted: Length,
) -> Result<String, handlebars::RenderError> {
    handlebars.register_helper(ROUND, Box::new(Rounds(AtomicUsize::new(0))));
    let mut text = Bounded { text: Vec::new(), inserted };
    handlebars.render_to_write(name, data, &mut text)?;
    // Made of pieces that were text themselves.
    Ok(String::from_utf8_lossy(&text.text).into_owned())
}

struct Rounds(AtomicUsize);

impl HelperDef for Rounds {
    fn call<'reg: 'rc, 'rc>(
        &self,
        _: &Helper<'rc>,
        _: &'reg Handlebars<'reg>,
        _: &'rc Context,
        _: &mut RenderContext<'reg, 'rc>,
        _: &mut dyn Output,
    ) -> HelperResult {
        if self.0.fetch_add(1, Ordering::Relaxed) < MAX_ROUNDS {
            return Ok(());
        }
        Err(RenderErrorReason::Other(format!("its blocks go round more than {MAX_ROUNDS} times")).into())
    }
}

struct Bounded {
    text: Vec<u8>,
    inserted: Length,
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.text.len() + bytes.len() + self.inserted.0.load(Ordering::Relaxed) > MAX_TEXT {
            return Err(io::Error::other(format!("it makes more than {MAX_TEXT} bytes")));
        }
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
