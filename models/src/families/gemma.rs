//! Gemma (2403.08295), Gemma 2 (2408.00118: soft caps, alternating windows, norms on both sides of each branch) and
//! the text models of Gemma 3 (2503.19786: norms on q and k, other turns in the layers with a window).

use super::{Family, llama, standard};
use crate::config::{
    Activation, AttentionConfig, Config, ConfigFile, Embedding, Head, NormConfig, NormKind, Positions,
    QkNorm, Residual,
};
use crate::error::Result;
use crate::rope::{Defaults, Rope};

pub(super) const GEMMA: Family = Family {
    model_type: "gemma",
    known_as: "Gemma, CodeGemma",
    config: |file| gemma(file, "gemma"),
    ..llama::LLAMA
};

pub(super) const GEMMA2: Family = Family {
    model_type: "gemma2",
    known_as: "Gemma 2, ShieldGemma",
    config: |file| gemma2(file, "gemma2"),
    weights: &[SANDWICHED, standard::WEIGHTS],
    ..llama::LLAMA
};

/// Gemma 2 without norms behind the branches, trained with differential privacy.
pub(super) const VAULTGEMMA: Family = Family {
    model_type: "vaultgemma",
    known_as: "VaultGemma 1B",
    config: vaultgemma,
    weights: &[
        &[(
            "layers.*.pre_feedforward_layernorm.weight",
            "layers.*.mlp_norm.weight",
        )],
        standard::WEIGHTS,
    ],
    ..llama::LLAMA
};

pub(super) const GEMMA3: Family = Family {
    model_type: "gemma3_text",
    known_as: "Gemma 3 270M and 1B",
    config: |file| gemma3(file, "gemma3_text"),
    weights: &[SANDWICHED, standard::WEIGHTS],
    ..llama::LLAMA
};

/// The same as part of a model that sees: images are not read, and its weights for them passed over.
pub(super) const GEMMA3_OF_IMAGES: Family = Family {
    model_type: "gemma3",
    known_as: "Gemma 3 4B to 27B, MedGemma",
    config: of_images,
    prefixes: PREFIXES,
    weights: &[SANDWICHED, standard::WEIGHTS],
    ignored: &[
        "vision_tower.",
        "model.vision_tower.",
        "multi_modal_projector.",
        "model.multi_modal_projector.",
    ],
    ..llama::LLAMA
};

pub(super) const PREFIXES: &[&str] = &[
    "model.language_model.",
    "language_model.model.",
    "language_model.",
];

pub(super) const SANDWICHED: &[(&str, &str)] = &[
    (
        "layers.*.post_attention_layernorm.weight",
        "layers.*.attention_post_norm.weight",
    ),
    (
        "layers.*.pre_feedforward_layernorm.weight",
        "layers.*.mlp_norm.weight",
    ),
    (
        "layers.*.post_feedforward_layernorm.weight",
        "layers.*.mlp_post_norm.weight",
    ),
];

fn gemma(file: &ConfigFile, model_type: &str) -> Result<Config> {
    let norm = standard::norm(file, NormKind::Rms { from_one: true }, "rms_norm_eps", 1e-6)?;
    scaled(file, model_type, norm)
}

/// With embeddings that are multiplied with the root of their size.
pub(super) fn scaled(file: &ConfigFile, model_type: &str, norm: NormConfig) -> Result<Config> {
    let config = standard::rotary(file, model_type, norm, Defaults::default())?;
    let bias = file.flag_or("attention_bias", false)?;
    // Old files name the exact function, but the models were trained with the approximation.
    let key = if file.is_set("hidden_activation") {
        "hidden_activation"
    } else {
        "hidden_act"
    };
    let activation = match file.activation(key, Activation::GeluTanh)? {
        Activation::Gelu if key == "hidden_act" => Activation::GeluTanh,
        activation => activation,
    };
    Ok(Config {
        activation,
        embedding: Embedding {
            scale: (config.hidden_size as f64).sqrt(),
            ..config.embedding
        },
        attention: standard::attention(config.n_layers, config.head_dim, bias, bias),
        head: Head::new(file.flag_or("tie_word_embeddings", true)?),
        ..config
    })
}

pub(super) fn gemma2(file: &ConfigFile, model_type: &str) -> Result<Config> {
    let config = gemma(file, model_type)?;
    let scale = file.positive_or("query_pre_attn_scalar", 256.0)?.powf(-0.5);
    let caps = match model_type {
        "gemma2" | "vaultgemma" => (Some(50.0), Some(30.0)),
        _ => (None, None),
    };
    Ok(Config {
        residual: Residual {
            after_branch: true,
            ..Residual::PRE
        },
        attention: AttentionConfig {
            scales: vec![scale; config.n_layers],
            windows: standard::windows(file, config.n_layers, Some(4096), |layer| layer % 2 == 0)?,
            soft_cap: cap(file, "attn_logit_softcapping", caps.0)?,
            ..config.attention
        },
        head: capped(file, config.head, caps.1)?,
        ..config
    })
}

/// The head with what its logits are capped at.
pub(super) fn capped(file: &ConfigFile, head: Head, usual: Option<f64>) -> Result<Head> {
    let soft_cap = cap(file, "final_logit_softcapping", usual)?;
    Ok(Head { soft_cap, ..head })
}

fn cap(file: &ConfigFile, key: &str, usual: Option<f64>) -> Result<Option<f64>> {
    match (file.has(key), usual) {
        (true, _) if !file.is_set(key) => Ok(None),
        (false, None) => Ok(None),
        (_, usual) => file.positive_or(key, usual.unwrap_or(1.0)).map(Some),
    }
}

fn vaultgemma(file: &ConfigFile) -> Result<Config> {
    let config = gemma2(file, "vaultgemma")?;
    Ok(Config {
        residual: Residual::PRE,
        ..config
    })
}

fn gemma3(file: &ConfigFile, model_type: &str) -> Result<Config> {
    let config = gemma2(file, model_type)?;
    let n_layers = config.n_layers;
    let pattern = file.size_or("sliding_window_pattern", 6)?;
    let is_sliding = |layer: usize| !(layer + 1).is_multiple_of(pattern);
    let sliding = standard::sliding_layers(file, n_layers, is_sliding)?;
    let million = Defaults {
        theta: 1e6,
        ..Defaults::default()
    };
    let is_nested = file.section("rope_parameters")?.is_some();
    let global = Rope::read(
        file,
        is_nested.then_some("full_attention"),
        config.head_dim,
        million,
    )?;
    let local = match is_nested {
        true => Rope::read(
            file,
            Some("sliding_attention"),
            config.head_dim,
            Defaults::default(),
        )?,
        false => global.plain(file.positive_or("rope_local_base_freq", 1e4)?),
    };
    Ok(Config {
        positions: Positions::Rotary {
            ropes: vec![global, local],
            by_layer: sliding
                .iter()
                .map(|&sliding| Some(usize::from(sliding)))
                .collect(),
        },
        attention: AttentionConfig {
            windows: standard::windows(file, n_layers, Some(4096), is_sliding)?,
            qk_norm: QkNorm::Head,
            ..config.attention
        },
        ..config
    })
}

/// The files say what differs from the 2B model's sizes, and no more.
fn of_images(file: &ConfigFile) -> Result<Config> {
    let Some(text) = file.section("text_config")? else {
        return Err(file.refuse("text_config", "expected an object"));
    };
    let usual = serde_json::json!({
        "vocab_size": 262_208, "hidden_size": 2304, "intermediate_size": 9216, "num_hidden_layers": 26,
        "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256, "max_position_embeddings": 131_072,
    });
    let config = gemma3(&text.or(usual), "gemma3")?;
    // Whether the head is the embedding is a matter of the whole.
    let tied = file.flag_or("tie_word_embeddings", true)?;
    let head = Head { tied, ..config.head };
    Ok(Config { head, ..config })
}
