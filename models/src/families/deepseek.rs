//! DeepSeek V2 (2405.04434) and V3 (2412.19437): attention by way of short vectors, of whose keys the last part alone turns,
//! and mixtures whose experts are chosen by groups.

use super::grouped::{self, Mixture};
use super::{Family, llama, qwen, standard};
use crate::config::{
    AttentionConfig, Config, ConfigFile, Experts, GroupRating, Head, Latent, Mlp, Positions, Projection,
};
use crate::error::Result;
use crate::rope::{Defaults, Pairs, Rope, yarn_scale};

pub(super) const V2: Family = Family {
    model_type: "deepseek_v2",
    known_as: "DeepSeek V2 and V2.5, V2-Lite, Coder V2",
    config: v2,
    weights: &[LATENT, grouped::EXPERTS, qwen::EXPERTS, standard::WEIGHTS],
    ..llama::LLAMA
};

pub(super) const V3: Family = Family {
    model_type: "deepseek_v3",
    known_as: "DeepSeek V3 and R1, Moonlight 16B-A3B",
    config: v3,
    ..V2
};

pub(super) const GLM4_LITE: Family = Family {
    model_type: "glm4_moe_lite",
    known_as: "GLM-4.7-Flash",
    config: glm4_lite,
    ..V2
};

/// What keys, values and queries are made of.
pub(super) const LATENT: &[(&str, &str)] = &[
    (
        "layers.*.self_attn.q_a_proj.weight",
        "layers.*.attention.query_down.weight",
    ),
    (
        "layers.*.self_attn.q_a_proj.bias",
        "layers.*.attention.query_down.bias",
    ),
    (
        "layers.*.self_attn.q_a_layernorm.weight",
        "layers.*.attention.query_down_norm.weight",
    ),
    (
        "layers.*.self_attn.q_b_proj.weight",
        "layers.*.attention.query.weight",
    ),
    (
        "layers.*.self_attn.kv_a_proj_with_mqa.weight",
        "layers.*.attention.down.weight",
    ),
    (
        "layers.*.self_attn.kv_a_proj_with_mqa.bias",
        "layers.*.attention.down.bias",
    ),
    (
        "layers.*.self_attn.kv_a_layernorm.weight",
        "layers.*.attention.down_norm.weight",
    ),
    (
        "layers.*.self_attn.kv_b_proj.weight",
        "layers.*.attention.up.weight",
    ),
];

fn v2(file: &ConfigFile) -> Result<Config> {
    if file.flag_or("mlp_bias", false)? {
        return Err(file.refuse("mlp_bias", "biases are not known in mixtures: expected false"));
    }
    let groups = match file.text_or("topk_method", "greedy")? {
        "greedy" => None,
        "group_limited_greedy" => Some(GroupRating::Best),
        _ => return Err(file.refuse("topk_method", "expected greedy or group_limited_greedy")),
    };
    let mixture = Mixture {
        n_experts: 64,
        n_chosen: 6,
        n_dense: 0,
        n_shared: 2,
        size: 1407,
        groups: groups.map(|rating| (rating, [8, 3])),
    };
    let usual = Sizes::V3;
    let (experts, config) = mixture.read(file, config(file, "deepseek_v2", Pairs::Neighbours, usual)?)?;
    Ok(Config {
        mlp: Mlp::Experts(Experts {
            normalised: false,
            scale: file.positive_or("routed_scaling_factor", 1.0)?,
            ..experts
        }),
        ..config
    })
}

fn v3(file: &ConfigFile) -> Result<Config> {
    let config = config(file, "deepseek_v3", pairs(file)?, Sizes::V3)?;
    let mixture = Mixture {
        n_experts: 256,
        n_chosen: 8,
        n_dense: 3,
        n_shared: 1,
        size: 2048,
        groups: Some((GroupRating::BestTwo, [8, 4])),
    };
    mixture.by_sigmoids(file, config, 2.5)
}

fn glm4_lite(file: &ConfigFile) -> Result<Config> {
    let usual = Sizes {
        query_rank: 768,
        own: 192,
        value: 256,
        epsilon: 1e-5,
        ..Sizes::V3
    };
    let config = config(file, "glm4_moe_lite", pairs(file)?, usual)?;
    let mixture = Mixture {
        n_experts: 64,
        n_chosen: 4,
        n_dense: 1,
        n_shared: 1,
        size: 1536,
        groups: Some((GroupRating::BestTwo, [1, 1])),
    };
    mixture.by_sigmoids(file, config, 1.8)
}

fn pairs(file: &ConfigFile) -> Result<Pairs> {
    Ok(match file.flag_or("rope_interleave", true)? {
        true => Pairs::Neighbours,
        false => Pairs::Halves,
    })
}

/// What a file may be silent about.
#[derive(Clone, Copy)]
pub(super) struct Sizes {
    pub query_rank: usize,
    pub rank: usize,
    /// Numbers of a head's own part of the key, of the part of all heads, and of the value.
    pub own: usize,
    pub shared: usize,
    pub value: usize,
    pub epsilon: f64,
}

impl Sizes {
    const V3: Self = Self {
        query_rank: 1536,
        rank: 512,
        own: 128,
        shared: 64,
        value: 128,
        epsilon: 1e-6,
    };
}

/// A rotary decoder with attention by way of short vectors.
pub(super) fn config(file: &ConfigFile, model_type: &str, pairs: Pairs, usual: Sizes) -> Result<Config> {
    let (hidden_size, n_layers) = (file.size("hidden_size")?, file.size("num_hidden_layers")?);
    let n_heads = file.size("num_attention_heads")?;
    if file.size_or("num_key_value_heads", n_heads)? != n_heads {
        let reason = format!("expected {n_heads}, as there are heads: all keys are of their own");
        return Err(file.refuse("num_key_value_heads", &reason));
    }
    let (own, shared) = (
        file.size_or("qk_nope_head_dim", usual.own)?,
        file.size_or("qk_rope_head_dim", usual.shared)?,
    );
    let head_dim = own + shared;
    let rope = Rope {
        start: own,
        pairs,
        ..Rope::read(file, None, shared, Defaults::default())?
    };
    let latent = Latent {
        query_rank: match file.has("q_lora_rank") && !file.is_set("q_lora_rank") {
            true => None,
            false => Some(file.size_or("q_lora_rank", usual.query_rank)?),
        },
        rank: file.size_or("kv_lora_rank", usual.rank)?,
        shared,
    };
    let bias = file.flag_or("attention_bias", false)?;
    let norm = standard::rms(file, "rms_norm_eps", usual.epsilon)?;
    let config = standard::sized(model_type, hidden_size, n_layers, n_heads, head_dim, norm);
    Ok(Config {
        vocab_size: file.size("vocab_size")?,
        context_length: rope.reach(),
        intermediate_size: file.size("intermediate_size")?,
        value_dim: file.size_or("v_head_dim", usual.value)?,
        activation: file.activation("hidden_act", config.activation)?,
        positions: Positions::Rotary {
            ropes: vec![rope],
            by_layer: vec![Some(0); n_layers],
        },
        attention: AttentionConfig {
            scales: vec![scale(file, head_dim)?; n_layers],
            projection: Projection::Latent(latent),
            ..standard::attention(n_layers, head_dim, bias, bias)
        },
        head: Head::new(file.flag_or("tie_word_embeddings", false)?),
        ..config
    })
}

/// The factor on query · key: with scaled turns also YaRN's, which other models have on cosines and sines.
fn scale(file: &ConfigFile, head_dim: usize) -> Result<f64> {
    let plain = (head_dim as f64).powf(-0.5);
    let key = match file.is_set("rope_parameters") {
        true => "rope_parameters",
        false => "rope_scaling",
    };
    let Some(parameters) = file.section(key)? else {
        return Ok(plain);
    };
    let kind = parameters.text_or("rope_type", parameters.text_or("type", "default")?)?;
    let all = parameters.number_or("mscale_all_dim", 0.0)?;
    if kind == "default" || all == 0.0 {
        return Ok(plain);
    }
    let scale = plain * yarn_scale(parameters.positive_or("factor", 1.0)?, all).powi(2);
    match scale.is_finite() {
        true => Ok(scale),
        false => Err(parameters.refuse("mscale_all_dim", "expected a number of about 1")),
    }
}
