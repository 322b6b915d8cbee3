//! How two sides introduce themselves: a greeting, then a READY command.

use bytes::Bytes;

use super::rules::{COMMAND, LONG, Violation, malformed};

/// Both sides say this first: ZMTP 3.0 without encryption.
pub(crate) const GREETING: [u8; 64] = greeting();
/// In bytes, as ZeroMQ has it.
const IDENTITY_LIMIT: usize = 255;

/// The greeting and the READY with which a peer of this type and identity introduces itself.
pub(crate) fn hello(socket_type: &str, identity: &[u8]) -> Vec<u8> {
    [&GREETING[..], &ready(socket_type, identity)].concat()
}

/// A READY command frame. It is short: names are a few letters, identities at most 255 bytes.
pub(crate) fn ready(socket_type: &str, identity: &[u8]) -> Vec<u8> {
    let mut body = b"\x05READY".to_vec();
    for (name, value) in [("Socket-Type", socket_type.as_bytes()), ("Identity", identity)] {
        if !value.is_empty() {
            body.push(name.len() as u8);
            body.extend_from_slice(name.as_bytes());
            body.extend_from_slice(&(value.len() as u32).to_be_bytes());
            body.extend_from_slice(value);
        }
    }
    let mut frame = match u8::try_from(body.len()) {
        Ok(length) => vec![COMMAND, length],
        Err(_) => [&[COMMAND | LONG][..], &(body.len() as u64).to_be_bytes()].concat(),
    };
    frame.append(&mut body);
    frame
}

/// The identity in a READY command of a peer that fits this socket.
pub(crate) fn ready_identity(command: &[u8], socket_types: &[&[u8]]) -> Result<Bytes, Violation> {
    let mut rest = command
        .strip_prefix(b"\x05READY")
        .ok_or(malformed("another command where READY belongs"))?;
    let (mut fits, mut identity) = (None, Bytes::new());
    while !rest.is_empty() {
        let (name, value) = property(&mut rest).ok_or(malformed("a property is cut short"))?;
        if name.eq_ignore_ascii_case(b"Socket-Type") {
            fits = Some(socket_types.contains(&value));
        } else if name.eq_ignore_ascii_case(b"Identity") {
            identity = Bytes::copy_from_slice(value);
        }
    }
    match fits {
        Some(true) if identity.len() <= IDENTITY_LIMIT => Ok(identity),
        Some(true) => Err(malformed("an identity of more than 255 bytes")),
        Some(false) => Err(malformed("a socket of a type that does not belong here")),
        None => Err(malformed("no Socket-Type")),
    }
}

fn property<'a>(rest: &mut &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
    let name_length = usize::from(*rest.split_off_first()?);
    let name = rest.split_off(..name_length)?;
    let value_length = u32::from_be_bytes(rest.split_off(..4)?.try_into().ok()?);
    let value = rest.split_off(..usize::try_from(value_length).ok()?)?;
    Some((name, value))
}

const fn greeting() -> [u8; 64] {
    let mut bytes = [0; 64];
    bytes[0] = 0xff;
    bytes[9] = 0x7f;
    bytes[10] = 3;
    bytes[12] = b'N';
    bytes[13] = b'U';
    bytes[14] = b'L';
    bytes[15] = b'L';
    bytes
}
