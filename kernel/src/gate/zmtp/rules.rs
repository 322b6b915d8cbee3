//! What a channel takes from its peers, and what they are told off for.

use crate::wire::Channel;

/// What a message may bring without asking, in bytes; see [`super::Event::Claim`].
pub(crate) const SMALL_MESSAGE: u64 = 64 << 10;

/// The largest message of a client, in bytes, over all its frames.
pub(crate) const MESSAGE_LIMIT: u64 = 64 << 20;
/// Frames of one message: identities, six of the protocol's, and buffers.
pub(crate) const FRAME_LIMIT: u32 = 1024;
/// The heartbeat is a word.
pub(crate) const BEAT_LIMIT: u64 = 4 << 10;
/// A subscription is a topic; every one of them is answered.
pub(crate) const TOPIC_LIMIT: u64 = 1 << 10;
pub(crate) const SUBSCRIPTION_LIMIT: u32 = 64;
/// READY, and commands after it, which this kernel has no use for.
pub(crate) const COMMAND_LIMIT: u64 = 4 << 10;

pub(crate) const MORE: u8 = 1;
pub(crate) const LONG: u8 = 2;
pub(crate) const COMMAND: u8 = 4;

/// Why a peer is not listened to any more.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub(crate) enum Violation {
    #[error("it does not speak ZeroMQ's protocol")]
    NotZmtp,
    #[error("it speaks version {major} of ZeroMQ's protocol, where 3 or later is needed")]
    Version { major: u8 },
    #[error("it wants encryption or a password, which this kernel does not offer")]
    Mechanism,
    #[error("its handshake is malformed: {reason}")]
    Handshake { reason: &'static str },
    #[error("a frame has undefined flags: {flags:#04x}")]
    Flags { flags: u8 },
    #[error("a message of more than {limit} bytes")]
    TooLong { limit: u64 },
    #[error("a message of more than {limit} frames")]
    TooManyFrames { limit: u32 },
    #[error("what it sent is no subscription")]
    NoSubscription,
    #[error("more than {limit} subscriptions")]
    TooManySubscriptions { limit: u32 },
}

/// What a channel takes from its peers.
pub(crate) struct Rules {
    pub(crate) socket_types: &'static [&'static [u8]],
    /// Of one message.
    pub(crate) bytes: u64,
    pub(crate) frames: u32,
    pub(crate) subscriptions: bool,
}

impl Rules {
    pub(crate) fn of(channel: Channel) -> Self {
        let clients: &[&[u8]] = &[b"DEALER", b"REQ", b"ROUTER"];
        let subscribers: &[&[u8]] = &[b"SUB", b"XSUB"];
        let (socket_types, bytes, frames) = match channel {
            Channel::Shell | Channel::Control | Channel::Stdin => (clients, MESSAGE_LIMIT, FRAME_LIMIT),
            Channel::Heartbeat => (clients, BEAT_LIMIT, 8),
            Channel::IoPub => (subscribers, TOPIC_LIMIT, 1),
        };
        Self {
            socket_types,
            bytes,
            frames,
            subscriptions: channel == Channel::IoPub,
        }
    }
}

pub(crate) fn malformed(reason: &'static str) -> Violation {
    Violation::Handshake { reason }
}
