//! Apertus (2509.14233): a plain MLP with xIELU, norms on each head's q and k.

use super::{Family, llama, standard};
use crate::config::{Activation, AttentionConfig, Config, ConfigFile, Mlp, QkNorm, Xielu};
use crate::error::Result;
use crate::rope::Defaults;

pub(super) const FAMILY: Family = Family {
    model_type: "apertus",
    known_as: "Apertus 8B and 70B",
    config,
    weights: &[
        &[
            (
                "layers.*.attention_layernorm.weight",
                "layers.*.attention_norm.weight",
            ),
            (
                "layers.*.feedforward_layernorm.weight",
                "layers.*.mlp_norm.weight",
            ),
            ("layers.*.mlp.act_fn.alpha_p", "layers.*.mlp.activation.positive"),
            ("layers.*.mlp.act_fn.alpha_n", "layers.*.mlp.activation.negative"),
            ("layers.*.mlp.act_fn.beta", "layers.*.mlp.activation.beta"),
            ("layers.*.mlp.act_fn.eps", "layers.*.mlp.activation.epsilon"),
        ],
        standard::WEIGHTS,
    ],
    ..llama::LLAMA
};

fn config(file: &ConfigFile) -> Result<Config> {
    let defaults = Defaults {
        theta: 12e6,
        ..Defaults::default()
    };
    let xielu = Activation::Xielu(Xielu::START);
    let activation = match file.text_or("hidden_act", "xielu")? {
        "xielu" => xielu,
        _ => file.activation("hidden_act", xielu)?,
    };
    let norm = standard::rms(file, "rms_norm_eps", 1e-5)?;
    let config = standard::rotary_by(file, "apertus", norm, defaults, activation)?;
    let bias = file.flag_or("attention_bias", false)?;
    Ok(Config {
        attention: AttentionConfig {
            qk_norm: QkNorm::Head,
            ..standard::attention(config.n_layers, config.head_dim, bias, bias)
        },
        mlp: Mlp::Plain { bias: false },
        ..config
    })
}
