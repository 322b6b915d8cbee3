//! The stored tensors of one module, read with errors that name file, tensor and value.

use safetensors::Dtype;

use crate::error::{Error, Result};
use crate::files::WeightFile;
use crate::weights::{StoredData, StoredWeight};

/// The stored tensors that are one weight, by what their names end with.
pub(super) struct Module<'a> {
    pub name: String,
    /// The file of the one that marks it.
    pub file: &'a WeightFile,
    pub parts: Vec<(&'static str, Part<'a>)>,
}

/// A stored tensor, row by row.
pub(super) struct Part<'a> {
    pub file: &'a WeightFile,
    pub name: String,
    pub dtype: Dtype,
    pub shape: Vec<usize>,
    pub bytes: &'a [u8],
}

/// A weight of at least two axes and what makes its numbers, row by row.
pub(super) struct Matrix<'a> {
    pub shape: Vec<usize>,
    pub numbers: Box<dyn Fn() -> Result<Vec<f32>> + 'a>,
}

impl<'a> Module<'a> {
    pub(super) fn sources(&self) -> Vec<(&'a WeightFile, &'a [u8])> {
        self.parts
            .iter()
            .map(|(_, part)| (part.file, part.bytes))
            .collect()
    }

    /// The tensor whose name ends so, where there is one.
    pub(super) fn take_if_any(&mut self, ending: &str) -> Option<Part<'a>> {
        let index = self.parts.iter().position(|(found, _)| *found == ending)?;
        Some(self.parts.swap_remove(index).1)
    }

    pub(super) fn take(&mut self, ending: &str) -> Result<Part<'a>> {
        let found = self.take_if_any(ending);
        found.ok_or_else(|| Error::Damaged {
            file: self.file.name.clone(),
            reason: format!(
                "{} is quantized, but there is no {0}{ending} beside it",
                self.name
            ),
        })
    }
}

impl<'a> Part<'a> {
    pub(super) fn of(weight: StoredWeight<'a>) -> Result<Self> {
        match weight.data {
            StoredData::Numbers {
                dtype,
                bytes,
                strides: None,
            } => Ok(Self {
                file: weight.file,
                name: weight.name,
                dtype,
                shape: weight.shape,
                bytes,
            }),
            _ => Err(Error::Damaged {
                file: weight.file.name.clone(),
                reason: format!(
                    "{} is a part of a quantized weight and no plain tensor",
                    weight.name
                ),
            }),
        }
    }

    /// An error about this tensor.
    pub(super) fn damaged(&self, reason: impl std::fmt::Display) -> Error {
        Error::Damaged {
            file: self.file.name.clone(),
            reason: format!("{} {reason}", self.name),
        }
    }

    pub(super) fn expect_dtype(&self, expected: &[Dtype]) -> Result<()> {
        match expected.contains(&self.dtype) {
            true => Ok(()),
            false => {
                let names: Vec<String> = expected.iter().map(|dtype| format!("{dtype:?}")).collect();
                Err(self.damaged(format!(
                    "is stored as {:?}; expected {}",
                    self.dtype,
                    names.join(" or ")
                )))
            }
        }
    }

    pub(super) fn expect_shape(&self, expected: &[usize]) -> Result<()> {
        match self.shape == expected {
            true => Ok(()),
            false => Err(self.damaged(format!("has shape {:?}; expected {expected:?}", self.shape))),
        }
    }

    /// Rows and columns.
    pub(super) fn matrix(&self) -> Result<(usize, usize)> {
        match self.shape[..] {
            [rows, columns] if rows > 0 && columns > 0 => Ok((rows, columns)),
            _ => Err(self.damaged(format!("has shape {:?}; expected two axes", self.shape))),
        }
    }

    /// How many numbers it has.
    pub(super) fn count(&self) -> usize {
        self.shape.iter().product()
    }

    /// Its numbers as f32, exactly.
    pub(super) fn numbers(&self) -> Result<Vec<f32>> {
        let widened: fn(&[u8]) -> Vec<f32> = match self.dtype {
            Dtype::F32 => |bytes| each(bytes, f32::from_le_bytes),
            Dtype::BF16 => |bytes| {
                each(bytes, |word| {
                    f32::from_bits(u32::from(u16::from_le_bytes(word)) << 16)
                })
            },
            Dtype::F16 => |bytes| each(bytes, |word| half(u16::from_le_bytes(word))),
            _ => {
                return Err(self.damaged(format!(
                    "is stored as {:?}; expected F32, F16 or BF16",
                    self.dtype
                )));
            }
        };
        Ok(widened(self.bytes))
    }

    /// Its numbers, which may be powers of 2 that only their exponents are stored of.
    pub(super) fn scales(&self) -> Result<Vec<f32>> {
        match self.dtype {
            Dtype::U8 | Dtype::F8_E8M0 => Ok(each(self.bytes, |[byte]| power(byte))),
            _ => self.numbers(),
        }
    }

    /// The 32 bits at a place.
    pub(super) fn word(&self, index: usize) -> u32 {
        let bytes = &self.bytes[4 * index..4 * index + 4];
        u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
    }

    /// Whole numbers from 0, each below `bound`.
    pub(super) fn places(&self, bound: usize) -> Result<Vec<usize>> {
        self.expect_dtype(&[Dtype::I32, Dtype::I64])?;
        let found: Vec<i64> = match self.dtype {
            Dtype::I64 => each(self.bytes, i64::from_le_bytes),
            _ => each(self.bytes, |word| i64::from(i32::from_le_bytes(word))),
        };
        let place = |found: &i64| usize::try_from(*found).ok().filter(|&place| place < bound);
        match found.iter().find(|found| place(found).is_none()) {
            Some(outside) => Err(self.damaged(format!("holds {outside}; expected 0 to {}", bound - 1))),
            None => Ok(found.iter().filter_map(place).collect()),
        }
    }
}

pub(super) fn each<const N: usize, T>(bytes: &[u8], read: impl Fn([u8; N]) -> T) -> Vec<T> {
    bytes.as_chunks::<N>().0.iter().map(|word| read(*word)).collect()
}

/// A number of IEEE's half precision.
pub(super) fn half(bits: u16) -> f32 {
    let sign = if bits & 0x8000 == 0 { 1.0 } else { -1.0 };
    let (exponent, fraction) = (i32::from(bits >> 10 & 0x1F), f32::from(bits & 0x3FF));
    sign * match exponent {
        0 => fraction * 2f32.powi(-24),
        31 if fraction == 0.0 => f32::INFINITY,
        31 => f32::NAN,
        _ => (1024.0 + fraction) * 2f32.powi(exponent - 25),
    }
}

/// 2^(byte − 127), of E8M0's numbers; 255 is none.
pub(super) fn power(byte: u8) -> f32 {
    match byte {
        0 => f32::from_bits(1 << 22),
        byte => f32::from_bits(u32::from(byte) << 23),
    }
}

/// The field `index` of `bits` bits in words that are filled from the lowest bit on, without gaps between them.
pub(super) fn field(word: impl Fn(usize) -> u32, bits: usize, index: usize) -> u32 {
    let (place, shift) = (index * bits / 32, index * bits % 32);
    let low = word(place) >> shift;
    let all = match shift + bits > 32 {
        true => low | word(place + 1) << (32 - shift),
        false => low,
    };
    all & ((1 << bits) - 1)
}

/// Words that `count` fields of `bits` bits fill.
pub(super) fn n_words(count: usize, bits: usize) -> usize {
    (count * bits).div_ceil(32)
}

/// A matrix from what fills a row, on as many threads as there are cores.
pub(super) fn by_row(rows: usize, columns: usize, fill: impl Fn(usize, &mut [f32]) + Sync) -> Vec<f32> {
    let mut numbers = vec![0.0; rows * columns];
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let per_thread = match rows * columns < 1 << 16 {
        true => rows,
        false => rows.div_ceil(cores),
    };
    let fill_all = |first: usize, chunk: &mut [f32]| {
        for (row, out) in chunk.chunks_mut(columns).enumerate() {
            fill(first + row, out);
        }
    };
    std::thread::scope(|scope| {
        for (index, chunk) in numbers.chunks_mut(per_thread * columns).enumerate() {
            let fill_all = &fill_all;
            match per_thread == rows {
                true => fill_all(0, chunk),
                false => drop(scope.spawn(move || fill_all(index * per_thread, chunk))),
            }
        }
    });
    numbers
}
