//! A panic of an engine is a fault of the model, not the end of the check.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{FaultKind, ModelFault};

/// Runs `work` and turns a panic of the engine into a fault.
pub fn guarded<T>(doing: &str, work: impl FnOnce() -> Result<T, ModelFault>) -> Result<T, ModelFault> {
    // The engine's state is dropped or read-only after a panic: `run` borrows the model immutably.
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let detail = format!("the engine broke down while {doing}: {}", panic_message(&*panic));
        Err(ModelFault::new(FaultKind::EngineCrashed, detail))
    })
}

pub fn panic_message(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no message")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_of_the_engine_is_a_fault() {
        let fault = guarded("running the model", || -> Result<(), _> { panic!("index {}", 7) }).unwrap_err();
        assert_eq!(fault.kind, FaultKind::EngineCrashed);
        assert!(fault.detail.ends_with("index 7"));
    }
}
