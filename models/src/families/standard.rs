//! What most families' `config.json` have in common: the names that Llama's has.

use serde_json::Value;

use crate::config::{
    Activation, AttentionConfig, Config, ConfigFile, Embedding, Experts, Head, Mlp, NormConfig, NormKind,
    Positions, Projection, QkNorm, Residual, Task,
};
use crate::error::Result;
use crate::rope::{Defaults, Rope};

/// Root mean square norms with the epsilon that `key` names.
pub(super) fn rms(file: &ConfigFile, key: &str, default: f64) -> Result<NormConfig> {
    norm(file, NormKind::Rms { from_one: false }, key, default)
}

/// Layer norms with weights and biases.
pub(super) fn layer(file: &ConfigFile, key: &str, default: f64) -> Result<NormConfig> {
    norm(file, NormKind::Layer { bias: true }, key, default)
}

pub(super) fn norm(file: &ConfigFile, kind: NormKind, key: &str, default: f64) -> Result<NormConfig> {
    let epsilon = file.number_or(key, default)?;
    match epsilon >= 0.0 {
        true => Ok(NormConfig { kind, epsilon }),
        false => Err(file.refuse(key, "expected 0 or a positive number")),
    }
}

/// A decoder of the given sizes with what is most usual in all else.
pub(super) fn sized(
    model_type: &str,
    hidden_size: usize,
    n_layers: usize,
    n_heads: usize,
    head_dim: usize,
    norm: NormConfig,
) -> Config {
    Config {
        model_type: model_type.to_owned(),
        vocab_size: 0,
        context_length: 0,
        hidden_size,
        n_layers,
        n_heads,
        n_kv_heads: n_heads,
        head_dim,
        value_dim: head_dim,
        heads: vec![],
        intermediate_size: 4 * hidden_size,
        neurons: vec![],
        activation: Activation::Silu,
        embedding: Embedding::plain(hidden_size),
        positions: Positions::Learned { offset: 0 },
        norm,
        residual: Residual::PRE,
        attention: attention(n_layers, head_dim, false, false),
        mixers: vec![],
        mlps: vec![],
        mlp: Mlp::Gated {
            bias: false,
            joined: false,
        },
        convolution: None,
        head: Head::new(false),
        task: Task::NextToken,
        n_stored_layers: n_layers,
        encoder: None,
        scope: "",
    }
}

/// Attention over everything before, scores divided by √head_dim.
pub(super) fn attention(
    n_layers: usize,
    head_dim: usize,
    qkv_bias: bool,
    output_bias: bool,
) -> AttentionConfig {
    AttentionConfig {
        by_head: false,
        causal: true,
        scales: vec![(head_dim as f64).powf(-0.5); n_layers],
        windows: vec![None; n_layers],
        soft_cap: None,
        projection: Projection::Separate,
        qkv_bias,
        output_bias,
        qk_norm: QkNorm::None,
        value_norm: false,
        sources: vec![],
        clip: None,
        sinks: false,
    }
}

/// Heads share the hidden size evenly.
pub(super) fn even_head_dim(
    file: &ConfigFile,
    key: &str,
    hidden_size: usize,
    n_heads: usize,
) -> Result<usize> {
    match hidden_size % n_heads {
        0 => Ok(hidden_size / n_heads),
        _ => Err(file.refuse(
            key,
            &format!("the hidden size, {hidden_size}, is not a multiple of it"),
        )),
    }
}

/// A rotary decoder from the names that Llama's file has: pre-norm, gated, separate projections, no biases.
pub(super) fn rotary(
    file: &ConfigFile,
    model_type: &str,
    norm: NormConfig,
    defaults: Defaults,
) -> Result<Config> {
    let activation = file.activation("hidden_act", Activation::Silu)?;
    rotary_by(file, model_type, norm, defaults, activation)
}

/// The same with a given activation.
pub(super) fn rotary_by(
    file: &ConfigFile,
    model_type: &str,
    norm: NormConfig,
    defaults: Defaults,
    activation: Activation,
) -> Result<Config> {
    reads_onward(file)?;
    let (hidden_size, n_layers) = (file.size("hidden_size")?, file.size("num_hidden_layers")?);
    let n_heads = file.size("num_attention_heads")?;
    let n_kv_heads = file.size_or("num_key_value_heads", n_heads)?;
    if n_heads % n_kv_heads != 0 {
        let reason = format!("num_attention_heads = {n_heads} is not a multiple of it");
        return Err(file.refuse("num_key_value_heads", &reason));
    }
    let head_dim = match file.is_set("head_dim") {
        true => file.size("head_dim")?,
        false => even_head_dim(file, "num_attention_heads", hidden_size, n_heads)?,
    };
    let rope = Rope::read(file, None, head_dim, defaults)?;
    Ok(Config {
        vocab_size: file.size("vocab_size")?,
        context_length: rope.reach(),
        n_kv_heads,
        intermediate_size: file.size("intermediate_size")?,
        activation,
        positions: Positions::Rotary {
            ropes: vec![rope],
            by_layer: vec![Some(0); n_layers],
        },
        head: Head::new(file.flag_or("tie_word_embeddings", false)?),
        ..sized(model_type, hidden_size, n_layers, n_heads, head_dim, norm)
    })
}

/// Refuses a decoder that was tuned to read both ways, as some are to embed texts: what it says of a token is not what follows.
fn reads_onward(file: &ConfigFile) -> Result<()> {
    for (key, onward) in [("is_causal", true), ("use_bidirectional_attention", false)] {
        let is_onward = match file.is_text(key) {
            // Of a model that also sees, the tokens of an image alone see each other.
            true => file.text(key)? == "vision",
            false => file.flag_or(key, onward)? == onward,
        };
        if !is_onward {
            let reason = "its tokens see those behind them, too, and it says no next token: not supported";
            return Err(file.refuse(key, reason));
        }
    }
    Ok(())
}

/// A rotary decoder with root mean square norms, as Llama.
pub(super) fn llama_like(file: &ConfigFile, model_type: &str) -> Result<Config> {
    rotary(
        file,
        model_type,
        rms(file, "rms_norm_eps", 1e-6)?,
        Defaults::default(),
    )
}

/// Where queries, keys and values are cut off; nowhere in most models.
pub(super) fn clip(file: &ConfigFile) -> Result<Option<f64>> {
    match file.is_set("clip_qkv") {
        true => limit(file, "clip_qkv", 1.0).map(Some),
        false => Ok(None),
    }
}

/// What numbers are cut off at, which itself has to be one in every type.
pub(super) fn limit(file: &ConfigFile, key: &str, default: f64) -> Result<f64> {
    let limit = file.positive_or(key, default)?;
    match limit <= 65_504.0 {
        true => Ok(limit),
        false => Err(file.refuse(key, "expected a number up to 65504, float16's largest")),
    }
}

/// Positions that a layer's convolution looks at.
pub(super) fn kernel_width(file: &ConfigFile, key: &str, default: usize) -> Result<usize> {
    let width = file.size_or(key, default)?;
    match width <= 1024 {
        true => Ok(width),
        false => Err(file.refuse(key, "expected up to 1024 positions")),
    }
}

/// Experts in all layers by two keys, how many there are and how many each token goes through, with what they are
/// without them.
pub(super) fn experts(
    file: &ConfigFile,
    [all, chosen]: [(&str, usize); 2],
    n_layers: usize,
) -> Result<Experts> {
    let n_experts = file.size_or(all.0, all.1)?;
    let n_chosen = file.size_or(chosen.0, chosen.1)?;
    match n_chosen <= n_experts {
        true => Ok(Experts::new(n_experts, n_chosen, n_layers)),
        false => Err(file.refuse(chosen.0, &format!("there are {n_experts} experts"))),
    }
}

/// The window of `sliding_window` in layers that `layer_types` calls sliding; without that list, in those that
/// `is_sliding` says.
pub(super) fn windows(
    file: &ConfigFile,
    n_layers: usize,
    default: Option<usize>,
    is_sliding: impl Fn(usize) -> bool,
) -> Result<Vec<Option<usize>>> {
    let window = match file.has("sliding_window") {
        true if !file.is_set("sliding_window") => None,
        true => Some(file.size("sliding_window")?),
        false => default,
    };
    let sliding = sliding_layers(file, n_layers, is_sliding)?;
    Ok(sliding
        .into_iter()
        .map(|sliding| window.filter(|_| sliding))
        .collect())
}

/// Which layers attend to a window only.
pub(super) fn sliding_layers(
    file: &ConfigFile,
    n_layers: usize,
    default: impl Fn(usize) -> bool,
) -> Result<Vec<bool>> {
    let Some(types) = file.list("layer_types")? else {
        return Ok((0..n_layers).map(default).collect());
    };
    if types.len() != n_layers {
        let reason = format!("expected one for each of {n_layers} layers");
        return Err(file.refuse("layer_types", &reason));
    }
    let sliding = |value: &Value| match value.as_str() {
        Some("sliding_attention") => Ok(true),
        Some("full_attention") => Ok(false),
        _ => Err(file.refuse("layer_types", "expected full_attention or sliding_attention")),
    };
    types.iter().map(sliding).collect()
}

/// The names of Llama's weights and those of its relatives; the configuration says which of them are there.
pub(super) const WEIGHTS: &[(&str, &str)] = &[
    ("embed_tokens.weight", "token_embedding.weight"),
    (
        "layers.*.input_layernorm.weight",
        "layers.*.attention_norm.weight",
    ),
    ("layers.*.input_layernorm.bias", "layers.*.attention_norm.bias"),
    (
        "layers.*.self_attn.q_proj.weight",
        "layers.*.attention.query.weight",
    ),
    ("layers.*.self_attn.q_proj.bias", "layers.*.attention.query.bias"),
    (
        "layers.*.self_attn.k_proj.weight",
        "layers.*.attention.key.weight",
    ),
    ("layers.*.self_attn.k_proj.bias", "layers.*.attention.key.bias"),
    (
        "layers.*.self_attn.v_proj.weight",
        "layers.*.attention.value.weight",
    ),
    ("layers.*.self_attn.v_proj.bias", "layers.*.attention.value.bias"),
    (
        "layers.*.self_attn.q_norm.weight",
        "layers.*.attention.query_norm.weight",
    ),
    (
        "layers.*.self_attn.k_norm.weight",
        "layers.*.attention.key_norm.weight",
    ),
    (
        "layers.*.self_attn.o_proj.weight",
        "layers.*.attention.output.weight",
    ),
    ("layers.*.self_attn.o_proj.bias", "layers.*.attention.output.bias"),
    (
        "layers.*.post_attention_layernorm.weight",
        "layers.*.mlp_norm.weight",
    ),
    ("layers.*.post_attention_layernorm.bias", "layers.*.mlp_norm.bias"),
    ("layers.*.mlp.gate_proj.weight", "layers.*.mlp.gate.weight"),
    ("layers.*.mlp.gate_proj.bias", "layers.*.mlp.gate.bias"),
    ("layers.*.mlp.up_proj.weight", "layers.*.mlp.up.weight"),
    ("layers.*.mlp.up_proj.bias", "layers.*.mlp.up.bias"),
    ("layers.*.mlp.down_proj.weight", "layers.*.mlp.down.weight"),
    ("layers.*.mlp.down_proj.bias", "layers.*.mlp.down.bias"),
    ("norm.weight", "final_norm.weight"),
    ("norm.bias", "final_norm.bias"),
    ("lm_head.weight", "head.weight"),
];

pub(super) const IGNORED: &[&str] = &["layers.*.self_attn.rotary_emb.inv_freq", "rotary_emb.inv_freq"];
