//! Messages as a front end sends and sees them.

use bytes::Bytes;
use hmac::{Hmac, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use zeromq::ZmqMessage;

pub(crate) const KEY: &str = "a key for tests";

/// A message from the kernel.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    pub id: String,
    pub msg_type: String,
    pub parent: Value,
    pub metadata: Value,
    pub content: Value,
    pub buffers: Vec<Bytes>,
}

/// A message to the kernel, with what most messages leave empty.
pub(crate) struct Draft {
    pub parent: Value,
    pub metadata: Value,
    pub content: Value,
    pub buffers: Vec<Bytes>,
    pub subshell: Value,
}

impl Draft {
    pub(crate) fn new(content: Value) -> Self {
        Self {
            parent: json!({}),
            metadata: json!({}),
            content,
            buffers: Vec::new(),
            subshell: Value::Null,
        }
    }

    /// The frames of the message, signed.
    pub(crate) fn frames(self, id: &str, msg_type: &str) -> Vec<Bytes> {
        let header = json!({"msg_id": id, "msg_type": msg_type, "session": "s", "username": "u",
            "date": "2026-01-01T00:00:00Z", "version": "5.3", "subshell_id": self.subshell});
        let signed = [header, self.parent, self.metadata, self.content].map(|part| part.to_string());
        let signature = sign(signed.iter().map(String::as_bytes));
        let mut frames = vec![Bytes::from("<IDS|MSG>"), Bytes::from(signature)];
        frames.extend(signed.map(Bytes::from));
        frames.extend(self.buffers);
        frames
    }
}

pub(crate) fn sign<'a>(frames: impl Iterator<Item = &'a [u8]>) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(KEY.as_bytes()).unwrap();
    frames.for_each(|frame| mac.update(frame));
    mac.finalize()
        .into_bytes()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// A message from the kernel: signed, with a whole header.
pub(crate) fn decode(message: ZmqMessage) -> Message {
    let frames = message.into_vec();
    let at = frames
        .iter()
        .position(|frame| frame == "<IDS|MSG>")
        .expect("a delimiter");
    let [signature, header, parent, metadata, content, buffers @ ..] = &frames[at + 1..] else {
        panic!("{} frames", frames.len())
    };
    let signed = [header, parent, metadata, content]
        .into_iter()
        .map(|frame| &frame[..]);
    assert_eq!(sign(signed), *signature);
    let json = |frame: &Bytes| -> Value { serde_json::from_slice(frame).unwrap() };
    let header = json(header);
    for field in ["msg_id", "session", "username", "date", "version"] {
        assert!(header[field].is_string(), "{field}");
    }
    let msg_type = header["msg_type"].as_str().unwrap().to_owned();
    Message {
        msg_type,
        id: header["msg_id"].as_str().unwrap().to_owned(),
        parent: json(parent),
        metadata: json(metadata),
        content: json(content),
        buffers: buffers.to_vec(),
    }
}

/// A message of iopub as a line of a transcript.
pub(crate) fn line(
    Message {
        msg_type, content, ..
    }: &Message,
) -> String {
    let text = &content["data"]["text/plain"];
    match msg_type.as_str() {
        "status" => content["execution_state"].as_str().unwrap().to_owned(),
        "stream" => format!("{} {}", content["name"].as_str().unwrap(), content["text"]),
        "execute_input" => format!("In [{}] {}", content["execution_count"], content["code"]),
        "execute_result" => format!("Out[{}] {text}", content["execution_count"]),
        "error" => format!("error {}", content["traceback"]),
        "display_data" | "update_display_data" => format!("{msg_type} {text} {}", content["transient"]),
        _ => format!("{msg_type} {content}"),
    }
}
