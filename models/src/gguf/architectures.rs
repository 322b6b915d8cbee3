//! What llama.cpp writes for each architecture, and which of our families it is: one row each.

use super::header::Header;
use super::tensors::Change;
use crate::error::{Error, Result};
use serde_json::{Map, Value, json};

/// An architecture as files name it.
pub(super) struct Architecture {
    /// `general.architecture`.
    pub(super) name: &'static str,
    /// The family, by the `model_type` of its `config.json`.
    pub(super) model_type: &'static str,
    /// Of (key behind the architecture's name, key in `config.json`): what the family's reader calls them.
    pub(super) keys: &'static [&'static [(&'static str, &'static str)]],
    /// What else `config.json` has to say.
    pub(super) more: fn(&Header, &mut Map<String, Value>) -> Result<()>,
    /// Of (name here, canonical name), both without `.weight` and `.bias`; before those of [`super::tensors::NAMES`].
    pub(super) names: &'static [(&'static str, &'static str)],
    /// What conversion did to tensors, by the last part of their names.
    pub(super) changes: &'static [(&'static str, Change)],
}

/// As Llama's `config.json` has it.
const SIZES: &[(&str, &str)] = &[
    ("block_count", "num_hidden_layers"),
    ("embedding_length", "hidden_size"),
    ("attention.head_count", "num_attention_heads"),
    ("attention.head_count_kv", "num_key_value_heads"),
    ("feed_forward_length", "intermediate_size"),
    ("context_length", "max_position_embeddings"),
    ("attention.key_length", "head_dim"),
    ("rope.freq_base", "rope_theta"),
];
const RMS: &[(&str, &str)] = &[("attention.layer_norm_rms_epsilon", "rms_norm_eps")];
const LAYER_NORM: &[(&str, &str)] = &[("attention.layer_norm_epsilon", "layer_norm_eps")];
const EXPERTS: &[(&str, &str)] = &[("expert_used_count", "num_experts_per_tok")];
const WINDOW: &[(&str, &str)] = &[("attention.sliding_window", "sliding_window")];
const CAPS: &[(&str, &str)] = &[
    ("attn_logit_softcapping", "attn_logit_softcapping"),
    ("final_logit_softcapping", "final_logit_softcapping"),
];

/// Queries and keys turn in neighbours there and in halves here, so their rows were moved.
const TURNED: &[(&str, Change)] = &[("attn_q", Change::TurnedQueries), ("attn_k", Change::TurnedKeys)];
/// The norms' weights count from 0 there, from 1 here.
const FROM_ONE: &[(&str, Change)] = &[
    ("attn_norm", Change::FromOne),
    ("attn_q_norm", Change::FromOne),
    ("attn_k_norm", Change::FromOne),
    ("post_attention_norm", Change::FromOne),
    ("ffn_norm", Change::FromOne),
    ("post_ffw_norm", Change::FromOne),
    ("output_norm", Change::FromOne),
];

const LLAMA: Architecture = Architecture {
    name: "llama",
    model_type: "llama",
    keys: &[SIZES, RMS],
    more: nothing,
    names: &[],
    changes: TURNED,
};

const QWEN2: Architecture = Architecture {
    name: "qwen2",
    model_type: "qwen2",
    changes: &[],
    ..LLAMA
};

pub(super) static ARCHITECTURES: &[Architecture] = &[
    Architecture { more: llama, ..LLAMA },
    Architecture {
        name: "llama",
        model_type: "mixtral",
        keys: &[
            SIZES,
            RMS,
            EXPERTS,
            &[("expert_count", "num_local_experts")],
            WINDOW,
        ],
        ..LLAMA
    },
    QWEN2,
    Architecture {
        name: "qwen3",
        model_type: "qwen3",
        ..QWEN2
    },
    Architecture {
        name: "qwen3moe",
        model_type: "qwen3_moe",
        keys: &[
            SIZES,
            RMS,
            EXPERTS,
            &[
                ("expert_count", "num_experts"),
                ("expert_feed_forward_length", "moe_intermediate_size"),
            ],
        ],
        more: |_, config| set(config, "norm_topk_prob", json!(true)),
        ..QWEN2
    },
    Architecture {
        name: "gemma",
        model_type: "gemma",
        changes: FROM_ONE,
        ..LLAMA
    },
    Architecture {
        name: "gemma2",
        model_type: "gemma2",
        keys: &[SIZES, RMS, WINDOW, CAPS],
        more: |header, config| gemma_scale(header, config, 46),
        changes: FROM_ONE,
        ..LLAMA
    },
    Architecture {
        name: "gemma3",
        model_type: "gemma3_text",
        keys: &[
            SIZES,
            RMS,
            WINDOW,
            CAPS,
            &[("rope.freq_base_swa", "rope_local_base_freq")],
        ],
        more: |header, config| gemma_scale(header, config, 62),
        changes: FROM_ONE,
        ..LLAMA
    },
    Architecture {
        name: "phi2",
        model_type: "phi",
        keys: &[SIZES, LAYER_NORM],
        ..QWEN2
    },
    Architecture {
        name: "phi3",
        model_type: "phi3",
        keys: &[SIZES, RMS, WINDOW],
        names: &[("blk.*.ffn_up", "layers.*.mlp.gate_up")],
        ..QWEN2
    },
    Architecture {
        name: "gpt2",
        model_type: "gpt2",
        keys: &[&[
            ("block_count", "n_layer"),
            ("embedding_length", "n_embd"),
            ("attention.head_count", "n_head"),
            ("feed_forward_length", "n_inner"),
            ("context_length", "n_positions"),
            ("attention.layer_norm_epsilon", "layer_norm_epsilon"),
        ]],
        changes: &[
            ("attn_qkv", Change::Transposed),
            ("attn_output", Change::Transposed),
            ("ffn_up", Change::Transposed),
            ("ffn_down", Change::Transposed),
        ],
        ..LLAMA
    },
    Architecture {
        name: "gptneox",
        model_type: "gpt_neox",
        keys: &[
            SIZES,
            LAYER_NORM,
            &[("use_parallel_residual", "use_parallel_residual")],
        ],
        changes: &[("attn_qkv", Change::GroupedHeads)],
        ..LLAMA
    },
    Architecture {
        name: "falcon",
        model_type: "falcon",
        keys: &[
            SIZES,
            &[
                ("attention.layer_norm_epsilon", "layer_norm_epsilon"),
                ("feed_forward_length", "ffn_hidden_size"),
            ],
        ],
        more: falcon,
        names: &[("blk.*.attn_norm_2", "layers.*.attention_norm")],
        changes: &[("attn_qkv", Change::GroupedHeads)],
    },
    Architecture {
        name: "starcoder2",
        model_type: "starcoder2",
        keys: &[SIZES, &[("attention.layer_norm_epsilon", "norm_epsilon")]],
        ..QWEN2
    },
    Architecture {
        name: "bloom",
        model_type: "bloom",
        keys: &[
            SIZES,
            &[
                ("block_count", "n_layer"),
                ("attention.head_count", "n_head"),
                ("context_length", "seq_length"),
                ("attention.layer_norm_epsilon", "layer_norm_epsilon"),
            ],
        ],
        changes: &[("attn_qkv", Change::GroupedHeads)],
        ..LLAMA
    },
    Architecture {
        name: "stablelm",
        model_type: "stablelm",
        keys: &[SIZES, LAYER_NORM],
        more: stablelm,
        names: &[
            ("blk.*.attn_q_norm", "layers.*.attention.query_norm.*"),
            ("blk.*.attn_k_norm", "layers.*.attention.key_norm.*"),
        ],
        ..QWEN2
    },
    Architecture {
        name: "olmo2",
        model_type: "olmo2",
        ..QWEN2
    },
    Architecture {
        name: "granite",
        model_type: "granite",
        keys: &[
            SIZES,
            RMS,
            &[
                ("embedding_scale", "embedding_multiplier"),
                ("residual_scale", "residual_multiplier"),
                ("attention.scale", "attention_multiplier"),
                ("logit_scale", "logits_scaling"),
            ],
        ],
        more: llama,
        ..LLAMA
    },
    Architecture {
        name: "smollm3",
        model_type: "smollm3",
        ..LLAMA
    },
    Architecture {
        name: "t5",
        model_type: "t5",
        keys: &[&[
            ("block_count", "num_layers"),
            ("decoder_block_count", "num_decoder_layers"),
            ("embedding_length", "d_model"),
            ("feed_forward_length", "d_ff"),
            ("attention.head_count", "num_heads"),
            ("attention.key_length", "d_kv"),
            ("context_length", "n_positions"),
            ("attention.layer_norm_rms_epsilon", "layer_norm_epsilon"),
            (
                "attention.relative_buckets_count",
                "relative_attention_num_buckets",
            ),
        ]],
        more: t5,
        names: T5_NAMES,
        ..QWEN2
    },
    Architecture {
        name: "command-r",
        model_type: "cohere",
        keys: &[SIZES, LAYER_NORM, &[("logit_scale", "logit_scale")]],
        more: |header, config| {
            set(
                config,
                "use_qk_norm",
                json!(header.has_tensor("blk.0.attn_q_norm.weight")),
            )
        },
        ..QWEN2
    },
];

const T5_NAMES: &[(&str, &str)] = &[
    ("enc.blk.0.attn_rel_b", "encoder.relative_bias"),
    ("enc.blk.*.attn_norm", "encoder.layers.*.attention_norm"),
    ("enc.blk.*.attn_q", "encoder.layers.*.attention.query"),
    ("enc.blk.*.attn_k", "encoder.layers.*.attention.key"),
    ("enc.blk.*.attn_v", "encoder.layers.*.attention.value"),
    ("enc.blk.*.attn_o", "encoder.layers.*.attention.output"),
    ("enc.blk.*.ffn_norm", "encoder.layers.*.mlp_norm"),
    ("enc.blk.*.ffn_gate", "encoder.layers.*.mlp.gate"),
    ("enc.blk.*.ffn_up", "encoder.layers.*.mlp.up"),
    ("enc.blk.*.ffn_down", "encoder.layers.*.mlp.down"),
    ("enc.output_norm", "encoder.final_norm"),
    ("dec.blk.0.attn_rel_b", "relative_bias"),
    ("dec.blk.*.attn_norm", "layers.*.attention_norm"),
    ("dec.blk.*.attn_q", "layers.*.attention.query"),
    ("dec.blk.*.attn_k", "layers.*.attention.key"),
    ("dec.blk.*.attn_v", "layers.*.attention.value"),
    ("dec.blk.*.attn_o", "layers.*.attention.output"),
    ("dec.blk.*.cross_attn_norm", "layers.*.cross_norm"),
    ("dec.blk.*.cross_attn_q", "layers.*.cross.query"),
    ("dec.blk.*.cross_attn_k", "layers.*.cross.key"),
    ("dec.blk.*.cross_attn_v", "layers.*.cross.value"),
    ("dec.blk.*.cross_attn_o", "layers.*.cross.output"),
    ("dec.blk.*.ffn_norm", "layers.*.mlp_norm"),
    ("dec.blk.*.ffn_gate", "layers.*.mlp.gate"),
    ("dec.blk.*.ffn_up", "layers.*.mlp.up"),
    ("dec.blk.*.ffn_down", "layers.*.mlp.down"),
    ("dec.output_norm", "final_norm"),
];

/// The row of a file.
pub(super) fn find(header: &Header) -> Result<&'static Architecture> {
    let name = header.architecture;
    let has_experts = header.size("expert_count")?.is_some_and(|n| n > 0);
    let rows = || ARCHITECTURES.iter().filter(|row| row.name == name);
    let row = rows().find(|row| (row.model_type == "mixtral") == (has_experts && name == "llama"));
    row.ok_or_else(|| {
        let mut names: Vec<&str> = ARCHITECTURES.iter().map(|row| row.name).collect();
        names.dedup();
        Error::UnknownArchitecture {
            file: header.file.to_owned(),
            architecture: name.chars().take(80).collect(),
            supported: names.join(", "),
        }
    })
}

fn nothing(_: &Header, _: &mut Map<String, Value>) -> Result<()> {
    Ok(())
}

fn set(config: &mut Map<String, Value>, key: &str, value: Value) -> Result<()> {
    config.insert(key.to_owned(), value);
    Ok(())
}

/// Biases are there or not, and the file's tensors say it.
fn llama(header: &Header, config: &mut Map<String, Value>) -> Result<()> {
    set(
        config,
        "attention_bias",
        json!(header.has_tensor("blk.0.attn_q.bias")),
    )?;
    set(config, "mlp_bias", json!(header.has_tensor("blk.0.ffn_up.bias")))
}

/// Scores are divided by the root of the head's size, in the largest model (known by its layers) by that of another.
fn gemma_scale(header: &Header, config: &mut Map<String, Value>, largest: usize) -> Result<()> {
    let scale = match header.needed_size("block_count")? == largest {
        true => header.needed_size("embedding_length")? / header.needed_size("attention.head_count")?,
        false => header.head_dim()?,
    };
    set(config, "query_pre_attn_scalar", json!(scale))
}

/// The three kinds of Falcon differ in their norms and in how many heads of keys they have.
fn falcon(header: &Header, config: &mut Map<String, Value>) -> Result<()> {
    let n_heads = header.needed_size("attention.head_count")?;
    let n_kv_heads = header.size("attention.head_count_kv")?.unwrap_or(1);
    let two_norms = header.has_tensor("blk.0.attn_norm_2.weight");
    set(config, "num_kv_heads", json!(n_kv_heads))?;
    set(config, "multi_query", json!(n_kv_heads == 1))?;
    let is_new = two_norms || (1 < n_kv_heads && n_kv_heads < n_heads);
    set(config, "new_decoder_architecture", json!(is_new))?;
    set(
        config,
        "num_ln_in_parallel_attn",
        json!(if two_norms { 2 } else { 1 }),
    )?;
    set(config, "bias", json!(header.has_tensor("blk.0.attn_qkv.bias")))
}

/// Whether the MLPs are gated, the tensors say; the gate's function is that of every T5 that has one.
fn t5(header: &Header, config: &mut Map<String, Value>) -> Result<()> {
    let is_gated = header.has_tensor("enc.blk.0.ffn_gate.weight");
    set(
        config,
        "feed_forward_proj",
        json!(if is_gated { "gated-gelu" } else { "relu" }),
    )
}

fn stablelm(header: &Header, config: &mut Map<String, Value>) -> Result<()> {
    set(
        config,
        "use_qkv_bias",
        json!(header.has_tensor("blk.0.attn_q.bias")),
    )?;
    set(
        config,
        "qk_layernorm",
        json!(header.has_tensor("blk.0.attn_q_norm.weight")),
    )?;
    set(
        config,
        "use_parallel_residual",
        json!(!header.has_tensor("blk.0.ffn_norm.weight")),
    )
}
