//! What can be captured, by name: one vocabulary for all families.

use crate::config::{Config, Mlp};
use crate::tap::Site;

/// A site of a model; where an encoder stands beside a decoder, of which of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Place {
    pub site: Site,
    /// The encoder's beside a decoder; `false` for models of one stack.
    pub encoder: bool,
}

/// What goes before the names of the sites of an encoder that stands beside a decoder.
const ENCODER: &str = "encoder_";

const STREAM: &[&str] = &["layer", "position", "hidden"];
const HEADS: &[&str] = &["layer", "head", "position", "head_dim"];
const KEY_HEADS: &[&str] = &["layer", "key_head", "position", "head_dim"];
const PATTERN: &[&str] = &["layer", "head", "query", "key"];
const NEURONS: &[&str] = &["layer", "neuron", "position"];

/// (name, site, axes), in the order a pass comes by.
const SITES: &[(&str, Site, &[&str])] = &[
    ("residual_before", Site::ResidualPre, STREAM),
    ("attention_input", Site::AttentionInput, STREAM),
    ("queries", Site::Query, HEADS),
    ("keys", Site::Key, KEY_HEADS),
    ("values", Site::Value, KEY_HEADS),
    ("attention_pattern", Site::AttentionPattern, PATTERN),
    ("head_outputs", Site::HeadOutput, HEADS),
    ("attention_output", Site::AttentionOutput, STREAM),
    ("residual_mid", Site::ResidualMid, STREAM),
    ("cross_pattern", Site::CrossPattern, PATTERN),
    ("cross_output", Site::CrossOutput, STREAM),
    ("mlp_input", Site::MlpInput, STREAM),
    ("mlp_pre", Site::MlpPre, NEURONS),
    ("mlp_up", Site::MlpUp, NEURONS),
    ("mlp_inner", Site::MlpInner, NEURONS),
    ("mlp_output", Site::MlpOutput, STREAM),
    ("residual_after", Site::ResidualPost, STREAM),
    ("final_norm", Site::FinalNorm, &["position", "hidden"]),
];

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
        let (_, site, _) = SITES.iter().find(|(known, ..)| *known == name)?;
        Some(Self { site: *site, encoder })
    }

    pub fn name(self) -> String {
        let name = self.row().0;
        if self.encoder {
            format!("{ENCODER}{name}")
        } else {
            name.to_owned()
        }
    }

    /// The names of its axes, as [`Records::array`](super::Records::array) gives them.
    pub fn axes(self) -> &'static [&'static str] {
        self.row().2
    }

    /// Every place there may be in a model of this configuration.
    pub(super) fn all(config: &Config) -> Vec<Self> {
        let side = |encoder: bool| SITES.iter().map(move |&(_, site, _)| Self { site, encoder });
        let mut places: Vec<Self> = side(false).collect();
        if config.encoder.is_some() {
            places.extend(side(true));
        }
        places
    }

    fn row(self) -> &'static (&'static str, Site, &'static [&'static str]) {
        // Every site is in the table: see the test.
        SITES
            .iter()
            .find(|(_, site, _)| *site == self.site)
            .unwrap_or(&SITES[0])
    }

    /// Numbers that it comes to, at most, for texts of `n` tokens (of the encoder: `n_read`).
    pub(super) fn numbers(self, config: &Config, n: usize, n_read: usize) -> usize {
        let (config, n) = match (&config.encoder, self.encoder) {
            (Some(encoder), true) => (encoder.as_ref(), n_read),
            _ => (config, n),
        };
        let length = |axis: &&str| match *axis {
            "layer" => config.n_layers,
            "head" => config.n_heads,
            "key_head" => config.n_kv_heads,
            "head_dim" => config.head_dim,
            "hidden" => config.hidden_size,
            "neuron" => neurons(config),
            "key" if self.site == Site::CrossPattern => n_read,
            _ => n,
        };
        self.axes().iter().map(length).product()
    }
}

fn neurons(config: &Config) -> usize {
    match config.mlp {
        Mlp::Experts {
            n_experts,
            dense_size,
            ..
        } => dense_size.max(n_experts * config.intermediate_size),
        _ => config.intermediate_size,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_places_are_the_same() {
        for (name, site, axes) in SITES {
            let place = Place::parse(name).unwrap();
            assert_eq!((place.site, place.encoder), (*site, false));
            assert_eq!((place.name().as_str(), place.axes()), (*name, *axes));
        }
        let place = Place::parse("encoder_mlp_inner").unwrap();
        assert_eq!(
            (place.encoder, place.name().as_str()),
            (true, "encoder_mlp_inner")
        );
        assert!(Place::parse("encoder_encoder_keys").is_none() && Place::parse("").is_none());
    }
}
