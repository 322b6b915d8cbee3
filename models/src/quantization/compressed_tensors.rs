//! compressed-tensors, as llm-compressor writes it.
//!
//! Packed: `weight_packed`, I32 `[out, ⌈in · bits / 32⌉]`, integers of 1 to 8 bits plus half their range;
//! `weight_shape`; `weight_scale`, `[out, group]`; `weight_zero_point`, packed down the rows, and `weight_g_idx`, the
//! group of each input, where there are any. Otherwise `weight` is I8 or a float of eight bits, with `weight_scale` and
//! `weight_zero_point` for the matrix, its rows, groups of a row, or blocks. w = scale · (q − zero), `[out, in]`.

use safetensors::Dtype;

use super::Scheme;
use super::fp8::{floats, scaled};
use super::part::{Matrix, Module, Part, by_row, field, n_words};
use crate::config::ConfigFile;
use crate::error::Result;

pub(super) const PACKED: Scheme = Scheme {
    marker: ".weight_packed",
    others: &[
        ".weight_scale",
        ".weight_shape",
        ".weight_zero_point",
        ".weight_g_idx",
    ],
    weight: ".weight",
    in_out: Some(false),
    read: read_packed,
};

pub(super) const PLAIN: Scheme = Scheme {
    marker: ".weight_scale",
    others: &[".weight", ".weight_zero_point"],
    weight: ".weight",
    in_out: Some(false),
    read: read_plain,
};

/// How `config_groups` says that weights are quantized.
fn groups(settings: &ConfigFile) -> Result<Vec<ConfigFile>> {
    let groups = settings.section("config_groups")?;
    let groups = groups.map_or(Ok(vec![]), |groups| groups.sections())?;
    groups
        .iter()
        .filter_map(|group| group.section("weights").transpose())
        .collect()
}

/// Layouts besides those that are read here.
fn check_format(settings: &ConfigFile) -> Result<()> {
    const READ: [&str; 6] = [
        "pack-quantized",
        "int-quantized",
        "float-quantized",
        "naive-quantized",
        "mixed-precision",
        "dense",
    ];
    match settings.text_or("format", "dense")? {
        format if READ.contains(&format) => Ok(()),
        _ => Err(settings.refuse("format", &format!("expected one of {}", READ.join(", ")))),
    }
}

fn read_packed<'a>(mut module: Module<'a>, settings: &ConfigFile) -> Result<Matrix<'a>> {
    check_format(settings)?;
    let (integers, scale) = (module.take(".weight_packed")?, module.take(".weight_scale")?);
    let (shape, zeros) = (
        module.take(".weight_shape")?,
        module.take_if_any(".weight_zero_point"),
    );
    integers.expect_dtype(&[Dtype::I32])?;
    shape.expect_dtype(&[Dtype::I64, Dtype::I32])?;
    let (rows, words) = integers.matrix()?;
    // 32 bits hold 32 numbers at most.
    let shape = shape.places(32 * words.max(rows) + 1)?;
    let columns = match shape[..] {
        [found, columns] if found == rows && columns > 0 => columns,
        _ => return Err(integers.damaged(format!("has {rows} rows, but its weight_shape is {shape:?}"))),
    };
    let bits = bits(&integers, (columns, words), settings)?;
    let (_, groups) = scale.matrix()?;
    scale.expect_shape(&[rows, groups])?;
    let group: Vec<usize> = match module.take_if_any(".weight_g_idx") {
        Some(order) => {
            order.expect_shape(&[columns])?;
            order.places(groups)?
        }
        None if groups > columns || columns % groups != 0 => {
            return Err(scale.damaged(format!(
                "has {groups} groups, which do not divide the {columns} inputs"
            )));
        }
        None => (0..columns).map(|column| column / (columns / groups)).collect(),
    };
    let half = 1 << (bits - 1);
    let numbers = move || {
        let scales = scale.numbers()?;
        let zeros = zeros
            .as_ref()
            .map(|zeros| unpacked_zeros(zeros, (rows, groups), bits));
        let zeros = zeros.transpose()?;
        Ok(by_row(rows, columns, |row, out| {
            for (column, number) in out.iter_mut().enumerate() {
                let place = row * groups + group[column];
                let q = field(|word| integers.word(row * words + word), bits, column) as i32 - half;
                let zero = zeros.as_ref().map_or(0, |zeros| zeros[place]);
                *number = (q - zero) as f32 * scales[place];
            }
        }))
    };
    Ok(Matrix {
        shape: vec![rows, columns],
        numbers: Box::new(numbers),
    })
}

/// The number of bits, of those that config.json names, which fits the words of a row.
fn bits(integers: &Part, (columns, words): (usize, usize), settings: &ConfigFile) -> Result<usize> {
    let mut named = Vec::new();
    for weights in groups(settings)? {
        let bits = weights.size("num_bits")?;
        if bits > 8 {
            return Err(weights.refuse("num_bits", "expected 1 to 8"));
        }
        named.push(bits);
    }
    let mut fitting = named.iter().filter(|&&bits| n_words(columns, bits) == words);
    fitting.next().copied().ok_or_else(|| {
        integers.damaged(format!(
            "has {words} words for {columns} numbers, which config_groups' num_bits {named:?} do not fill"
        ))
    })
}

/// Zeros of `[row, group]`, packed down the rows.
fn unpacked_zeros(zeros: &Part, (rows, groups): (usize, usize), bits: usize) -> Result<Vec<i32>> {
    zeros.expect_dtype(&[Dtype::I32])?;
    zeros.expect_shape(&[n_words(rows, bits), groups])?;
    let half = 1 << (bits - 1);
    let zero = |place: usize| {
        let (row, group) = (place / groups, place % groups);
        field(|word| zeros.word(word * groups + group), bits, row) as i32 - half
    };
    Ok((0..rows * groups).map(zero).collect())
}

fn read_plain<'a>(mut module: Module<'a>, settings: &ConfigFile) -> Result<Matrix<'a>> {
    check_format(settings)?;
    let (weight, scale) = (module.take(".weight")?, module.take(".weight_scale")?);
    let decode = match weight.dtype {
        Dtype::I8 => std::array::from_fn(|byte| f32::from(byte as u8 as i8)),
        _ => floats(&weight)?,
    };
    let zeros = match module.take_if_any(".weight_zero_point") {
        Some(zeros) if zeros.dtype == Dtype::I8 => {
            zeros.expect_shape(&scale.shape)?;
            Some(zeros)
        }
        // Floats have none; some files say so.
        Some(zeros) if weight.dtype != Dtype::I8 && zeros.bytes.iter().all(|byte| *byte == 0) => None,
        Some(zeros) => return Err(zeros.damaged(format!("is stored as {:?}; expected I8", zeros.dtype))),
        None => None,
    };
    let block = groups(settings)?.iter().find_map(block);
    scaled(weight, decode, zeros, scale, block)
}

/// Rows and columns of a block: `[128, 128]`, or `"128x128"` in older files.
fn block(weights: &ConfigFile) -> Option<(usize, usize)> {
    if let Ok(numbers) = weights.numbers("block_structure") {
        return match numbers[..] {
            [rows, columns] if rows >= 1.0 && columns >= 1.0 => Some((rows as usize, columns as usize)),
            _ => None,
        };
    }
    let (rows, columns) = weights.text("block_structure").ok()?.split_once('x')?;
    let sizes = (rows.parse().ok()?, columns.parse().ok()?);
    (sizes.0 > 0 && sizes.1 > 0).then_some(sizes)
}
