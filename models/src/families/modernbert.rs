//! ModernBERT (2412.13663): rotary positions, windows, gated MLPs, norms without biases.

use super::bert::task;
use super::{Family, standard};
use crate::config::{
    Activation, AttentionConfig, Config, ConfigFile, Dense, Embedding, Head, Label, LabelOf, Mlp, NormKind,
    Positions, Projection, Residual, Task,
};
use crate::error::Result;
use crate::rope::{Defaults, Rope};

pub(super) const FAMILY: Family = Family {
    model_type: "modernbert",
    known_as: "ModernBERT",
    config,
    prefixes: &["model."],
    weights: &[&[
        ("embeddings.tok_embeddings.weight", "token_embedding.weight"),
        ("embeddings.norm.weight", "embedding_norm.weight"),
        ("embeddings.norm.bias", "embedding_norm.bias"),
        ("layers.*.attn_norm.weight", "layers.*.attention_norm.weight"),
        ("layers.*.attn_norm.bias", "layers.*.attention_norm.bias"),
        ("layers.*.attn.Wqkv.weight", "layers.*.attention.qkv.weight"),
        ("layers.*.attn.Wqkv.bias", "layers.*.attention.qkv.bias"),
        ("layers.*.attn.Wo.weight", "layers.*.attention.output.weight"),
        ("layers.*.attn.Wo.bias", "layers.*.attention.output.bias"),
        ("layers.*.mlp_norm.weight", "layers.*.mlp_norm.weight"),
        ("layers.*.mlp_norm.bias", "layers.*.mlp_norm.bias"),
        ("layers.*.mlp.Wi.weight", "layers.*.mlp.gate_up.weight"),
        ("layers.*.mlp.Wi.bias", "layers.*.mlp.gate_up.bias"),
        ("layers.*.mlp.Wo.weight", "layers.*.mlp.down.weight"),
        ("layers.*.mlp.Wo.bias", "layers.*.mlp.down.bias"),
        ("final_norm.weight", "final_norm.weight"),
        ("final_norm.bias", "final_norm.bias"),
        ("head.dense.weight", "task.masked.dense.weight"),
        ("head.dense.bias", "task.masked.dense.bias"),
        ("head.norm.weight", "task.masked.norm.weight"),
        ("head.norm.bias", "task.masked.norm.bias"),
        ("decoder.weight", "task.masked.output.weight"),
        ("decoder.bias", "task.masked.output.bias"),
        ("classifier.weight", "task.label.output.weight"),
        ("classifier.bias", "task.label.output.bias"),
    ]],
    ignored: &[],
    linear_in_out: false,
};

fn config(file: &ConfigFile) -> Result<Config> {
    let kind = NormKind::Layer {
        bias: file.flag_or("norm_bias", false)?,
    };
    let norm = standard::norm(file, kind, "norm_eps", 1e-5)?;
    let config = standard::rotary(file, "modernbert", norm, Defaults::default())?;
    let every = file.size_or("global_attn_every_n_layers", 3)?;
    let sliding = standard::sliding_layers(file, config.n_layers, |layer| layer % every != 0)?;
    let half = file.size_or("local_attention", 128)? / 2;
    let bias = file.flag_or("attention_bias", false)?;
    Ok(Config {
        activation: file.activation("hidden_activation", Activation::Gelu)?,
        embedding: Embedding {
            norm: true,
            ..config.embedding
        },
        positions: Positions::Rotary {
            ropes: ropes(file, config.head_dim)?,
            by_layer: sliding
                .iter()
                .map(|&sliding| Some(usize::from(sliding)))
                .collect(),
        },
        residual: Residual {
            bare_start: true,
            ..Residual::PRE
        },
        attention: AttentionConfig {
            causal: false,
            windows: sliding
                .iter()
                .map(|&sliding| sliding.then_some(half + 1))
                .collect(),
            projection: Projection::Joined,
            ..standard::attention(config.n_layers, config.head_dim, bias, bias)
        },
        mlp: Mlp::Gated {
            bias: file.flag_or("mlp_bias", false)?,
            joined: true,
        },
        head: Head {
            bias: file.flag_or("decoder_bias", true)?,
            ..Head::new(file.flag_or("tie_word_embeddings", true)?)
        },
        task: head(file)?,
        ..config
    })
}

/// Turns of the layers that see everything, and of those with a window.
fn ropes(file: &ConfigFile, head_dim: usize) -> Result<Vec<Rope>> {
    let theta = |key: &str, default: f64| -> Result<Defaults> {
        Ok(Defaults {
            theta: file.positive_or(key, default)?,
            ..Defaults::default()
        })
    };
    let (global, local) = (
        theta("global_rope_theta", 160_000.0)?,
        theta("local_rope_theta", 10_000.0)?,
    );
    let is_nested = file.section("rope_parameters")?.is_some();
    let section = |name| is_nested.then_some(name);
    Ok(vec![
        Rope::read(file, section("full_attention"), head_dim, global)?,
        Rope::read(file, section("sliding_attention"), head_dim, local)?,
    ])
}

fn head(file: &ConfigFile) -> Result<Task> {
    let dense = Dense {
        activation: file.activation("classifier_activation", Activation::Gelu)?,
        bias: file.flag_or("classifier_bias", false)?,
        norm: true,
    };
    let is_mean = file.text_or("classifier_pooling", "cls")? == "mean";
    Ok(match task(file, dense, dense)? {
        Task::Label(label) => Task::Label(Label {
            of: match label.of {
                LabelOf::First if is_mean => LabelOf::Mean,
                of => of,
            },
            // One layer serves all tasks, and one projection all labels.
            dense: Some(("task.masked", dense)),
            output: "task.label.output",
            ..label
        }),
        other => other,
    })
}
