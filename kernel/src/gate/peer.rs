//! One peer, from its first byte to its last.
//!
//! [`greet`] does the handshake: the kernel's side of it is said here, ZeroMQ hears of a peer only when it
//! has introduced itself. [`relay`](super::relay) then introduces it to ZeroMQ, and passes on what both say until one of
//! them leaves, the peer does something it must not, or the kernel ends.

use std::collections::HashSet;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::watch;
use tokio::time::timeout;

use super::Room;
use super::guests::Guests;
use super::pace::Store;
use super::private::PrivateSocket;
use super::relay::Relay;
use super::stream::Stream;
use super::zmtp::hello::{GREETING, hello, ready};
use super::zmtp::{Event, Inspector, Rules, Violation};
use crate::journal::note;
use crate::wire::Channel;

/// From connecting to having said who one is.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// A client that connects again may be faster than the end of its last connection.
const NAME_FREE: Duration = Duration::from_secs(1);
const NAME_POLL: Duration = Duration::from_millis(10);
/// ZeroMQ notices at once that a peer has left, unless it is busy.
const FAREWELL: Duration = Duration::from_secs(5);

/// What the peers of one channel share.
pub(crate) struct Host {
    pub channel: Channel,
    pub inner: PrivateSocket,
    pub guests: Arc<Guests>,
    pub room: Room,
    pub store: Store,
    pub names: Names,
}

/// Who is connected by name. ZeroMQ would hand the name, and the replies, to whoever claims it last.
#[derive(Clone, Default)]
pub(crate) struct Names(Arc<Mutex<HashSet<Bytes>>>);

/// A name that is taken as long as this lives.
struct Name {
    names: Names,
    name: Bytes,
}

/// A peer that has introduced itself.
struct Guest {
    inspector: Inspector,
    identity: Bytes,
    /// What came right behind the handshake.
    input: Vec<u8>,
}

impl Host {
    /// The socket of ours that peers meet, and what those pretend to be that meet it.
    fn socket_types(&self) -> (&'static str, &'static str) {
        match self.channel {
            Channel::IoPub => ("XPUB", "SUB"),
            _ => ("ROUTER", "DEALER"),
        }
    }

    fn note(&self, why: impl std::fmt::Display) {
        note(format_args!("a peer on {:?} was cut off: {why}", self.channel));
    }
}

/// Hears who a peer is, and relays for it in a task of its own.
pub(crate) async fn greet(host: Arc<Host>, outer: Stream, ending: watch::Receiver<bool>) {
    match timeout(HANDSHAKE, introduction(&host, &outer)).await {
        Ok(Ok(Some(guest))) => {
            tokio::spawn(welcome(host, outer, guest, ending));
        }
        // It left without a word.
        Ok(Ok(None)) => {}
        Ok(Err(refused)) => host.note(refused),
        Err(_) => host.note("it did not say who it is"),
    }
}

async fn introduction(host: &Host, outer: &Stream) -> Result<Option<Guest>, Violation> {
    let mut inspector = Inspector::new(Rules::of(host.channel));
    let (mut buffer, mut passed) = ([0; 1024], Vec::new());
    if outer.write_all(&GREETING).await.is_err() {
        return Ok(None);
    }
    loop {
        let Ok(count @ 1..) = read(outer, &mut buffer).await else {
            return Ok(None);
        };
        let mut input = &buffer[..count];
        if let Event::Ready(identity) = inspector.inspect(&mut input, &mut passed)? {
            let identity = if identity.is_empty() { made_up() } else { identity };
            let input = input.to_vec();
            return Ok(Some(Guest {
                inspector,
                identity,
                input,
            }));
        }
    }
}

/// A name for who has none: ZeroMQ's own would not tell which peer's message it was that was signed.
fn made_up() -> Bytes {
    Bytes::copy_from_slice(uuid::Uuid::new_v4().simple().to_string().as_bytes())
}

/// Gives a guest a place and a name, and relays for it.
async fn welcome(host: Arc<Host>, outer: Stream, guest: Guest, ending: watch::Receiver<bool>) {
    let Some(seat) = host.guests.enter(&guest.identity) else {
        return host.note("there are too many peers");
    };
    let Some(_name) = host.names.take(&guest.identity).await else {
        return host.note("another peer has the same identity");
    };
    let (ours, theirs) = host.socket_types();
    let inner = match timeout(HANDSHAKE, introduce(&host.inner, theirs, &guest.identity)).await {
        Ok(Ok(inner)) => inner,
        Ok(Err(error)) => return host.note(error),
        Err(_) => return host.note("the kernel is too busy"),
    };
    if outer.write_all(&ready(ours, b"")).await.is_err() {
        return leave(inner).await;
    }
    let relay = Relay::new(&host, seat, outer, inner, guest.inspector, guest.input);
    let (inner, cut_off) = relay.run(ending.clone()).await;
    if let Some(why) = cut_off {
        host.note(why);
    }
    // At the end of the kernel there is nobody left to wait for.
    if !*ending.borrow() {
        leave(inner).await;
    }
}

/// A connection to ZeroMQ on which both sides have said who they are.
async fn introduce(inner: &PrivateSocket, socket_type: &str, identity: &[u8]) -> io::Result<UnixStream> {
    let mut stream = inner.connect().await?;
    stream.write_all(&hello(socket_type, identity)).await?;
    // Its greeting, and its READY: a short frame.
    let mut answer = [0; GREETING.len() + 2];
    stream.read_exact(&mut answer).await?;
    let mut rest = vec![0; usize::from(answer[GREETING.len() + 1])];
    stream.read_exact(&mut rest).await?;
    Ok(stream)
}

/// Waits until ZeroMQ knows that the peer is gone, so that its name is free.
async fn leave(inner: UnixStream) {
    let inner = Stream::Unix(inner);
    inner.end();
    let mut buffer = [0; 4096];
    let gone = async { while let Ok(1..) = read(&inner, &mut buffer).await {} };
    // Its name is given away then all the same.
    let _ = timeout(FAREWELL, gone).await;
}

async fn read(stream: &Stream, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        stream.readable().await?;
        match stream.try_read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            result => return result,
        }
    }
}

impl Names {
    /// Takes a name; `None` where another has it, and keeps it.
    async fn take(&self, name: &Bytes) -> Option<Name> {
        let taken = async {
            while !self.lock().insert(name.clone()) {
                tokio::time::sleep(NAME_POLL).await;
            }
            Name {
                names: self.clone(),
                name: name.clone(),
            }
        };
        timeout(NAME_FREE, taken).await.ok()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashSet<Bytes>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        self.names.lock().remove(&self.name);
    }
}
