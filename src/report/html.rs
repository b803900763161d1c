//! A report as one page of HTML: no script, nothing that is fetched, readable on a telephone at night. It is also
//! well-formed XML, so that a program can read it.

use super::document::{Block, Document, Illustration, Item, Section, Word};
use super::line::Tone;
use super::markup::escape;

/// How the page looks; dark where the reader asks for it, rows of tables below each other on a narrow screen.
pub const STYLE: &str = include_str!("html/page.css");
/// Nothing may be fetched and nothing may run, should anything ever get past the escaping.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";

/// The document as a page.
pub fn html(document: &Document) -> String {
    let title = escape(&document.title);
    let body: String = document.sections.iter().map(section).collect();
    format!(
        "<!DOCTYPE html>\n\
         <html xmlns=\"http://www.w3.org/1999/xhtml\" lang=\"en\">\n<head>\n\
         <meta charset=\"utf-8\"/>\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n\
         <meta name=\"color-scheme\" content=\"light dark\"/>\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\"/>\n\
         <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n\
         {body}</main>\n<footer>Written by runbook {version}. All times are UTC.</footer>\n</body>\n</html>\n",
        version = escape(env!("CARGO_PKG_VERSION")),
    )
}

/// The sections of a document one by one, for a page that has a head of its own: the title of each, and its HTML.
pub fn sections(document: &Document) -> Vec<(&'static str, String)> {
    document.sections.iter().map(|one| (one.title, section(one))).collect()
}

fn section(section: &Section) -> String {
    let title = if section.title.is_empty() { String::new() } else { format!("<h2>{}</h2>\n", escape(section.title)) };
    let blocks: String = section.blocks.iter().map(block).collect();
    format!("<section>\n{title}{blocks}</section>\n")
}

fn block(block: &Block) -> String {
    match block {
        Block::Heading(text) => format!("<h3>{}</h3>\n", words(text)),
        Block::Paragraph(text) => format!("<p>{}</p>\n", words(text)),
        Block::Table { titles, rows } if titles.iter().all(|title| title.is_empty()) => facts(rows),
        Block::Table { titles, rows } => table(titles, rows),
        Block::List(items) => format!("<ul>\n{}</ul>\n", items.iter().map(item).collect::<String>()),
        Block::Picture(picture) => figure(picture),
    }
}

/// Rows of a name and what is said of it.
fn facts(rows: &[Vec<Vec<Word>>]) -> String {
    let row = |row: &Vec<Vec<Word>>| {
        let (name, rest) = row.split_first().map_or((&[][..], &[][..]), |(name, rest)| (&**name, rest));
        let cells: String = rest.iter().map(|cell| format!("<td>{}</td>", words(cell))).collect();
        format!("<tr><th scope=\"row\">{}</th>{cells}</tr>\n", words(name))
    };
    format!("<table>\n<tbody>\n{}</tbody>\n</table>\n", rows.iter().map(row).collect::<String>())
}

fn table(titles: &[&str], rows: &[Vec<Vec<Word>>]) -> String {
    let head: String = titles.iter().map(|title| format!("<th scope=\"col\">{}</th>", escape(title))).collect();
    let cell =
        |(title, cell): (&&str, &Vec<Word>)| format!("<td data-title=\"{}\">{}</td>", escape(title), words(cell));
    let row = |row: &Vec<Vec<Word>>| format!("<tr>{}</tr>\n", titles.iter().zip(row).map(cell).collect::<String>());
    let body: String = rows.iter().map(row).collect();
    format!(
        "<div class=\"wide\"><table class=\"steps\">\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody>\n</table></div>\n"
    )
}

fn item(item: &Item) -> String {
    let inner: String = item.code.iter().map(|line| format!("<li><code>{}</code></li>\n", escape(line))).collect();
    let inner = if inner.is_empty() { inner } else { format!("\n<ul>\n{inner}</ul>\n") };
    format!("<li>{}{inner}</li>\n", words(&item.words))
}

fn figure(picture: &Illustration) -> String {
    let Illustration { step, figure } = picture;
    format!(
        "<figure>\n<figcaption><strong>{}</strong> of <code>{}</code>: {}</figcaption>\n{}</figure>\n",
        escape(figure.title),
        escape(step),
        escape(&figure.summary()),
        figure.svg().unwrap_or_default()
    )
}

fn words(words: &[Word]) -> String {
    words.iter().map(word).collect()
}

fn word(word: &Word) -> String {
    match word {
        Word::Plain(text) => escape(text),
        Word::Lines(text) => text.trim_end().lines().map(escape).collect::<Vec<_>>().join("<br/>"),
        Word::Code(text) if text.trim().is_empty() => "–".to_owned(),
        Word::Code(text) => format!("<code>{}</code>", escape(text)),
        Word::Toned(tone, text) => format!("<span class=\"{}\">{}</span>", class(*tone), escape(text)),
        Word::Strong(tone, text) => format!("<strong class=\"{}\">{}</strong>", class(*tone), escape(text)),
    }
}

/// The class of the style sheet for a tone.
pub fn class(tone: Tone) -> &'static str {
    match tone {
        Tone::Good => "good",
        Tone::Bad => "bad",
        Tone::Caution => "caution",
        Tone::Accent => "accent",
        Tone::Quiet => "quiet",
    }
}

#[cfg(test)]
mod tests {
    use roxmltree::{Document as Parsed, ParsingOptions};

    use super::*;
    use crate::engine::Record;
    use crate::report::{Gallery, Incident, stories};

    fn page(records: &[Record]) -> String {
        let incident =
            Incident { records, gallery: Gallery::default(), audit_head: Some("12:ab".to_owned()), escalation: None };
        html(&incident.document())
    }

    fn parsed(page: &str) -> Parsed<'_> {
        let options = ParsingOptions { allow_dtd: true, ..ParsingOptions::default() };
        Parsed::parse_with_options(page, options).unwrap_or_else(|error| panic!("{error}: {page}"))
    }

    #[test]
    fn snapshot() {
        let page = page(&stories::unresolved());
        // The style sheet is a file of its own.
        insta::assert_snapshot!("html_unresolved", page.replace(STYLE, "…\n"));
    }

    #[test]
    fn every_run_is_a_well_formed_page() {
        for (name, records) in stories::all() {
            let page = page(&records);
            let text: String = parsed(&page).descendants().filter_map(|node| node.text()).collect();
            assert!(text.contains("runbook audit verify --head 12:ab"), "{name}: {text}");
        }
    }

    #[test]
    fn data_cannot_become_markup() {
        let page = page(&stories::hostile());
        let known = "html head meta title style body main footer section h1 h2 h3 p table thead tbody tr th td div ul li \
                     code span strong br";
        for node in parsed(&page).descendants().filter(roxmltree::Node::is_element) {
            assert!(known.split(' ').any(|name| name == node.tag_name().name()), "{node:?}");
            for attribute in node.attributes().filter(|_| node.tag_name().name() != "meta") {
                assert!(matches!(attribute.name(), "class" | "data-title" | "lang" | "scope"), "{attribute:?}");
            }
        }
        assert!(!page.contains(|character: char| character.is_control() && character != '\n'), "{page:?}");
    }

    #[test]
    fn nothing_is_fetched_and_nothing_runs() {
        let page = page(&stories::resolved());
        for outside in ["<script", "src=", "@import", "url(", "<link", "href="] {
            assert!(!page.contains(outside), "{outside}");
        }
    }
}
