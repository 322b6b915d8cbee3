//! How tensors are stored: numbers, or blocks of few bits with scales of their own, and what numbers blocks become.
//!
//! The table has one row a type. `legacy` are the blocks of 32 with one scale, `k` the blocks of 256 with scales of
//! scales, `lookup` those whose few bits choose among sixteen numbers. The layouts are those of ggml's `ggml-common.h`;
//! the order of every multiplication is that of the Python package `gguf`, so the numbers are equal bit for bit.

mod k;
mod legacy;
mod lookup;

use safetensors::Dtype;
use tch::Kind;

/// A way to store numbers.
#[derive(Debug, PartialEq)]
pub(crate) struct BlockType {
    id: u32,
    pub(crate) name: &'static str,
    /// In a block.
    pub(crate) n_numbers: usize,
    /// Of a block.
    pub(crate) n_bytes: usize,
    pub(crate) content: Content,
}

/// Makes numbers of a block's bytes, as many as it has.
pub(crate) type Decode = fn(&[u8], &mut [f32]);

/// What the bytes of a block are.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Content {
    /// One number, as a tensor has it.
    Number(Dtype, Kind),
    /// What this makes numbers of.
    Blocks(Decode),
}

impl PartialEq for Content {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Number(one, _), Self::Number(other, _)) => one == other,
            (Self::Blocks(_), Self::Blocks(_)) => true,
            _ => false,
        }
    }
}

const fn number(id: u32, name: &'static str, n_bytes: usize, (dtype, kind): (Dtype, Kind)) -> BlockType {
    BlockType {
        id,
        name,
        n_numbers: 1,
        n_bytes,
        content: Content::Number(dtype, kind),
    }
}

const fn blocks(id: u32, name: &'static str, n_numbers: usize, n_bytes: usize, decode: Decode) -> BlockType {
    BlockType {
        id,
        name,
        n_numbers,
        n_bytes,
        content: Content::Blocks(decode),
    }
}

/// What is read here.
pub(crate) static TYPES: &[BlockType] = &[
    number(0, "F32", 4, (Dtype::F32, Kind::Float)),
    number(1, "F16", 2, (Dtype::F16, Kind::Half)),
    blocks(2, "Q4_0", 32, 18, legacy::q4_0),
    blocks(3, "Q4_1", 32, 20, legacy::q4_1),
    blocks(6, "Q5_0", 32, 22, legacy::q5_0),
    blocks(7, "Q5_1", 32, 24, legacy::q5_1),
    blocks(8, "Q8_0", 32, 34, legacy::q8_0),
    blocks(10, "Q2_K", 256, 84, k::q2),
    blocks(11, "Q3_K", 256, 110, k::q3),
    blocks(12, "Q4_K", 256, 144, k::q4),
    blocks(13, "Q5_K", 256, 176, k::q5),
    blocks(14, "Q6_K", 256, 210, k::q6),
    blocks(20, "IQ4_NL", 32, 18, lookup::iq4_nl),
    blocks(23, "IQ4_XS", 256, 136, lookup::iq4_xs),
    number(28, "F64", 8, (Dtype::F64, Kind::Double)),
    number(30, "BF16", 2, (Dtype::BF16, Kind::BFloat16)),
    blocks(39, "MXFP4", 32, 17, lookup::mxfp4),
];

/// Other types that there are, by name alone.
const OTHERS: &[(u32, &str)] = &[
    (9, "Q8_1"),
    (15, "Q8_K"),
    (16, "IQ2_XXS"),
    (17, "IQ2_XS"),
    (18, "IQ3_XXS"),
    (19, "IQ1_S"),
    (21, "IQ3_S"),
    (22, "IQ2_S"),
    (24, "I8"),
    (25, "I16"),
    (26, "I32"),
    (27, "I64"),
    (29, "IQ1_M"),
    (34, "TQ1_0"),
    (35, "TQ2_0"),
    (40, "NVFP4"),
    (41, "Q1_0"),
];

/// A type by the id that files have, or why there is none.
pub(super) fn find(id: u32) -> Result<&'static BlockType, String> {
    if let Some(block) = TYPES.iter().find(|block| block.id == id) {
        return Ok(block);
    }
    let names: Vec<&str> = TYPES.iter().map(|block| block.name).collect();
    let found = match OTHERS.iter().find(|(other, _)| *other == id) {
        Some((_, name)) => format!("is stored as {name}"),
        None => format!("is of the unknown type {id}"),
    };
    Err(format!("{found}; read here are {}", names.join(", ")))
}

/// Numbers that a thread is worth starting for.
const NUMBERS_PER_THREAD: usize = 1 << 20;

/// The numbers of half floats.
pub(crate) fn f16(bytes: &[u8], numbers: &mut [f32]) {
    for (number, bytes) in numbers.iter_mut().zip(bytes.chunks_exact(2)) {
        *number = half(bytes);
    }
}

/// The numbers of the upper halves of floats.
pub(crate) fn bf16(bytes: &[u8], numbers: &mut [f32]) {
    for (number, bytes) in numbers.iter_mut().zip(bytes.as_chunks::<2>().0) {
        *number = f32::from_bits(u32::from(u16::from_le_bytes(*bytes)) << 16);
    }
}

/// The numbers of whole blocks, on as many threads as there are cores.
pub(crate) fn decode(block: &BlockType, decode: Decode, bytes: &[u8]) -> Vec<f32> {
    let n_blocks = bytes.len() / block.n_bytes;
    let mut numbers = vec![0.0; n_blocks * block.n_numbers];
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = cores.min(numbers.len() / NUMBERS_PER_THREAD).max(1);
    let share = n_blocks.div_ceil(threads).max(1);
    std::thread::scope(|scope| {
        let parts = numbers.chunks_mut(share * block.n_numbers);
        for (numbers, bytes) in parts.zip(bytes.chunks(share * block.n_bytes)) {
            let mut work = move || {
                let blocks = bytes.chunks_exact(block.n_bytes);
                for (numbers, bytes) in numbers.chunks_exact_mut(block.n_numbers).zip(blocks) {
                    decode(bytes, numbers);
                }
            };
            match threads {
                1 => work(),
                _ => {
                    scope.spawn(work);
                }
            }
        }
    });
    numbers
}

/// A half float of two bytes.
fn half(bytes: &[u8]) -> f32 {
    let bits = u32::from(bytes[0]) | u32::from(bytes[1]) << 8;
    let (sign, exponent, fraction) = ((bits & 0x8000) << 16, bits >> 10 & 0x1F, bits & 0x3FF);
    match exponent {
        // Below the least normal one, in steps of 2^-24.
        0 => {
            let magnitude = fraction as f32 * f32::from_bits(0x3380_0000);
            f32::from_bits(sign | magnitude.to_bits())
        }
        0x1F => f32::from_bits(sign | 0x7F80_0000 | fraction << 13),
        _ => f32::from_bits(sign | (exponent + 112) << 23 | fraction << 13),
    }
}

#[cfg(test)]
mod tests;
