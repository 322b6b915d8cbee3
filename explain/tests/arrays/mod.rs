//! What `tests/reference/make_factors.py` stored, and arrays to try things on.
#![allow(dead_code)]

use std::path::Path;

use ndarray::{Array2, ArrayView2};
use safetensors::SafeTensors;

pub(crate) struct Fixtures {
    tensors: Vec<u8>,
    pub facts: serde_json::Value,
}

impl Fixtures {
    pub(crate) fn read() -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures");
        Self {
            tensors: std::fs::read(folder.join("factors.safetensors")).unwrap(),
            facts: serde_json::from_slice(&std::fs::read(folder.join("factors.json")).unwrap()).unwrap(),
        }
    }

    /// A matrix; of a vector one row.
    pub(crate) fn matrix(&self, name: &str) -> Array2<f64> {
        let tensors = SafeTensors::deserialize(&self.tensors).unwrap();
        let tensor = tensors.tensor(name).unwrap();
        let bytes = tensor.data().as_chunks::<8>().0;
        let values = bytes.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect();
        let (rows, columns) = match tensor.shape() {
            [rows, columns] => (*rows, *columns),
            [columns] => (1, *columns),
            shape => panic!("{name}: {shape:?}"),
        };
        Array2::from_shape_vec((rows, columns), values).unwrap()
    }

    pub(crate) fn single(&self, name: &str) -> Array2<f32> {
        self.matrix(name).mapv(|value| value as f32)
    }
}

/// Normal numbers that depend on the seed alone.
pub(crate) fn normal(shape: (usize, usize), seed: u64) -> Array2<f64> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut uniform = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        ((state >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    };
    Array2::from_shape_simple_fn(shape, || {
        (-2.0 * uniform().ln()).sqrt() * (2.0 * std::f64::consts::PI * uniform()).cos()
    })
}

/// Equal up to `tolerance` of the largest entry.
pub(crate) fn assert_close(actual: ArrayView2<f32>, expected: ArrayView2<f64>, tolerance: f64, what: &str) {
    assert_eq!(actual.dim(), expected.dim(), "{what}");
    let largest = expected.iter().fold(0.0f64, |most, value| most.max(value.abs()));
    for ((place, &actual), expected) in actual.indexed_iter().zip(expected) {
        let gap = (f64::from(actual) - expected).abs();
        assert!(
            gap <= tolerance * largest,
            "{what} {place:?}: {actual} is not {expected}"
        );
    }
}
