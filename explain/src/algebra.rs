//! Decompositions and linear systems of scripts' own matrices, in float64.
//!
//! Long ones are on a thread of their own, so that an interrupt is heard.

use ndarray::{Array1, Array2, Axis, s};

use crate::aside::decomposition;
use crate::error::{Error, Result};
use crate::linalg;
use crate::random::RandomState;
use ecco_interpreter::Watch;

/// Runs a decomposition of such a matrix; an error where the watch stopped it.
fn listening<T: Send + 'static>(
    matrix: Array2<f64>,
    work: impl FnOnce(Array2<f64>) -> Result<T> + Send + 'static,
    watch: &mut Watch,
) -> Result<T> {
    check_numbers(&matrix)?;
    let found = decomposition(matrix.dim(), move |_| work(matrix), watch);
    found.unwrap_or_else(|| Err(Error::Model(ecco_models::Error::Interrupted)))
}

fn check_numbers(matrix: &Array2<f64>) -> Result<()> {
    let wrong = matrix.indexed_iter().find(|(_, value)| !value.is_finite());
    match wrong {
        None => Ok(()),
        Some(((row, column), value)) => Err(Error::Option {
            option: "the matrix",
            value: format!("{value} at ({row}, {column})"),
            reason: "it has to be of finite numbers".to_owned(),
        }),
    }
}

/// `a = u · diag(s) · vt` with s falling: u (rows, k), s (k), vt (k, columns), k the smaller side.
///
/// # Errors
/// Values that are not finite, an interrupt, no room.
pub fn svd(a: Array2<f64>, watch: &mut Watch) -> Result<(Array2<f64>, Array1<f64>, Array2<f64>)> {
    if a.is_empty() {
        let (rows, columns) = a.dim();
        return Ok((
            Array2::zeros((rows, 0)),
            Array1::zeros(0),
            Array2::zeros((0, columns)),
        ));
    }
    listening(a, |a| linalg::svd(a.view()), watch)
}

/// Eigenvalues of a symmetric matrix, rising, and eigenvectors in columns; of others the lower triangle counts.
///
/// # Errors
/// A matrix that is not square, and as of [`svd`].
pub fn eigh(a: Array2<f64>, watch: &mut Watch) -> Result<(Array1<f64>, Array2<f64>)> {
    check_square(&a)?;
    if a.is_empty() {
        return Ok((Array1::zeros(0), a));
    }
    listening(a, |a| linalg::eigh(a.view()), watch)
}

fn check_square(a: &Array2<f64>) -> Result<()> {
    match a.is_square() {
        true => Ok(()),
        false => Err(Error::Option {
            option: "the matrix",
            value: format!("{} × {}", a.nrows(), a.ncols()),
            reason: "it has to be square".to_owned(),
        }),
    }
}

/// x with `a · x = b`, column by column, by elimination with pivots.
///
/// # Errors
/// A matrix that is not square, or singular, `b` of other rows, and as of [`svd`].
pub fn solve(a: Array2<f64>, b: Array2<f64>, watch: &mut Watch) -> Result<Array2<f64>> {
    check_square(&a)?;
    check_rows(&a, &b)?;
    if a.is_empty() {
        return Ok(b);
    }
    let size = a.nrows();
    let x = listening(a, move |a| linalg::solve(a.view(), b.view()), watch)?;
    match x.iter().all(|value| value.is_finite()) {
        true => Ok(x),
        false => Err(singular(size)),
    }
}

fn singular(size: usize) -> Error {
    Error::Option {
        option: "the matrix",
        value: format!("{size} × {size}"),
        reason: "it is singular; lstsq finds the nearest solution".to_owned(),
    }
}

fn check_rows(a: &Array2<f64>, b: &Array2<f64>) -> Result<()> {
    match a.nrows() == b.nrows() {
        true => Ok(()),
        false => Err(Error::Option {
            option: "the right side",
            value: format!("{} × {}", b.nrows(), b.ncols()),
            reason: format!("it needs a row for each of the matrix's {}", a.nrows()),
        }),
    }
}

/// x with the smallest `‖a · x − b‖`, and among those the shortest, as numpy's `lstsq`: singular values below
/// `epsilon` · max(rows, columns) of the largest count as 0; `epsilon` is how exact the numbers of `a` are.
///
/// # Errors
/// `b` of other rows, and as of [`svd`].
pub fn lstsq(a: Array2<f64>, b: Array2<f64>, epsilon: f64, watch: &mut Watch) -> Result<Array2<f64>> {
    check_rows(&a, &b)?;
    let least = epsilon * a.nrows().max(a.ncols()) as f64;
    let (u, singular, vt) = svd(a, watch)?;
    let largest = singular.first().copied().unwrap_or(0.0);
    let kept = singular.iter().filter(|value| **value > least * largest).count();
    let coefficients = u.slice(s![.., ..kept]).t().dot(&b); // [kept, column]
    let scaled = coefficients / singular.slice(s![..kept]).insert_axis(Axis(1));
    Ok(vt.slice(s![..kept, ..]).t().dot(&scaled))
}

/// numpy's `RandomState(seed)`: numbers one after the other, uniform in [0, 1) or standard normal.
pub fn random(seed: u32, is_normal: bool) -> impl FnMut() -> f64 {
    let mut state = RandomState::new(seed);
    move || match is_normal {
        true => state.normal(),
        false => state.uniform(),
    }
}
