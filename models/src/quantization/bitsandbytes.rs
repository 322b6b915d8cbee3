//! bitsandbytes: int8 with a scale for each row (2208.07339), and four bits with a scale for each block (2305.14314).
//!
//! Int8: `weight`, I8 `[out, in]`; `SCB`, F32 `[out]`, the largest magnitude of each row. w = q · SCB / 127.
//! Four bits: `weight`, U8, two numbers a byte, the upper half first; `quant_map`, F32 `[16]`, what the codes are;
//! `absmax`, a scale for each block of numbers, F32, or U8 where the scales are quantized themselves, by
//! `nested_quant_map` and `nested_absmax` and less their mean; `quant_state`, a JSON document of sizes.

use safetensors::Dtype;

use super::Scheme;
use super::part::{Matrix, Module, Part, by_row};
use crate::config::ConfigFile;
use crate::error::Result;

pub(super) const INT8: Scheme = Scheme {
    marker: ".SCB",
    others: &[".weight", ".weight_format"],
    weight: ".weight",
    in_out: Some(false),
    read: read_int8,
};

pub(super) const NF4: Scheme = Scheme {
    marker: NF4_STATE,
    others: OF_FOUR_BITS,
    weight: ".weight",
    in_out: Some(false),
    read: |module, _| read_four_bits(module, NF4_STATE),
};

pub(super) const FP4: Scheme = Scheme {
    marker: FP4_STATE,
    others: OF_FOUR_BITS,
    weight: ".weight",
    in_out: Some(false),
    read: |module, _| read_four_bits(module, FP4_STATE),
};

const NF4_STATE: &str = ".weight.quant_state.bitsandbytes__nf4";
const FP4_STATE: &str = ".weight.quant_state.bitsandbytes__fp4";
const OF_FOUR_BITS: &[&str] = &[
    ".weight",
    ".weight.absmax",
    ".weight.quant_map",
    ".weight.nested_absmax",
    ".weight.nested_quant_map",
];

fn read_int8<'a>(mut module: Module<'a>, _: &ConfigFile) -> Result<Matrix<'a>> {
    let (weight, scale) = (module.take(".weight")?, module.take(".SCB")?);
    weight.expect_dtype(&[Dtype::I8])?;
    scale.expect_dtype(&[Dtype::F32])?;
    if let Some(format) = module.take_if_any(".weight_format")
        && format.bytes.first() != Some(&0)
    {
        return Err(format.damaged(format!("is {:?}; expected 0, row by row", format.bytes)));
    }
    let (rows, columns) = weight.matrix()?;
    scale.expect_shape(&[rows])?;
    let scales = scale.numbers()?;
    let numbers = move || {
        Ok(by_row(rows, columns, |row, out| {
            let bytes = &weight.bytes[row * columns..(row + 1) * columns];
            for (number, byte) in out.iter_mut().zip(bytes) {
                // Its order of rounding, and its constant for 1/127.
                *number = f32::from(*byte as i8) * scales[row] * 7.874_016e-3;
            }
        }))
    };
    Ok(Matrix {
        shape: vec![rows, columns],
        numbers: Box::new(numbers),
    })
}

/// What `quant_state` says.
#[derive(serde::Deserialize)]
struct State {
    shape: Vec<usize>,
    blocksize: usize,
    #[serde(default)]
    nested_blocksize: usize,
    #[serde(default)]
    nested_offset: f32,
}

fn state(part: &Part) -> Result<State> {
    part.expect_dtype(&[Dtype::U8])?;
    let state: State = serde_json::from_slice(part.bytes).map_err(|error| part.damaged(error))?;
    match (&state.shape[..], state.blocksize) {
        ([rows, columns], 1..) if *rows > 0 && *columns > 0 => Ok(state),
        (shape, size) => Err(part.damaged(format!("says shape {shape:?} and blocks of {size}"))),
    }
}

fn read_four_bits<'a>(mut module: Module<'a>, marker: &str) -> Result<Matrix<'a>> {
    let state_part = module.take(marker)?;
    let state = state(&state_part)?;
    let (rows, columns) = (state.shape[0], state.shape[1]);
    let weight = module.take(".weight")?;
    // Whatever type its bytes are said to be of: some are kept as floats for the sake of sharding.
    let count = rows.checked_mul(columns);
    if count.map(|count| count.div_ceil(2)) != Some(weight.bytes.len()) {
        return Err(weight.damaged(format!(
            "has {} bytes, but its quant_state says shape {:?}",
            weight.bytes.len(),
            state.shape
        )));
    }
    let codes = module.take(".weight.quant_map")?;
    codes.expect_shape(&[16])?;
    let codes = codes.numbers()?;
    let scales = Scales::of(&mut module, &state, rows * columns)?;
    let numbers = move || {
        let scales = scales.numbers(&state)?;
        Ok(by_row(rows, columns, |row, out| {
            for (column, number) in out.iter_mut().enumerate() {
                let place = row * columns + column;
                let byte = weight.bytes[place / 2];
                let code = if place % 2 == 0 { byte >> 4 } else { byte & 0xF };
                *number = codes[usize::from(code)] * scales[place / state.blocksize];
            }
        }))
    };
    Ok(Matrix {
        shape: vec![rows, columns],
        numbers: Box::new(numbers),
    })
}

/// The scale of each block: numbers, or codes with what they stand for and a scale for each block of them.
struct Scales<'a> {
    blocks: Part<'a>,
    nested: Option<(Part<'a>, Part<'a>)>,
}

impl<'a> Scales<'a> {
    /// Those of `count` numbers.
    fn of(module: &mut Module<'a>, state: &State, count: usize) -> Result<Self> {
        let blocks = module.take(".weight.absmax")?;
        blocks.expect_shape(&[count.div_ceil(state.blocksize)])?;
        blocks.expect_dtype(&[Dtype::F32, Dtype::U8])?;
        if blocks.dtype == Dtype::F32 {
            return Ok(Self { blocks, nested: None });
        }
        let codes = module.take(".weight.nested_quant_map")?;
        codes.expect_shape(&[256])?;
        let outer = module.take(".weight.nested_absmax")?;
        if state.nested_blocksize == 0 {
            return Err(blocks.damaged("is quantized, but its quant_state says no nested_blocksize"));
        }
        outer.expect_shape(&[blocks.count().div_ceil(state.nested_blocksize)])?;
        let nested = Some((codes, outer));
        Ok(Self { blocks, nested })
    }

    fn numbers(&self, state: &State) -> Result<Vec<f32>> {
        let Some((codes, outer)) = &self.nested else {
            return self.blocks.numbers();
        };
        let (codes, outer) = (codes.numbers()?, outer.numbers()?);
        let scale = |(block, byte): (usize, &u8)| {
            codes[usize::from(*byte)] * outer[block / state.nested_blocksize] + state.nested_offset
        };
        Ok(self.blocks.bytes.iter().enumerate().map(scale).collect())
    }
}
