//! What a peer sends, checked byte by byte before ZeroMQ sees it.
//!
//! ```text
//! greeting   64 bytes: signature, version, mechanism
//! READY      one command frame: Socket-Type, Identity
//! traffic    flags  length (1 or 8 bytes)  payload    frame after frame
//! ```
//!
//! A state machine over bytes, without any input or output of its own: it takes what came, in pieces of
//! any size, and gives what may be passed on. A frame's header is passed on only when it is whole and its
//! length is allowed. The handshake is not passed on at all: [`super::hello`] makes a clean one of it.

use bytes::Bytes;

use super::hello::{GREETING, ready_identity};
use crate::wire::Channel;

/// What a message may bring without asking, in bytes; see [`Event::Claim`].
pub const SMALL_MESSAGE: u64 = 64 << 10;

/// The largest message of a client, in bytes, over all its frames.
pub const MESSAGE_LIMIT: u64 = 64 << 20;
/// Frames of one message: identities, six of the protocol's, and buffers.
const FRAME_LIMIT: u32 = 1024;
/// The heartbeat is a word.
const BEAT_LIMIT: u64 = 4 << 10;
/// A subscription is a topic; every one of them is answered.
const TOPIC_LIMIT: u64 = 1 << 10;
const SUBSCRIPTION_LIMIT: u32 = 64;
/// READY, and commands after it, which this kernel has no use for.
const COMMAND_LIMIT: u64 = 4 << 10;

const MORE: u8 = 1;
pub const LONG: u8 = 2;
pub const COMMAND: u8 = 4;

/// Why a peer is not listened to any more.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Refused {
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

/// What happened in the bytes that were inspected.
#[derive(Debug, PartialEq)]
pub enum Event {
    /// All of the input was used up.
    Done,
    /// The handshake is complete. Here ends what came of it; the identity is empty if it gave none.
    Ready(Bytes),
    /// The message under way is to be so many bytes longer, beyond [`SMALL_MESSAGE`]: whoever passes it on
    /// has to find the room first.
    Claim(u64),
    /// A message for which room was claimed is complete.
    Complete,
}

/// What a channel takes from its peers.
pub struct Rules {
    socket_types: &'static [&'static [u8]],
    /// Of one message.
    bytes: u64,
    frames: u32,
    subscriptions: bool,
}

impl Rules {
    pub fn of(channel: Channel) -> Self {
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

pub struct Inspector {
    rules: Rules,
    state: State,
    /// The part of a greeting, a header or a READY that has come.
    part: Vec<u8>,
    message: Message,
    subscriptions: u32,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Greeting,
    ReadyHeader,
    Ready { length: usize },
    Header,
    Payload { left: u64, last: bool },
    Command { left: u64 },
}

/// The message under way.
#[derive(Default)]
struct Message {
    bytes: u64,
    frames: u32,
    claimed: bool,
}

impl Inspector {
    pub fn new(rules: Rules) -> Self {
        Self {
            rules,
            state: State::Greeting,
            part: Vec::new(),
            message: Message::default(),
            subscriptions: 0,
        }
    }

    /// Inspects `input` up to the next event, takes what it has seen off it, and appends to `passed` what
    /// may be passed on. After a refusal nothing more may be given to it.
    pub fn inspect(&mut self, input: &mut &[u8], passed: &mut Vec<u8>) -> Result<Event, Refused> {
        while !input.is_empty() {
            let event = match self.state {
                State::Greeting => self.greeting(input)?,
                State::ReadyHeader => self.ready_header(input)?,
                State::Ready { length } => self.ready(input, length)?,
                State::Header => self.header(input, passed)?,
                State::Payload { left, last } => self.payload(input, passed, left, last)?,
                State::Command { left } => self.command(input, left),
            };
            if event != Event::Done {
                return Ok(event);
            }
        }
        Ok(Event::Done)
    }

    fn greeting(&mut self, input: &mut &[u8]) -> Result<Event, Refused> {
        let whole = self.gather(input, GREETING.len());
        let part = &self.part;
        let at = |i: usize, right: fn(u8) -> bool| part.get(i).is_none_or(|&byte| right(byte));
        // As early as possible: what follows from a peer that speaks something else may never come.
        if !at(0, |byte| byte == 0xff) || !at(9, |byte| byte == 0x7f) {
            return Err(Refused::NotZmtp);
        }
        if let Some(&major) = part.get(10).filter(|&&major| major < 3) {
            return Err(Refused::Version { major });
        }
        if !whole {
            return Ok(Event::Done);
        }
        if part[12..32] != GREETING[12..32] {
            return Err(Refused::Mechanism);
        }
        self.part.clear();
        self.state = State::ReadyHeader;
        Ok(Event::Done)
    }

    fn ready_header(&mut self, input: &mut &[u8]) -> Result<Event, Refused> {
        let Some((flags, length)) = self.frame_header(input)? else {
            return Ok(Event::Done);
        };
        if flags & COMMAND == 0 {
            return Err(malformed("a message where READY belongs"));
        }
        if length > COMMAND_LIMIT {
            return Err(Refused::TooLong { limit: COMMAND_LIMIT });
        }
        self.part.clear();
        self.state = State::Ready {
            length: length as usize,
        };
        if length == 0 {
            return Err(malformed("an empty command where READY belongs"));
        }
        Ok(Event::Done)
    }

    fn ready(&mut self, input: &mut &[u8], length: usize) -> Result<Event, Refused> {
        if !self.gather(input, length) {
            return Ok(Event::Done);
        }
        let identity = ready_identity(&self.part, self.rules.socket_types)?;
        self.part.clear();
        self.state = State::Header;
        // Subscribers are never addressed, so nobody's name is in anybody's way.
        let named = !self.rules.subscriptions;
        Ok(Event::Ready(if named { identity } else { Bytes::new() }))
    }

    fn header(&mut self, input: &mut &[u8], passed: &mut Vec<u8>) -> Result<Event, Refused> {
        let Some((flags, length)) = self.frame_header(input)? else {
            return Ok(Event::Done);
        };
        if flags & COMMAND != 0 {
            if length > COMMAND_LIMIT {
                return Err(Refused::TooLong { limit: COMMAND_LIMIT });
            }
            self.part.clear();
            self.state = match length {
                0 => State::Header,
                left => State::Command { left },
            };
            return Ok(Event::Done);
        }
        let last = flags & MORE == 0;
        if self.rules.subscriptions && (length == 0 || !last) {
            return Err(Refused::NoSubscription);
        }
        let claim = self.admit(length)?;
        passed.append(&mut self.part);
        let ended = match length {
            0 => self.end_frame(last),
            left => {
                self.state = State::Payload { left, last };
                Event::Done
            }
        };
        Ok(if claim > 0 { Event::Claim(claim) } else { ended })
    }

    /// Whether the message under way may have another frame of `length` bytes; what is to be claimed for it.
    fn admit(&mut self, length: u64) -> Result<u64, Refused> {
        let message = &mut self.message;
        let limit = self.rules.bytes;
        let before = message.bytes;
        message.bytes = before
            .checked_add(length)
            .filter(|&bytes| bytes <= limit)
            .ok_or(Refused::TooLong { limit })?;
        message.frames += 1;
        if message.frames > self.rules.frames {
            return Err(Refused::TooManyFrames {
                limit: self.rules.frames,
            });
        }
        let claim = message.bytes.saturating_sub(before.max(SMALL_MESSAGE));
        message.claimed |= claim > 0;
        Ok(claim)
    }

    fn payload(
        &mut self,
        input: &mut &[u8],
        passed: &mut Vec<u8>,
        left: u64,
        last: bool,
    ) -> Result<Event, Refused> {
        if self.rules.subscriptions && left == self.message.bytes {
            self.check_subscription(input[0])?;
        }
        let piece = take(input, usize::try_from(left).unwrap_or(usize::MAX));
        passed.extend_from_slice(piece);
        match left - piece.len() as u64 {
            0 => Ok(self.end_frame(last)),
            left => {
                self.state = State::Payload { left, last };
                Ok(Event::Done)
            }
        }
    }

    /// By the first byte: 1 subscribes, 0 takes that back.
    fn check_subscription(&mut self, first: u8) -> Result<(), Refused> {
        if first > 1 {
            return Err(Refused::NoSubscription);
        }
        self.subscriptions += 1;
        if self.subscriptions > SUBSCRIPTION_LIMIT {
            return Err(Refused::TooManySubscriptions {
                limit: SUBSCRIPTION_LIMIT,
            });
        }
        Ok(())
    }

    fn end_frame(&mut self, last: bool) -> Event {
        self.state = State::Header;
        if !last {
            return Event::Done;
        }
        let claimed = std::mem::take(&mut self.message).claimed;
        if claimed { Event::Complete } else { Event::Done }
    }

    /// Skips a command.
    fn command(&mut self, input: &mut &[u8], left: u64) -> Event {
        self.state = match left - take(input, left as usize).len() as u64 {
            0 => State::Header,
            left => State::Command { left },
        };
        Event::Done
    }

    /// A frame's flags and length, once its header is whole; it is in `part` then.
    fn frame_header(&mut self, input: &mut &[u8]) -> Result<Option<(u8, u64)>, Refused> {
        self.gather(input, 1);
        let flags = self.part[0];
        let command_goes_on = flags & COMMAND != 0 && flags & MORE != 0;
        if flags & !(MORE | LONG | COMMAND) != 0 || command_goes_on {
            return Err(Refused::Flags { flags });
        }
        let size = if flags & LONG != 0 { 9 } else { 2 };
        if !self.gather(input, size) {
            return Ok(None);
        }
        let length = self.part[1..]
            .iter()
            .fold(0, |length, &byte| length << 8 | u64::from(byte));
        Ok(Some((flags, length)))
    }

    /// Fills `part` up to `size` bytes; whether it is.
    fn gather(&mut self, input: &mut &[u8], size: usize) -> bool {
        let missing = size.saturating_sub(self.part.len());
        self.part.extend_from_slice(take(input, missing));
        self.part.len() >= size
    }
}

pub fn malformed(reason: &'static str) -> Refused {
    Refused::Handshake { reason }
}

/// Takes up to `most` bytes off the front.
fn take<'a>(input: &mut &'a [u8], most: usize) -> &'a [u8] {
    let (front, rest) = input.split_at(most.min(input.len()));
    *input = rest;
    front
}

#[cfg(test)]
mod tests {
    use super::super::hello::hello;
    use super::*;

    /// What a peer's bytes come to: what is passed on, the events, and why it ended.
    fn inspect(channel: Channel, bytes: &[u8]) -> (Vec<u8>, Vec<Event>, Option<Refused>) {
        let (mut inspector, mut passed, mut events) = (Inspector::new(Rules::of(channel)), vec![], vec![]);
        let mut input = bytes;
        loop {
            match inspector.inspect(&mut input, &mut passed) {
                Ok(Event::Done) => return (passed, events, None),
                Ok(event) => events.push(event),
                Err(refused) => return (passed, events, Some(refused)),
            }
        }
    }

    fn after_hello(channel: Channel, socket_type: &str, bytes: &[u8]) -> (Vec<u8>, Option<Refused>) {
        let (passed, events, refused) = inspect(channel, &[&hello(socket_type, b"me"), bytes].concat());
        assert!(matches!(events[0], Event::Ready(_)));
        (passed, refused)
    }

    #[test]
    fn a_handshake_is_kept_and_traffic_passed_on() {
        let bytes = [&hello("DEALER", b"me")[..], b"\x01\x02hi\x00\x00"].concat();
        let (passed, events, refused) = inspect(Channel::Shell, &bytes);
        assert_eq!((&passed[..], refused), (&b"\x01\x02hi\x00\x00"[..], None));
        assert_eq!(events, [Event::Ready(Bytes::from_static(b"me"))]);
    }

    #[test]
    fn what_is_not_zmtp_is_refused_at_its_first_byte() {
        for bytes in [&b"G"[..], b"\x16\x03\x01", b"\0"] {
            assert_eq!(inspect(Channel::Shell, bytes).2, Some(Refused::NotZmtp));
        }
        let mut old = GREETING;
        old[10] = 1;
        assert_eq!(
            inspect(Channel::Shell, &old[..11]).2,
            Some(Refused::Version { major: 1 })
        );
        let mut curve = GREETING;
        curve[12..17].copy_from_slice(b"CURVE");
        assert_eq!(inspect(Channel::Shell, &curve).2, Some(Refused::Mechanism));
    }

    #[test]
    fn only_a_whole_ready_of_a_fitting_socket_is_taken() {
        let frame = |body: &[u8]| [&GREETING[..], &[COMMAND, body.len() as u8], body].concat();
        let wrong = [
            hello("PUB", b""),
            hello("", b"me"),
            hello("DEALER", &[b'x'; 256]),
            [&GREETING[..], b"\0\x02hi"].concat(),
            frame(b""),
            frame(b"\x05ERROR"),
            frame(b"\x05READY\x0bSocket-Type\0\0\0"),
            frame(b"\x05READY\x0bSocket-Type\xff\xff\xff\xffDEALER"),
            frame(b"\x05READY\x40Socket-Type"),
        ];
        for bytes in wrong {
            let refused = inspect(Channel::Shell, &bytes).2;
            assert!(
                matches!(refused, Some(Refused::Handshake { .. })),
                "{bytes:?}: {refused:?}"
            );
        }
        assert_eq!(
            inspect(Channel::IoPub, &hello("DEALER", b"")).2,
            inspect(Channel::Shell, &hello("PUB", b"")).2
        );
    }

    #[test]
    fn the_header_of_a_frame_that_is_too_long_is_never_passed_on() {
        for exponent in 27..64 {
            for length in [1_u64 << exponent, (1 << exponent) - 1 + (1 << (exponent - 1))] {
                for flags in [LONG, LONG | MORE, LONG | COMMAND] {
                    let bytes = [&[flags][..], &length.to_be_bytes()].concat();
                    let (passed, refused) = after_hello(Channel::Shell, "DEALER", &bytes);
                    assert!(passed.is_empty() && matches!(refused, Some(Refused::TooLong { .. })));
                    let bytes = [&GREETING[..], &[LONG | COMMAND], &length.to_be_bytes()].concat();
                    let refused = inspect(Channel::Shell, &bytes).2;
                    assert_eq!(refused, Some(Refused::TooLong { limit: COMMAND_LIMIT }));
                }
            }
        }
    }

    #[test]
    fn the_frames_of_a_message_count_together() {
        let long = [
            &[LONG | MORE][..],
            &(MESSAGE_LIMIT / 2).to_be_bytes(),
            &vec![0; 32 << 20],
        ]
        .concat();
        let (passed, refused) =
            after_hello(Channel::Shell, "DEALER", &[&long[..], &long, b"\0\x01"].concat());
        assert_eq!(refused, Some(Refused::TooLong { limit: MESSAGE_LIMIT }));
        assert_eq!(passed.len(), 2 * long.len());
        let endless = [MORE, 0].repeat(2000);
        let refused = after_hello(Channel::Shell, "DEALER", &endless).1;
        assert_eq!(refused, Some(Refused::TooManyFrames { limit: FRAME_LIMIT }));
    }

    #[test]
    fn room_is_claimed_for_what_is_not_small() {
        let small = [
            &[LONG | MORE][..],
            &SMALL_MESSAGE.to_be_bytes(),
            &[7; SMALL_MESSAGE as usize],
        ]
        .concat();
        let bytes = [&hello("REQ", b"")[..], &small, b"\0\x03abc", b"\0\x01x"].concat();
        let (_, events, refused) = inspect(Channel::Control, &bytes);
        assert_eq!(refused, None);
        assert_eq!(
            events,
            [Event::Ready(Bytes::new()), Event::Claim(3), Event::Complete]
        );
    }

    #[test]
    fn commands_after_the_handshake_are_dropped() {
        let (passed, refused) = after_hello(
            Channel::Shell,
            "DEALER",
            b"\x04\x07\x04PING\0\0\x00\x01a\x04\x00\x00\x01b",
        );
        assert_eq!((&passed[..], refused), (&b"\x00\x01a\x00\x01b"[..], None));
        let refused = after_hello(Channel::Shell, "DEALER", &[0x08, 0]).1;
        assert_eq!(refused, Some(Refused::Flags { flags: 8 }));
        assert_eq!(
            after_hello(Channel::Shell, "DEALER", &[5, 0]).1,
            Some(Refused::Flags { flags: 5 })
        );
    }

    #[test]
    fn subscribers_only_subscribe_and_not_endlessly() {
        let subscribe = b"\0\x04\x01abc";
        assert_eq!(
            after_hello(Channel::IoPub, "SUB", subscribe),
            (subscribe.to_vec(), None)
        );
        for wrong in [&b"\0\x04\x02abc"[..], b"\0\0", b"\x01\x01\x01"] {
            assert_eq!(
                after_hello(Channel::IoPub, "SUB", wrong).1,
                Some(Refused::NoSubscription)
            );
        }
        let refused = after_hello(Channel::IoPub, "SUB", &subscribe.repeat(65)).1;
        assert_eq!(
            refused,
            Some(Refused::TooManySubscriptions {
                limit: SUBSCRIPTION_LIMIT
            })
        );
        let refused = after_hello(Channel::IoPub, "SUB", b"\x02\0\0\0\0\0\0\x08\0").1;
        assert_eq!(refused, Some(Refused::TooLong { limit: TOPIC_LIMIT }));
    }
}
