//! Passes without gradients go past autograd.
//!
//! Without gradients libtorch still asks autograd about each operation, and makes of each view a record of what it is a view of: of
//! a pass over one token, which is hundreds of small operations, that is a large part.

use std::ffi::c_void;
use std::marker::PhantomData;

// `glue/below_autograd.cpp`
unsafe extern "C" {
    fn ecco_below_autograd() -> *mut c_void;
    fn ecco_drop_below_autograd(guard: *mut c_void);
}

/// For as long as it lives, and where gradients are off when it is made, this thread's operations do not ask autograd.
pub(crate) struct BelowAutograd {
    guard: *mut c_void,
    /// Of one thread.
    _here: PhantomData<*const ()>,
}

impl BelowAutograd {
    pub(crate) fn new() -> Self {
        Self {
            // SAFETY: takes nothing.
            guard: unsafe { ecco_below_autograd() },
            _here: PhantomData,
        }
    }
}

impl Drop for BelowAutograd {
    fn drop(&mut self) {
        // SAFETY: what was made on this thread, or nothing, dropped once.
        unsafe { ecco_drop_below_autograd(self.guard) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind, Tensor};

    /// Whether autograd counts that a tensor is written to.
    fn is_asked() -> bool {
        let mut x = Tensor::zeros([2], (Kind::Float, Device::Cpu));
        let before = x.internal_version();
        let _ = x.fill_(1.0);
        x.internal_version() > before
    }

    #[test]
    fn autograd_is_passed_by_where_there_are_no_gradients_and_only_there() {
        assert!(is_asked());
        {
            let _no_grad = tch::no_grad_guard();
            let _below = BelowAutograd::new();
            assert!(!is_asked());
        }
        assert!(is_asked());
        let _below = BelowAutograd::new();
        assert!(is_asked(), "gradients are wanted");
        let x = Tensor::ones([2], (Kind::Float, Device::Cpu)).set_requires_grad(true);
        assert!((x * 2.0).requires_grad());
    }
}
