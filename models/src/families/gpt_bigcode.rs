//! GPT-BigCode (2301.03988): SantaCoder, StarCoder. GPT-2 with one head of keys and values.

use super::{Family, gpt2};
use crate::config::{AttentionConfig, Config, ConfigFile, Projection};
use crate::error::Result;

pub(super) const FAMILY: Family = Family {
    model_type: "gpt_bigcode",
    known_as: "StarCoder, StarCoderBase, SantaCoder, WizardCoder 15B",
    config,
    linear_in_out: false,
    ..gpt2::FAMILY
};

fn config(file: &ConfigFile) -> Result<Config> {
    let config = gpt2::config(file, "gpt_bigcode")?;
    let (n_kv_heads, projection) = match file.flag_or("multi_query", true)? {
        true => (1, Projection::Joined),
        false => (config.n_heads, Projection::Grouped),
    };
    Ok(Config {
        n_kv_heads,
        attention: AttentionConfig {
            projection,
            ..config.attention
        },
        ..config
    })
}
