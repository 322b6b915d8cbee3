//! `ecco::similarity`: the layers of one model against those of another.

use std::rc::Rc;

use ecco_explain::similarity::{Method, grid};
use ecco_models::Site;
use ecco_widgets::Explorable;
use ndarray::{Array2, ArrayView2, Ix3};
use rhai::Dynamic;
use serde_json::{Value, json};

use super::methods::{CkaOptions, MethodName, PwccaOptions, SvccaOptions};
use crate::text::capture::{LayerSite, Layers, SiteLayers, place_named};
use crate::text::passage::Passage;
use ecco_scripting::options::Choice;
use ecco_scripting::result::show;
use ecco_scripting::result::{Explanation, Show};
use ecco_scripting::session::State;
use ecco_scripting::session::watched;
use ecco_scripting::tensor::Tensor;
use ecco_scripting::{ErrorKind, Registry, ScriptError, functions, members, options};

options! {
    /// What `ecco::similarity` can be told.
    pub struct SimilarityOptions {
        /// how two layers are compared
        method: Choice<MethodName> = Choice(MethodName::Cka),
        /// where activations are taken: one of lm.sites() with a value at each position
        site: Option<LayerSite> = "\"residual_after\"",
        /// these layers of both, counted from 0
        layers: Option<Vec<usize>> = "all layers",
        ..cka: CkaOptions,
        ..svcca: SvccaOptions,
        ..pwcca: PwccaOptions,
    }
}

/// Layers of one side against layers of the other.
#[derive(Clone)]
pub(crate) struct SimilarityGrid(Rc<Comparison>);

struct Comparison {
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

impl SimilarityOptions {
    fn method(&self) -> Method {
        match self.method.0 {
            MethodName::Cka => self.cka.method(),
            MethodName::Cca => Method::Cca,
            MethodName::Svcca => self.svcca.method(),
            MethodName::Pwcca => self.pwcca.method(),
        }
    }

    fn site_layers(&self, passage: &Passage) -> Result<SiteLayers, ScriptError> {
        let site = self.site.as_ref().map(|site| site.0.as_str());
        let place = place_named(site, Site::ResidualAfter, passage)?;
        SiteLayers::new(place, Layers::of(self.layers.clone(), None, None)?)
    }
}

/// Every layer of `a` against every layer of `b`: outputs, runs, lists of them, or tensors whose first axis is layers.
///
/// # Errors
/// Tensors of other axes, unequal positions, what the method says, and what recording says.
fn of_layers(
    state: &State,
    a: &Dynamic,
    b: &Dynamic,
    options: &SimilarityOptions,
) -> Result<SimilarityGrid, ScriptError> {
    let method = options.method();
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
    Ok(SimilarityGrid(Rc::new(Comparison {
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

fn side(value: &Dynamic, options: &SimilarityOptions) -> Result<Side, ScriptError> {
    if let Some(tensor) = value.read_lock::<Tensor>() {
        return of_tensor(&tensor);
    }
    if !value.is_array() && Passage::of(value)?.is_none() {
        return show::expected("an output, a run, a list of them, or a tensor of layers", value);
    }
    let passages = Passage::some(value)?;
    let at = options.site_layers(&passages[0])?;
    let captures = at.captures(&passages)?;
    let label =
        |(number, _): (Option<usize>, usize)| number.map_or(at.place.name(), |number| number.to_string());
    let mut tokens = Vec::new();
    for passage in &passages {
        tokens.extend(passage.read(at.place)?.tokens.into_iter().map(|token| token.id));
    }
    Ok(Side {
        labels: captures.blocks().into_iter().map(label).collect(),
        about: at.summary(&passages),
        name: passages[0].model().card().name.clone(),
        tokens: Some(tokens),
        layers: captures.joined(),
    })
}

fn of_tensor(tensor: &Tensor) -> Result<Side, ScriptError> {
    let axes = tensor.axes().to_vec();
    let layers = tensor.data().into_dimensionality::<Ix3>();
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
    pub(crate) fn method(&self) -> String {
        self.0.method.label()
    }

    /// (layer, other_layer)
    pub(crate) fn scores(&self) -> Tensor {
        Tensor::new(self.0.scores.clone().into_dyn(), &["layer", "other_layer"])
    }
}

impl Show for SimilarityGrid {
    fn view(&self) -> Result<Box<dyn Explorable>, ScriptError> {
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
            sources: vec![a.about.clone(), b.about.clone()],
        };
        Ok(Box::new(view))
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

    fn labels(&self, axis: &str) -> Option<Vec<String>> {
        let [a, b] = &self.0.sides;
        match axis {
            "layer" => Some(a.labels.clone()),
            "other_layer" => Some(b.labels.clone()),
            _ => None,
        }
    }
}

pub(crate) fn register(registry: &mut Registry) {
    functions! { registry, "ecco";
        /// How alike each layer of one model is to each layer of another, or of the same: a grid. Both sides are outputs,
        /// runs, or lists of them (their positions are put together), or tensors whose first axis is layers, over the same
        /// text.
        ///
        /// Example:
        /// ```rhai
        /// let text = "The countries of the European Union are:\n1. Austria\n2. Belgium";
        /// ecco::similarity(lm_1.run(text), lm_2.run(text), #{method: "cka", unbiased: true, site: "mlp_inner"})
        /// ```
        fn similarity(state, a: Dynamic, b: Dynamic; options: SimilarityOptions) -> SimilarityGrid {
            of_layers(&state, &a, &b, &options)
        }
    }
    members! { registry, [SimilarityGrid];
        /// How the layers were compared, for people.
        get method(grid: &SimilarityGrid) -> String { Ok(grid.method()) }

        /// The similarities: a tensor (layer, other_layer), the first model's layers down, the other's across.
        get scores(grid: &SimilarityGrid) -> Tensor { Ok(grid.scores()) }
    }
}
