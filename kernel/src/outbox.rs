//! Everything the kernel says about a cell, in order, from the script thread to the sockets.
//!
//! One queue for all of it – status, outputs, the reply, questions – so the order clients rely on
//! (busy → execute_input → outputs → reply → idle) holds by construction. Text for the same stream
//! melts into one message while it waits. A script that writes faster than clients read is held back,
//! so that what is unsent stays near [`UNSENT_LIMIT`].
//!
//! A script that changes between stdout and stderr with every line would make a message of every line.
//! The first [`STREAM_RUN`] changes keep their order; while those wait, more text joins the last message
//! of its stream.
//!
//! A display that is replaced while it waits is not sent at all: the newest of its id takes its place.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ecco_interpreter::Interrupt;
use jupyter_protocol::Status;
use serde::Serialize;
use serde_json::json;
use tokio::sync::Notify;
use zeromq::ZmqMessage;

use crate::wire::{self, Channel, Extras, Parent, Wire};

/// Bytes that may wait to be sent before the script has to wait too.
const UNSENT_LIMIT: usize = 1 << 20;
/// A stream message is sent at this size …
pub(crate) const STREAM_FULL: usize = 1 << 17;
/// … or at this age, or as soon as something other than text follows it. Servers drop messages beyond
/// about 1,000 in a second: this makes [`STREAM_RUN`] times 50 at most.
const STREAM_AGE: Duration = Duration::from_millis(20);
/// So many stream messages wait in a row before the order of stdout and stderr gives way.
const STREAM_RUN: usize = 8;
/// Among so many things that wait a display's update is looked for.
const UPDATE_RUN: usize = 64;
/// Above this requests wait as well: what they are told is unsent too.
const FULL: usize = 64 * UNSENT_LIMIT;
/// How often a held back script looks whether it was interrupted.
const HELD_POLL: Duration = Duration::from_millis(20);

/// Which stream of the notebook's output a text belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum StreamName {
    Stdout,
    Stderr,
}

/// One thing to send.
pub(crate) enum Item {
    /// To all subscribers.
    Publish(ZmqMessage),
    /// To the peer that asked, on the channel where it asked.
    Reply(Channel, ZmqMessage),
    /// A question to the user, on the stdin channel, and its id.
    Ask(String, ZmqMessage),
}

/// A queue with one reader, the sending task.
pub(crate) struct Outbox {
    wire: Arc<Wire>,
    state: Mutex<State>,
    /// Something to send has come, or the queue has been closed.
    arrived: Notify,
    /// Something has been sent.
    sent: Condvar,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Entry>,
    unsent: usize,
    /// The request that the script thread works on.
    running: Option<Arc<Parent>>,
    closed: bool,
}

enum Entry {
    Ready(Item, usize),
    Stream(Stream),
    Update(Update),
}

impl Entry {
    /// Whether what comes may still change it, so that it is worth waiting for.
    fn may_change(&self) -> bool {
        !matches!(self, Self::Ready(..))
    }
}

/// What a display is to look like from now on.
struct Update {
    parent: Arc<Parent>,
    id: String,
    message: ZmqMessage,
    size: usize,
    since: Instant,
}

struct Stream {
    parent: Arc<Parent>,
    name: StreamName,
    text: String,
    since: Instant,
}

impl State {
    /// The waiting message that text for this stream may join: the last one of all, or, where many
    /// wait in a row, the last one of its stream.
    fn joinable(&mut self, parent: &Arc<Parent>, name: StreamName) -> Option<&mut Stream> {
        let run = self.queue.iter_mut().rev().map_while(|entry| match entry {
            Entry::Stream(stream) if Arc::ptr_eq(&stream.parent, parent) => Some(stream),
            _ => None,
        });
        let mut behind = 0;
        let mut found = None;
        for stream in run {
            if found.is_none() && stream.name == name {
                found = Some((behind, stream));
            }
            behind += 1;
            // What is directly at the end is taken without counting the rest.
            if behind == STREAM_RUN || matches!(found, Some((0, _))) {
                break;
            }
        }
        found
            .filter(|(place, stream)| {
                (*place == 0 || behind == STREAM_RUN) && stream.text.len() < STREAM_FULL
            })
            .map(|(_, stream)| stream)
    }
}

impl State {
    /// The waiting update of the same display that another may take the place of: nothing but text and other displays
    /// of the same cell comes after it.
    fn replaceable(&mut self, parent: &Arc<Parent>, id: &str) -> Option<&mut Update> {
        let run = self
            .queue
            .iter_mut()
            .rev()
            .take(UPDATE_RUN)
            .map_while(|entry| match entry {
                Entry::Update(update) if Arc::ptr_eq(&update.parent, parent) => Some(Some(update)),
                Entry::Stream(stream) if Arc::ptr_eq(&stream.parent, parent) => Some(None),
                _ => None,
            });
        run.flatten().find(|update| update.id == id)
    }
}

enum Front {
    Send(Item, usize),
    Wait(Duration),
    Empty,
    Closed,
}

impl Outbox {
    pub(crate) fn new(wire: Arc<Wire>) -> Self {
        Self {
            wire,
            state: Mutex::default(),
            arrived: Notify::new(),
            sent: Condvar::new(),
        }
    }

    /// The script thread begins to work on `parent`.
    pub(crate) fn begin(&self, parent: &Arc<Parent>) {
        let busy = self.status(parent, &Status::busy());
        let mut state = self.lock();
        state.running = Some(parent.clone());
        self.push(&mut state, busy);
    }

    /// The script thread is done with `parent`: its reply, then idle.
    pub(crate) fn finish(&self, parent: &Arc<Parent>, msg_type: &str, content: &impl Serialize) {
        let reply = Item::Reply(parent.channel, self.wire.reply(msg_type, parent, content));
        let idle = self.status(parent, &Status::idle());
        let mut state = self.lock();
        state.running = None;
        self.push(&mut state, reply);
        self.push(&mut state, idle);
    }

    /// The script thread is done with `parent`, which has no reply: idle.
    pub(crate) fn finish_unanswered(&self, parent: &Arc<Parent>) {
        let idle = self.status(parent, &Status::idle());
        let mut state = self.lock();
        state.running = None;
        self.push(&mut state, idle);
    }

    /// A request is answered beside the script thread: busy.
    pub(crate) fn begin_beside(&self, parent: &Arc<Parent>) {
        let busy = self.status(parent, &Status::busy());
        self.push(&mut self.lock(), busy);
    }

    /// A request was answered beside the script thread: idle. Front ends and servers show the state that
    /// they heard last, whoever it was about, so a cell that still runs says that it does.
    pub(crate) fn finish_beside(&self, parent: &Arc<Parent>) {
        let idle = self.status(parent, &Status::idle());
        let mut state = self.lock();
        self.push(&mut state, idle);
        if let Some(running) = state.running.clone() {
            let busy = self.status(&running, &Status::busy());
            self.push(&mut state, busy);
        }
    }

    /// A message to all subscribers.
    pub(crate) fn publish(&self, parent: &Parent, msg_type: &str, content: &impl Serialize) {
        let message = self.wire.publication(msg_type, parent, content);
        self.push(&mut self.lock(), Item::Publish(message));
    }

    /// What a comm says, to all subscribers.
    pub(crate) fn publish_comm(
        &self,
        parent: &Parent,
        msg_type: &str,
        content: &impl Serialize,
        extras: Extras,
    ) {
        let message = self.wire.publication_with(msg_type, parent, content, extras);
        self.push(&mut self.lock(), Item::Publish(message));
    }

    /// A question to the client that sent `parent`; returns the id that its answer names.
    pub(crate) fn ask(&self, parent: &Parent, content: &impl Serialize) -> String {
        let (id, message) = self.wire.question(parent, content);
        self.push(&mut self.lock(), Item::Ask(id.clone(), message));
        id
    }

    /// Text for a stream of the cell's output.
    pub(crate) fn stream(&self, parent: &Arc<Parent>, name: StreamName, text: &str) {
        let mut state = self.lock();
        state.unsent += text.len();
        if let Some(stream) = state.joinable(parent, name) {
            stream.text.push_str(text);
            // The reader sleeps until the message is old or full: waking it for each line costs more
            // than the line.
            if stream.text.len() >= STREAM_FULL {
                self.arrived.notify_one();
            }
            return;
        }
        state.queue.push_back(Entry::Stream(Stream {
            parent: parent.clone(),
            name,
            text: text.to_owned(),
            since: Instant::now(),
        }));
        self.arrived.notify_one();
    }

    /// What a display of the cell looks like from now on. One that waits for the same display is left out.
    pub(crate) fn update(&self, parent: &Arc<Parent>, id: &str, content: &impl Serialize) {
        let message = self.wire.publication("update_display_data", parent, content);
        let size = wire::size(&message);
        let mut state = self.lock();
        state.unsent += size;
        if let Some(update) = state.replaceable(parent, id) {
            update.message = message;
            let left_out = std::mem::replace(&mut update.size, size);
            state.unsent = state.unsent.saturating_sub(left_out);
            return;
        }
        state.queue.push_back(Entry::Update(Update {
            parent: parent.clone(),
            id: id.to_owned(),
            message,
            size,
            since: Instant::now(),
        }));
        self.arrived.notify_one();
    }

    /// Whether so much is unsent that no more should be begun.
    pub(crate) fn is_full(&self) -> bool {
        let state = self.lock();
        state.unsent > FULL && !state.closed
    }

    /// Waits while more than [`UNSENT_LIMIT`] bytes are unsent, unless the cell was interrupted.
    pub(crate) fn hold_back(&self, interrupt: &Interrupt) {
        let mut state = self.lock();
        while state.unsent > UNSENT_LIMIT && !state.closed && !interrupt.is_requested() {
            (state, _) = self
                .sent
                .wait_timeout(state, HELD_POLL)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// No more will come: the reader gets what is there without delay, then `None`.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.arrived.notify_one();
        self.sent.notify_all();
    }

    /// The next thing to send and its size, which [`Outbox::release`] takes back. Can be cancelled.
    pub(crate) async fn next(&self) -> Option<(Item, usize)> {
        loop {
            match self.front() {
                Front::Send(item, size) => return Some((item, size)),
                Front::Wait(time) => {
                    // Either way there is something to look at.
                    let _ = tokio::time::timeout(time, self.arrived.notified()).await;
                }
                Front::Empty => self.arrived.notified().await,
                Front::Closed => return None,
            }
        }
    }

    /// `size` bytes are on their way.
    pub(crate) fn release(&self, size: usize) {
        let mut state = self.lock();
        state.unsent = state.unsent.saturating_sub(size);
        self.sent.notify_all();
    }

    fn front(&self) -> Front {
        let mut state = self.lock();
        let may_change = !state.closed
            && state.unsent <= UNSENT_LIMIT
            && state.queue.iter().take(UPDATE_RUN).all(Entry::may_change);
        let since = match state.queue.front() {
            None if state.closed => return Front::Closed,
            None => return Front::Empty,
            Some(Entry::Stream(stream)) if stream.text.len() < STREAM_FULL => Some(stream.since),
            Some(Entry::Update(update)) => Some(update.since),
            Some(_) => None,
        };
        let age = since
            .filter(|_| may_change)
            .map_or(STREAM_AGE, |since| since.elapsed());
        if age < STREAM_AGE {
            return Front::Wait(STREAM_AGE - age);
        }
        let entry = state.queue.pop_front();
        drop(state);
        match entry {
            None => Front::Empty,
            Some(Entry::Ready(item, size)) => Front::Send(item, size),
            Some(Entry::Update(update)) => Front::Send(Item::Publish(update.message), update.size),
            Some(Entry::Stream(stream)) => {
                let content = json!({"name": stream.name, "text": stream.text});
                let message = self.wire.publication("stream", &stream.parent, &content);
                Front::Send(Item::Publish(message), stream.text.len())
            }
        }
    }

    fn status(&self, parent: &Parent, status: &Status) -> Item {
        Item::Publish(self.wire.publication("status", parent, status))
    }

    fn push(&self, state: &mut State, item: Item) {
        let size = match &item {
            Item::Publish(message) | Item::Reply(_, message) | Item::Ask(_, message) => wire::size(message),
        };
        state.unsent += size;
        state.queue.push_back(Entry::Ready(item, size));
        self.arrived.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
