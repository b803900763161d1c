//! Pictures of fixed data as snapshots, and of any data as a property: never a panic, always well formed, never large.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::base::picture::Unit;

const LATENCY: Picture = Picture {
    title: "Time of the measured runs",
    field: "histogram",
    shape: Shape::Histogram {
        of: "time of a run",
        unit: Unit::Seconds,
        counted: "runs",
        marks: &["p50", "p95", "p99"],
    },
};
const CALIBRATION: Picture =
    Picture { title: "Share that is right by confidence", field: "table", shape: Shape::Reliability };
const DRIFT: Picture = Picture {
    title: "Columns that moved most",
    field: "worst",
    shape: Shape::Bars {
        thing: "column",
        value: "psi",
        measure: "stability index",
        unit: Unit::Number,
        limit: Some("psi_limit"),
    },
};
const MEMORY: Picture = Picture {
    title: "Memory over the runs",
    field: "samples",
    shape: Shape::Series {
        over: "runs",
        values: "resident",
        measure: "resident memory",
        unit: Unit::Bytes,
        slope: Some("slope"),
    },
};

/// An output of each shape, and the picture of it.
fn examples() -> [(&'static str, Picture, Value); 4] {
    let edges: Vec<f64> = (0..=12).map(|edge| 0.000_28 + 0.000_05 * f64::from(edge)).collect();
    let counts = [12, 240, 420, 180, 70, 31, 20, 11, 8, 0, 5, 3];
    let interval = |lower: f64, rows: u64, confidence: f64, accuracy: f64| json!({"lower": lower, "upper": lower + 0.25, "rows": rows, "confidence": confidence, "accuracy": accuracy});
    let column = |column: usize, psi: f64| json!({"column": column, "psi": psi, "moved": psi > 0.3});
    let runs: Vec<f64> = (0..20).map(|sample| 50.0 * f64::from(sample)).collect();
    let resident: Vec<f64> = (0..20).map(|sample| 1e8 + 40_000.0 * f64::from(sample + sample % 3)).collect();
    [
        (
            "histogram",
            LATENCY,
            json!({"histogram": {"edges": edges, "counts": counts}, "p50": 0.000_41, "p95": 0.000_66, "p99": null}),
        ),
        (
            "reliability",
            CALIBRATION,
            json!({"table": [interval(0.0, 0, 0.0, 0.0), interval(0.25, 14, 0.41, 0.5),
                             interval(0.5, 40, 0.66, 0.55), interval(0.75, 246, 0.95, 0.81)]}),
        ),
        ("bars", DRIFT, json!({"worst": [column(17, 1.9), column(3, 0.41), column(250, 0.12)], "psi_limit": 0.3})),
        ("series", MEMORY, json!({"samples": {"runs": runs, "resident": resident}, "slope": 830.0})),
    ]
}

/// The picture, after everything that holds for each was checked.
fn checked(figure: &Figure) -> String {
    let svg = figure.svg().unwrap();
    let document = roxmltree::Document::parse(&svg).unwrap_or_else(|error| panic!("{error}: {svg}"));
    let root = document.root_element();
    assert_eq!(root.attribute("role"), Some("img"));
    for name in ["title", "desc"] {
        let part = root.children().find(|child| child.has_tag_name(("http://www.w3.org/2000/svg", name)));
        assert!(part.and_then(|part| part.text()).is_some_and(|text| !text.is_empty()), "{name}: {svg}");
    }
    let drawn = ["circle", "desc", "line", "polyline", "polygon", "rect", "style", "svg", "text", "title"];
    for node in document.descendants().filter(roxmltree::Node::is_element) {
        assert!(drawn.contains(&node.tag_name().name()), "{node:?}");
        // A number that is none would make a renderer drop the mark, or the picture.
        assert!(node.attributes().all(|attribute| !attribute.value().contains("NaN")), "{svg}");
    }
    assert!(svg.len() < 300_000, "{} bytes", svg.len());
    assert!(!svg.contains("\n\n") && !svg.lines().any(|line| line.trim().is_empty()), "{svg}");
    svg
}

#[test]
fn each_shape_looks_as_it_did() {
    for (name, picture, output) in examples() {
        let figure = Figure::of(&picture, &output).unwrap();
        insta::assert_snapshot!(format!("svg_{name}"), checked(&figure));
        let text = format!("{}\n{}\n{}", figure.summary(), figure.spark(Glyphs::Blocks), figure.spark(Glyphs::Ascii));
        insta::assert_snapshot!(format!("text_{name}"), text);
    }
}

#[test]
fn what_is_not_there_has_no_picture() {
    for (_, picture, output) in examples() {
        for missing in [json!({}), json!(null), json!([]), json!({ picture.field: null }), json!({ picture.field: [] })]
        {
            assert!(Figure::of(&picture, &missing).is_none(), "{missing}");
        }
        let mut partly = output;
        partly[picture.field] = json!({"edges": [1.0, 2.0], "counts": [null], "runs": [1.0], "resident": [null]});
        assert!(Figure::of(&picture, &partly).is_none());
    }
}

#[test]
fn one_value_is_a_picture() {
    for (picture, output) in [
        (LATENCY, json!({"histogram": {"edges": [0.5, 0.5], "counts": [1]}, "p50": 0.5})),
        (CALIBRATION, json!({"table": [{"lower": 0.0, "upper": 1.0, "rows": 1, "confidence": 1.0, "accuracy": 1.0}]})),
        (DRIFT, json!({"worst": [{"column": 0, "psi": 0.0}], "psi_limit": 0.0})),
        (MEMORY, json!({"samples": {"runs": [0.0], "resident": [1e8]}, "slope": 0.0})),
    ] {
        checked(&Figure::of(&picture, &output).unwrap());
    }
}

#[test]
fn names_of_data_stay_text() {
    for evil in ["<script>alert(1)</script>", "]]>", "\" onload=\"x", "&lt;", "\u{1b}[2J\u{ffff}", "a\n\nb"] {
        let output = json!({"worst": [{"column": evil, "psi": 1.0}, {"column": {"a": evil}, "psi": 2.0}]});
        let figure = Figure::of(&DRIFT, &output).unwrap();
        let svg = checked(&figure);
        assert!(!svg.contains("<script") && !svg.contains("]]>"), "{svg}");
        assert!(!figure.summary().contains(char::is_control));
    }
}

#[test]
fn large_data_makes_no_large_picture() {
    let many: Vec<f64> = (0..200_000).map(f64::from).collect();
    let items: Vec<Value> = many.iter().map(|value| json!({"column": value, "psi": value})).collect();
    let outputs = [
        (LATENCY, json!({"histogram": {"edges": many, "counts": many[1..]}})),
        (DRIFT, json!({"worst": items})),
        (MEMORY, json!({"samples": {"runs": many, "resident": many}, "slope": 1.0})),
    ];
    for (picture, output) in outputs {
        let figure = Figure::of(&picture, &output).unwrap();
        assert!(checked(&figure).len() < 60_000);
        assert!(figure.spark(Glyphs::Blocks).chars().count() <= 30);
    }
}

/// Numbers of every size, and what is no number.
fn anything() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => any::<f64>().prop_map(Value::from),
        4 => (0.0..1.0).prop_map(|share: f64| json!(share)),
        2 => (0..1000_u32).prop_map(Value::from),
        1 => Just(Value::Null),
        1 => any::<String>().prop_map(Value::from),
    ]
}

fn lists() -> impl Strategy<Value = Vec<Value>> {
    prop::collection::vec(anything(), 0..12)
}

fn edges() -> impl Strategy<Value = Vec<f64>> {
    let number = prop_oneof![-1e300..1e300_f64, 0.0..1e-3_f64, -1.0..1.0_f64];
    prop::collection::vec(number, 2..12).prop_map(|mut edges| {
        edges.sort_by(f64::total_cmp);
        edges
    })
}

proptest! {
    #[test]
    fn any_output_is_drawn_well_formed_or_not_at_all(
        edges in edges(), counts in lists(), first in lists(), second in lists(), names in lists(), one in anything(),
    ) {
        let counts = &counts[..counts.len().min(edges.len() - 1)];
        let edges = &edges[..=counts.len()];
        let table: Vec<Value> = first.iter().zip(&second).map(|(accuracy, confidence)| {
            json!({"lower": 0.2, "upper": 0.4, "rows": 3, "accuracy": accuracy, "confidence": confidence})
        }).collect();
        let worst: Vec<Value> =
            names.iter().zip(&first).map(|(name, length)| json!({"column": name, "psi": length})).collect();
        let output = json!({
            "histogram": {"edges": edges, "counts": counts}, "p50": one, "p95": edges[0],
            "table": table, "worst": worst, "psi_limit": one,
            "samples": {"runs": first, "resident": second}, "slope": one,
        });
        for picture in [LATENCY, CALIBRATION, DRIFT, MEMORY] {
            if let Some(figure) = Figure::of(&picture, &output) {
                checked(&figure);
                prop_assert!(figure.spark(Glyphs::Ascii).is_ascii());
            }
        }
    }
}
