//! The state machine that reads what a peer sends.

use bytes::Bytes;

use super::hello::{GREETING, ready_identity};
use super::rules::{
    COMMAND, COMMAND_LIMIT, LONG, MORE, Rules, SMALL_MESSAGE, SUBSCRIPTION_LIMIT, Violation, malformed,
};

/// What happened in the bytes that were inspected.
#[derive(Debug, PartialEq)]
pub(crate) enum Event {
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

pub(crate) struct Inspector {
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
    pub(crate) fn new(rules: Rules) -> Self {
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
    pub(crate) fn inspect(&mut self, input: &mut &[u8], passed: &mut Vec<u8>) -> Result<Event, Violation> {
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

    fn greeting(&mut self, input: &mut &[u8]) -> Result<Event, Violation> {
        let whole = self.gather(input, GREETING.len());
        let part = &self.part;
        let at = |i: usize, right: fn(u8) -> bool| part.get(i).is_none_or(|&byte| right(byte));
        // As early as possible: what follows from a peer that speaks something else may never come.
        if !at(0, |byte| byte == 0xff) || !at(9, |byte| byte == 0x7f) {
            return Err(Violation::NotZmtp);
        }
        if let Some(&major) = part.get(10).filter(|&&major| major < 3) {
            return Err(Violation::Version { major });
        }
        if !whole {
            return Ok(Event::Done);
        }
        if part[12..32] != GREETING[12..32] {
            return Err(Violation::Mechanism);
        }
        self.part.clear();
        self.state = State::ReadyHeader;
        Ok(Event::Done)
    }

    fn ready_header(&mut self, input: &mut &[u8]) -> Result<Event, Violation> {
        let Some((flags, length)) = self.frame_header(input)? else {
            return Ok(Event::Done);
        };
        if flags & COMMAND == 0 {
            return Err(malformed("a message where READY belongs"));
        }
        if length > COMMAND_LIMIT {
            return Err(Violation::TooLong { limit: COMMAND_LIMIT });
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

    fn ready(&mut self, input: &mut &[u8], length: usize) -> Result<Event, Violation> {
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

    fn header(&mut self, input: &mut &[u8], passed: &mut Vec<u8>) -> Result<Event, Violation> {
        let Some((flags, length)) = self.frame_header(input)? else {
            return Ok(Event::Done);
        };
        if flags & COMMAND != 0 {
            if length > COMMAND_LIMIT {
                return Err(Violation::TooLong { limit: COMMAND_LIMIT });
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
            return Err(Violation::NoSubscription);
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
    fn admit(&mut self, length: u64) -> Result<u64, Violation> {
        let message = &mut self.message;
        let limit = self.rules.bytes;
        let before = message.bytes;
        message.bytes = before
            .checked_add(length)
            .filter(|&bytes| bytes <= limit)
            .ok_or(Violation::TooLong { limit })?;
        message.frames += 1;
        if message.frames > self.rules.frames {
            return Err(Violation::TooManyFrames {
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
    ) -> Result<Event, Violation> {
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
    fn check_subscription(&mut self, first: u8) -> Result<(), Violation> {
        if first > 1 {
            return Err(Violation::NoSubscription);
        }
        self.subscriptions += 1;
        if self.subscriptions > SUBSCRIPTION_LIMIT {
            return Err(Violation::TooManySubscriptions {
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
    fn frame_header(&mut self, input: &mut &[u8]) -> Result<Option<(u8, u64)>, Violation> {
        self.gather(input, 1);
        let flags = self.part[0];
        let command_goes_on = flags & COMMAND != 0 && flags & MORE != 0;
        if flags & !(MORE | LONG | COMMAND) != 0 || command_goes_on {
            return Err(Violation::Flags { flags });
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

/// Takes up to `most` bytes off the front.
fn take<'a>(input: &mut &'a [u8], most: usize) -> &'a [u8] {
    let (front, rest) = input.split_at(most.min(input.len()));
    *input = rest;
    front
}
