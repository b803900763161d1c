//! A report as Markdown that can be filed, mailed and read without this program. Names, conditions and values stand in
//! code spans, other words are escaped, so that nothing from outside becomes markup.

mod escape;

use self::escape::{code, code_cell, prose, prose_lines};
use super::document::{Block, Document, Illustration, Item, Section, Word};
use super::picture::Glyphs;

/// Where the pictures of a Markdown report are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placement<'a> {
    /// In the text, as SVG elements: one file holds everything, but GitHub and GitLab do not show them.
    Inline,
    /// Beside it, as files below this path; [`picture_files`] gives them.
    Below(&'a str),
}

/// The document as text.
pub fn markdown(document: &Document, placement: Placement<'_>) -> String {
    let mut page = Page { placement, pictures: 0 };
    let mut parts = vec![format!("# {}\n", prose(&document.title))];
    parts.extend(document.sections.iter().flat_map(|section| page.section(section)));
    parts.join("\n")
}

/// Name and text of each picture of the document, for [`Placement::Below`].
pub fn picture_files(document: &Document) -> Vec<(String, String)> {
    let blocks = document.sections.iter().flat_map(|section| &section.blocks);
    let pictures = blocks.filter_map(|block| if let Block::Picture(picture) = block { Some(picture) } else { None });
    let named =
        pictures.enumerate().map(|(position, picture)| (file_name(position + 1, picture), picture.figure.svg()));
    named.filter_map(|(name, svg)| Some((name, svg?))).collect()
}

/// `02-diagnose.latency.svg`: in the order of the report, and only characters that mean nothing in a link.
fn file_name(position: usize, picture: &Illustration) -> String {
    let known = |letter: char| if letter.is_ascii_alphanumeric() || letter == '.' { letter } else { '-' };
    let step: String = picture.step.chars().map(known).collect();
    format!("{position:02}-{}.svg", step.trim_matches('-'))
}

struct Page<'a> {
    placement: Placement<'a>,
    /// Those that were told so far.
    pictures: usize,
}

impl Page<'_> {
    fn section(&mut self, section: &Section) -> Vec<String> {
        let title = (!section.title.is_empty()).then(|| format!("## {}\n", section.title));
        title.into_iter().chain(section.blocks.iter().map(|block| self.block(block))).collect()
    }

    fn block(&mut self, block: &Block) -> String {
        match block {
            Block::Heading(text) => format!("### {}\n", words(text, Place::Text)),
            Block::Paragraph(text) => format!("{}\n", words(text, Place::Text)),
            Block::Table { titles, rows } => table(titles, rows),
            Block::List(items) => items.iter().map(item).collect(),
            Block::Picture(picture) => self.picture(picture),
        }
    }

    /// The numbers and a sparkline as text, for every reader, and the picture for those who see it.
    fn picture(&mut self, picture: &Illustration) -> String {
        self.pictures += 1;
        let Illustration { step, figure } = picture;
        let spark = figure.spark(Glyphs::Blocks);
        let told =
            format!("**{}** of {}: {} {}\n", prose(figure.title), code(step), code(&spark), prose(&figure.summary()));
        match self.placement {
            Placement::Inline => match figure.svg() {
                Some(svg) => format!("{told}\n{svg}"),
                None => told,
            },
            Placement::Below(folder) => {
                let title = prose(&format!("{}: {}", figure.title, figure.summary()));
                format!("{told}\n![{title}](<{}/{}>)\n", link(folder), file_name(self.pictures, picture))
            }
        }
    }
}

/// A path inside the angle brackets of a link.
fn link(path: &str) -> String {
    path.replace('%', "%25").replace('<', "%3C").replace('>', "%3E").replace('\\', "%5C").replace(['\n', '\r'], "%0A")
}

/// Where words stand decides how they are escaped.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    Text,
    Cell,
}

fn words(words: &[Word], place: Place) -> String {
    words.iter().map(|text| word(text, place)).collect()
}

fn word(word: &Word, place: Place) -> String {
    match word {
        Word::Plain(text) | Word::Toned(_, text) => prose(text),
        Word::Lines(text) => prose_lines(text),
        Word::Code(text) if place == Place::Cell => code_cell(text),
        Word::Code(text) => code(text),
        Word::Strong(_, text) => format!("**{}**", prose(text)),
    }
}

fn item(item: &Item) -> String {
    let inner = item.code.iter().map(|line| format!("  - {}\n", code(line)));
    format!("- {}\n{}", words(&item.words, Place::Text), inner.collect::<String>())
}

fn table(titles: &[&str], rows: &[Vec<Vec<Word>>]) -> String {
    let cells = |row: &Vec<Vec<Word>>| row.iter().map(|cell| words(cell, Place::Cell)).collect::<Vec<_>>().join(" | ");
    let rows: String = rows.iter().map(|row| format!("| {} |\n", cells(row))).collect();
    format!("| {} |\n|{}\n{rows}", titles.join(" | "), " --- |".repeat(titles.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Record;
    use crate::report::{Gallery, Incident, stories};

    fn incident_report(records: &[Record]) -> String {
        let incident = Incident { records, gallery: Gallery::default(), audit_head: None, escalation: None };
        markdown(&incident.document(), Placement::Inline)
    }

    #[test]
    fn snapshots() {
        for (name, records) in stories::all() {
            insta::assert_snapshot!(format!("markdown_{name}"), incident_report(&records));
        }
    }

    /// The text without its code spans, found as a renderer finds them.
    fn outside_code(markdown: &str) -> String {
        let mut text = String::new();
        let mut rest = markdown;
        while let Some(character) = rest.chars().next() {
            let run = rest.len() - rest.trim_start_matches('`').len();
            let (fence, after) = rest.split_at(run);
            let end = after
                .match_indices(fence)
                .map(|(place, _)| place)
                .find(|place| !after[place + run..].starts_with('`') && !after[..*place].ends_with('`'));
            let escaped = text.ends_with('\\');
            match end.filter(|_| run > 0 && !escaped) {
                Some(end) => rest = &after[end + run..],
                None => {
                    text.push(character);
                    rest = &rest[character.len_utf8()..];
                }
            }
        }
        text
    }

    #[test]
    fn data_cannot_become_markup() {
        let report = incident_report(&stories::hostile());
        assert!(!outside_code(&report).contains("<script"), "{report}");
        assert!(!outside_code(&report).contains("http://evil"), "{report}");
        assert!(!report.contains(|character: char| character.is_control() && character != '\n'), "{report:?}");
        insta::assert_snapshot!("markdown_hostile", report);
    }
}
