//! Both directions of one peer, in one task.
//!
//! ```text
//! peer ── input ─→ Inspector ─→ inward ─→ ZeroMQ
//! peer ←──────── outward (Pace) ←──────── ZeroMQ
//! ```

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::ErrorKind;
use std::time::{Duration, Instant};

use tokio::net::UnixStream;
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::guests::Seat;
use super::pace::{Overflow, Pace, SOFT};
use super::peer::Host;
use super::stream::Stream;
use super::zmtp::{Event, Inspector, Violation};
use crate::wire::Channel;

/// Bytes taken from a socket at once.
const CHUNK: usize = 64 << 10;
/// A large message has to be complete after this …
const LARGE_TIME: Duration = Duration::from_secs(10);
/// … and a second more for each of so many bytes.
const LARGE_RATE: u64 = 1 << 20;
/// How much of a peer's unread input is thrown away when it is cut off.
const DISCARDED_CHUNKS: usize = 16;
/// What one permit of a [`Room`](super::Room) stands for, in bytes.
pub(crate) const ROOM_UNIT: u64 = 1 << 10;

thread_local! {
    /// Where every relay reads to; none keeps anything in it.
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; CHUNK]);
}

/// Why a peer was cut off.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Disconnect {
    #[error(transparent)]
    Violation(#[from] Violation),
    #[error(transparent)]
    Overflow(#[from] Overflow),
    #[error("it did not finish a large message in time")]
    Unfinished,
    #[error("another got its place, since it has not shown that it has the key")]
    Displaced,
}

pub(crate) struct Relay<'a> {
    host: &'a Host,
    seat: Seat,
    outer: Stream,
    inner: UnixStream,
    inspector: Inspector,
    /// Read, not yet inspected: what came behind something that has to wait.
    input: Vec<u8>,
    /// Inspected, not yet written.
    inward: Vec<u8>,
    /// What the message under way still needs, in permits.
    claim: u32,
    room: Option<OwnedSemaphorePermit>,
    /// The message that holds `room` is complete once `inward` is written.
    complete: bool,
    /// Until when that message has to be complete.
    deadline: Option<Instant>,
    outward: VecDeque<u8>,
    pace: Pace,
    outer_ended: bool,
    inner_ended: bool,
    /// The kernel ends: only what it has said is still passed on.
    ending: bool,
}

impl<'a> Relay<'a> {
    pub(crate) fn new(
        host: &'a Host,
        seat: Seat,
        outer: Stream,
        inner: UnixStream,
        inspector: Inspector,
        input: Vec<u8>,
    ) -> Self {
        Self {
            host,
            seat,
            outer,
            inner,
            inspector,
            input,
            inward: Vec::new(),
            claim: 0,
            room: None,
            complete: false,
            deadline: None,
            outward: VecDeque::new(),
            pace: Pace::new(&host.store, Instant::now()),
            outer_ended: false,
            inner_ended: false,
            ending: false,
        }
    }

    /// Relays until the end; gives the connection to ZeroMQ back, and why the peer was cut off if it was.
    pub(crate) async fn run(mut self, ending: watch::Receiver<bool>) -> (UnixStream, Option<Disconnect>) {
        let ended = self.relay(ending).await;
        self.outer.end();
        // Closing with something unread would reset the connection, and take back what was said last.
        self.discard_input();
        (self.inner, ended.err())
    }

    async fn relay(&mut self, mut ending: watch::Receiver<bool>) -> Result<(), Disconnect> {
        let input = std::mem::take(&mut self.input);
        self.inspect(&input)?;
        loop {
            tokio::task::coop::consume_budget().await;
            self.write_inward()?;
            self.write_outward()?;
            if self.ending {
                self.read_inner()?;
            }
            if self.is_over() {
                return Ok(());
            }
            let timer = self.timer();
            tokio::select! {
                _ = self.outer.readable(), if self.wants_input() => self.read_outer()?,
                _ = self.inner.readable(), if self.wants_output() => self.read_inner()?,
                _ = self.outer.writable(), if !self.outward.is_empty() => {}
                _ = self.inner.writable(), if self.may_write_inward() => {}
                () = self.seat.displaced() => return Err(Disconnect::Displaced),
                room = self.host.room.of(&self.seat).clone().acquire_many_owned(self.claim), if self.claim > 0 => {
                    self.enter(room.ok());
                }
                _ = tokio::time::sleep_until(timer.unwrap_or_else(Instant::now).into()), if timer.is_some() => {
                    self.tick()?;
                }
                () = super::until(&mut ending), if !self.ending => self.ending = true,
            }
        }
    }

    fn is_over(&self) -> bool {
        if self.outer_ended {
            return self.ending || (self.inward.is_empty() && self.input.is_empty());
        }
        self.inner_ended && self.outward.is_empty()
    }

    /// When to look at the clock again.
    fn timer(&self) -> Option<Instant> {
        let pace = self.pace.until(self.outward.len());
        self.deadline.into_iter().chain(pace).min()
    }

    fn tick(&mut self) -> Result<(), Disconnect> {
        let now = Instant::now();
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            return Err(Disconnect::Unfinished);
        }
        Ok(self.pace.account(now, 0, self.outward.len())?)
    }

    /// Who does not read replies may not ask for more. Subscribers ask for nothing.
    fn wants_input(&self) -> bool {
        let listens = self.host.channel == Channel::IoPub || self.outward.len() < SOFT;
        listens && !self.outer_ended && !self.ending && self.input.is_empty() && self.inward.is_empty()
    }

    fn wants_output(&self) -> bool {
        !self.inner_ended && self.pace.takes(self.outward.len())
    }

    /// The header of a message for which there is no room yet must not reach ZeroMQ.
    fn may_write_inward(&self) -> bool {
        !self.inward.is_empty() && self.claim == 0
    }

    fn read_outer(&mut self) -> Result<(), Disconnect> {
        SCRATCH.with_borrow_mut(|buffer| match self.outer.try_read(buffer) {
            Ok(count @ 1..) => self.inspect(&buffer[..count]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(()),
            _ => {
                self.outer_ended = true;
                Ok(())
            }
        })
    }

    /// Inspects what came, up to something that has to wait.
    fn inspect(&mut self, mut rest: &[u8]) -> Result<(), Disconnect> {
        if !rest.is_empty() {
            self.seat.has_spoken();
        }
        while self.claim == 0 && !self.complete && !rest.is_empty() {
            match self.inspector.inspect(&mut rest, &mut self.inward)? {
                Event::Claim(bytes) => {
                    self.claim = u32::try_from(bytes.div_ceil(ROOM_UNIT)).unwrap_or(u32::MAX);
                    let room = self.host.room.of(&self.seat).clone();
                    let room = room.try_acquire_many_owned(self.claim);
                    if let Ok(room) = room {
                        self.enter(Some(room));
                    }
                }
                Event::Complete => self.complete = true,
                Event::Done | Event::Ready(_) => {}
            }
        }
        self.input = rest.to_vec();
        Ok(())
    }

    /// The message under way has the room that it claimed.
    fn enter(&mut self, room: Option<OwnedSemaphorePermit>) {
        let bytes = u64::from(self.claim) * ROOM_UNIT;
        let time = LARGE_TIME + Duration::from_secs(bytes / LARGE_RATE);
        self.deadline = Some(match self.deadline {
            Some(deadline) => deadline + Duration::from_secs(bytes / LARGE_RATE),
            None => Instant::now() + time,
        });
        self.claim = 0;
        match (&mut self.room, room) {
            (Some(held), Some(room)) => held.merge(room),
            (held, room) => *held = room,
        }
    }

    /// Writes what was inspected, and goes on with what had to wait for that.
    fn write_inward(&mut self) -> Result<(), Disconnect> {
        while self.claim == 0 {
            while !self.inward.is_empty() {
                match self.inner.try_write(&self.inward) {
                    Ok(written) => drop(self.inward.drain(..written)),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                    Err(_) => {
                        self.inner_ended = true;
                        self.inward.clear();
                    }
                }
            }
            if std::mem::take(&mut self.complete) {
                (self.room, self.deadline) = (None, None);
            }
            if self.input.is_empty() {
                break;
            }
            let input = std::mem::take(&mut self.input);
            self.inspect(&input)?;
        }
        Ok(())
    }

    fn read_inner(&mut self) -> Result<(), Disconnect> {
        if !self.wants_output() {
            return Ok(());
        }
        SCRATCH.with_borrow_mut(|buffer| match self.inner.try_read(buffer) {
            Ok(count @ 1..) => self.pass_outward(&buffer[..count]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                // What a publisher has sent is here. The other sockets have writers of their own, which
                // close the connection when they are done.
                self.inner_ended |= self.ending && self.host.channel == Channel::IoPub;
                Ok(())
            }
            _ => {
                self.inner_ended = true;
                Ok(())
            }
        })
    }

    fn pass_outward(&mut self, bytes: &[u8]) -> Result<(), Disconnect> {
        let written = match self.outward.is_empty() {
            _ if self.outer_ended => None,
            true => self.try_write_outer(bytes),
            false => Some(0),
        };
        let Some(written) = written else {
            self.outer_ended = true;
            return Ok(());
        };
        self.outward.extend(&bytes[written..]);
        Ok(self.pace.account(Instant::now(), written, self.outward.len())?)
    }

    fn write_outward(&mut self) -> Result<(), Disconnect> {
        if self.outward.is_empty() {
            return Ok(());
        }
        let Some(written) = self.try_write_outer(self.outward.as_slices().0) else {
            self.outer_ended = true;
            self.outward.clear();
            return Ok(());
        };
        self.outward.drain(..written);
        if self.outward.is_empty() {
            self.outward.shrink_to(CHUNK);
        }
        Ok(self.pace.account(Instant::now(), written, self.outward.len())?)
    }

    /// How much of it the peer's connection took; `None` when there is nobody any more.
    fn try_write_outer(&self, bytes: &[u8]) -> Option<usize> {
        match self.outer.try_write(bytes) {
            Ok(written) => Some(written),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Some(0),
            Err(_) => None,
        }
    }

    fn discard_input(&self) {
        SCRATCH.with_borrow_mut(|buffer| {
            for _ in 0..DISCARDED_CHUNKS {
                if !matches!(self.outer.try_read(buffer), Ok(1..)) {
                    break;
                }
            }
        });
    }
}
