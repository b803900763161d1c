//! Golden cases from a file: JSON, or arrays as numpy saves them.

use std::collections::BTreeMap;
use std::path::Path;

use super::Data;
use crate::kind::StepError;
use crate::model::golden::{Case, Golden, GoldenError, Values};

/// Reads and checks golden cases; the end of the name says what the file is. Blocking.
pub(in crate::probe) fn read_cases(path: &Path) -> Result<Golden, StepError> {
    let unusable = |error: GoldenError| {
        StepError::because(path.display(), &error)
            .help("`cases` names a golden file; its form is described at `cases` of the kind `onnx_golden`")
    };
    if path.extension().is_none_or(|extension| extension != "npz") {
        return Golden::read(path).map_err(unusable);
    }
    let arrays = Data { file: path.to_owned(), shape: None, array: None }.arrays()?;
    let cases = cases(arrays).map_err(GoldenError::Content);
    cases.and_then(Golden::of).map_err(unusable)
}

/// Which side of a case an array is.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Side {
    Input,
    Output,
}

fn cases(arrays: Vec<(String, Values)>) -> Result<Vec<Case>, String> {
    let mut cases = BTreeMap::<String, Case>::new();
    for (key, values) in arrays {
        let (case, side, name) = parse(&key).ok_or_else(|| {
            format!("the array '{key}' is neither 'inputs/NAME' nor 'outputs/NAME', nor CASE/ before one")
        })?;
        let case = cases.entry(case.to_owned()).or_insert_with(|| Case {
            name: if case.is_empty() { "arrays".to_owned() } else { case.to_owned() },
            inputs: BTreeMap::new(),
            outputs: BTreeMap::new(),
        });
        let tensors = if side == Side::Input { &mut case.inputs } else { &mut case.outputs };
        tensors.insert(name.to_owned(), values);
    }
    Ok(cases.into_values().collect())
}

/// The case, its side and the name of the tensor, which may have slashes itself: `one/inputs/a/b`.
fn parse(key: &str) -> Option<(&str, Side, &str)> {
    let sides = [(Side::Input, "inputs/"), (Side::Output, "outputs/")];
    sides.into_iter().find_map(|(side, word)| match key.split_once(word)? {
        ("", name) => Some(("", side, name)),
        (case, name) => Some((case.strip_suffix('/').filter(|case| !case.contains('/'))?, side, name)),
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn the_place_of_an_array_is_its_name() {
        assert_eq!(parse("inputs/features"), Some(("", Side::Input, "features")));
        assert_eq!(parse("one/outputs/a/b"), Some(("one", Side::Output, "a/b")));
        assert_eq!(parse("inputs/outputs/x"), Some(("", Side::Input, "outputs/x")));
        for other in ["features", "a/b/inputs/x", "oneinputs/x", ""] {
            assert_eq!(parse(other), None, "{other}");
        }
    }

    fn archive(arrays: &[(&str, [f32; 2])]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::with_suffix(".npz").unwrap();
        let mut zip = zip::ZipWriter::new(file.reopen().unwrap());
        for (name, numbers) in arrays {
            zip.start_file(format!("{name}.npy"), zip::write::SimpleFileOptions::default()).unwrap();
            let head = "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2), }\n";
            zip.write_all(b"\x93NUMPY\x01\x00").unwrap();
            zip.write_all(&(head.len() as u16).to_le_bytes()).unwrap();
            zip.write_all(head.as_bytes()).unwrap();
            zip.write_all(&numbers.iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<_>>()).unwrap();
        }
        zip.finish().unwrap();
        file
    }

    #[test]
    fn arrays_of_numpy_are_cases() {
        let file = archive(&[
            ("two/inputs/x", [3.0, 4.0]),
            ("two/outputs/y", [0.5, 0.5]),
            ("one/inputs/x", [1.0, 2.0]),
            ("one/outputs/y", [0.25, 0.75]),
        ]);
        let golden = read_cases(file.path()).unwrap();
        let names: Vec<&str> = golden.cases.iter().map(|case| &*case.name).collect();
        assert_eq!(names, ["one", "two"]);
        assert_eq!(golden.cases[0].inputs["x"], Values { shape: vec![1, 2], data: vec![1.0, 2.0] });
        assert_eq!(golden.cases[1].outputs["y"].data, [0.5, 0.5]);
        let single = read_cases(archive(&[("inputs/x", [1.0, 2.0]), ("outputs/y", [0.0, 1.0])]).path()).unwrap();
        assert_eq!((single.cases.len(), &*single.cases[0].name), (1, "arrays"));
    }

    #[test]
    fn arrays_that_are_no_cases_are_refused() {
        let refused = |arrays: &[(&str, [f32; 2])]| read_cases(archive(arrays).path()).unwrap_err().message;
        assert!(refused(&[("features", [1.0, 2.0])]).contains("the array 'features' is neither"));
        assert!(refused(&[("inputs/x", [1.0, 2.0])]).contains("expects no output"));
    }
}
