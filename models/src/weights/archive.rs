//! Zip archives whose entries are stored as they are: what `torch.save` writes. Entries are slices of the file.

use std::collections::BTreeMap;

/// Entries by name.
pub(super) type Entries<'a> = BTreeMap<&'a str, &'a [u8]>;

const END: &[u8] = b"PK\x05\x06";
const END_64: &[u8] = b"PK\x06\x06";
const LOCATOR_64: &[u8] = b"PK\x06\x07";
const ENTRY: &[u8] = b"PK\x01\x02";
const LOCAL: &[u8] = b"PK\x03\x04";
/// Bytes of the fixed parts of an end record, a directory's entry and a local header.
const END_LENGTH: usize = 22;
const ENTRY_LENGTH: usize = 46;
const LOCAL_LENGTH: usize = 30;
/// The extra field with numbers of 64 bits.
const EXTRA_64: u64 = 1;

/// What an archive has.
///
/// # Errors
/// Why it cannot be read.
pub(super) fn entries(bytes: &[u8]) -> Result<Entries<'_>, String> {
    let (n_entries, mut at) = directory(bytes)?;
    let mut entries = Entries::new();
    for _ in 0..n_entries {
        let entry = Entry::read(bytes, at)?;
        at += entry.length;
        let content = entry.content(bytes)?;
        if entries.insert(entry.name, content).is_some() {
            return Err(format!("two entries are called {:?}", entry.name));
        }
    }
    Ok(entries)
}

/// How many entries there are, and where their directory starts.
fn directory(bytes: &[u8]) -> Result<(u64, usize), String> {
    let cut = || "it ends before its directory of entries".to_owned();
    // A comment of up to 65,535 bytes may follow.
    let first = bytes.len().saturating_sub(END_LENGTH + usize::from(u16::MAX));
    let end = (first..=bytes.len().saturating_sub(END_LENGTH))
        .rev()
        .find(|&at| starts_with(bytes, at, END))
        .ok_or_else(cut)?;
    let (n_entries, start) = (number(bytes, end + 10, 2)?, number(bytes, end + 16, 4)?);
    if n_entries != 0xFFFF && start != 0xFFFF_FFFF {
        return Ok((n_entries, to_place(start)?));
    }
    let locator = end
        .checked_sub(20)
        .filter(|&at| starts_with(bytes, at, LOCATOR_64));
    let end = to_place(number(bytes, locator.ok_or_else(cut)? + 8, 8)?)?;
    if !starts_with(bytes, end, END_64) {
        return Err(cut());
    }
    Ok((
        number(bytes, end + 32, 8)?,
        to_place(number(bytes, end + 48, 8)?)?,
    ))
}

/// A line of the directory.
struct Entry<'a> {
    name: &'a str,
    size: u64,
    local: u64,
    length: usize,
}

impl<'a> Entry<'a> {
    fn read(bytes: &'a [u8], at: usize) -> Result<Self, String> {
        if !starts_with(bytes, at, ENTRY) {
            return Err(format!("there is no entry of its directory at byte {at}"));
        }
        let field = |from: usize, length: usize| number(bytes, at + from, length);
        let [name_length, extra_length, comment_length] = [
            field(28, 2)? as usize,
            field(30, 2)? as usize,
            field(32, 2)? as usize,
        ];
        let name = part(bytes, at + ENTRY_LENGTH, name_length)?;
        let name = std::str::from_utf8(name).map_err(|_| format!("the entry at byte {at} has no name"))?;
        let extra = part(bytes, at + ENTRY_LENGTH + name_length, extra_length)?;
        if field(8, 2)? & 1 != 0 || field(10, 2)? != 0 {
            return Err(format!("{name} is compressed or encrypted"));
        }
        // Numbers that do not fit stand in the extra field, in this order.
        let mut wide = wide_numbers(extra).into_iter();
        let mut or_wide = |narrow: u64| match narrow {
            0xFFFF_FFFF => wide.next().ok_or_else(|| format!("{name} has no size")),
            narrow => Ok(narrow),
        };
        let size = or_wide(field(24, 4)?)?;
        if or_wide(field(20, 4)?)? != size {
            return Err(format!("{name} is compressed"));
        }
        Ok(Self {
            name,
            size,
            local: or_wide(field(42, 4)?)?,
            length: ENTRY_LENGTH + name_length + extra_length + comment_length,
        })
    }

    fn content(&self, bytes: &'a [u8]) -> Result<&'a [u8], String> {
        let local = to_place(self.local)?;
        if !starts_with(bytes, local, LOCAL) {
            return Err(format!("{} does not start at byte {local}", self.name));
        }
        let before = number(bytes, local + 26, 2)? + number(bytes, local + 28, 2)?;
        let start = local + LOCAL_LENGTH + before as usize;
        part(bytes, start, to_place(self.size)?)
            .map_err(|_| format!("{} has {} bytes, beyond the end", self.name, self.size))
    }
}

/// The 64-bit numbers of an entry's extra field.
fn wide_numbers(extra: &[u8]) -> Vec<u64> {
    let mut at = 0;
    while let (Ok(tag), Ok(length)) = (number(extra, at, 2), number(extra, at + 2, 2)) {
        let content = part(extra, at + 4, length as usize);
        if tag == EXTRA_64 {
            let (words, _) = content.unwrap_or_default().as_chunks::<8>();
            return words.iter().map(|word| u64::from_le_bytes(*word)).collect();
        }
        at += 4 + length as usize;
    }
    Vec::new()
}

fn starts_with(bytes: &[u8], at: usize, magic: &[u8]) -> bool {
    bytes.get(at..).is_some_and(|rest| rest.starts_with(magic))
}

fn part(bytes: &[u8], at: usize, length: usize) -> Result<&[u8], String> {
    let end = at.checked_add(length);
    end.and_then(|end| bytes.get(at..end))
        .ok_or_else(|| "it ends within its directory of entries".to_owned())
}

/// A little-endian number of up to 8 bytes.
fn number(bytes: &[u8], at: usize, length: usize) -> Result<u64, String> {
    let part = part(bytes, at, length)?.iter().rev();
    Ok(part.fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

/// A place in the file: far below where sums of places overflow.
fn to_place(number: u64) -> Result<usize, String> {
    match usize::try_from(number) {
        Ok(place) if place <= usize::MAX >> 2 => Ok(place),
        _ => Err(format!("its directory names byte {number}")),
    }
}
