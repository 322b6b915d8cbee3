//! One neuron of a corpus: its page.

use std::rc::Rc;

use ecco_explain::corpus::{NeuronPlace, Units, neuron_values};
use ecco_explain::vocabulary::vocabulary;
use ecco_interpreter::Watch;
use ecco_models::run::Input;
use ecco_scripting::result::{Explanation, Show};
use ecco_scripting::session::watched;
use ecco_scripting::tensor::Tensor;
use ecco_scripting::{ErrorKind, ScriptError, options};
use ecco_widgets::{
    CorpusGroup, CorpusText, Explorable, Histogram, Neighbour, Neighbours, Quantile, VocabularyToken,
};
use ndarray::Array1;
use rhai::INT;

use super::result::{Corpus, NearBy};
use crate::text::shown::{shown, shown_one};

options! {
    /// What `corpus.neuron` can be told.
    pub struct NeuronPageOptions {
        /// how many of the strongest places are shown
        top: usize [1..] = 10,
        /// how many tokens are shown around each, most of them before it
        context: usize [1..] = 32,
        /// read these texts once more for the value at each of their tokens, where the model is still loaded
        values: bool = true,
        /// how many of the neurons that are most like it: by what they write to the stream, and by their values at the tokens
        /// of the sample
        nearest: usize = 5,
    }
}

/// A neuron of a corpus. Clones share everything.
#[derive(Clone)]
pub(crate) struct CorpusNeuron(Rc<ecco_widgets::CorpusNeuron>);

/// Places in the order of the texts that are between.
const SHARES: [f64; 5] = [0.9, 0.75, 0.5, 0.25, 0.0];
/// Quantiles of the values that are shown.
const QUANTILES: [f64; 7] = [0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99];
/// Tokens that are promoted and suppressed.
const N_WORDS: usize = 8;
/// Tokens around a place at most.
const MOST_CONTEXT: usize = 1000;

/// Part of a piece: from where to where.
type Window = (NeuronPlace, usize, usize);

impl CorpusNeuron {
    pub(super) fn new(
        corpus: &Corpus,
        layer: INT,
        neuron: INT,
        options: &NeuronPageOptions,
    ) -> Result<Self, ScriptError> {
        if options.context > MOST_CONTEXT {
            let message = format!(
                "context is {}: at most {MOST_CONTEXT} tokens are shown",
                options.context
            );
            return Err(ScriptError::new(ErrorKind::Value, message).pointing_at("context"));
        }
        let found = &corpus.found;
        let of = corpus.layer(layer)?;
        let at = corpus.place_of(layer, neuron)?;
        let mut strongest = of.strongest(at);
        if let Units::Features(_) = found.units {
            // At 0 a feature is not there at all.
            strongest.retain(|place| place.value > 0.0);
        }
        strongest.truncate(options.top);
        let between = of.at_quantiles(at, &found.sample.pieces, &SHARES, found.sign);
        let windows: Vec<Window> = strongest
            .iter()
            .chain(&between)
            .map(|place| corpus.window(*place, options.context))
            .collect();
        let values = corpus.values(&windows, (of.layer, at), options.values)?;
        let mut texts = windows
            .iter()
            .zip(values)
            .map(|(window, values)| corpus.text(*window, values));
        let group = |name: String, texts: Vec<CorpusText>| CorpusGroup { name, texts };
        let mut groups = vec![group(
            "strongest".to_owned(),
            texts.by_ref().take(strongest.len()).collect(),
        )];
        for (share, text) in SHARES.iter().zip(texts) {
            let name = match *share {
                0.0 => format!("weakest of {} texts that were drawn", found.sample.pieces.len()),
                share => format!(
                    "stronger than in {:.0} % of {} texts that were drawn",
                    share * 100.0,
                    found.sample.pieces.len()
                ),
            };
            groups.push(group(name, vec![text]));
        }
        let (start, end, counts) = of.histogram(at);
        let quantiles = QUANTILES.iter().zip(of.quantiles(at, &QUANTILES));
        let quantiles = quantiles.map(|(&share, value)| Quantile { share, value });
        let quantiles = quantiles.filter(|of| of.value.is_finite()).collect();
        let [promotes, suppresses] = corpus.words(of.layer, at)?;
        Ok(Self(Rc::new(ecco_widgets::CorpusNeuron {
            model: Some(corpus.model.card().name.clone()),
            site: found.place.name(),
            layer: of.layer,
            neuron: at,
            unit: found.units.name().to_owned(),
            n_tokens: of.n_tokens,
            n_texts: found.pieces.n_texts,
            mean: of.mean[at],
            deviation: of.deviation[at],
            active: of.active[at],
            histogram: Histogram { start, end, counts },
            quantiles,
            promotes,
            suppresses,
            nearest: corpus.neighbours(layer, neuron, options.nearest)?,
            groups,
        })))
    }
}

impl Corpus {
    /// What is shown of the piece around a place: three quarters of it before.
    fn window(&self, place: NeuronPlace, context: usize) -> Window {
        let n = self.found.ids(place.piece).len();
        let end = (place.position + 1 + context / 4).min(n);
        (place, end.saturating_sub(context).min(place.position), end)
    }

    /// The values at the tokens of each; nothing where they are not asked for or the model is gone.
    fn values(
        &self,
        windows: &[Window],
        (layer, neuron): (Option<usize>, usize),
        is_wanted: bool,
    ) -> Result<Vec<Vec<f32>>, ScriptError> {
        let none = || Ok(vec![Vec::new(); windows.len()]);
        let Some(loaded) = self.model.loaded().ok().filter(|_| is_wanted) else {
            return none();
        };
        let (place, state) = (self.found.place, self.model.state()?);
        let is_causal = loaded.config().attention.causal && loaded.config().encoder.is_none();
        let input = |(at, _, end): &Window| -> Input {
            let mut input = self.found.pieces.all[at.piece].input.clone();
            // Nothing that comes later changes it.
            if is_causal {
                input.ids.truncate(*end);
            }
            input
        };
        let inputs: Vec<Input> = windows.iter().map(input).collect();
        let values = watched(&state, self.model.verbose, |watch| {
            let units = &self.found.units;
            neuron_values(&loaded, &inputs, (place, units), (layer, neuron), watch)
        })?;
        let part = |(values, (_, start, end)): (Vec<f32>, &Window)| {
            values.get(*start..*end).map(<[f32]>::to_vec).unwrap_or_default()
        };
        Ok(values.into_iter().zip(windows).map(part).collect())
    }

    fn text(&self, (place, start, end): Window, values: Vec<f32>) -> CorpusText {
        let ids = &self.found.ids(place.piece)[start..end];
        let tokens = match self.model.loaded() {
            Ok(loaded) => shown(&loaded.tokenizer().tokens(ids)),
            Err(_) => ids
                .iter()
                .map(|id| ecco_widgets::Token {
                    text: id.to_string(),
                    id: *id,
                    part: None,
                })
                .collect(),
        };
        CorpusText {
            text: self.found.pieces.all[place.piece].text,
            value: place.value,
            peak: place.position - start,
            tokens,
            values,
        }
    }

    /// The neurons that are most like one, by each measure that there is.
    fn neighbours(&self, layer: INT, neuron: INT, n: usize) -> Result<Vec<Neighbours>, ScriptError> {
        let mut all = Vec::new();
        for by in NearBy::ALL.iter().copied().filter(|_| n > 0) {
            let found = self.nearest((layer, neuron), by, (n, None))?;
            let units = found.iter().map(|&(of, neuron, likeness)| Neighbour {
                layer: of.layer,
                neuron,
                likeness,
            });
            let units: Vec<Neighbour> = units.collect();
            if !units.is_empty() {
                all.push(Neighbours {
                    by: by.name().to_owned(),
                    units,
                });
            }
        }
        Ok(all)
    }

    /// The tokens that the neuron promotes and suppresses, where it writes to a stream with a linear head.
    fn words(&self, layer: Option<usize>, neuron: usize) -> Result<[Vec<VocabularyToken>; 2], ScriptError> {
        let none = [vec![], vec![]];
        let (Ok(loaded), Some(written)) = (self.model.loaded(), self.found.written(layer, &[neuron])?) else {
            return Ok(none);
        };
        let state = self.model.state()?;
        let read = |watch: &mut Watch| vocabulary(&loaded, &written, N_WORDS, watch);
        let spoken = watched(&state, self.model.verbose, read);
        state.check_interrupt()?;
        // Not every model has such a head.
        let Some((spoken, _)) = spoken.ok().and_then(|rows| rows.into_iter().next()) else {
            return Ok(none);
        };
        let tokens = |of: &[(u32, f64)]| {
            let named = |&(id, value): &(u32, f64)| VocabularyToken {
                token: shown_one(&loaded.tokenizer().tokens(&[id])[0]),
                value: value as f32,
            };
            of.iter().map(named).collect()
        };
        Ok([tokens(&spoken.promotes), tokens(&spoken.suppresses)])
    }
}

impl Show for CorpusNeuron {
    fn view(&self) -> Result<Box<dyn Explorable>, ScriptError> {
        Ok(Box::new((*self.0).clone()))
    }

    fn line(&self) -> String {
        let of = &self.0;
        let layer = of
            .layer
            .map_or(String::new(), |layer| format!(" of layer {layer}"));
        format!("{} {}{layer} over {} tokens", of.unit, of.neuron, of.n_tokens)
    }
}

impl Explanation for CorpusNeuron {
    fn tensors(&self) -> Result<Vec<(&'static str, Tensor)>, ScriptError> {
        let strongest = self.0.groups.first().map_or(&[][..], |group| &group.texts);
        let row =
            |values: Vec<f32>, axis: &'static str| Tensor::new(Array1::from_vec(values).into_dyn(), &[axis]);
        let of = |value: fn(&CorpusText) -> f32| row(strongest.iter().map(value).collect(), "text");
        Ok(vec![
            ("values", of(|text| text.value)),
            ("texts", of(|text| text.text as f32)),
            (
                "histogram",
                row(self.0.histogram.counts.iter().map(|&n| n as f32).collect(), "bin"),
            ),
        ])
    }
}
