//! What a template may make at once, and how it is refused.

use minijinja::{Error, ErrorKind};

/// Bytes that one filter may make at once, which takes no fuel before it is made.
pub(super) const MOST_BYTES: usize = 64 << 20;

/// How deep what is written as JSON may be, and how wide each of its levels.
pub(super) const MOST_LEVELS: usize = 256;

pub(super) fn invalid(reason: String) -> Error {
    Error::new(ErrorKind::InvalidOperation, reason)
}

/// Refuses what would fill the memory: filters make their texts at once.
pub(super) fn bounded(n_bytes: usize) -> Result<(), Error> {
    match n_bytes > MOST_BYTES {
        true => Err(Error::from(ErrorKind::OutOfFuel)),
        false => Ok(()),
    }
}
