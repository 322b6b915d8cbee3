//! What stands at the end of a file: the schema and the places of columns, in thrift's compact protocol.
//!
//! The crate reads the schema by recursion, as deep as it says, and takes room for as many children as it names. So it is walked
//! through first.

use std::fs::File;
use std::os::unix::fs::FileExt;

use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};

use super::{Room, asked, damaged};
use crate::errors::ScriptError;

const MAGIC: &[u8] = b"PAR1";
const ENCRYPTED: &[u8] = b"PARE";
/// Bytes of its length and the magic number.
const TAIL: u64 = 8;
const LARGEST: u64 = 64 << 20;
/// How many times its bytes what is made of it takes, at most.
const GROWTH: usize = 64;
/// Levels of groups in groups, and of structures in structures: a list of a value takes two of the former.
const DEEPEST: usize = 32;

fn cut_off() -> ScriptError {
    damaged("it is no parquet, or was cut off")
}

/// What a file of `len` bytes has.
///
/// # Errors
/// What is no such file; no room for what it says.
pub(super) fn metadata(file: &File, len: u64, room: Room) -> Result<ParquetMetaData, ScriptError> {
    let mut tail = [0; TAIL as usize];
    let end = len.checked_sub(TAIL).ok_or_else(cut_off)?;
    file.read_exact_at(&mut tail, end).map_err(|_| cut_off())?;
    let (size, magic) = tail.split_at(4);
    if magic == ENCRYPTED {
        return Err(damaged("it is encrypted").with_hint("save it without encryption"));
    }
    let size = size
        .iter()
        .rev()
        .fold(0, |number, byte| number << 8 | u64::from(*byte));
    let start = end
        .checked_sub(size)
        .filter(|_| magic == MAGIC)
        .ok_or_else(cut_off)?;
    if size > LARGEST {
        let message = format!(
            "what it says of itself has {} MB: at most {} MB are read",
            size >> 20,
            LARGEST >> 20
        );
        return Err(damaged(message));
    }
    room.check(GROWTH * size as usize)?;
    let mut bytes = vec![0; size as usize];
    file.read_exact_at(&mut bytes, start).map_err(|_| cut_off())?;
    check_schema(&children(&bytes).ok_or_else(cut_off)?)?;
    asked(|| ParquetMetaDataReader::decode_metadata(&bytes))
}

/// How many children each element of the schema has, in order: a node, then what is below it.
fn check_schema(children: &[usize]) -> Result<(), ScriptError> {
    // How many of each open group are still to come.
    let mut open = vec![1];
    for &n in children {
        while open.last() == Some(&0) {
            open.pop();
        }
        match open.last_mut() {
            Some(left) => *left -= 1,
            None => return Err(damaged("its schema has several roots")),
        }
        if n > children.len() {
            return Err(damaged("its schema names more columns than it has"));
        }
        if n > 0 {
            open.push(n);
        }
        if open.len() > DEEPEST {
            return Err(damaged(format!(
                "its columns are nested more than {DEEPEST} levels deep"
            )));
        }
    }
    match open.iter().all(|left| *left == 0) {
        true => Ok(()),
        false => Err(damaged("its schema names more columns than it has")),
    }
}

/// The fields of thrift that are looked at: the schema in a file's metadata, the number of children in an element of it.
const SCHEMA: i64 = 2;
const CHILDREN: i64 = 5;

/// Of each element of the schema how many children it has; none where this is no metadata.
fn children(bytes: &[u8]) -> Option<Vec<usize>> {
    let mut all = Vec::new();
    let mut thrift = Thrift(bytes);
    let mut id = 0;
    while let Some(kind) = thrift.field(&mut id)? {
        if (id, kind) != (SCHEMA, LIST) {
            thrift.skip(kind, DEEPEST)?;
            continue;
        }
        let (element, n) = thrift.list()?;
        if element != STRUCT || n > thrift.0.len() {
            return None;
        }
        for _ in 0..n {
            all.push(thrift.element()?);
        }
    }
    Some(all)
}

/// Types of thrift's compact protocol.
const TRUE: u8 = 1;
const FALSE: u8 = 2;
const BYTE: u8 = 3;
const I16: u8 = 4;
const I64: u8 = 6;
const DOUBLE: u8 = 7;
const BINARY: u8 = 8;
const LIST: u8 = 9;
const SET: u8 = 10;
const MAP: u8 = 11;
const STRUCT: u8 = 12;

struct Thrift<'a>(&'a [u8]);

impl Thrift<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn pass(&mut self, n: u64) -> Option<()> {
        self.0 = self.0.get(usize::try_from(n).ok()?..)?;
        Some(())
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn signed(&mut self) -> Option<i64> {
        let number = self.number()?;
        Some((number >> 1) as i64 ^ -((number & 1) as i64))
    }

    /// The type of the next field, whose number goes to `id`; nothing at the end of the structure.
    fn field(&mut self, id: &mut i64) -> Option<Option<u8>> {
        let head = self.byte()?;
        if head == 0 {
            return Some(None);
        }
        *id = match head >> 4 {
            0 => self.signed()?,
            step => id.checked_add(step.into())?,
        };
        Some(Some(head & 0xf))
    }

    /// The type of a list's items, and how many there are.
    fn list(&mut self) -> Option<(u8, usize)> {
        let head = self.byte()?;
        let n = match head >> 4 {
            15 => usize::try_from(self.number()?).ok()?,
            n => n.into(),
        };
        Some((head & 0xf, n))
    }

    /// How many children an element of the schema has.
    fn element(&mut self) -> Option<usize> {
        let (mut id, mut n) = (0, 0);
        while let Some(kind) = self.field(&mut id)? {
            match (id, kind) {
                (CHILDREN, I16..=I64) => n = usize::try_from(self.signed()?).ok()?,
                _ => self.skip(kind, DEEPEST)?,
            }
        }
        Some(n)
    }

    fn skip(&mut self, kind: u8, levels: usize) -> Option<()> {
        let levels = levels.checked_sub(1)?;
        match kind {
            TRUE | FALSE => Some(()),
            BYTE => self.pass(1),
            I16..=I64 => self.number().map(|_| ()),
            DOUBLE => self.pass(8),
            BINARY => {
                let n = self.number()?;
                self.pass(n)
            }
            LIST | SET => {
                let (kind, n) = self.list()?;
                (0..n).try_for_each(|_| match kind {
                    TRUE | FALSE => self.pass(1),
                    kind => self.skip(kind, levels),
                })
            }
            MAP => match self.number()? {
                0 => Some(()),
                n => {
                    let kinds = self.byte()?;
                    (0..n).try_for_each(|_| {
                        self.skip(kinds >> 4, levels)?;
                        self.skip(kinds & 0xf, levels)
                    })
                }
            },
            STRUCT => {
                let mut id = 0;
                while let Some(kind) = self.field(&mut id)? {
                    self.skip(kind, levels)?;
                }
                Some(())
            }
            _ => None,
        }
    }
}
