//! Families of models. A family is data: how its `config.json` and its weight names map to ours.
//!
//! To add one: a file here, a row in [`FAMILIES`], a parity case. `standard` reads what most share.

mod albert;
mod apertus;
mod bart;
mod bert;
mod biogpt;
mod bloom;
mod codegen;
mod cohere;
mod deberta;
mod deepseek;
mod distilbert;
mod dots;
mod ernie;
mod exaone;
mod falcon;
mod gemma;
mod gemma4;
mod glm;
mod gpt2;
mod gpt_bigcode;
mod gpt_neo;
mod gpt_neox;
mod gpt_oss;
mod gptj;
mod granite;
mod grouped;
mod helium;
mod hunyuan;
mod internlm;
mod lfm2;
mod llama;
mod mamba;
mod minicpm;
mod mixtral;
mod modernbert;
mod mpt;
mod nemotron;
mod nemotron_h;
mod olmo;
mod olmo2;
mod openai_gpt;
mod opt;
mod persimmon;
mod phi;
mod phi3;
mod phimoe;
mod qwen;
mod qwen_next;
mod seed_oss;
mod smollm3;
mod stablelm;
mod standard;
mod starcoder2;
mod t5;
mod t5gemma;
mod transformer_lens;
mod xglm;

use crate::config::{Config, ConfigFile};
use crate::error::{Error, Result};

/// What is particular about a family's files.
pub struct Family {
    /// `model_type` in `config.json`.
    pub model_type: &'static str,
    /// The best known models of this type.
    pub known_as: &'static str,
    pub config: fn(&ConfigFile) -> Result<Config>,
    /// What weight names may start with, besides nothing.
    pub prefixes: &'static [&'static str],
    /// Tables of (name in the file, canonical name), the first that fits being right; `*` stands for a number, the
    /// layer's or the expert's. Where a file has several names of one weight, the one that is further down counts.
    pub weights: &'static [&'static [(&'static str, &'static str)]],
    /// Names to pass over: buffers that older versions saved. One that ends with a dot is what names start with.
    pub ignored: &'static [&'static str],
    /// Linear layers are stored `[in, out]`, not PyTorch's `[out, in]`.
    pub linear_in_out: bool,
}

pub const FAMILIES: &[Family] = &[
    openai_gpt::FAMILY,
    gpt2::FAMILY,
    gpt_bigcode::FAMILY,
    gpt_neo::FAMILY,
    gptj::FAMILY,
    codegen::FAMILY,
    gpt_neox::FAMILY,
    gpt_oss::FAMILY,
    opt::FAMILY,
    bloom::FAMILY,
    phi::FAMILY,
    phi3::FAMILY,
    phimoe::FAMILY,
    persimmon::FAMILY,
    llama::LLAMA,
    llama::MISTRAL,
    mixtral::FAMILY,
    qwen::QWEN2,
    qwen::QWEN2_MOE,
    qwen::QWEN3,
    qwen::QWEN3_MOE,
    qwen_next::QWEN3_NEXT,
    qwen_next::QWEN3_5,
    qwen_next::QWEN3_5_TEXT,
    qwen_next::QWEN3_5_MOE,
    gemma::GEMMA,
    gemma::GEMMA2,
    gemma::VAULTGEMMA,
    gemma::GEMMA3,
    gemma::GEMMA3_OF_IMAGES,
    gemma4::GEMMA4,
    gemma4::TEXT,
    olmo::OLMO,
    olmo2::FAMILY,
    olmo::OLMO3,
    olmo::OLMOE,
    olmo::FLEX_OLMO,
    smollm3::FAMILY,
    granite::FAMILY,
    granite::MIXTURE,
    stablelm::FAMILY,
    falcon::FAMILY,
    starcoder2::FAMILY,
    cohere::COHERE,
    cohere::COHERE2,
    glm::GLM,
    glm::GLM4,
    glm::GLM4_MOE,
    deepseek::GLM4_LITE,
    seed_oss::FAMILY,
    ernie::FAMILY,
    ernie::MIXTURE,
    exaone::EXAONE,
    exaone::EXAONE4,
    nemotron::NEMOTRON,
    nemotron::ARCEE,
    apertus::FAMILY,
    helium::FAMILY,
    hunyuan::FAMILY,
    internlm::FAMILY,
    lfm2::FAMILY,
    mamba::MAMBA,
    mamba::MAMBA2,
    mamba::FALCON_MAMBA,
    nemotron_h::FAMILY,
    minicpm::MINICPM,
    minicpm::MINICPM3,
    deepseek::V2,
    deepseek::V3,
    dots::FAMILY,
    mpt::FAMILY,
    xglm::FAMILY,
    biogpt::FAMILY,
    transformer_lens::FAMILY,
    bert::BERT,
    distilbert::FAMILY,
    bert::ROBERTA,
    bert::CAMEMBERT,
    bert::XLM_ROBERTA,
    albert::FAMILY,
    bert::ELECTRA,
    deberta::FAMILY,
    modernbert::FAMILY,
    t5::T5,
    t5::MT5,
    t5gemma::FAMILY,
    bart::BART,
    bart::MBART,
    bart::PEGASUS,
    bart::MARIAN,
    bart::M2M_100,
];

/// The family that `config.json` names, or has the keys of.
pub fn find(config: &ConfigFile) -> Result<&'static Family> {
    let model_type = match transformer_lens::is_config(config) {
        true => transformer_lens::FAMILY.model_type,
        false => config.text("model_type")?,
    };
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

/// The family of a `model_type`.
pub(crate) fn named(model_type: &str) -> Option<&'static Family> {
    FAMILIES.iter().find(|family| family.model_type == model_type)
}

/// What a name in a file is to us.
#[derive(Debug, PartialEq)]
pub enum WeightName {
    Canonical(String),
    Ignored,
    Unknown,
}

impl Family {
    fn names(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        self.weights.iter().copied().flatten().copied()
    }

    fn without_prefix<'a>(&self, name: &'a str) -> &'a str {
        let mut prefixes = self.prefixes.iter();
        prefixes
            .find_map(|prefix| name.strip_prefix(prefix))
            .unwrap_or(name)
    }

    /// How far down in the tables a name of a file stands.
    pub(crate) fn rank(&self, name: &str) -> Option<usize> {
        let name = self.without_prefix(name);
        self.names()
            .position(|(pattern, _)| numbers(pattern, name).is_some())
    }

    pub fn weight_name(&self, name: &str) -> WeightName {
        let name = self.without_prefix(name);
        if self.ignored.iter().any(|pattern| match pattern.ends_with('.') {
            true => name.starts_with(pattern),
            false => numbers(pattern, name).is_some(),
        }) {
            return WeightName::Ignored;
        }
        let canonical = self
            .names()
            .find_map(|(pattern, canonical)| numbers(pattern, name).map(|numbers| fill(canonical, &numbers)));
        canonical.map_or(WeightName::Unknown, WeightName::Canonical)
    }

    /// What a canonical name is called in this family's files.
    pub fn name_in_file(&self, canonical: &str) -> String {
        let name = self
            .names()
            .find_map(|(name, pattern)| numbers(pattern, canonical).map(|numbers| fill(name, &numbers)));
        name.unwrap_or_else(|| canonical.to_owned())
    }
}

/// The numbers where `name` has the shape of `pattern`; none when the pattern has no `*`.
pub(crate) fn numbers<'a>(pattern: &str, name: &'a str) -> Option<Vec<&'a str>> {
    let mut parts = pattern.split('*');
    let mut rest = name.strip_prefix(parts.next()?)?;
    let mut numbers = Vec::new();
    for part in parts {
        let end = rest
            .find(|char: char| !char.is_ascii_digit())
            .unwrap_or(rest.len());
        let (number, after) = rest.split_at(end);
        if number.is_empty() {
            return None;
        }
        numbers.push(number);
        rest = after.strip_prefix(part)?;
    }
    rest.is_empty().then_some(numbers)
}

/// Puts numbers in the place of the stars.
pub(crate) fn fill(pattern: &str, numbers: &[&str]) -> String {
    let mut numbers = numbers.iter();
    let mut filled = String::new();
    for char in pattern.chars() {
        match char {
            '*' => filled.push_str(numbers.next().unwrap_or(&"*")),
            char => filled.push(char),
        }
    }
    filled
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_family_has_a_type_and_models_of_its_own() {
        let differ = |of: fn(&Family) -> &'static str| {
            let all: std::collections::BTreeSet<&str> = FAMILIES.iter().map(of).collect();
            assert_eq!(all.len(), FAMILIES.len(), "{all:?}");
        };
        differ(|family| family.model_type);
        differ(|family| family.known_as);
    }

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
