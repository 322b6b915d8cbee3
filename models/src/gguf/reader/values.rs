//! Values of a header.

use std::fmt;

use super::short;

/// A value of the header.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value<'a> {
    Whole(i128),
    Real(f64),
    Flag(bool),
    Text(&'a str),
    Numbers(NumberList<'a>),
    Texts(Vec<&'a str>),
}

/// A list of numbers or flags, read when it is asked for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct NumberList<'a> {
    pub(super) number: NumberType,
    pub(super) bytes: &'a [u8],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NumberType {
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    F32,
    Bool,
    U64,
    I64,
    F64,
}

impl NumberType {
    /// By the id that files have, with its bytes.
    pub(super) fn of(id: u32) -> Option<Self> {
        Some(match id {
            0 => Self::U8,
            1 => Self::I8,
            2 => Self::U16,
            3 => Self::I16,
            4 => Self::U32,
            5 => Self::I32,
            6 => Self::F32,
            7 => Self::Bool,
            10 => Self::U64,
            11 => Self::I64,
            12 => Self::F64,
            _ => return None,
        })
    }

    pub(super) fn size(self) -> usize {
        match self {
            Self::U8 | Self::I8 | Self::Bool => 1,
            Self::U16 | Self::I16 => 2,
            Self::U32 | Self::I32 | Self::F32 => 4,
            Self::U64 | Self::I64 | Self::F64 => 8,
        }
    }

    /// The value of as many bytes as one has.
    pub(super) fn read(self, bytes: &[u8]) -> Value<'static> {
        let mut wide = [0; 8];
        wide[..bytes.len()].copy_from_slice(bytes);
        let unsigned = u64::from_le_bytes(wide);
        let signed = |bits: u32| i128::from((unsigned << (64 - bits)) as i64 >> (64 - bits));
        match self {
            Self::U8 | Self::U16 | Self::U32 | Self::U64 => Value::Whole(unsigned.into()),
            Self::I8 => Value::Whole(signed(8)),
            Self::I16 => Value::Whole(signed(16)),
            Self::I32 => Value::Whole(signed(32)),
            Self::I64 => Value::Whole(signed(64)),
            Self::F32 => Value::Real(f32::from_bits(unsigned as u32).into()),
            Self::F64 => Value::Real(f64::from_bits(unsigned)),
            Self::Bool => Value::Flag(unsigned != 0),
        }
    }
}

impl NumberList<'_> {
    pub(crate) fn len(&self) -> usize {
        self.bytes.len() / self.number.size()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Value<'static>> + '_ {
        let values = self.bytes.chunks_exact(self.number.size());
        values.map(|bytes| self.number.read(bytes))
    }
}

impl Value<'_> {
    pub(crate) fn whole(&self) -> Option<u64> {
        match self {
            Self::Whole(number) => u64::try_from(*number).ok(),
            _ => None,
        }
    }

    pub(crate) fn real(&self) -> Option<f64> {
        match self {
            Self::Whole(number) => Some(*number as f64),
            Self::Real(number) => Some(*number),
            _ => None,
        }
    }
}

impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Whole(number) => write!(f, "{number}"),
            Self::Real(number) => write!(f, "{number}"),
            Self::Flag(flag) => write!(f, "{flag}"),
            Self::Text(text) => write!(f, "{:?}", short(text)),
            Self::Numbers(list) => write!(f, "a list of {} numbers", list.len()),
            Self::Texts(texts) => write!(f, "a list of {} texts", texts.len()),
        }
    }
}
