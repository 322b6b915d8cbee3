//! DistilBERT (1910.01108): BERT with half of the layers and no segments.

use super::bert::{POST, task};
use super::{Family, standard};
use crate::config::{
    Activation, AttentionConfig, Config, ConfigFile, Dense, Embedding, Head, Mlp, NormConfig, NormKind,
    Positions,
};
use crate::error::Result;

pub(super) const FAMILY: Family = Family {
    model_type: "distilbert",
    known_as: "DistilBERT and its SST-2 classifier",
    config,
    prefixes: &["distilbert."],
    weights: &[&[
        ("embeddings.word_embeddings.weight", "token_embedding.weight"),
        (
            "embeddings.position_embeddings.weight",
            "position_embedding.weight",
        ),
        ("embeddings.LayerNorm.weight", "embedding_norm.weight"),
        ("embeddings.LayerNorm.bias", "embedding_norm.bias"),
        (
            "transformer.layer.*.attention.q_lin.weight",
            "layers.*.attention.query.weight",
        ),
        (
            "transformer.layer.*.attention.q_lin.bias",
            "layers.*.attention.query.bias",
        ),
        (
            "transformer.layer.*.attention.k_lin.weight",
            "layers.*.attention.key.weight",
        ),
        (
            "transformer.layer.*.attention.k_lin.bias",
            "layers.*.attention.key.bias",
        ),
        (
            "transformer.layer.*.attention.v_lin.weight",
            "layers.*.attention.value.weight",
        ),
        (
            "transformer.layer.*.attention.v_lin.bias",
            "layers.*.attention.value.bias",
        ),
        (
            "transformer.layer.*.attention.out_lin.weight",
            "layers.*.attention.output.weight",
        ),
        (
            "transformer.layer.*.attention.out_lin.bias",
            "layers.*.attention.output.bias",
        ),
        (
            "transformer.layer.*.sa_layer_norm.weight",
            "layers.*.attention_norm.weight",
        ),
        (
            "transformer.layer.*.sa_layer_norm.bias",
            "layers.*.attention_norm.bias",
        ),
        ("transformer.layer.*.ffn.lin1.weight", "layers.*.mlp.up.weight"),
        ("transformer.layer.*.ffn.lin1.bias", "layers.*.mlp.up.bias"),
        ("transformer.layer.*.ffn.lin2.weight", "layers.*.mlp.down.weight"),
        ("transformer.layer.*.ffn.lin2.bias", "layers.*.mlp.down.bias"),
        (
            "transformer.layer.*.output_layer_norm.weight",
            "layers.*.mlp_norm.weight",
        ),
        (
            "transformer.layer.*.output_layer_norm.bias",
            "layers.*.mlp_norm.bias",
        ),
        ("vocab_transform.weight", "task.masked.dense.weight"),
        ("vocab_transform.bias", "task.masked.dense.bias"),
        ("vocab_layer_norm.weight", "task.masked.norm.weight"),
        ("vocab_layer_norm.bias", "task.masked.norm.bias"),
        ("vocab_projector.weight", "task.masked.output.weight"),
        ("vocab_projector.bias", "task.masked.output.bias"),
        ("pre_classifier.weight", "task.label.dense.weight"),
        ("pre_classifier.bias", "task.label.dense.bias"),
        ("classifier.weight", "task.label.output.weight"),
        ("classifier.bias", "task.label.output.bias"),
        ("qa_outputs.weight", "task.span.output.weight"),
        ("qa_outputs.bias", "task.span.output.bias"),
    ]],
    ignored: &["embeddings.position_ids"],
    linear_in_out: false,
};

fn config(file: &ConfigFile) -> Result<Config> {
    let (hidden_size, n_layers, n_heads) = (file.size("dim")?, file.size("n_layers")?, file.size("n_heads")?);
    let head_dim = standard::even_head_dim(file, "n_heads", hidden_size, n_heads)?;
    let activation = file.activation("activation", Activation::Gelu)?;
    let norm = NormConfig {
        kind: NormKind::Layer { bias: true },
        epsilon: 1e-12,
    };
    Ok(Config {
        vocab_size: file.size("vocab_size")?,
        context_length: file.size("max_position_embeddings")?,
        intermediate_size: file.size("hidden_dim")?,
        activation,
        embedding: Embedding {
            norm: true,
            ..Embedding::plain(hidden_size)
        },
        // Fixed sines are stored like learned ones.
        positions: Positions::Learned { offset: 0 },
        residual: POST,
        attention: AttentionConfig {
            causal: false,
            ..standard::attention(n_layers, head_dim, true, true)
        },
        mlp: Mlp::Plain { bias: true },
        head: Head {
            bias: true,
            ..Head::new(file.flag_or("tie_word_embeddings", true)?)
        },
        task: task(
            file,
            Dense::with(activation).and_norm(),
            Dense::with(Activation::Relu),
        )?,
        ..standard::sized("distilbert", hidden_size, n_layers, n_heads, head_dim, norm)
    })
}
