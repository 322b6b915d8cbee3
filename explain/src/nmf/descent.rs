//! Coordinate descent on W (position, component) and H (component, neuron) with X in reach only once per
//! sweep.
//!
//! A sweep needs, for W, the products X·Hᵀ and H·Hᵀ; for H, Wᵀ·X and Wᵀ·W. Given W, the columns of H do not
//! know of each other. So one pass over X, block by block, does for each block of columns
//!
//! ```text
//!   Wᵀ·X  →  new H  →  add to X·Hᵀ and H·Hᵀ     (for the next sweep over W)
//! ```
//!
//! while the block is in the cache; threads share the blocks among them. `panels` holds the layout and the
//! inner loops, this file the order of things.

mod panels;

use std::thread;

use ndarray::{Array2, ArrayView1, ArrayView2, Axis};

use panels::{BLOCK, Panels, Sums, Update};

/// Multiplications in a pass below which another thread costs more than it saves.
const WORK_PER_THREAD: usize = 1 << 20;

/// A component whose squared norm is below this (the entries of X being near 1) is left alone, as one of norm
/// 0 must be: dividing by it could overflow.
pub(super) const DEAD: f32 = 1e-30;

/// The state of a factorization between sweeps.
pub(super) struct Descent {
    x: Panels,
    h: Panels,
    w: Array2<f32>, // [position, component]
    /// X·Hᵀ and H·Hᵀ of the present H.
    sums: Sums,
    n_threads: usize,
}

impl Descent {
    pub(super) fn new(x: ArrayView2<f32>, w: ArrayView2<f32>, h: ArrayView2<f32>) -> Self {
        let work = x.len().saturating_mul(h.nrows());
        let (x, mut h) = (Panels::pack(x), Panels::pack(h));
        let n_threads = threads(work);
        let sums = pass(&x, &mut h, None, n_threads);
        Self {
            x,
            h,
            w: w.to_owned(),
            sums,
            n_threads,
        }
    }

    /// Updates every coordinate of W, then every one of H; answers the sum of the absolute projected
    /// gradients met, scikit-learn's "violation".
    pub(super) fn sweep(&mut self) -> f64 {
        let violation = sweep_rows(&mut self.w, &self.sums);
        let update = Update::new(self.w.view());
        self.sums = pass(&self.x, &mut self.h, Some(&update), self.n_threads);
        violation + self.sums.violation
    }

    /// W (position, component) and H (component, neuron).
    pub(super) fn factors(self) -> (Array2<f32>, Array2<f32>) {
        let h = self.h.unpack();
        (self.w, h)
    }
}

/// ‖x − w·h‖, Frobenius.
pub(super) fn residual_norm(x: ArrayView2<f32>, w: ArrayView2<f32>, h: ArrayView2<f32>) -> f64 {
    let squares = by_row(x, |position, x| {
        let mut residual: Vec<f64> = x.iter().map(|&x| f64::from(x)).collect();
        for (&w, h) in w.row(position).iter().zip(h.rows()) {
            residual
                .iter_mut()
                .zip(h)
                .for_each(|(residual, &h)| *residual -= f64::from(w) * f64::from(h));
        }
        residual.iter().map(|residual| residual * residual).sum::<f64>()
    });
    squares.into_iter().sum::<f64>().sqrt()
}

/// Σ f(x)
pub(super) fn sum(x: ArrayView2<f32>, f: impl Fn(f64) -> f64 + Sync) -> f64 {
    let rows = by_row(x, |_, row| row.fold(0.0, |sum, &x| sum + f(f64::from(x))));
    rows.into_iter().sum()
}

pub(super) fn all(x: ArrayView2<f32>, holds: impl Fn(f32) -> bool + Sync) -> bool {
    let rows = by_row(x, |_, row| row.fold(true, |all, &x| all & holds(x)));
    rows.into_iter().all(|all| all)
}

/// Of a matrix that is not negative.
pub(super) fn largest(x: ArrayView2<f32>) -> f32 {
    let rows = by_row(x, |_, row| row.fold(0.0_f32, |most, &x| most.max(x)));
    rows.into_iter().fold(0.0, f32::max)
}

/// What each row, with its number, says; threads share the rows of a large matrix.
fn by_row<T: Send>(x: ArrayView2<f32>, each: impl Fn(usize, ArrayView1<f32>) -> T + Sync) -> Vec<T> {
    let n_threads = threads(x.len());
    let share = x.nrows().div_ceil(n_threads).max(1);
    let part = |(number, rows): (usize, ArrayView2<f32>)| -> Vec<T> {
        let rows = rows.outer_iter().enumerate();
        rows.map(|(row, x)| each(number * share + row, x)).collect()
    };
    let mut shares = x.axis_chunks_iter(Axis(0), share).enumerate();
    let own = shares.next();
    thread::scope(|scope| {
        let part = &part;
        let helpers: Vec<_> = shares.map(|share| scope.spawn(move || part(share))).collect();
        let mut all = own.map(part).unwrap_or_default();
        for helper in helpers {
            match helper.join() {
                Ok(part) => all.extend(part),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        all
    })
}

fn threads(work: usize) -> usize {
    processors().min(work / WORK_PER_THREAD).max(1)
}

fn processors() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// Multiplications in a pass over the matrix from which a GPU is asked: a sweep there takes 4 ms for any smaller matrix (on an
/// H200), in which a thread does so many.
pub(super) fn worth_crossing() -> usize {
    processors() << 22
}

/// One sweep over W: a few thousand numbers, so in float64 and without ado.
fn sweep_rows(w: &mut Array2<f32>, sums: &Sums) -> f64 {
    let n_components = w.ncols();
    let gram = Array2::from_shape_fn((n_components, n_components), |(t, r)| sums.hh(t, r));
    let mut violation = 0.0;
    for (position, mut row) in w.rows_mut().into_iter().enumerate() {
        for t in 0..n_components {
            let product: f64 = gram
                .row(t)
                .iter()
                .zip(&row)
                .map(|(&g, &w)| g * f64::from(w))
                .sum();
            let gradient = product - sums.xh(position, t);
            violation += if row[t] == 0.0 {
                gradient.min(0.0).abs()
            } else {
                gradient.abs()
            };
            if gram[[t, t]] >= f64::from(DEAD) {
                row[t] = (f64::from(row[t]) - gradient / gram[[t, t]]).max(0.0) as f32;
            }
        }
    }
    violation
}

/// The pass over X of the module's head; without an update, only the sums. Threads take equal shares of
/// blocks.
fn pass(x: &Panels, h: &mut Panels, update: Option<&Update>, n_threads: usize) -> Sums {
    let (positions, components) = (x.rows(), h.rows());
    let share = x.n_panels().div_ceil(n_threads).next_multiple_of(BLOCK);
    let mut shares = x.shares(share).zip(h.shares_mut(share));
    let own = shares.next();
    thread::scope(|scope| {
        let helpers: Vec<_> = shares
            .map(|(x, h)| scope.spawn(move || panels::pass(x, h, positions, components, update)))
            .collect();
        let mut sums = Sums::zero(positions, components);
        if let Some((x, h)) = own {
            sums = panels::pass(x, h, positions, components, update);
        }
        for helper in helpers {
            match helper.join() {
                Ok(part) => sums.add(&part),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        sums
    })
}
