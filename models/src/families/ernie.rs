//! ERNIE 4.5: Llama with neighbouring dimensions turned, and a tied head; mixtures with experts that all tokens go through.

use super::{Family, llama, qwen, standard};
use crate::config::{Config, ConfigFile, Experts, Head, Mlp, NormConfig, Positions, SharedExpert};
use crate::error::Result;
use crate::rope::{Defaults, Pairs, Rope};

pub(super) const FAMILY: Family = Family {
    model_type: "ernie4_5",
    known_as: "ERNIE 4.5 0.3B",
    config: |file| config(file, "ernie4_5"),
    ..llama::LLAMA
};

pub(super) const MIXTURE: Family = Family {
    model_type: "ernie4_5_moe",
    known_as: "ERNIE 4.5 21B-A3B and 300B-A47B",
    config: mixture,
    weights: &[
        &[
            (
                "layers.*.mlp.moe_statics.e_score_correction_bias",
                "layers.*.mlp.choice_bias",
            ),
            (
                "layers.*.mlp.shared_experts.gate_proj.weight",
                "layers.*.mlp.shared.gate.weight",
            ),
            (
                "layers.*.mlp.shared_experts.up_proj.weight",
                "layers.*.mlp.shared.up.weight",
            ),
            (
                "layers.*.mlp.shared_experts.down_proj.weight",
                "layers.*.mlp.shared.down.weight",
            ),
        ],
        qwen::EXPERTS,
        standard::WEIGHTS,
    ],
    // What guesses several tokens at once.
    ignored: &[
        "mtp_block.",
        "mtp_emb_norm.",
        "mtp_hidden_norm.",
        "mtp_linear_proj.",
    ],
    ..llama::LLAMA
};

fn config(file: &ConfigFile, model_type: &str) -> Result<Config> {
    let defaults = Defaults {
        theta: 500_000.0,
        ..Defaults::default()
    };
    let norm = standard::rms(file, "rms_norm_eps", 1e-5)?;
    let config = neighbours(file, model_type, norm, defaults)?;
    let bias = file.flag_or("use_bias", false)?;
    Ok(Config {
        attention: standard::attention(config.n_layers, config.head_dim, bias, bias),
        mlp: Mlp::Gated { bias, joined: false },
        head: Head::new(file.flag_or("tie_word_embeddings", true)?),
        ..config
    })
}

/// A rotary decoder that turns neighbouring dimensions.
pub(super) fn neighbours(
    file: &ConfigFile,
    model_type: &str,
    norm: NormConfig,
    defaults: Defaults,
) -> Result<Config> {
    let config = standard::rotary(file, model_type, norm, defaults)?;
    let rope = Rope {
        pairs: Pairs::Neighbours,
        ..Rope::read(file, None, config.head_dim, defaults)?
    };
    Ok(Config {
        positions: Positions::Rotary {
            ropes: vec![rope],
            by_layer: vec![Some(0); config.n_layers],
        },
        ..config
    })
}

fn mixture(file: &ConfigFile) -> Result<Config> {
    if file.flag_or("use_bias", false)? {
        return Err(file.refuse("use_bias", "biases are not known in mixtures: expected false"));
    }
    let config = config(file, "ernie4_5_moe")?;
    let last = file.number_or("moe_layer_end_index", -1.0)?;
    let (first, step) = (
        file.count_or("moe_layer_start_index", 1)?,
        file.size_or("moe_layer_interval", 1)?,
    );
    let is_mixed = |layer: usize| {
        (layer + 1).is_multiple_of(step) && layer >= first && (last < 0.0 || layer as f64 <= last)
    };
    let sizes = [("moe_num_experts", 64), ("moe_k", 6)];
    let intermediate_size = file.size_or("moe_intermediate_size", 1536)?;
    let shared = match file.count_or("moe_num_shared_experts", 2)? {
        0 => None,
        n => Some(SharedExpert {
            size: n * intermediate_size,
            gated: false,
        }),
    };
    Ok(Config {
        mlp: Mlp::Experts(Experts {
            choice_bias: Some(2),
            layers: (0..config.n_layers).map(is_mixed).collect(),
            dense_size: config.intermediate_size,
            shared,
            ..standard::experts(file, sizes, config.n_layers)?
        }),
        intermediate_size,
        ..config
    })
}
