//! `ecco::project`: rows of a tensor, or the states of texts' tokens, as points of a plane.

use std::rc::Rc;

use ecco_explain::cluster::{ClusterOptions, clusters};
use ecco_explain::projection::{self, ProjectionMethod, projection};
use ecco_interpreter::named;
use ecco_models::Site;
use ecco_scripting::options::Choice;
use ecco_scripting::result::{Explanation, Show, show};
use ecco_scripting::session::{State, watched};
use ecco_scripting::table::Table;
use ecco_scripting::tensor::Tensor;
use ecco_scripting::{ErrorKind, Registry, ScriptError, functions, members, options};
use ecco_widgets::Explorable;
use ndarray::{Array2, Axis, Ix2};
use rhai::{Array, Dynamic, INT};

use super::cluster::seed_of;
use super::points::{PointLabels, PointNames};
use crate::probes::labels::Labels;
use crate::text::capture::{ActivationSite, Layers, SiteLayers, place_named};
use crate::text::outputs::Outputs;
use crate::text::passage::Passage;

named! {
    /// How the plane is found.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum MapName {
        Pca = "pca",
        Tsne = "tsne" | "t-sne" | "t_sne",
    }
}

options! {
    /// What a map of states can be told.
    pub struct ProjectionOptions {
        /// how the plane is found: by the two directions of the largest variance, or so that neighbours stay beside each other
        method: Choice<MapName> = Choice(MapName::Pca),
        /// each feature is divided by its deviation before
        standardize: bool = false,
        /// t-SNE: about how many neighbours count
        perplexity: Option<f64> = "30, or a third of the other rows",
        /// a label for each row, or for each text, that points are coloured by: true or false, a number or a string
        labels: Option<PointLabels> = "none",
        /// of a tensor: a name for each row
        names: Option<PointNames> = "their numbers",
        /// also the rows in so many groups, as ecco::cluster finds them
        clusters: Option<usize> [1..] = "none",
        /// of the groups' starts
        seed: u64 = 0,
        /// of texts: where they are looked at, one of lm.sites() with a value at each position
        site: Option<ActivationSite> = "\"residual_after\"",
        /// of texts: after which layer, counted from 0
        layer: Option<usize> = "the last",
        /// of texts: one token of each, counted from the start or, where negative, from the end
        at: Option<i64> = "all of them",
        /// of texts: so many tokens at the start of each are left out
        skip: usize = 0,
    }
}

/// Clones share everything.
#[derive(Clone)]
pub(crate) struct Projection(Rc<Inner>);

struct Inner {
    rows: Rows,
    method: MapName,
    found: projection::Projection,
    labels: Option<Labels>,
    /// By point; empty where none were asked for.
    clusters: Vec<usize>,
}

/// What is mapped, and what is known of each row.
struct Rows {
    model: Option<String>,
    /// "residual_after of layer 5"
    about: String,
    /// (row, feature)
    values: Array2<f32>,
    names: Vec<String>,
    /// The text of each, and its place there; empty of a tensor.
    texts: Vec<usize>,
    positions: Vec<usize>,
}

pub(super) fn register(registry: &mut Registry) {
    registry.result::<Projection>("Projection", "projection");
    functions! { registry, "ecco";
        /// States as points of a plane, each with the token or text that it is of: rows of a tensor (row, feature), or what a layer
        /// holds at each token of outputs or runs. Coloured by labels, groups or texts. By principal components distances are those
        /// along the two directions of the largest variance; by t-SNE what is near was near, and distances between groups say
        /// nothing.
        ///
        /// Example:
        /// ```rhai
        /// let runs = lm.run(["Paris is in France.", "Rome is in Italy."]);
        /// ecco::project(runs, #{layer: 3, clusters: 4, skip: 1})
        /// ```
        fn project(state, states: Dynamic; options: ProjectionOptions) -> Projection {
            Projection::new(&state, &states, options)
        }
    }
    members! { registry, [Projection];
        /// Where the points are: a tensor (point, axis), across and up.
        get points(map: &Projection) -> Tensor { Ok(map.points()) }

        /// By principal components: the share of the variance along each axis. Empty of t-SNE.
        get explained_variance_ratio(map: &Projection) -> Array {
            Ok(map.0.found.shares.iter().map(|&share| Dynamic::from_float(share)).collect())
        }

        /// By t-SNE: how far the points' neighbourhoods are from the rows', in nats, which was made small; else `()`.
        get divergence(map: &Projection) -> Dynamic {
            Ok(map.0.found.divergence.map_or(Dynamic::UNIT, Dynamic::from_float))
        }

        /// A row for each point: its `name`, `text` and `position` of tokens, `label` and `cluster` where there are any, `x` and `y`.
        ///
        /// Example:
        /// ```rhai
        /// ecco::project(runs, #{clusters: 4}).table.group("cluster", #{mean: ["x", "y"]})
        /// ```
        get table(map: &Projection) -> Table { map.table() }
    }
}

impl Projection {
    fn new(state: &Rc<State>, states: &Dynamic, options: ProjectionOptions) -> Result<Self, ScriptError> {
        let rows = Rows::of(states, &options)?;
        let labels = options
            .labels
            .as_ref()
            .map(|labels| rows.labels(&labels.0))
            .transpose()?;
        let method = match options.method.0 {
            MapName::Pca => ProjectionMethod::Pca,
            MapName::Tsne => ProjectionMethod::Tsne {
                perplexity: options.perplexity,
            },
        };
        let groups = ClusterOptions {
            k: options.clusters.unwrap_or(1),
            seed: seed_of(options.seed)?,
            n_init: 10,
            max_iter: 300,
        };
        let (found, clusters) = watched(state, true, |watch| {
            let found = projection(rows.values.view(), method, options.standardize, watch)?;
            let clusters = match options.clusters {
                None => Vec::new(),
                Some(_) => {
                    clusters(rows.values.view(), &groups, watch)
                        .map_err(|error| about_clusters(ScriptError::from(error)))?
                        .labels
                }
            };
            Ok::<_, ScriptError>((found, clusters))
        })?;
        Ok(Self(Rc::new(Inner {
            rows: Rows {
                values: Array2::default((0, 0)),
                ..rows
            },
            method: options.method.0,
            found,
            labels,
            clusters,
        })))
    }

    fn points(&self) -> Tensor {
        let points = self.0.found.points.mapv(|value| value as f32);
        Tensor::new(points.into_dyn(), &["point", "axis"])
    }

    fn table(&self) -> Result<Table, ScriptError> {
        let Inner {
            rows,
            found,
            labels,
            clusters,
            ..
        } = &*self.0;
        let whole = |numbers: &[usize]| numbers.iter().map(|&n| Dynamic::from_int(n as INT)).collect();
        let names = rows.names.iter().map(|name| name.clone().into()).collect();
        let mut columns: Vec<(String, Vec<Dynamic>)> = vec![("name".to_owned(), names)];
        if !rows.texts.is_empty() {
            columns.push(("text".to_owned(), whole(&rows.texts)));
            columns.push(("position".to_owned(), whole(&rows.positions)));
        }
        if let Some(labels) = labels {
            let name = |&label: &usize| labels.names[label].clone().into();
            columns.push(("label".to_owned(), labels.of.iter().map(name).collect()));
        }
        if !clusters.is_empty() {
            columns.push(("cluster".to_owned(), whole(clusters)));
        }
        for (axis, name) in ["x", "y"].iter().enumerate() {
            let column = found.points.column(axis);
            let values = column.iter().map(|&value| Dynamic::from_float(value));
            columns.push(((*name).to_owned(), values.collect()));
        }
        Table::new(columns)
    }
}

/// What is wrong with `k` is wrong with the option that it was.
fn about_clusters(error: ScriptError) -> ScriptError {
    match error.message.strip_prefix("k is ") {
        Some(rest) => ScriptError {
            message: format!("clusters is {rest}"),
            ..error
        }
        .pointing_at("clusters"),
        None => error,
    }
}

impl Rows {
    fn of(states: &Dynamic, options: &ProjectionOptions) -> Result<Self, ScriptError> {
        if let Some(tensor) = states.read_lock::<Tensor>() {
            return Self::of_tensor(&tensor, options);
        }
        if options.names.is_some() {
            let message = "points of texts are named by their tokens";
            return Err(ScriptError::new(ErrorKind::Value, message).pointing_at("names"));
        }
        if let Some(outputs) = states.read_lock::<Outputs>() {
            let passages = outputs.all().iter().map(|output| output.passage());
            return Self::of_passages(&passages.collect::<Vec<_>>(), options);
        }
        if !states.is_array() && Passage::of(states)?.is_none() {
            return show::expected("a tensor (row, feature), outputs or runs", states);
        }
        Self::of_passages(&Passage::some(states)?, options)
    }

    fn of_tensor(tensor: &Tensor, options: &ProjectionOptions) -> Result<Self, ScriptError> {
        let values = tensor.data().into_dimensionality::<Ix2>().map_err(|_| {
            let message = format!("a map is of a tensor (row, feature), not {}", tensor.shape_text());
            ScriptError::new(ErrorKind::Value, message)
                .with_hint("take one layer, or reshape it: states.reshape([-1, 768])")
        })?;
        let n = values.nrows();
        let names = match &options.names {
            None => (0..n).map(|row| row.to_string()).collect(),
            Some(PointNames(names)) if names.len() == n => names.clone(),
            Some(PointNames(names)) => {
                let message = format!("there are {} names for {n} rows", names.len());
                let error = ScriptError::new(ErrorKind::Value, message).pointing_at("names");
                return Err(error.with_hint("give one for each"));
            }
        };
        Ok(Self {
            model: None,
            about: "a tensor".to_owned(),
            values: values.to_owned().into_owned(),
            names,
            texts: Vec::new(),
            positions: Vec::new(),
        })
    }

    fn of_passages(passages: &[Passage], options: &ProjectionOptions) -> Result<Self, ScriptError> {
        let Some(first) = passages.first() else {
            return Err(ScriptError::new(ErrorKind::Value, "the list of outputs is empty"));
        };
        let site = options.site.as_ref().map(|site| site.0.as_str());
        let place = place_named(site, Site::ResidualAfter, first)?;
        let is_of_layers = place.axes()[0] == "layer";
        let last = first.model().n_layers(place.encoder).saturating_sub(1);
        let layer = options.layer.unwrap_or(last);
        let captures = match is_of_layers {
            true => SiteLayers::new(place, Layers::one(Some(layer)))?,
            false => SiteLayers::new(place, Layers::one(options.layer))?,
        }
        .captures(passages)?;
        let all = captures.positions_by_neurons(false);
        let (mut kept, mut rows) = (
            Vec::new(),
            Self::empty(first, place.name(), is_of_layers.then_some(layer)),
        );
        let mut start = 0;
        for (text, (passage, length)) in passages.iter().zip(captures.lengths()).enumerate() {
            let tokens = passage.read(place)?.tokens;
            for position in options.positions(text, length)? {
                kept.push(start + position);
                rows.names.push(
                    tokens
                        .get(position)
                        .map(|token| token.text.clone())
                        .unwrap_or_default(),
                );
                rows.texts.push(text);
                rows.positions.push(position);
            }
            start += length;
        }
        rows.values = all.select(Axis(0), &kept);
        Ok(rows)
    }

    fn empty(passage: &Passage, site: String, layer: Option<usize>) -> Self {
        Self {
            model: Some(passage.model().card().name.clone()),
            about: layer.map_or(site.clone(), |layer| format!("{site} of layer {layer}")),
            values: Array2::default((0, 0)),
            names: Vec::new(),
            texts: Vec::new(),
            positions: Vec::new(),
        }
    }

    /// Labels of the points: of texts there may be one for each, which its tokens have.
    fn labels(&self, values: &Array) -> Result<Labels, ScriptError> {
        let n_texts = self.texts.last().map_or(0, |last| last + 1);
        let is_by_text = values.len() == n_texts && n_texts != self.names.len();
        let labels = match is_by_text {
            true => Labels::of_points(values, n_texts, "texts"),
            false => Labels::of_points(values, self.names.len(), "points"),
        };
        let labels = labels.map_err(|error| error.pointing_at("labels"))?;
        Ok(match is_by_text {
            true => Labels {
                of: self.texts.iter().map(|&text| labels.of[text]).collect(),
                ..labels
            },
            false => labels,
        })
    }
}

impl ProjectionOptions {
    /// Those of a text of so many tokens that become points.
    fn positions(&self, text: usize, length: usize) -> Result<std::ops::Range<usize>, ScriptError> {
        let Some(at) = self.at else {
            return Ok(self.skip.min(length)..length);
        };
        let place = match at < 0 {
            true => at.checked_add_unsigned(length as u64),
            false => Some(at),
        };
        let place = place
            .and_then(|place| usize::try_from(place).ok())
            .filter(|place| *place < length);
        place.map(|place| place..place + 1).ok_or_else(|| {
            let message = format!("at is {at}: text {text} has {length} tokens");
            ScriptError::new(ErrorKind::Value, message).pointing_at("at")
        })
    }
}

impl Show for Projection {
    fn view(&self) -> Result<Box<dyn Explorable>, ScriptError> {
        let Inner {
            rows,
            method,
            found,
            labels,
            clusters,
        } = &*self.0;
        let axis = |axis: usize| {
            found
                .points
                .column(axis)
                .iter()
                .map(|&value| value as f32)
                .collect()
        };
        Ok(Box::new(ecco_widgets::Projection {
            model: rows.model.clone(),
            method: match (method, found.perplexity) {
                (MapName::Tsne, Some(perplexity)) => format!("t-SNE, perplexity {perplexity:.0}"),
                _ => "PCA".to_owned(),
            },
            states: rows.about.clone(),
            shares: found.shares.clone(),
            x: axis(0),
            y: axis(1),
            names: rows.names.clone(),
            texts: rows.texts.clone(),
            labels: labels.as_ref().map_or_else(Vec::new, |labels| labels.of.clone()),
            label_names: labels
                .as_ref()
                .map_or_else(Vec::new, |labels| labels.names.clone()),
            clusters: clusters.clone(),
        }))
    }

    fn line(&self) -> String {
        let name = match self.0.method {
            MapName::Pca => "PCA",
            MapName::Tsne => "t-SNE",
        };
        format!(
            "map of {} points of {} ({name})",
            self.0.rows.names.len(),
            self.0.rows.about
        )
    }
}

impl Explanation for Projection {
    fn tensors(&self) -> Result<Vec<(&'static str, Tensor)>, ScriptError> {
        let mut all = vec![("points", self.points())];
        if !self.0.clusters.is_empty() {
            let clusters: Vec<f32> = self.0.clusters.iter().map(|&cluster| cluster as f32).collect();
            all.push((
                "clusters",
                Tensor::new(ndarray::Array1::from(clusters).into_dyn(), &["point"]),
            ));
        }
        Ok(all)
    }

    fn labels(&self, axis: &str) -> Option<Vec<String>> {
        match axis {
            "point" => Some(self.0.rows.names.clone()),
            "axis" => Some(vec!["x".to_owned(), "y".to_owned()]),
            _ => None,
        }
    }
}
