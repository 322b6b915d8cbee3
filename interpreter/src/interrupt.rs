//! The flag that asks a running cell to stop.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

thread_local! {
    static CURRENT: RefCell<Option<Interrupt>> = const { RefCell::new(None) };
}

/// Cheap to clone; set from any thread or signal handler.
#[derive(Debug, Clone, Default)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    pub fn request(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
    pub fn clear(&self) {
        self.0.store(false, Ordering::Relaxed);
    }
    pub fn is_requested(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
    /// Makes it the one that [`is_interrupted`] looks at on this thread, until what is given back is dropped.
    #[must_use]
    pub fn enter(&self) -> Scope {
        Scope(CURRENT.replace(Some(self.clone())))
    }
}

/// Whether the work of this thread is asked to stop: for waits below what is handed a [`Watch`](crate::Watch), such as
/// those for a library that takes a text whole.
pub fn is_interrupted() -> bool {
    CURRENT.with_borrow(|current| current.as_ref().is_some_and(Interrupt::is_requested))
}

/// A thread's work that can be interrupted.
pub struct Scope(Option<Interrupt>);

impl Drop for Scope {
    fn drop(&mut self) {
        CURRENT.replace(self.0.take());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_knows_its_innermost_interrupt() {
        let (outer, inner) = (Interrupt::default(), Interrupt::default());
        outer.request();
        assert!(!is_interrupted());
        let scope = outer.enter();
        assert!(is_interrupted());
        {
            let _scope = inner.enter();
            assert!(!is_interrupted());
        }
        assert!(is_interrupted());
        drop(scope);
        assert!(!is_interrupted());
    }
}
