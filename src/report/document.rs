//! A report before anyone decides whether it becomes Markdown or HTML: sections of tables, lists and pictures.
//! Every word is text, data or our own; the renderers escape all of it, so none of them can forget data.

use super::line::Tone;
use super::picture::Figure;

pub struct Document {
    /// Data: the title of the playbook.
    pub title: String,
    pub sections: Vec<Section>,
}

/// Blocks under a title; the first section of a document has none.
pub struct Section {
    pub title: &'static str,
    pub blocks: Vec<Block>,
}

impl Section {
    /// Without blocks that have nothing to say.
    pub fn new(title: &'static str, blocks: impl IntoIterator<Item = Block>) -> Self {
        Section { title, blocks: blocks.into_iter().filter(|block| !block.is_empty()).collect() }
    }
}

pub enum Block {
    /// The title of a part of a section.
    Heading(Words),
    Paragraph(Words),
    Table {
        titles: &'static [&'static str],
        rows: Vec<Vec<Words>>,
    },
    List(Vec<Item>),
    Picture(Illustration),
}

impl Block {
    fn is_empty(&self) -> bool {
        match self {
            Block::Heading(words) | Block::Paragraph(words) => words.is_empty(),
            Block::Table { rows, .. } => rows.is_empty(),
            Block::List(items) => items.is_empty(),
            Block::Picture(_) => false,
        }
    }
}

/// A figure with the step whose output it shows.
pub struct Illustration {
    pub step: String,
    pub figure: Figure,
}

/// An item of a list, with code below it.
pub struct Item {
    pub words: Words,
    pub code: Vec<String>,
}

impl From<Words> for Item {
    fn from(words: Words) -> Self {
        Item { words, code: Vec::new() }
    }
}

pub type Words = Vec<Word>;

#[derive(Debug, Clone, PartialEq)]
pub enum Word {
    /// On one line.
    Plain(String),
    /// With its line breaks.
    Lines(String),
    /// A name, a condition, a value: something that is copied, exactly.
    Code(String),
    /// With a feeling that a page may show by colour; the words say it too.
    Toned(Tone, String),
    /// What the eye should find first.
    Strong(Tone, String),
}

pub fn plain(text: impl Into<String>) -> Word {
    Word::Plain(text.into())
}

pub fn code(text: impl Into<String>) -> Word {
    Word::Code(text.into())
}

/// The items with commas between them, or `none`.
pub fn list_or(items: impl IntoIterator<Item = Word>, none: &str) -> Words {
    let mut words = Words::new();
    for item in items {
        if !words.is_empty() {
            words.push(plain(", "));
        }
        words.push(item);
    }
    if words.is_empty() { vec![plain(none)] } else { words }
}
