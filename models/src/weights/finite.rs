//! Whether weights are numbers.
//!
//! The bytes are looked at as they stand in the file: tensors would be copied for it, piece by piece, and the pieces
//! leave holes in the heap that a large model's weights come close to filling.

use tch::Kind;

use crate::error::{Error, Result};

/// Bytes that are looked at together: within them nothing ends the loop, so that it is done many numbers at a time.
const BLOCK: usize = 1 << 13;

/// Refuses NaN and infinity in a weight's bytes, little-endian numbers of the given type.
pub(super) fn check_finite(file: &str, name: &str, bytes: &[u8], kind: Kind) -> Result<()> {
    match first_not_finite(bytes, kind) {
        None => Ok(()),
        Some(index) => Err(Error::WeightNotFinite {
            file: file.to_owned(),
            name: name.to_owned(),
            what: number(bytes, kind, index),
            index,
        }),
    }
}

fn first_not_finite(bytes: &[u8], kind: Kind) -> Option<usize> {
    // A number whose exponent has all bits set is none.
    match kind {
        Kind::BFloat16 => find(bytes, |word| u16::from_le_bytes(word) & 0x7F80 == 0x7F80),
        Kind::Half => find(bytes, |word| u16::from_le_bytes(word) & 0x7C00 == 0x7C00),
        Kind::Double => find(bytes, |word| {
            u64::from_le_bytes(word) & 0x7FF0_0000_0000_0000 == 0x7FF0_0000_0000_0000
        }),
        _ => find(bytes, |word| {
            u32::from_le_bytes(word) & 0x7F80_0000 == 0x7F80_0000
        }),
    }
}

/// The first word of `N` bytes for which something holds.
fn find<const N: usize>(bytes: &[u8], is: impl Fn([u8; N]) -> bool + Copy) -> Option<usize> {
    let (words, _) = bytes.as_chunks::<N>();
    let per_block = BLOCK / N;
    let block = words
        .chunks(per_block)
        .position(|block| block.iter().fold(false, |any, word| any | is(*word)))?;
    let start = block * per_block;
    let place = words[start..].iter().position(|word| is(*word))?;
    Some(start + place)
}

fn number(bytes: &[u8], kind: Kind, index: usize) -> f64 {
    let size = kind.elt_size_in_bytes();
    let word = &bytes[index * size..(index + 1) * size];
    let mut bits = [0; 8];
    bits[..size].copy_from_slice(word);
    let bits = u64::from_le_bytes(bits);
    match kind {
        Kind::Double => f64::from_bits(bits),
        Kind::BFloat16 => f64::from(f32::from_bits((bits as u32) << 16)),
        // Only NaN and the two infinities come here.
        Kind::Half if bits & 0x03FF != 0 => f64::NAN,
        Kind::Half if bits & 0x8000 != 0 => f64::NEG_INFINITY,
        Kind::Half => f64::INFINITY,
        _ => f64::from(f32::from_bits(bits as u32)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A weight of many numbers with one among them.
    fn with(kind: Kind, place: usize, bad: &[u8], good: &[u8]) -> Vec<u8> {
        let mut bytes = good.repeat(20_000);
        let size = kind.elt_size_in_bytes();
        bytes[place * size..(place + 1) * size].copy_from_slice(bad);
        bytes
    }

    #[test]
    fn the_first_that_is_no_number_is_found_wherever_it_is() {
        let f32s = |x: f32| x.to_le_bytes().to_vec();
        let largest: [(Kind, Vec<u8>); 4] = [
            (Kind::Float, f32s(f32::MAX)),
            (Kind::Double, f64::MIN.to_le_bytes().into()),
            (Kind::BFloat16, vec![0x7F, 0x7F]),
            (Kind::Half, vec![0xFF, 0x7B]),
        ];
        for (kind, good) in &largest {
            assert_eq!(first_not_finite(&good.repeat(20_000), *kind), None, "{kind:?}");
        }
        let bad: [(Kind, Vec<u8>, f64); 6] = [
            (Kind::Float, f32s(f32::NEG_INFINITY), f64::NEG_INFINITY),
            (Kind::Float, f32s(-f32::NAN), f64::NAN),
            (Kind::Double, f64::INFINITY.to_le_bytes().into(), f64::INFINITY),
            (Kind::BFloat16, vec![0x80, 0x7F], f64::INFINITY),
            (Kind::Half, vec![0x00, 0xFC], f64::NEG_INFINITY),
            (Kind::Half, vec![0x01, 0x7C], f64::NAN),
        ];
        for (kind, bytes, what) in bad {
            let (_, good) = largest.iter().find(|(of, _)| *of == kind).unwrap();
            for place in [0, 1, 4095, 4096, 9999, 19_999] {
                let bytes = with(kind, place, &bytes, good);
                assert_eq!(first_not_finite(&bytes, kind), Some(place), "{kind:?}");
                let found = number(&bytes, kind, place);
                assert!(
                    found == what || found.is_nan() && what.is_nan(),
                    "{kind:?}: {found}"
                );
                let error = check_finite("a.safetensors", "x", &bytes, kind).unwrap_err();
                let text = format!("a.safetensors: x holds {what} at flat index {place}");
                assert_eq!(error.to_string(), text);
            }
        }
        assert_eq!(first_not_finite(&[], Kind::Float), None);
    }
}
