//! GPT-J: parallel branches behind one norm, neighbouring dimensions turned, a bias on the head.

use super::{Family, standard};
use crate::config::{Activation, Config, ConfigFile, Head, Mlp, Positions, Residual};
use crate::error::Result;
use crate::rope::{Pairs, Rope, Scaling};

pub(super) const FAMILY: Family = Family {
    model_type: "gptj",
    known_as: "GPT-J 6B",
    config: |file| config(file, "gptj"),
    prefixes: &["transformer."],
    weights: &[WEIGHTS],
    ignored: &[
        "h.*.attn.bias",
        "h.*.attn.masked_bias",
        "h.*.attn.embed_positions",
    ],
    linear_in_out: false,
};

pub(super) const WEIGHTS: &[(&str, &str)] = &[
    ("wte.weight", "token_embedding.weight"),
    ("h.*.ln_1.weight", "layers.*.attention_norm.weight"),
    ("h.*.ln_1.bias", "layers.*.attention_norm.bias"),
    ("h.*.attn.q_proj.weight", "layers.*.attention.query.weight"),
    ("h.*.attn.k_proj.weight", "layers.*.attention.key.weight"),
    ("h.*.attn.v_proj.weight", "layers.*.attention.value.weight"),
    ("h.*.attn.out_proj.weight", "layers.*.attention.output.weight"),
    ("h.*.mlp.fc_in.weight", "layers.*.mlp.up.weight"),
    ("h.*.mlp.fc_in.bias", "layers.*.mlp.up.bias"),
    ("h.*.mlp.fc_out.weight", "layers.*.mlp.down.weight"),
    ("h.*.mlp.fc_out.bias", "layers.*.mlp.down.bias"),
    ("ln_f.weight", "final_norm.weight"),
    ("ln_f.bias", "final_norm.bias"),
    ("lm_head.weight", "head.weight"),
    ("lm_head.bias", "head.bias"),
];

pub(super) fn config(file: &ConfigFile, model_type: &str) -> Result<Config> {
    let (hidden_size, n_layers, n_heads) =
        (file.size("n_embd")?, file.size("n_layer")?, file.size("n_head")?);
    let head_dim = standard::even_head_dim(file, "n_head", hidden_size, n_heads)?;
    let dim = file.size_or("rotary_dim", 64)?;
    if dim % 2 != 0 || dim > head_dim {
        return Err(file.refuse("rotary_dim", &format!("expected an even number up to {head_dim}")));
    }
    let context_length = file.size("n_positions")?;
    let rope = Rope {
        dim,
        start: 0,
        theta: 10_000.0,
        pairs: Pairs::Neighbours,
        scaling: Scaling::Default,
        context_length,
    };
    let norm = standard::layer(file, "layer_norm_epsilon", 1e-5)?;
    Ok(Config {
        vocab_size: file.size("vocab_size")?,
        context_length,
        intermediate_size: file.size_or("n_inner", 4 * hidden_size)?,
        activation: file.activation("activation_function", Activation::GeluTanh)?,
        positions: Positions::Rotary {
            ropes: vec![rope],
            by_layer: vec![Some(0); n_layers],
        },
        residual: Residual::PARALLEL,
        mlp: Mlp::Plain { bias: true },
        head: Head {
            bias: true,
            ..Head::new(file.flag_or("tie_word_embeddings", false)?)
        },
        ..standard::sized(model_type, hidden_size, n_layers, n_heads, head_dim, norm)
    })
}
