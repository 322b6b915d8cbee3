//! How a tensor is shown.

use ecco_widgets::{Explorable, TensorSummary};
use ndarray::ArrayViewD;
use serde_json::{Map, Value, json};

use super::Tensor;
use super::numbers::{Element, of_numbers};
use crate::errors::ScriptError;
use crate::result::Show;
use crate::result::numbers::{EDGE, short, write_values};

/// Values the JSON form holds at most.
const MOST_JSON_VALUES: usize = 10_000;

impl Tensor {
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

    fn at_a_glance(&self) -> TensorSummary {
        let known = |value: f64| Some(value).filter(|_| !self.data.is_empty());
        TensorSummary {
            name: "tensor".to_owned(),
            shape: self.shape().to_vec(),
            axes: self.axes.iter().map(|&name| name.to_owned()).collect(),
            dtype: self.precision().name().to_owned(),
            min: known(self.min()),
            max: known(self.max()),
            mean: known(self.mean()),
            preview: self
                .data
                .iter()
                .take(2 * EDGE)
                .map(|value| value as f32)
                .collect(),
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
        let bytes = self.precision().bytes() * self.data.len();
        vec![
            ("shape", self.shape_text()),
            ("dtype", self.precision().name().to_owned()),
            ("memory", format!("{bytes} bytes")),
        ]
    }
}

impl Explorable for Tensor {
    fn text(&self) -> String {
        let mut text = self.summary();
        if !self.data.is_empty() {
            text.push('\n');
            of_numbers!(&self.data, array => write_values(&mut text, array.view(), 0));
        }
        text
    }

    fn html(&self) -> Option<String> {
        self.at_a_glance().html()
    }

    /// With the values, where they are few.
    fn json(&self) -> Option<Value> {
        let is_small = self.data.len() <= MOST_JSON_VALUES;
        let data = is_small.then(|| of_numbers!(&self.data, array => nested_json(array.view())));
        let summary = self.at_a_glance();
        TensorSummary { data, ..summary }.json()
    }
}

fn nested_json<T: Element + serde::Serialize>(view: ArrayViewD<T>) -> Value {
    if view.ndim() == 0 {
        return view.first().map_or(Value::Null, |value| json!(value));
    }
    Value::Array(view.outer_iter().map(nested_json).collect())
}
