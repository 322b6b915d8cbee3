//! Blocks of 256 numbers in groups of 16 or 32, each with a scale of few bits that counts in the block's own.

use super::half;

// Group by group, each with its scales at hand, so that the loops within are done many numbers at a time.

/// Two bits of each number, a scale and a least number for each 16.
pub(super) fn q2(block: &[u8], numbers: &mut [f32]) {
    let (scales, bits) = (&block[..16], &block[16..80]);
    let (scale, least) = (half(&block[80..]), half(&block[82..]));
    for (group, numbers) in numbers.chunks_exact_mut(16).enumerate() {
        let (bytes, shift) = two_bits(bits, group);
        let packed = scales[group];
        let (scale, least) = (scale * f32::from(packed & 0x0F), least * f32::from(packed >> 4));
        for (number, byte) in numbers.iter_mut().zip(bytes) {
            *number = scale * f32::from(byte >> shift & 3) - least;
        }
    }
}

/// Two bits of each number and a third apart, a scale for each 16.
pub(super) fn q3(block: &[u8], numbers: &mut [f32]) {
    let (high, bits, packed) = (&block[..32], &block[32..96], &block[96..108]);
    let scale = half(&block[108..]);
    for (group, numbers) in numbers.chunks_exact_mut(16).enumerate() {
        let low = packed[group % 8] >> (group / 8 * 4) & 0x0F;
        let top = packed[8 + group % 4] >> (group / 4 * 2) & 3;
        let scale = scale * f32::from((low | top << 4) as i8 - 32);
        let (bytes, shift) = two_bits(bits, group);
        let high = &high[group % 2 * 16..];
        for ((number, byte), high) in numbers.iter_mut().zip(bytes).zip(high) {
            // The third bit says that nothing is taken away.
            let taken = (high >> (group / 2) & 1 ^ 1) << 2;
            *number = scale * f32::from((byte >> shift & 3) as i8 - taken as i8);
        }
    }
}

/// Four bits of each number, a scale and a least number for each 32.
pub(super) fn q4(block: &[u8], numbers: &mut [f32]) {
    let groups = Groups::read(block);
    for (group, numbers) in numbers.chunks_exact_mut(32).enumerate() {
        let (scale, least) = groups.0[group];
        let (bytes, shift) = (&block[16 + group / 2 * 32..], group % 2 * 4);
        for (number, byte) in numbers.iter_mut().zip(bytes) {
            *number = scale * f32::from(byte >> shift & 0x0F) - least;
        }
    }
}

/// As [`q4`], with a fifth bit apart.
pub(super) fn q5(block: &[u8], numbers: &mut [f32]) {
    let groups = Groups::read(block);
    let (high, low) = (&block[16..48], &block[48..]);
    for (group, numbers) in numbers.chunks_exact_mut(32).enumerate() {
        let (scale, least) = groups.0[group];
        let (bytes, shift) = (&low[group / 2 * 32..], group % 2 * 4);
        for ((number, byte), high) in numbers.iter_mut().zip(bytes).zip(high) {
            let bits = byte >> shift & 0x0F | (high >> group & 1) << 4;
            *number = scale * f32::from(bits) - least;
        }
    }
}

/// Four bits of each number and two apart, a signed scale for each 16.
pub(super) fn q6(block: &[u8], numbers: &mut [f32]) {
    let (low, high, scales) = (&block[..128], &block[128..192], &block[192..208]);
    let scale = half(&block[208..]);
    for (group, numbers) in numbers.chunks_exact_mut(16).enumerate() {
        let scale = scale * f32::from(scales[group] as i8);
        // 64 bytes have 128 numbers: the low halves the first of them.
        let (bytes, shift) = (&low[group / 8 * 64 + group % 4 * 16..], group / 4 % 2 * 4);
        let (high, high_shift) = two_bits(high, group);
        for ((number, byte), high) in numbers.iter_mut().zip(bytes).zip(high) {
            let bits = byte >> shift & 0x0F | (high >> high_shift & 3) << 4;
            *number = scale * f32::from(bits as i8 - 32);
        }
    }
}

/// The bytes that have two bits of each of a group's 16 numbers, and by how much these are shifted: 32 bytes have 128
/// numbers, the lowest bits the first 32 of them.
fn two_bits(bytes: &[u8], group: usize) -> (&[u8], usize) {
    (&bytes[group / 8 * 32 + group % 2 * 16..], group / 2 % 4 * 2)
}

/// The scale and the least number of each of eight groups.
struct Groups([(f32, f32); 8]);

impl Groups {
    /// Six bits each, packed in twelve bytes behind the two that they count in.
    fn read(block: &[u8]) -> Self {
        let (scale, least) = (half(block), half(&block[2..]));
        let packed = &block[4..16];
        let group = |group: usize| {
            let (scales, leasts) = match group {
                0..4 => (packed[group] & 0x3F, packed[group + 4] & 0x3F),
                _ => {
                    let (low, tops) = (packed[group + 4], (packed[group - 4], packed[group]));
                    (low & 0x0F | tops.0 >> 2 & 0x30, low >> 4 | tops.1 >> 2 & 0x30)
                }
            };
            (scale * f32::from(scales), least * f32::from(leasts))
        };
        Self(std::array::from_fn(group))
    }
}
