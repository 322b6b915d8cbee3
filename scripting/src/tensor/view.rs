//! How a tensor is shown.

use ecco_widgets::tensor_summary::{MOST_CELLS, places};
use ecco_widgets::{Explorable, Histogram, TensorCells, TensorSummary};
use ndarray::{ArrayViewD, Axis};
use serde_json::{Map, Value, json};

use super::Tensor;
use super::numbers::{Element, map_numbers, of_numbers};
use crate::errors::ScriptError;
use crate::result::Show;
use crate::result::numbers::{EDGE, short, write_values};

/// Bins of the histogram.
const BINS: usize = 48;

/// What the finite values are like, and how many are not.
#[derive(Default)]
struct Spread {
    n: usize,
    squares: f64,
    ends: Option<(f64, f64)>,
    n_nan: usize,
    n_infinite: usize,
}

impl Spread {
    fn of(values: impl Iterator<Item = f64>) -> Self {
        let mut found = Self::default();
        for value in values {
            if value.is_finite() {
                found.n += 1;
                found.squares += value * value;
                let (low, high) = found.ends.unwrap_or((value, value));
                found.ends = Some((low.min(value), high.max(value)));
            } else if value.is_nan() {
                found.n_nan += 1;
            } else {
                found.n_infinite += 1;
            }
        }
        found
    }

    /// The size that has the deepest colour, so that a few very large values leave the others theirs.
    fn deepest(&self) -> f64 {
        let (low, high) = self.ends.unwrap_or_default();
        let largest = low.abs().max(high.abs());
        largest.min(3.0 * (self.squares / self.n.max(1) as f64).sqrt())
    }

    fn histogram(&self, values: impl Iterator<Item = f64>) -> Option<Histogram> {
        let (start, end) = self
            .ends
            .filter(|(low, high)| low < high && (high - low).is_finite())?;
        let mut counts = vec![0; BINS];
        for value in values.filter(|value| value.is_finite()) {
            let bin = (value - start) / (end - start) * BINS as f64;
            counts[(bin as usize).min(BINS - 1)] += 1;
        }
        Some(Histogram { start, end, counts })
    }
}

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
        let spread = Spread::of(self.data.iter());
        let is_small = self.data.len() <= MOST_CELLS;
        TensorSummary {
            name: "tensor".to_owned(),
            shape: self.shape().to_vec(),
            axes: self.axes.iter().map(|&name| name.to_owned()).collect(),
            dtype: self.precision().name().to_owned(),
            min: known(self.min()),
            max: known(self.max()),
            mean: known(self.mean()),
            n_nan: spread.n_nan,
            n_infinite: spread.n_infinite,
            preview: self
                .data
                .iter()
                .take(2 * EDGE)
                .map(|value| value as f32)
                .collect(),
            histogram: spread.histogram(self.data.iter()),
            cells: self.cells(&spread, is_small),
            data: is_small.then(|| of_numbers!(&self.data, array => nested_json(array.view()))),
        }
    }

    /// What a picture shows; without values where all of them stand beside it.
    fn cells(&self, spread: &Spread, is_small: bool) -> Option<TensorCells> {
        if self.data.len() < 2 {
            return None;
        }
        let places = places(self.shape());
        let mut shown = self.data.clone();
        for (axis, places) in places.iter().enumerate() {
            shown = map_numbers!(shown, array => array.select(Axis(axis), places).into_shared());
        }
        let which = |sought: f64| {
            shown
                .iter()
                .enumerate()
                .filter(move |(_, value)| *value == sought)
                .map(|(at, _)| at)
        };
        Some(TensorCells {
            deepest: spread.deepest(),
            infinite: which(f64::INFINITY).collect(),
            minus_infinite: which(f64::NEG_INFINITY).collect(),
            values: (!is_small).then(|| shown.iter().map(|value| value as f32).collect()),
            places,
        })
    }

    /// Shape, what the values are like, and the first and last of them.
    pub(crate) fn text(&self) -> String {
        let mut text = self.summary();
        if !self.data.is_empty() {
            text.push('\n');
            of_numbers!(&self.data, array => write_values(&mut text, array.view(), 0));
        }
        text
    }

    /// Its JSON document without the values.
    pub fn document(&self) -> Map<String, Value> {
        let mut summary = self.at_a_glance();
        summary.data = None;
        if let Some(cells) = &mut summary.cells {
            cells.values = None;
        }
        match summary.json() {
            Some(Value::Object(document)) => document,
            _ => Map::new(),
        }
    }
}

impl Show for Tensor {
    fn view(&self) -> Result<Box<dyn Explorable>, ScriptError> {
        let summary = self.at_a_glance();
        let mut text = self.text();
        if let Some(said) = summary.not_finite() {
            text.push_str(&format!("\n{said}"));
        }
        Ok(Box::new(Glance { text, summary }))
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

/// What was computed of a tensor once, for all of its forms.
struct Glance {
    text: String,
    summary: TensorSummary,
}

impl Explorable for Glance {
    fn text(&self) -> String {
        self.text.clone()
    }

    fn svg(&self) -> Option<String> {
        self.summary.svg()
    }

    fn html(&self) -> Option<String> {
        self.summary.html()
    }

    /// With the values, where they are few.
    fn json(&self) -> Option<Value> {
        self.summary.json()
    }

    fn alt_text(&self) -> Option<String> {
        self.summary.alt_text()
    }
}

fn nested_json<T: Element + serde::Serialize>(view: ArrayViewD<T>) -> Value {
    if view.ndim() == 0 {
        return view.first().map_or(Value::Null, |value| json!(value));
    }
    Value::Array(view.outer_iter().map(nested_json).collect())
}
