//! A tensor as scripts see it: shared, never copied into script arrays unless asked.
//!
//! - `numbers`: the values, of 32 or 64 bits; `axes`: names, and how the axes of two tensors go together
//! - `elementwise`, `along` an axis, `ordering`, `shaping`, `product`, `einsum`: what is computed
//! - `making`: tensors of scripts' own; `functions`, `calculation`: what scripts call; `view`: how one is shown
//! - [`work`]: what is asked along the way

mod along;
pub(crate) mod axes;
pub(crate) mod calculation;
mod einsum;
mod elementwise;
pub(crate) mod functions;
pub(crate) mod making;
pub(crate) mod numbers;
mod ordering;
mod product;
mod shaping;
mod view;
pub mod work;

use ndarray::{ArcArray, ArrayD, ArrayViewD, Axis, IxDyn, Slice};
use rhai::{Array, Dynamic};

use self::numbers::{Element, Numbers, map_numbers, of_numbers};
use crate::errors::{ErrorKind, ScriptError};

pub use self::making::{NewTensorOptions, lengths, named};
pub use self::numbers::Precision;

/// An array of floats with a name for each axis. Cloning, indexing and slicing share its memory.
#[derive(Debug, Clone)]
pub struct Tensor {
    data: Numbers,
    axes: Vec<&'static str>,
}

impl Tensor {
    /// `axes` names the axes; missing names are empty.
    pub fn new(data: ArrayD<f32>, axes: &[&'static str]) -> Self {
        Self::shared(data.into_shared(), axes)
    }

    pub fn shared(data: ArcArray<f32, IxDyn>, axes: &[&'static str]) -> Self {
        Self::of(Numbers::F32(data), axes)
    }

    /// The same of 64-bit floats.
    pub fn exact(data: ArrayD<f64>, axes: &[&'static str]) -> Self {
        Self::of(Numbers::F64(data.into_shared()), axes)
    }

    pub(crate) fn of(data: Numbers, axes: &[&'static str]) -> Self {
        let names = (0..data.shape().len()).map(|axis| axes.get(axis).copied().unwrap_or(""));
        Self {
            axes: names.collect(),
            data,
        }
    }

    pub fn precision(&self) -> Precision {
        self.data.precision()
    }

    /// The same values, as 32- or 64-bit floats.
    pub fn to_precision(&self, precision: Precision) -> Self {
        Self {
            data: self.data.to_precision(precision),
            axes: self.axes.clone(),
        }
    }

    /// The same values with other names of the axes, one each.
    pub(crate) fn with_axes(self, axes: &[&'static str]) -> Self {
        Self::of(self.data, axes)
    }

    pub(crate) fn numbers(&self) -> &Numbers {
        &self.data
    }

    pub fn shape(&self) -> &[usize] {
        self.data.shape()
    }

    pub fn axes(&self) -> &[&'static str] {
        &self.axes
    }

    /// The values as 32-bit floats, shared where they are.
    pub fn data(&self) -> ArcArray<f32, IxDyn> {
        self.data.to_f32()
    }

    /// The values as 64-bit floats, shared where they are.
    pub fn exact_data(&self) -> ArcArray<f64, IxDyn> {
        self.data.to_f64()
    }

    /// The length of the first axis.
    pub fn len(&self) -> usize {
        self.shape().first().copied().unwrap_or(0)
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// `t[index]` on `axis`; a negative index counts from the end.
    pub fn index(&self, axis: usize, index: i64) -> Result<Self, ScriptError> {
        let len = self.axis_len(axis)?;
        let at = position(index, len).ok_or_else(|| self.out_of_range(axis, &index.to_string(), len))?;
        let mut axes = self.axes.clone();
        axes.remove(axis);
        Ok(Self {
            data: map_numbers!(self.data.clone(), array => array.index_axis_move(Axis(axis), at)),
            axes,
        })
    }

    /// `t[start..end]` on `axis`; negative bounds count from the end.
    pub fn slice(&self, axis: usize, start: i64, end: i64) -> Result<Self, ScriptError> {
        let len = self.axis_len(axis)?;
        // `2..` goes as far as there is something.
        let end = if end == i64::MAX { len as i64 } else { end };
        let bound = |index: i64| {
            let index = if index < 0 { index + len as i64 } else { index };
            usize::try_from(index).ok().filter(|&index| index <= len)
        };
        let range = bound(start).zip(bound(end)).filter(|(from, to)| from <= to);
        let (from, to) = range.ok_or_else(|| self.out_of_range(axis, &format!("{start}..{end}"), len))?;
        let data = map_numbers!(self.data.clone(), array => {
            let mut array = array;
            array.slice_axis_inplace(Axis(axis), Slice::from(from..to));
            array
        });
        Ok(Self {
            data,
            axes: self.axes.clone(),
        })
    }

    /// The value itself when no axis is left, else the tensor.
    pub fn into_value(self) -> Dynamic {
        match self.axes.len() {
            0 => Dynamic::from_float(self.data.iter().next().unwrap_or(f64::NAN)),
            _ => Dynamic::from(self),
        }
    }

    fn axis_len(&self, axis: usize) -> Result<usize, ScriptError> {
        self.shape().get(axis).copied().ok_or_else(|| {
            let dimensions = self.shape().len();
            ScriptError::new(
                ErrorKind::Index,
                format!("the tensor has {dimensions} axes, not {}", axis + 1),
            )
        })
    }

    fn out_of_range(&self, axis: usize, index: &str, len: usize) -> ScriptError {
        let name = match self.axes[axis] {
            "" => format!("axis {axis}"),
            name => format!("axis {axis} ({name})"),
        };
        let error = ScriptError::new(
            ErrorKind::Index,
            format!("index {index} is out of range for {name}"),
        );
        match len {
            0 => error.with_hint("that axis is empty"),
            _ => error.with_hint(format!(
                "valid are 0 to {} and, from the end, -1 to -{len}",
                len - 1
            )),
        }
    }

    /// Smallest value; NaN are passed over.
    pub fn min(&self) -> f64 {
        self.data.iter().fold(f64::NAN, f64::min)
    }

    /// Largest value; NaN are passed over.
    pub fn max(&self) -> f64 {
        self.data.iter().fold(f64::NAN, f64::max)
    }

    pub fn sum(&self) -> f64 {
        self.data.iter().sum::<f64>() + 0.0
    }

    /// NaN for an empty tensor.
    pub fn mean(&self) -> f64 {
        self.sum() / self.data.len() as f64
    }

    /// Nested script arrays of floats.
    pub fn to_array(&self) -> Array {
        of_numbers!(&self.data, array => nested(array.view(), &|| Ok(()))).unwrap_or_default()
    }

    /// The same, asking all along whether to go on.
    pub(crate) fn to_array_while(
        &self,
        check: &dyn Fn() -> Result<(), ScriptError>,
    ) -> Result<Array, ScriptError> {
        of_numbers!(&self.data, array => nested(array.view(), check))
    }
}

impl PartialEq for Tensor {
    /// Same shape and values; the names of the axes do not count.
    fn eq(&self, other: &Self) -> bool {
        self.data == other.data
    }
}

impl IntoIterator for Tensor {
    type Item = Dynamic;
    type IntoIter = Box<dyn Iterator<Item = Dynamic>>;

    /// Over the first axis.
    fn into_iter(self) -> Self::IntoIter {
        let len = if self.axes.is_empty() { 0 } else { self.len() };
        let items =
            (0..len).map(move |at| self.index(0, at as i64).map_or(Dynamic::UNIT, Tensor::into_value));
        Box::new(items)
    }
}

fn position(index: i64, len: usize) -> Option<usize> {
    let index = if index < 0 {
        index.checked_add(len as i64)?
    } else {
        index
    };
    usize::try_from(index).ok().filter(|&index| index < len)
}

fn nested<T: Element>(
    view: ArrayViewD<T>,
    check: &dyn Fn() -> Result<(), ScriptError>,
) -> Result<Array, ScriptError> {
    check()?;
    if view.ndim() == 1 {
        let values = view.iter().map(|&value| Dynamic::from_float(value.into()));
        return Ok(values.collect());
    }
    view.outer_iter()
        .map(|inner| nested(inner, check).map(Dynamic::from_array))
        .collect()
}

#[cfg(test)]
mod tests {

    use super::*;
    use crate::result::numbers::short;

    fn example() -> Tensor {
        let data = ArrayD::from_shape_fn(IxDyn(&[2, 3, 4]), |at| (at[0] * 12 + at[1] * 4 + at[2]) as f32);
        Tensor::new(data, &["layer", "neuron", "position"])
    }

    #[test]
    fn views_share_memory() {
        let tensor = example();
        let row = tensor
            .index(0, 1)
            .and_then(|layer| layer.slice(0, 1, -1))
            .expect("in range");
        assert_eq!(row.shape(), [1, 4]);
        assert_eq!(row.axes(), ["neuron", "position"]);
        let begin = tensor.data().as_ptr() as usize;
        assert!(
            (begin..begin + 24 * 4).contains(&(row.data().as_ptr() as usize)),
            "a slice copied its values"
        );
        assert_eq!(row.sum(), (16 + 17 + 18 + 19) as f64);
    }

    #[test]
    fn out_of_range_names_axis_and_range() {
        let error = example()
            .index(0, 1)
            .and_then(|layer| layer.index(0, 3))
            .expect_err("3 of 3");
        assert_eq!(error.message, "index 3 is out of range for axis 0 (neuron)");
        assert_eq!(
            error.hint.as_deref(),
            Some("valid are 0 to 2 and, from the end, -1 to -3")
        );
        assert!(example().slice(0, 2, 1).is_err());
        let open = example()
            .slice(2, -2, i64::MAX)
            .expect("as far as there is something");
        assert_eq!(open.shape()[2], 2);
        assert!(example().index(0, i64::MIN).is_err());
    }

    #[test]
    fn prints_short() {
        let long = Tensor::new(
            ArrayD::from_shape_fn(IxDyn(&[100]), |at| at[0] as f32),
            &["position"],
        );
        assert_eq!(
            long.text(),
            "tensor (position 100), min 0, max 99, mean 49.5\n[0, 1, 2, …, 97, 98, 99]"
        );
        assert_eq!(short(0.000012345), "1.23e-5");
        assert_eq!(short(-2.34567), "-2.346");
    }
}
