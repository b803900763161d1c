//! Marks and axes become SVG. The only file that knows the plotting crate.
//!
//! The crate writes colours into attributes. They are the colours on a light ground; a style sheet, which is stronger
//! than attributes, puts others in their place where the reader asks for a dark one. A program that knows no style
//! sheets still shows the light picture. The colours are of the set of Okabe and Ito (2008), which people with any
//! colour blindness tell apart; beside that, what is not data is dashed.

use plotters::element::DashedPathElement;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::scale;
use crate::report::markup;

/// Narrow, so that letters stay readable on the screen of a telephone.
const WIDTH: u32 = 480;
/// The height of a picture whose things do not stand below each other.
pub const HEIGHT: u32 = 280;
/// What the axis below takes of the height, with the margins.
const AROUND: u32 = 70;
/// Height of the letters of plotters, which are a quarter smaller in the end.
const LETTERS: u32 = 16;

const SURFACE: RGBColor = RGBColor(0xFF, 0xFF, 0xFF);
const INK: RGBColor = RGBColor(0x24, 0x29, 0x2F);
const GRID: RGBColor = RGBColor(0xD8, 0xDE, 0xE4);
const DATA: RGBColor = RGBColor(0x00, 0x72, 0xB2);
const GUIDE: RGBColor = RGBColor(0xD5, 0x5E, 0x00);

/// Puts the colours for a dark ground in the place of the others. Pages with several pictures need it once.
pub const STYLE: &str = "@media (prefers-color-scheme: dark) {\
.picture [fill='#FFFFFF'] { fill: #14181D } .picture [fill='#24292F'] { fill: #E6EDF3 } \
.picture [stroke='#24292F'] { stroke: #E6EDF3 } .picture [stroke='#D8DEE4'] { stroke: #343C46 } \
.picture [fill='#0072B2'] { fill: #56B4E9 } .picture [stroke='#0072B2'] { stroke: #56B4E9 } \
.picture [fill='#D55E00'] { fill: #E69F00 } .picture [stroke='#D55E00'] { stroke: #E69F00 } }";

/// A point in the units of the axes.
pub type Point = (f64, f64);

/// What is drawn with a mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Data,
    /// What data is compared with: a limit, a trend, the diagonal.
    Guide,
}

#[derive(Debug, Clone)]
pub enum Mark {
    /// A filled rectangle between two corners.
    Bar { from: Point, to: Point },
    /// The same, so light that something can stand on it.
    Shade { from: Point, to: Point },
    /// Solid for data, dashed for a guide.
    Line { points: Vec<Point>, role: Role },
    /// With its radius in pixels.
    Dot { at: Point, radius: u32, role: Role },
    /// Words beside a place: on its right, or on its left near the right end.
    Note { at: Point, text: String },
}

pub struct Axis {
    /// What it measures, with the unit.
    pub label: String,
    pub range: (f64, f64),
    /// Names at the whole numbers from 0, from top to bottom, in place of numbers.
    pub names: Option<Vec<String>>,
}

pub struct Drawing {
    pub x: Axis,
    pub y: Axis,
    /// In pixels.
    pub height: u32,
    /// Drawn one over the other.
    pub marks: Vec<Mark>,
}

/// The height that so many rows need.
pub fn height_of_rows(rows: usize) -> u32 {
    /// Letters and some air.
    const ROW: u32 = 18;
    AROUND + ROW * u32::try_from(rows.max(2)).unwrap_or(u32::MAX / ROW).min(1000)
}

/// The whole element, with its title and description for those who do not see it.
pub fn svg(title: &str, description: &str, drawing: &Drawing) -> Option<String> {
    let mut drawn = String::new();
    if let Err(error) = draw(&mut drawn, drawing) {
        tracing::error!(%error, "bug: a picture cannot be drawn");
        return None;
    }
    // The first line is the crate's own opening tag.
    let (_, content) = drawn.split_once('\n')?;
    let (title, description) = (markup::escape(title), markup::escape(description));
    let mut whole = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"picture\" role=\"img\" aria-label=\"{title}: {description}\" \
         width=\"{WIDTH}\" height=\"{height}\" viewBox=\"0 0 {WIDTH} {height}\">\n\
         <title>{title}</title>\n<desc>{description}</desc>\n<style>{STYLE}</style>\n",
        height = drawing.height,
    );
    // A blank line would end an element inside Markdown.
    for line in content.lines().filter(|line| !line.trim().is_empty()) {
        whole.push_str(line);
        whole.push('\n');
    }
    Some(whole)
}

type Failure = DrawingAreaErrorKind<std::io::Error>;
type Root<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;
type Chart<'a, 'b> = ChartContext<
    'a,
    SVGBackend<'b>,
    Cartesian2d<plotters::coord::types::RangedCoordf64, plotters::coord::types::RangedCoordf64>,
>;

fn draw(text: &mut String, drawing: &Drawing) -> Result<(), Failure> {
    let root = SVGBackend::with_string(text, (WIDTH, drawing.height)).into_drawing_area();
    root.fill(&SURFACE)?;
    let (x, y) = (&drawing.x, &drawing.y);
    let mut chart = ChartBuilder::on(&root)
        .margin(10)
        .margin_right(18)
        .x_label_area_size(42)
        .y_label_area_size(left_of(y))
        .build_cartesian_2d(x.range.0..x.range.1, y.range.0..y.range.1)?;
    mesh(&mut chart, drawing)?;
    for mark in &drawing.marks {
        put(&mut chart, mark, x.range)?;
    }
    names(&root, &chart, drawing)?;
    root.present()
}

/// Room for the longest name, and for the label beside it.
fn left_of(axis: &Axis) -> u32 {
    /// As wide as a letter of this size is at most, nearly.
    const LETTER: usize = 8;
    let longest = axis.names.iter().flatten().map(|name| super::text::width(name)).max();
    longest.map_or(58, |letters| 34 + (LETTER * letters) as u32)
}

fn mesh(chart: &mut Chart<'_, '_>, drawing: &Drawing) -> Result<(), Failure> {
    let length = |axis: &Axis| axis.range.1 - axis.range.0;
    let (across, up) = (length(&drawing.x), length(&drawing.y));
    let named = drawing.y.names.is_some();
    let (x_text, y_text) = (|value: &f64| scale::tick(*value, across), |value: &f64| scale::tick(*value, up));
    let mut mesh = chart.configure_mesh();
    mesh.light_line_style(TRANSPARENT)
        .bold_line_style(GRID)
        .axis_style(INK)
        .label_style(("sans-serif", LETTERS).into_font().color(&INK))
        .x_desc(&drawing.x.label)
        .y_desc(&drawing.y.label)
        .x_labels(6)
        .y_labels(if named { 0 } else { 6 })
        .x_label_formatter(&x_text)
        .y_label_formatter(&y_text);
    if named {
        mesh.disable_y_mesh();
    }
    mesh.draw()
}

fn put(chart: &mut Chart<'_, '_>, mark: &Mark, across: (f64, f64)) -> Result<(), Failure> {
    match mark {
        Mark::Bar { from, to } => rectangle(chart, *from, *to, DATA.filled()),
        Mark::Shade { from, to } => rectangle(chart, *from, *to, DATA.mix(0.35).filled()),
        Mark::Line { points, role: Role::Data } => {
            chart.draw_series([PathElement::new(points.clone(), DATA.stroke_width(2))]).map(drop)
        }
        Mark::Line { points, role: Role::Guide } => {
            let dashes = DashedPathElement::new(points.iter().copied(), 6, 4, GUIDE.stroke_width(2));
            chart.draw_series([dashes]).map(drop)
        }
        Mark::Dot { at, radius, role } => {
            let colour = if *role == Role::Data { DATA } else { GUIDE };
            chart.draw_series([Circle::new(*at, *radius, colour.filled())]).map(drop)
        }
        Mark::Note { at, text } => note(chart, *at, text, across),
    }
}

fn rectangle(chart: &mut Chart<'_, '_>, from: Point, to: Point, style: ShapeStyle) -> Result<(), Failure> {
    chart.draw_series([Rectangle::new([from, to], style)]).map(drop)
}

fn note(chart: &mut Chart<'_, '_>, at: Point, text: &str, across: (f64, f64)) -> Result<(), Failure> {
    let near_the_end = at.0 - across.0 > 0.6 * (across.1 - across.0);
    let (side, gap) = if near_the_end { (HPos::Right, -5) } else { (HPos::Left, 5) };
    let style = letters().pos(Pos::new(side, VPos::Center));
    let words = EmptyElement::at(at) + Text::new(text.to_owned(), (gap, 0), style);
    chart.draw_series([words]).map(drop)
}

fn letters() -> TextStyle<'static> {
    ("sans-serif", LETTERS).into_font().color(&INK)
}

/// The names of the rows, beside the axis.
fn names(root: &Root<'_>, chart: &Chart<'_, '_>, drawing: &Drawing) -> Result<(), Failure> {
    let style = letters().pos(Pos::new(HPos::Right, VPos::Center));
    for (row, name) in drawing.y.names.iter().flatten().enumerate() {
        let (x, y) = chart.backend_coord(&(drawing.x.range.0, row as f64));
        root.draw_text(name, &style, (x - 8, y))?;
    }
    Ok(())
}
