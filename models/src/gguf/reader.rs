//! The container: a header, values by key, and where each tensor lies (the format's versions 2 and 3, little-endian).
//!
//! Everything that a file says about its own sizes is checked against its length before anything is made of it, so
//! what is kept in memory is at most some times as large as the header itself.

mod values;

use std::collections::{BTreeMap, HashSet};

use self::values::NumberType;
pub(crate) use self::values::{NumberList, Value};
use super::blocks::{self, BlockType};
use crate::error::{Error, Result};

/// What a file says of itself, borrowed from its bytes.
#[derive(Debug)]
pub(crate) struct Gguf<'a> {
    values: BTreeMap<&'a str, Value<'a>>,
    pub(crate) tensors: Vec<TensorEntry<'a>>,
}

/// A tensor as the file has it.
#[derive(Debug, Clone)]
pub(crate) struct TensorEntry<'a> {
    pub(crate) name: &'a str,
    /// Row by row: the last axis is the one whose numbers lie side by side.
    pub(crate) shape: Vec<usize>,
    pub(crate) block: &'static BlockType,
    pub(crate) bytes: &'a [u8],
    /// Which of the files has it.
    pub(crate) file: usize,
}

/// Of a value that is text, and of one that is a list.
const TEXT: u32 = 8;
const LIST: u32 = 9;
/// Where the file does not say how its tensors are aligned.
const ALIGNMENT: usize = 32;
const LARGEST_ALIGNMENT: usize = 1 << 20;
/// ggml's tensors have no more axes.
const MOST_AXES: u32 = 4;
/// Headers are bounded: their vocabulary is copied. The largest in use have some 10 MB.
const LARGEST_HEADER: usize = 256 << 20;

impl<'a> Gguf<'a> {
    /// Reads the header of a whole file.
    ///
    /// # Errors
    /// [`Error::Damaged`] with what is wrong and where.
    pub(crate) fn parse(file: &str, bytes: &'a [u8]) -> Result<Self> {
        parse(bytes).map_err(|reason| Error::Damaged {
            file: file.to_owned(),
            reason,
        })
    }

    /// Reads the headers of a model in several files: the first says what it is, each has some of the tensors.
    pub(crate) fn parse_all(files: &[(&str, &'a [u8])]) -> Result<Self> {
        let mut all = Self {
            values: BTreeMap::new(),
            tensors: vec![],
        };
        for (index, (name, bytes)) in files.iter().enumerate() {
            let mut part = Self::parse(name, bytes)?;
            if index == 0 {
                all.values = part.values;
            }
            part.tensors.iter_mut().for_each(|tensor| tensor.file = index);
            all.tensors.append(&mut part.tensors);
        }
        Ok(all)
    }

    pub(crate) fn get(&self, key: &str) -> Option<&Value<'a>> {
        self.values.get(key)
    }

    pub(crate) fn text(&self, key: &str) -> Option<&'a str> {
        match self.values.get(key)? {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn texts(&self, key: &str) -> Option<&[&'a str]> {
        match self.values.get(key)? {
            Value::Texts(texts) => Some(texts),
            _ => None,
        }
    }

    pub(crate) fn flag(&self, key: &str) -> Option<bool> {
        match self.values.get(key)? {
            Value::Flag(flag) => Some(*flag),
            _ => None,
        }
    }

    /// A list of numbers; an empty one where there is none.
    pub(crate) fn numbers(&self, key: &str) -> Vec<f64> {
        match self.values.get(key) {
            Some(Value::Numbers(list)) => list.iter().filter_map(|value| value.real()).collect(),
            _ => vec![],
        }
    }

    pub(crate) fn tensor(&self, name: &str) -> Option<&TensorEntry<'a>> {
        self.tensors.iter().find(|tensor| tensor.name == name)
    }
}

type Parsed<T> = std::result::Result<T, String>;

fn parse(bytes: &[u8]) -> Parsed<Gguf<'_>> {
    let mut cursor = Cursor { bytes, at: 0 };
    cursor.start()?;
    // A tensor's entry has 24 bytes at least, a value 13.
    let n_tensors = cursor.count(24, "tensors")?;
    let n_values = cursor.count(13, "values")?;
    let mut values = BTreeMap::new();
    for _ in 0..n_values {
        let key = cursor.text("a key")?;
        let value = cursor.value(key)?;
        if values.insert(key, value).is_some() {
            return Err(format!("says {} twice", short(key)));
        }
    }
    let alignment = alignment(&values)?;
    let entries: Vec<Entry> = (0..n_tensors).map(|_| cursor.entry()).collect::<Parsed<_>>()?;
    if cursor.at > LARGEST_HEADER {
        let n_bytes = cursor.at;
        return Err(format!("its header has {n_bytes} bytes, more than any model's"));
    }
    let start = cursor.at.next_multiple_of(alignment);
    let mut tensors = Vec::with_capacity(entries.len());
    let mut names = HashSet::new();
    for entry in entries {
        if !names.insert(entry.name) {
            return Err(format!("has the tensor {} twice", short(entry.name)));
        }
        tensors.push(entry.locate(bytes, start, alignment)?);
    }
    Ok(Gguf { values, tensors })
}

fn alignment(values: &BTreeMap<&str, Value>) -> Parsed<usize> {
    let Some(value) = values.get("general.alignment") else {
        return Ok(ALIGNMENT);
    };
    let number = value.whole().and_then(|number| usize::try_from(number).ok());
    number
        .filter(|number| number.is_power_of_two() && *number <= LARGEST_ALIGNMENT)
        .ok_or_else(|| format!("general.alignment is {value}: expected a power of two"))
}

/// A tensor as the header has it.
struct Entry<'a> {
    name: &'a str,
    /// The fastest axis first.
    sizes: Vec<u64>,
    block: u32,
    offset: u64,
}

impl<'a> Entry<'a> {
    /// Its bytes, where shape and offset allow.
    fn locate(self, file: &'a [u8], start: usize, alignment: usize) -> Parsed<TensorEntry<'a>> {
        let (name, offset) = (short(self.name), self.offset);
        let block = blocks::find(self.block).map_err(|reason| format!("{name} {reason}"))?;
        let (n_numbers, kind) = (block.n_numbers, block.name);
        let row = self.sizes.first().copied().unwrap_or(1);
        if !row.is_multiple_of(n_numbers as u64) {
            return Err(format!(
                "{name} has rows of {row} numbers, no multiple of {n_numbers}, which is a block of {kind}"
            ));
        }
        let n_bytes = self
            .n_bytes(block)
            .ok_or_else(|| format!("{name} has the shape {:?}, larger than the file", self.sizes))?;
        if !offset.is_multiple_of(alignment as u64) {
            return Err(format!("{name} is at {offset}, no multiple of {alignment}"));
        }
        let from = usize::try_from(offset).ok();
        let from = from.and_then(|offset| start.checked_add(offset));
        let bytes = from.and_then(|from| file.get(from..from.checked_add(n_bytes)?));
        Ok(TensorEntry {
            name: self.name,
            shape: self.sizes.iter().rev().map(|&size| size as usize).collect(),
            block,
            bytes: bytes
                .ok_or_else(|| format!("{name} has {n_bytes} bytes at {offset}, beyond the file's end"))?,
            file: 0,
        })
    }

    fn n_bytes(&self, block: &BlockType) -> Option<usize> {
        let n_numbers = self
            .sizes
            .iter()
            .try_fold(1_u64, |n, &size| n.checked_mul(size))?;
        let n_blocks = usize::try_from(n_numbers).ok()? / block.n_numbers;
        n_blocks.checked_mul(block.n_bytes)
    }
}

struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    /// What every file begins with.
    fn start(&mut self) -> Parsed<()> {
        if self.take(4, "the first four bytes")? != b"GGUF" {
            return Err("not a GGUF file: it does not begin with GGUF".into());
        }
        match self.u32("the version")? {
            2 | 3 => Ok(()),
            version if version.swap_bytes() <= 0xFFFF => {
                Err("written for big-endian machines, which is not read here".into())
            }
            version => Err(format!("version {version} of the format; 2 and 3 are read here")),
        }
    }

    fn take(&mut self, n: usize, what: &str) -> Parsed<&'a [u8]> {
        let part = self
            .at
            .checked_add(n)
            .and_then(|end| self.bytes.get(self.at..end));
        let part = part.ok_or_else(|| format!("ends at byte {} within {what}", self.bytes.len()))?;
        self.at += n;
        Ok(part)
    }

    fn u32(&mut self, what: &str) -> Parsed<u32> {
        let bytes = self.take(4, what)?;
        Ok(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    fn u64(&mut self, what: &str) -> Parsed<u64> {
        let (low, high) = (self.u32(what)?, self.u32(what)?);
        Ok(u64::from(low) | u64::from(high) << 32)
    }

    /// A number of things that take so many bytes each, or more: no more than the rest of the file has room for.
    fn count(&mut self, size: usize, what: &str) -> Parsed<usize> {
        let n = self.u64(what)?;
        let room = (self.bytes.len() - self.at) / size;
        match usize::try_from(n) {
            Ok(n) if n <= room => Ok(n),
            _ => Err(format!("says it has {n} {what}, more than it has room for")),
        }
    }

    fn text(&mut self, what: &str) -> Parsed<&'a str> {
        let n = self.count(1, &format!("bytes in {what}"))?;
        let bytes = self.take(n, what)?;
        std::str::from_utf8(bytes)
            .map_err(|error| format!("{what} at byte {} is not UTF-8: {error}", self.at - n))
    }

    fn value(&mut self, key: &str) -> Parsed<Value<'a>> {
        let key = short(key);
        match self.u32(&key)? {
            TEXT => self.text(&key).map(Value::Text),
            LIST => self.list(&key),
            id => {
                let number =
                    NumberType::of(id).ok_or_else(|| format!("{key} is of the unknown type {id}"))?;
                Ok(number.read(self.take(number.size(), &key)?))
            }
        }
    }

    fn list(&mut self, key: &str) -> Parsed<Value<'a>> {
        match self.u32(key)? {
            TEXT => {
                let n = self.count(8, &format!("texts in {key}"))?;
                (0..n)
                    .map(|_| self.text(key))
                    .collect::<Parsed<_>>()
                    .map(Value::Texts)
            }
            LIST => Err(format!("{key} is a list of lists, which is not read here")),
            id => {
                let number =
                    NumberType::of(id).ok_or_else(|| format!("{key} has values of the unknown type {id}"))?;
                let n = self.count(number.size(), &format!("numbers in {key}"))?;
                let bytes = self.take(n * number.size(), key)?;
                Ok(Value::Numbers(NumberList { number, bytes }))
            }
        }
    }

    fn entry(&mut self) -> Parsed<Entry<'a>> {
        let name = self.text("the name of a tensor")?;
        let what = short(name);
        let n_axes = self.u32(&what)?;
        if n_axes > MOST_AXES {
            return Err(format!(
                "{what} has {n_axes} axes; no tensor has more than {MOST_AXES}"
            ));
        }
        let sizes: Vec<u64> = (0..n_axes).map(|_| self.u64(&what)).collect::<Parsed<_>>()?;
        if sizes.contains(&0) {
            return Err(format!("{what} has the shape {sizes:?}: it holds nothing"));
        }
        Ok(Entry {
            name,
            sizes,
            block: self.u32(&what)?,
            offset: self.u64(&what)?,
        })
    }
}

/// A name from the file, as a message shows it.
fn short(name: &str) -> String {
    name.chars().take(80).collect()
}

#[cfg(test)]
mod tests;
