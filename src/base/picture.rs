//! What a step kind says about the part of its output that is best seen as a picture.
//!
//! The kind only declares; `report` draws. So neither knows the other, a run of long ago gets its picture from
//! what its journal holds, and a new kind gets one by one line.

/// A picture of one field of an output. Fields are named as in the JSON of the output; a test walks all kinds and
/// holds each name against the output's schema.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Picture {
    /// What is seen, in a few words that begin with a capital: `Time of the measured runs`.
    pub title: &'static str,
    /// The field that is drawn.
    pub field: &'static str,
    pub shape: Shape,
}

/// How the field is drawn, and what it must look like.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Shape {
    /// How often each interval occurred. The field is `{edges: [number], counts: [count]}` with one edge more than
    /// counts.
    Histogram {
        /// What the edges measure: `time of a run`.
        of: &'static str,
        unit: Unit,
        /// What is counted: `runs`.
        counted: &'static str,
        /// Fields beside it, of the same unit, that are marked in the picture, such as `p95`; null is left out.
        marks: &'static [&'static str],
    },
    /// The reliability diagram of a classifier (DeGroot and Fienberg 1983): the share that is right over the mean
    /// confidence of each interval. The field is a list of `{lower, upper, rows, confidence, accuracy}`.
    Reliability,
    /// A bar for each thing. The field is a list of objects.
    Bars {
        /// What a thing is: `column`. It is also the member that holds its name, text or number.
        thing: &'static str,
        /// The member that is the length of the bar.
        value: &'static str,
        /// What the bars measure: `rows a second`.
        measure: &'static str,
        unit: Unit,
        /// A field beside it that is drawn as a line across the bars.
        limit: Option<&'static str>,
    },
    /// A measure over another with the line of its trend. The field is an object of two lists of equal length.
    Series {
        /// The member with the places, and what they are: `runs`.
        over: &'static str,
        /// The member with the values.
        values: &'static str,
        /// What the values measure: `resident memory`.
        measure: &'static str,
        unit: Unit,
        /// A field beside it with the slope of the least-squares line: units of the values for each unit of the
        /// places.
        slope: Option<&'static str>,
    },
}

/// What a number counts, which decides how it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    Seconds,
    Bytes,
    /// A bare number: a count, a share, an index.
    Number,
}
