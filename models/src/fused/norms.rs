//! Norms over the last axis.

use tch::Tensor;

use super::{PER_THREAD, Target, is_plain};
use crate::host::lent;
use crate::lanes::{Lanes, Width, Work};
use crate::parallel;

/// (x − mean x) / √(mean (x − mean x)² + ε) · w + b over the last axis, `w` and `b` of its length. Both means
/// are in double precision.
pub(crate) fn layer_norm(
    x: &Tensor,
    weight: Option<&Tensor>,
    bias: Option<&Tensor>,
    epsilon: f64,
) -> Option<Tensor> {
    let (Some(weight), Some(bias)) = (weight, bias) else {
        return None;
    };
    let n = *x.size().last()? as usize;
    let fits = [weight, bias]
        .iter()
        .all(|own| own.dim() == 1 && own.numel() == n);
    if x.numel() == 0 || !fits || ![x, weight, bias].into_iter().all(is_plain) {
        return None;
    }
    let [weight, bias] = [weight, bias].map(Tensor::contiguous);
    let (weight, bias) = (lent(&weight), lent(&bias));
    Some(row_by_row(x, n, &|from, to| {
        let mean = Width::widest().run(Sum(from)) / n as f64;
        for (to, x) in to.iter_mut().zip(from) {
            *to = (f64::from(*x) - mean) as f32;
        }
        let square = Width::widest().run(Squares(to));
        let inverse = (1.0 / (square / n as f64 + epsilon).sqrt()) as f32;
        for ((to, weight), bias) in to.iter_mut().zip(weight).zip(bias) {
            *to = *to * inverse * weight + bias;
        }
    }))
}

/// x / √(mean x² + ε) · (w + more) over the last axis, `w` of its length. Squares are summed in double precision.
pub(crate) fn root_mean_square(x: &Tensor, weight: &Tensor, more: f32, epsilon: f64) -> Option<Tensor> {
    let n = *x.size().last()? as usize;
    if !is_plain(x) || !is_plain(weight) || weight.dim() != 1 || weight.numel() != n || x.numel() == 0 {
        return None;
    }
    let weight = weight.contiguous();
    let weight = lent(&weight);
    Some(row_by_row(x, n, &|from, to| {
        let square = Width::widest().run(Squares(from));
        let inverse = (1.0 / (square / n as f64 + epsilon).sqrt()) as f32;
        for ((to, x), weight) in to.iter_mut().zip(from).zip(weight) {
            *to = x * inverse * (weight + more);
        }
    }))
}

/// What `work` makes of each row of `n` numbers, in a tensor of the same shape.
fn row_by_row(x: &Tensor, n: usize, work: &(dyn Fn(&[f32], &mut [f32]) + Sync)) -> Tensor {
    let x = x.contiguous();
    let y = x.empty_like();
    let (from, to) = (lent(&x), Target::of(&y));
    parallel::ranges(from.len() / n, (PER_THREAD / n).max(1), &|rows| {
        for row in rows {
            // SAFETY: each row is one thread's.
            let to = unsafe { to.part(row * n, n) };
            work(&from[row * n..][..n], to);
        }
    });
    y
}

/// Σ x², in pieces that are summed in double precision.
struct Squares<'a>(&'a [f32]);

impl Work for Squares<'_> {
    type Result = f64;

    #[inline(always)]
    unsafe fn by<L: Lanes>(self) -> f64 {
        const PIECE: usize = 64;
        let (pieces, rest) = self.0.as_chunks::<PIECE>();
        let mut sum = 0.0;
        for piece in pieces {
            // SAFETY: the caller promises the lanes, of which a piece has a whole number.
            unsafe {
                let mut squares = L::all(0.0);
                for place in (0..PIECE).step_by(L::N) {
                    let x = L::load(piece.as_ptr().add(place));
                    squares = x.times_plus(x, squares);
                }
                sum += f64::from(squares.sum());
            }
        }
        sum + f64::from(rest.iter().map(|x| x * x).sum::<f32>())
    }
}

/// Σ x in double precision: of numbers far from zero a sum would else lose what they differ by.
struct Sum<'a>(&'a [f32]);

impl Work for Sum<'_> {
    type Result = f64;

    #[inline(always)]
    unsafe fn by<L: Lanes>(self) -> f64 {
        const SIDE_BY_SIDE: usize = 16;
        let (pieces, rest) = self.0.as_chunks::<SIDE_BY_SIDE>();
        let mut sums = [0.0_f64; SIDE_BY_SIDE];
        for piece in pieces {
            for (sum, x) in sums.iter_mut().zip(piece) {
                *sum += f64::from(*x);
            }
        }
        sums.into_iter().chain(rest.iter().map(|x| f64::from(*x))).sum()
    }
}
