//! What can be captured or changed, by name: one vocabulary for all families, the same here and in scripts.

use crate::config::{Carried, Config, Mlp};

ecco_interpreter::named! {
    /// A place in the model, in the order that a pass comes by. Shapes as a [`Tap`](crate::Tap) sees them, batch first.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    pub enum Site {
        /// Residual stream before a layer: `[batch, position, hidden]`. Layer 0: the embeddings' sum.
        ResidualBefore = "residual_before",
        /// The stream as attention reads it, or what stands in its place in a layer without: normalised where the model
        /// does that first: `[batch, position, hidden]`.
        AttentionInput = "attention_input",
        /// What a short convolution over positions is of, each channel by itself: `[batch, position, channel]`. The last ones
        /// are the layer's state.
        ConvolutionInput = "convolution_input",
        /// What it comes to, before its gate: `[batch, position, channel]`.
        ConvolutionOutput = "convolution_output",
        /// Of a layer that carries a state from position to position the one that each position reads, its own part included:
        /// `[batch, head, position, state]`. Changing it changes what the position reads; what is carried on stays.
        RecurrentState = "recurrent_state",
        /// What each position reads of it, before norms and gates: `[batch, head, position, value]`.
        RecurrentOutput = "recurrent_output",
        /// Queries as they meet the keys, normed and turned where the model does that:
        /// `[batch, head, position, head_dim]`.
        Queries = "queries",
        /// Keys likewise: `[batch, key head, position, head_dim]`.
        Keys = "keys",
        /// Values: `[batch, key head, position, head_dim]`.
        Values = "values",
        /// Softmax of the scaled scores: `[batch, head, query, key]`.
        AttentionPattern = "attention_pattern",
        /// What each head mixes from the values, before the output projection: `[batch, head, query, head_dim]`.
        HeadOutputs = "head_outputs",
        /// What attention, or what stands in its place, adds to the residual stream: `[batch, position, hidden]`.
        AttentionOutput = "attention_output",
        /// Residual stream between attention and MLP, where these follow each other: `[batch, position, hidden]`.
        ResidualMid = "residual_mid",
        /// Softmax of the scores against an encoder's states: `[batch, head, query, key]`.
        CrossPattern = "cross_pattern",
        /// What attention to an encoder adds to the residual stream: `[batch, position, hidden]`.
        CrossOutput = "cross_output",
        /// The stream as the MLP reads it, normalised where the model does that first: `[batch, position, hidden]`.
        MlpInput = "mlp_input",
        /// With experts: what the router weighs each of them with, 0 where a token does not go through it; an expert that all
        /// go through is not among them: `[batch, position, expert]`.
        ExpertWeights = "expert_weights",
        /// The MLP before its non-linearity (a gated one's gate): `[batch, position, neuron]`.
        MlpPre = "mlp_pre",
        /// Of a gated MLP what the non-linearity's result is multiplied with: `[batch, position, neuron]`.
        MlpUp = "mlp_up",
        /// The MLP after its non-linearity, the input of its second projection: `[batch, position, neuron]`. With
        /// experts: those of all side by side, 0 where a token does not go through one.
        MlpInner = "mlp_inner",
        /// What the MLP adds to the residual stream: `[batch, position, hidden]`.
        MlpOutput = "mlp_output",
        /// Residual stream after a layer: `[batch, position, hidden]`.
        ResidualAfter = "residual_after",
        /// The output of the final norm, the input of the head: `[batch, position, hidden]`.
        FinalNorm = "final_norm",
    }
}

impl Site {
    /// The names of its axes where layers lie side by side, as scripts have them.
    pub fn axes(self) -> &'static [&'static str] {
        match self {
            Self::Queries | Self::HeadOutputs => &["layer", "head", "position", "head_dim"],
            Self::Keys | Self::Values => &["layer", "key_head", "position", "head_dim"],
            Self::AttentionPattern | Self::CrossPattern => &["layer", "head", "query", "key"],
            Self::MlpPre | Self::MlpUp | Self::MlpInner => &["layer", "neuron", "position"],
            Self::RecurrentState => &["layer", "head", "position", "state"],
            Self::RecurrentOutput => &["layer", "head", "position", "value"],
            Self::ConvolutionInput | Self::ConvolutionOutput => &["layer", "position", "channel"],
            Self::ExpertWeights => &["layer", "position", "expert"],
            Self::FinalNorm => &["position", "hidden"],
            _ => &["layer", "position", "hidden"],
        }
    }
}

/// A site of a model; where an encoder stands beside a decoder, of which of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Place {
    pub site: Site,
    /// The encoder's beside a decoder; `false` for models of one stack.
    pub encoder: bool,
}

/// What goes before the names of the sites of an encoder that stands beside a decoder.
const ENCODER: &str = "encoder_";

impl Place {
    /// Of a model of one stack, or of the decoder beside an encoder.
    pub const fn of(site: Site) -> Self {
        Self { site, encoder: false }
    }

    /// `attention_pattern`, `encoder_mlp_inner`.
    pub fn parse(name: &str) -> Option<Self> {
        let (encoder, name) = match name.strip_prefix(ENCODER) {
            Some(rest) => (true, rest),
            None => (false, name),
        };
        let site = Site::parse(name)?;
        Some(Self { site, encoder })
    }

    pub fn name(self) -> String {
        let name = self.site.name();
        if self.encoder {
            format!("{ENCODER}{name}")
        } else {
            name.to_owned()
        }
    }

    /// The names of its axes, as [`Records::array`](crate::run::Records::array) gives them.
    pub fn axes(self) -> &'static [&'static str] {
        self.site.axes()
    }

    /// Every place there may be in a model of this configuration.
    pub(crate) fn all(config: &Config) -> Vec<Self> {
        let side = |encoder: bool| Site::ALL.iter().map(move |&site| Self { site, encoder });
        let mut places: Vec<Self> = side(false).collect();
        if config.encoder.is_some() {
            places.extend(side(true));
        }
        places
    }

    /// Numbers that it comes to, at most, for texts of `n` tokens (of the encoder: `n_read`).
    pub(crate) fn numbers(self, config: &Config, n: usize, n_read: usize) -> usize {
        let (config, n) = match (&config.encoder, self.encoder) {
            (Some(encoder), true) => (encoder.as_ref(), n_read),
            _ => (config, n),
        };
        let is_carried = matches!(self.site, Site::RecurrentState | Site::RecurrentOutput);
        let carried = |of: fn(Carried) -> usize| config.most_of_mixers(|mixer| mixer.carried().map_or(0, of));
        let length = |axis: &&str| match *axis {
            "head" if is_carried => carried(|carried| carried.n_heads),
            "state" => carried(|carried| carried.state),
            "value" => carried(|carried| carried.read),
            "channel" => config.most_of_mixers(|mixer| mixer.channels(config)),
            "layer" => config.n_layers,
            "head" => config.n_heads,
            "key_head" => config.most(|heads| heads.n_kv_heads),
            "head_dim" if matches!(self.site, Site::Values | Site::HeadOutputs) => {
                config.most(|heads| heads.value_dim)
            }
            "head_dim" => config.most(|heads| heads.head_dim),
            "hidden" => config.hidden_size,
            "neuron" => neurons(config),
            "expert" => match &config.mlp {
                Mlp::Experts(experts) => experts.n_experts,
                _ => 0,
            },
            "key" if self.site == Site::CrossPattern => n_read,
            _ => n,
        };
        self.axes().iter().map(length).product()
    }
}

fn neurons(config: &Config) -> usize {
    match &config.mlp {
        Mlp::Experts(experts) => {
            let shared = experts.shared.map_or(0, |shared| shared.size);
            let all = experts.n_experts * config.intermediate_size + shared;
            experts.dense_size.max(all)
        }
        _ => (0..config.n_layers)
            .map(|layer| config.neurons(layer))
            .max()
            .unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn capitalised(word: &str) -> String {
        let (first, rest) = word.split_at(1);
        first.to_uppercase() + rest
    }

    #[test]
    fn names_and_places_are_the_same() {
        for &site in Site::ALL {
            let place = Place::parse(site.name()).unwrap();
            assert_eq!(place, Place::of(site));
            assert_eq!(place.name(), site.name());
            // One name in scripts and here.
            let camel: String = site.name().split('_').map(capitalised).collect();
            assert_eq!(camel, format!("{site:?}"));
        }
        let place = Place::parse("encoder_mlp_inner").unwrap();
        assert_eq!(
            (place.encoder, place.name().as_str()),
            (true, "encoder_mlp_inner")
        );
        assert!(Place::parse("encoder_encoder_keys").is_none() && Place::parse("").is_none());
    }
}
