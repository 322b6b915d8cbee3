//! Work of libraries that know no interrupt and no bound, on texts and files of strangers.
//!
//! [`in_process`]: what gives bytes runs in a process of its own. Whatever happens there is an error here: memory, depth,
//! time, a panic; an interrupt ends it at once, and all that it took is free again.
//! [`on_thread`]: what gives a value runs on a thread of its own, which an interrupt leaves behind.
//! [`caught`]: what is short runs where it is called.

mod process;

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::guard;
use ecco_interpreter::is_interrupted;

pub(crate) use process::{Bounds, held, in_process};

/// How often an interrupt is looked for.
const POLL: Duration = Duration::from_millis(20);

/// Stack for libraries that walk what they read by recursion, in bytes.
const STACK: usize = 64 << 20;

/// Why work apart gave nothing.
#[derive(Debug)]
pub(crate) enum Fault {
    Interrupted,
    /// The library's own words.
    Panic(String),
    /// It ran off its stack.
    Depth,
    /// It took more memory than it was given.
    Memory,
    Time,
    /// It gave more bytes than was allowed.
    Output,
    /// There is no other process, or nothing to talk to it by.
    NoProcess(std::io::Error),
}

/// Runs it here; a panic is an error and writes nothing.
pub(crate) fn caught<T>(work: impl FnOnce() -> T) -> Result<T, Fault> {
    guard::quietly(|| catch_unwind(AssertUnwindSafe(work))).map_err(|panic| Fault::Panic(words(&*panic)))
}

/// Runs it on a thread. One that is interrupted goes on to its end there, and what it gives is dropped. Where no thread
/// can be had, it runs here.
pub(crate) fn on_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Fault> {
    let (sender, results) = sync_channel(1);
    // Kept outside of the thread, as one that cannot be started takes with it what it was to do.
    let work = Arc::new(Mutex::new(Some(work)));
    let take = |work: &Mutex<Option<_>>| work.lock().unwrap_or_else(PoisonError::into_inner).take();
    let its = Arc::clone(&work);
    let run = move || {
        if let Some(work) = take(&its) {
            // Nobody is left to tell after an interrupt.
            let _ = sender.send(caught(work));
        }
    };
    let thread = std::thread::Builder::new()
        .name("library".to_owned())
        .stack_size(STACK)
        .spawn(run);
    if thread.is_err()
        && let Some(work) = take(&work)
    {
        return caught(work);
    }
    loop {
        match results.recv_timeout(POLL) {
            Ok(result) => return result,
            Err(RecvTimeoutError::Timeout) if is_interrupted() => return Err(Fault::Interrupted),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Err(Fault::Panic("it ended early".to_owned())),
        }
    }
}

fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("it gave up").chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_error_with_its_words() {
        let fault = caught(|| -> () { panic!("no {}", "way") }).unwrap_err();
        assert!(
            matches!(&fault, Fault::Panic(words) if words == "no way"),
            "{fault:?}"
        );
        let fault = on_thread(|| -> () { panic!("neither") }).unwrap_err();
        assert!(
            matches!(&fault, Fault::Panic(words) if words == "neither"),
            "{fault:?}"
        );
        assert_eq!(on_thread(|| 3).unwrap(), 3);
    }

    #[test]
    fn an_interrupt_leaves_a_thread_behind() {
        let interrupt = ecco_interpreter::Interrupt::default();
        let _scope = interrupt.enter();
        interrupt.request();
        let fault = on_thread(|| std::thread::sleep(Duration::from_secs(5))).unwrap_err();
        assert!(matches!(fault, Fault::Interrupted));
    }
}
