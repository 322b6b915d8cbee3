//! Blocks whose four bits choose among sixteen numbers.

use super::half;

/// Denser near 0, as weights are.
const UNEVEN: [i8; 16] = [
    -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113,
];

/// Twice the numbers of a float of four bits, two of them exponent (OCP Microscaling Formats 1.0).
const E2M1: [i8; 16] = [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12];

/// 32 numbers of sixteen bytes: the low halves the first of them.
fn choose(table: &[i8; 16], scale: f32, bytes: &[u8], numbers: &mut [f32]) {
    for (index, byte) in bytes[..16].iter().enumerate() {
        numbers[index] = scale * f32::from(table[usize::from(byte & 0x0F)]);
        numbers[index + 16] = scale * f32::from(table[usize::from(byte >> 4)]);
    }
}

pub(super) fn iq4_nl(block: &[u8], numbers: &mut [f32]) {
    choose(&UNEVEN, half(block), &block[2..], numbers);
}

/// 256 numbers, a scale of six bits for each 32.
pub(super) fn iq4_xs(block: &[u8], numbers: &mut [f32]) {
    let scale = half(block);
    let high = u16::from_le_bytes([block[2], block[3]]);
    for (group, numbers) in numbers.chunks_exact_mut(32).enumerate() {
        let low = block[4 + group / 2] >> (group % 2 * 4) & 0x0F;
        let top = (high >> (2 * group) & 3) as u8;
        let group_scale = scale * f32::from((low | top << 4) as i8 - 32);
        choose(&UNEVEN, group_scale, &block[8 + 16 * group..], numbers);
    }
}

/// A power of two for each 32.
pub(super) fn mxfp4(block: &[u8], numbers: &mut [f32]) {
    choose(&E2M1, half_power(block[0]), &block[1..], numbers);
}

/// Half of 2^(exponent − 127): the table has the numbers twice as large.
fn half_power(exponent: u8) -> f32 {
    f32::from_bits(match exponent {
        0 | 1 => 0x0020_0000 << exponent,
        _ => u32::from(exponent - 1) << 23,
    })
}
