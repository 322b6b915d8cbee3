//! How much a JSON text becomes when it is read: asked for before.

use tch::Device;

use crate::device;
use crate::error::{Error, Result};

/// Bytes that a value of a document takes at its most, with what is read of it for a while.
const VALUE: u64 = 160;

/// Values that a file of settings may have: of labels the most have some ten thousand.
const MOST_VALUES: u64 = 1 << 20;

/// The same of an index of weights, each of which is two.
const MOST_INDEXED: u64 = 1 << 22;

/// How many values a text has, at least as many as there are.
fn values(text: &[u8]) -> u64 {
    let (mut n, mut is_text, mut is_escaped) = (1, false, false);
    for byte in text {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_text => is_escaped = true,
            b'"' => is_text = !is_text,
            b',' | b'[' | b'{' | b':' if !is_text => n += 1,
            _ => {}
        }
    }
    n
}

/// Refuses settings that no model has: by how many values there are, as few bytes may be very many.
pub(crate) fn check_settings(file: &str, text: &[u8]) -> Result<()> {
    match values(text) {
        n if n > MOST_VALUES => Err(Error::Damaged {
            file: file.to_owned(),
            reason: format!("has {n} values, more than any model's"),
        }),
        _ => Ok(()),
    }
}

/// Whether an index of weights has no more values than any model's.
pub(crate) fn is_index(text: &[u8]) -> bool {
    values(text) <= MOST_INDEXED
}

/// Refuses what would not fit into memory once it is read.
pub(crate) fn ensure_room(file: &str, text: &[u8]) -> Result<()> {
    let needed = values(text) * VALUE + 4 * text.len() as u64;
    device::ensure_room(Device::Cpu, needed, &format!("reading {file}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_counted_outside_of_texts() {
        assert_eq!(values(br#""a, [b]""#), 1);
        assert_eq!(values(br#"[1, "a\",[", 3]"#), 4);
        assert_eq!(values(br#"{"a": [0, 0]}"#), 5);
        let many = format!("[{}0]", "0,".repeat(1 << 20));
        let error = check_settings("config.json", many.as_bytes()).unwrap_err();
        assert!(
            error.to_string().starts_with("config.json: has 1048578 values"),
            "{error}"
        );
    }
}
