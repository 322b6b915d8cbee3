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

use ndarray::{Array2, ArrayView2};

use panels::{BLOCK, DEAD, Panels, Sums, Update};

/// Multiplications in a pass below which another thread costs more than it saves.
const WORK_PER_THREAD: usize = 1 << 20;

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
        let available = thread::available_parallelism().map_or(1, usize::from);
        let (x, mut h) = (Panels::pack(x), Panels::pack(h));
        let n_threads = available.min(work / WORK_PER_THREAD).max(1);
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
    let mut squares = 0.0;
    let mut residual = vec![0.0; x.ncols()];
    for (x, w) in x.rows().into_iter().zip(w.rows()) {
        residual
            .iter_mut()
            .zip(x)
            .for_each(|(residual, &x)| *residual = f64::from(x));
        for (&w, h) in w.iter().zip(h.rows()) {
            residual
                .iter_mut()
                .zip(h)
                .for_each(|(residual, &h)| *residual -= f64::from(w) * f64::from(h));
        }
        squares += residual.iter().map(|residual| residual * residual).sum::<f64>();
    }
    squares.sqrt()
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
