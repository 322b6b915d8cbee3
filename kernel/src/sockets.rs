//! The five sockets of a connection file. Nothing else in the kernel listens.
//!
//! Their ports are the gate's; behind it ZeroMQ accepts on sockets that nobody else can reach.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use jupyter_protocol::connection_info::{ConnectionInfo, Transport};
use zeromq::{
    RouterRecvHalf, RouterSendHalf, RouterSocket, Socket, SocketRecv, SocketSend, XPubSocket, ZmqError,
    ZmqMessage,
};

use crate::connection::address;
use crate::error::Error;
use crate::gate::Gate;
use crate::gate::guests::Trusted;
use crate::journal::note;
use crate::wire::Channel;

/// How long a reply may wait for a peer that does not read: the gate has cut it off by then.
const PATIENCE: Duration = Duration::from_secs(5);
/// After an error on a socket, so that one which repeats itself does not take the whole core.
const PAUSE: Duration = Duration::from_millis(10);

pub(crate) struct Sockets {
    pub shell: Router,
    pub control: Router,
    pub stdin: Router,
    /// A ROUTER, not the usual REP: one malformed message keeps the crate's REP busy for ever.
    pub heartbeat: Router,
    /// An XPUB, which says when somebody subscribes, and waits for who reads slowly; the gate decides how long.
    pub iopub: XPubSocket,
    pub gate: Gate,
}

/// A ROUTER socket in two halves.
pub(crate) struct Router {
    pub sender: RouterSendHalf,
    pub receiver: RouterRecvHalf,
}

/// Binds what the connection file says, and nothing else. Who sends signed messages is to become `trusted`.
pub(crate) async fn bind(connection: &ConnectionInfo, trusted: Arc<Trusted>) -> Result<Sockets, Error> {
    warn_if_open(connection);
    let mut gate = Gate::new(trusted);
    let shell = router(connection, Channel::Shell, &mut gate).await?;
    let control = router(connection, Channel::Control, &mut gate).await?;
    let stdin = router(connection, Channel::Stdin, &mut gate).await?;
    let heartbeat = router(connection, Channel::Heartbeat, &mut gate).await?;
    let mut iopub = XPubSocket::new();
    attach(&mut iopub, connection, Channel::IoPub, &mut gate).await?;
    Ok(Sockets {
        shell,
        control,
        stdin,
        heartbeat,
        iopub,
        gate,
    })
}

/// Without a key everybody is obeyed who reaches the port.
fn warn_if_open(
    ConnectionInfo {
        transport, ip, key, ..
    }: &ConnectionInfo,
) {
    let local = ip == "localhost" || ip.parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
    if key.is_empty() && *transport == Transport::TCP && !local {
        note(format_args!(
            "warning: messages are not signed (the connection file has no key), and {ip} can be reached \
             from other machines: whoever does can run code here"
        ));
    }
}

/// The next message. Errors of single peers are theirs alone.
pub(crate) async fn receive(socket: &mut (impl SocketRecv + Send)) -> ZmqMessage {
    loop {
        match socket.recv().await {
            Ok(message) => return message,
            Err(error) => {
                note(format_args!("a peer was disconnected: {error}"));
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Sends to whom the message names; waits [`PATIENCE`] at most.
pub(crate) async fn send(socket: &mut (impl SocketSend + Send), message: ZmqMessage) -> Result<(), ZmqError> {
    match tokio::time::timeout(PATIENCE, socket.send(message)).await {
        Ok(sent) => sent,
        Err(_) => Err(ZmqError::Other("a peer does not read")),
    }
}

async fn router(connection: &ConnectionInfo, channel: Channel, gate: &mut Gate) -> Result<Router, Error> {
    let mut socket = RouterSocket::new();
    attach(&mut socket, connection, channel, gate).await?;
    let (sender, receiver) = socket.split();
    Ok(Router { sender, receiver })
}

async fn attach<S: Socket>(
    socket: &mut S,
    connection: &ConnectionInfo,
    channel: Channel,
    gate: &mut Gate,
) -> Result<(), Error> {
    let address = address(connection, channel);
    let listener = gate.open(channel, &address).map_err(|source| Error::Bind {
        address: address.to_string(),
        source,
    })?;
    let bound = socket.bind_listener(listener).await;
    bound.map(drop).map_err(|source| Error::Socket {
        address: address.to_string(),
        source,
    })
}
