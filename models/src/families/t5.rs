//! T5 (1910.10683), its versions 1.1 and Flan, T0, and mT5 (2010.11934).

use super::{Family, standard};
use crate::config::{
    Activation, AttentionConfig, Config, ConfigFile, Embedding, Head, Mlp, NormConfig, NormKind, Positions,
};
use crate::error::Result;

pub(super) const T5: Family = Family {
    model_type: "t5",
    known_as: "T5, Flan-T5, CodeT5, ByT5",
    config: |file| t5(file, "t5"),
    prefixes: &[],
    weights: &[&[
        ("shared.weight", "token_embedding.weight"),
        ("encoder.embed_tokens.weight", "encoder.token_embedding.weight"),
        ("decoder.embed_tokens.weight", "decoder.token_embedding.weight"),
        (
            "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight",
            "encoder.relative_bias.weight",
        ),
        (
            "encoder.block.*.layer.0.SelfAttention.q.weight",
            "encoder.layers.*.attention.query.weight",
        ),
        (
            "encoder.block.*.layer.0.SelfAttention.k.weight",
            "encoder.layers.*.attention.key.weight",
        ),
        (
            "encoder.block.*.layer.0.SelfAttention.v.weight",
            "encoder.layers.*.attention.value.weight",
        ),
        (
            "encoder.block.*.layer.0.SelfAttention.o.weight",
            "encoder.layers.*.attention.output.weight",
        ),
        (
            "encoder.block.*.layer.0.layer_norm.weight",
            "encoder.layers.*.attention_norm.weight",
        ),
        (
            "encoder.block.*.layer.1.DenseReluDense.wi.weight",
            "encoder.layers.*.mlp.up.weight",
        ),
        (
            "encoder.block.*.layer.1.DenseReluDense.wi_0.weight",
            "encoder.layers.*.mlp.gate.weight",
        ),
        (
            "encoder.block.*.layer.1.DenseReluDense.wi_1.weight",
            "encoder.layers.*.mlp.up.weight",
        ),
        (
            "encoder.block.*.layer.1.DenseReluDense.wo.weight",
            "encoder.layers.*.mlp.down.weight",
        ),
        (
            "encoder.block.*.layer.1.layer_norm.weight",
            "encoder.layers.*.mlp_norm.weight",
        ),
        ("encoder.final_layer_norm.weight", "encoder.final_norm.weight"),
        (
            "decoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight",
            "relative_bias.weight",
        ),
        (
            "decoder.block.*.layer.0.SelfAttention.q.weight",
            "layers.*.attention.query.weight",
        ),
        (
            "decoder.block.*.layer.0.SelfAttention.k.weight",
            "layers.*.attention.key.weight",
        ),
        (
            "decoder.block.*.layer.0.SelfAttention.v.weight",
            "layers.*.attention.value.weight",
        ),
        (
            "decoder.block.*.layer.0.SelfAttention.o.weight",
            "layers.*.attention.output.weight",
        ),
        (
            "decoder.block.*.layer.0.layer_norm.weight",
            "layers.*.attention_norm.weight",
        ),
        (
            "decoder.block.*.layer.1.EncDecAttention.q.weight",
            "layers.*.cross.query.weight",
        ),
        (
            "decoder.block.*.layer.1.EncDecAttention.k.weight",
            "layers.*.cross.key.weight",
        ),
        (
            "decoder.block.*.layer.1.EncDecAttention.v.weight",
            "layers.*.cross.value.weight",
        ),
        (
            "decoder.block.*.layer.1.EncDecAttention.o.weight",
            "layers.*.cross.output.weight",
        ),
        (
            "decoder.block.*.layer.1.layer_norm.weight",
            "layers.*.cross_norm.weight",
        ),
        (
            "decoder.block.*.layer.2.DenseReluDense.wi.weight",
            "layers.*.mlp.up.weight",
        ),
        (
            "decoder.block.*.layer.2.DenseReluDense.wi_0.weight",
            "layers.*.mlp.gate.weight",
        ),
        (
            "decoder.block.*.layer.2.DenseReluDense.wi_1.weight",
            "layers.*.mlp.up.weight",
        ),
        (
            "decoder.block.*.layer.2.DenseReluDense.wo.weight",
            "layers.*.mlp.down.weight",
        ),
        (
            "decoder.block.*.layer.2.layer_norm.weight",
            "layers.*.mlp_norm.weight",
        ),
        ("decoder.final_layer_norm.weight", "final_norm.weight"),
        ("lm_head.weight", "head.weight"),
    ]],
    ignored: &["decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight"],
    linear_in_out: false,
};

pub(super) const MT5: Family = Family {
    model_type: "mt5",
    known_as: "mT5, mT0",
    config: |file| t5(file, "mt5"),
    ..T5
};

fn t5(file: &ConfigFile, model_type: &str) -> Result<Config> {
    let (hidden_size, n_layers, n_heads) = (
        file.size("d_model")?,
        file.size("num_layers")?,
        file.size("num_heads")?,
    );
    let head_dim = file.size("d_kv")?;
    let norm = standard::norm(
        file,
        NormKind::Rms { from_one: false },
        "layer_norm_epsilon",
        1e-6,
    )?;
    let (activation, mlp) = feed_forward(file, if model_type == "mt5" { "gated-gelu" } else { "relu" })?;
    let stack = |n_layers: usize, causal: bool| -> Result<Config> {
        Ok(Config {
            vocab_size: file.size("vocab_size")?,
            // Not bound by the positions: it was trained on texts of 512 tokens.
            context_length: file.size_or("n_positions", 512)?,
            intermediate_size: file.size("d_ff")?,
            activation,
            embedding: Embedding::plain(hidden_size),
            positions: Positions::Buckets {
                n_buckets: file.size_or("relative_attention_num_buckets", 32)?,
                max_distance: file.size_or("relative_attention_max_distance", 128)?,
            },
            attention: AttentionConfig {
                causal,
                scales: vec![1.0; n_layers],
                ..standard::attention(n_layers, head_dim, false, false)
            },
            mlp: mlp.clone(),
            head: head(file, model_type, hidden_size)?,
            ..standard::sized(
                model_type,
                hidden_size,
                n_layers,
                n_heads,
                head_dim,
                NormConfig { ..norm },
            )
        })
    };
    let encoder = Config {
        scope: "encoder.",
        ..stack(n_layers, false)?
    };
    Ok(Config {
        encoder: Some(Box::new(encoder)),
        ..stack(file.size_or("num_decoder_layers", n_layers)?, true)?
    })
}

/// Old T5s share the embedding with the head and scale what comes in; later ones have a head of their own.
fn head(file: &ConfigFile, model_type: &str, hidden_size: usize) -> Result<Head> {
    let scales = model_type == "t5" && file.flag_or("tie_word_embeddings", true)?;
    let scales = scales && file.flag_or("scale_decoder_outputs", true)?;
    Ok(Head {
        prefers_own: true,
        scale: if scales {
            (hidden_size as f64).powf(-0.5)
        } else {
            1.0
        },
        ..Head::new(true)
    })
}

fn feed_forward(file: &ConfigFile, default: &str) -> Result<(Activation, Mlp)> {
    let gated = Mlp::Gated {
        bias: false,
        joined: false,
    };
    let plain = Mlp::Plain { bias: false };
    Ok(match file.text_or("feed_forward_proj", default)? {
        "relu" => (Activation::Relu, plain),
        "gelu" => (Activation::Gelu, plain),
        "gated-gelu" => (Activation::GeluTanh, gated),
        "gated-silu" => (Activation::Silu, gated),
        "gated-relu" => (Activation::Relu, gated),
        _ => {
            let known = "expected relu, gelu, gated-gelu, gated-silu or gated-relu";
            return Err(file.refuse("feed_forward_proj", known));
        }
    })
}
