//! What scripts compute with tensors.

// Rhai takes over a module's public functions, wherever the module is.
#![allow(unreachable_pub)]

use rhai::plugin::*;
use rhai::{Array, FLOAT, INT, Map};

use super::along;
use super::making::number;
use super::work::Work;
use super::{Precision, Tensor};
use crate::errors::{ErrorKind, RhaiResult, ScriptError};
use crate::result::show;

#[export_module]
pub mod functions {
    use super::*;

    /// How exact the values are: `float32` or `float64`.
    #[rhai_fn(get = "dtype", pure)]
    pub fn dtype(tensor: &mut Tensor) -> String {
        tensor.precision().name().to_owned()
    }

    /// The same values as `"float32"` or `"float64"`.
    #[rhai_fn(name = "to_dtype", pure, return_raw)]
    pub fn to_dtype(ctx: NativeCallContext, tensor: &mut Tensor, dtype: &str) -> RhaiResult<Tensor> {
        Work::of(&ctx, |work| super::to_dtype(tensor, dtype, work))
    }

    /// The same values with other names of the axes, one each; `""` for none.
    #[rhai_fn(name = "with_axes", pure, return_raw)]
    pub fn with_axes(ctx: NativeCallContext, tensor: &mut Tensor, names: Array) -> RhaiResult<Tensor> {
        Work::of(&ctx, |_| tensor.with_names(&names))
    }

    /// The axes in reverse order.
    #[rhai_fn(name = "transpose", pure, return_raw)]
    pub fn transpose(ctx: NativeCallContext, tensor: &mut Tensor) -> RhaiResult<Tensor> {
        Work::of(&ctx, |_| tensor.transposed(None))
    }

    /// The axes in another order, by name or number.
    ///
    /// Example:
    /// ```rhai
    /// run.hidden_states.transpose(["position", "layer", "hidden"])
    /// ```
    #[rhai_fn(name = "transpose", pure, return_raw)]
    pub fn transpose_to(ctx: NativeCallContext, tensor: &mut Tensor, order: Array) -> RhaiResult<Tensor> {
        Work::of(&ctx, |_| tensor.transposed(Some(&order)))
    }

    /// The same values in another shape, row by row; one length may be -1, which is what is left.
    #[rhai_fn(name = "reshape", pure, return_raw)]
    pub fn reshape(ctx: NativeCallContext, tensor: &mut Tensor, shape: Array) -> RhaiResult<Dynamic> {
        Work::of(&ctx, |work| tensor.reshape(&shape, work).map(Tensor::into_value))
    }

    /// The entries at some places along an axis, in that order: an array or tensor of numbers from 0 on, or from the end.
    #[rhai_fn(name = "pick", pure, return_raw)]
    pub fn pick(
        ctx: NativeCallContext,
        tensor: &mut Tensor,
        places: Dynamic,
        axis: Dynamic,
    ) -> RhaiResult<Tensor> {
        Work::of(&ctx, |work| {
            tensor.taken(&super::places(&places)?, tensor.axis(&axis)?, work)
        })
    }

    /// The sum along an axis, by name or number, or along several: `t.sum(["layer", -1])`.
    #[rhai_fn(name = "sum", pure, return_raw)]
    pub fn sum_along(ctx: NativeCallContext, tensor: &mut Tensor, axis: Dynamic) -> RhaiResult<Dynamic> {
        Work::of(&ctx, |work| tensor.reduce(&axis, work, along::sum))
    }

    /// The mean along an axis, by name or number, or along several.
    #[rhai_fn(name = "mean", pure, return_raw)]
    pub fn mean_along(ctx: NativeCallContext, tensor: &mut Tensor, axis: Dynamic) -> RhaiResult<Dynamic> {
        Work::of(&ctx, |work| tensor.reduce(&axis, work, along::mean))
    }

    /// The variance of all values: the mean of the squares around their mean.
    #[rhai_fn(name = "variance", pure, return_raw)]
    pub fn variance(ctx: NativeCallContext, tensor: &mut Tensor) -> RhaiResult<FLOAT> {
        Work::of(&ctx, |work| tensor.over_all(work, along::variance))
    }

    /// The variance along an axis, by name or number, or along several.
    #[rhai_fn(name = "variance", pure, return_raw)]
    pub fn variance_along(ctx: NativeCallContext, tensor: &mut Tensor, axis: Dynamic) -> RhaiResult<Dynamic> {
        Work::of(&ctx, |work| tensor.reduce(&axis, work, along::variance))
    }

    /// The standard deviation of all values: the root of their variance.
    #[rhai_fn(name = "std", pure, return_raw)]
    pub fn std(ctx: NativeCallContext, tensor: &mut Tensor) -> RhaiResult<FLOAT> {
        Work::of(&ctx, |work| tensor.over_all(work, along::deviation))
    }

    /// The standard deviation along an axis, by name or number, or along several.
    #[rhai_fn(name = "std", pure, return_raw)]
    pub fn std_along(ctx: NativeCallContext, tensor: &mut Tensor, axis: Dynamic) -> RhaiResult<Dynamic> {
        Work::of(&ctx, |work| tensor.reduce(&axis, work, along::deviation))
    }

    /// The smallest value along an axis, by name or number, or along several; NaN are passed over.
    #[rhai_fn(name = "min", pure, return_raw)]
    pub fn min_along(ctx: NativeCallContext, tensor: &mut Tensor, axis: Dynamic) -> RhaiResult<Dynamic> {
        Work::of(&ctx, |work| tensor.reduce(&axis, work, along::smallest))
    }

    /// The largest value along an axis, by name or number, or along several; NaN are passed over.
    #[rhai_fn(name = "max", pure, return_raw)]
    pub fn max_along(ctx: NativeCallContext, tensor: &mut Tensor, axis: Dynamic) -> RhaiResult<Dynamic> {
        Work::of(&ctx, |work| tensor.reduce(&axis, work, along::largest))
    }

    /// The length of the vector of all values: the root of the sum of their squares.
    #[rhai_fn(name = "norm", pure, return_raw)]
    pub fn norm(ctx: NativeCallContext, tensor: &mut Tensor) -> RhaiResult<FLOAT> {
        Work::of(&ctx, |work| tensor.over_all(work, along::norm))
    }

    /// The lengths of the vectors along an axis, by name or number, or along several.
    #[rhai_fn(name = "norm", pure, return_raw)]
    pub fn norm_along(ctx: NativeCallContext, tensor: &mut Tensor, axis: Dynamic) -> RhaiResult<Dynamic> {
        Work::of(&ctx, |work| tensor.reduce(&axis, work, along::norm))
    }

    /// The place of the smallest value, counted row by row through all; of the first NaN where there is one.
    #[rhai_fn(name = "argmin", pure, return_raw)]
    pub fn argmin(ctx: NativeCallContext, tensor: &mut Tensor) -> RhaiResult<INT> {
        Work::of(&ctx, |work| tensor.place(work, along::place_of_smallest))
    }

    /// The place of the smallest value along an axis, by name or number.
    #[rhai_fn(name = "argmin", pure, return_raw)]
    pub fn argmin_along(ctx: NativeCallContext, tensor: &mut Tensor, axis: Dynamic) -> RhaiResult<Dynamic> {
        Work::of(&ctx, |work| {
            tensor.place_along(&axis, work, along::place_of_smallest)
        })
    }

    /// The place of the largest value, counted row by row through all; of the first NaN where there is one.
    #[rhai_fn(name = "argmax", pure, return_raw)]
    pub fn argmax(ctx: NativeCallContext, tensor: &mut Tensor) -> RhaiResult<INT> {
        Work::of(&ctx, |work| tensor.place(work, along::place_of_largest))
    }

    /// The place of the largest value along an axis, by name or number.
    #[rhai_fn(name = "argmax", pure, return_raw)]
    pub fn argmax_along(ctx: NativeCallContext, tensor: &mut Tensor, axis: Dynamic) -> RhaiResult<Dynamic> {
        Work::of(&ctx, |work| {
            tensor.place_along(&axis, work, along::place_of_largest)
        })
    }

    /// Probabilities along an axis, by name or number: of logits `x`, `exp(x) / sum(exp(x))`.
    ///
    /// Example:
    /// ```rhai
    /// run.logits.softmax("vocabulary")
    /// ```
    #[rhai_fn(name = "softmax", pure, return_raw)]
    pub fn softmax(ctx: NativeCallContext, tensor: &mut Tensor, axis: Dynamic) -> RhaiResult<Tensor> {
        Work::of(&ctx, |work| {
            super::line_by_line(tensor, &axis, work, &along::softmax)
        })
    }

    /// The logarithms of `softmax`, exact also where those are too small for a number.
    #[rhai_fn(name = "log_softmax", pure, return_raw)]
    pub fn log_softmax(ctx: NativeCallContext, tensor: &mut Tensor, axis: Dynamic) -> RhaiResult<Tensor> {
        Work::of(&ctx, |work| {
            super::line_by_line(tensor, &axis, work, &along::log_softmax)
        })
    }

    /// The `k` largest values along an axis, by name or number, and where they are: `values`, `indices`.
    ///
    /// Example:
    /// ```rhai
    /// run.logits[-1].topk(5, 0).indices
    /// ```
    #[rhai_fn(name = "topk", pure, return_raw)]
    pub fn topk(ctx: NativeCallContext, tensor: &mut Tensor, k: INT, axis: Dynamic) -> RhaiResult<Map> {
        Work::of(&ctx, |work| tensor.largest(k, &axis, work))
    }

    /// The values along an axis in rising order; NaN come last.
    #[rhai_fn(name = "sort", pure, return_raw)]
    pub fn sorted(ctx: NativeCallContext, tensor: &mut Tensor, axis: Dynamic) -> RhaiResult<Tensor> {
        Work::of(&ctx, |work| tensor.sorted(&axis, work))
    }

    /// The places along an axis in the order of their values, rising; equal ones as they stand.
    #[rhai_fn(name = "argsort", pure, return_raw)]
    pub fn argsort(ctx: NativeCallContext, tensor: &mut Tensor, axis: Dynamic) -> RhaiResult<Tensor> {
        Work::of(&ctx, |work| tensor.sorting(&axis, work))
    }

    /// Every value once, rising.
    #[rhai_fn(name = "unique", pure, return_raw)]
    pub fn unique(ctx: NativeCallContext, tensor: &mut Tensor) -> RhaiResult<Tensor> {
        Work::of(&ctx, |work| tensor.distinct(work))
    }

    /// Values without their signs.
    #[rhai_fn(name = "abs", pure, return_raw)]
    pub fn abs(ctx: NativeCallContext, tensor: &mut Tensor) -> RhaiResult<Tensor> {
        Work::of(&ctx, |work| tensor.map(work, &f64::abs))
    }

    /// *e* to the power of each value.
    #[rhai_fn(name = "exp", pure, return_raw)]
    pub fn exp(ctx: NativeCallContext, tensor: &mut Tensor) -> RhaiResult<Tensor> {
        Work::of(&ctx, |work| tensor.map(work, &f64::exp))
    }

    /// The natural logarithm of each value.
    #[rhai_fn(name = "ln", pure, return_raw)]
    pub fn ln(ctx: NativeCallContext, tensor: &mut Tensor) -> RhaiResult<Tensor> {
        Work::of(&ctx, |work| tensor.map(work, &f64::ln))
    }

    /// The same as `ln`, under numpy's name.
    #[rhai_fn(name = "log", pure, return_raw)]
    pub fn log(ctx: NativeCallContext, tensor: &mut Tensor) -> RhaiResult<Tensor> {
        Work::of(&ctx, |work| tensor.map(work, &f64::ln))
    }

    /// The square root of each value.
    #[rhai_fn(name = "sqrt", pure, return_raw)]
    pub fn sqrt(ctx: NativeCallContext, tensor: &mut Tensor) -> RhaiResult<Tensor> {
        Work::of(&ctx, |work| tensor.map(work, &f64::sqrt))
    }

    /// Each value's nearest whole number, halves to the even one, as numpy's `round`.
    #[rhai_fn(name = "round", pure, return_raw)]
    pub fn round(ctx: NativeCallContext, tensor: &mut Tensor) -> RhaiResult<Tensor> {
        Work::of(&ctx, |work| tensor.map(work, &f64::round_ties_even))
    }

    /// Values below `low` become that, values above `high` that.
    #[rhai_fn(name = "clip", pure, return_raw)]
    pub fn clip(
        ctx: NativeCallContext,
        tensor: &mut Tensor,
        low: Dynamic,
        high: Dynamic,
    ) -> RhaiResult<Tensor> {
        Work::of(&ctx, |work| super::clip(tensor, &low, &high, work))
    }

    /// 1 where values are equal, else 0. `==` asks whether all are.
    #[rhai_fn(name = "equals", pure, return_raw)]
    pub fn equals(ctx: NativeCallContext, tensor: &mut Tensor, other: Dynamic) -> RhaiResult<Tensor> {
        Work::of(&ctx, |work| super::equals(tensor, &other, work))
    }

    /// Where this is not 0 the values of `a`, elsewhere those of `b`; both tensors or numbers.
    ///
    /// Example:
    /// ```rhai
    /// (t > 0).where(t, 0)
    /// ```
    #[rhai_fn(name = "where", pure, return_raw)]
    pub fn choose(ctx: NativeCallContext, tensor: &mut Tensor, a: Dynamic, b: Dynamic) -> RhaiResult<Tensor> {
        Work::of(&ctx, |work| super::choose(tensor, &a, &b, work))
    }

    /// The product of matrices, as `@` of numpy: the last axis of this one with the last but one of the other.
    ///
    /// Example:
    /// ```rhai
    /// run.hidden_states[-1].matmul(direction)
    /// ```
    #[rhai_fn(name = "matmul", pure, return_raw)]
    pub fn matmul(ctx: NativeCallContext, tensor: &mut Tensor, other: Tensor) -> RhaiResult<Dynamic> {
        Work::of(&ctx, |work| tensor.matmul(&other, work).map(Tensor::into_value))
    }

    /// As numpy's `dot`: of two vectors the sum of their products, of matrices their product.
    #[rhai_fn(name = "dot", pure, return_raw)]
    pub fn dot(ctx: NativeCallContext, tensor: &mut Tensor, other: Tensor) -> RhaiResult<Dynamic> {
        Work::of(&ctx, |work| tensor.dot(&other, work).map(Tensor::into_value))
    }

    /// Each value of this one times each of the other: (values, values of the other).
    #[rhai_fn(name = "outer", pure, return_raw)]
    pub fn outer(ctx: NativeCallContext, tensor: &mut Tensor, other: Tensor) -> RhaiResult<Tensor> {
        Work::of(&ctx, |work| tensor.outer(&other, work))
    }

    /// The cosine of the angle between two vectors, of all values.
    #[rhai_fn(name = "cosine", pure, return_raw)]
    pub fn cosine(ctx: NativeCallContext, tensor: &mut Tensor, other: Tensor) -> RhaiResult<Dynamic> {
        Work::of(&ctx, |work| {
            tensor.cosine(&other, None, work).map(Tensor::into_value)
        })
    }

    /// The same of the vectors along an axis, by name or number, or along several.
    #[rhai_fn(name = "cosine", pure, return_raw)]
    pub fn cosine_along(
        ctx: NativeCallContext,
        tensor: &mut Tensor,
        other: Tensor,
        axis: Dynamic,
    ) -> RhaiResult<Dynamic> {
        Work::of(&ctx, |work| {
            tensor.cosine(&other, Some(&axis), work).map(Tensor::into_value)
        })
    }
}

fn to_dtype(tensor: &Tensor, dtype: &str, work: &Work) -> Result<Tensor, ScriptError> {
    let precision = Precision::parse(dtype).ok_or_else(|| {
        let message = format!("there is no dtype {dtype:?}");
        ScriptError::new(ErrorKind::Value, message).with_hint("\"float32\" or \"float64\"")
    })?;
    work.room(tensor.shape(), precision.bytes())?;
    Ok(tensor.to_precision(precision))
}

fn line_by_line(
    tensor: &Tensor,
    axis: &Dynamic,
    work: &Work,
    line: along::Line,
) -> Result<Tensor, ScriptError> {
    let axis = tensor.axis(axis)?;
    tensor.lines(axis, tensor.shape()[axis], work, line)
}

fn clip(tensor: &Tensor, low: &Dynamic, high: &Dynamic, work: &Work) -> Result<Tensor, ScriptError> {
    let (low, high) = (number(low)?, number(high)?);
    tensor.map(work, &|value| {
        let raised = if value < low { low } else { value };
        if raised > high { high } else { raised }
    })
}

fn choose(condition: &Tensor, a: &Dynamic, b: &Dynamic, work: &Work) -> Result<Tensor, ScriptError> {
    let tensor = |value: &Dynamic| value.read_lock::<Tensor>().map(|tensor| tensor.clone());
    let both = [tensor(a), tensor(b)];
    let precisions = both.iter().flatten().map(Tensor::precision);
    let precision = precisions.reduce(Precision::with).unwrap_or_default();
    let of = |tensor: Option<Tensor>, value: &Dynamic| match tensor {
        Some(tensor) => Ok(tensor),
        None => number(value).map(|number| Tensor::scalar(number, precision)),
    };
    let [of_a, of_b] = both;
    condition.choose(&of(of_a, a)?, &of(of_b, b)?, work)
}

fn equals(tensor: &Tensor, other: &Dynamic, work: &Work) -> Result<Tensor, ScriptError> {
    let same = |a: f64, b: f64| f64::from(u8::from(a == b));
    if let Some(other) = other.read_lock::<Tensor>() {
        return tensor.zip(&other, work, &same);
    }
    let number = number(other)?;
    tensor.map(work, &|value| same(value, number))
}

/// Places along an axis, as an array or a tensor of them.
fn places(places: &Dynamic) -> Result<Vec<INT>, ScriptError> {
    if let Some(tensor) = places.read_lock::<Tensor>() {
        let wrong = |value: f64| {
            let message = format!("{value} is no place along an axis");
            ScriptError::new(ErrorKind::Value, message)
        };
        let whole = |value: f64| match value.fract() == 0.0 && value.abs() < 9e15 {
            true => Ok(value as INT),
            false => Err(wrong(value)),
        };
        return tensor.numbers().iter().map(whole).collect();
    }
    let Ok(array) = places.as_array_ref() else {
        return show::expected("an array or a tensor of places", places);
    };
    let place = |place: &Dynamic| place.as_int().or_else(|_| show::expected("a place", place));
    array.iter().map(place).collect()
}
