//! GPTQ (2210.17323) as AutoGPTQ and GPTQModel store it.
//!
//! `qweight`, I32 `[in · bits / 32, out]`, has the integers of a column one after another; `qzeros`, I32
//! `[group, out · bits / 32]`, those of a row; `scales`, `[group, out]`; `g_idx`, I32 `[in]`, the group of each input,
//! which is not in order where the quantizer took inputs by activation. w = scale · (q − zero), `[in, out]`.

use safetensors::Dtype;

use super::Scheme;
use super::part::{Matrix, Module, by_row, field, n_words};
use crate::config::ConfigFile;
use crate::error::Result;

pub(super) const SCHEME: Scheme = Scheme {
    marker: ".qweight",
    others: &[".qzeros", ".scales", ".g_idx"],
    weight: ".weight",
    in_out: Some(true),
    read,
};

/// What is added to stored zeros. The first version of the format has them less 1.
fn offset(settings: &ConfigFile) -> Result<u32> {
    match settings.text_or("checkpoint_format", "gptq")? {
        "gptq" => Ok(1),
        "gptq_v2" => Ok(0),
        _ => Err(settings.refuse("checkpoint_format", "expected gptq or gptq_v2")),
    }
}

fn read<'a>(mut module: Module<'a>, settings: &ConfigFile) -> Result<Matrix<'a>> {
    let bits = settings.size("bits")?;
    if ![2, 3, 4, 8].contains(&bits) {
        return Err(settings.refuse("bits", "expected 2, 3, 4 or 8"));
    }
    let offset = offset(settings)?;
    let (integers, scales) = (module.take(".qweight")?, module.take(".scales")?);
    let (zeros, order) = (module.take(".qzeros")?, module.take_if_any(".g_idx"));
    integers.expect_dtype(&[Dtype::I32])?;
    zeros.expect_dtype(&[Dtype::I32])?;
    let (words, outputs) = integers.matrix()?;
    let (groups, _) = scales.matrix()?;
    scales.expect_shape(&[groups, outputs])?;
    zeros.expect_shape(&[groups, n_words(outputs, bits)])?;
    let inputs = match &order {
        Some(order) => order.count(),
        None => words * 32 / bits,
    };
    integers.expect_shape(&[n_words(inputs, bits), outputs])?;
    let group = match order {
        Some(order) => order.places(groups)?,
        None => {
            let size = settings
                .size_if_any("group_size")?
                .unwrap_or(inputs)
                .max(inputs.div_ceil(groups));
            (0..inputs).map(|input| input / size).collect()
        }
    };
    let row_of_zeros = n_words(outputs, bits);
    let numbers = move || {
        let scales = scales.numbers()?;
        let zero = |place: usize| {
            let (group, output) = (place / outputs, place % outputs);
            field(|word| zeros.word(group * row_of_zeros + word), bits, output) + offset
        };
        let zeros: Vec<f32> = (0..groups * outputs).map(|place| zero(place) as f32).collect();
        Ok(by_row(inputs, outputs, |input, row| {
            let first = group[input] * outputs;
            for (output, number) in row.iter_mut().enumerate() {
                let q = field(|word| integers.word(word * outputs + output), bits, input);
                *number = (q as f32 - zeros[first + output]) * scales[first + output];
            }
        }))
    };
    Ok(Matrix {
        shape: vec![inputs, outputs],
        numbers: Box::new(numbers),
    })
}
