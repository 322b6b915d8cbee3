//! BART (1910.13461) and its relatives, which differ in where norms stand and how positions are known: mBART (2001.08210),
//! Pegasus (1912.08777), Marian (1804.00344), M2M-100 (2010.11125; NLLB is one).

use super::bert::POST;
use super::{Family, standard};
use crate::config::{
    Activation, AttentionConfig, Config, ConfigFile, Embedding, Head, Mlp, NormConfig, NormKind, Positions,
    Residual, Sines,
};
use crate::error::Result;

pub(super) const BART: Family = Family {
    model_type: "bart",
    known_as: "BART, DistilBART",
    config: |file| bart(file, &LIKE_BART),
    prefixes: &["model."],
    weights: &[&[
        ("shared.weight", "token_embedding.weight"),
        ("encoder.embed_tokens.weight", "encoder.token_embedding.weight"),
        ("decoder.embed_tokens.weight", "decoder.token_embedding.weight"),
        (
            "encoder.embed_positions.weight",
            "encoder.position_embedding.weight",
        ),
        (
            "encoder.layernorm_embedding.weight",
            "encoder.embedding_norm.weight",
        ),
        ("encoder.layernorm_embedding.bias", "encoder.embedding_norm.bias"),
        (
            "encoder.layers.*.self_attn.q_proj.weight",
            "encoder.layers.*.attention.query.weight",
        ),
        (
            "encoder.layers.*.self_attn.q_proj.bias",
            "encoder.layers.*.attention.query.bias",
        ),
        (
            "encoder.layers.*.self_attn.k_proj.weight",
            "encoder.layers.*.attention.key.weight",
        ),
        (
            "encoder.layers.*.self_attn.k_proj.bias",
            "encoder.layers.*.attention.key.bias",
        ),
        (
            "encoder.layers.*.self_attn.v_proj.weight",
            "encoder.layers.*.attention.value.weight",
        ),
        (
            "encoder.layers.*.self_attn.v_proj.bias",
            "encoder.layers.*.attention.value.bias",
        ),
        (
            "encoder.layers.*.self_attn.out_proj.weight",
            "encoder.layers.*.attention.output.weight",
        ),
        (
            "encoder.layers.*.self_attn.out_proj.bias",
            "encoder.layers.*.attention.output.bias",
        ),
        (
            "encoder.layers.*.self_attn_layer_norm.weight",
            "encoder.layers.*.attention_norm.weight",
        ),
        (
            "encoder.layers.*.self_attn_layer_norm.bias",
            "encoder.layers.*.attention_norm.bias",
        ),
        ("encoder.layers.*.fc1.weight", "encoder.layers.*.mlp.up.weight"),
        ("encoder.layers.*.fc1.bias", "encoder.layers.*.mlp.up.bias"),
        ("encoder.layers.*.fc2.weight", "encoder.layers.*.mlp.down.weight"),
        ("encoder.layers.*.fc2.bias", "encoder.layers.*.mlp.down.bias"),
        (
            "encoder.layers.*.final_layer_norm.weight",
            "encoder.layers.*.mlp_norm.weight",
        ),
        (
            "encoder.layers.*.final_layer_norm.bias",
            "encoder.layers.*.mlp_norm.bias",
        ),
        ("encoder.layer_norm.weight", "encoder.final_norm.weight"),
        ("encoder.layer_norm.bias", "encoder.final_norm.bias"),
        ("decoder.embed_positions.weight", "position_embedding.weight"),
        ("decoder.layernorm_embedding.weight", "embedding_norm.weight"),
        ("decoder.layernorm_embedding.bias", "embedding_norm.bias"),
        (
            "decoder.layers.*.self_attn.q_proj.weight",
            "layers.*.attention.query.weight",
        ),
        (
            "decoder.layers.*.self_attn.q_proj.bias",
            "layers.*.attention.query.bias",
        ),
        (
            "decoder.layers.*.self_attn.k_proj.weight",
            "layers.*.attention.key.weight",
        ),
        (
            "decoder.layers.*.self_attn.k_proj.bias",
            "layers.*.attention.key.bias",
        ),
        (
            "decoder.layers.*.self_attn.v_proj.weight",
            "layers.*.attention.value.weight",
        ),
        (
            "decoder.layers.*.self_attn.v_proj.bias",
            "layers.*.attention.value.bias",
        ),
        (
            "decoder.layers.*.self_attn.out_proj.weight",
            "layers.*.attention.output.weight",
        ),
        (
            "decoder.layers.*.self_attn.out_proj.bias",
            "layers.*.attention.output.bias",
        ),
        (
            "decoder.layers.*.self_attn_layer_norm.weight",
            "layers.*.attention_norm.weight",
        ),
        (
            "decoder.layers.*.self_attn_layer_norm.bias",
            "layers.*.attention_norm.bias",
        ),
        (
            "decoder.layers.*.encoder_attn.q_proj.weight",
            "layers.*.cross.query.weight",
        ),
        (
            "decoder.layers.*.encoder_attn.q_proj.bias",
            "layers.*.cross.query.bias",
        ),
        (
            "decoder.layers.*.encoder_attn.k_proj.weight",
            "layers.*.cross.key.weight",
        ),
        (
            "decoder.layers.*.encoder_attn.k_proj.bias",
            "layers.*.cross.key.bias",
        ),
        (
            "decoder.layers.*.encoder_attn.v_proj.weight",
            "layers.*.cross.value.weight",
        ),
        (
            "decoder.layers.*.encoder_attn.v_proj.bias",
            "layers.*.cross.value.bias",
        ),
        (
            "decoder.layers.*.encoder_attn.out_proj.weight",
            "layers.*.cross.output.weight",
        ),
        (
            "decoder.layers.*.encoder_attn.out_proj.bias",
            "layers.*.cross.output.bias",
        ),
        (
            "decoder.layers.*.encoder_attn_layer_norm.weight",
            "layers.*.cross_norm.weight",
        ),
        (
            "decoder.layers.*.encoder_attn_layer_norm.bias",
            "layers.*.cross_norm.bias",
        ),
        ("decoder.layers.*.fc1.weight", "layers.*.mlp.up.weight"),
        ("decoder.layers.*.fc1.bias", "layers.*.mlp.up.bias"),
        ("decoder.layers.*.fc2.weight", "layers.*.mlp.down.weight"),
        ("decoder.layers.*.fc2.bias", "layers.*.mlp.down.bias"),
        (
            "decoder.layers.*.final_layer_norm.weight",
            "layers.*.mlp_norm.weight",
        ),
        ("decoder.layers.*.final_layer_norm.bias", "layers.*.mlp_norm.bias"),
        ("decoder.layer_norm.weight", "final_norm.weight"),
        ("decoder.layer_norm.bias", "final_norm.bias"),
        ("lm_head.weight", "head.weight"),
        ("final_logits_bias", "head.bias"),
    ]],
    ignored: &[],
    linear_in_out: false,
};

pub(super) const MBART: Family = Family {
    model_type: "mbart",
    known_as: "mBART, mBART-50",
    config: |file| {
        let mbart = Relative {
            model_type: "mbart",
            residual: Residual::PRE,
            ..LIKE_BART
        };
        bart(file, &mbart)
    },
    ..BART
};

pub(super) const PEGASUS: Family = Family {
    model_type: "pegasus",
    known_as: "PEGASUS",
    config: |file| {
        let pegasus = Relative {
            model_type: "pegasus",
            residual: Residual::PRE,
            ..LIKE_MARIAN
        };
        bart(file, &pegasus)
    },
    ..BART
};

pub(super) const MARIAN: Family = Family {
    model_type: "marian",
    known_as: "OPUS-MT",
    config: |file| {
        let shared = "share_encoder_decoder_embeddings";
        match file.flag_or(shared, true)? {
            true => bart(file, &LIKE_MARIAN),
            false => Err(file.refuse(
                shared,
                "models with a vocabulary for each language are not read here: expected true",
            )),
        }
    },
    ..BART
};

pub(super) const M2M_100: Family = Family {
    model_type: "m2m_100",
    known_as: "M2M100, NLLB-200",
    config: |file| {
        let m2m_100 = Relative {
            model_type: "m2m_100",
            residual: Residual::PRE,
            positions: endless,
            activation: Activation::Relu,
            is_scaled: true,
            head_bias: false,
            ..LIKE_MARIAN
        };
        bart(file, &m2m_100)
    },
    // Older files have the sines, which are the same for all models.
    ignored: &[
        "encoder.embed_positions.weights",
        "decoder.embed_positions.weights",
    ],
    ..BART
};

/// What members of the family differ in.
struct Relative {
    model_type: &'static str,
    residual: Residual,
    embedding_norm: bool,
    positions: fn(&ConfigFile) -> Result<Positions>,
    /// Where config.json does not say it.
    activation: Activation,
    /// Whether embeddings are multiplied by √hidden, where config.json does not say it.
    is_scaled: bool,
    /// `final_logits_bias`.
    head_bias: bool,
}

const LIKE_BART: Relative = Relative {
    model_type: "bart",
    residual: POST,
    embedding_norm: true,
    positions: |_| Ok(Positions::Learned { offset: 2 }),
    activation: Activation::Gelu,
    is_scaled: false,
    head_bias: true,
};

const LIKE_MARIAN: Relative = Relative {
    model_type: "marian",
    embedding_norm: false,
    positions: counted,
    ..LIKE_BART
};

/// Sines may have to be computed, with no weight that says how many there are.
fn counted(file: &ConfigFile) -> Result<Positions> {
    match file.size("max_position_embeddings")? {
        0..=65_536 => Ok(Positions::Sinusoidal {
            sines: Sines::Counted,
            offset: 0,
        }),
        _ => Err(file.refuse(
            "max_position_embeddings",
            "expected at most 65536 where positions are sines",
        )),
    }
}

/// The first position is the one behind the token that fills up texts.
fn endless(file: &ConfigFile) -> Result<Positions> {
    Ok(Positions::Sinusoidal {
        sines: Sines::Endless,
        offset: file.count_or("pad_token_id", 1)? + 1,
    })
}

fn bart(file: &ConfigFile, relative: &Relative) -> Result<Config> {
    let encoder = Config {
        scope: "encoder.",
        ..stack(file, relative, "encoder", false)?
    };
    Ok(Config {
        encoder: Some(Box::new(encoder)),
        ..stack(file, relative, "decoder", true)?
    })
}

fn stack(file: &ConfigFile, relative: &Relative, side: &str, causal: bool) -> Result<Config> {
    let hidden_size = file.size("d_model")?;
    let norm = NormConfig {
        kind: NormKind::Layer { bias: true },
        epsilon: 1e-5,
    };
    let heads = format!("{side}_attention_heads");
    let (n_layers, n_heads) = (file.size(&format!("{side}_layers"))?, file.size(&heads)?);
    let head_dim = standard::even_head_dim(file, &heads, hidden_size, n_heads)?;
    let scale = match file.flag_or("scale_embedding", relative.is_scaled)? {
        true => (hidden_size as f64).sqrt(),
        false => 1.0,
    };
    Ok(Config {
        vocab_size: file.size("vocab_size")?,
        context_length: file.size("max_position_embeddings")?,
        intermediate_size: file.size(&format!("{side}_ffn_dim"))?,
        activation: file.activation("activation_function", relative.activation)?,
        embedding: Embedding {
            scale,
            norm: relative.embedding_norm,
            ..Embedding::plain(hidden_size)
        },
        positions: (relative.positions)(file)?,
        residual: relative.residual.clone(),
        attention: AttentionConfig {
            causal,
            ..standard::attention(n_layers, head_dim, true, true)
        },
        mlp: Mlp::Plain { bias: true },
        head: Head {
            bias: relative.head_bias,
            ..Head::new(file.flag_or("tie_word_embeddings", true)?)
        },
        ..standard::sized(
            relative.model_type,
            hidden_size,
            n_layers,
            n_heads,
            head_dim,
            norm,
        )
    })
}
