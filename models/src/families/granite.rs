//! Granite 3: Llama with factors on embeddings, scores, branches and logits, and mixtures of the same.

use super::{Family, llama, standard};
use crate::config::{
    AttentionConfig, Config, ConfigFile, Embedding, ExpertStorage, Experts, Head, Mlp, Residual,
};
use crate::error::Result;

pub(super) const FAMILY: Family = Family {
    model_type: "granite",
    known_as: "Granite 3, 2B and 8B",
    config: |file| config(file, "granite"),
    ..llama::LLAMA
};

pub(super) const MIXTURE: Family = Family {
    model_type: "granitemoe",
    known_as: "Granite 3 1B-A400M and 3B-A800M",
    config: mixture,
    weights: &[
        &[
            (
                "layers.*.block_sparse_moe.router.layer.weight",
                "layers.*.mlp.router.weight",
            ),
            (
                "layers.*.block_sparse_moe.input_linear.weight",
                "layers.*.mlp.experts.gate_up.weight",
            ),
            (
                "layers.*.block_sparse_moe.output_linear.weight",
                "layers.*.mlp.experts.down.weight",
            ),
        ],
        standard::WEIGHTS,
    ],
    ..llama::LLAMA
};

fn config(file: &ConfigFile, model_type: &str) -> Result<Config> {
    let config = standard::llama_like(file, model_type)?;
    let bias = file.flag_or("attention_bias", false)?;
    Ok(Config {
        embedding: Embedding {
            scale: file.positive_or("embedding_multiplier", 1.0)?,
            ..config.embedding
        },
        residual: Residual {
            scale: file.positive_or("residual_multiplier", 1.0)?,
            ..Residual::PRE
        },
        attention: AttentionConfig {
            scales: vec![file.positive_or("attention_multiplier", 1.0)?; config.n_layers],
            ..standard::attention(config.n_layers, config.head_dim, bias, bias)
        },
        mlp: Mlp::Gated {
            bias: file.flag_or("mlp_bias", false)?,
            joined: false,
        },
        head: Head {
            scale: 1.0 / file.positive_or("logits_scaling", 1.0)?,
            ..config.head
        },
        ..config
    })
}

fn mixture(file: &ConfigFile) -> Result<Config> {
    let config = config(file, "granitemoe")?;
    let sizes = [("num_local_experts", 8), ("num_experts_per_tok", 2)];
    Ok(Config {
        mlp: Mlp::Experts(Experts {
            storage: ExpertStorage::Stacked,
            ..standard::experts(file, sizes, config.n_layers)?
        }),
        ..config
    })
}
