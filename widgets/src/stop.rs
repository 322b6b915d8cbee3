//! Views of millions of numbers take seconds to be written. What takes long in them looks whether the thread's work is to
//! stop ([`is_interrupted`]), and unwinds.

use std::any::Any;
use std::panic::resume_unwind;

use ecco_interpreter::is_interrupted;

/// What a view unwinds with when it is to stop.
struct Stopped;

/// Whether `panic` is that of a view that was to stop.
pub fn is_stopped(panic: &(dyn Any + Send)) -> bool {
    panic.is::<Stopped>()
}

/// Called between rows.
pub(crate) fn look() {
    if is_interrupted() {
        // Nothing is wrong: no message.
        resume_unwind(Box::new(Stopped));
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use ecco_interpreter::Interrupt;

    use super::*;

    #[test]
    fn a_view_stops_where_it_was_interrupted_and_nowhere_else() {
        let interrupt = Interrupt::default();
        let scope = interrupt.enter();
        look();
        interrupt.request();
        let stopped = catch_unwind(AssertUnwindSafe(look));
        assert!(is_stopped(&*stopped.expect_err("it stops")));
        drop(scope);
        look();
    }
}
