//! DeBERTa v2 and v3 (2006.03654, 2111.09543): queries and keys also meet vectors of their distance.

use super::Family;
use super::bert::{self, blocks, task};
use crate::config::{
    Activation, AttentionConfig, Config, ConfigFile, Convolution, Dense, Disentangled, Embedding,
    InnerProjection, Positions,
};
use crate::error::Result;

pub(super) const FAMILY: Family = Family {
    model_type: "deberta-v2",
    known_as: "DeBERTa v2 and v3, mDeBERTa",
    config,
    prefixes: &["deberta."],
    weights: &[
        &[
            ("encoder.rel_embeddings.weight", "relative_embedding.weight"),
            ("encoder.LayerNorm.weight", "relative_norm.weight"),
            ("encoder.LayerNorm.bias", "relative_norm.bias"),
            ("encoder.conv.conv.weight", "layers.0.convolution.weight"),
            ("encoder.conv.conv.bias", "layers.0.convolution.bias"),
            (
                "encoder.conv.LayerNorm.weight",
                "layers.0.convolution_norm.weight",
            ),
            ("encoder.conv.LayerNorm.bias", "layers.0.convolution_norm.bias"),
            (
                "encoder.layer.*.attention.self.query_proj.weight",
                "layers.*.attention.query.weight",
            ),
            (
                "encoder.layer.*.attention.self.query_proj.bias",
                "layers.*.attention.query.bias",
            ),
            (
                "encoder.layer.*.attention.self.key_proj.weight",
                "layers.*.attention.key.weight",
            ),
            (
                "encoder.layer.*.attention.self.key_proj.bias",
                "layers.*.attention.key.bias",
            ),
            (
                "encoder.layer.*.attention.self.value_proj.weight",
                "layers.*.attention.value.weight",
            ),
            (
                "encoder.layer.*.attention.self.value_proj.bias",
                "layers.*.attention.value.bias",
            ),
            (
                "encoder.layer.*.attention.self.pos_key_proj.weight",
                "layers.*.attention.distance_key.weight",
            ),
            (
                "encoder.layer.*.attention.self.pos_key_proj.bias",
                "layers.*.attention.distance_key.bias",
            ),
            (
                "encoder.layer.*.attention.self.pos_query_proj.weight",
                "layers.*.attention.distance_query.weight",
            ),
            (
                "encoder.layer.*.attention.self.pos_query_proj.bias",
                "layers.*.attention.distance_query.bias",
            ),
            ("lm_predictions.lm_head.dense.weight", "task.masked.dense.weight"),
            ("lm_predictions.lm_head.dense.bias", "task.masked.dense.bias"),
            (
                "lm_predictions.lm_head.LayerNorm.weight",
                "task.masked.norm.weight",
            ),
            ("lm_predictions.lm_head.LayerNorm.bias", "task.masked.norm.bias"),
            ("lm_predictions.lm_head.bias", "task.masked.output.bias"),
        ],
        bert::WEIGHTS,
    ],
    ignored: &[
        "embeddings.position_ids",
        "mask_predictions.classifier.weight",
        "mask_predictions.classifier.bias",
        "mask_predictions.dense.weight",
        "mask_predictions.dense.bias",
        "mask_predictions.LayerNorm.weight",
        "mask_predictions.LayerNorm.bias",
    ],
    ..bert::BERT
};

fn config(file: &ConfigFile) -> Result<Config> {
    let config = blocks(file, "deberta-v2", 0)?;
    for (key, unsupported) in [("position_biased_input", true), ("relative_attention", false)] {
        if file.flag_or(key, key == "position_biased_input")? == unsupported {
            return Err(file.refuse(key, &format!("only {} is supported", !unsupported)));
        }
    }
    let kind = distances(file, config.context_length)?;
    let n_types = 1 + usize::from(kind.content_to_position) + usize::from(kind.position_to_content);
    let scale = ((config.head_dim * n_types) as f64).powf(-0.5);
    let label = Dense::with(file.activation("pooler_hidden_act", Activation::Gelu)?);
    Ok(Config {
        embedding: Embedding {
            size: file.size_or("embedding_size", config.hidden_size)?,
            projected: InnerProjection::Last,
            n_segments: file.count_or("type_vocab_size", 0)?,
            ..config.embedding
        },
        positions: Positions::Disentangled(kind),
        attention: AttentionConfig {
            scales: vec![scale; config.n_layers],
            ..config.attention
        },
        convolution: convolution(file, config.hidden_size)?,
        task: task(file, Dense::with(config.activation).and_norm(), label)?,
        ..config
    })
}

fn convolution(file: &ConfigFile, hidden_size: usize) -> Result<Option<Convolution>> {
    let width = file.count_or("conv_kernel_size", 0)?;
    if width == 0 {
        return Ok(None);
    }
    if width.is_multiple_of(2) {
        return Err(file.refuse(
            "conv_kernel_size",
            "expected an odd number, so that a position is in the middle",
        ));
    }
    let n_groups = file.size_or("conv_groups", 1)?;
    if !hidden_size.is_multiple_of(n_groups) {
        return Err(file.refuse(
            "conv_groups",
            &format!("the hidden size, {hidden_size}, is not a multiple of it"),
        ));
    }
    Ok(Some(Convolution {
        width,
        n_groups,
        activation: file.activation("conv_act", Activation::Tanh)?,
    }))
}

fn distances(file: &ConfigFile, context_length: usize) -> Result<Disentangled> {
    let furthest = file
        .size_if_any("max_relative_positions")?
        .unwrap_or(context_length);
    let buckets = file.size_if_any("position_buckets")?;
    // A list, or its members with bars between.
    let types = match file.list("pos_att_type") {
        Ok(list) => list
            .into_iter()
            .flatten()
            .filter_map(|kind| kind.as_str())
            .collect::<Vec<_>>()
            .join("|"),
        Err(_) => file.text("pos_att_type")?.to_owned(),
    };
    Ok(Disentangled {
        span: buckets.unwrap_or(furthest),
        max_distance: buckets.map_or(0, |_| furthest),
        content_to_position: types.contains("c2p"),
        position_to_content: types.contains("p2c"),
        shared: file.flag_or("share_att_key", false)?,
        norm: file.text_or("norm_rel_ebd", "none")?.contains("layer_norm"),
    })
}
