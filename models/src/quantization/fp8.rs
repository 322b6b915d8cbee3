//! Floats of eight bits (2209.05433) with a scale for the whole matrix, for each row, or for each block.
//!
//! `weight`, F8_E4M3 or F8_E5M2 `[out, in]`; `weight_scale_inv` (DeepSeek's name) or `weight_scale`: one number,
//! `[out]`, `[out, 1]`, or one for each block, `[⌈out / rows⌉, ⌈in / columns⌉]`. w = scale · q.

use safetensors::Dtype;

use super::Scheme;
use super::part::{Matrix, Module, Part, by_row, each};
use crate::config::ConfigFile;
use crate::error::Result;

pub(super) const INVERSE: Scheme = Scheme {
    marker: ".weight_scale_inv",
    others: &[".weight"],
    weight: ".weight",
    in_out: Some(false),
    read: |module, settings| read(module, ".weight_scale_inv", settings),
};

pub(super) const SCALED: Scheme = Scheme {
    marker: ".weight_scale",
    others: &[".weight"],
    weight: ".weight",
    in_out: Some(false),
    read: |module, settings| read(module, ".weight_scale", settings),
};

fn read<'a>(mut module: Module<'a>, scale: &str, settings: &ConfigFile) -> Result<Matrix<'a>> {
    let (weight, scale) = (module.take(".weight")?, module.take(scale)?);
    let block = match settings.list("weight_block_size")? {
        Some(_) => match settings.numbers("weight_block_size")?[..] {
            [rows, columns] if rows >= 1.0 && columns >= 1.0 => Some((rows as usize, columns as usize)),
            _ => return Err(settings.refuse("weight_block_size", "expected rows and columns of a block")),
        },
        None => None,
    };
    let decode = floats(&weight)?;
    scaled(weight, decode, None, scale, block)
}

/// What a byte of floats of eight bits is.
pub(super) fn floats(weight: &Part) -> Result<[f32; 256]> {
    weight.expect_dtype(&[Dtype::F8_E4M3, Dtype::F8_E5M2])?;
    let decode = if weight.dtype == Dtype::F8_E4M3 {
        e4m3
    } else {
        e5m2
    };
    Ok(std::array::from_fn(|byte| decode(byte as u8)))
}

/// A matrix of bytes that stand for numbers, each less the zero and times the scale of its block. `zeros`, I8, are as
/// many as the scales.
pub(super) fn scaled<'a>(
    weight: Part<'a>,
    decode: [f32; 256],
    zeros: Option<Part<'a>>,
    scale: Part<'a>,
    block: Option<(usize, usize)>,
) -> Result<Matrix<'a>> {
    let (rows, columns) = weight.matrix()?;
    let grid = Grid::of(&scale, (rows, columns), block)?;
    let numbers = move || {
        let scales = scale.scales()?;
        let zeros = zeros
            .as_ref()
            .map(|zeros| each(zeros.bytes, |[byte]| f32::from(byte as i8)));
        Ok(by_row(rows, columns, |row, out| {
            let bytes = &weight.bytes[row * columns..(row + 1) * columns];
            for (column, (number, byte)) in out.iter_mut().zip(bytes).enumerate() {
                let place = grid.place(row, column);
                let zero = zeros.as_ref().map_or(0.0, |zeros| zeros[place]);
                *number = (decode[usize::from(*byte)] - zero) * scales[place];
            }
        }))
    };
    Ok(Matrix {
        shape: vec![rows, columns],
        numbers: Box::new(numbers),
    })
}

/// Which scale each number has.
#[derive(Clone, Copy)]
pub(super) struct Grid {
    /// Rows and columns of a block.
    block: (usize, usize),
    /// Scales in a row.
    width: usize,
}

impl Grid {
    pub(super) fn of(
        scale: &Part,
        (rows, columns): (usize, usize),
        block: Option<(usize, usize)>,
    ) -> Result<Self> {
        let (down, across) = match scale.shape[..] {
            _ if scale.count() == 1 => (1, 1),
            [down] => (down, 1),
            [down, across] => (down, across),
            _ => (0, 0),
        };
        let counts = |(of_rows, of_columns): (usize, usize)| {
            (rows.div_ceil(of_rows), columns.div_ceil(of_columns)) == (down, across)
        };
        let even = || {
            let divides = down > 0 && across > 0 && rows % down == 0 && columns % across == 0;
            divides.then(|| (rows / down, columns / across))
        };
        let block = block.filter(|block| counts(*block)).or_else(even);
        let block = block.ok_or_else(|| {
            scale.damaged(format!(
                "has shape {:?}, which does not divide a weight of shape {:?}",
                scale.shape,
                [rows, columns]
            ))
        })?;
        Ok(Self { block, width: across })
    }

    fn place(self, row: usize, column: usize) -> usize {
        row / self.block.0 * self.width + column / self.block.1
    }
}

/// Sign, four bits of exponent, three of fraction; no infinity, and NaN where all but the sign are set.
pub(super) fn e4m3(byte: u8) -> f32 {
    match byte & 0x7F {
        0x7F => f32::NAN,
        _ => small(byte, 3, 7),
    }
}

/// Sign, five bits of exponent, two of fraction, as IEEE's half floats have them.
pub(super) fn e5m2(byte: u8) -> f32 {
    let sign = if byte & 0x80 == 0 { 1.0 } else { -1.0 };
    match byte & 0x7F {
        0x7C => sign * f32::INFINITY,
        0x7D.. => f32::NAN,
        _ => small(byte, 2, 15),
    }
}

fn small(byte: u8, fraction_bits: u32, bias: i32) -> f32 {
    let sign = if byte & 0x80 == 0 { 1.0 } else { -1.0 };
    let whole = f32::from(1u8 << fraction_bits);
    let fraction = f32::from(byte & ((1 << fraction_bits) - 1));
    let exponent = i32::from((byte & 0x7F) >> fraction_bits);
    sign * match exponent {
        0 => fraction / whole * 2f32.powi(1 - bias),
        _ => (1.0 + fraction / whole) * 2f32.powi(exponent - bias),
    }
}
