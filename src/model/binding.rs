//! Given inputs against declared ones, by the same rules for every engine.

use super::{FaultKind, ModelFault, Tensor, TensorInfo};
use crate::base::suggestion;

/// The given tensors in the model's order: every declared input exactly once, nothing else, each of the
/// declared type and shape. Engines differ in what they let pass: one takes float32 where float64 is due.
pub fn in_order<'a>(declared: &[TensorInfo], given: &'a [(String, Tensor)]) -> Result<Vec<&'a Tensor>, ModelFault> {
    let named = |info: &TensorInfo| given.iter().find(|(name, _)| *name == info.name);
    let mut ordered = Vec::with_capacity(declared.len());
    for info in declared {
        let (_, tensor) = named(info).ok_or_else(|| missing(&info.name, given))?;
        check(info, tensor)?;
        ordered.push(tensor);
    }
    match given.len() == declared.len() {
        true => Ok(ordered),
        false => Err(too_many(declared, given)),
    }
}

fn wrong(detail: String) -> ModelFault {
    ModelFault::new(FaultKind::WrongInput, detail)
}

fn check(info: &TensorInfo, tensor: &Tensor) -> Result<(), ModelFault> {
    if tensor.element() != info.element {
        let detail = format!("the input '{}' is {}, but {} is given", info.name, info.element, tensor.element());
        return Err(wrong(detail));
    }
    let shape = tensor.shape();
    let fits = |(declared, given): (&Option<usize>, &usize)| declared.is_none_or(|size| size == *given);
    // A model that declares no shape declares no dimensions either; then only the engine can tell.
    if info.shape.is_empty() || (shape.len() == info.shape.len() && info.shape.iter().zip(shape).all(fits)) {
        return Ok(());
    }
    Err(wrong(format!("the input '{}' has the shape {}, but {shape:?} is given", info.name, info.show_shape())))
}

fn missing(name: &str, given: &[(String, Tensor)]) -> ModelFault {
    let names: Vec<String> = given.iter().map(|(name, _)| format!("'{name}'")).collect();
    let given = if names.is_empty() { "nothing".to_owned() } else { names.join(", ") };
    wrong(format!("the input '{name}' is not given; given: {given}"))
}

fn too_many(declared: &[TensorInfo], given: &[(String, Tensor)]) -> ModelFault {
    let Some((name, _)) = given.iter().find(|(name, _)| declared.iter().all(|info| info.name != *name)) else {
        return wrong("an input is given twice".into());
    };
    let hint = suggestion::did_you_mean(name, declared.iter().map(|info| &*info.name));
    let hint = hint.map(|hint| format!(" ({hint})")).unwrap_or_default();
    wrong(format!("the model has no input '{name}'{hint}"))
}

#[cfg(test)]
mod tests {
    use ndarray::{ArrayD, IxDyn, array};

    use super::*;

    fn declared() -> Vec<TensorInfo> {
        vec![TensorInfo { name: "features".into(), element: "float32".into(), shape: vec![None, Some(64)] }]
    }

    fn given(name: &str, shape: &[usize]) -> (String, Tensor) {
        (name.to_owned(), Tensor::F32(ArrayD::zeros(IxDyn(shape))))
    }

    fn detail(given: &[(String, Tensor)]) -> String {
        let fault = in_order(&declared(), given).unwrap_err();
        assert_eq!(fault.kind, FaultKind::WrongInput);
        fault.detail
    }

    #[test]
    fn wrong_inputs_are_named() {
        assert!(in_order(&declared(), &[given("features", &[3, 64])]).is_ok());
        assert!(detail(&[]).contains("'features' is not given; given: nothing"));
        assert!(detail(&[given("feature", &[1, 64])]).contains("given: 'feature'"));
        let integers = ("features".to_owned(), Tensor::I64(array![[1_i64]].into_dyn()));
        assert!(detail(&[integers]).contains("is float32, but int64 is given"));
        assert!(detail(&[given("features", &[1, 64]), given("feature", &[1])]).contains("did you mean 'features'?"));
        assert!(detail(&[given("features", &[1, 64]), given("features", &[1, 64])]).contains("twice"));
    }

    #[test]
    fn a_shape_fits_where_the_size_may_vary() {
        let expected = "the input 'features' has the shape [*, 64], but [1, 63] is given";
        assert_eq!(detail(&[given("features", &[1, 63])]), expected);
        assert!(detail(&[given("features", &[64])]).ends_with("[64] is given"));
    }
}
