//! The precision in which the operations called from here multiply, for devices that have a choice.
//!
//! A scope rather than an argument of every operation, as PyTorch's autocast: a network sets it around its forward pass,
//! operations note it, and their gradients use what was noted.

use std::cell::Cell;

use crate::precision::Precision;

thread_local! {
    static CURRENT: Cell<Precision> = const { Cell::new(Precision::F32) };
}

/// Puts the precision before back, also when an operation panics.
struct Before(Precision);

impl Drop for Before {
    fn drop(&mut self) {
        CURRENT.set(self.0);
    }
}

/// Calls `run` with `precision` in force, on this thread.
pub(crate) fn with_precision<R>(precision: Precision, run: impl FnOnce() -> R) -> R {
    let _before = Before(CURRENT.replace(precision));
    run()
}

/// The precision in force.
pub(crate) fn precision() -> Precision {
    CURRENT.get()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_nest_and_end() {
        with_precision(Precision::Bf16, || {
            with_precision(Precision::F32, || assert_eq!(precision(), Precision::F32));
            assert_eq!(precision(), Precision::Bf16);
        });
        assert_eq!(precision(), Precision::F32);
    }
}
