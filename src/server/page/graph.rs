//! The graph of a run as a picture: one row a step, grouped by phase, and on the left one lane for each step that
//! others need, from it down to the last of them. A row is as wide as a telephone, however many steps are side by side,
//! and no two lines share a place, so each edge can be followed.

use std::collections::{BTreeMap, BTreeSet};

use maud::{Markup, html};

use crate::base::units::show_duration;
use crate::engine::event::{Phase, StepOutline};
use crate::report::html::class;
use crate::report::line::Entry;
use crate::report::text::shorten;
use crate::report::wording::phase_title;

/// All in units of the picture, which are pixels on a wide screen.
const ROW: usize = 24;
const LANE: usize = 11;
const MARGIN: usize = 8;
/// Holds a name, a word and a duration.
const TEXT: usize = 310;
/// Where lines come in at a step and where they go out, measured from its middle.
const ABOVE: usize = 6;
const SPREAD: usize = 9;
const BELOW: usize = 5;
const LONGEST_NAME: usize = 26;
/// Further lanes are drawn on top of each other.
const MOST_LANES: usize = 12;

/// A step as the picture shows it.
pub(super) struct Node<'a> {
    pub outline: &'a StepOutline,
    pub entry: Entry,
    /// Where on the page more is said of it, if anything.
    pub anchor: Option<String>,
}

/// The picture; empty without steps.
pub(super) fn picture(nodes: &[Node]) -> Markup {
    let rows = rows(nodes);
    let place: BTreeMap<&str, usize> = rows.iter().enumerate().filter_map(|(y, row)| Some((row.step()?, y))).collect();
    let lanes = lanes(&edges(nodes, &place));
    let wide = lanes.iter().map(|lane| lane.lane + 1).max().unwrap_or(0);
    let left = MARGIN + wide * LANE;
    let (width, height) = (left + MARGIN + TEXT, rows.len() * ROW + MARGIN);
    html! {
        svg.graph role="group" aria-label="The steps and what each of them needs" width=(width) height=(height)
            viewBox=(format!("0 0 {width} {height}")) {
            @for lane in &lanes { path d=(lane.path(left, |row| entrance(&lanes, lane, row))) {} }
            @for (y, row) in rows.iter().enumerate() { (row.show(left, middle(y))) }
        }
    }
}

/// Where a lane comes in at a row: side by side with the others that do, and above where its own lane goes out.
fn entrance(lanes: &[Lane], lane: &Lane, row: usize) -> usize {
    let before = lanes.iter().filter(|other| other.lane < lane.lane && other.to.contains(&row)).count();
    let all = lanes.iter().filter(|other| other.to.contains(&row)).count();
    middle(row) - ABOVE + before * SPREAD / all.max(1)
}

fn middle(row: usize) -> usize {
    row * ROW + ROW / 2
}

enum Row<'a> {
    Phase(Phase),
    Step(&'a Node<'a>),
}

impl<'a> Row<'a> {
    fn step(&self) -> Option<&'a str> {
        match self {
            Row::Phase(_) => None,
            Row::Step(node) => Some(&node.outline.id),
        }
    }

    fn show(&self, left: usize, y: usize) -> Markup {
        match self {
            Row::Phase(phase) => html! { text.phase x=(MARGIN) y=(y + 5) { (phase_title(*phase)) } },
            Row::Step(node) => html! {
                @match &node.anchor {
                    Some(anchor) => a href=(format!("#{anchor}")) { (node.show(left, y)) },
                    None => (node.show(left, y)),
                }
            },
        }
    }
}

impl Node<'_> {
    fn show(&self, left: usize, y: usize) -> Markup {
        let Entry { mark, subject, word, duration, .. } = &self.entry;
        let name = subject.split_once('.').map_or(subject.as_str(), |(_, name)| name);
        let took = duration.map(|duration| format!(", {}", show_duration(duration))).unwrap_or_default();
        html! {
            circle cx=(left) cy=(y) r="4" {}
            text x=(left + MARGIN + 2) y=(y + 4) {
                tspan.state.(class(mark.tone())) { (mark.sign()) } " " (shorten(name, LONGEST_NAME)) " "
                tspan.(class(mark.tone())) { (word) (took) }
            }
        }
    }
}

/// Phases with their steps, each step below all that it needs, else in the order of the plan.
fn rows<'a>(nodes: &'a [Node<'a>]) -> Vec<Row<'a>> {
    let phases: BTreeSet<usize> = nodes.iter().map(|node| rank(node.outline.phase)).collect();
    let mut rows = Vec::new();
    for phase in phases {
        let mut left: Vec<&Node> = nodes.iter().filter(|node| rank(node.outline.phase) == phase).collect();
        rows.extend(left.first().map(|node| Row::Phase(node.outline.phase)));
        while !left.is_empty() {
            let waits =
                |node: &&Node| node.outline.needs.iter().any(|need| left.iter().any(|other| other.outline.id == *need));
            // A plan has no cycles; a journal that somebody wrote by hand might, and is shown all the same.
            let next = left.iter().position(|node| !waits(node)).unwrap_or(0);
            rows.push(Row::Step(left.remove(next)));
        }
    }
    rows
}

fn rank(phase: Phase) -> usize {
    let order = [Phase::Detect, Phase::Diagnose, Phase::Remediate, Phase::Verify, Phase::Undo, Phase::Finally];
    order.iter().position(|one| *one == phase).unwrap_or(order.len())
}

/// For each row that others need, those below it.
fn edges(nodes: &[Node], place: &BTreeMap<&str, usize>) -> BTreeMap<usize, Vec<usize>> {
    let mut edges: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for node in nodes {
        let Some(to) = place.get(node.outline.id.as_str()) else { continue };
        for from in node.outline.needs.iter().filter_map(|need| place.get(need.as_str())).filter(|from| *from < to) {
            edges.entry(*from).or_default().push(*to);
        }
    }
    edges
}

/// The edges that begin at one step: from its row along a lane to the rows that need it.
#[derive(Debug, PartialEq, Eq)]
struct Lane {
    from: usize,
    to: Vec<usize>,
    /// Counted from the steps to the left.
    lane: usize,
}

impl Lane {
    fn last(&self) -> usize {
        self.to.iter().copied().max().unwrap_or(self.from)
    }

    /// `heights` are where this lane comes in at each row that it leads to.
    fn path(&self, left: usize, height: impl Fn(usize) -> usize) -> String {
        let x = left - (self.lane + 1) * LANE;
        let taps = self.to.iter().map(|to| format!("M{x} {y}H{}l-4 -3v6l4 -3", left - 3, y = height(*to)));
        let last = height(self.last());
        format!("M{left} {}H{x}V{last}{}", middle(self.from) + BELOW, taps.collect::<String>())
    }
}

/// Gives each lane the place nearest to the steps that no other one has at those rows.
fn lanes(edges: &BTreeMap<usize, Vec<usize>>) -> Vec<Lane> {
    let mut placed: Vec<Lane> = Vec::new();
    for (from, to) in edges {
        let mut lane = Lane { from: *from, to: to.clone(), lane: 0 };
        let meets = |number: usize| placed.iter().any(|other| other.lane == number && other.last() >= *from);
        lane.lane = (0..MOST_LANES).find(|number| !meets(*number)).unwrap_or(MOST_LANES - 1);
        placed.push(lane);
    }
    placed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::line::Mark;

    fn outline(id: &str, phase: Phase, needs: &[&str]) -> StepOutline {
        let needs = needs.iter().map(|need| (*need).to_owned()).collect();
        StepOutline { id: id.to_owned(), phase, kind: "file".into(), needs, help: None }
    }

    fn nodes(outlines: &[StepOutline]) -> Vec<Node<'_>> {
        let node = |outline| Node { outline, entry: Entry::new(Mark::Passed, &outline.id, "passed", ""), anchor: None };
        outlines.iter().map(node).collect()
    }

    fn order(outlines: &[StepOutline]) -> Vec<String> {
        let nodes = nodes(outlines);
        rows(&nodes).iter().map(|row| row.step().unwrap_or("–").to_owned()).collect()
    }

    #[test]
    fn a_step_stands_below_what_it_needs_and_phases_below_each_other() {
        let outlines = [
            outline("remediate.r", Phase::Remediate, &[]),
            outline("diagnose.b", Phase::Diagnose, &["diagnose.a"]),
            outline("diagnose.c", Phase::Diagnose, &[]),
            outline("diagnose.a", Phase::Diagnose, &[]),
        ];
        assert_eq!(order(&outlines), ["–", "diagnose.c", "diagnose.a", "diagnose.b", "–", "remediate.r"]);
    }

    #[test]
    fn what_needs_itself_is_shown_all_the_same() {
        let outlines = [
            outline("diagnose.a", Phase::Diagnose, &["diagnose.b"]),
            outline("diagnose.b", Phase::Diagnose, &["diagnose.a"]),
        ];
        assert_eq!(order(&outlines), ["–", "diagnose.a", "diagnose.b"]);
    }

    #[test]
    fn lines_that_would_cross_have_lanes_of_their_own() {
        let edges = BTreeMap::from([(1, vec![2, 5]), (2, vec![3]), (3, vec![4]), (5, vec![6])]);
        let placed: Vec<(usize, usize)> = lanes(&edges).iter().map(|lane| (lane.from, lane.lane)).collect();
        assert_eq!(placed, [(1, 0), (2, 1), (3, 2), (5, 1)]);
        for lane in lanes(&edges) {
            for other in lanes(&edges) {
                let apart = lane.last() < other.from || other.last() < lane.from;
                assert!(lane.from == other.from || lane.lane != other.lane || apart, "{lane:?} {other:?}");
            }
        }
    }

    #[test]
    fn a_picture_is_well_formed_and_names_are_text() {
        let outlines = [
            outline("diagnose.<script>", Phase::Diagnose, &[]),
            outline("diagnose.b", Phase::Diagnose, &["diagnose.<script>"]),
        ];
        let picture = picture(&nodes(&outlines)).into_string();
        let parsed = roxmltree::Document::parse(&picture).unwrap_or_else(|error| panic!("{error}: {picture}"));
        let text: String = parsed.descendants().filter_map(|node| node.text()).collect();
        assert!(text.contains("<script>") && text.contains("Diagnose"), "{text}");
        assert_eq!(parsed.descendants().filter(|node| node.has_tag_name("path")).count(), 1);
    }
}
