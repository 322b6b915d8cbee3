//! Decompositions of tensors and linear systems.

// Rhai takes over a module's public functions, wherever the module is.
#![allow(unreachable_pub)]

use std::rc::Rc;

use ecco_explain::algebra;
use ecco_interpreter::Watch;
use ecco_scripting::session::state::state_of;
use ecco_scripting::session::{State, watched};
use ecco_scripting::tensor::work::Work;
use ecco_scripting::tensor::{Precision, Tensor};
use ecco_scripting::{ErrorKind, RhaiResult, ScriptError};
use ndarray::{Array1, Array2, Axis, Ix2};
use rhai::Map;
use rhai::plugin::*;

#[export_module]
pub mod functions {
    use super::*;

    /// The singular value decomposition of a matrix, `u · diag(s) · vt`, with `s` falling: `u` (rows, k), `s` (k),
    /// `vt` (k, columns), where k is the smaller side. Computed in float64.
    ///
    /// Example:
    /// ```rhai
    /// run.hidden_states[-1].svd().s
    /// ```
    #[rhai_fn(name = "svd", pure, return_raw)]
    pub fn svd(ctx: NativeCallContext, tensor: &mut Tensor) -> RhaiResult<Map> {
        super::svd(&state_of(&ctx), tensor).map_err(|error| error.raise(&ctx))
    }

    /// Eigenvalues of a symmetric matrix, rising, and eigenvectors in columns: `values`, `vectors`. Of a matrix that is
    /// not symmetric the lower triangle counts. Computed in float64.
    #[rhai_fn(name = "eigh", pure, return_raw)]
    pub fn eigh(ctx: NativeCallContext, tensor: &mut Tensor) -> RhaiResult<Map> {
        super::eigh(&state_of(&ctx), tensor).map_err(|error| error.raise(&ctx))
    }

    /// `x` with `matrix · x = right`, of a vector or a matrix `right`. Computed in float64.
    ///
    /// Example:
    /// ```rhai
    /// ecco::tensor([[2, 0], [0, 4]]).solve(ecco::tensor([1, 1]))   // 0.5, 0.25
    /// ```
    #[rhai_fn(name = "solve", pure, return_raw)]
    pub fn solve(ctx: NativeCallContext, tensor: &mut Tensor, right: Tensor) -> RhaiResult<Tensor> {
        let solved = super::system(&state_of(&ctx), tensor, &right, algebra::solve);
        solved.map_err(|error| error.raise(&ctx))
    }

    /// `x` for which `matrix · x` is nearest to `right` (least squares); the shortest of them where there are many.
    /// Computed in float64.
    #[rhai_fn(name = "lstsq", pure, return_raw)]
    pub fn lstsq(ctx: NativeCallContext, tensor: &mut Tensor, right: Tensor) -> RhaiResult<Tensor> {
        let solved = super::system(&state_of(&ctx), tensor, &right, super::nearest(tensor));
        solved.map_err(|error| error.raise(&ctx))
    }
}

/// A tensor of two axes, in float64, with room for `copies` of it.
fn matrix(state: &Rc<State>, tensor: &Tensor, copies: usize) -> Result<Array2<f64>, ScriptError> {
    Work::new(Rc::clone(state)).room(tensor.shape(), copies * size_of::<f64>())?;
    let matrix = tensor.exact_data().into_dimensionality::<Ix2>().map_err(|_| {
        let message = format!("a matrix has two axes, not {}", tensor.shape_text());
        ScriptError::new(ErrorKind::Value, message)
            .with_hint("take a part, t[0], or t.reshape([rows, columns])")
    })?;
    Ok(matrix.into_owned())
}

fn result(array: Array2<f64>, axes: [&'static str; 2], of: &Tensor) -> Dynamic {
    Dynamic::from(Tensor::exact(array.into_dyn(), &axes).to_precision(of.precision()))
}

fn vector(array: Array1<f64>, axis: &'static str, of: &Tensor) -> Dynamic {
    Dynamic::from(Tensor::exact(array.into_dyn(), &[axis]).to_precision(of.precision()))
}

type Shared<'a> = &'a Rc<State>;

fn svd(state: Shared, tensor: &Tensor) -> Result<Map, ScriptError> {
    let a = matrix(state, tensor, 5)?;
    let (u, s, vt) = watched(state, true, |watch| algebra::svd(a, watch))?;
    let (rows, columns) = (tensor.axes()[0], tensor.axes()[1]);
    Ok(Map::from([
        ("u".into(), result(u, [rows, "component"], tensor)),
        ("s".into(), vector(s, "component", tensor)),
        ("vt".into(), result(vt, ["component", columns], tensor)),
    ]))
}

fn eigh(state: Shared, tensor: &Tensor) -> Result<Map, ScriptError> {
    let a = matrix(state, tensor, 5)?;
    let (values, vectors) = watched(state, true, |watch| algebra::eigh(a, watch))?;
    Ok(Map::from([
        ("values".into(), vector(values, "component", tensor)),
        (
            "vectors".into(),
            result(vectors, [tensor.axes()[0], "component"], tensor),
        ),
    ]))
}

type Solution = ecco_explain::error::Result<Array2<f64>>;

/// Least squares, of a matrix that is as exact as this tensor.
fn nearest(tensor: &Tensor) -> impl FnOnce(Array2<f64>, Array2<f64>, &mut Watch) -> Solution {
    let epsilon = match tensor.precision() {
        Precision::Float32 => f32::EPSILON.into(),
        Precision::Float64 => f64::EPSILON,
    };
    move |a, b, watch| algebra::lstsq(a, b, epsilon, watch)
}

/// Solves for a vector or for a matrix; `x` has the axes of the matrix's columns and, if any, of the right side's.
fn system(
    state: Shared,
    tensor: &Tensor,
    right: &Tensor,
    solve: impl FnOnce(Array2<f64>, Array2<f64>, &mut Watch) -> Solution,
) -> Result<Tensor, ScriptError> {
    let a = matrix(state, tensor, 5)?;
    let is_vector = right.shape().len() == 1;
    let b = match is_vector {
        true => matrix(state, &column(right), 3)?,
        false => matrix(state, right, 3)?,
    };
    if a.nrows() != b.nrows() {
        let (one, other) = (tensor.shape_text(), right.shape_text());
        let message = format!("shapes {one} and {other} do not go together");
        return Err(ScriptError::new(ErrorKind::Value, message)
            .with_hint("the right side has a value, or a row, for each row of the matrix"));
    }
    let x = watched(state, true, |watch| solve(a, b, watch))?;
    let precision = match (tensor.precision(), right.precision()) {
        (Precision::Float32, Precision::Float32) => Precision::Float32,
        _ => Precision::Float64,
    };
    let columns = tensor.axes()[1];
    let x = match is_vector {
        true => Tensor::exact(x.index_axis_move(Axis(1), 0).into_dyn(), &[columns]),
        false => Tensor::exact(x.into_dyn(), &[columns, right.axes()[1]]),
    };
    Ok(x.to_precision(precision))
}

fn column(vector: &Tensor) -> Tensor {
    let array = vector.exact_data().into_owned().insert_axis(Axis(1));
    Tensor::exact(array, &[])
}
