//! What a site of a model held while it read one text or several: matrices (neuron, position), layer by layer.

use std::collections::HashSet;

use ecco_models::Site;
use ecco_models::run::Place;
use ndarray::{ArcArray2, Array2, ArrayView2, Ix2, Ix3};
use rhai::Dynamic;
use serde_json::{Value, json};

use crate::models::model::Model;
use crate::text::passage::Passage;
use crate::text::run::place;
use ecco_scripting::options::{OptionKind, OptionValue};
use ecco_scripting::tensor::Tensor;
use ecco_scripting::{ErrorKind, ScriptError, options};

/// Makes types of the names of sites as options take them, each with those that are usual.
macro_rules! site_names {
    ($($(#[$about:meta])* $name:ident $usual:expr;)*) => {$(
        $(#[$about])*
        #[derive(Debug, Clone, PartialEq)]
        pub(crate) struct $name(pub(crate) String);

        impl OptionValue for $name {
            const KIND: OptionKind = OptionKind::Such(&$usual);

            fn of(value: &Dynamic) -> Option<Self> {
                String::of(value).map(Self)
            }
        }
    )*};
}

site_names! {
    /// Where activations of a text are taken.
    ActivationSite ["mlp_inner", "residual_after", "head_outputs", "encoder_mlp_inner"];
    /// Where single neurons are looked at.
    NeuronSite ["mlp_inner", "mlp_pre", "residual_after"];
    /// Where layers are compared.
    LayerSite ["residual_after", "mlp_inner"];
}

options! {
    /// Which activations are taken.
    pub struct CaptureOptions {
        /// where activations are taken: one of lm.sites() with a value at each position
        site: Option<ActivationSite> = "\"mlp_inner\"",
        /// these layers, counted from 0
        layers: Option<Vec<usize>> = "all layers",
        /// the first layer, counted from 0
        from_layer: Option<usize> = "0",
        /// the first layer left out
        to_layer: Option<usize> [1..] = "all layers",
    }
}

/// A site and the layers that are looked at.
#[derive(Clone)]
pub(crate) struct SiteLayers {
    pub place: Place,
    layers: Layers,
}

#[derive(Clone)]
pub(crate) enum Layers {
    All,
    /// From the first on, before the second.
    Range(Option<usize>, Option<usize>),
    Listed(Vec<usize>),
}

/// One layer of a site over one text. The values are shared with whatever holds them.
pub(crate) struct Layer {
    /// None where the site is no layer's.
    pub number: Option<usize>,
    /// (neuron, position)
    pub values: ArcArray2<f32>,
}

/// The same layers of several texts.
pub(crate) struct Captures {
    /// By text.
    pub texts: Vec<Vec<Layer>>,
}

impl CaptureOptions {
    /// # Errors
    /// A site that no model has, one whose values are between positions, and layers said in two ways.
    pub(crate) fn site_layers(self, passage: &Passage) -> Result<SiteLayers, ScriptError> {
        let site = self.site.as_ref().map(|site| site.0.as_str());
        let place = place_named(site, Site::MlpInner, passage)?;
        SiteLayers::new(place, Layers::of(self.layers, self.from_layer, self.to_layer)?)
    }
}

/// The place that an option `site` names, or the usual one without.
///
/// # Errors
/// A site that no model has.
pub(crate) fn place_named(name: Option<&str>, usual: Site, passage: &Passage) -> Result<Place, ScriptError> {
    match name {
        Some(name) => passage.place(name).map_err(|error| error.pointing_at("site")),
        None => Ok(Place::of(usual)),
    }
}

/// The same of a model that has read nothing yet.
///
/// # Errors
/// A site that no model has.
pub(crate) fn place_in(lm: &Model, name: Option<&str>, usual: Site) -> Result<Place, ScriptError> {
    match name {
        Some(name) => place(lm, name).map_err(|error| error.pointing_at("site")),
        None => Ok(Place::of(usual)),
    }
}

impl Layers {
    /// Those of a list, or those from a first to before a last one.
    ///
    /// # Errors
    /// Layers said in both ways, an empty list, a layer twice.
    pub(crate) fn of(
        layers: Option<Vec<usize>>,
        from: Option<usize>,
        to: Option<usize>,
    ) -> Result<Self, ScriptError> {
        match (layers, from.or(to)) {
            (Some(_), Some(_)) => {
                let message = "the layers are given twice: by `layers`, and by `from_layer` and `to_layer`";
                Err(ScriptError::new(ErrorKind::Value, message).pointing_at("layers"))
            }
            (Some(layers), None) => Ok(Self::Listed(checked(layers)?)),
            (None, Some(_)) => Ok(Self::Range(from, to)),
            (None, None) => Ok(Self::All),
        }
    }

    /// That one, or all.
    pub(crate) fn one(layer: Option<usize>) -> Self {
        layer.map_or(Self::All, |layer| Self::Listed(vec![layer]))
    }
}

impl SiteLayers {
    /// # Errors
    /// A site whose values are between positions.
    pub(crate) fn new(place: Place, layers: Layers) -> Result<Self, ScriptError> {
        if place.axes().contains(&"key") {
            let message = format!("{} is between two positions, not at one", place.name());
            return Err(ScriptError::new(ErrorKind::Value, message)
                .with_hint("take a site such as mlp_inner, residual_after or head_outputs")
                .pointing_at("site"));
        }
        Ok(Self { place, layers })
    }

    /// One layer of a site.
    pub(crate) fn one(place: Place, layer: usize) -> Self {
        Self {
            place,
            layers: Layers::Listed(vec![layer]),
        }
    }

    /// The layers of one text.
    ///
    /// # Errors
    /// Layers that the model does not have or that were not recorded; what recording says.
    pub(crate) fn capture(&self, passage: &Passage) -> Result<Vec<Layer>, ScriptError> {
        let one = match &self.layers {
            Layers::Listed(layers) if layers.len() == 1 => Some(layers[0]),
            _ => None,
        };
        let n_layers = passage.model().n_layers(self.place.encoder);
        if let Some(layer) = one.filter(|layer| *layer >= n_layers) {
            return Err(no_layer(layer, n_layers));
        }
        let (tensor, numbers) = passage.at(self.place, one)?;
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

    /// Where numbers come from, as a result's document has it: the site, and each text.
    pub(crate) fn summary(&self, passages: &[Passage]) -> Value {
        let texts: Vec<Value> = passages.iter().map(Passage::summary).collect();
        json!({"site": self.place.name(), "texts": texts})
    }

    /// Of several texts.
    ///
    /// # Errors
    /// As of one, and layers of other widths.
    pub(crate) fn captures(&self, passages: &[Passage]) -> Result<Captures, ScriptError> {
        let texts: Vec<Vec<Layer>> = passages
            .iter()
            .map(|passage| self.capture(passage))
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
            Layers::Listed(layers) => layers
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
    let mut seen = HashSet::new();
    let twice = layers.iter().position(|&layer| !seen.insert(layer));
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
    let data = tensor.data();
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
    pub(crate) fn blocks(&self) -> Vec<(Option<usize>, usize)> {
        let first = self.texts.first().map_or(&[][..], Vec::as_slice);
        first
            .iter()
            .map(|layer| (layer.number, layer.values.nrows()))
            .collect()
    }

    /// Positions of each text.
    pub(crate) fn lengths(&self) -> Vec<usize> {
        let length = |text: &Vec<Layer>| text.first().map_or(0, |layer| layer.values.ncols());
        self.texts.iter().map(length).collect()
    }

    /// (position, layer × neuron), text after text; what is negative becomes 0 with `clip`.
    pub(crate) fn positions_by_neurons(&self, clip: bool) -> Array2<f32> {
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
    pub(crate) fn joined(&self) -> Vec<Array2<f32>> {
        let n_layers = self.texts.first().map_or(0, Vec::len);
        let layer = |at: usize| {
            let parts: Vec<ArrayView2<f32>> = self.texts.iter().map(|text| text[at].values.view()).collect();
            // Widths were compared before.
            ndarray::concatenate(ndarray::Axis(1), &parts).unwrap_or_default()
        };
        (0..n_layers).map(layer).collect()
    }
}
