//! What heads do, by what they look at on repeated random tokens, and by their weights.
//!
//! On a text `r r` of random tokens that stands twice, nothing but repetition can be known, so where a head looks says what
//! it is for (Olsson et al. 2022, 2209.11895). What it would copy, and which tokens it matches, its weights say without any
//! text (Elhage et al. 2021): see [`crate::vocabulary`].

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use ecco_interpreter::{Progress, Watch, named};
use ecco_models::config::Mixer;
use ecco_models::guard::guard;
use ecco_models::host::{self, bring};
use ecco_models::model::Body;
use ecco_models::run::{self, Input};
use ecco_models::tap::{NoTap, Tap};
use ecco_models::{Model, Site};
use ndarray::Array2;
use tch::{Device, Kind, Tensor};

use crate::error::{Result, ensure_attention, refuse};
use crate::random::RandomState;
use crate::vocabulary::weights;

named! {
    /// A score of a head.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum HeadScore {
        /// Attention to the token behind the earlier copy of the one that is read: A\[q, q − n + 1\] over the second copy.
        Induction = "induction",
        /// Attention to the earlier copy itself: A\[q, q − n\] over the second copy.
        Duplicate = "duplicate",
        /// Attention to the token before: A\[q, q − 1\], over all but the first place, as all below.
        Previous = "previous",
        /// Attention to the token that is read: A\[q, q\].
        Own = "self",
        /// Attention to the first token: A\[q, 0\].
        First = "first",
        /// −Σ A ln A, in nats.
        Entropy = "entropy",
        /// The same as a share of what even attention has.
        RelativeEntropy = "relative_entropy",
        /// Σ A |q − k|, in tokens.
        Distance = "distance",
        /// Σλ / Σ|λ| of the head's OV circuit in the vocabulary: 1 writes the token it looks at, −1 takes it away.
        Copying = "copying",
        /// The same of its QK circuit: 1 looks for tokens like the one that is read.
        Matching = "matching",
    }
}

/// Those of [`HeadScore`] that a text tells, in order.
const OF_TEXTS: usize = 8;

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HeadOptions {
    /// Tokens that are repeated; as many as fit, at most [`USUAL`], where none is said.
    pub n: Option<usize>,
    /// Texts that are averaged.
    pub n_texts: usize,
    pub seed: u64,
}

/// Repeated tokens where nothing is said.
pub const USUAL: usize = 50;
/// Repeated tokens at most: patterns grow with the square.
const MOST: usize = 1000;

/// Scores of every head.
#[derive(Debug, Clone, PartialEq)]
pub struct HeadScores {
    /// (layer, head) each, in the order of [`HeadScore`]. What is not defined for a model's weights is missing, and of layers
    /// without attention no number.
    pub scores: Vec<(HeadScore, Array2<f64>)>,
    /// Of an encoder beside a decoder.
    pub encoder: bool,
    /// Tokens that were repeated.
    pub n: usize,
    /// Texts that were averaged.
    pub n_texts: usize,
}

/// A text of random tokens that stands twice.
#[derive(Debug, Clone, PartialEq)]
pub struct Repeated {
    pub ids: Vec<u32>,
    /// Where the first copy begins.
    pub start: usize,
    pub n: usize,
}

/// All scores of all heads: of an encoder–decoder those of its encoder.
///
/// # Errors
/// [`crate::Error::Option`] for more tokens than the model reads or its vocabulary has.
pub fn head_scores(model: &Model, options: &HeadOptions, watch: &mut Watch) -> Result<HeadScores> {
    let config = model.config();
    if (0..config.n_layers).all(|layer| config.mixer(layer) != Mixer::Attention) {
        ensure_attention(model, "a head's score")?;
    }
    let texts = repeated(model, options)?;
    let of_texts = attention_scores(model, &texts, watch)?;
    let [copying, matching] = weights::eigenvalue_scores(model, watch)?;
    let of_weights = [(HeadScore::Copying, copying), (HeadScore::Matching, matching)];
    let of_weights = of_weights
        .into_iter()
        .filter_map(|(score, of)| Some((score, of?)));
    Ok(HeadScores {
        scores: of_texts.into_iter().chain(of_weights).collect(),
        encoder: matches!(model.body(), Body::EncoderDecoder(_)),
        n: texts.first().map_or(0, |text| text.n),
        n_texts: texts.len(),
    })
}

/// Random texts for a model: special tokens around them as its tokenizer puts them, none in them, and no token twice in
/// one copy.
///
/// # Errors
/// As [`head_scores`].
pub fn repeated(model: &Model, options: &HeadOptions) -> Result<Vec<Repeated>> {
    let tokenizer = model.tokenizer();
    let around = tokenizer.encode("a")?;
    let is_special = |id: &&u32| tokenizer.is_special(**id);
    let before: Vec<u32> = around.iter().take_while(is_special).copied().collect();
    let mut after: Vec<u32> = around.iter().rev().take_while(is_special).copied().collect();
    after.reverse();
    let config = model.config().encoder.as_deref().unwrap_or(model.config());
    let is_ordinary = |id: &u32| tokenizer.has(*id) && !tokenizer.is_special(*id);
    let mut ordinary: Vec<u32> = (0..config.vocab_size as u32).filter(is_ordinary).collect();
    let room = config.context_length.saturating_sub(before.len() + after.len()) / 2;
    let most = room.min(ordinary.len()).min(MOST);
    let n = options.n.unwrap_or(USUAL.min(most));
    if n < 2 || n > most {
        return Err(refuse(
            "n",
            n,
            format!("expected 2 to {most} tokens, which stand twice"),
        ));
    }
    let mut random = RandomState::new(options.seed as u32);
    let mut text = || {
        // The first steps of a shuffle: the vocabulary may be large, and texts many.
        for at in 0..n {
            let rest = ordinary.len() - at;
            let other = (random.uniform() * rest as f64) as usize;
            ordinary.swap(at, at + other.min(rest - 1));
        }
        let copy = &ordinary[..n];
        Repeated {
            ids: [&before[..], copy, copy, &after].concat(),
            start: before.len(),
            n,
        }
    };
    Ok((0..options.n_texts).map(|_| text()).collect())
}

/// What the texts tell, averaged over them: one pass over each.
///
/// # Errors
/// Texts that the model cannot take.
pub fn attention_scores(
    model: &Model,
    texts: &[Repeated],
    watch: &mut Watch,
) -> Result<Vec<(HeadScore, Array2<f64>)>> {
    let is_causal = matches!(model.body(), Body::Decoder(_));
    let mut tap = Scores {
        by_layer: BTreeMap::new(),
        text: 0,
        texts,
        is_causal,
        watch,
        n_layers: model
            .config()
            .encoder
            .as_deref()
            .unwrap_or(model.config())
            .n_layers,
    };
    let target = match model.body() {
        Body::EncoderDecoder(_) => Input::new(model, "a", None)?.target,
        _ => vec![],
    };
    let found = guard(|| {
        for (at, text) in texts.iter().enumerate() {
            let input = Input::of(model, text.ids.clone(), target.clone())?;
            tap.text = at;
            let _ = match model.body() {
                Body::EncoderDecoder(_) => run::states(model, &[input], &mut NoTap, &mut tap)?,
                _ => run::states(model, &[input], &mut tap, &mut NoTap)?,
            };
        }
        let place = (
            Kind::Double,
            tap.by_layer.values().next().map_or(Device::Cpu, Tensor::device),
        );
        let layers: Vec<Tensor> = tap.by_layer.values().map(|layer| bring(layer, place)).collect();
        let all = Tensor::stack(&layers, 1) / texts.len() as f64; // [score, layer, head]
        Ok((host::numbers(&all), all.size()[2] as usize))
    });
    let (numbers, n_heads) = found?;
    let layers: Vec<usize> = tap.by_layer.into_keys().collect();
    let each = numbers.chunks_exact((layers.len() * n_heads).max(1));
    let table = |values: &[f64]| {
        let mut table = Array2::from_elem((tap.n_layers, n_heads), f64::NAN);
        for (&layer, scores) in layers.iter().zip(values.chunks_exact(n_heads)) {
            table.row_mut(layer).assign(&ndarray::aview1(scores));
        }
        table
    };
    Ok(HeadScore::ALL.iter().copied().zip(each.map(table)).collect())
}

/// Takes the scores of each layer's pattern as it passes, and keeps nothing else.
struct Scores<'a, 'b> {
    /// Sums over the texts so far, `[score, head]` each.
    by_layer: BTreeMap<usize, Tensor>,
    text: usize,
    texts: &'a [Repeated],
    is_causal: bool,
    watch: &'a mut Watch<'b>,
    n_layers: usize,
}

impl Tap for Scores<'_, '_> {
    fn wants(&self, site: Site, _: usize) -> bool {
        site == Site::AttentionPattern
    }

    fn visit(&mut self, site: Site, layer: usize, value: Tensor) -> Tensor {
        if site == Site::AttentionPattern {
            let scores = scores(&value.get(0), &self.texts[self.text], self.is_causal);
            let sum = match self.by_layer.get(&layer) {
                Some(sum) => sum + scores,
                None => scores,
            };
            self.by_layer.insert(layer, sum);
        }
        value
    }

    fn proceed(&mut self, layer: usize) -> ControlFlow<()> {
        (self.watch)(&Progress {
            label: "scoring heads".into(),
            done: (self.text * self.n_layers + layer) as u64,
            total: Some((self.texts.len() * self.n_layers) as u64),
            unit: "layers",
        })
    }
}

/// Of one pattern `[head, query, key]`: `[score, head]`, the first of [`HeadScore`].
fn scores(pattern: &Tensor, text: &Repeated, is_causal: bool) -> Tensor {
    let (start, n, length) = (text.start as i64, text.n as i64, pattern.size()[1]);
    let places = (Kind::Double, pattern.device());
    let mean = |x: &Tensor| x.to_kind(Kind::Double).mean_dim(-1, false, None::<Kind>); // [head]
    // A[q, q − back], q from `back` on.
    let behind = |back: i64| pattern.diagonal(-back, 1, 2);
    let rest = |x: &Tensor| x.narrow(-1, 1, length - 1);
    let wide = pattern.to_kind(Kind::Double);
    let entropy = -wide.xlogy(&wide).sum_dim_intlist(-1, false, None::<Kind>); // [head, query]
    let seen = match is_causal {
        true => Tensor::arange_start(1, length + 1, places),
        false => Tensor::full([length], length as f64, places),
    };
    let positions = Tensor::arange(length, places);
    let distances = (positions.unsqueeze(1) - positions.unsqueeze(0)).abs(); // [query, key]
    let distance = (&wide * distances).sum_dim_intlist(-1, false, None::<Kind>);
    let all: [Tensor; OF_TEXTS] = [
        mean(&behind(n - 1).narrow(-1, start + 1, n)),
        mean(&behind(n).narrow(-1, start, n)),
        mean(&behind(1)),
        mean(&rest(&behind(0))),
        mean(&rest(&pattern.select(2, 0))),
        mean(&rest(&entropy)),
        mean(&rest(&(&entropy / seen.log()))),
        mean(&rest(&distance)),
    ];
    Tensor::stack(&all, 0)
}
