//! Similarity of activations: of two captures a number, of two models' layers a grid.

use std::rc::Rc;

use ecco_explain::similarity::{Method, compare, grid};
use ecco_interpreter::{Explorable, MimeBundle};
use ecco_models::Site;
use ndarray::{ArcArray2, Array2, ArrayView2, Ix2, Ix3};
use rhai::Dynamic;
use serde_json::{Map, Value, json};

use crate::text::capture::Where;
use crate::text::passage::Passage;
use ecco_scripting::errors::{ErrorKind, ScriptError};
use ecco_scripting::options::Options;
use ecco_scripting::result::show;
use ecco_scripting::result::{Explanation, Show};
use ecco_scripting::session::State;
use ecco_scripting::session::watched;
use ecco_scripting::tensor::Tensor;

/// Layers of one side against layers of the other.
#[derive(Clone)]
pub struct SimilarityGrid(Rc<Inner>);

struct Inner {
    method: Method,
    sides: [Side; 2],
    /// (layer of the first, layer of the second)
    scores: Array2<f32>,
    notes: Vec<String>,
}

struct Side {
    /// What its layers are called.
    labels: Vec<String>,
    about: Value,
    /// The model, where it is known.
    name: String,
    tokens: Option<Vec<u32>>,
    /// Until they are compared.
    layers: Vec<Array2<f32>>,
}

/// The similarity of two tensors (neuron, position).
///
/// # Errors
/// Tensors of other axes, unequal positions, and what the method says.
pub fn of_two(state: &State, a: &Tensor, b: &Tensor, method: Method) -> Result<f64, ScriptError> {
    let (a, b) = (capture(a)?, capture(b)?);
    let wide = |matrix: ArcArray2<f32>| matrix.mapv(f64::from);
    let (a, b) = (wide(a), wide(b));
    let similarity = watched(state, true, |watch| compare(a.view(), b.view(), method, watch))?;
    Ok(similarity.score)
}

/// A tensor of two axes as (neuron, position): names say which is which; without names the first are neurons.
fn capture(tensor: &Tensor) -> Result<ArcArray2<f32>, ScriptError> {
    let axes = tensor.axes().to_vec();
    let matrix = tensor.clone().into_data().into_dimensionality::<Ix2>();
    let matrix = matrix.map_err(|_| {
        let message = format!(
            "a capture has two axes, (neuron, position), not {}",
            tensor.shape_text()
        );
        ScriptError::new(ErrorKind::Value, message)
            .with_hint("take one layer: output.activations[2]; ecco::similarity compares all of them")
    })?;
    Ok(if axes[0] == "position" {
        matrix.reversed_axes()
    } else {
        matrix
    })
}

/// Every layer of `a` against every layer of `b`: outputs, runs, lists of them, or tensors whose first axis is layers.
///
/// # Errors
/// As of [`of_two`], and of what is looked at.
pub fn of_layers(
    state: &State,
    a: &Dynamic,
    b: &Dynamic,
    options: &Options,
    method: Method,
) -> Result<SimilarityGrid, ScriptError> {
    let mut sides = [side(a, options)?, side(b, options)?];
    let scores = {
        let [rows, columns] = sides.each_ref().map(Side::views);
        watched(state, true, |watch| grid(&rows, &columns, method, watch))?
    };
    sides.iter_mut().for_each(|side| side.layers.clear());
    let mut notes = Vec::new();
    if let [Some(first), Some(second)] = [&sides[0].tokens, &sides[1].tokens]
        && first != second
    {
        notes.push(
            "the two sides read other tokens: position by position they are compared all the same".to_owned(),
        );
    }
    if scores.iter().any(|score| score.is_nan()) {
        notes.push("a layer that is the same at all positions has no similarity to any".to_owned());
    }
    Ok(SimilarityGrid(Rc::new(Inner {
        method,
        sides,
        scores: scores.mapv(|score| score as f32),
        notes,
    })))
}

impl Side {
    fn views(&self) -> Vec<ArrayView2<'_, f32>> {
        self.layers.iter().map(|layer| layer.view()).collect()
    }
}

fn side(value: &Dynamic, options: &Options) -> Result<Side, ScriptError> {
    if let Some(tensor) = value.read_lock::<Tensor>() {
        return of_tensor(&tensor);
    }
    if !value.is_array() && Passage::of(value).is_none() {
        return show::expected("an output, a run, a list of them, or a tensor of layers", value);
    }
    let sources = Passage::some(value)?;
    let at = Where::read(options, Site::ResidualAfter, &sources[0])?;
    let captures = at.captures(&sources)?;
    let label =
        |(number, _): (Option<usize>, usize)| number.map_or(at.place.name(), |number| number.to_string());
    let mut tokens = Vec::new();
    for source in &sources {
        tokens.extend(source.read(at.place)?.tokens.into_iter().map(|token| token.id));
    }
    let texts: Vec<Value> = sources.iter().map(Passage::summary).collect();
    Ok(Side {
        labels: captures.blocks().into_iter().map(label).collect(),
        about: json!({"site": at.place.name(), "texts": texts}),
        name: sources[0].model().card().name.clone(),
        tokens: Some(tokens),
        layers: captures.joined(),
    })
}

fn of_tensor(tensor: &Tensor) -> Result<Side, ScriptError> {
    let axes = tensor.axes().to_vec();
    let layers = tensor.clone().into_data().into_dimensionality::<Ix3>();
    let layers = layers.map_err(|_| {
        let message = format!(
            "a tensor of layers has three axes, (layer, neuron, position), not {}",
            tensor.shape_text()
        );
        ScriptError::new(ErrorKind::Value, message).with_hint("for two layers: ecco::cka(a, b)")
    })?;
    let is_turned = axes[1] == "position";
    let layer = |layer: ndarray::ArrayView2<f32>| {
        if is_turned {
            layer.t().to_owned()
        } else {
            layer.to_owned()
        }
    };
    Ok(Side {
        labels: (0..layers.dim().0).map(|layer| layer.to_string()).collect(),
        about: json!({"shape": tensor.shape(), "axes": axes}),
        name: "tensor".to_owned(),
        tokens: None,
        layers: layers.outer_iter().map(layer).collect(),
    })
}

impl SimilarityGrid {
    pub fn method(&self) -> String {
        self.0.method.label()
    }

    /// (layer, other_layer)
    pub fn scores(&self) -> Tensor {
        Tensor::new(self.0.scores.clone().into_dyn(), &["layer", "other_layer"])
    }
}

impl Show for SimilarityGrid {
    fn bundle(&self) -> Result<MimeBundle, ScriptError> {
        let [a, b] = &self.0.sides;
        let names = match a.name == b.name {
            true => ["layer".to_owned(), "layer".to_owned()],
            false => [a, b].map(|side| format!("layer of {}", side.name)),
        };
        let [rows, columns] = names;
        let view = ecco_widgets::SimilarityGrid {
            title: "Similarity of layers".to_owned(),
            about: self.method(),
            rows: (rows, a.labels.clone()),
            columns: (columns, b.labels.clone()),
            values: self.0.scores.outer_iter().map(|row| row.to_vec()).collect(),
            notes: self.0.notes.clone(),
            ..ecco_widgets::SimilarityGrid::default()
        };
        Ok(view.bundle())
    }

    fn line(&self) -> String {
        let (rows, columns) = self.0.scores.dim();
        format!("similarity ({}) of {rows} × {columns} layers", self.method())
    }
}

impl Explanation for SimilarityGrid {
    fn tensors(&self) -> Result<Vec<(&'static str, Tensor)>, ScriptError> {
        Ok(vec![("scores", self.scores())])
    }

    fn about(&self) -> Result<Map<String, Value>, ScriptError> {
        let [a, b] = &self.0.sides;
        Ok(Map::from_iter([
            ("method".to_owned(), self.method().into()),
            ("first".to_owned(), a.about.clone()),
            ("second".to_owned(), b.about.clone()),
        ]))
    }

    fn labels(&self, axis: &str) -> Option<Vec<String>> {
        let [a, b] = &self.0.sides;
        match axis {
            "layer" => Some(a.labels.clone()),
            "other_layer" => Some(b.labels.clone()),
            _ => None,
        }
    }
}
