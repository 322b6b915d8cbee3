//! Dictionaries: sparse autoencoders and transcoders, which write what stands at a site as a sum of few features out of many.
//!
//! - [`Dictionary`]: [`Dictionary::encode`], [`Dictionary::decode`]; published variants are the same computation once their
//!   scales are folded into the weights
//! - [`reading`]: from files to a dictionary for a model; `formats`: what each published format says; `hooks`: names of places in other libraries
//! - `cross_layer`: features that write in later layers too; [`set`]: folders with a transcoder for each layer
//! - [`FeatureEdit`]: features made stronger or weaker in every pass
//! - [`Held`]: features in a pass by the frozen rule; [`writing`]: a dictionary as the files of SAELens
//!
//! x̂ = b_dec + Σ a_f W_dec\[f\] (Bricken et al. 2023; Templeton et al. 2024), for a transcoder of what the MLP adds
//! (Dunefsky et al. 2024, 2406.11944).

mod cross_layer;
mod edit;
mod formats;
mod held;
mod hooks;
pub mod reading;
pub mod set;
pub mod writing;

use std::rc::Rc;

use tch::{Device, Kind, Tensor};

use crate::host;
use crate::site::Place;

pub use edit::{FeatureChange, FeatureEdit, Seen};
pub use held::Held;

/// A dictionary with its tensors where the layer is that it reads.
pub struct Dictionary {
    /// The published format, for people: `SAELens`, `Gemma Scope`; of one that was trained here `trained`.
    pub format: &'static str,
    pub reads: Spot,
    pub writes: Spot,
    /// How what is read becomes what is encoded.
    pub preparation: Preparation,
    pub rule: ActivationRule,
    /// `[input, feature]`
    encoder: Tensor,
    /// `[feature]`; of a gated one that of the gate.
    bias: Tensor,
    /// Taken off what is encoded: `[input]`.
    input_bias: Option<Tensor>,
    /// `[feature, output]`
    decoder: Tensor,
    /// `[output]`
    output_bias: Tensor,
    /// What goes by the features: `[input, output]`.
    skip: Option<Tensor>,
    /// By feature, as the rule needs it: thresholds; of a gated one factors and biases of magnitudes.
    levels: Vec<Tensor>,
    /// Of a layer of a cross-layer transcoder, what its features write in each layer behind their own: `[feature, output]`.
    later: Vec<Tensor>,
    /// The layers below it, from the first on, whose features write where it writes.
    earlier: Vec<Rc<Dictionary>>,
}

/// A place of one layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spot {
    pub place: Place,
    pub layer: usize,
}

/// From encodings before the activation, z, to activations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActivationRule {
    /// max(z, 0).
    Relu,
    /// max(z, 0) where z is above the feature's threshold, else 0 (2407.14435).
    JumpRelu,
    /// max(z, 0) of the k largest of each position, else 0 (2406.04093).
    TopK(usize),
    /// max(z e^r + b, 0) where the gate is above 0, else 0 (2404.16014).
    Gated,
}

/// What is done to what is read before it is encoded, and undone to what is written.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Preparation {
    Plain,
    /// Less its mean, over its standard deviation with n − 1.
    LayerNorm,
    /// Of length √n.
    ConstantNorm,
    /// The stream as a norm has it before its gain: over the deviation, less the mean where the norm takes that off. Not
    /// undone: what is written is another place.
    BeforeGain {
        centred: bool,
        epsilon: f64,
    },
}

/// Beside the deviation of a layer-normed input, as SAELens and OpenAI have it.
const LAYER_NORM_EPSILON: f64 = 1e-5;

/// What a dictionary makes of rows of its site.
pub struct Code {
    /// `[.., feature]`
    pub activations: Tensor,
    /// By what all that is written is multiplied, `[.., 1]`.
    pub scale: Option<Tensor>,
    /// What stands whatever the features: the dictionary's bias, a mean that was taken off, what goes by the features:
    /// `[.., output]`.
    pub rest: Tensor,
}

impl Dictionary {
    /// A top-k autoencoder of a spot, whose output's bias is taken off what it reads: encoder `[input, feature]`, its bias,
    /// decoder `[feature, input]`, its bias.
    pub fn top_k(spot: Spot, k: usize, [encoder, bias, decoder, output_bias]: [Tensor; 4]) -> Self {
        Self {
            format: "trained",
            reads: spot,
            writes: spot,
            preparation: Preparation::Plain,
            rule: ActivationRule::TopK(k),
            encoder,
            bias,
            input_bias: Some(output_bias.shallow_clone()),
            decoder,
            output_bias,
            skip: None,
            levels: vec![],
            later: vec![],
            earlier: vec![],
        }
    }

    pub fn n_features(&self) -> usize {
        self.decoder.size()[0] as usize
    }

    /// Numbers that it reads at a position.
    pub fn n_inputs(&self) -> usize {
        self.encoder.size()[0] as usize
    }

    /// Numbers that it writes at a position.
    pub fn n_outputs(&self) -> usize {
        self.decoder.size()[1] as usize
    }

    /// Whether it writes elsewhere than it reads.
    pub fn is_transcoder(&self) -> bool {
        self.reads != self.writes
    }

    /// Its type and where it is.
    pub fn place(&self) -> (Kind, Device) {
        (self.decoder.kind(), self.decoder.device())
    }

    /// Bytes that its tensors take.
    pub fn n_bytes(&self) -> u64 {
        let [all, few] = [
            [&self.encoder, &self.bias, &self.decoder, &self.output_bias].to_vec(),
            self.levels
                .iter()
                .chain(&self.later)
                .chain(&self.skip)
                .chain(&self.input_bias)
                .collect(),
        ];
        let each = all.into_iter().chain(few);
        each.map(|x| (x.numel() * x.kind().elt_size_in_bytes()) as u64)
            .sum()
    }

    /// Rows `[.., input]` as features.
    pub fn encode(&self, x: &Tensor) -> Code {
        self.code(x, None)
    }

    /// The same of some features only: `[feature]`. Those of a top-k dictionary are chosen among all.
    pub(crate) fn encode_some(&self, x: &Tensor, features: &Tensor) -> Code {
        self.code(x, Some(features))
    }

    fn code(&self, x: &Tensor, features: Option<&Tensor>) -> Code {
        let (prepared, scale, shift) = self.prepared(x);
        let input = match &self.input_bias {
            Some(bias) => &prepared - bias,
            None => prepared.shallow_clone(),
        };
        let columns = |x: &Tensor| match (features, self.rule) {
            (Some(features), rule) if !matches!(rule, ActivationRule::TopK(_)) => {
                x.index_select(-1, features)
            }
            _ => x.shallow_clone(),
        };
        let product = input.matmul(&columns(&self.encoder)); // [.., feature]
        let z = &product + columns(&self.bias);
        let level = |at: usize| columns(&self.levels[at]);
        let activations = match self.rule {
            ActivationRule::Relu => z.relu(),
            ActivationRule::JumpRelu => z.relu() * z.gt_tensor(&level(0)).to_kind(z.kind()),
            ActivationRule::TopK(k) => {
                let kept = largest(&z, k).relu();
                features.map_or(kept.shallow_clone(), |features| kept.index_select(-1, features))
            }
            ActivationRule::Gated => {
                let magnitudes = (&product * level(0) + level(1)).relu();
                magnitudes * z.gt(0.0).to_kind(z.kind())
            }
        };
        let mut rest = match &scale {
            Some(scale) => &self.output_bias * scale,
            None => self.output_bias.shallow_clone(),
        };
        if let Some(shift) = shift {
            rest = &rest + shift;
        }
        if let Some(skip) = &self.skip {
            rest = &rest + prepared.matmul(skip);
        }
        Code {
            activations,
            scale,
            rest,
        }
    }

    /// What is encoded, by what its scale was divided and what was taken off.
    fn prepared(&self, x: &Tensor) -> (Tensor, Option<Tensor>, Option<Tensor>) {
        let mean = || x.mean_dim(-1, true, None::<Kind>);
        match self.preparation {
            Preparation::Plain => (x.shallow_clone(), None, None),
            Preparation::LayerNorm => {
                let mean = mean();
                let deviation = x.std_dim(-1, true, true);
                let prepared = (x - &mean) / (&deviation + LAYER_NORM_EPSILON);
                (prepared, Some(deviation), Some(mean))
            }
            Preparation::ConstantNorm => {
                let length = x.norm_scalaropt_dim(2, [-1], true) / (self.n_inputs() as f64).sqrt();
                (x / &length, Some(length), None)
            }
            Preparation::BeforeGain { centred, epsilon } => {
                let x = if centred { x - mean() } else { x.shallow_clone() };
                let square = x.square().mean_dim(-1, true, None::<Kind>);
                (x * (square + epsilon).rsqrt(), None, None)
            }
        }
    }

    /// What features come to at the place that is written: `[.., output]`; without those of layers below.
    pub fn decode(&self, code: &Code) -> Tensor {
        self.written(self.writes.layer, code, &code.activations, None) + &code.rest
    }

    /// What these activations write in a layer, without the rest; of some features only, `[.., those]`.
    pub(crate) fn written(
        &self,
        layer: usize,
        code: &Code,
        activations: &Tensor,
        features: Option<&Tensor>,
    ) -> Tensor {
        let decoder = self.decoder_at(layer);
        let written = match features {
            Some(features) => activations.matmul(&decoder.index_select(0, features)),
            None => activations.matmul(decoder),
        };
        match &code.scale {
            Some(scale) => written * scale,
            None => written,
        }
    }

    /// What an answer owes to what each feature writes in a layer by its gradient there, `[.., output]`: `[.., feature]`.
    pub fn contributions(&self, layer: usize, code: &Code, gradient: &Tensor) -> Tensor {
        let along = gradient.matmul(&self.decoder_at(layer).tr()); // [.., feature]
        let owed = &code.activations * along;
        match &code.scale {
            Some(scale) => owed * scale,
            None => owed,
        }
    }

    /// What features write in a layer for each unit of their activations: `[feature, output]`.
    pub fn directions(&self, layer: usize, features: &[usize]) -> Tensor {
        self.decoder_at(layer).index_select(0, &self.index(features))
    }

    /// What features are encoded by: `[feature, input]`, and their biases `[feature]`.
    pub fn readers(&self, features: &[usize]) -> (Tensor, Tensor) {
        let index = self.index(features);
        let bias = match self.rule {
            ActivationRule::Gated => &self.levels[1],
            _ => &self.bias,
        };
        (
            self.encoder.index_select(1, &index).tr(),
            bias.index_select(0, &index),
        )
    }

    /// The thresholds of features, `[feature]`, where each has one.
    pub fn thresholds(&self, features: &[usize]) -> Option<Tensor> {
        let has = self.rule == ActivationRule::JumpRelu;
        has.then(|| self.levels[0].index_select(0, &self.index(features)))
    }

    fn index(&self, features: &[usize]) -> Tensor {
        let features: Vec<i64> = features.iter().map(|&feature| feature as i64).collect();
        host::index(&features, self.decoder.device())
    }
}

/// Compared by what it is, not by its numbers.
impl PartialEq for Dictionary {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}

impl std::fmt::Debug for Dictionary {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.debug_struct("Dictionary")
            .field("format", &self.format)
            .field("reads", &self.reads)
            .field("writes", &self.writes)
            .field("features", &self.n_features())
            .finish_non_exhaustive()
    }
}

/// The k largest of each row, and 0 elsewhere.
pub fn largest(z: &Tensor, k: usize) -> Tensor {
    let (values, index) = z.topk(k as i64, -1, true, false);
    z.zeros_like().scatter(-1, &index, &values)
}

/// A site's values with all of a position's numbers in the last axis, heads side by side: `[batch, position, input]`.
pub fn flat(value: &Tensor) -> Tensor {
    match value.dim() {
        4 => value.transpose(1, 2).flatten(2, 3),
        _ => value.shallow_clone(),
    }
}

/// The other way, to the axes of the site that `like` is of.
pub fn unflat(rows: &Tensor, like: &Tensor) -> Tensor {
    match like.size()[..] {
        [_, n_heads, _, head_dim] => rows.unflatten(2, [n_heads, head_dim]).transpose(1, 2),
        _ => rows.shallow_clone(),
    }
}
