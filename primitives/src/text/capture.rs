//! What a site of a model held while it read one text or several: matrices (neuron, position), layer by layer.

use ecco_models::Site;
use ecco_models::run::Place;
use ndarray::{ArcArray2, Array2, ArrayView2, Ix2, Ix3};

use crate::text::passage::Passage;
use ecco_scripting::errors::{ErrorKind, ScriptError};
use ecco_scripting::options::Options;
use ecco_scripting::tensor::Tensor;

/// A site and the layers that are looked at.
#[derive(Clone)]
pub struct Where {
    pub place: Place,
    layers: Layers,
}

#[derive(Clone)]
enum Layers {
    All,
    /// From the first on, before the second.
    Range(Option<usize>, Option<usize>),
    These(Vec<usize>),
}

/// One layer of a site over one text. The values are shared with whatever holds them.
pub struct Layer {
    /// None where the site is no layer's.
    pub number: Option<usize>,
    /// (neuron, position)
    pub values: ArcArray2<f32>,
}

/// The same layers of several texts.
pub struct Captures {
    /// By text.
    pub texts: Vec<Vec<Layer>>,
}

impl Where {
    /// From the options `site`, `from_layer`, `to_layer`, `layers`; `usual` is the site without one.
    ///
    /// # Errors
    /// A site that no model has, one whose values are between positions, and layers said in two ways.
    pub fn read(options: &Options, usual: Site, source: &Passage) -> Result<Self, ScriptError> {
        let place = match options.text("site") {
            Some(name) => source.place(name).map_err(|error| error.pointing_at("site"))?,
            None => Place::of(usual),
        };
        if place.axes().contains(&"key") {
            let message = format!("{} is between two positions, not at one", place.name());
            return Err(ScriptError::new(ErrorKind::Value, message)
                .with_hint("take a site such as mlp_inner, residual_after or head_outputs")
                .pointing_at("site"));
        }
        let (from, to) = (options.usize("from_layer"), options.usize("to_layer"));
        let layers = match (options.usizes("layers"), from.or(to)) {
            (Some(_), Some(_)) => {
                let message = "the layers are given twice: by `layers`, and by `from_layer` and `to_layer`";
                return Err(ScriptError::new(ErrorKind::Value, message).pointing_at("layers"));
            }
            (Some(layers), None) => Layers::These(checked(layers)?),
            (None, Some(_)) => Layers::Range(from, to),
            (None, None) => match options.usize("layer") {
                Some(layer) => Layers::These(vec![layer]),
                None => Layers::All,
            },
        };
        Ok(Self { place, layers })
    }

    /// One layer of a site.
    pub fn one(place: Place, layer: usize) -> Self {
        Self {
            place,
            layers: Layers::These(vec![layer]),
        }
    }

    /// The layers of one text.
    ///
    /// # Errors
    /// Layers that the model does not have or that were not recorded; what recording says.
    pub fn capture(&self, source: &Passage) -> Result<Vec<Layer>, ScriptError> {
        let one = match &self.layers {
            Layers::These(layers) if layers.len() == 1 => Some(layers[0]),
            _ => None,
        };
        let n_layers = source.model().n_layers(self.place.encoder);
        if let Some(layer) = one.filter(|layer| *layer >= n_layers) {
            return Err(no_layer(layer, n_layers));
        }
        let (tensor, numbers) = source.at(self.place, one)?;
        if self.place.axes()[0] != "layer" {
            let values = matrix(tensor, self.place)?;
            return Ok(vec![Layer { number: None, values }]);
        }
        if one.is_some() && tensor.axes().first() != Some(&"layer") {
            let values = matrix(tensor, self.place)?;
            return Ok(vec![Layer { number: one, values }]);
        }
        let numbers = numbers.unwrap_or_else(|| (0..tensor.len()).collect());
        let rows = self.rows(&numbers, n_layers)?;
        let layer = |row: usize| {
            let values = matrix(tensor.index(0, row as i64)?, self.place)?;
            Ok(Layer {
                number: Some(numbers[row]),
                values,
            })
        };
        rows.into_iter().map(layer).collect()
    }

    /// Of several texts.
    ///
    /// # Errors
    /// As of one, and layers of other widths.
    pub fn captures(&self, sources: &[Passage]) -> Result<Captures, ScriptError> {
        let texts: Vec<Vec<Layer>> = sources
            .iter()
            .map(|source| self.capture(source))
            .collect::<Result<_, _>>()?;
        let shape = |text: &[Layer]| -> Vec<(Option<usize>, usize)> {
            text.iter()
                .map(|layer| (layer.number, layer.values.nrows()))
                .collect()
        };
        let expected = shape(&texts[0]);
        if let Some(other) = texts.iter().position(|text| shape(text) != expected) {
            let words = |text: &[Layer]| match text {
                [] => "no layers".to_owned(),
                [first, ..] => format!("{} layers of {} neurons", text.len(), first.values.nrows()),
            };
            let message = format!(
                "the texts cannot be put together: text 0 has {}, text {other} has {}",
                words(&texts[0]),
                words(&texts[other])
            );
            return Err(ScriptError::new(ErrorKind::Value, message)
                .with_hint("take texts of one model, with the same layers recorded"));
        }
        Ok(Captures { texts })
    }

    /// Which of the recorded layers are meant.
    fn rows(&self, numbers: &[usize], n_layers: usize) -> Result<Vec<usize>, ScriptError> {
        let recorded = |layer: &usize| numbers.iter().position(|number| number == layer);
        match &self.layers {
            Layers::All => Ok((0..numbers.len()).collect()),
            Layers::These(layers) => layers
                .iter()
                .map(|layer| match recorded(layer) {
                    Some(row) => Ok(row),
                    None if *layer >= n_layers => Err(no_layer(*layer, n_layers)),
                    None => {
                        let message = format!("layer {layer} was not recorded, only {numbers:?}");
                        Err(ScriptError::new(ErrorKind::Value, message)
                            .with_hint("activations_layer_nums at load says which layers are recorded"))
                    }
                })
                .collect(),
            Layers::Range(from, to) => {
                let range = from.unwrap_or(0)..to.unwrap_or(n_layers);
                check_range(&range, n_layers)?;
                let rows: Vec<usize> = range.clone().filter_map(|layer| recorded(&layer)).collect();
                match rows.is_empty() {
                    false => Ok(rows),
                    true => {
                        let message = format!("none of the layers {range:?} was recorded, only {numbers:?}");
                        Err(ScriptError::new(ErrorKind::Value, message)
                            .with_hint("activations_layer_nums at load says which layers are recorded"))
                    }
                }
            }
        }
    }
}

fn checked(layers: Vec<usize>) -> Result<Vec<usize>, ScriptError> {
    let twice = (1..layers.len()).find(|&at| layers[..at].contains(&layers[at]));
    let message = match (layers.is_empty(), twice) {
        (true, _) => "`layers` is empty".to_owned(),
        (false, Some(at)) => format!("`layers` has layer {} twice", layers[at]),
        (false, None) => return Ok(layers),
    };
    Err(ScriptError::new(ErrorKind::Value, message)
        .with_hint("for example #{layers: [0, 2]}")
        .pointing_at("layers"))
}

fn check_range(range: &std::ops::Range<usize>, n_layers: usize) -> Result<(), ScriptError> {
    if !range.is_empty() && range.end <= n_layers {
        return Ok(());
    }
    let message = format!(
        "there are no layers {range:?}: the model has layers 0 to {}",
        n_layers - 1
    );
    let word = match range.end > n_layers {
        true => "to_layer",
        false => "from_layer",
    };
    Err(ScriptError::new(ErrorKind::Value, message)
        .with_hint("from_layer is the first layer, to_layer the first one left out")
        .pointing_at(word))
}

fn no_layer(layer: usize, n_layers: usize) -> ScriptError {
    let message = format!(
        "there is no layer {layer}: the model has layers 0 to {}",
        n_layers.saturating_sub(1)
    );
    ScriptError::new(ErrorKind::Index, message)
}

/// One layer of a place as (neuron, position): heads go one after the other.
fn matrix(tensor: Tensor, place: Place) -> Result<ArcArray2<f32>, ScriptError> {
    let shape_error = |error: ndarray::ShapeError| ScriptError::new(ErrorKind::Internal, error.to_string());
    let axes = tensor.axes().to_vec();
    let data = tensor.into_data();
    match axes.as_slice() {
        ["neuron", "position"] => data.into_dimensionality::<Ix2>().map_err(shape_error),
        ["position", _] => Ok(data
            .into_dimensionality::<Ix2>()
            .map_err(shape_error)?
            .reversed_axes()),
        [_, "position", "head_dim"] => {
            let heads = data.into_dimensionality::<Ix3>().map_err(shape_error)?;
            let (n_heads, positions, size) = heads.dim();
            let heads = heads.permuted_axes([0, 2, 1]);
            let all = heads.to_shape((n_heads * size, positions)).map_err(shape_error)?;
            Ok(all.to_owned().into_shared())
        }
        _ => {
            let message = format!("{} has no value at each position", place.name());
            Err(ScriptError::new(ErrorKind::Value, message))
        }
    }
}

impl Captures {
    /// The layers' numbers and widths.
    pub fn blocks(&self) -> Vec<(Option<usize>, usize)> {
        let first = self.texts.first().map_or(&[][..], Vec::as_slice);
        first
            .iter()
            .map(|layer| (layer.number, layer.values.nrows()))
            .collect()
    }

    /// Positions of each text.
    pub fn lengths(&self) -> Vec<usize> {
        let length = |text: &Vec<Layer>| text.first().map_or(0, |layer| layer.values.ncols());
        self.texts.iter().map(length).collect()
    }

    /// (position, layer × neuron), text after text; what is negative becomes 0 with `clip`.
    pub fn positions_by_neurons(&self, clip: bool) -> Array2<f32> {
        let width = self.blocks().iter().map(|(_, width)| width).sum();
        let mut matrix = Array2::zeros((self.lengths().iter().sum(), width));
        let mut row = 0;
        for text in &self.texts {
            let (mut column, mut length) = (0, 0);
            for layer in text {
                let (neurons, positions) = layer.values.dim();
                let place = ndarray::s![row..row + positions, column..column + neurons];
                let mut block = matrix.slice_mut(place);
                block.assign(&layer.values.t());
                if clip {
                    // A NaN stays one, to be refused with its place.
                    block.mapv_inplace(|value| if value < 0.0 { 0.0 } else { value });
                }
                column += neurons;
                length = positions;
            }
            row += length;
        }
        matrix
    }

    /// Each layer over all texts: (neuron, position).
    pub fn joined(&self) -> Vec<Array2<f32>> {
        let n_layers = self.texts.first().map_or(0, Vec::len);
        let layer = |at: usize| {
            let parts: Vec<ArrayView2<f32>> = self.texts.iter().map(|text| text[at].values.view()).collect();
            // Widths were compared before.
            ndarray::concatenate(ndarray::Axis(1), &parts).unwrap_or_default()
        };
        (0..n_layers).map(layer).collect()
    }
}
