//! Rows of an array along one of its dimensions: the first for most inputs, the second for the state of many
//! recurrent models.

use std::ops::Range;

use crate::model::TensorInfo;
use crate::model::golden::Values;

/// The dimension that holds the rows of an input, for each input; `None` for a setting or a fixed state that is
/// given to each run as it is.
pub fn of_inputs(infos: &[TensorInfo]) -> Vec<Option<usize>> {
    let any_open = infos.iter().any(|info| info.shape.first() == Some(&None));
    infos.iter().map(|info| of_input(info, any_open)).collect()
}

fn of_input(info: &TensorInfo, any_open: bool) -> Option<usize> {
    let mut open = info.shape.iter().enumerate().filter(|(_, size)| size.is_none()).map(|(axis, _)| axis);
    match (info.shape.first()?, open.next(), open.next()) {
        (None, _, _) => Some(0),
        // Beside an input with any number of rows, this one has its rows where it leaves one size open.
        (Some(_), Some(axis), None) if any_open => Some(axis),
        (Some(_), _, _) => (!any_open).then_some(0),
    }
}

/// A part of the rows along `axis`.
pub fn part(values: &Values, axis: usize, rows: &Range<usize>) -> Values {
    let (size, inner) = (values.shape[axis], values.shape[axis + 1..].iter().product::<usize>());
    let outer: usize = values.shape[..axis].iter().product();
    let taken = |block: usize| (block * size + rows.start) * inner..(block * size + rows.end) * inner;
    let data = (0..outer).flat_map(|block| &values.data[taken(block)]).copied().collect();
    let mut shape = values.shape.clone();
    shape[axis] = rows.len();
    Values { shape, data }
}

/// The same numbers with the rows of `axis` in the first dimension.
pub fn rows_first(values: &Values, axis: usize) -> Values {
    let rows = values.shape[axis];
    let data = (0..rows).flat_map(|row| part(values, axis, &(row..row + 1)).data).collect();
    let mut shape = values.shape.clone();
    shape.remove(axis);
    shape.insert(0, rows);
    Values { shape, data }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(shape: &[Option<usize>]) -> TensorInfo {
        TensorInfo { name: "x".into(), element: "float32".into(), shape: shape.to_vec() }
    }

    #[test]
    fn rows_lie_where_a_size_is_open() {
        let (rows, state, rate) = (info(&[None, None]), info(&[Some(2), None, Some(128)]), info(&[]));
        assert_eq!(of_inputs(&[rows.clone(), state.clone(), rate]), [Some(0), Some(1), None]);
        assert_eq!(of_inputs(&[rows, info(&[Some(2), Some(3)])]), [Some(0), None]);
        // Alone, the first dimension is all there is.
        assert_eq!(of_inputs(&[state]), [Some(0)]);
    }

    #[test]
    fn rows_of_an_inner_dimension_are_taken_and_moved_to_the_front() {
        // Two layers of three rows of two numbers: layer, row and number are the digits.
        let data = vec![0.0, 1.0, 10.0, 11.0, 20.0, 21.0, 100.0, 101.0, 110.0, 111.0, 120.0, 121.0];
        let values = Values { shape: vec![2, 3, 2], data };
        let last = part(&values, 1, &(1..3));
        assert_eq!(last.shape, [2, 2, 2]);
        assert_eq!(last.data, [10.0, 11.0, 20.0, 21.0, 110.0, 111.0, 120.0, 121.0]);
        let moved = rows_first(&values, 1);
        assert_eq!(moved.shape, [3, 2, 2]);
        assert_eq!(moved.data[4..8], [10.0, 11.0, 110.0, 111.0]);
        assert_eq!(rows_first(&values, 0), values);
    }
}
