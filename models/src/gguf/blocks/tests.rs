use super::*;
use crate::gguf::fixture;
use safetensors::SafeTensors;

/// Against the Python package `gguf`: see `tests/reference/make_gguf.py`.
#[test]
fn blocks_become_the_numbers_of_the_python_package_bit_for_bit() {
    let stored = fixture("blocks.safetensors");
    let stored = SafeTensors::deserialize(&stored).expect("a fixture");
    let mut n_types = 0;
    for block in TYPES.iter().filter(|block| block.name != "F64") {
        let of = |what: &str| stored.tensor(&format!("{}.{what}", block.name)).expect("stored");
        let (bytes, expected) = (of("bytes"), of("numbers"));
        let found: Vec<u32> = match block.content {
            Content::Blocks(by) => decode(block, by, bytes.data())
                .into_iter()
                .map(f32::to_bits)
                .collect(),
            Content::Number(Dtype::F32, _) => words(bytes.data()),
            Content::Number(Dtype::F16, _) => bytes
                .data()
                .chunks_exact(2)
                .map(|bytes| half(bytes).to_bits())
                .collect(),
            Content::Number(..) => {
                let pairs = bytes.data().chunks_exact(2);
                pairs
                    .map(|bytes| u32::from_le_bytes([0, 0, bytes[0], bytes[1]]))
                    .collect()
            }
        };
        assert_eq!(bytes.shape()[1], block.n_bytes, "{}", block.name);
        assert_eq!(found, words(expected.data()), "{}", block.name);
        n_types += 1;
    }
    assert_eq!(n_types, 16);
}

fn words(bytes: &[u8]) -> Vec<u32> {
    let words = bytes.chunks_exact(4);
    words
        .map(|bytes| u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
        .collect()
}

#[test]
fn threads_share_blocks_without_losing_any() {
    let block = find(8).expect("Q8_0");
    let n_blocks = 3 * NUMBERS_PER_THREAD / block.n_numbers + 1;
    let bytes: Vec<u8> = (0..n_blocks)
        .flat_map(|index| [0, 0x3C].into_iter().chain([index as u8; 32]))
        .collect();
    let numbers = decode(block, legacy::q8_0, &bytes);
    assert_eq!(numbers.len(), 32 * n_blocks);
    let is_right = |(index, number): (usize, &f32)| *number == f32::from((index / 32) as u8 as i8);
    assert!(numbers.iter().enumerate().all(is_right));
}

#[test]
fn half_floats_at_the_ends_of_their_range() {
    let of = |bits: u16| half(&bits.to_le_bytes());
    assert_eq!((of(1), of(0x03FF)), (2f32.powi(-24), 1023.0 * 2f32.powi(-24)));
    assert_eq!((of(0x0400), of(0x7BFF)), (2f32.powi(-14), 65504.0));
    assert_eq!(of(0x8001), -2f32.powi(-24));
    assert_eq!((of(0x7C00), of(0xFC00)), (f32::INFINITY, f32::NEG_INFINITY));
    assert!(of(0x7E00).is_nan() && of(0x8000).is_sign_negative());
}

#[test]
fn types_that_are_not_read_are_named() {
    let error = find(16).expect_err("not read");
    assert!(
        error.starts_with("is stored as IQ2_XXS; read here are F32, F16, Q4_0, "),
        "{error}"
    );
    assert!(
        find(77)
            .expect_err("no type")
            .starts_with("is of the unknown type 77; ")
    );
}
