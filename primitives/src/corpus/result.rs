//! A corpus as scripts hold it: neurons in order, those that a token makes strong, numbers of all.

use std::rc::Rc;

use ecco_explain::corpus::{LayerNeurons, Sign, writing_cosines};
use ecco_interpreter::named;
use ecco_scripting::options::{Choice, Word};
use ecco_scripting::result::{Explanation, Show};
use ecco_scripting::session::watched;
use ecco_scripting::table::Table;
use ecco_scripting::tensor::Tensor;
use ecco_scripting::{ErrorKind, Registry, ScriptError, members, options};
use ecco_widgets::Explorable;
use ndarray::{Array, IxDyn};
use rhai::{Dynamic, INT};

use super::neuron::{CorpusNeuron, NeuronPageOptions};
use crate::models::model::Model;
use crate::text::token::token;

named! {
    /// What neurons are ordered by, the largest first.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
    pub(super) enum RankBy {
        /// How far the strongest value is from the mean, in deviations.
        #[default]
        Selectivity = "selectivity",
        /// The strongest value.
        Peak = "peak",
        /// The share of tokens where it is above 0.
        Active = "active",
        Mean = "mean",
        Deviation = "deviation",
    }
}

options! {
    /// What `rank` can be told.
    pub struct RankOptions {
        /// what neurons are ordered by, the largest first
        by: Choice<RankBy> = Choice(RankBy::Selectivity),
        /// how many
        n: usize [1..] = 20,
        /// of this layer alone
        layer: Option<usize> = "all",
    }
}

options! {
    /// What `search` can be told.
    pub struct SearchOptions {
        /// how many neurons
        n: usize [1..] = 20,
        /// of this layer alone
        layer: Option<usize> = "all",
    }
}

named! {
    /// In what neurons are alike.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
    pub(super) enum NearBy {
        /// What they write to the stream: its cosine.
        Weights = "weights",
        /// Their values at the tokens of the sample: the correlation.
        #[default]
        Activations = "activations",
    }
}

options! {
    /// What `nearest` can be told.
    pub struct NearOptions {
        /// "activations": the correlation of values at the tokens that were drawn; "weights": the cosine of what is written
        by: Choice<NearBy> = Choice(NearBy::Activations),
        /// how many
        n: usize [1..] = 20,
        /// of this layer alone
        layer: Option<usize> = "all",
    }
}

/// Every neuron over many texts. Clones share everything.
#[derive(Clone)]
pub(crate) struct Corpus {
    pub model: Model,
    pub found: Rc<ecco_explain::corpus::Corpus>,
}

/// A neuron with what it is ordered by.
pub(super) type Ranked<'a> = (&'a LayerNeurons, usize, f64);

impl Corpus {
    pub(super) fn new(lm: &Model, found: ecco_explain::corpus::Corpus) -> Self {
        Self {
            model: lm.plain(),
            found: Rc::new(found),
        }
    }

    /// The layers that are meant: one or all.
    fn layers(&self, layer: Option<usize>) -> Result<Vec<&LayerNeurons>, ScriptError> {
        match layer {
            None => Ok(self.found.layers.iter().collect()),
            Some(layer) => self.layer(layer as INT).map(|layer| vec![layer]),
        }
    }

    pub(super) fn layer(&self, layer: INT) -> Result<&LayerNeurons, ScriptError> {
        let found = usize::try_from(layer)
            .ok()
            .and_then(|layer| self.found.layer(layer));
        found.ok_or_else(|| {
            let known: Vec<String> = self
                .found
                .layers
                .iter()
                .filter_map(|of| of.layer)
                .map(|of| of.to_string())
                .collect();
            let message = format!("there is no layer {layer} in the corpus");
            let error = ScriptError::new(ErrorKind::Index, message);
            match known.is_empty() {
                true => error,
                false => error.with_hint(format!("it has {}", known.join(", "))),
            }
        })
    }

    /// Where a neuron is among those of a layer.
    pub(super) fn place_of(&self, layer: INT, neuron: INT) -> Result<usize, ScriptError> {
        let (found, of) = (&self.found, self.layer(layer)?);
        let at = usize::try_from(neuron).ok().filter(|at| *at < of.n_neurons());
        at.ok_or_else(|| {
            let unit = found.units.name();
            let message = format!(
                "there is no {unit} {neuron}: {} of layer {layer} has {unit}s 0 to {}",
                found.place.name(),
                of.n_neurons().saturating_sub(1)
            );
            ScriptError::new(ErrorKind::Index, message)
        })
    }

    /// The `n` that are most like a neuron, of one layer or all, without itself; none where units have no such measure, or the model is gone.
    pub(super) fn nearest(
        &self,
        (layer, neuron): (INT, INT),
        by: NearBy,
        (n, of_layer): (usize, Option<usize>),
    ) -> Result<Vec<Ranked<'_>>, ScriptError> {
        let (own, at) = (self.layer(layer)?, self.place_of(layer, neuron)?);
        let layers = self.layers(of_layer)?;
        let is_other = |of: &LayerNeurons, unit: usize| of.layer != own.layer || unit != at;
        match by {
            NearBy::Activations => self.first(layers, n, |of, unit| {
                is_other(of, unit).then(|| own.correlation(at, (of, unit)))
            }),
            NearBy::Weights => {
                let (Ok(loaded), state) = (self.model.loaded(), self.model.state()?) else {
                    return Ok(Vec::new());
                };
                let cosines = watched(&state, self.model.verbose, |watch| {
                    writing_cosines(&loaded, &self.found, (own.layer, at), watch)
                })?;
                state.check_interrupt()?;
                let Some(cosines) = cosines else {
                    return Ok(Vec::new());
                };
                let place =
                    |of: &LayerNeurons| self.found.layers.iter().position(|known| known.layer == of.layer);
                self.first(layers, n, |of, unit| {
                    is_other(of, unit).then(|| cosines[place(of)?].get(unit).copied())?
                })
            }
        }
    }

    fn nearest_table(&self, at: (INT, INT), options: &NearOptions) -> Result<Table, ScriptError> {
        let by = options.by.0;
        let found = self.nearest(at, by, (options.n, options.layer))?;
        if found.is_empty() && by == NearBy::Weights {
            let message = format!(
                "what {}s of {} write is not told by weights alone",
                self.found.units.name(),
                self.found.place.name()
            );
            return Err(ScriptError::new(ErrorKind::Value, message)
                .with_hint("weights tell it of neurons (mlp_inner), of directions of the stream and of features that write to it, while the model is loaded"));
        }
        let likeness = found
            .iter()
            .map(|(.., likeness)| Dynamic::from_float(*likeness))
            .collect();
        let name = match by {
            NearBy::Weights => "cosine",
            NearBy::Activations => "correlation",
        };
        self.table(&found, vec![(name.to_owned(), likeness)])
    }

    /// The `n` with the largest numbers; what has none is left out.
    fn first<'a>(
        &'a self,
        layers: Vec<&'a LayerNeurons>,
        n: usize,
        of: impl Fn(&LayerNeurons, usize) -> Option<f64>,
    ) -> Result<Vec<Ranked<'a>>, ScriptError> {
        let state = self.model.state()?;
        let mut all: Vec<Ranked> = Vec::new();
        for layer in layers {
            state.check_interrupt()?;
            let numbers =
                (0..layer.n_neurons()).filter_map(|neuron| Some((layer, neuron, of(layer, neuron)?)));
            all.extend(numbers.filter(|(.., number)| !number.is_nan()));
            // A stable order: among equals the earlier layer and neuron stays first.
            all.sort_by(|a, b| b.2.total_cmp(&a.2));
            all.truncate(n);
        }
        Ok(all)
    }

    fn rank(&self, options: &RankOptions) -> Result<Table, ScriptError> {
        let by = options.by.0;
        let first = self.first(self.layers(options.layer)?, options.n, |layer, neuron| {
            Some(match by {
                RankBy::Selectivity => layer.selectivity(neuron),
                RankBy::Peak => self.size(layer.peak(neuron)),
                RankBy::Active => layer.active[neuron],
                RankBy::Mean => layer.mean[neuron],
                RankBy::Deviation => layer.deviation[neuron],
            })
        })?;
        self.table(&first, vec![])
    }

    /// How strong a value is.
    fn size(&self, value: f64) -> f64 {
        match self.found.sign {
            Sign::Positive => value,
            Sign::Negative => -value,
            Sign::Both => value.abs(),
        }
    }

    fn search(&self, word: &Dynamic, options: &SearchOptions) -> Result<Table, ScriptError> {
        let loaded = self.model.loaded()?;
        let Some(word) = Word::of(word) else {
            return ecco_scripting::result::show::expected("a token: its text or its number", word);
        };
        let wanted = token(&word, &loaded, "token")?.id;
        let at_token = |layer: &LayerNeurons, neuron: usize| {
            let places = layer.strongest(neuron);
            let n = places
                .iter()
                .filter(|place| self.found.token(place) == Some(wanted))
                .count();
            (n, places.len())
        };
        let first = self.first(self.layers(options.layer)?, options.n, |layer, neuron| {
            let (n, of) = at_token(layer, neuron);
            (n > 0).then(|| n as f64 / of as f64)
        })?;
        let shares = first
            .iter()
            .map(|(.., share)| Dynamic::from_float(*share))
            .collect();
        self.table(&first, vec![("share".to_owned(), shares)])
    }

    /// A row for each neuron.
    fn table(&self, neurons: &[Ranked], more: Vec<(String, Vec<Dynamic>)>) -> Result<Table, ScriptError> {
        let tokenizer = self.model.loaded().ok();
        let strongest = |layer: &LayerNeurons, neuron: usize| {
            let place = layer.strongest(neuron).into_iter().next()?;
            let id = self.found.token(&place)?;
            let tokens = tokenizer.as_ref()?.tokenizer().tokens(&[id]);
            Some(Dynamic::from(tokens.into_iter().next()?.text))
        };
        let column = |name: &str, of: &dyn Fn(&LayerNeurons, usize) -> Dynamic| {
            let values = neurons.iter().map(|(layer, neuron, _)| of(layer, *neuron));
            (name.to_owned(), values.collect::<Vec<Dynamic>>())
        };
        let number = |value: f64| match value.is_nan() {
            true => Dynamic::UNIT,
            false => Dynamic::from_float(value),
        };
        let mut columns = vec![
            column("layer", &|layer, _| {
                layer
                    .layer
                    .map_or(Dynamic::UNIT, |layer| Dynamic::from_int(layer as INT))
            }),
            column(self.found.units.name(), &|_, neuron| {
                Dynamic::from_int(neuron as INT)
            }),
        ];
        columns.extend(more);
        columns.extend([
            column("token", &|layer, neuron| {
                strongest(layer, neuron).unwrap_or(Dynamic::UNIT)
            }),
            column("peak", &|layer, neuron| number(layer.peak(neuron))),
            column("active", &|layer, neuron| number(layer.active[neuron])),
            column("mean", &|layer, neuron| number(layer.mean[neuron])),
            column("deviation", &|layer, neuron| number(layer.deviation[neuron])),
            column("selectivity", &|layer, neuron| number(layer.selectivity(neuron))),
        ]);
        Table::new(columns)
    }

    /// Of one number of each neuron: (layer, neuron), NaN behind narrower layers.
    fn numbers(&self, of: impl Fn(&LayerNeurons, usize) -> f64) -> Tensor {
        let layers = &self.found.layers;
        let widest = layers.iter().map(LayerNeurons::n_neurons).max().unwrap_or(0);
        let values = Array::from_shape_fn(IxDyn(&[layers.len(), widest]), |at| {
            let (layer, neuron) = (&layers[at[0]], at[1]);
            if neuron < layer.n_neurons() {
                of(layer, neuron) as f32
            } else {
                f32::NAN
            }
        });
        Tensor::new(values, &["layer", self.found.units.name()])
    }
}

impl Show for Corpus {
    fn view(&self) -> Result<Box<dyn Explorable>, ScriptError> {
        Ok(Box::new(self.rank(&RankOptions::default())?.shown()))
    }

    fn line(&self) -> String {
        let found = &self.found;
        let neurons: usize = found.layers.iter().map(LayerNeurons::n_neurons).sum();
        let again = match found.pieces.n_same {
            0 => String::new(),
            n => format!(", {n} of them twice"),
        };
        let unit = match (found.units.name(), neurons) {
            (name, 1) => name.to_owned(),
            (name, _) => format!("{name}s"),
        };
        let part = if found.is_whole { "" } else { "interrupted: " };
        format!(
            "{part}{neurons} {unit} of {} over {} tokens of {} texts{again}",
            found.place.name(),
            found.n_tokens,
            found.pieces.n_texts
        )
    }
}

impl Explanation for Corpus {
    fn tensors(&self) -> Result<Vec<(&'static str, Tensor)>, ScriptError> {
        Ok(vec![
            ("peak", self.numbers(LayerNeurons::peak)),
            ("mean", self.numbers(|layer, neuron| layer.mean[neuron])),
            ("deviation", self.numbers(|layer, neuron| layer.deviation[neuron])),
            ("active", self.numbers(|layer, neuron| layer.active[neuron])),
        ])
    }
}

pub(super) fn register(registry: &mut Registry) {
    members! { registry, [Corpus];
        /// One neuron: the tokens that it promotes and suppresses, how its values are spread, the neurons that are most like it,
        /// the places where it is strongest in their texts, and texts of the sample from strong to weak.
        ///
        /// Example:
        /// ```rhai
        /// corpus.neuron(2, 117, #{top: 5, context: 16})
        /// ```
        fn neuron(corpus: &Corpus, layer: INT, neuron: INT; options: NeuronPageOptions) -> CorpusNeuron {
            CorpusNeuron::new(corpus, layer, neuron, &options)
        }

        /// The first neurons by some number, as a table: the token where it is strongest, its `peak` there, the share of tokens
        /// where it is `active` (above 0), its mean and deviation, and `selectivity`, the distance of the peak from the mean in
        /// deviations.
        ///
        /// Example:
        /// ```rhai
        /// corpus.rank(#{by: "active", layer: 3, n: 5})
        /// ```
        fn rank(corpus: &Corpus; options: RankOptions) -> Table { corpus.rank(&options) }

        /// The neurons whose strongest places are most often at a token: `share` says how many of those that are kept.
        ///
        /// Example:
        /// ```rhai
        /// corpus.search(" Paris")
        /// ```
        fn search(corpus: &Corpus, token: Dynamic; options: SearchOptions) -> Table { corpus.search(&token, &options) }

        /// The neurons that are most like one, as a table: by the `correlation` of their values at the tokens of the sample, or
        /// by the `cosine` of what they write to the stream.
        ///
        /// Example:
        /// ```rhai
        /// corpus.nearest(2, 117, #{by: "weights"})
        /// ```
        fn nearest(corpus: &Corpus, layer: INT, neuron: INT; options: NearOptions) -> Table {
            corpus.nearest_table((layer, neuron), &options)
        }

        /// How many tokens were read.
        get n_tokens(corpus: &Corpus) -> INT { Ok(corpus.found.n_tokens as INT) }

        /// Whether all texts were read: an interrupt leaves those that were read by then.
        get is_whole(corpus: &Corpus) -> bool { Ok(corpus.found.is_whole) }
    }
}
