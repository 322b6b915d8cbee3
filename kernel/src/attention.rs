//! What the sockets and the script thread share: whether there is something to interrupt, and how much
//! waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use ecco_interpreter::Interrupt;

/// How often the end of the last cell is looked for, when the kernel ends.
const IDLE_POLL: Duration = Duration::from_millis(5);

#[derive(Clone, Default)]
pub(crate) struct Attention {
    pub interrupt: Interrupt,
    waiting: Arc<AtomicUsize>,
    waiting_bytes: Arc<AtomicUsize>,
    stopping: Arc<AtomicBool>,
}

impl Attention {
    /// Counts a request of `size` bytes that is about to be handed to the script thread.
    pub(crate) fn enqueue(&self, size: usize) {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        self.waiting_bytes.fetch_add(size, Ordering::SeqCst);
    }

    /// The size of the requests that wait for the script thread.
    pub(crate) fn waiting_bytes(&self) -> usize {
        self.waiting_bytes.load(Ordering::SeqCst)
    }

    /// Asks the running cell to stop. Clients interrupt idle kernels too, before a shutdown for one:
    /// that must not hit the cell that comes next.
    pub(crate) fn interrupt(&self) {
        if self.waiting.load(Ordering::SeqCst) > 0 {
            self.interrupt.request();
        }
    }

    /// Asks the running cell to stop, and calls off all others.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        self.interrupt.request();
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    /// Returns when the script thread has answered everything it was given.
    pub(crate) async fn idle(&self) {
        while self.waiting.load(Ordering::SeqCst) > 0 {
            tokio::time::sleep(IDLE_POLL).await;
        }
    }

    /// A request of `size` bytes was answered; an interrupt that came for it has done its work.
    pub(crate) fn done(&self, size: usize) {
        self.called_off(size);
        if !self.is_stopping() {
            self.interrupt.clear();
        }
    }

    /// A request of `size` bytes was answered without being worked on.
    pub(crate) fn called_off(&self, size: usize) {
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        self.waiting_bytes.fetch_sub(size, Ordering::SeqCst);
    }
}
