//! Between the ports of the connection file and ZeroMQ.
//!
//! Whoever can reach a port needs no key to send bytes to it, and the library behind it trusts them: it
//! reserves what a frame header announces, waits for subscribers that do not read, and spins when there
//! are no descriptors left. So the ports are the gate's. It hears who a peer is, checks every byte before
//! it passes it on to a socket that only this process can reach, and bounds what each of them may cost:
//!
//! ```text
//!  peer ─→ Listener ─→ peer::greet ─→ relay ─→ inner: Unix socket ─→ ZeroMQ
//!  peer ←────────────────────────────   "   ←──────────────────────      "
//! ```
//!
//! - `zmtp`: the protocol, as far as it has to be understood; no input or output
//! - `pace`: who is waited for, who is cut off; arithmetic only
//! - `guests`: who has a place, and who goes for whom
//! - `peer`, `relay`: the tasks
//! - `private`, `stream`, `descriptors`: sockets

mod descriptors;
pub(crate) mod guests;
mod pace;
mod peer;
mod private;
mod relay;
mod stream;
pub(crate) mod zmtp;

use std::collections::VecDeque;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use tokio::task::AbortHandle;

use self::descriptors::Places;
use self::guests::{Guests, Seat, Trusted};
use self::pace::Store;
use self::peer::{Host, Names};
use self::private::PrivateSocket;
use self::stream::{Listener, Stream};
use crate::connection::Address;
use crate::journal::note;
use crate::wire::Channel;

/// Large messages under way may take so many bytes, from all peers together that have shown that they have the key …
const ROOM: u64 = 192 << 20;
/// … and from all others: one message of the largest size.
const STRANGERS_ROOM: u64 = 64 << 20;
/// After a connection that could not be accepted, for want of descriptors mostly.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// All ports, and everybody who came through them.
pub(crate) struct Gate {
    places: Places,
    room: Room,
    trusted: Arc<Trusted>,
    ending: watch::Sender<bool>,
    files: SocketFiles,
}

/// Removes the files of ipc sockets when the kernel ends.
#[derive(Default)]
struct SocketFiles(Vec<PathBuf>);

impl Drop for SocketFiles {
    fn drop(&mut self) {
        for path in &self.0 {
            // Whoever removed it first is welcome.
            let _ = std::fs::remove_file(path);
        }
    }
}

/// One permit for each kilobyte of a large message under way, on any channel.
#[derive(Clone)]
pub(crate) struct Room {
    of_trusted: Arc<Semaphore>,
    of_strangers: Arc<Semaphore>,
}

impl Room {
    fn new() -> Self {
        let of = |bytes: u64| Arc::new(Semaphore::new((bytes / relay::ROOM_UNIT) as usize));
        Self {
            of_trusted: of(ROOM),
            of_strangers: of(STRANGERS_ROOM),
        }
    }

    fn of(&self, seat: &Seat) -> &Arc<Semaphore> {
        match seat.is_trusted() {
            true => &self.of_trusted,
            false => &self.of_strangers,
        }
    }
}

impl Gate {
    /// A gate for peers among which those go first that `trusted` does not know.
    pub(crate) fn new(trusted: Arc<Trusted>) -> Self {
        Self {
            places: descriptors::places(),
            room: Room::new(),
            trusted,
            ending: watch::Sender::new(false),
            files: SocketFiles::default(),
        }
    }

    /// Opens a port; what is returned is for ZeroMQ to accept the checked connections on.
    pub(crate) fn open(&mut self, channel: Channel, address: &Address) -> std::io::Result<UnixListener> {
        let listener = self.listen(address)?;
        let (accepts, inner) = PrivateSocket::listen()?;
        let host = Arc::new(Host {
            channel,
            inner,
            guests: Arc::new(Guests::new(channel, self.places.peers, self.trusted.clone())),
            room: self.room.clone(),
            store: Store::of(channel),
            names: Names::default(),
        });
        let handshakes = self.places.handshakes;
        tokio::spawn(accept(listener, host, handshakes, self.ending.subscribe()));
        Ok(accepts)
    }

    /// Lets what ZeroMQ was given reach the peers, and ends when it has. The sockets must have been dropped.
    /// A peer that does not read delays this: bound the time.
    pub(crate) async fn finish(&self) {
        self.ending.send_replace(true);
        self.ending.closed().await;
    }

    fn listen(&mut self, address: &Address) -> std::io::Result<Listener> {
        match address {
            Address::Tcp { ip, port } => Listener::tcp(ip, *port),
            Address::Ipc(path) => {
                remove_stale(path)?;
                let listener = Listener::unix(path)?;
                self.files.0.push(path.clone());
                Ok(listener)
            }
        }
    }
}

/// Takes connections in. Those that have not said who they are yet wait in a queue of their own, out of
/// which the oldest falls when it is full: they cost no more than that, and are in nobody's way.
async fn accept(listener: Listener, host: Arc<Host>, handshakes: usize, mut ending: watch::Receiver<bool>) {
    let mut waiting: VecDeque<AbortHandle> = VecDeque::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = until(&mut ending) => break,
        };
        match accepted {
            Ok(stream) => {
                waiting.retain(|task| !task.is_finished());
                if waiting.len() >= handshakes
                    && let Some(oldest) = waiting.pop_front()
                {
                    oldest.abort();
                }
                waiting.push_back(greet(&host, stream, &ending));
            }
            Err(error) => {
                note(format_args!(
                    "a connection on {:?} was not accepted: {error}",
                    host.channel
                ));
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    waiting.iter().for_each(AbortHandle::abort);
}

fn greet(host: &Arc<Host>, stream: Stream, ending: &watch::Receiver<bool>) -> AbortHandle {
    tokio::spawn(peer::greet(host.clone(), stream, ending.clone())).abort_handle()
}

/// The end of the kernel, or of the gate.
async fn until(ending: &mut watch::Receiver<bool>) {
    // An error says that the gate is gone.
    let _ = ending.wait_for(|&ending| ending).await;
}

/// A kernel that was killed leaves its socket files behind, and nobody can bind to them.
fn remove_stale(path: &Path) -> std::io::Result<()> {
    match std::fs::symlink_metadata(path) {
        Ok(metadata) if metadata.file_type().is_socket() => std::fs::remove_file(path),
        _ => Ok(()),
    }
}
