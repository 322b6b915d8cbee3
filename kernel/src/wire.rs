//! Jupyter messages as ZeroMQ frames.
//!
//! ```text
//! identity …   <IDS|MSG>   signature   header   parent_header   metadata   content   buffer …
//!                                      └───────── the HMAC covers these ─────────┘
//! ```
//!
//! A request's header goes back verbatim as `parent_header`, so that fields this kernel does not know
//! (`subshell_id`, a client's own) survive the way.

mod signing;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use chrono::{DateTime, SecondsFormat, Utc};
use jupyter_protocol::IoPubWelcome;
use serde::{Deserialize, Serialize};
use zeromq::ZmqMessage;

use self::signing::{ReplayWindow, Sent, Signer};
use crate::error::Error;
use crate::gate::guests::Trusted;

/// The version of the messaging protocol that this kernel speaks.
pub(crate) const PROTOCOL_VERSION: &str = "5.5";

const DELIMITER: &[u8] = b"<IDS|MSG>";
const EMPTY: &[u8] = b"{}";
/// In bytes: a header comes back with everything that is said about its message.
const HEADER_LIMIT: usize = 1 << 16;

/// The five sockets of a kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Channel {
    Shell,
    Control,
    Stdin,
    Heartbeat,
    IoPub,
}

/// A message that has come in and whose signature is right.
#[derive(Debug)]
pub(crate) struct Request {
    pub msg_type: String,
    pub parent: Arc<Parent>,
    /// The subshell it is meant for, if it names one.
    pub subshell: Option<String>,
    /// The message that this one answers, if it says so.
    pub answered: Option<String>,
    pub metadata: Bytes,
    /// JSON, not yet parsed: a content that makes no sense must still get an error reply.
    pub content: Bytes,
    pub buffers: Vec<Bytes>,
}

impl Request {
    /// The type of the reply to it: none if it is no request.
    pub(crate) fn reply_type(&self) -> Option<String> {
        let name = self.msg_type.strip_suffix("_request")?;
        Some(format!("{name}_reply"))
    }
}

/// What an outgoing message answers: who asked, and with which header.
#[derive(Debug)]
pub(crate) struct Parent {
    pub channel: Channel,
    /// The `msg_id` of that header.
    pub id: String,
    identities: Vec<Bytes>,
    header: Bytes,
}

impl Parent {
    /// The parent of what the kernel says of its own accord.
    pub(crate) fn none() -> Arc<Self> {
        Arc::new(Self {
            channel: Channel::IoPub,
            id: String::new(),
            identities: Vec::new(),
            header: Bytes::from_static(EMPTY),
        })
    }

    /// Whether both came from the same client. Clients have one identity on all their sockets.
    pub(crate) fn same_client(&self, other: &Parent) -> bool {
        self.identities == other.identities
    }
}

/// Why a message was not accepted. Nothing is answered then: its sender is not known to be a client.
#[derive(Debug, thiserror::Error, PartialEq)]
pub(crate) enum Rejection {
    #[error("no <IDS|MSG> delimiter")]
    NoDelimiter,
    #[error("{found} frames after the delimiter, where 5 or more belong")]
    TooShort { found: usize },
    #[error("the signature does not fit the key")]
    Signature,
    #[error("it has come before")]
    Replayed,
    #[error("it is one of this kernel's own")]
    Reflected,
    #[error("the header is not one: {reason}")]
    Header { reason: String },
}

/// Encodes and decodes messages of one kernel session.
pub(crate) struct Wire {
    signer: Signer,
    session: String,
    sent: AtomicU64,
    seen: Mutex<ReplayWindow>,
    /// Who has sent a message that was accepted.
    pub trusted: Arc<Trusted>,
}

/// The fields of a header that matter here; clients leave out others.
#[derive(Deserialize)]
struct IncomingHeader {
    msg_type: String,
    msg_id: String,
    #[serde(default)]
    session: Option<String>,
    /// When it was sent, by the client's clock.
    #[serde(default)]
    date: Option<serde_json::Value>,
    #[serde(default)]
    subshell_id: Option<serde_json::Value>,
}

/// What matters of the header that a message says it answers.
#[derive(Deserialize)]
struct AnsweredHeader {
    msg_id: String,
}

#[derive(Serialize)]
struct OutgoingHeader<'a> {
    msg_id: String,
    msg_type: &'a str,
    session: &'a str,
    username: &'a str,
    date: String,
    version: &'a str,
}

/// What few messages carry beside their content.
#[derive(Debug, Default)]
pub(crate) struct Extras {
    pub metadata: serde_json::Map<String, serde_json::Value>,
    pub buffers: Vec<Bytes>,
}

impl Wire {
    pub(crate) fn new(signature_scheme: &str, key: &str) -> Result<Self, Error> {
        Ok(Self {
            signer: Signer::new(signature_scheme, key)?,
            session: uuid::Uuid::new_v4().to_string(),
            sent: AtomicU64::new(0),
            seen: Mutex::default(),
            trusted: Arc::default(),
        })
    }

    /// Splits the frames of a message that came in on `channel` and checks its signature. Whoever listens
    /// to a connection can record signed messages: those of clients count once, the kernel's own never.
    pub(crate) fn decode(&self, channel: Channel, message: ZmqMessage) -> Result<Request, Rejection> {
        let mut identities = message.into_vec();
        let at = identities
            .iter()
            .position(|frame| frame == DELIMITER)
            .ok_or(Rejection::NoDelimiter)?;
        let mut frames = identities.split_off(at).into_iter().skip(1);
        identities.truncate(at);
        let found = frames.len();
        let mut next = || frames.next().ok_or(Rejection::TooShort { found });
        let (signature, header, parent, metadata, content) = (next()?, next()?, next()?, next()?, next()?);
        if !self
            .signer
            .verify([&header, &parent, &metadata, &content], &signature)
        {
            return Err(Rejection::Signature);
        }
        if header.len() > HEADER_LIMIT {
            return Err(Rejection::Header {
                reason: format!("it has more than {HEADER_LIMIT} bytes"),
            });
        }
        let IncomingHeader {
            msg_type,
            msg_id,
            session,
            date,
            subshell_id,
        } = serde_json::from_slice(&header).map_err(|error| Rejection::Header {
            reason: error.to_string(),
        })?;
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let sent = Sent::new(
            session.as_deref(),
            date.as_ref().and_then(serde_json::Value::as_str),
        );
        if !seen.is_new(&signature, sent) {
            return Err(Rejection::Replayed);
        }
        if session.as_ref() == Some(&self.session) {
            return Err(Rejection::Reflected);
        }
        if let Some(name) = identities.first() {
            self.trusted.add(name);
        }
        Ok(Request {
            msg_type,
            subshell: subshell_id.map(|id| id.as_str().map_or_else(|| id.to_string(), str::to_owned)),
            // Most messages answer nothing; what is no header says nothing either.
            answered: serde_json::from_slice(&parent)
                .ok()
                .map(|AnsweredHeader { msg_id }| msg_id),
            metadata,
            parent: Arc::new(Parent {
                channel,
                id: msg_id,
                identities,
                header,
            }),
            content,
            buffers: frames.collect(),
        })
    }

    /// A message to whoever sent `parent`.
    pub(crate) fn reply(&self, msg_type: &str, parent: &Parent, content: &impl Serialize) -> ZmqMessage {
        let identities = parent.identities.clone();
        self.encode(
            identities,
            self.header(msg_type),
            parent,
            content,
            Extras::default(),
        )
    }

    /// A question to the user of the client that sent `parent`, and its id, which the answer names.
    pub(crate) fn question(&self, parent: &Parent, content: &impl Serialize) -> (String, ZmqMessage) {
        let header = self.header("input_request");
        let id = header.msg_id.clone();
        let identities = parent.identities.clone();
        (
            id,
            self.encode(identities, header, parent, content, Extras::default()),
        )
    }

    /// A message to every subscriber.
    pub(crate) fn publication(
        &self,
        msg_type: &str,
        parent: &Parent,
        content: &impl Serialize,
    ) -> ZmqMessage {
        self.publication_with(msg_type, parent, content, Extras::default())
    }

    /// The same with metadata and buffers.
    pub(crate) fn publication_with(
        &self,
        msg_type: &str,
        parent: &Parent,
        content: &impl Serialize,
        extras: Extras,
    ) -> ZmqMessage {
        let topic = Bytes::from(format!("kernel.{}.{msg_type}", self.session));
        self.encode(vec![topic], self.header(msg_type), parent, content, extras)
    }

    /// The greeting to a new subscriber of `topic`.
    pub(crate) fn welcome(&self, topic: Bytes) -> ZmqMessage {
        let content = IoPubWelcome::new(String::from_utf8_lossy(&topic).into_owned());
        let header = self.header("iopub_welcome");
        self.encode(vec![topic], header, &Parent::none(), &content, Extras::default())
    }

    fn encode(
        &self,
        mut frames: Vec<Bytes>,
        header: OutgoingHeader,
        parent: &Parent,
        content: &impl Serialize,
        Extras { metadata, buffers }: Extras,
    ) -> ZmqMessage {
        let header = json_bytes(&header);
        let metadata = json_bytes(&metadata);
        let content = json_bytes(content);
        let signature = self.signer.sign([&header, &parent.header, &metadata, &content]);
        frames.extend([
            Bytes::from_static(DELIMITER),
            Bytes::from(signature),
            header,
            parent.header.clone(),
            metadata,
            content,
        ]);
        frames.extend(buffers);
        let mut message = ZmqMessage::from(frames.remove(0));
        frames.into_iter().for_each(|frame| message.push_back(frame));
        message
    }

    fn header<'a>(&'a self, msg_type: &'a str) -> OutgoingHeader<'a> {
        let number = self.sent.fetch_add(1, Ordering::Relaxed);
        OutgoingHeader {
            msg_id: format!("{}_{number}", self.session),
            msg_type,
            session: &self.session,
            username: "kernel",
            date: DateTime::<Utc>::from(std::time::SystemTime::now())
                .to_rfc3339_opts(SecondsFormat::Micros, true),
            version: PROTOCOL_VERSION,
        }
    }
}

/// The size of a message on the wire, near enough for bounding what is unsent.
pub(crate) fn size(message: &ZmqMessage) -> usize {
    message.iter().map(Bytes::len).sum()
}

fn json_bytes(value: &impl Serialize) -> Bytes {
    // Fails only for maps whose keys are not strings; contents are serde_json values and plain structs.
    serde_json::to_vec(value).map_or(Bytes::from_static(EMPTY), Bytes::from)
}
