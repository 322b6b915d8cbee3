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
