//! Blocks of 32 numbers with one scale, some with a least number besides. The first sixteen numbers have the low
//! halves of the bytes, the others the high halves.

use super::half;

/// The fifth bit of 32 numbers, in the place of 16.
fn high_bit(bits: u32, index: usize) -> u8 {
    ((bits >> index & 1) << 4) as u8
}

fn word(bytes: &[u8]) -> u32 {
    u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

/// Calls with the index and the lower four bits of each of 32 numbers.
fn nibbles(bytes: &[u8], mut put: impl FnMut(usize, u8)) {
    for (index, byte) in bytes[..16].iter().enumerate() {
        put(index, byte & 0x0F);
        put(index + 16, byte >> 4);
    }
}

pub(super) fn q4_0(block: &[u8], numbers: &mut [f32]) {
    let scale = half(block);
    nibbles(&block[2..], |index, bits| {
        numbers[index] = scale * f32::from(bits as i8 - 8);
    });
}

pub(super) fn q4_1(block: &[u8], numbers: &mut [f32]) {
    let (scale, least) = (half(block), half(&block[2..]));
    nibbles(&block[4..], |index, bits| {
        numbers[index] = scale * f32::from(bits) + least;
    });
}

pub(super) fn q5_0(block: &[u8], numbers: &mut [f32]) {
    let (scale, high) = (half(block), word(&block[2..]));
    nibbles(&block[6..], |index, bits| {
        numbers[index] = scale * f32::from((bits | high_bit(high, index)) as i8 - 16);
    });
}

pub(super) fn q5_1(block: &[u8], numbers: &mut [f32]) {
    let (scale, least, high) = (half(block), half(&block[2..]), word(&block[4..]));
    nibbles(&block[8..], |index, bits| {
        numbers[index] = scale * f32::from(bits | high_bit(high, index)) + least;
    });
}

pub(super) fn q8_0(block: &[u8], numbers: &mut [f32]) {
    let scale = half(block);
    for (number, &byte) in numbers.iter_mut().zip(&block[2..]) {
        *number = f32::from(byte as i8) * scale;
    }
}
