//! Axes by name or number, and how the axes of two tensors go together.

use std::cell::RefCell;
use std::collections::HashSet;

use rhai::{Array, Dynamic};

use super::Tensor;
use crate::errors::{ErrorKind, ScriptError};
use crate::result::show;

/// Names of axes are kept for good, so there are so many at most, and they are so long.
const MOST_NAMES: usize = 4096;
const LONGEST_NAME: usize = 64;

/// A name for an axis: letters, digits, `_` and `-`.
///
/// # Errors
/// Another text, and more names than a session needs.
pub(crate) fn axis_name(name: &str) -> Result<&'static str, ScriptError> {
    thread_local! {
        static NAMES: RefCell<HashSet<&'static str>> = RefCell::default();
    }
    let is_plain = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
    if name.len() > LONGEST_NAME || !name.chars().all(is_plain) {
        let message = format!("{name:?} is no name for an axis");
        return Err(ScriptError::new(ErrorKind::Value, message).with_hint(format!(
            "letters, digits, _ and -, at most {LONGEST_NAME} bytes: \"position\""
        )));
    }
    NAMES.with_borrow_mut(|names| {
        if let Some(known) = names.get(name) {
            return Ok(*known);
        }
        if names.len() >= MOST_NAMES {
            let message = format!("there are {MOST_NAMES} names of axes already");
            return Err(ScriptError::new(ErrorKind::Value, message).with_hint("use one of them again"));
        }
        let kept: &'static str = name.to_owned().leak();
        names.insert(kept);
        Ok(kept)
    })
}

/// The names in an array of texts.
pub(crate) fn axis_names(names: &Array) -> Result<Vec<&'static str>, ScriptError> {
    let name = |name: &Dynamic| match name.as_immutable_string_ref() {
        Ok(text) => axis_name(&text),
        Err(_) => show::expected("the name of an axis", name),
    };
    names.iter().map(name).collect()
}

impl Tensor {
    /// The axis that a name or a number says; negative numbers count from the last.
    ///
    /// # Errors
    /// An axis that the tensor has not, another value.
    pub(crate) fn axis(&self, axis: &Dynamic) -> Result<usize, ScriptError> {
        if let Ok(number) = axis.as_int() {
            let from_last = number < 0;
            let at = if from_last {
                number.checked_add(self.shape().len() as i64)
            } else {
                Some(number)
            };
            let at = at.and_then(|at| usize::try_from(at).ok());
            let at = at.filter(|at| *at < self.shape().len());
            return at.ok_or_else(|| self.no_axis(&number.to_string()));
        }
        let Ok(name) = axis.as_immutable_string_ref() else {
            return show::expected("the name or number of an axis", axis);
        };
        let found = self
            .axes()
            .iter()
            .position(|of| !of.is_empty() && *of == name.as_str());
        found.ok_or_else(|| {
            self.no_axis(&format!("{:?}", name.as_str()))
                .with_nearest(&name, self.axes().iter().copied())
        })
    }

    /// One axis, or an array of several, each once.
    pub(crate) fn several_axes(&self, axes: &Dynamic) -> Result<Vec<usize>, ScriptError> {
        let Ok(array) = axes.as_array_ref() else {
            return Ok(vec![self.axis(axes)?]);
        };
        let mut all = Vec::new();
        for axis in array.iter() {
            let at = self.axis(axis)?;
            if all.contains(&at) {
                let message = format!("axis {at} is named twice");
                return Err(ScriptError::new(ErrorKind::Value, message));
            }
            all.push(at);
        }
        Ok(all)
    }

    fn no_axis(&self, axis: &str) -> ScriptError {
        let message = format!("there is no axis {axis} in {}", self.shape_text());
        let n = self.shape().len();
        let error = ScriptError::new(ErrorKind::Index, message);
        match n {
            0 => error,
            _ => error.with_hint(format!(
                "an axis is a number from 0 to {}, or -1 to -{n} from the last, or its name",
                n - 1
            )),
        }
    }

    /// Whether every axis has a name of its own.
    fn is_named(&self) -> bool {
        let names = self.axes();
        let once = |(at, name): (usize, &&str)| !name.is_empty() && !names[..at].contains(name);
        names.iter().enumerate().all(once)
    }
}

/// How two tensors go together, value by value.
pub(crate) struct Alignment {
    pub shape: Vec<usize>,
    pub names: Vec<&'static str>,
    /// For each axis of the result, that of the first tensor.
    pub first: Vec<Option<usize>>,
    pub second: Vec<Option<usize>>,
}

impl Alignment {
    /// By names where every axis has one and one tensor's are all among the other's; else from the last axis on, as
    /// numpy does. An axis of length 1 is repeated.
    ///
    /// # Errors
    /// Lengths that differ, with both shapes.
    pub(crate) fn of(a: &Tensor, b: &Tensor) -> Result<Self, ScriptError> {
        let among = |few: &Tensor, many: &Tensor| few.axes().iter().all(|name| many.axes().contains(name));
        let by_name = a.is_named() && b.is_named();
        let (names, first, second) = if by_name && among(b, a) {
            by_names(a.axes(), a, b)
        } else if by_name && among(a, b) {
            by_names(b.axes(), a, b)
        } else {
            by_place(a, b)
        };
        let len = |tensor: &Tensor, axis: Option<usize>| axis.map_or(1, |axis| tensor.shape()[axis]);
        let mut shape = Vec::new();
        for (of_a, of_b) in first.iter().zip(&second) {
            shape.push(match (len(a, *of_a), len(b, *of_b)) {
                (a, b) if a == b => a,
                (1, b) => b,
                (a, 1) => a,
                _ => return Err(mismatch(a, b)),
            });
        }
        Ok(Self {
            shape,
            names,
            first,
            second,
        })
    }
}

type Places = Vec<Option<usize>>;

fn by_names(names: &[&'static str], a: &Tensor, b: &Tensor) -> (Vec<&'static str>, Places, Places) {
    let places = |tensor: &Tensor| -> Places {
        let place = |name: &&str| tensor.axes().iter().position(|of| of == name);
        names.iter().map(place).collect()
    };
    (names.to_vec(), places(a), places(b))
}

fn by_place(a: &Tensor, b: &Tensor) -> (Vec<&'static str>, Places, Places) {
    let n = a.shape().len().max(b.shape().len());
    let places = |tensor: &Tensor| -> Places {
        let missing = n - tensor.shape().len();
        (0..n).map(|axis| axis.checked_sub(missing)).collect()
    };
    let (first, second) = (places(a), places(b));
    let name = |tensor: &Tensor, axis: Option<usize>| axis.map_or("", |axis| tensor.axes()[axis]);
    let both = first.iter().zip(&second);
    let names = both.map(|(of_a, of_b)| match name(a, *of_a) {
        "" => name(b, *of_b),
        name => name,
    });
    (names.collect(), first.clone(), second.clone())
}

/// Two shapes that do not go together.
pub(crate) fn mismatch(a: &Tensor, b: &Tensor) -> ScriptError {
    let message = format!(
        "shapes {} and {} do not go together",
        a.shape_text(),
        b.shape_text()
    );
    ScriptError::new(ErrorKind::Value, message)
        .with_hint("axes are matched by name where all have one, else from the last; lengths are equal or 1")
}
