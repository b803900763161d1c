//! Rows for a model: from a file, or made up.

use std::ops::Range;
use std::path::Path;

use super::{Data, axis};
use crate::kind::StepError;
use crate::model::golden::Values;
use crate::model::{Tensor, TensorInfo};

/// The same rows for each input of a model.
#[derive(Debug)]
pub(in crate::probe) struct Feed {
    inputs: Vec<Input>,
    pub rows: usize,
    /// The number of rows that the model declares for each run; `None` if it takes any.
    pub fixed_batch: Option<usize>,
    /// Whether the numbers were made up here.
    pub made_up: bool,
}

#[derive(Debug)]
struct Input {
    info: TensorInfo,
    values: Values,
    /// The dimension of its rows; `None` for a setting, which is given to each run as it is.
    rows: Option<usize>,
}

impl Feed {
    /// The rows of `data`, else `rows` rows that are made up. `model` is the path of the model file.
    pub(in crate::probe) fn of(
        infos: &[TensorInfo],
        data: Option<&Data>,
        model: &Path,
        rows: usize,
    ) -> Result<Feed, StepError> {
        match data {
            Some(data) => Feed::read(infos, data, model),
            None => Feed::made_up(infos, rows),
        }
    }

    pub(in crate::probe) fn read(infos: &[TensorInfo], data: &Data, model: &Path) -> Result<Feed, StepError> {
        let input = |info: &TensorInfo| {
            let name = if infos.len() == 1 { None } else { Some(info.name.clone()) };
            // `array` chooses among the arrays for the only input; several inputs go by their names.
            let data = Data { array: name.or_else(|| data.array.clone()), ..data.clone() };
            Ok(fitted(data.read(Some(model), &info.name)?, info))
        };
        Feed::new(infos, infos.iter().map(input).collect::<Result<_, StepError>>()?)
    }

    /// Numbers that scatter around zero like those of a standardised feature, the same in every run of the program.
    /// Integers are 0 or 1, which are valid as index, token and flag.
    pub(in crate::probe) fn made_up(infos: &[TensorInfo], rows: usize) -> Result<Feed, StepError> {
        let mut random = Scatter(0x5EED);
        let axes = axis::of_inputs(infos);
        let input = |(info, of_rows): (&TensorInfo, &Option<usize>)| {
            let mut shape = Vec::with_capacity(info.shape.len());
            for (axis, size) in info.shape.iter().enumerate() {
                shape.push(size.or((*of_rows == Some(axis)).then_some(rows)).ok_or_else(|| free_size(info))?);
            }
            if *of_rows == Some(0) && info.shape[0].is_some() {
                shape[0] = shape[0].saturating_mul(rows.div_ceil(shape[0].max(1)));
            }
            let count: usize = shape.iter().product();
            let whole_numbers = info.element.starts_with("int");
            let data = (0..count).map(|_| if whole_numbers { random.bit() } else { random.number() }).collect();
            Ok(Values { shape, data })
        };
        let values = infos.iter().zip(&axes).map(input).collect::<Result<_, StepError>>()?;
        let feed = Feed::new(infos, values)?;
        Ok(Feed { made_up: true, ..feed })
    }

    fn new(infos: &[TensorInfo], values: Vec<Values>) -> Result<Feed, StepError> {
        let given = infos.iter().zip(values).zip(axis::of_inputs(infos));
        let inputs: Vec<Input> =
            given.map(|((info, values), rows)| Input { info: info.clone(), values, rows }).collect();
        // That of an open number of rows leads; the others follow it.
        let leads = |input: &&Input| input.rows == Some(0);
        let first = inputs.iter().find(leads).ok_or_else(|| {
            StepError::new("no input of the model has rows").help("this check needs an input with a batch dimension")
        })?;
        let rows = first.values.shape.first().copied().unwrap_or(0);
        let fixed_batch = first.info.shape[0].filter(|size| *size > 0);
        if let Some(other) = inputs.iter().find(|input| input.count().is_some_and(|count| count != rows)) {
            let (name, shape) = (&other.info.name, &other.values.shape);
            return Err(StepError::new(format!(
                "'{name}' has the shape {shape:?}, but '{}' has {rows} rows",
                first.info.name
            ))
            .help("give each input the same number of rows"));
        }
        if rows == 0 {
            return Err(StepError::new("there are no rows to run").help("check the file and its `shape`"));
        }
        if fixed_batch.is_some_and(|size| rows % size != 0) {
            return Err(StepError::new(format!("{rows} rows do not fill batches of {}", fixed_batch.unwrap_or(1)))
                .help("the model fixes its batch size; give a multiple of it"));
        }
        Ok(Feed { inputs, rows, fixed_batch, made_up: false })
    }

    /// At most the first `rows` rows, but whole batches of a model that fixes their size.
    pub(in crate::probe) fn limited(mut self, rows: usize) -> Feed {
        let batch = self.fixed_batch.unwrap_or(1);
        self.rows = self.rows.min(rows.max(1).next_multiple_of(batch));
        self
    }

    /// The inputs of one run over these rows.
    pub(in crate::probe) fn slice(&self, rows: Range<usize>) -> Result<Vec<(String, Tensor)>, StepError> {
        let tensor = |input: &Input| {
            let values = input.rows.map_or_else(|| input.values.clone(), |axis| axis::part(&input.values, axis, &rows));
            let tensor = values.to_tensor(&input.info.element).map_err(|detail| {
                StepError::new(format!("the input '{}' {detail}", input.info.name))
                    .help("compare the data with the inputs that `onnx_load` lists")
            })?;
            Ok((input.info.name.clone(), tensor))
        };
        self.inputs.iter().map(tensor).collect()
    }

    /// An answer to `rows` rows with its rows in the first dimension. Recurrent models answer with the state that the
    /// next run takes: what has the shape of such an input has its rows where that has them.
    pub(in crate::probe) fn rows_first(&self, answer: Values, rows: usize) -> Values {
        let like_answer = |input: &&Input| {
            input.rows.is_some_and(|axis| axis > 0 && shape_of(&input.values.shape, axis, rows) == answer.shape)
        };
        match self.inputs.iter().find(like_answer).and_then(|state| state.rows) {
            Some(axis) => axis::rows_first(&answer, axis),
            None => answer,
        }
    }

    /// The inputs of a single run: all rows, or as many as the model takes at once.
    pub(in crate::probe) fn first_batch(&self) -> Result<Vec<(String, Tensor)>, StepError> {
        self.slice(0..self.fixed_batch.unwrap_or(self.rows))
    }

    /// The rows in runs of `size`; of the model's own size if it fixes it.
    pub(in crate::probe) fn batches(&self, size: usize) -> impl Iterator<Item = Range<usize>> + use<> {
        let (rows, size) = (self.rows, self.fixed_batch.unwrap_or(size).max(1));
        (0..rows).step_by(size).map(move |start| start..(start + size).min(rows))
    }
}

impl Input {
    /// How many rows it has; 0 when it has too few dimensions, `None` for a setting.
    fn count(&self) -> Option<usize> {
        self.rows.map(|axis| self.values.shape.get(axis).copied().unwrap_or(0))
    }
}

fn free_size(info: &TensorInfo) -> StepError {
    StepError::new(format!("the input '{}' leaves more than the number of rows open: {:?}", info.name, info.shape))
        .help("give rows with `inputs`: what this model takes cannot be made up")
}

/// Raw numbers without a shape take the one that the model declares.
fn fitted(values: Values, info: &TensorInfo) -> Values {
    let [None, rest @ ..] = &info.shape[..] else { return values };
    let width: Option<usize> = rest.iter().copied().product::<Option<usize>>().filter(|width| *width > 0);
    match (&values.shape[..], width) {
        ([count], Some(width)) if !rest.is_empty() && count % width == 0 => {
            let shape = std::iter::once(count / width).chain(rest.iter().flatten().copied()).collect();
            Values { shape, data: values.data }
        }
        _ => values,
    }
}

fn shape_of(shape: &[usize], axis: usize, rows: usize) -> Vec<usize> {
    let mut shape = shape.to_vec();
    shape[axis] = rows;
    shape
}

/// The generator of Marsaglia, "Xorshift RNGs" (2003): inputs need to differ, not to be unpredictable.
struct Scatter(u64);

impl Scatter {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn bit(&mut self) -> f64 {
        (self.next() >> 63) as f64
    }

    /// Four evenly spread numbers less their mean have about a bell shape; the factor makes the deviation 1.
    fn number(&mut self) -> f64 {
        let even = |bits: u64| (bits >> 11) as f64 / (1_u64 << 53) as f64;
        ((0..4).map(|_| even(self.next())).sum::<f64>() - 2.0) * 3.0_f64.sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(name: &str, element: &str, shape: &[Option<usize>]) -> TensorInfo {
        TensorInfo { name: name.into(), element: element.into(), shape: shape.to_vec() }
    }

    fn stored(text: &str) -> (tempfile::TempDir, Data) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("rows.json");
        std::fs::write(&file, text).unwrap();
        (folder, Data { file, shape: None, array: None })
    }

    #[test]
    fn made_up_rows_scatter_around_zero_and_stay_the_same() {
        let infos = [info("x", "float32", &[None, Some(40)]), info("flag", "int64", &[None, Some(1)])];
        let feed = Feed::made_up(&infos, 50).unwrap();
        let inputs = feed.slice(0..50).unwrap();
        let Tensor::F32(x) = &inputs[0].1 else { panic!("not float32") };
        let (mean, square) = (x.mean().unwrap(), x.mapv(|number| number * number).mean().unwrap());
        assert!(mean.abs() < 0.1 && (square - 1.0).abs() < 0.1, "{mean} {square}");
        assert_eq!(inputs, Feed::made_up(&infos, 50).unwrap().slice(0..50).unwrap());
        assert_eq!(feed.batches(20).collect::<Vec<_>>(), [0..20, 20..40, 40..50]);
    }

    #[test]
    fn a_batch_that_is_fixed_is_kept() {
        let feed = Feed::made_up(&[info("x", "float32", &[Some(4), Some(2)])], 10).unwrap();
        assert_eq!((feed.rows, feed.fixed_batch), (12, Some(4)));
        assert_eq!(feed.batches(32).count(), 3);
        let (_folder, data) = stored("[[1, 2], [3, 4], [5, 6]]");
        let error = Feed::read(&[info("x", "float32", &[Some(2), Some(2)])], &data, Path::new("m")).unwrap_err();
        assert!(error.message.contains("3 rows do not fill batches of 2"), "{error}");
        assert_eq!(feed.limited(5).rows, 8);
    }

    #[test]
    fn numbers_without_a_shape_take_the_declared_one() {
        let (_folder, data) = stored("[1, 2, 3, 4, 5, 6]");
        let feed = Feed::read(&[info("x", "float32", &[None, Some(3)])], &data, Path::new("m")).unwrap();
        assert_eq!((feed.rows, feed.slice(1..2).unwrap()[0].1.shape()), (2, &[1, 3][..]));
    }

    #[test]
    fn several_inputs_go_by_name_and_settings_are_whole() {
        let infos = [info("x", "float32", &[None, Some(1)]), info("rate", "int64", &[])];
        let (_folder, data) = stored(r#"{"x": [[1], [2]], "rate": {"shape": [], "data": [16000]}}"#);
        let feed = Feed::read(&infos, &data, Path::new("m")).unwrap();
        let inputs = feed.slice(1..2).unwrap();
        assert_eq!(inputs[1].1, Tensor::I64(ndarray::arr0(16_000).into_dyn()));
        let (_folder, data) = stored(r#"{"x": [[1], [2]]}"#);
        assert!(Feed::read(&infos, &data, Path::new("m")).is_err());
    }

    #[test]
    fn a_state_has_its_rows_in_its_second_dimension() {
        let infos = [info("x", "float32", &[None, Some(1)]), info("state", "float32", &[Some(2), None, Some(1)])];
        let (_folder, data) = stored(r#"{"x": [[1], [2], [3]], "state": [[[10], [20], [30]], [[11], [21], [31]]]}"#);
        let feed = Feed::read(&infos, &data, Path::new("m")).unwrap();
        let state = Values::from(&feed.slice(1..3).unwrap()[1].1);
        assert_eq!(state, Values { shape: vec![2, 2, 1], data: vec![20.0, 30.0, 21.0, 31.0] });
        // Two rows of two layers: only the form of the input tells which dimension is which.
        let answer = feed.rows_first(state, 2);
        assert_eq!(answer.data, [20.0, 21.0, 30.0, 31.0]);
        let other = Values { shape: vec![2, 1], data: vec![1.0, 2.0] };
        assert_eq!(feed.rows_first(other.clone(), 2), other);
        assert_eq!(Feed::made_up(&infos, 3).unwrap().slice(0..3).unwrap()[1].1.shape(), [2, 3, 1]);
        let (_folder, data) = stored(r#"{"x": [[1], [2]], "state": [[[10]], [[11]]]}"#);
        assert!(Feed::read(&infos, &data, Path::new("m")).unwrap_err().message.contains("but 'x' has 2 rows"));
    }

    #[test]
    fn what_cannot_be_made_up_is_asked_for() {
        let error = Feed::made_up(&[info("x", "float32", &[None, None])], 4).unwrap_err();
        assert!(error.help.unwrap().contains("`inputs`"));
    }
}
