//! Views of millions of numbers take seconds to be written, and nothing in them asks whether somebody still wants them.
//! Whoever may change his mind gives an interrupt for the thread; what takes long looks at it, and unwinds.

use std::any::Any;
use std::cell::RefCell;
use std::panic::resume_unwind;

use ecco_interpreter::Interrupt;

thread_local! {
    static LISTENS_TO: RefCell<Option<Interrupt>> = const { RefCell::new(None) };
}

/// What a view unwinds with when it is to stop.
struct Stopped;

/// Whether `panic` is that of a view that was to stop.
pub fn is_stopped(panic: &(dyn Any + Send)) -> bool {
    panic.is::<Stopped>()
}

/// Views that this thread makes in `work` stop when they are interrupted: they unwind, with what [`is_stopped`] knows.
pub fn listening<T>(interrupt: &Interrupt, work: impl FnOnce() -> T) -> T {
    /// What the thread listened to before, which it does again however `work` ends.
    struct Before(Option<Interrupt>);
    impl Drop for Before {
        fn drop(&mut self) {
            LISTENS_TO.replace(self.0.take());
        }
    }
    let _before = Before(LISTENS_TO.replace(Some(interrupt.clone())));
    work()
}

/// Called between rows.
pub(crate) fn look() {
    let is_over = LISTENS_TO.with_borrow(|interrupt| interrupt.as_ref().is_some_and(Interrupt::is_requested));
    if is_over {
        // Nothing is wrong: no message.
        resume_unwind(Box::new(Stopped));
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    #[test]
    fn a_view_stops_where_it_was_interrupted_and_nowhere_else() {
        let interrupt = Interrupt::default();
        listening(&interrupt, look);
        interrupt.request();
        look();
        let stopped = catch_unwind(AssertUnwindSafe(|| listening(&interrupt, look)));
        assert!(is_stopped(&*stopped.expect_err("it stops")));
        look();
    }
}
