//! Families of models. A family is data: how its `config.json` and its weight names map to ours.
//!
//! To add one: a file here, a row in [`FAMILIES`], a parity case.

mod gpt2;

use crate::config::{ConfigFile, DecoderConfig};
use crate::error::{Error, Result};

/// What is particular about a family's files.
pub struct Family {
    /// `model_type` in `config.json`.
    pub model_type: &'static str,
    pub config: fn(&ConfigFile) -> Result<DecoderConfig>,
    /// What weight names may start with, besides nothing.
    pub prefix: &'static str,
    /// (name in the file, canonical name); `*` stands for the layer's number.
    pub weights: &'static [(&'static str, &'static str)],
    /// Names to pass over: buffers that older versions saved.
    pub ignored: &'static [&'static str],
    /// Linear layers are stored `[in, out]`, not PyTorch's `[out, in]`.
    pub linear_in_out: bool,
}

pub const FAMILIES: &[Family] = &[gpt2::FAMILY];

/// The family that `config.json` names.
pub fn find(config: &ConfigFile) -> Result<&'static Family> {
    let model_type = config.text("model_type")?;
    FAMILIES
        .iter()
        .find(|family| family.model_type == model_type)
        .ok_or_else(|| Error::UnknownFamily {
            model_type: model_type.to_owned(),
            supported: FAMILIES
                .iter()
                .map(|family| family.model_type)
                .collect::<Vec<_>>()
                .join(", "),
        })
}

/// What a name in a file is to us.
#[derive(Debug, PartialEq)]
pub enum WeightName {
    Canonical(String),
    Ignored,
    Unknown,
}

impl Family {
    pub fn weight_name(&self, name: &str) -> WeightName {
        let name = name.strip_prefix(self.prefix).unwrap_or(name);
        if self
            .ignored
            .iter()
            .any(|pattern| match_layer(pattern, name).is_some())
        {
            return WeightName::Ignored;
        }
        let canonical = self.weights.iter().find_map(|(pattern, canonical)| {
            match_layer(pattern, name).map(|layer| canonical.replace('*', layer))
        });
        canonical.map_or(WeightName::Unknown, WeightName::Canonical)
    }

    /// What a canonical name is called in this family's files.
    pub fn name_in_file(&self, canonical: &str) -> String {
        let name = self.weights.iter().find_map(|(name, pattern)| {
            match_layer(pattern, canonical).map(|layer| name.replace('*', layer))
        });
        name.unwrap_or_else(|| canonical.to_owned())
    }
}

/// The layer's number where `name` has the shape of `pattern`; empty when the pattern has no `*`.
fn match_layer<'a>(pattern: &str, name: &'a str) -> Option<&'a str> {
    let Some((before, after)) = pattern.split_once('*') else {
        return (pattern == name).then_some("");
    };
    let layer = name.strip_prefix(before)?.strip_suffix(after)?;
    let is_number = !layer.is_empty() && layer.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then_some(layer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gpt2_names_with_and_without_prefix() {
        let canonical = WeightName::Canonical("layers.11.attention.qkv.weight".into());
        assert_eq!(
            gpt2::FAMILY.weight_name("transformer.h.11.attn.c_attn.weight"),
            canonical
        );
        assert_eq!(gpt2::FAMILY.weight_name("h.11.attn.c_attn.weight"), canonical);
        assert_eq!(
            gpt2::FAMILY.weight_name("h.3.attn.masked_bias"),
            WeightName::Ignored
        );
        assert_eq!(
            gpt2::FAMILY.weight_name("h.x.attn.c_attn.weight"),
            WeightName::Unknown
        );
    }
}
