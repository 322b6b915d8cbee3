//! Work that asks nobody for seconds on end, such as a decomposition in one call of libtorch: on a thread of its own.
//!
//! Who waits for it asks the watch all along. An interrupt leaves the thread behind: its own watch says so at the next
//! step, and what it makes is dropped. Only one is at work at a time, so that nobody who interrupts and asks again
//! fills the machine: the next one waits, and can be interrupted while it does.

use std::borrow::Cow;
use std::ops::ControlFlow;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Builder;
use std::time::Duration;

use ecco_interpreter::{Progress, Watch};

/// Between two looks at the watch.
const PACE: Duration = Duration::from_millis(20);
/// What a decomposition needs; address space.
const STACK_BYTES: usize = 16 << 20;

/// Multiplications that a step on the asking thread may take.
const LONG: f64 = 2e8;

/// Whether a thread is at work, or was left behind and has not ended.
static BUSY: AtomicBool = AtomicBool::new(false);

/// The place of the one thread at work; free when this is dropped.
struct Place;

impl Place {
    fn take() -> Option<Self> {
        match BUSY.swap(true, Ordering::AcqRel) {
            true => None,
            false => Some(Self),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        BUSY.store(false, Ordering::Release);
    }
}

/// What both sides look at.
struct Shared {
    stop: AtomicBool,
    progress: Mutex<Progress>,
}

/// [`aside`] where the longest step takes about as many multiplications as a decomposition of such a matrix; else here.
pub(crate) fn decomposition<T: Send + 'static>(
    (rows, columns): (usize, usize),
    work: impl FnOnce(&mut Watch) -> T + Send + 'static,
    watch: &mut Watch,
) -> Option<T> {
    match rows as f64 * columns as f64 * rows.min(columns) as f64 > LONG {
        true => aside("decomposing", work, watch),
        false => Some(work(watch)),
    }
}

/// Runs `work`, whose watch stops it when `watch` does; None where `watch` stopped the waiting.
pub(crate) fn aside<T: Send + 'static>(
    label: &'static str,
    work: impl FnOnce(&mut Watch) -> T + Send + 'static,
    watch: &mut Watch,
) -> Option<T> {
    let place = loop {
        match Place::take() {
            Some(place) => break place,
            None => {
                let waiting = progress("waiting for one that was interrupted");
                if watch(&waiting).is_break() {
                    return None;
                }
                std::thread::sleep(PACE);
            }
        }
    };
    let shared = Arc::new(Shared {
        stop: AtomicBool::new(false),
        progress: Mutex::new(progress(label)),
    });
    let (done, result) = sync_channel(1);
    let (of_thread, work) = (Arc::clone(&shared), Arc::new(Mutex::new(Some(work))));
    let of_work = Arc::clone(&work);
    let on_thread = move || {
        let _place = place;
        let work = taken(&of_work)?;
        let answer = work(&mut |progress| of_thread.look(progress));
        // Nobody waits for it after an interrupt.
        done.send(answer).ok()
    };
    let Ok(thread) = Builder::new().stack_size(STACK_BYTES).spawn(on_thread) else {
        // Where the system has no thread left it is done here, and listens as often as it asks.
        return taken(&work).map(|work| work(watch));
    };
    loop {
        match result.recv_timeout(PACE) {
            Ok(answer) => return Some(answer),
            Err(RecvTimeoutError::Timeout) => {
                if watch(&shared.progress()).is_break() {
                    shared.stop.store(true, Ordering::Relaxed);
                    return None;
                }
            }
            // It panicked.
            Err(RecvTimeoutError::Disconnected) => match thread.join() {
                Err(panic) => resume_unwind(panic),
                Ok(_) => return None,
            },
        }
    }
}

fn taken<W>(work: &Mutex<Option<W>>) -> Option<W> {
    work.lock().unwrap_or_else(PoisonError::into_inner).take()
}

impl Shared {
    fn look(&self, progress: &Progress) -> ControlFlow<()> {
        *self.progress.lock().unwrap_or_else(PoisonError::into_inner) = progress.clone();
        match self.stop.load(Ordering::Relaxed) {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }

    fn progress(&self) -> Progress {
        self.progress
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

fn progress(label: &'static str) -> Progress {
    Progress {
        label: Cow::Borrowed(label),
        done: 0,
        total: None,
        unit: "steps",
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use ecco_interpreter::unwatched;

    use super::*;

    #[test]
    fn what_was_interrupted_is_left_behind_and_the_next_waits_for_it() {
        let begun = Instant::now();
        let long = |_: &mut Watch| std::thread::sleep(Duration::from_millis(600));
        let mut looks = 0;
        let answer = aside("sleeping", long, &mut |_| {
            looks += 1;
            if looks > 2 {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        assert_eq!(answer, None);
        assert!(
            begun.elapsed() < Duration::from_millis(500),
            "{:?}",
            begun.elapsed()
        );
        // The next one can be interrupted while it waits, …
        assert_eq!(aside("nothing", |_| 1, &mut |_| ControlFlow::Break(())), None);
        // … and begins when the first has ended.
        assert_eq!(aside("counting", |_| 2, &mut unwatched), Some(2));
        assert!(begun.elapsed() >= Duration::from_millis(600));
        let panic = std::panic::catch_unwind(|| aside("failing", |_| panic!("on purpose"), &mut unwatched));
        assert!(panic.is_err());
        // Its own watch stops what asks.
        let asks = |watch: &mut Watch| {
            while watch(&progress("asking")).is_continue() {
                std::thread::sleep(Duration::from_millis(1));
            }
        };
        let mut looks = 0;
        aside("asking", asks, &mut |seen| {
            looks += usize::from(seen.label == "asking");
            if looks > 1 {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        assert_eq!(aside("counting", |_| 3, &mut unwatched), Some(3));
    }
}
