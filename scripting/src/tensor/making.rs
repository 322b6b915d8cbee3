//! Tensors of scripts' own: of arrays, of one value, of ranges.

use ndarray::{ArrayD, IxDyn};
use rhai::{Array, Dynamic, FLOAT};

use super::Tensor;
use super::axes::axis_names;
use super::einsum::einsum;
use super::numbers::{Numbers, Precision};
use super::shaping::{joined, stacked};
use super::work::Work;
use crate::errors::{ErrorKind, ScriptError};
use crate::options::{Choice, OneOrMany};
use crate::registry::Registry;
use crate::result::show;
use crate::{functions, options};

options! {
    /// What a new tensor can be told.
    pub struct NewTensorOptions {
        /// how exact its values are
        dtype: Choice<Precision> = Choice(Precision::Float32),
        /// the names of its axes
        axes: Option<OneOrMany<String>> = "none",
    }
}

pub(crate) fn register(registry: &mut Registry) {
    functions! { registry, "ecco";
        /// A tensor of nested arrays of numbers, all of one length at each level, or of tensors.
        ///
        /// Example:
        /// ```rhai
        /// ecco::tensor([[1, 2], [3, 4]], #{axes: ["row", "column"]})
        /// ```
        fn tensor(state, array: Array; options: NewTensorOptions) -> Tensor {
            named(of_array(&array, options.dtype.0, &Work::new(state))?, options.axes)
        }

        /// A tensor of zeros, of a shape such as `[2, 3]`.
        fn zeros(state, shape: Array; options: NewTensorOptions) -> Tensor {
            filled(&shape, 0.0, options, &Work::new(state))
        }

        /// A tensor of ones, of a shape such as `[2, 3]`.
        fn ones(state, shape: Array; options: NewTensorOptions) -> Tensor {
            filled(&shape, 1.0, options, &Work::new(state))
        }

        /// The numbers 0, 1, 2 … before `end`.
        fn arange(state, end: Dynamic; options: NewTensorOptions) -> Tensor {
            range([0.0, number(&end)?, 1.0], options, &Work::new(state))
        }

        /// The numbers from `start` on before `end`, each by `step` more than the one before.
        ///
        /// Example:
        /// ```rhai
        /// ecco::arange(0.0, 1.0, 0.25)   // 0, 0.25, 0.5, 0.75
        /// ```
        fn arange(state, start: Dynamic, end: Dynamic, step: Dynamic; options: NewTensorOptions) -> Tensor {
            range([number(&start)?, number(&end)?, number(&step)?], options, &Work::new(state))
        }

        /// The identity: a square matrix with ones on its diagonal.
        fn eye(state, n: i64; options: NewTensorOptions) -> Tensor {
            let mut matrix = filled(&[n, n].map(Dynamic::from_int).to_vec(), 0.0, options, &Work::new(state))?;
            match &mut matrix.data {
                Numbers::F32(array) => array.diag_mut().fill(1.0),
                Numbers::F64(array) => array.diag_mut().fill(1.0),
            }
            Ok(matrix)
        }

        /// Tensors one after the other along an axis, by name or number.
        ///
        /// Example:
        /// ```rhai
        /// ecco::concat([a.hidden_states, b.hidden_states], "position")
        /// ```
        fn concat(state, tensors: Array, axis: Dynamic) -> Tensor {
            joined(&of_tensors(&tensors)?, &axis, &Work::new(state))
        }

        /// Tensors of one shape beside each other, along a new axis: its number, or its name, which is then the first.
        ///
        /// Example:
        /// ```rhai
        /// ecco::stack([a.logits[-1], b.logits[-1]], "text")
        /// ```
        fn stack(state, tensors: Array, axis: Dynamic) -> Tensor {
            stacked(&of_tensors(&tensors)?, &axis, &Work::new(state))
        }

        /// The sum of products over the axes that the result has not (Einstein's convention). Axes are named in the
        /// pattern, by words or by letters; the names need not be the tensors' own, and the result has them.
        ///
        /// Example:
        /// ```rhai
        /// ecco::einsum("head query key, head key dim -> query dim", [patterns, values])
        /// ecco::einsum("ij,jk->ik", [a, b])
        /// ```
        fn einsum(state, pattern: &str, tensors: Array) -> Dynamic {
            einsum(pattern, &of_tensors(&tensors)?, &Work::new(state)).map(Tensor::into_value)
        }
    }
}

pub(crate) fn number(value: &Dynamic) -> Result<FLOAT, ScriptError> {
    if let Ok(number) = value.as_int() {
        return Ok(number as FLOAT);
    }
    if let Ok(truth) = value.as_bool() {
        return Ok(f64::from(u8::from(truth)));
    }
    value.as_float().or_else(|_| show::expected("a number", value))
}

/// The tensors in an array.
pub(crate) fn of_tensors(array: &Array) -> Result<Vec<Tensor>, ScriptError> {
    let tensor = |value: &Dynamic| match value.read_lock::<Tensor>() {
        Some(tensor) => Ok(tensor.clone()),
        None => show::expected("a tensor", value),
    };
    array.iter().map(tensor).collect()
}

/// The tensor with the names that options give its axes.
///
/// # Errors
/// Another number of names, texts that are none.
pub fn named(mut tensor: Tensor, names: Option<OneOrMany<String>>) -> Result<Tensor, ScriptError> {
    if let Some(OneOrMany(names)) = names {
        let names: Array = names.into_iter().map(Dynamic::from).collect();
        tensor = tensor
            .with_names(&names)
            .map_err(|error| error.pointing_at("axes"))?;
    }
    Ok(tensor)
}

impl Tensor {
    /// The same values with other names of the axes, one each.
    ///
    /// # Errors
    /// Another number of names, texts that are none.
    pub(crate) fn with_names(&self, names: &Array) -> Result<Self, ScriptError> {
        let names = axis_names(names)?;
        if names.len() == self.axes.len() {
            return Ok(Self::of(self.data.clone(), &names));
        }
        let message = format!("{} names for the axes of {}", names.len(), self.shape_text());
        Err(ScriptError::new(ErrorKind::Value, message).with_hint("one for each axis; \"\" for none"))
    }
}

/// A tensor of a new shape, and all of one value.
fn filled(shape: &Array, value: f64, options: NewTensorOptions, work: &Work) -> Result<Tensor, ScriptError> {
    let shape = lengths(shape)?;
    let precision = options.dtype.0;
    work.room(&shape, precision.bytes())?;
    let shape = IxDyn(&shape);
    let data = match precision {
        Precision::Float32 => Numbers::F32(ArrayD::from_elem(shape, value as f32).into_shared()),
        Precision::Float64 => Numbers::F64(ArrayD::from_elem(shape, value).into_shared()),
    };
    work.check()?;
    named(Tensor::of(data, &[]), options.axes)
}

/// The lengths of axes.
///
/// # Errors
/// What is no length, none at all.
pub fn lengths(shape: &Array) -> Result<Vec<usize>, ScriptError> {
    if shape.is_empty() || shape.len() > MOST_AXES {
        let message = format!("a shape has 1 to {MOST_AXES} lengths, not {}", shape.len());
        return Err(ScriptError::new(ErrorKind::Value, message).with_hint("for example [2, 3]"));
    }
    let len = |len: &Dynamic| match len.as_int().ok().and_then(|len| usize::try_from(len).ok()) {
        Some(len) => Ok(len),
        None => show::expected("the length of an axis", len),
    };
    shape.iter().map(len).collect()
}

/// numpy's limit.
const MOST_AXES: usize = 64;

/// As numpy counts them: `start + step · i`.
fn range(
    [start, end, step]: [f64; 3],
    options: NewTensorOptions,
    work: &Work,
) -> Result<Tensor, ScriptError> {
    let n = ((end - start) / step).ceil();
    if step == 0.0 || !n.is_finite() {
        let message = format!("there is no range from {start} to {end} by {step}");
        return Err(ScriptError::new(ErrorKind::Value, message));
    }
    let n = n.max(0.0) as usize;
    work.room(&[n], size_of::<f64>() + options.dtype.0.bytes())?;
    let mut values = Vec::with_capacity(n);
    for at in 0..n {
        values.push(start + step * at as f64);
        work.step(1)?;
    }
    let array = ArrayD::from_shape_vec(IxDyn(&[n]), values).unwrap_or_default();
    named(
        Tensor::exact(array, &[]).to_precision(options.dtype.0),
        options.axes,
    )
}

/// Nested arrays, or tensors in an array, as one tensor.
fn of_array(array: &Array, precision: Precision, work: &Work) -> Result<Tensor, ScriptError> {
    let mut read = Nested {
        shape: Vec::new(),
        values: Vec::new(),
        work,
    };
    if array.iter().any(|item| item.is::<Tensor>()) {
        let tensors = of_tensors(array)?;
        return Ok(stacked(&tensors, &Dynamic::from_int(0), work)?.to_precision(precision));
    }
    read.walk(array, 0)?;
    let values = ArrayD::from_shape_vec(IxDyn(&read.shape), read.values);
    let values = values.map_err(|error| ScriptError::new(ErrorKind::Value, error.to_string()))?;
    Ok(Tensor::exact(values, &[]).to_precision(precision))
}

struct Nested<'a> {
    shape: Vec<usize>,
    values: Vec<f64>,
    work: &'a Work,
}

impl Nested<'_> {
    fn walk(&mut self, array: &Array, depth: usize) -> Result<(), ScriptError> {
        if depth >= MOST_AXES {
            let message = format!("a tensor has at most {MOST_AXES} axes");
            return Err(ScriptError::new(ErrorKind::Value, message));
        }
        match self.shape.get(depth) {
            None => self.shape.push(array.len()),
            Some(len) if *len == array.len() => {}
            Some(len) => {
                let message = format!(
                    "the rows are not of one length: {len} and {} at level {depth}",
                    array.len()
                );
                return Err(ScriptError::new(ErrorKind::Value, message));
            }
        }
        self.work.step(array.len())?;
        if array.is_empty() || !array[0].is_array() {
            if self.shape.len() > depth + 1 {
                return self.uneven();
            }
            self.work
                .room(&[self.values.len() + array.len()], 2 * size_of::<f64>())?;
            for item in array {
                self.values.push(number(item)?);
            }
            return Ok(());
        }
        for item in array {
            match item.as_array_ref() {
                Ok(inner) => self.walk(&inner, depth + 1)?,
                Err(_) => return show::expected("an array, as those before it", item),
            }
        }
        Ok(())
    }

    fn uneven(&self) -> Result<(), ScriptError> {
        Err(ScriptError::new(
            ErrorKind::Value,
            "the rows are not nested equally deep",
        ))
    }
}
