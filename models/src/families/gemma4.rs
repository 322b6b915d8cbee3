//! Gemma 4's text models: heads of other widths in the layers without a window, which turn part of each head and may have one
//! matrix for keys and values; norms on values; a factor on each layer; beside each MLP, experts; and in the small ones a second
//! embedding of which each layer reads a part, and last layers that read the keys and values of earlier ones.

use super::{Family, gemma, llama, standard};
use crate::config::{
    AttentionConfig, Config, ConfigFile, Embedding, ExpertStorage, Experts, Head, HeadSizes, Mlp, NormKind,
    Positions, QkNorm, Residual, SharedExpert,
};
use crate::error::Result;
use crate::rope::{Defaults, Rope};

/// As part of a model that sees and hears: images and sounds are not read, and its weights for them passed over.
pub(super) const GEMMA4: Family = Family {
    model_type: "gemma4",
    known_as: "Gemma 4 31B, 26B-A4B, E4B and E2B",
    config: of_images,
    prefixes: gemma::PREFIXES,
    ignored: &[
        "vision_tower.",
        "model.vision_tower.",
        "embed_vision.",
        "model.embed_vision.",
        "audio_tower.",
        "model.audio_tower.",
        "embed_audio.",
        "model.embed_audio.",
    ],
    ..TEXT
};

pub(super) const TEXT: Family = Family {
    model_type: "gemma4_text",
    known_as: "Gemma 4 as text alone, saved by itself",
    config: |file| text(file, "gemma4_text"),
    weights: &[OWN, gemma::SANDWICHED, standard::WEIGHTS],
    ..llama::LLAMA
};

const OWN: &[(&str, &str)] = &[
    ("embed_tokens_per_layer.weight", "own_embedding.weight"),
    ("per_layer_model_projection.weight", "own_projection.weight"),
    ("per_layer_projection_norm.weight", "own_norm.weight"),
    ("layers.*.per_layer_input_gate.weight", "layers.*.own.gate.weight"),
    (
        "layers.*.per_layer_projection.weight",
        "layers.*.own.output.weight",
    ),
    (
        "layers.*.post_per_layer_input_norm.weight",
        "layers.*.own.norm.weight",
    ),
    ("layers.*.layer_scalar", "layers.*.scale"),
    ("layers.*.router.proj.weight", "layers.*.mlp.router.weight"),
    ("layers.*.router.scale", "layers.*.mlp.router_scale"),
    ("layers.*.router.per_expert_scale", "layers.*.mlp.expert_scale"),
    (
        "layers.*.experts.gate_up_proj",
        "layers.*.mlp.experts.gate_up.weight",
    ),
    ("layers.*.experts.down_proj", "layers.*.mlp.experts.down.weight"),
    (
        "layers.*.pre_feedforward_layernorm_2.weight",
        "layers.*.mlp.experts_norm.weight",
    ),
    (
        "layers.*.post_feedforward_layernorm_1.weight",
        "layers.*.mlp.shared_post_norm.weight",
    ),
    (
        "layers.*.post_feedforward_layernorm_2.weight",
        "layers.*.mlp.experts_post_norm.weight",
    ),
];

fn of_images(file: &ConfigFile) -> Result<Config> {
    let Some(part) = file.section("text_config")? else {
        return Err(file.refuse("text_config", "expected an object"));
    };
    let config = text(&part, "gemma4")?;
    // Whether the head is the embedding is a matter of the whole.
    let tied = file.flag_or("tie_word_embeddings", true)?;
    let head = Head { tied, ..config.head };
    Ok(Config { head, ..config })
}

/// The files say what differs from these, and no more.
fn with_usual(file: &ConfigFile) -> ConfigFile {
    file.by_new_names(&[]).or(serde_json::json!({
        "vocab_size": 262_144, "hidden_size": 2304, "intermediate_size": 9216, "num_hidden_layers": 30,
        "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256, "max_position_embeddings": 131_072,
        "sliding_window": 512, "hidden_activation": "gelu_pytorch_tanh", "tie_word_embeddings": true,
        "rope_parameters": {
            "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
            "full_attention": {"rope_type": "proportional", "partial_rotary_factor": 0.25, "rope_theta": 1e6},
        },
    }))
}

fn text(file: &ConfigFile, model_type: &str) -> Result<Config> {
    let file = &with_usual(file);
    let norm = standard::norm(file, NormKind::Rms { from_one: false }, "rms_norm_eps", 1e-6)?;
    let config = gemma::scaled(file, model_type, norm)?;
    let n_layers = config.n_layers;
    let sliding = sliding(file, n_layers)?;
    let heads = heads(file, &config, &sliding)?;
    let rope = |name: &str, full: bool| {
        let mut of_kind = heads
            .iter()
            .zip(&sliding)
            .filter(|(_, sliding)| **sliding != full);
        let head_dim = of_kind
            .next()
            .map_or(config.head_dim, |(heads, _)| heads.head_dim);
        match of_kind.all(|(heads, _)| heads.head_dim == head_dim) {
            true => Rope::read(file, Some(name), head_dim, Defaults::default()),
            false => Err(file.refuse(
                "per_layer_config",
                "expected one head_dim for all layers of a kind",
            )),
        }
    };
    let ropes = vec![rope("full_attention", true)?, rope("sliding_attention", false)?];
    let (mlp, intermediate_size) = mlp(file, &config)?;
    let sources = sources(file, &sliding, &heads)?;
    let is_wide = file.flag_or("use_double_wide_mlp", false)?;
    if is_wide && matches!(mlp, Mlp::Experts(_)) && !sources.is_empty() {
        let reason = "twice as wide MLPs are read where there are no experts beside them";
        return Err(file.refuse("use_double_wide_mlp", reason));
    }
    let of_layer = |source: &Option<usize>| match source.is_some() && is_wide {
        true => 2 * config.intermediate_size,
        false => config.intermediate_size,
    };
    let embedding = Embedding {
        // Each token has a row in both embeddings, whatever the file says of the second.
        own: file.count_or("hidden_size_per_layer_input", 256)?,
        ..config.embedding.clone()
    };
    Ok(Config {
        context_length: ropes[0].reach(),
        positions: Positions::Rotary {
            ropes,
            by_layer: sliding
                .iter()
                .map(|&sliding| Some(usize::from(sliding)))
                .collect(),
        },
        heads,
        intermediate_size,
        neurons: sources.iter().map(of_layer).collect(),
        mlp,
        embedding,
        residual: Residual {
            after_branch: true,
            scaled_layers: true,
            ..Residual::PRE
        },
        attention: AttentionConfig {
            scales: vec![1.0; n_layers],
            windows: standard::windows(file, n_layers, Some(512), |layer| sliding[layer])?,
            qk_norm: QkNorm::Head,
            value_norm: true,
            sources,
            ..config.attention
        },
        head: gemma::capped(file, config.head, None)?,
        ..config
    })
}

/// Of which layer each reads the keys and values, where it makes none: the last ones read those of the last before them that
/// sees as much as they do.
fn sources(file: &ConfigFile, sliding: &[bool], heads: &[HeadSizes]) -> Result<Vec<Option<usize>>> {
    let key = "num_kv_shared_layers";
    let shared = file.count_or(key, 0)?;
    if shared == 0 {
        return Ok(vec![]);
    }
    let Some(first) = sliding.len().checked_sub(shared) else {
        let reason = format!("there are {} layers", sliding.len());
        return Err(file.refuse(key, &reason));
    };
    let source = |(layer, kind): (usize, &bool)| match layer < first {
        true => Ok(None),
        false => match sliding[..first].iter().rposition(|before| before == kind) {
            Some(source) if heads[source] == heads[layer] => Ok(Some(source)),
            Some(source) => {
                let reason = format!(
                    "layer {layer} reads the keys and values of layer {source}, whose heads are others"
                );
                Err(file.refuse("per_layer_config", &reason))
            }
            None => {
                let reason = format!(
                    "no layer before layer {first} sees as much as layer {layer} does, which reads its keys"
                );
                Err(file.refuse(key, &reason))
            }
        },
    };
    sliding.iter().enumerate().map(source).collect()
}

/// Which layers see a window alone. The last one sees all, whatever the list says.
fn sliding(file: &ConfigFile, n_layers: usize) -> Result<Vec<bool>> {
    let mut sliding = standard::sliding_layers(file, n_layers, |layer| !(layer + 1).is_multiple_of(6))?;
    if let Some(last) = sliding.last_mut() {
        *last = false;
    }
    Ok(sliding)
}

/// Of each layer: by what the file says of layers without a window, or of each layer by its number.
fn heads(file: &ConfigFile, config: &Config, sliding: &[bool]) -> Result<Vec<HeadSizes>> {
    let joined = file.flag_or("attention_k_eq_v", false)?;
    let by_layer = file.section("per_layer_config")?;
    let of_full = match by_layer {
        Some(_) => [config.n_kv_heads, config.head_dim],
        None => {
            let own = file.size_if_any("num_global_key_value_heads")?.filter(|_| joined);
            [
                own.unwrap_or(config.n_kv_heads),
                file.size_or("global_head_dim", 512)?,
            ]
        }
    };
    let of_layer = |(layer, &sliding): (usize, &bool)| {
        let [usual_heads, usual_dim] = match sliding {
            true => [config.n_kv_heads, config.head_dim],
            false => of_full,
        };
        let own = match &by_layer {
            Some(by_layer) => by_layer.section(&layer.to_string())?,
            None => None,
        };
        let own = own.unwrap_or_else(ConfigFile::empty);
        let n_kv_heads = own.size_or("num_key_value_heads", usual_heads)?;
        let head_dim = own.size_or("head_dim", usual_dim)?;
        if !config.n_heads.is_multiple_of(n_kv_heads) {
            let n_heads = config.n_heads;
            let reason = format!("layer {layer}: {n_heads} heads are no multiple of {n_kv_heads} of keys");
            return Err(file.refuse("num_global_key_value_heads", &reason));
        }
        Ok(HeadSizes {
            n_kv_heads,
            head_dim,
            value_dim: head_dim,
            joined: joined && !sliding,
        })
    };
    sliding.iter().enumerate().map(of_layer).collect()
}

/// With the neurons of the MLP, or of each expert.
fn mlp(file: &ConfigFile, config: &Config) -> Result<(Mlp, usize)> {
    if !file.flag_or("enable_moe_block", false)? {
        return Ok((config.mlp.clone(), config.intermediate_size));
    }
    let sizes = ["num_experts", "top_k_experts"].map(|key| file.size(key).map(|size| (key, size)));
    let [all, chosen] = sizes;
    let experts = Experts {
        shared: Some(SharedExpert {
            size: config.intermediate_size,
            gated: false,
        }),
        storage: ExpertStorage::Stacked,
        apart: true,
        ..standard::experts(file, [all?, chosen?], config.n_layers)?
    };
    Ok((Mlp::Experts(experts), file.size("moe_intermediate_size")?))
}
