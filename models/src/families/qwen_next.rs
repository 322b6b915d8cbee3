//! Qwen3-Next and Qwen3.5: gated delta nets (2412.06464) in most layers, gated attention in the others.

use serde_json::{Value, json};

use super::{Family, llama, qwen, standard};
use crate::config::{
    AttentionConfig, Config, ConfigFile, DeltaNet, Head, Mixer, NormKind, Projection, QkNorm,
};
use crate::error::Result;
use crate::rope::Defaults;

pub(super) const QWEN3_NEXT: Family = Family {
    model_type: "qwen3_next",
    known_as: "Qwen3-Next-80B-A3B, Qwen3-Coder-Next",
    config: next,
    weights: &[
        &[
            (
                "layers.*.linear_attn.in_proj_qkvz.weight",
                "layers.*.delta_net.inputs.weight",
            ),
            (
                "layers.*.linear_attn.in_proj_ba.weight",
                "layers.*.delta_net.rates.weight",
            ),
        ],
        DELTA_NETS,
        qwen::SHARED_EXPERT,
        qwen::EXPERTS,
        standard::WEIGHTS,
    ],
    ignored: &[
        "layers.*.self_attn.rotary_emb.inv_freq",
        "rotary_emb.inv_freq",
        "mtp.",
    ],
    ..llama::LLAMA
};

pub(super) const QWEN3_5_TEXT: Family = Family {
    model_type: "qwen3_5_text",
    known_as: "Qwen 3.5 as text alone, saved by itself",
    config: |file| dense(file, "qwen3_5_text"),
    prefixes: &["model.language_model.", "model."],
    weights: &[
        &[
            (
                "layers.*.linear_attn.in_proj_qkv.weight",
                "layers.*.delta_net.inputs.weight",
            ),
            (
                "layers.*.linear_attn.in_proj_z.weight",
                "layers.*.delta_net.gate.weight",
            ),
            (
                "layers.*.linear_attn.in_proj_b.weight",
                "layers.*.delta_net.rate.weight",
            ),
            (
                "layers.*.linear_attn.in_proj_a.weight",
                "layers.*.delta_net.step.weight",
            ),
            (
                "layers.*.mlp.experts.gate_up_proj",
                "layers.*.mlp.experts.gate_up.weight",
            ),
            (
                "layers.*.mlp.experts.down_proj",
                "layers.*.mlp.experts.down.weight",
            ),
        ],
        DELTA_NETS,
        qwen::SHARED_EXPERT,
        qwen::EXPERTS,
        standard::WEIGHTS,
    ],
    ignored: &["model.visual.", "visual.", "mtp."],
    ..llama::LLAMA
};

pub(super) const QWEN3_5: Family = Family {
    model_type: "qwen3_5",
    known_as: "Qwen 3.5, 0.8B to 27B",
    config: |file| of_images(file, "qwen3_5", dense),
    ..QWEN3_5_TEXT
};

pub(super) const QWEN3_5_MOE: Family = Family {
    model_type: "qwen3_5_moe",
    known_as: "Qwen3.5-35B-A3B, 122B-A10B and 397B-A17B",
    config: |file| of_images(file, "qwen3_5_moe", mixture),
    ..QWEN3_5_TEXT
};

const DELTA_NETS: &[(&str, &str)] = &[
    (
        "layers.*.linear_attn.conv1d.weight",
        "layers.*.delta_net.kernel.weight",
    ),
    ("layers.*.linear_attn.A_log", "layers.*.delta_net.decay"),
    ("layers.*.linear_attn.dt_bias", "layers.*.delta_net.step_bias"),
    (
        "layers.*.linear_attn.norm.weight",
        "layers.*.delta_net.norm.weight",
    ),
    (
        "layers.*.linear_attn.out_proj.weight",
        "layers.*.delta_net.output.weight",
    ),
];

/// What the file is silent about is as in the 80B model.
fn next(file: &ConfigFile) -> Result<Config> {
    let file = &file.by_new_names(&[]).or(json!({
        "hidden_size": 2048, "intermediate_size": 5632, "num_hidden_layers": 48, "num_attention_heads": 16,
        "num_key_value_heads": 2, "norm_topk_prob": true, "num_experts": 512, "num_experts_per_tok": 10,
        "moe_intermediate_size": 512, "shared_expert_intermediate_size": 512,
    }));
    qwen::sharing_experts(file, hybrid(file, "qwen3_next", true)?)
}

fn dense(file: &ConfigFile, model_type: &str) -> Result<Config> {
    hybrid(file, model_type, false)
}

fn mixture(file: &ConfigFile, model_type: &str) -> Result<Config> {
    // Every layer has experts, and no other MLP.
    let file = &file.by_new_names(&[]).or(json!({
        "intermediate_size": 1, "norm_topk_prob": true, "num_experts": 256, "num_experts_per_tok": 8,
        "moe_intermediate_size": 512, "shared_expert_intermediate_size": 512,
    }));
    qwen::sharing_experts(file, hybrid(file, model_type, false)?)
}

/// The text model of one that also sees.
fn of_images(
    file: &ConfigFile,
    model_type: &str,
    config: fn(&ConfigFile, &str) -> Result<Config>,
) -> Result<Config> {
    let Some(text) = file.section("text_config")? else {
        return Err(file.refuse("text_config", "expected an object"));
    };
    let config = config(&text, model_type)?;
    // Whether the head is the embedding is a matter of the whole.
    let tied = file.flag_or("tie_word_embeddings", config.head.tied)?;
    let head = Head { tied, ..config.head };
    Ok(Config { head, ..config })
}

fn hybrid(file: &ConfigFile, model_type: &str, grouped: bool) -> Result<Config> {
    let file = &file.by_new_names(&[]).or(json!({"head_dim": 256}));
    let norm = standard::norm(file, NormKind::Rms { from_one: true }, "rms_norm_eps", 1e-6)?;
    let defaults = Defaults {
        part: 0.25,
        ..Defaults::default()
    };
    let config = standard::rotary(file, model_type, norm, defaults)?;
    let bias = file.flag_or("attention_bias", false)?;
    let net = Mixer::DeltaNet(delta_net(file, grouped)?);
    Ok(Config {
        attention: AttentionConfig {
            projection: Projection::Gated,
            qk_norm: QkNorm::Head,
            ..standard::attention(config.n_layers, config.head_dim, bias, bias)
        },
        mixers: mixers(file, config.n_layers, net)?,
        ..config
    })
}

fn delta_net(file: &ConfigFile, grouped: bool) -> Result<DeltaNet> {
    let n_key_heads = file.size_or("linear_num_key_heads", 16)?;
    let n_value_heads = file.size_or("linear_num_value_heads", 32)?;
    if !n_value_heads.is_multiple_of(n_key_heads) {
        let reason = format!("linear_num_key_heads = {n_key_heads} does not divide it");
        return Err(file.refuse("linear_num_value_heads", &reason));
    }
    Ok(DeltaNet {
        n_key_heads,
        n_value_heads,
        key_dim: file.size_or("linear_key_head_dim", 128)?,
        value_dim: file.size_or("linear_value_head_dim", 128)?,
        width: standard::kernel_width(file, "linear_conv_kernel_dim", 4)?,
        grouped,
    })
}

/// By `layer_types`, or attention in every so manieth layer.
fn mixers(file: &ConfigFile, n_layers: usize, net: Mixer) -> Result<Vec<Mixer>> {
    let Some(types) = file.list("layer_types")? else {
        let step = file.size_or("full_attention_interval", 4)?;
        let attends = |layer: usize| (layer + 1).is_multiple_of(step);
        return Ok((0..n_layers)
            .map(|layer| if attends(layer) { Mixer::Attention } else { net })
            .collect());
    };
    let of_type = |value: &Value| match value.as_str() {
        Some("full_attention") => Some(Mixer::Attention),
        Some("linear_attention") => Some(net),
        _ => None,
    };
    match types.iter().map(of_type).collect::<Option<Vec<_>>>() {
        Some(mixers) if mixers.len() == n_layers => Ok(mixers),
        _ => {
            let reason = format!("expected full_attention or linear_attention for each of {n_layers} layers");
            Err(file.refuse("layer_types", &reason))
        }
    }
}
