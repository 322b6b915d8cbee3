//! Blocks of 256 numbers in groups of 16 or 32, each with a scale of few bits that counts in the block's own.

use super::half;

/// Two bits of each number, a scale and a least number for each 16.
pub(super) fn q2(block: &[u8], numbers: &mut [f32]) {
    let (scales, bits) = (&block[..16], &block[16..80]);
    let (scale, least) = (half(&block[80..]), half(&block[82..]));
    for (index, number) in numbers.iter_mut().enumerate() {
        let group = scales[index / 16];
        let bits = two_bits(bits, index);
        *number = scale * f32::from(group & 0x0F) * f32::from(bits) - least * f32::from(group >> 4);
    }
}

/// Two bits of each number and a third apart, a scale for each 16.
pub(super) fn q3(block: &[u8], numbers: &mut [f32]) {
    let (high, bits, packed) = (&block[..32], &block[32..96], &block[96..108]);
    let scale = half(&block[108..]);
    for (index, number) in numbers.iter_mut().enumerate() {
        let group = index / 16;
        let low = packed[group % 8] >> (group / 8 * 4) & 0x0F;
        let top = packed[8 + group % 4] >> (group / 4 * 2) & 3;
        let group_scale = (low | top << 4) as i8 - 32;
        // The third bit says that nothing is taken away.
        let taken = (high[index % 32] >> (index / 32) & 1 ^ 1) << 2;
        let bits = two_bits(bits, index) as i8 - taken as i8;
        *number = scale * f32::from(group_scale) * f32::from(bits);
    }
}

/// Four bits of each number, a scale and a least number for each 32.
pub(super) fn q4(block: &[u8], numbers: &mut [f32]) {
    let groups = Groups::read(block);
    for (index, number) in numbers.iter_mut().enumerate() {
        let (scale, least) = groups.of(index);
        *number = scale * f32::from(four_bits(&block[16..], index, 32)) - least;
    }
}

/// As [`q4`], with a fifth bit apart.
pub(super) fn q5(block: &[u8], numbers: &mut [f32]) {
    let groups = Groups::read(block);
    let (high, low) = (&block[16..48], &block[48..]);
    for (index, number) in numbers.iter_mut().enumerate() {
        let (scale, least) = groups.of(index);
        let top = high[index % 32] >> (index / 32) & 1;
        *number = scale * f32::from(four_bits(low, index, 32) | top << 4) - least;
    }
}

/// Four bits of each number and two apart, a signed scale for each 16.
pub(super) fn q6(block: &[u8], numbers: &mut [f32]) {
    let (low, high, scales) = (&block[..128], &block[128..192], &block[192..208]);
    let scale = half(&block[208..]);
    for (index, number) in numbers.iter_mut().enumerate() {
        let bits = four_bits(low, index, 64) | two_bits(high, index) << 4;
        *number = scale * f32::from(scales[index / 16] as i8) * f32::from(bits as i8 - 32);
    }
}

/// 32 bytes have 128 numbers: the lowest bits the first 32 of them.
fn two_bits(bytes: &[u8], index: usize) -> u8 {
    bytes[index / 128 * 32 + index % 32] >> (index % 128 / 32 * 2) & 3
}

/// So many bytes have twice as many numbers: the low halves the first of them.
fn four_bits(bytes: &[u8], index: usize, run: usize) -> u8 {
    bytes[index / (2 * run) * run + index % run] >> (index / run % 2 * 4) & 0x0F
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

    fn of(&self, index: usize) -> (f32, f32) {
        self.0[index / 32]
    }
}
