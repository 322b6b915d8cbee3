//! Qwen2 (2407.10671; biases on q, k, v) and Qwen3 (2505.09388; norms on each head's q and k; experts).

use serde_json::Value;

use super::{Family, llama, standard};
use crate::config::{AttentionConfig, Config, ConfigFile, Mlp, QkNorm};
use crate::error::Result;

pub(super) const QWEN2: Family = Family {
    model_type: "qwen2",
    config: qwen2,
    ..llama::LLAMA
};

pub(super) const QWEN3: Family = Family {
    model_type: "qwen3",
    config: |file| qwen3(file, "qwen3"),
    ..llama::LLAMA
};

pub(super) const QWEN3_MOE: Family = Family {
    model_type: "qwen3_moe",
    config: qwen3_moe,
    weights: &[EXPERTS, standard::WEIGHTS],
    ..llama::LLAMA
};

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
    let n_experts = file.size_or(key, 128)?;
    let step = file.size_or("decoder_sparse_step", 1)?;
    let dense = file.list("mlp_only_layers")?.cloned().unwrap_or_default();
    let is_dense = |layer: usize| dense.contains(&Value::from(layer));
    let windows = match file.flag_or("use_sliding_window", false)? {
        true => standard::windows(file, config.n_layers, Some(4096), |_| true)?,
        false => vec![None; config.n_layers],
    };
    Ok(Config {
        attention: AttentionConfig {
            windows,
            ..config.attention
        },
        mlp: Mlp::Experts {
            n_experts,
            n_chosen: standard::chosen(file, n_experts, 8)?,
            normalised: file.flag_or("norm_topk_prob", false)?,
            layers: (0..config.n_layers)
                .map(|layer| !is_dense(layer) && (layer + 1) % step == 0)
                .collect(),
            dense_size: config.intermediate_size,
        },
        intermediate_size: file.size_or("moe_intermediate_size", 768)?,
        ..config
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
