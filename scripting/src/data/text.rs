//! Bytes as text: UTF-8, or what a byte order mark says.

use crate::errors::{ErrorKind, ScriptError};

/// The text of a file, without its mark.
///
/// # Errors
/// Bytes that are no text in the encoding, with the first of them.
pub(super) fn decoded(bytes: &[u8]) -> Result<String, ScriptError> {
    // UTF-32's mark begins as UTF-16's does.
    if let Some(rest) = bytes.strip_prefix(b"\xff\xfe\0\0") {
        return units(rest, "UTF-32", u32::from_le_bytes, of_scalars, 4);
    }
    if let Some(rest) = bytes.strip_prefix(b"\0\0\xfe\xff") {
        return units(rest, "UTF-32", u32::from_be_bytes, of_scalars, 4);
    }
    if let Some(rest) = bytes.strip_prefix(b"\xff\xfe") {
        return units(rest, "UTF-16", u16::from_le_bytes, of_pairs, 2);
    }
    if let Some(rest) = bytes.strip_prefix(b"\xfe\xff") {
        return units(rest, "UTF-16", u16::from_be_bytes, of_pairs, 2);
    }
    let rest = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    match std::str::from_utf8(rest) {
        Ok(text) => Ok(text.to_owned()),
        Err(error) => {
            let at = error.valid_up_to();
            Err(no_text(
                "UTF-8",
                bytes.len() - rest.len() + at,
                rest.get(at).copied(),
            ))
        }
    }
}

pub(super) fn no_text(encoding: &str, at: usize, byte: Option<u8>) -> ScriptError {
    let byte = byte.map_or("the file's end".to_owned(), |byte| format!("{byte:#04x}"));
    let message = format!("it is no text in {encoding}: {byte} at byte {at}");
    ScriptError::new(ErrorKind::Value, message)
        .with_hint("texts are UTF-8, or UTF-16 or UTF-32 with a byte order mark: save it as UTF-8")
}

/// Numbers of two or four bytes as characters; the place of the first that is none.
fn units<const N: usize, U>(
    bytes: &[u8],
    encoding: &str,
    unit: fn([u8; N]) -> U,
    text: fn(Vec<U>) -> Result<String, usize>,
    mark: usize,
) -> Result<String, ScriptError> {
    let (chunks, rest) = bytes.as_chunks::<N>();
    if !rest.is_empty() {
        return Err(no_text(encoding, mark + bytes.len(), None));
    }
    text(chunks.iter().map(|chunk| unit(*chunk)).collect()).map_err(|at| {
        let at = at * N;
        no_text(encoding, mark + at, bytes.get(at).copied())
    })
}

fn of_pairs(units: Vec<u16>) -> Result<String, usize> {
    let mut at = 0;
    let mut text = String::with_capacity(units.len());
    for character in char::decode_utf16(units.iter().copied()) {
        let character = character.map_err(|_| at)?;
        at += character.len_utf16();
        text.push(character);
    }
    Ok(text)
}

fn of_scalars(units: Vec<u32>) -> Result<String, usize> {
    let character = |(at, unit): (usize, &u32)| char::from_u32(*unit).ok_or(at);
    units.iter().enumerate().map(character).collect()
}
