//! Phi-3.5-MoE (2404.14219): Mixtral with layer norms and biases, whose two experts are chosen by SparseMixer, and turns of
//! LongRoPE with a factor for short and one for long texts. In long texts transformers keeps the frequencies of short ones, which
//! Microsoft's own code does not.

use super::{Family, llama, mixtral, standard};
use crate::config::{AttentionConfig, Config, ConfigFile, Experts, Head, Mlp, Rating};
use crate::error::Result;
use crate::rope::Defaults;

pub(super) const FAMILY: Family = Family {
    model_type: "phimoe",
    known_as: "Phi-3.5-MoE",
    config,
    weights: &[
        mixtral::EXPERTS,
        &[("lm_head.bias", "head.bias")],
        standard::WEIGHTS,
    ],
    ..llama::LLAMA
};

fn config(file: &ConfigFile) -> Result<Config> {
    let norm = standard::layer(file, "rms_norm_eps", 1e-5)?;
    let million = Defaults {
        theta: 1e6,
        ..Defaults::default()
    };
    let config = standard::rotary(file, "phimoe", norm, million)?;
    let sizes = [("num_local_experts", 16), ("num_experts_per_tok", 2)];
    let experts = standard::experts(file, sizes, config.n_layers)?;
    if experts.n_chosen != 2 {
        return Err(file.refuse("num_experts_per_tok", "expected 2: SparseMixer chooses two"));
    }
    let closeness = file.number_or("router_jitter_noise", 0.01)?;
    if closeness < 0.0 {
        return Err(file.refuse("router_jitter_noise", "expected 0 or a positive number"));
    }
    let bias = file.flag_or("attention_bias", false)?;
    Ok(Config {
        mlp: Mlp::Experts(Experts {
            rating: Rating::Mixer { closeness },
            normalised: false,
            ..experts
        }),
        attention: AttentionConfig {
            windows: standard::windows(file, config.n_layers, None, |_| true)?,
            ..standard::attention(config.n_layers, config.head_dim, bias, bias)
        },
        head: Head {
            bias: file.flag_or("lm_head_bias", false)?,
            ..config.head
        },
        ..config
    })
}
