//! Qwen2 (2407.10671; biases on q, k, v) and Qwen3 (2505.09388; norms on each head's q and k; experts).

use serde_json::Value;

use super::{Family, llama, standard};
use crate::config::{AttentionConfig, Config, ConfigFile, Experts, Mlp, QkNorm, SharedExpert};
use crate::error::Result;

pub(super) const QWEN2: Family = Family {
    model_type: "qwen2",
    known_as: "Qwen 1.5, 2 and 2.5, QwQ, R1-Distill-Qwen",
    config: qwen2,
    ..llama::LLAMA
};

pub(super) const QWEN3: Family = Family {
    model_type: "qwen3",
    known_as: "Qwen 3, 0.6B to 32B",
    config: |file| qwen3(file, "qwen3"),
    ..llama::LLAMA
};

pub(super) const QWEN3_MOE: Family = Family {
    model_type: "qwen3_moe",
    known_as: "Qwen3-30B-A3B and 235B-A22B, Qwen3-Coder",
    config: qwen3_moe,
    weights: &[EXPERTS, standard::WEIGHTS],
    ..llama::LLAMA
};

pub(super) const QWEN2_MOE: Family = Family {
    model_type: "qwen2_moe",
    known_as: "Qwen1.5-MoE-A2.7B, Qwen2-57B-A14B",
    config: qwen2_moe,
    weights: &[SHARED_EXPERT, EXPERTS, standard::WEIGHTS],
    ..llama::LLAMA
};

/// One more that every token goes through.
pub(super) const SHARED_EXPERT: &[(&str, &str)] = &[
    (
        "layers.*.mlp.shared_expert.gate_proj.weight",
        "layers.*.mlp.shared.gate.weight",
    ),
    (
        "layers.*.mlp.shared_expert.up_proj.weight",
        "layers.*.mlp.shared.up.weight",
    ),
    (
        "layers.*.mlp.shared_expert.down_proj.weight",
        "layers.*.mlp.shared.down.weight",
    ),
    (
        "layers.*.mlp.shared_expert_gate.weight",
        "layers.*.mlp.shared_gate.weight",
    ),
];

/// Experts that are stored one by one.
pub(super) const EXPERTS: &[(&str, &str)] = &[
    ("layers.*.mlp.gate.weight", "layers.*.mlp.router.weight"),
    (
        "layers.*.mlp.experts.*.gate_proj.weight",
        "layers.*.mlp.experts.*.gate.weight",
    ),
    (
        "layers.*.mlp.experts.*.up_proj.weight",
        "layers.*.mlp.experts.*.up.weight",
    ),
    (
        "layers.*.mlp.experts.*.down_proj.weight",
        "layers.*.mlp.experts.*.down.weight",
    ),
];

fn qwen2(file: &ConfigFile) -> Result<Config> {
    let config = standard::llama_like(file, "qwen2")?;
    Ok(Config {
        attention: AttentionConfig {
            windows: windows(file, config.n_layers)?,
            ..standard::attention(config.n_layers, config.head_dim, true, false)
        },
        ..config
    })
}

fn qwen3(file: &ConfigFile, model_type: &str) -> Result<Config> {
    let config = standard::llama_like(file, model_type)?;
    let bias = file.flag_or("attention_bias", false)?;
    Ok(Config {
        attention: AttentionConfig {
            windows: windows(file, config.n_layers)?,
            qk_norm: QkNorm::Head,
            ..standard::attention(config.n_layers, config.head_dim, bias, bias)
        },
        ..config
    })
}

fn qwen3_moe(file: &ConfigFile) -> Result<Config> {
    let config = qwen3(file, "qwen3_moe")?;
    let key = if file.is_set("num_experts") {
        "num_experts"
    } else {
        "num_local_experts"
    };
    let sizes = [(key, 128), ("num_experts_per_tok", 8)];
    let windows = match file.flag_or("use_sliding_window", false)? {
        true => standard::windows(file, config.n_layers, Some(4096), |_| true)?,
        false => vec![None; config.n_layers],
    };
    let experts = experts(file, sizes, &config)?;
    Ok(Config {
        attention: AttentionConfig {
            windows,
            ..config.attention
        },
        mlp: Mlp::Experts(experts),
        intermediate_size: file.size_or("moe_intermediate_size", 768)?,
        ..config
    })
}

fn qwen2_moe(file: &ConfigFile) -> Result<Config> {
    let config = standard::llama_like(file, "qwen2_moe")?;
    let bias = file.flag_or("qkv_bias", true)?;
    let last = file.number_or("max_window_layers", 28.0)?;
    let is_sliding = |layer: usize| layer.is_multiple_of(2) && (layer as f64) < last;
    let windows = match file.flag_or("use_sliding_window", false)? {
        true => standard::windows(file, config.n_layers, Some(4096), is_sliding)?,
        false => vec![None; config.n_layers],
    };
    let config = Config {
        attention: AttentionConfig {
            windows,
            ..standard::attention(config.n_layers, config.head_dim, bias, false)
        },
        ..config
    };
    sharing_experts(file, config)
}

/// Experts, one of which every token goes through.
pub(super) fn sharing_experts(file: &ConfigFile, config: Config) -> Result<Config> {
    let sizes = [("num_experts", 60), ("num_experts_per_tok", 4)];
    Ok(Config {
        mlp: Mlp::Experts(Experts {
            shared: Some(SharedExpert {
                size: file.size_or("shared_expert_intermediate_size", 5632)?,
                gated: true,
            }),
            ..experts(file, sizes, &config)?
        }),
        intermediate_size: file.size_or("moe_intermediate_size", 1408)?,
        ..config
    })
}

/// Experts in every so manieth layer, but for some that the file names.
fn experts(file: &ConfigFile, sizes: [(&str, usize); 2], config: &Config) -> Result<Experts> {
    let step = file.size_or("decoder_sparse_step", 1)?;
    let dense = file.list("mlp_only_layers")?.cloned().unwrap_or_default();
    let is_dense = |layer: usize| dense.contains(&Value::from(layer));
    Ok(Experts {
        normalised: file.flag_or("norm_topk_prob", false)?,
        layers: (0..config.n_layers)
            .map(|layer| !is_dense(layer) && (layer + 1) % step == 0)
            .collect(),
        dense_size: config.intermediate_size,
        ..standard::experts(file, sizes, config.n_layers)?
    })
}

/// A window in the upper layers, where the file switches it on.
fn windows(file: &ConfigFile, n_layers: usize) -> Result<Vec<Option<usize>>> {
    if !file.flag_or("use_sliding_window", false)? {
        return Ok(vec![None; n_layers]);
    }
    let first = file.number_or("max_window_layers", 28.0)? as usize;
    standard::windows(file, n_layers, Some(4096), |layer| layer >= first)
}
