//! CodeGen (2203.13474): GPT-J with one projection, in four parts.

use super::{Family, gptj};
use crate::config::{AttentionConfig, Config, ConfigFile, Projection};
use crate::error::Result;

pub(super) const FAMILY: Family = Family {
    model_type: "codegen",
    known_as: "CodeGen",
    config,
    weights: &[
        &[("h.*.attn.qkv_proj.weight", "layers.*.attention.qkv.weight")],
        gptj::WEIGHTS,
    ],
    ignored: &["h.*.attn.causal_mask", "h.*.attn.bias", "h.*.attn.masked_bias"],
    ..gptj::FAMILY
};

/// The models were trained on so many devices.
const PARTS: usize = 4;

fn config(file: &ConfigFile) -> Result<Config> {
    let config = gptj::config(file, "codegen")?;
    if !config.n_heads.is_multiple_of(PARTS) {
        return Err(file.refuse("n_head", &format!("expected a multiple of {PARTS}")));
    }
    Ok(Config {
        attention: AttentionConfig {
            projection: Projection::Sharded { parts: PARTS },
            ..config.attention
        },
        ..config
    })
}
