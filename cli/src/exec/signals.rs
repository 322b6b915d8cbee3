//! Ctrl-C: interrupts the running cell; pressed again, it ends the process where it stands. A file that grows over
//! `ulimit -f` is an error of who writes it.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use ecco_interpreter::Interrupt;

static INTERRUPT: OnceLock<Interrupt> = OnceLock::new();
static WAS_INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// From now on Ctrl-C (SIGINT) requests `interrupt`, and SIGXFSZ does nothing.
pub(crate) fn listen(interrupt: Interrupt) {
    // SAFETY: installs no handler.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
    if INTERRUPT.set(interrupt).is_ok() {
        let handler: extern "C" fn(libc::c_int) = on_interrupt;
        // SAFETY: the handler only reads and writes atomics, and may end the process.
        unsafe { libc::signal(libc::SIGINT, handler as *const () as libc::sighandler_t) };
    }
}

/// Whether there was one. The session's own flag is down again once a cell has ended for it, and work that hands over
/// what it has, as generation does, ends without an error.
pub(crate) fn was_interrupted() -> bool {
    WAS_INTERRUPTED.load(Ordering::Relaxed)
}

extern "C" fn on_interrupt(_: libc::c_int) {
    if WAS_INTERRUPTED.swap(true, Ordering::Relaxed) {
        // SAFETY: takes any number, may be called in a handler.
        unsafe { libc::_exit(super::INTERRUPTED) };
    }
    if let Some(interrupt) = INTERRUPT.get() {
        interrupt.request();
    }
}
