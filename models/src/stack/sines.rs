//! Positions as sines and cosines: halves side by side, `[position, width]`.

use tch::{Kind, Tensor};

/// Of the first positions, at the frequencies of 1706.03762.
pub(super) fn counted(n_positions: usize, width: usize) -> Tensor {
    let angle =
        |position: usize, j: usize| position as f64 / 10_000f64.powf(2.0 * (j / 2) as f64 / width as f64);
    let row = |position: usize| {
        let sines = (0..width).step_by(2).map(move |j| angle(position, j).sin());
        sines.chain((1..width).step_by(2).map(move |j| angle(position, j).cos()))
    };
    let values: Vec<f64> = (0..n_positions).flat_map(row).collect();
    Tensor::from_slice(&values).reshape([n_positions as i64, width as i64])
}

/// Of `positions`, `[position]` in single precision whatever the model's, as fairseq has it, for `x`, `[.., position,
/// width]`: at tensor2tensor's frequencies.
pub(super) fn endless(positions: &Tensor, x: &Tensor) -> Tensor {
    let width = x.size()[x.dim() - 1];
    let (half, on) = (width / 2, (Kind::Float, x.device()));
    let fall = 10_000f64.ln() / (half - 1).max(1) as f64;
    let frequencies = (Tensor::arange(half, on) * -fall).exp();
    let angles = positions.unsqueeze(1) * frequencies.unsqueeze(0); // [position, width / 2]
    let sines = Tensor::cat(&[angles.sin(), angles.cos()], 1);
    sines.constant_pad_nd([0, width % 2]).to_kind(x.kind())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sines_with_and_without_an_end() {
        // transformers' MarianSinusoidalPositionalEmbedding and M2M100SinusoidalPositionalEmbedding, width 5 and 4.
        let row = |sines: Tensor| crate::host::numbers(&sines.get(-1));
        let close = |found: Vec<f64>, expected: &[f64]| {
            assert_eq!(found.len(), expected.len());
            assert!(
                found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6),
                "{found:?}"
            );
        };
        let slow = 3.0 / 10_000f64.powf(0.4);
        let slower = 3.0 / 10_000f64.powf(0.8);
        close(
            row(counted(4, 5)),
            &[3f64.sin(), slow.sin(), slower.sin(), 3f64.cos(), slow.cos()],
        );
        let x = Tensor::zeros([1, 2, 5], (Kind::Float, tch::Device::Cpu));
        close(
            row(endless(&Tensor::from_slice(&[6f32, 7.0]), &x)),
            &[7f64.sin(), 7e-4f64.sin(), 7f64.cos(), 7e-4f64.cos(), 0.0],
        );
    }
}
