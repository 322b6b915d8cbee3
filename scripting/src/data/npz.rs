//! numpy's `.npz`: a zip archive with an array in each entry, stored or deflated.
//!
//! Sizes are believed no further than they can be checked: a general reader of archives makes room for as many entries as a
//! file claims to have.

use std::io::Read;

use flate2::Crc;
use flate2::read::DeflateDecoder;
use rhai::Map;

use super::arrays;
use super::file::LARGEST;
use crate::errors::{ErrorKind, ScriptError};
use crate::tensor::work::Work;

const END: &[u8] = b"PK\x05\x06";
const END_64: &[u8] = b"PK\x06\x06";
const LOCATOR_64: &[u8] = b"PK\x06\x07";
const ENTRY: &[u8] = b"PK\x01\x02";
const LOCAL: &[u8] = b"PK\x03\x04";
/// Bytes of the fixed parts of an end record, a directory's entry and a local header.
const END_LENGTH: u64 = 22;
const ENTRY_LENGTH: u64 = 46;
const LOCAL_LENGTH: u64 = 30;
/// The extra field with numbers of 64 bits.
const EXTRA_64: u64 = 1;
/// Bytes that are inflated between two looks at the interrupt.
const PIECE: u64 = 8 << 20;

fn damaged(reason: impl Into<String>) -> ScriptError {
    ScriptError::new(ErrorKind::Value, reason)
}

fn cut_off() -> ScriptError {
    damaged("it is no archive of numpy's, or was cut off")
}

/// Tensors by name.
///
/// # Errors
/// What is no such archive, or claims what it has not; what an array says; no room, an interrupt.
pub(super) fn tensors(bytes: &[u8], work: &Work) -> Result<Map, ScriptError> {
    let archive = Archive(bytes);
    let (n_entries, mut at) = archive.directory()?;
    let (mut all, mut total) = (Map::new(), 0_u64);
    for _ in 0..n_entries {
        let (entry, end) = archive.entry(at)?;
        at = end;
        total = total.saturating_add(entry.size);
        if total > LARGEST {
            let message = format!(
                "its arrays would have {:.1} GB: at most {} GB are read",
                total as f64 / 1e9,
                LARGEST >> 30
            );
            return Err(damaged(message));
        }
        let name = entry.name.strip_suffix(".npy").unwrap_or(entry.name);
        let tensor = archive
            .content(&entry, work)
            .and_then(|content| arrays::npy(&content, work))
            .map_err(|error| ScriptError {
                message: format!("array {}: {}", shown(name), error.message),
                ..error
            })?;
        if all.insert(name.into(), tensor.into_value()).is_some() {
            return Err(damaged(format!("two arrays are called {}", shown(name))));
        }
    }
    Ok(all)
}

/// A name within a sentence.
fn shown(name: &str) -> String {
    let cut: String = name.chars().take(60).collect();
    format!("{cut:?}")
}

struct Archive<'a>(&'a [u8]);

/// A line of the directory.
struct Entry<'a> {
    name: &'a str,
    is_deflated: bool,
    packed: u64,
    size: u64,
    sum: u32,
    local: u64,
}

impl<'a> Archive<'a> {
    /// How many entries there are, and where their directory starts.
    fn directory(&self) -> Result<(u64, u64), ScriptError> {
        let last = (self.0.len() as u64)
            .checked_sub(END_LENGTH)
            .ok_or_else(cut_off)?;
        // A comment of up to 65,535 bytes may follow.
        let mut places = (last.saturating_sub(u64::from(u16::MAX))..=last).rev();
        let end = places.find(|at| self.is(*at, END)).ok_or_else(cut_off)?;
        let (n_entries, start) = (self.number(end + 10, 2)?, self.number(end + 16, 4)?);
        if n_entries != 0xFFFF && start != 0xFFFF_FFFF {
            return Ok((n_entries, self.place(start)?));
        }
        let locator = end.checked_sub(20).filter(|at| self.is(*at, LOCATOR_64));
        let end = self.place(self.number(locator.ok_or_else(cut_off)? + 8, 8)?)?;
        match self.is(end, END_64) {
            true => Ok((self.number(end + 32, 8)?, self.place(self.number(end + 48, 8)?)?)),
            false => Err(cut_off()),
        }
    }

    /// The entry that stands in the directory at a place, and the place of the next one.
    fn entry(&self, at: u64) -> Result<(Entry<'a>, u64), ScriptError> {
        if !self.is(at, ENTRY) {
            return Err(cut_off());
        }
        let field = |from: u64, length: u64| self.number(at + from, length);
        let [name_length, extra_length, comment_length] = [field(28, 2)?, field(30, 2)?, field(32, 2)?];
        let name = self.part(at + ENTRY_LENGTH, name_length)?;
        let name = std::str::from_utf8(name).map_err(|_| damaged("an array's name is no text in UTF-8"))?;
        let method = field(10, 2)?;
        if field(8, 2)? & 1 != 0 || !matches!(method, 0 | 8) {
            let message = format!(
                "array {} is encrypted, or packed by another method than numpy's",
                shown(name)
            );
            return Err(damaged(message));
        }
        // Numbers that do not fit stand in the extra field, in this order.
        let mut wide = self
            .wide_numbers(at + ENTRY_LENGTH + name_length, extra_length)?
            .into_iter();
        let mut or_wide = |narrow: u64| match narrow {
            0xFFFF_FFFF => wide.next().ok_or_else(cut_off),
            narrow => Ok(narrow),
        };
        let size = or_wide(field(24, 4)?)?;
        let entry = Entry {
            name,
            is_deflated: method == 8,
            size,
            packed: or_wide(field(20, 4)?)?,
            sum: field(16, 4)? as u32,
            local: self.place(or_wide(field(42, 4)?)?)?,
        };
        Ok((
            entry,
            at + ENTRY_LENGTH + name_length + extra_length + comment_length,
        ))
    }

    /// The 64-bit numbers of an entry's extra field.
    fn wide_numbers(&self, start: u64, length: u64) -> Result<Vec<u64>, ScriptError> {
        let extra = Archive(self.part(start, length)?);
        let mut at = 0;
        while at + 4 <= length {
            let (tag, length) = (extra.number(at, 2)?, extra.number(at + 2, 2)?);
            if tag == EXTRA_64 {
                let words = length / 8;
                return (0..words)
                    .map(|word| extra.number(at + 4 + 8 * word, 8))
                    .collect();
            }
            at += 4 + length;
        }
        Ok(Vec::new())
    }

    /// An entry's bytes as they were before they were packed.
    fn content(&self, entry: &Entry, work: &Work) -> Result<Vec<u8>, ScriptError> {
        if !self.is(entry.local, LOCAL) {
            return Err(cut_off());
        }
        let before = self.number(entry.local + 26, 2)? + self.number(entry.local + 28, 2)?;
        let packed = self.part(entry.local + LOCAL_LENGTH + before, entry.packed)?;
        // What is read, and what it grows to.
        work.room(&[usize::try_from(entry.size).unwrap_or(usize::MAX)], 2)?;
        let content = match entry.is_deflated {
            true => unpacked(DeflateDecoder::new(packed), entry.size, work)?,
            false => unpacked(packed, entry.size, work)?,
        };
        let mut sum = Crc::new();
        for piece in content.chunks(PIECE as usize) {
            sum.update(piece);
            work.check()?;
        }
        match sum.sum() == entry.sum {
            true => Ok(content),
            false => Err(damaged(
                "its bytes are not those that were written: their sum differs",
            )),
        }
    }

    fn is(&self, at: u64, magic: &[u8]) -> bool {
        self.part(at, magic.len() as u64).is_ok_and(|part| part == magic)
    }

    /// Places that the file names are far below where sums of them overflow, or not in it.
    fn place(&self, number: u64) -> Result<u64, ScriptError> {
        Some(number)
            .filter(|number| *number <= self.0.len() as u64)
            .ok_or_else(cut_off)
    }

    fn part(&self, at: u64, length: u64) -> Result<&'a [u8], ScriptError> {
        let range = usize::try_from(at).ok().zip(usize::try_from(length).ok());
        let part = range.and_then(|(at, length)| self.0.get(at..at.checked_add(length)?));
        part.ok_or_else(cut_off)
    }

    /// A little-endian number of up to 8 bytes.
    fn number(&self, at: u64, length: u64) -> Result<u64, ScriptError> {
        let part = self.part(at, length)?.iter().rev();
        Ok(part.fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }
}

/// So many bytes, neither fewer nor more.
fn unpacked(mut from: impl Read, size: u64, work: &Work) -> Result<Vec<u8>, ScriptError> {
    let mut content = Vec::new();
    loop {
        let left = size.saturating_add(1) - content.len() as u64;
        let read = from.by_ref().take(left.min(PIECE)).read_to_end(&mut content);
        let read = read.map_err(|_| damaged("what it was packed to is damaged, or was cut off"))?;
        work.check()?;
        if read == 0 || content.len() as u64 > size {
            break;
        }
    }
    match content.len() as u64 == size {
        true => Ok(content),
        false => Err(damaged(format!(
            "it has not the {size} bytes that the archive says"
        ))),
    }
}
