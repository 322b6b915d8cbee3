//! MXFP4 (OCP Microscaling Formats 1.0), as gpt-oss stores its experts.
//!
//! `…_blocks`, U8 `[expert, out, block, 16]`, has the 32 numbers of a block, the lower half of a byte first;
//! `…_scales`, U8 `[expert, out, block]`, the exponent of their scale plus 127. `[expert, in, out]`, as transformers
//! has them.

use safetensors::Dtype;

use super::Scheme;
use super::part::{Matrix, Module, by_row, power};
use crate::config::ConfigFile;
use crate::error::Result;

pub(super) const SCHEME: Scheme = Scheme {
    marker: "_blocks",
    others: &["_scales"],
    weight: "",
    in_out: None,
    read,
};

/// E2M1: sign, two bits of exponent, one of fraction.
const NUMBERS: [f32; 16] = [
    0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, -0.0, -0.5, -1.0, -1.5, -2.0, -3.0, -4.0, -6.0,
];

fn read<'a>(mut module: Module<'a>, _: &ConfigFile) -> Result<Matrix<'a>> {
    let (blocks, scales) = (module.take("_blocks")?, module.take("_scales")?);
    blocks.expect_dtype(&[Dtype::U8])?;
    scales.expect_dtype(&[Dtype::U8])?;
    let [experts, outputs, n_blocks, 16] = blocks.shape[..] else {
        let shape = &blocks.shape;
        return Err(blocks.damaged(format!("has shape {shape:?}; expected expert, out, block and 16")));
    };
    scales.expect_shape(&[experts, outputs, n_blocks])?;
    let inputs = 32 * n_blocks;
    let numbers = move || {
        // A row is an input of an expert.
        Ok(by_row(experts * inputs, outputs, |row, out| {
            let (expert, input) = (row / inputs, row % inputs);
            for (output, number) in out.iter_mut().enumerate() {
                let block = (expert * outputs + output) * n_blocks + input / 32;
                let byte = blocks.bytes[block * 16 + input % 32 / 2];
                let code = if input % 2 == 0 { byte & 0xF } else { byte >> 4 };
                *number = NUMBERS[usize::from(code)] * power(scales.bytes[block]);
            }
        }))
    };
    Ok(Matrix {
        shape: vec![experts, inputs, outputs],
        numbers: Box::new(numbers),
    })
}
