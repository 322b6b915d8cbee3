//! Attention patterns as a view: computed when they are first shown or read.

use std::cell::OnceCell;
use std::rc::Rc;

use ecco_interpreter::named;
use ecco_models::config::Mixer;
use ecco_models::run::{self, Input, Place};
use ecco_models::{Site, Token};
use ecco_widgets::Explorable;
use ecco_widgets::attention::{Map as Thumbnails, Pattern, thumbnail};
use ndarray::Axis;

use crate::live::Asking;
use crate::text::generation::Generation;
use crate::text::passage::Passage;
use crate::text::run::Run;
use crate::text::shown::shown;
use ecco_scripting::live::Live;
use ecco_scripting::options::Choice;
use ecco_scripting::result::{Explanation, Show};
use ecco_scripting::session::watched;
use ecco_scripting::tensor::Tensor;
use ecco_scripting::{ErrorKind, Registry, ScriptError, members, options};

named! {
    /// Which of a model's attentions: a decoder's, or an encoder's that stands alone; of two stacks, also the one between
    /// them and the encoder's.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Between {
        Own = "own",
        Cross = "cross",
        Encoder = "encoder",
    }
}

options! {
    /// What `attention` can be told.
    pub struct AttentionOptions {
        /// the layer that is shown first
        layer: Option<usize> = "0; numbers of all",
        /// the head that is shown first
        head: Option<usize> = "the mean of heads; numbers of all",
        /// a stack's attention to itself, a decoder's to the encoder, or the encoder's
        of: Option<Choice<Between>> = "\"own\"; of two stacks \"cross\"",
    }
}

impl Between {
    fn place(self) -> Place {
        match self {
            Self::Own => Place::of(Site::AttentionPattern),
            Self::Cross => Place::of(Site::CrossPattern),
            Self::Encoder => Place {
                site: Site::AttentionPattern,
                encoder: true,
            },
        }
    }
}

#[derive(Clone)]
pub(crate) struct Attention(Rc<Inner>);

struct Inner {
    passage: Passage,
    /// What was read: what has not been looks at nothing.
    input: Input,
    between: Between,
    layer: Option<usize>,
    head: Option<usize>,
    /// Whether every layer has attention: else one is looked at by itself.
    everywhere: bool,
    /// (layer, head, query, key), and the layer of its first row.
    asked: Asking,
    found: OnceCell<(Tensor, usize)>,
}

/// Numbers of all patterns that are recorded at once: 256 MB.
const MOST_NUMBERS: usize = 64 << 20;
/// Weights on a page: 1 MB as it stands there.
const MOST_WEIGHTS: usize = 400_000;

impl Attention {
    pub(crate) fn new(passage: Passage, options: AttentionOptions) -> Result<Self, ScriptError> {
        let asked = Asking::new("attention", &options);
        let (layer, head, between) = (options.layer, options.head, options.of.map(|of| of.0));
        let is_pair = passage.is_pair();
        let between = match between {
            Some(Between::Cross | Between::Encoder) if !is_pair => {
                let name = &passage.model().card().name;
                let message = format!("{name} is one stack, so it has its own attention only");
                return Err(ScriptError::new(ErrorKind::Value, message).pointing_at("of"));
            }
            Some(between) => between,
            None if is_pair => Between::Cross,
            None => Between::Own,
        };
        let layers = attending(&passage);
        let attention = Self(Rc::new(Inner {
            input: passage.read_input(),
            between,
            layer: layer.or_else(|| layers.as_ref()?.first().copied()),
            head,
            everywhere: layers.is_none(),
            passage,
            asked,
            found: OnceCell::new(),
        }));
        let (n_layers, n_heads) = attention.size()?;
        let check = |option: &str, value: Option<usize>, n: usize| match value.filter(|&value| value >= n) {
            None => Ok(()),
            Some(value) => {
                let message = format!("there is no {option} {value}: there are {option}s 0 to {}", n - 1);
                Err(ScriptError::new(ErrorKind::Index, message).pointing_at(option))
            }
        };
        check("layer", layer, n_layers)?;
        check("head", head, n_heads)?;
        if let Some(layers) =
            layers.filter(|layers| layer.map_or(layers.is_empty(), |layer| !layers.contains(&layer)))
        {
            return Err(without_attention(
                &attention.0.passage,
                layer.unwrap_or(0),
                &layers,
            ));
        }
        Ok(attention)
    }

    /// Layers and heads.
    fn size(&self) -> Result<(usize, usize), ScriptError> {
        let inner = &self.0;
        let of_card = |card: &ecco_widgets::ModelCard| (card.n_layers, card.n_heads);
        if inner.between != Between::Encoder {
            return Ok(of_card(inner.passage.model().card()));
        }
        let loaded = inner.passage.model().loaded()?;
        let encoder = loaded.config().encoder.as_ref();
        Ok(encoder.map_or_else(
            || of_card(inner.passage.model().card()),
            |encoder| (encoder.n_layers, encoder.n_heads),
        ))
    }

    /// Queries and keys.
    fn lengths(&self) -> (usize, usize) {
        let input = &self.0.input;
        let (own, read) = (input.spoken().len(), input.ids.len());
        match self.0.between {
            Between::Own => (own, own),
            Between::Cross => (own, read),
            Between::Encoder => (read, read),
        }
    }

    fn found(&self) -> Result<&(Tensor, usize), ScriptError> {
        if let Some(found) = self.0.found.get() {
            return Ok(found);
        }
        let found = self.patterns()?;
        Ok(self.0.found.get_or_init(|| found))
    }

    fn patterns(&self) -> Result<(Tensor, usize), ScriptError> {
        let inner = &self.0;
        let (n_layers, n_heads) = self.size()?;
        let (n_queries, n_keys) = self.lengths();
        let n_all = n_layers * n_heads * n_queries * n_keys;
        let layer = match (n_all <= MOST_NUMBERS && inner.everywhere, inner.layer) {
            (true, _) => None,
            (false, Some(layer)) => Some(layer),
            (false, None) => {
                let size = ecco_models::error::format_bytes(4 * n_all as u64);
                let message = format!("the patterns of {n_queries} tokens in all layers take {size}");
                return Err(
                    ScriptError::new(ErrorKind::Memory, message).with_hint("choose a layer: #{layer: 0}")
                );
            }
        };
        let place = inner.between.place();
        let tensor = match layer {
            None => return Ok((inner.passage.at(place, None)?.0, 0)),
            Some(layer) => {
                let model = &inner.passage.model();
                let (loaded, state) = (model.loaded()?, model.state()?);
                let inputs = [inner.input.clone()];
                let records = watched(&state, model.verbose, |watch| {
                    run::record(&loaded, &inputs, &[place], Some(&[layer]), watch)
                })?;
                records.array(place, Some(layer), 0)?
            }
        };
        let array = match layer {
            Some(_) => tensor.insert_axis(Axis(0)),
            None => tensor,
        };
        Ok((Tensor::new(array, place.axes()), layer.unwrap_or(0)))
    }

    /// What was asked for: the chosen layer's, the chosen head's, or all.
    fn chosen(&self) -> Result<Tensor, ScriptError> {
        let (all, first) = self.found()?;
        let mut tensor = all.clone();
        if let Some(head) = self.0.head {
            tensor = tensor.index(1, head as i64)?;
        }
        match self.0.layer {
            Some(layer) => tensor.index(0, (layer - first) as i64),
            None => Ok(tensor),
        }
    }

    fn tokens(&self) -> Result<(Vec<Token>, Option<Vec<Token>>), ScriptError> {
        let (input, between) = (&self.0.input, self.0.between);
        let loaded = self.0.passage.model().loaded();
        // The tokens of an unloaded model's text are those it was shown with.
        let named = |ids: &[u32]| match &loaded {
            Ok(loaded) => Ok(loaded.tokenizer().tokens(ids)),
            Err(error) => self.0.passage.tokens_of(ids).ok_or_else(|| error.clone()),
        };
        Ok(match between {
            Between::Own => (named(input.spoken())?, None),
            Between::Cross => (named(&input.ids)?, Some(named(&input.target)?)),
            Between::Encoder => (named(&input.ids)?, None),
        })
    }

    fn view(&self) -> Result<ecco_widgets::Attention, ScriptError> {
        let (all, first_layer) = self.found()?;
        let (n_layers, n_heads) = self.size()?;
        let (n_queries, n_keys) = self.lengths();
        let causal = self.0.between == Between::Own && self.0.passage.is_causal();
        let layer = self.0.layer.unwrap_or(0);
        let of_row = |query: usize| if causal { (query + 1).min(n_keys) } else { n_keys };
        let size = |first: usize| (first..n_queries).map(of_row).sum::<usize>();
        let fits = |n: usize| n * size(0) <= MOST_WEIGHTS;
        // All heads, or the chosen layer's, or of one head as many of the last queries as there is room for.
        let head = self.0.head.unwrap_or(0);
        let is_here = |at: (usize, usize)| match (fits(n_layers * n_heads), fits(n_heads)) {
            (true, _) => true,
            (false, true) => at.0 == layer,
            (false, false) => at == (layer, head),
        };
        let first_query = match fits(1) {
            true => 0,
            false => (0..n_queries)
                .find(|&first| size(first) <= MOST_WEIGHTS)
                .unwrap_or(n_queries - 1),
        };
        let mut map = Thumbnails::new(n_layers, n_heads, n_queries, n_keys);
        let mut patterns = Vec::new();
        for at in (0..n_layers).flat_map(|layer| (0..n_heads).map(move |head| (layer, head))) {
            let Some(row) = at.0.checked_sub(*first_layer).filter(|row| *row < all.len()) else {
                map.add(&vec![0; map.size().0 * map.size().1]);
                continue;
            };
            let matrix = all.data();
            let matrix = matrix.view();
            let matrix = matrix.index_axis(Axis(0), row).index_axis_move(Axis(0), at.1);
            let rows = matrix.outer_iter().enumerate();
            let weights: Vec<f32> = rows
                .flat_map(|(query, row)| row.iter().take(of_row(query)).copied().collect::<Vec<f32>>())
                .collect();
            map.add(&thumbnail(&weights, n_queries, n_keys, causal, map.size()));
            if is_here(at) {
                let weights = weights[weights.len() - size(first_query)..].to_vec();
                patterns.push(Pattern {
                    layer: at.0,
                    head: at.1,
                    weights,
                });
            }
        }
        let (keys, queries) = self.tokens()?;
        let fits_mean = patterns.iter().filter(|pattern| pattern.layer == layer).count() == n_heads;
        Ok(ecco_widgets::Attention {
            model: Some(self.0.passage.model().card().name.clone()),
            what: match self.0.between {
                Between::Own => "self-attention",
                Between::Cross => "of what is written to what was read",
                Between::Encoder => "the encoder's self-attention",
            }
            .to_owned(),
            n_input: match self.0.between {
                Between::Own => self.0.passage.n_given(),
                _ => usize::MAX,
            },
            keys: shown(&keys),
            queries: queries.map(|queries| shown(&queries)),
            causal,
            map,
            layer,
            head: if fits_mean { self.0.head } else { Some(head) },
            patterns,
            first_query,
            hint: Some("choose another with attention(#{layer: …, head: …})".to_owned()),
        })
    }
}

/// The layers with attention where not all have it.
fn attending(passage: &Passage) -> Option<Vec<usize>> {
    let loaded = passage.model().loaded().ok()?;
    let config = loaded.config();
    config.without_attention()?;
    let attends = |layer: &usize| config.mixer(*layer) == Mixer::Attention;
    Some((0..config.n_layers).filter(attends).collect())
}

fn without_attention(passage: &Passage, layer: usize, layers: &[usize]) -> ScriptError {
    let name = &passage.model().card().name;
    let message = format!("layer {layer} of {name} has something else in the place of attention");
    let error = ScriptError::new(ErrorKind::Value, message).pointing_at("layer");
    match layers.first() {
        Some(first) => error.with_hint(format!("attention is at layers {layers:?}: #{{layer: {first}}}")),
        None => error.with_hint("it has no attention at all: saliency says what a token owes to others"),
    }
}

impl Show for Attention {
    fn view(&self) -> Result<Box<dyn Explorable>, ScriptError> {
        Ok(Box::new(self.view()?))
    }

    fn live(&self) -> Option<Rc<dyn Live>> {
        self.0.asked.live(&self.0.passage)
    }

    fn line(&self) -> String {
        let layer = self
            .0
            .layer
            .map_or(String::new(), |layer| format!(" of layer {layer}"));
        let head = self
            .0
            .head
            .map_or(String::new(), |head| format!(", head {head},"));
        format!("attention{layer}{head} in an {}", self.0.passage.line())
    }
}

impl Explanation for Attention {
    fn tensors(&self) -> Result<Vec<(&'static str, Tensor)>, ScriptError> {
        Ok(vec![("attention", self.chosen()?)])
    }

    fn labels(&self, axis: &str) -> Option<Vec<String>> {
        let (keys, queries) = self.tokens().ok()?;
        let tokens = match axis {
            "key" => keys,
            "query" => queries.unwrap_or(keys),
            _ => return None,
        };
        Some(tokens.into_iter().map(|token| token.text).collect())
    }
}

pub(crate) fn register(registry: &mut Registry) {
    members! { registry, [Generation, Run];
        /// What heads look at, as a view: a map of all heads, and the tokens with the weights of one query. The numbers
        /// are `output.attention`, a tensor.
        ///
        /// Example:
        /// ```rhai
        /// output.attention(#{layer: 3, head: 5})
        /// ```
        fn attention(passage: Passage; options: AttentionOptions) -> Attention {
            Attention::new(passage, options)
        }
    }
}
