//! What ends a kernel or interrupts a cell from outside of the protocol: signals, and a parent that dies.

use std::os::unix::process::parent_id;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// How often the parent is looked for.
const PARENT_POLL: Duration = Duration::from_secs(1);

/// The signals that the kernel takes, from the moment this is made.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    pub(crate) fn new() -> std::io::Result<Self> {
        ignore_file_limit();
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Returns on SIGTERM; calls `interrupt` on every SIGINT until then.
    pub(crate) async fn until_terminated(&mut self, interrupt: impl Fn()) {
        loop {
            tokio::select! {
                Some(()) = self.interrupt.recv() => interrupt(),
                _ = self.terminate.recv() => return,
            }
        }
    }
}

/// A file that grows over `ulimit -f` is an error of who writes it (`EFBIG`), and no end of the kernel.
fn ignore_file_limit() {
    // SAFETY: installs no handler.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
}

/// Returns when the process that started this one dies, if that was a Jupyter client: it sets
/// `JPY_PARENT_PID`. Without it a kernel may outlive its shell.
///
/// A death signal (`PR_SET_PDEATHSIG`) would come when the *thread* ends that started the kernel, and
/// servers start kernels from threads that end soon. So the parent's id is watched; an orphan has another.
pub(crate) async fn orphaned() {
    let parent = parent_id();
    let named = std::env::var("JPY_PARENT_PID")
        .ok()
        .and_then(|pid| pid.parse::<u32>().ok());
    match named {
        // Some clients on Windows hand over a handle; 1 is who takes in orphans, unless it is the client.
        None | Some(0) => std::future::pending().await,
        Some(named) if parent == 1 && named != 1 => return,
        Some(_) => {}
    }
    while parent_id() == parent {
        tokio::time::sleep(PARENT_POLL).await;
    }
    eprintln!("ecco-kernel: the parent process is gone, so this one ends too");
}
