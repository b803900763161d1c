//! Numbers between commas. Quotes around a cell are taken off; a cell with a comma in it is no number.

use super::{Content, DataError, shaped};
use crate::model::golden::Values;

/// All cells, or the column named `column`.
pub(super) fn decode(bytes: &[u8], column: Option<&str>) -> Result<Content, DataError> {
    let text = std::str::from_utf8(bytes).map_err(|error| DataError::Malformed(error.to_string()))?;
    let lines = text.trim_start_matches('\u{feff}').lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let mut lines = lines.map(|(index, line)| (index + 1, line.split(',').map(bare).collect::<Vec<_>>())).peekable();
    let is_head = |cells: &Vec<&str>| cells.iter().any(|cell| number(cell).is_none());
    let head = lines.next_if(|(_, cells)| is_head(cells)).map(|(_, cells)| cells);
    let rows: Result<Vec<Vec<f64>>, DataError> = lines.map(|(line, cells)| row(line, &cells)).collect();
    match column {
        None => together(rows?),
        Some(name) => one_column(name, head, &rows?).map(Content::Array),
    }
}

fn bare(cell: &str) -> &str {
    cell.trim().trim_matches('"')
}

/// An empty cell is a missing number.
fn number(cell: &str) -> Option<f64> {
    if cell.is_empty() { Some(f64::NAN) } else { cell.parse().ok() }
}

fn row(line: usize, cells: &[&str]) -> Result<Vec<f64>, DataError> {
    let parse = |(index, cell): (usize, &&str)| {
        let wrong = || DataError::Content(format!("line {line}, column {}: '{cell}' is not a number", index + 1));
        number(cell).ok_or_else(wrong)
    };
    cells.iter().enumerate().map(parse).collect()
}

fn together(rows: Vec<Vec<f64>>) -> Result<Content, DataError> {
    let width = rows.first().map_or(0, Vec::len);
    if rows.iter().any(|row| row.len() != width) {
        return Ok(Content::Ragged(rows));
    }
    shaped(vec![rows.len(), width], rows.concat()).map(Content::Array)
}

fn one_column(name: &str, head: Option<Vec<&str>>, rows: &[Vec<f64>]) -> Result<Values, DataError> {
    let head = head.ok_or_else(|| DataError::Content(format!("it has no line of names to find '{name}' in")))?;
    let place = head.iter().position(|other| *other == name);
    let place = place.ok_or_else(|| DataError::Content(format!("it has no column '{name}'")))?;
    let numbers: Option<Vec<f64>> = rows.iter().map(|row| row.get(place).copied()).collect();
    let numbers = numbers.ok_or_else(|| DataError::Content(format!("a line in it ends before the column '{name}'")))?;
    shaped(vec![numbers.len()], numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_names_is_told_from_numbers() {
        let expected = Values { shape: vec![2, 2], data: vec![1.0, 2.0, -3.0, 4e3] };
        for text in ["1,2\n-3,4e3\n", "a,b\r\n1, 2\r\n\r\n-3,\"4e3\"", "\u{feff}\"a\",b\n1,2\n-3,4e3"] {
            assert_eq!(decode(text.as_bytes(), None).unwrap(), Content::Array(expected.clone()), "{text}");
        }
        let Content::Array(label) = decode(b"x,label\n1,7\n2,8\n", Some("label")).unwrap() else { panic!("no array") };
        assert_eq!((label.shape, label.data), (vec![2], vec![7.0, 8.0]));
    }

    #[test]
    fn missing_and_wrong_cells() {
        let Content::Array(values) = decode(b"1,\n,inf\n", None).unwrap() else { panic!("no array") };
        assert!(values.data[1].is_nan() && values.data[2].is_nan() && values.data[3].is_infinite());
        assert_eq!(decode(b"1,2\n3\n", None).unwrap(), Content::Ragged(vec![vec![1.0, 2.0], vec![3.0]]));
        let error = decode(b"a,b\n1,2\n3,x\n", None).unwrap_err();
        assert_eq!(error.to_string(), "line 3, column 2: 'x' is not a number");
        assert!(decode(b"1,2\n", Some("label")).is_err());
        assert!(decode(b"a,b\n1,2\n", Some("label")).is_err());
    }
}
