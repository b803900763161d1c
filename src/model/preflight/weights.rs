//! Weights: their size against their shape, and the files that hold them when the model does not.

use std::path::{Component, Path, PathBuf};

use super::graph::walk;
use crate::model::protobuf::{EXTERNAL, GraphProto, TensorProto, element_type};
use crate::model::{FaultKind, ModelFault};

/// Bytes of all weights; saturates when a damaged file declares absurd shapes.
pub fn total_bytes(top: &GraphProto) -> u64 {
    let mut total = 0_u64;
    each_tensor(top, &mut |tensor| total = total.saturating_add(declared_bytes(tensor).unwrap_or(0)));
    total
}

/// Of the 64-bit integers that 32 bits cannot hold, the one farthest from zero.
pub fn widest_integer(top: &GraphProto) -> Option<i64> {
    /// The number of int64 in the format's list of element types.
    const INT64: i32 = 7;
    let mut widest = None;
    each_tensor(top, &mut |tensor| {
        if tensor.data_type != INT64 {
            return;
        }
        let raw = tensor.raw_data.iter().flat_map(|raw| raw.as_chunks().0).map(|bytes| i64::from_le_bytes(*bytes));
        let wide = raw.chain(tensor.int64_data.iter().copied()).filter(|number| is_cut(*number));
        widest = wide.chain(widest).max_by_key(|number| number.unsigned_abs());
    });
    widest
}

fn is_cut(number: i64) -> bool {
    // The largest and the smallest stand for "to the end" in slices; any cut of them still means that.
    i32::try_from(number).is_err() && number != i64::MAX && number != i64::MIN && number != -i64::MAX
}

/// Judges every weight and names the files outside of the model that are used.
pub fn check(faults: &mut Vec<ModelFault>, top: &GraphProto, model: &Path) -> Vec<String> {
    let mut files = Vec::new();
    each_tensor(top, &mut |tensor| {
        let judged = if tensor.data_location == EXTERNAL {
            let location = value_of(tensor, "location").unwrap_or_default().to_owned();
            if !files.contains(&location) {
                files.push(location.clone());
            }
            check_external(tensor, &location, model)
        } else {
            check_inline(tensor)
        };
        // One fault of a kind is enough: a missing data file would be told once for each weight in it.
        if let Err(fault) = judged
            && !faults.iter().any(|told| told.kind == fault.kind)
        {
            faults.push(fault);
        }
    });
    files
}

fn each_tensor<'a>(top: &'a GraphProto, visit: &mut impl FnMut(&'a TensorProto)) {
    walk(top, &mut |graph| {
        graph.initializer.iter().for_each(&mut *visit);
        graph
            .node
            .iter()
            .flat_map(|node| &node.attribute)
            .filter_map(|attribute| attribute.t.as_ref())
            .for_each(&mut *visit);
    });
}

/// Bytes that the shape and the element type ask for; `None` for text and for shapes beyond any memory.
fn declared_bytes(tensor: &TensorProto) -> Option<u64> {
    let bits = element_type(tensor.data_type).1?;
    let elements =
        tensor.dims.iter().try_fold(1_u64, |product, size| product.checked_mul(u64::try_from(*size).ok()?))?;
    Some(elements.checked_mul(bits)?.div_ceil(8))
}

fn check_inline(tensor: &TensorProto) -> Result<(), ModelFault> {
    let Some(raw) = &tensor.raw_data else { return Ok(()) };
    match declared_bytes(tensor) {
        Some(bytes) if bytes == raw.len() as u64 => Ok(()),
        Some(bytes) => Err(invalid(tensor, &format!("needs {bytes} bytes and has {}", raw.len()))),
        None => Err(invalid(tensor, "has a shape or an element type that raw bytes cannot fill")),
    }
}

fn invalid(tensor: &TensorProto, what: &str) -> ModelFault {
    ModelFault::new(FaultKind::InvalidWeights, format!("the weight '{}' {what}", tensor.name))
}

fn check_external(tensor: &TensorProto, location: &str, model: &Path) -> Result<(), ModelFault> {
    let path = inside(location, model)?;
    let about = std::fs::metadata(&path).map_err(|error| {
        let what = format!("the data file '{location}' of the model cannot be read: {error}");
        ModelFault::new(FaultKind::ExternalDataMissing, what)
    })?;
    let number = |key| value_of(tensor, key).map(str::parse::<u64>).transpose();
    let (Ok(offset), Ok(length)) = (number("offset"), number("length")) else {
        let what = format!("the place of the weight '{}' in '{location}' is not a number", tensor.name);
        return Err(ModelFault::new(FaultKind::ExternalData, what));
    };
    let needed = declared_bytes(tensor).unwrap_or(0);
    if length.is_some_and(|length| length != needed) {
        return Err(invalid(
            tensor,
            &format!("needs {needed} bytes, but another length is noted for it in '{location}'"),
        ));
    }
    let end = offset.unwrap_or(0).saturating_add(needed);
    if !about.is_file() || about.len() < end {
        let what = format!("the data file '{location}' is {} bytes long; the model needs {end}", about.len());
        return Err(ModelFault::new(FaultKind::ExternalDataShort, what));
    }
    Ok(())
}

fn value_of<'a>(tensor: &'a TensorProto, key: &str) -> Option<&'a str> {
    tensor.external_data.iter().find(|entry| entry.key == key).map(|entry| &*entry.value)
}

/// The data file's path, if it lies in the folder of the model.
fn inside(location: &str, model: &Path) -> Result<PathBuf, ModelFault> {
    let escapes = || {
        let what = format!("the model refers to '{location}', which is outside of its folder");
        ModelFault::new(FaultKind::ExternalDataOutside, what)
    };
    let relative = Path::new(location);
    if location.is_empty() {
        let what = "the model does not name the file that holds its weights";
        return Err(ModelFault::new(FaultKind::ExternalData, what));
    }
    if !relative.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir)) {
        return Err(escapes());
    }
    let folder = model.parent().unwrap_or(Path::new(""));
    let path = folder.join(relative);
    // Model caches link both the model and its data into one store: a link may lead to the folder where
    // the model itself really lies, but nowhere else.
    let real_model = model.canonicalize().unwrap_or_else(|_| model.to_owned());
    match path.canonicalize() {
        Ok(real) => {
            let folder = Path::new(".").join(folder).canonicalize().unwrap_or_default();
            let allowed = real.starts_with(&folder) || real_model.parent().is_some_and(|store| real.starts_with(store));
            if allowed { Ok(path) } else { Err(escapes()) }
        }
        Err(_) => Ok(path),
    }
}
