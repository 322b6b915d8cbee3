//! The five sockets of a connection file. Nothing else in the kernel listens.
//!
//! The listeners are bound here with the standard library and handed to ZeroMQ, so that whatever should
//! stand between a port and the socket behind it has one place to be.

use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_channel::mpsc::Receiver;
use jupyter_protocol::connection_info::ConnectionInfo;
use zeromq::util::PeerIdentity;
use zeromq::{
    Listener, RouterRecvHalf, RouterSendHalf, RouterSocket, Socket, SocketEvent, SocketRecv, SocketSend,
    XPubSocket, ZmqError, ZmqMessage,
};

use crate::connection::{Address, address};
use crate::error::Error;
use crate::wire::Channel;

/// How long a message may wait for a peer that does not read, before it is given up for that peer.
const PATIENCE: Duration = Duration::from_secs(5);
const NOT_READING: &str = "a peer does not read";
/// In which clients connect again that were cut off: ZeroMQ's default is 0.1 s.
const RECONNECTION: Duration = Duration::from_millis(300);
/// After an error on a socket, so that one which repeats itself does not take the whole core.
const PAUSE: Duration = Duration::from_millis(10);

pub struct Sockets {
    pub shell: Router,
    pub control: Router,
    pub stdin: Router,
    /// A ROUTER, not the usual REP: one malformed message keeps the crate's REP busy for ever.
    pub heartbeat: Router,
    pub iopub: Publisher,
    pub files: SocketFiles,
}

/// The iopub socket: an XPUB, which says when somebody subscribes, and waits for who reads slowly.
pub struct Publisher {
    socket: XPubSocket,
    events: Receiver<SocketEvent>,
    peers: Vec<PeerIdentity>,
}

/// A ROUTER socket in two halves.
pub struct Router {
    pub sender: RouterSendHalf,
    pub receiver: RouterRecvHalf,
}

/// Removes the files of ipc sockets when the kernel ends.
#[derive(Default)]
pub struct SocketFiles(Vec<PathBuf>);

impl Drop for SocketFiles {
    fn drop(&mut self) {
        for path in &self.0 {
            // Whoever removed it first is welcome.
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Binds what the connection file says, and nothing else.
pub async fn bind(connection: &ConnectionInfo) -> Result<Sockets, Error> {
    let mut files = SocketFiles::default();
    let shell = router(connection, Channel::Shell, &mut files).await?;
    let control = router(connection, Channel::Control, &mut files).await?;
    let stdin = router(connection, Channel::Stdin, &mut files).await?;
    let heartbeat = router(connection, Channel::Heartbeat, &mut files).await?;
    let mut iopub = Publisher::new();
    attach(&mut iopub.socket, connection, Channel::IoPub, &mut files).await?;
    Ok(Sockets {
        shell,
        control,
        stdin,
        heartbeat,
        iopub,
        files,
    })
}

impl Publisher {
    fn new() -> Self {
        let mut socket = XPubSocket::new();
        let events = socket.monitor();
        Self {
            socket,
            events,
            peers: Vec::new(),
        }
    }

    /// The next subscription.
    pub async fn receive(&mut self) -> ZmqMessage {
        receive(&mut self.socket).await
    }

    /// Sends to all subscribers. One that has not read for [`PATIENCE`] would keep all others waiting, and
    /// the socket does not tell which one it is: so all are cut off. Those that live connect again at
    /// once and go on; one that hangs does not.
    pub async fn send(&mut self, message: ZmqMessage) -> Result<(), ZmqError> {
        self.note_peers();
        let sent = send(&mut self.socket, message).await;
        if matches!(sent, Err(ZmqError::Other(NOT_READING))) {
            self.note_peers();
            let backend = self.socket.backend();
            self.peers
                .drain(..)
                .for_each(|peer| backend.peer_disconnected(&peer));
            tokio::time::sleep(RECONNECTION).await;
        }
        sent
    }

    /// Keeps account of who is connected.
    fn note_peers(&mut self) {
        while let Ok(event) = self.events.try_recv() {
            match event {
                SocketEvent::Accepted(_, peer) => self.peers.push(peer),
                SocketEvent::Disconnected(gone) => self.peers.retain(|peer| *peer != gone),
                _ => {}
            }
        }
    }
}

/// The next message. Errors of single peers are theirs alone.
pub async fn receive(socket: &mut (impl SocketRecv + Send)) -> ZmqMessage {
    loop {
        match socket.recv().await {
            Ok(message) => return message,
            Err(error) => {
                eprintln!("ecco-kernel: a peer was disconnected: {error}");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Sends to whom the message names, or to all subscribers; waits [`PATIENCE`] at most.
pub async fn send(socket: &mut (impl SocketSend + Send), message: ZmqMessage) -> Result<(), ZmqError> {
    match tokio::time::timeout(PATIENCE, socket.send(message)).await {
        Ok(sent) => sent,
        Err(_) => Err(ZmqError::Other(NOT_READING)),
    }
}

async fn router(
    connection: &ConnectionInfo,
    channel: Channel,
    files: &mut SocketFiles,
) -> Result<Router, Error> {
    let mut socket = RouterSocket::new();
    attach(&mut socket, connection, channel, files).await?;
    let (sender, receiver) = socket.split();
    Ok(Router { sender, receiver })
}

async fn attach<S: Socket>(
    socket: &mut S,
    connection: &ConnectionInfo,
    channel: Channel,
    files: &mut SocketFiles,
) -> Result<(), Error> {
    let address = address(connection, channel);
    let listener = listen(&address, files).map_err(|source| Error::Bind {
        address: address.to_string(),
        source,
    })?;
    let bound = socket.bind_listener(listener).await;
    bound.map(drop).map_err(|source| Error::Socket {
        address: address.to_string(),
        source,
    })
}

fn listen(address: &Address, files: &mut SocketFiles) -> std::io::Result<Listener> {
    match address {
        Address::Tcp { ip, port } => Ok(std::net::TcpListener::bind((ip.as_str(), *port))?.into()),
        Address::Ipc(path) => {
            remove_stale(path)?;
            let listener = UnixListener::bind(path)?;
            files.0.push(path.clone());
            Ok(listener.into())
        }
    }
}

/// A kernel that was killed leaves its socket files behind, and nobody can bind to them.
fn remove_stale(path: &Path) -> std::io::Result<()> {
    match std::fs::symlink_metadata(path) {
        Ok(metadata) if metadata.file_type().is_socket() => std::fs::remove_file(path),
        _ => Ok(()),
    }
}
