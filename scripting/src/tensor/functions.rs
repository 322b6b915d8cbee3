//! Tensors in scripts: indexing, slicing, statistics, arithmetic.

// Rhai takes over a module's public functions, wherever the module is.
#![allow(unreachable_pub)]

use std::ops::{Range, RangeInclusive};

use rhai::plugin::*;
use rhai::{Array, Engine, FLOAT, INT, Map};

use crate::errors::{ErrorKind, RhaiResult, ScriptError};
use crate::library::limits::checked_len;
use crate::result::saving;
use crate::result::show;
use crate::session::state::state_of;
use crate::tensor::Tensor;
use crate::tensor::work::Work;

#[export_module]
pub mod functions {
    use super::*;

    /// The lengths of the axes.
    #[rhai_fn(get = "shape", pure)]
    pub fn shape(tensor: &mut Tensor) -> Array {
        tensor
            .shape()
            .iter()
            .map(|&len| Dynamic::from_int(len as INT))
            .collect()
    }

    /// The names of the axes: layer, neuron, position …
    #[rhai_fn(get = "axes", pure)]
    pub fn axes(tensor: &mut Tensor) -> Array {
        tensor.axes().iter().map(|&name| name.into()).collect()
    }

    /// The length of the first axis.
    #[rhai_fn(name = "len", pure)]
    pub fn len(tensor: &mut Tensor) -> INT {
        tensor.len() as INT
    }

    /// The smallest value.
    #[rhai_fn(name = "min", pure)]
    pub fn min(tensor: &mut Tensor) -> FLOAT {
        tensor.min()
    }

    /// The largest value.
    #[rhai_fn(name = "max", pure)]
    pub fn max(tensor: &mut Tensor) -> FLOAT {
        tensor.max()
    }

    /// The mean of all values.
    #[rhai_fn(name = "mean", pure)]
    pub fn mean(tensor: &mut Tensor) -> FLOAT {
        tensor.mean()
    }

    /// The sum of all values.
    #[rhai_fn(name = "sum", pure)]
    pub fn sum(tensor: &mut Tensor) -> FLOAT {
        tensor.sum()
    }

    /// Copies the values into nested script arrays. Everything else on tensors copies nothing.
    #[rhai_fn(name = "to_array", pure, return_raw)]
    pub fn to_array(ctx: NativeCallContext, tensor: &mut Tensor) -> RhaiResult<Array> {
        checked_len(&ctx, tensor.numbers().len() as INT, size_of::<Dynamic>())?;
        let state = state_of(&ctx);
        let array = tensor.to_array_while(&|| state.check_interrupt());
        array.map_err(|error| error.raise(&ctx))
    }

    /// Saves the values. The path's end says how: `.npy` (what `numpy.load` reads), `.safetensors`
    /// (under the name `tensor`), `.json` (`shape`, `axes`, `data`), `.csv` (a row for each value).
    ///
    /// The path is one in the notebook's folder or below: a script that someone else wrote must not reach any other
    /// place, so an absolute path, `..` and links that lead out are refused. A file of that name is replaced, as
    /// `numpy.save` does, once the new one is complete.
    ///
    /// Example:
    /// ```rhai
    /// run.hidden_states.save("states.npy")
    /// ```
    #[rhai_fn(name = "save", pure, return_raw)]
    pub fn save(ctx: NativeCallContext, tensor: &mut Tensor, path: &str) -> RhaiResult<()> {
        let state = state_of(&ctx);
        let folder = state.folder.borrow().clone();
        saving::save(tensor, &folder, path, &|| state.check_interrupt()).map_err(|error| error.raise(&ctx))
    }

    /// Saves a map of tensors, such as what a run holds at some sites, as `.safetensors`: `ecco::load` and `ecco::read` give the map
    /// again, with the names of axes.
    ///
    /// Example:
    /// ```rhai
    /// #{states: run.hidden_states, patterns: run.at("attention_pattern")}.save("capture.safetensors")
    /// ecco::load("capture.safetensors").states
    /// ```
    #[rhai_fn(name = "save", pure, return_raw)]
    pub fn save_named(ctx: NativeCallContext, tensors: &mut Map, path: &str) -> RhaiResult<()> {
        let state = state_of(&ctx);
        let folder = state.folder.borrow().clone();
        saving::save_named(tensors, &folder, path, &|| state.check_interrupt())
            .map_err(|error| error.raise(&ctx))
    }

    /// A part of the tensor: for each axis an index (which removes the axis), a range, or `()` for all.
    ///
    /// Example:
    /// ```rhai
    /// output.activations.slice([0, (), 2..5])   // layer 0, all neurons, positions 2, 3 and 4
    /// ```
    #[rhai_fn(name = "slice", pure, return_raw)]
    pub fn slice(ctx: NativeCallContext, tensor: &mut Tensor, parts: Array) -> RhaiResult<Dynamic> {
        super::sliced(tensor, &parts).map_err(|error| error.raise(&ctx))
    }

    /// The entry or sub-tensor at an index of the first axis; negative ones count from the end.
    #[rhai_fn(index_get, pure, return_raw)]
    pub fn at(ctx: NativeCallContext, tensor: &mut Tensor, index: INT) -> RhaiResult<Dynamic> {
        let item = tensor.index(0, index).map_err(|error| error.raise(&ctx))?;
        Ok(item.into_value())
    }

    /// A range of the first axis.
    #[rhai_fn(index_get, pure, return_raw)]
    pub fn at_range(ctx: NativeCallContext, tensor: &mut Tensor, range: Range<INT>) -> RhaiResult<Tensor> {
        tensor
            .slice(0, range.start, range.end)
            .map_err(|error| error.raise(&ctx))
    }

    /// A range of the first axis, its end included.
    #[rhai_fn(index_get, pure, return_raw)]
    pub fn at_range_to(
        ctx: NativeCallContext,
        tensor: &mut Tensor,
        range: RangeInclusive<INT>,
    ) -> RhaiResult<Tensor> {
        super::inclusive(tensor, 0, &range).map_err(|error| error.raise(&ctx))
    }

    #[rhai_fn(name = "to_string", pure)]
    pub fn to_string(tensor: &mut Tensor) -> String {
        tensor.text()
    }

    #[rhai_fn(name = "to_debug", pure)]
    pub fn to_debug(tensor: &mut Tensor) -> String {
        tensor.summary()
    }

    #[rhai_fn(name = "==", pure)]
    pub fn equals(a: &mut Tensor, b: Tensor) -> bool {
        *a == b
    }

    #[rhai_fn(name = "!=", pure)]
    pub fn differs(a: &mut Tensor, b: Tensor) -> bool {
        *a != b
    }

    #[rhai_fn(name = "-", pure, return_raw)]
    pub fn negative(ctx: NativeCallContext, tensor: &mut Tensor) -> RhaiResult<Tensor> {
        Work::of(&ctx, |work| tensor.map(work, &|value| -value))
    }
}

type Operation = fn(f64, f64) -> f64;

/// `+ - * / **` between tensors and numbers in both orders, and comparisons, which give 1 and 0.
pub fn register_arithmetic(engine: &mut Engine) {
    let operations: [(&str, Operation); 9] = [
        ("+", |a, b| a + b),
        ("-", |a, b| a - b),
        ("*", |a, b| a * b),
        ("/", |a, b| a / b),
        ("**", f64::powf),
        ("<", |a, b| f64::from(u8::from(a < b))),
        ("<=", |a, b| f64::from(u8::from(a <= b))),
        (">", |a, b| f64::from(u8::from(a > b))),
        (">=", |a, b| f64::from(u8::from(a >= b))),
    ];
    for (name, f) in operations {
        engine.register_fn(name, move |ctx: NativeCallContext, a: Tensor, b: FLOAT| {
            Work::of(&ctx, |work| a.with_number(b, work, f))
        });
        engine.register_fn(name, move |ctx: NativeCallContext, a: Tensor, b: INT| {
            Work::of(&ctx, |work| a.with_number(b as FLOAT, work, f))
        });
        engine.register_fn(name, move |ctx: NativeCallContext, a: FLOAT, b: Tensor| {
            Work::of(&ctx, |work| b.with_number(a, work, |b, a| f(a, b)))
        });
        engine.register_fn(name, move |ctx: NativeCallContext, a: INT, b: Tensor| {
            Work::of(&ctx, |work| b.with_number(a as FLOAT, work, |b, a| f(a, b)))
        });
        engine.register_fn(name, move |ctx: NativeCallContext, a: Tensor, b: Tensor| {
            Work::of(&ctx, |work| a.zip(&b, work, &f))
        });
    }
}

fn sliced(tensor: &Tensor, parts: &Array) -> Result<Dynamic, ScriptError> {
    if parts.len() > tensor.shape().len() {
        let (n, shape) = (parts.len(), tensor.shape_text());
        let message = format!("{n} parts are more than the tensor has axes: {shape}");
        return Err(ScriptError::new(ErrorKind::Index, message));
    }
    let mut result = tensor.clone();
    let mut axis = 0;
    for part in parts {
        if let Ok(index) = part.as_int() {
            result = result.index(axis, index)?;
            continue;
        }
        if let Some(range) = part.read_lock::<Range<INT>>() {
            result = result.slice(axis, range.start, range.end)?;
        } else if let Some(range) = part.read_lock::<RangeInclusive<INT>>() {
            result = inclusive(&result, axis, &range)?;
        } else if !part.is_unit() {
            return show::expected("an index, a range or ()", part);
        }
        axis += 1;
    }
    Ok(result.into_value())
}

fn inclusive(tensor: &Tensor, axis: usize, range: &RangeInclusive<INT>) -> Result<Tensor, ScriptError> {
    let len = tensor.shape().get(axis).copied().unwrap_or(0) as INT;
    let end = if *range.end() == -1 {
        len
    } else {
        range.end().saturating_add(1)
    };
    tensor.slice(axis, *range.start(), end)
}
