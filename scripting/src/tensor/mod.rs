//! A tensor as scripts see it: shared, never copied into script arrays unless asked.

pub(crate) mod functions;

use ecco_widgets::Explorable;
use ecco_widgets::TensorSummary;
use ndarray::{ArcArray, ArrayD, ArrayViewD, Axis, IxDyn, Slice};
use rhai::{Array, Dynamic};
use serde_json::{Map, Value, json};

use crate::errors::{ErrorKind, ScriptError};
use crate::result::Show;
use crate::result::numbers::{EDGE, short, write_values};

/// An array of 32-bit floats with a name for each axis. Cloning, indexing and slicing share its memory.
#[derive(Debug, Clone)]
pub struct Tensor {
    data: ArcArray<f32, IxDyn>,
    axes: Vec<&'static str>,
}

/// Values the JSON form holds at most.
const MOST_JSON_VALUES: usize = 10_000;

impl Tensor {
    /// `axes` names the axes; missing names are empty.
    pub fn new(data: ArrayD<f32>, axes: &[&'static str]) -> Self {
        Self::shared(data.into_shared(), axes)
    }

    pub fn shared(data: ArcArray<f32, IxDyn>, axes: &[&'static str]) -> Self {
        let names = (0..data.ndim()).map(|axis| axes.get(axis).copied().unwrap_or(""));
        Self {
            axes: names.collect(),
            data,
        }
    }

    pub fn shape(&self) -> &[usize] {
        self.data.shape()
    }

    pub fn axes(&self) -> &[&'static str] {
        &self.axes
    }

    pub fn view(&self) -> ArrayViewD<'_, f32> {
        self.data.view()
    }

    /// The values, shared.
    pub fn into_data(self) -> ArcArray<f32, IxDyn> {
        self.data
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
            data: self.data.clone().index_axis_move(Axis(axis), at),
            axes,
        })
    }

    /// `t[start..end]` on `axis`; negative bounds count from the end.
    pub fn slice(&self, axis: usize, start: i64, end: i64) -> Result<Self, ScriptError> {
        let len = self.axis_len(axis)?;
        let bound = |index: i64| {
            let index = if index < 0 { index + len as i64 } else { index };
            usize::try_from(index).ok().filter(|&index| index <= len)
        };
        let range = bound(start).zip(bound(end)).filter(|(from, to)| from <= to);
        let (from, to) = range.ok_or_else(|| self.out_of_range(axis, &format!("{start}..{end}"), len))?;
        let mut data = self.data.clone();
        data.slice_axis_inplace(Axis(axis), Slice::from(from..to));
        Ok(Self {
            data,
            axes: self.axes.clone(),
        })
    }

    /// The value itself when no axis is left, else the tensor.
    pub fn into_value(self) -> Dynamic {
        match self.data.ndim() {
            0 => Dynamic::from_float(self.data.first().copied().map_or(f64::NAN, f64::from)),
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
        self.data.iter().copied().fold(f32::NAN, f32::min).into()
    }

    /// Largest value; NaN are passed over.
    pub fn max(&self) -> f64 {
        self.data.iter().copied().fold(f32::NAN, f32::max).into()
    }

    pub fn sum(&self) -> f64 {
        self.data.iter().map(|&value| f64::from(value)).sum()
    }

    /// NaN for an empty tensor.
    pub fn mean(&self) -> f64 {
        self.sum() / self.data.len() as f64
    }

    /// Nested script arrays of floats.
    pub fn to_array(&self) -> Array {
        nested(self.data.view(), &|| Ok(())).unwrap_or_default()
    }

    /// The same, asking all along whether to go on.
    pub(crate) fn to_array_while(
        &self,
        check: &dyn Fn() -> Result<(), ScriptError>,
    ) -> Result<Array, ScriptError> {
        nested(self.data.view(), check)
    }

    pub fn map(&self, f: impl FnMut(f32) -> f32) -> Self {
        let mut f = f;
        Self {
            data: self.data.map(|&value| f(value)).into_shared(),
            axes: self.axes.clone(),
        }
    }

    /// Element by element; the smaller shape is repeated along the larger (broadcasting).
    pub fn zip(&self, other: &Self, f: impl Fn(f32, f32) -> f32) -> Result<Self, ScriptError> {
        let (a, b) = (self.view(), other.view());
        let (a, b, axes) = if let Some(b) = b.broadcast(a.raw_dim()) {
            (a.view(), b, &self.axes)
        } else if let Some(a) = a.broadcast(b.raw_dim()) {
            (a, b.view(), &other.axes)
        } else {
            let shapes = (self.shape_text(), other.shape_text());
            let message = format!("shapes {} and {} do not go together", shapes.0, shapes.1);
            return Err(ScriptError::new(ErrorKind::Value, message));
        };
        let mut result = a.to_owned();
        result.zip_mut_with(&b, |x, &y| *x = f(*x, y));
        Ok(Self {
            data: result.into_shared(),
            axes: axes.clone(),
        })
    }

    /// `(layer 2, neuron 1024, position 30)`
    pub fn shape_text(&self) -> String {
        let axes = self.axes.iter().zip(self.shape());
        let parts = axes.map(|(name, len)| match *name {
            "" => len.to_string(),
            name => format!("{name} {len}"),
        });
        format!("({})", parts.collect::<Vec<_>>().join(", "))
    }

    /// One line: shape and what the values are like.
    pub fn summary(&self) -> String {
        let shape = self.shape_text();
        if self.data.is_empty() {
            return format!("tensor {shape}, empty");
        }
        let (min, max, mean) = (self.min(), self.max(), self.mean());
        format!(
            "tensor {shape}, min {}, max {}, mean {}",
            short(min),
            short(max),
            short(mean)
        )
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

impl Tensor {
    fn at_a_glance(&self) -> TensorSummary {
        let known = |value: f64| Some(value).filter(|_| !self.data.is_empty());
        TensorSummary {
            name: "tensor".to_owned(),
            shape: self.shape().to_vec(),
            axes: self.axes.iter().map(|&name| name.to_owned()).collect(),
            dtype: "float32".to_owned(),
            min: known(self.min()),
            max: known(self.max()),
            mean: known(self.mean()),
            preview: self.data.iter().take(2 * EDGE).copied().collect(),
            data: None,
        }
    }

    /// Its JSON document without the values.
    pub fn document(&self) -> Map<String, Value> {
        match self.at_a_glance().json() {
            Some(Value::Object(document)) => document,
            _ => Map::new(),
        }
    }
}

impl Show for Tensor {
    fn view(&self) -> Result<Box<dyn Explorable>, ScriptError> {
        Ok(Box::new(self.clone()))
    }

    fn line(&self) -> String {
        self.summary()
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        let bytes = size_of::<f32>() * self.shape().iter().product::<usize>();
        vec![
            ("shape", self.shape_text()),
            ("dtype", "float32".to_owned()),
            ("memory", format!("{bytes} bytes")),
        ]
    }
}

impl Explorable for Tensor {
    fn text(&self) -> String {
        let mut text = self.summary();
        if !self.data.is_empty() {
            text.push('\n');
            write_values(&mut text, self.data.view(), 0);
        }
        text
    }

    fn html(&self) -> Option<String> {
        self.at_a_glance().html()
    }

    /// With the values, where they are few.
    fn json(&self) -> Option<Value> {
        let is_small = self.data.len() <= MOST_JSON_VALUES;
        let data = is_small.then(|| nested_json(self.data.view()));
        let summary = self.at_a_glance();
        TensorSummary { data, ..summary }.json()
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

fn nested(view: ArrayViewD<f32>, check: &dyn Fn() -> Result<(), ScriptError>) -> Result<Array, ScriptError> {
    check()?;
    if view.ndim() == 1 {
        let values = view.iter().map(|&value| Dynamic::from_float(f64::from(value)));
        return Ok(values.collect());
    }
    view.outer_iter()
        .map(|inner| nested(inner, check).map(Dynamic::from_array))
        .collect()
}

fn nested_json(view: ArrayViewD<f32>) -> Value {
    if view.ndim() == 0 {
        return view.first().map_or(Value::Null, |&value| json!(value));
    }
    Value::Array(view.outer_iter().map(nested_json).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let inside = tensor.view().as_ptr() as usize..tensor.view().as_ptr() as usize + 24 * 4;
        assert!(
            inside.contains(&(row.view().as_ptr() as usize)),
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
        assert!(example().index(0, i64::MIN).is_err());
    }

    #[test]
    fn broadcasts_or_says_why_not() {
        let row = Tensor::new(ArrayD::from_elem(IxDyn(&[4]), 1.0), &["position"]);
        let sum = example()
            .zip(&row, |a, b| a + b)
            .expect("4 repeats along (2, 3, 4)");
        assert_eq!(sum.sum(), 276.0 + 24.0);
        let wrong = Tensor::new(ArrayD::from_elem(IxDyn(&[5]), 1.0), &[]);
        let error = example().zip(&wrong, |a, b| a + b).expect_err("5 against 4");
        assert!(error.message.contains("(5)"), "{}", error.message);
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
