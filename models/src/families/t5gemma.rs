//! T5Gemma (2504.06225): Gemma 2 on both sides, its encoder reading both ways, its decoder's layers looking at it between
//! their two branches.

use super::{Family, gemma, llama};
use crate::config::{AttentionConfig, Config, ConfigFile, Head};
use crate::error::Result;

pub(super) const FAMILY: Family = Family {
    model_type: "t5gemma",
    known_as: "T5Gemma 2B-2B, S to XL (both sides equally wide)",
    config: t5gemma,
    weights: &[&[
        ("encoder.embed_tokens.weight", "encoder.token_embedding.weight"),
        // The head is tied to this one, and the encoder has its own.
        ("decoder.embed_tokens.weight", "token_embedding.weight"),
        ("encoder.norm.weight", "encoder.final_norm.weight"),
        ("decoder.norm.weight", "final_norm.weight"),
        ("lm_head.out_proj.weight", "head.weight"),
        (
            "encoder.layers.*.self_attn.q_proj.weight",
            "encoder.layers.*.attention.query.weight",
        ),
        (
            "encoder.layers.*.self_attn.k_proj.weight",
            "encoder.layers.*.attention.key.weight",
        ),
        (
            "encoder.layers.*.self_attn.v_proj.weight",
            "encoder.layers.*.attention.value.weight",
        ),
        (
            "encoder.layers.*.self_attn.o_proj.weight",
            "encoder.layers.*.attention.output.weight",
        ),
        (
            "encoder.layers.*.pre_self_attn_layernorm.weight",
            "encoder.layers.*.attention_norm.weight",
        ),
        (
            "encoder.layers.*.post_self_attn_layernorm.weight",
            "encoder.layers.*.attention_post_norm.weight",
        ),
        (
            "encoder.layers.*.pre_feedforward_layernorm.weight",
            "encoder.layers.*.mlp_norm.weight",
        ),
        (
            "encoder.layers.*.post_feedforward_layernorm.weight",
            "encoder.layers.*.mlp_post_norm.weight",
        ),
        (
            "encoder.layers.*.mlp.gate_proj.weight",
            "encoder.layers.*.mlp.gate.weight",
        ),
        (
            "encoder.layers.*.mlp.up_proj.weight",
            "encoder.layers.*.mlp.up.weight",
        ),
        (
            "encoder.layers.*.mlp.down_proj.weight",
            "encoder.layers.*.mlp.down.weight",
        ),
        (
            "decoder.layers.*.self_attn.q_proj.weight",
            "layers.*.attention.query.weight",
        ),
        (
            "decoder.layers.*.self_attn.k_proj.weight",
            "layers.*.attention.key.weight",
        ),
        (
            "decoder.layers.*.self_attn.v_proj.weight",
            "layers.*.attention.value.weight",
        ),
        (
            "decoder.layers.*.self_attn.o_proj.weight",
            "layers.*.attention.output.weight",
        ),
        (
            "decoder.layers.*.pre_self_attn_layernorm.weight",
            "layers.*.attention_norm.weight",
        ),
        (
            "decoder.layers.*.post_self_attn_layernorm.weight",
            "layers.*.attention_post_norm.weight",
        ),
        (
            "decoder.layers.*.cross_attn.q_proj.weight",
            "layers.*.cross.query.weight",
        ),
        (
            "decoder.layers.*.cross_attn.k_proj.weight",
            "layers.*.cross.key.weight",
        ),
        (
            "decoder.layers.*.cross_attn.v_proj.weight",
            "layers.*.cross.value.weight",
        ),
        (
            "decoder.layers.*.cross_attn.o_proj.weight",
            "layers.*.cross.output.weight",
        ),
        (
            "decoder.layers.*.pre_cross_attn_layernorm.weight",
            "layers.*.cross_norm.weight",
        ),
        (
            "decoder.layers.*.post_cross_attn_layernorm.weight",
            "layers.*.cross_post_norm.weight",
        ),
        (
            "decoder.layers.*.pre_feedforward_layernorm.weight",
            "layers.*.mlp_norm.weight",
        ),
        (
            "decoder.layers.*.post_feedforward_layernorm.weight",
            "layers.*.mlp_post_norm.weight",
        ),
        (
            "decoder.layers.*.mlp.gate_proj.weight",
            "layers.*.mlp.gate.weight",
        ),
        ("decoder.layers.*.mlp.up_proj.weight", "layers.*.mlp.up.weight"),
        (
            "decoder.layers.*.mlp.down_proj.weight",
            "layers.*.mlp.down.weight",
        ),
    ]],
    ..llama::LLAMA
};

fn t5gemma(file: &ConfigFile) -> Result<Config> {
    let side = |key: &str| match file.section(key)? {
        Some(section) => Ok(Config {
            model_type: "t5gemma".into(),
            ..gemma::gemma2(&section, "gemma2")?
        }),
        None => Err(file.refuse(key, "expected an object")),
    };
    let (read, write) = (side("encoder")?, side("decoder")?);
    for (what, of_encoder, of_decoder) in [
        ("hidden_size", read.hidden_size, write.hidden_size),
        ("vocab_size", read.vocab_size, write.vocab_size),
    ] {
        if of_encoder != of_decoder {
            let reason =
                format!("its {what} is {of_encoder}, the decoder's {of_decoder}: only equal ones are read");
            return Err(file.refuse("encoder", &reason));
        }
    }
    // A window reaches as far ahead as back, its last token included on either side.
    let windows = read.attention.windows.iter().map(|window| window.map(|n| n + 1));
    let encoder = Config {
        scope: "encoder.",
        // Its embedding is its own.
        head: Head::new(false),
        attention: AttentionConfig {
            causal: false,
            windows: windows.collect(),
            ..read.attention
        },
        ..read
    };
    // Whether the head is the embedding is a matter of the whole.
    let head = Head {
        tied: file.flag_or("tie_word_embeddings", true)?,
        ..write.head
    };
    Ok(Config {
        encoder: Some(Box::new(encoder)),
        head,
        vocab_size: file.size_or("vocab_size", write.vocab_size)?,
        ..write
    })
}
