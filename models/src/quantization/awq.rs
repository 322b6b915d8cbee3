//! AWQ (2306.00978) as AutoAWQ stores it for its `gemm` kernel.
//!
//! `qweight`, I32 `[in, out / 8]`, and `qzeros`, I32 `[group, out / 8]`, have eight integers of four bits in a word, in
//! the kernel's order; `scales`, `[group, out]`. w = scale · (q − zero), `[in, out]`.

use safetensors::Dtype;

use super::Scheme;
use super::part::{Matrix, Module, by_row};
use crate::config::ConfigFile;
use crate::error::Result;

pub(super) const SCHEME: Scheme = Scheme {
    marker: ".qweight",
    others: &[".qzeros", ".scales"],
    weight: ".weight",
    in_out: Some(true),
    read,
};

/// Where in its word each of eight neighbours is.
const PLACES: [usize; 8] = [0, 4, 1, 5, 2, 6, 3, 7];

fn read<'a>(mut module: Module<'a>, settings: &ConfigFile) -> Result<Matrix<'a>> {
    let bits = match settings.is_set("w_bit") {
        true => "w_bit",
        false => "bits",
    };
    if settings.size_or(bits, 4)? != 4 {
        return Err(settings.refuse(bits, "expected 4"));
    }
    let version = settings.text_or("version", "gemm")?;
    if !version.eq_ignore_ascii_case("gemm") {
        return Err(settings.refuse(
            "version",
            "expected gemm, the one layout of AWQ that is read here",
        ));
    }
    let (integers, scales) = (module.take(".qweight")?, module.take(".scales")?);
    let zeros = module.take(".qzeros")?;
    integers.expect_dtype(&[Dtype::I32])?;
    zeros.expect_dtype(&[Dtype::I32])?;
    let (inputs, words) = integers.matrix()?;
    let (groups, outputs) = (scales.matrix()?.0, 8 * words);
    scales.expect_shape(&[groups, outputs])?;
    zeros.expect_shape(&[groups, words])?;
    if groups > inputs || inputs % groups != 0 {
        return Err(scales.damaged(format!(
            "has {groups} groups, which do not divide the {inputs} inputs"
        )));
    }
    let per_group = inputs / groups;
    let numbers = move || {
        let scales = scales.numbers()?;
        Ok(by_row(inputs, outputs, |input, row| {
            let group = input / per_group;
            for (output, number) in row.iter_mut().enumerate() {
                let (word, shift) = (output / 8, 4 * PLACES[output % 8]);
                let q = integers.word(input * words + word) >> shift & 0xF;
                let zero = zeros.word(group * words + word) >> shift & 0xF;
                *number = (q as f32 - zero as f32) * scales[group * outputs + output];
            }
        }))
    };
    Ok(Matrix {
        shape: vec![inputs, outputs],
        numbers: Box::new(numbers),
    })
}
