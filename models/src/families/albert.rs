//! ALBERT (1909.11942): one layer's weights for all layers, a narrow embedding.

use super::bert::{blocks, task};
use super::{Family, bert};
use crate::config::{Activation, Config, ConfigFile, Dense, Embedding, InnerProjection};
use crate::error::Result;

pub(super) const FAMILY: Family = Family {
    model_type: "albert",
    known_as: "ALBERT",
    config,
    prefixes: &["albert."],
    weights: &[&[
        ("embeddings.word_embeddings.weight", "token_embedding.weight"),
        (
            "embeddings.position_embeddings.weight",
            "position_embedding.weight",
        ),
        (
            "embeddings.token_type_embeddings.weight",
            "segment_embedding.weight",
        ),
        ("embeddings.LayerNorm.weight", "embedding_norm.weight"),
        ("embeddings.LayerNorm.bias", "embedding_norm.bias"),
        ("encoder.embedding_hidden_mapping_in.weight", "project_in.weight"),
        ("encoder.embedding_hidden_mapping_in.bias", "project_in.bias"),
        (
            "encoder.albert_layer_groups.*.albert_layers.0.attention.query.weight",
            "layers.*.attention.query.weight",
        ),
        (
            "encoder.albert_layer_groups.*.albert_layers.0.attention.query.bias",
            "layers.*.attention.query.bias",
        ),
        (
            "encoder.albert_layer_groups.*.albert_layers.0.attention.key.weight",
            "layers.*.attention.key.weight",
        ),
        (
            "encoder.albert_layer_groups.*.albert_layers.0.attention.key.bias",
            "layers.*.attention.key.bias",
        ),
        (
            "encoder.albert_layer_groups.*.albert_layers.0.attention.value.weight",
            "layers.*.attention.value.weight",
        ),
        (
            "encoder.albert_layer_groups.*.albert_layers.0.attention.value.bias",
            "layers.*.attention.value.bias",
        ),
        (
            "encoder.albert_layer_groups.*.albert_layers.0.attention.dense.weight",
            "layers.*.attention.output.weight",
        ),
        (
            "encoder.albert_layer_groups.*.albert_layers.0.attention.dense.bias",
            "layers.*.attention.output.bias",
        ),
        (
            "encoder.albert_layer_groups.*.albert_layers.0.attention.LayerNorm.weight",
            "layers.*.attention_norm.weight",
        ),
        (
            "encoder.albert_layer_groups.*.albert_layers.0.attention.LayerNorm.bias",
            "layers.*.attention_norm.bias",
        ),
        (
            "encoder.albert_layer_groups.*.albert_layers.0.ffn.weight",
            "layers.*.mlp.up.weight",
        ),
        (
            "encoder.albert_layer_groups.*.albert_layers.0.ffn.bias",
            "layers.*.mlp.up.bias",
        ),
        (
            "encoder.albert_layer_groups.*.albert_layers.0.ffn_output.weight",
            "layers.*.mlp.down.weight",
        ),
        (
            "encoder.albert_layer_groups.*.albert_layers.0.ffn_output.bias",
            "layers.*.mlp.down.bias",
        ),
        (
            "encoder.albert_layer_groups.*.albert_layers.0.full_layer_layer_norm.weight",
            "layers.*.mlp_norm.weight",
        ),
        (
            "encoder.albert_layer_groups.*.albert_layers.0.full_layer_layer_norm.bias",
            "layers.*.mlp_norm.bias",
        ),
        ("predictions.dense.weight", "task.masked.dense.weight"),
        ("predictions.dense.bias", "task.masked.dense.bias"),
        ("predictions.LayerNorm.weight", "task.masked.norm.weight"),
        ("predictions.LayerNorm.bias", "task.masked.norm.bias"),
        ("predictions.decoder.weight", "task.masked.output.weight"),
        ("predictions.bias", "task.masked.output.bias"),
        ("predictions.decoder.bias", "task.masked.output.bias"),
        ("pooler.weight", "task.label.dense.weight"),
        ("pooler.bias", "task.label.dense.bias"),
        ("classifier.weight", "task.label.output.weight"),
        ("classifier.bias", "task.label.output.bias"),
        ("qa_outputs.weight", "task.span.output.weight"),
        ("qa_outputs.bias", "task.span.output.bias"),
    ]],
    ignored: &[
        "embeddings.position_ids",
        "sop_classifier.classifier.weight",
        "sop_classifier.classifier.bias",
    ],
    ..bert::BERT
};

fn config(file: &ConfigFile) -> Result<Config> {
    let config = blocks(file, "albert", 0)?;
    if file.size_or("inner_group_num", 1)? != 1 {
        return Err(file.refuse("inner_group_num", "only 1 is supported"));
    }
    let n_stored_layers = file.size_or("num_hidden_groups", 1)?;
    if n_stored_layers > config.n_layers {
        let reason = format!("there are {} layers", config.n_layers);
        return Err(file.refuse("num_hidden_groups", &reason));
    }
    let activation = file.activation("hidden_act", Activation::GeluTanh)?;
    Ok(Config {
        activation,
        embedding: Embedding {
            size: file.size_or("embedding_size", 128)?,
            projected: InnerProjection::Last,
            ..config.embedding
        },
        task: task(
            file,
            Dense::with(activation).and_norm(),
            Dense::with(Activation::Tanh),
        )?,
        n_stored_layers,
        ..config
    })
}
