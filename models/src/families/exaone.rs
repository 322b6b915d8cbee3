//! EXAONE 3 (2408.03541): Llama by GPT-2's names. EXAONE 4 (2507.11407): norms on each branch's output and on each head's
//! q and k; where some layers have windows, only these turn.

use super::{Family, llama, olmo2, standard};
use crate::config::{AttentionConfig, Config, ConfigFile, Mlp, Positions, PreNorm, QkNorm, Residual};
use crate::error::Result;
use crate::rope::Defaults;

pub(super) const EXAONE: Family = Family {
    model_type: "exaone",
    known_as: "EXAONE 3.0, 3.5 and Deep",
    config: exaone,
    prefixes: &["transformer.", "model."],
    weights: &[
        &[
            ("wte.weight", "token_embedding.weight"),
            ("h.*.ln_1.weight", "layers.*.attention_norm.weight"),
            (
                "h.*.attn.attention.q_proj.weight",
                "layers.*.attention.query.weight",
            ),
            (
                "h.*.attn.attention.k_proj.weight",
                "layers.*.attention.key.weight",
            ),
            (
                "h.*.attn.attention.v_proj.weight",
                "layers.*.attention.value.weight",
            ),
            (
                "h.*.attn.attention.out_proj.weight",
                "layers.*.attention.output.weight",
            ),
            ("h.*.ln_2.weight", "layers.*.mlp_norm.weight"),
            ("h.*.mlp.c_fc_0.weight", "layers.*.mlp.gate.weight"),
            ("h.*.mlp.c_fc_1.weight", "layers.*.mlp.up.weight"),
            ("h.*.mlp.c_proj.weight", "layers.*.mlp.down.weight"),
            ("ln_f.weight", "final_norm.weight"),
        ],
        standard::WEIGHTS,
    ],
    ignored: &[
        "h.*.attn.attention.rotary.inv_freq",
        "layers.*.self_attn.rotary_emb.inv_freq",
        "rotary.inv_freq",
    ],
    ..llama::LLAMA
};

pub(super) const EXAONE4: Family = Family {
    model_type: "exaone4",
    known_as: "EXAONE 4.0",
    config: exaone4,
    ..olmo2::FAMILY
};

fn exaone(file: &ConfigFile) -> Result<Config> {
    // LG's own files have names that transformers has no more.
    let file = &file.by_new_names(&[
        ("num_layers", "num_hidden_layers"),
        ("layer_norm_epsilon", "rms_norm_eps"),
        ("activation_function", "hidden_act"),
    ]);
    let defaults = Defaults {
        theta: 500_000.0,
        ..Defaults::default()
    };
    let norm = standard::rms(file, "rms_norm_eps", 1e-5)?;
    let config = standard::rotary(file, "exaone", norm, defaults)?;
    let bias = file.flag_or("attention_bias", false)?;
    Ok(Config {
        attention: standard::attention(config.n_layers, config.head_dim, bias, bias),
        mlp: Mlp::Gated {
            bias: file.flag_or("mlp_bias", false)?,
            joined: false,
        },
        ..config
    })
}

fn exaone4(file: &ConfigFile) -> Result<Config> {
    let norm = standard::rms(file, "rms_norm_eps", 1e-5)?;
    let config = standard::rotary(file, "exaone4", norm, Defaults::default())?;
    let n_layers = config.n_layers;
    let has_windows = !file.has("sliding_window") || file.is_set("sliding_window");
    let is_sliding = pattern(file, n_layers)?;
    let sliding = standard::sliding_layers(file, n_layers, &is_sliding)?;
    let by_layer = |sliding: bool| (sliding || !has_windows).then_some(0);
    let positions = match config.positions {
        Positions::Rotary { ropes, .. } => Positions::Rotary {
            ropes,
            by_layer: sliding.into_iter().map(by_layer).collect(),
        },
        other => other,
    };
    Ok(Config {
        positions,
        residual: Residual {
            before: PreNorm::None,
            after_branch: true,
            ..Residual::PRE
        },
        attention: AttentionConfig {
            windows: standard::windows(file, n_layers, Some(4096), is_sliding)?,
            qk_norm: QkNorm::Head,
            ..config.attention
        },
        ..config
    })
}

/// Which layers have a window where the file does not list them: all but every so manieth, or by letters such as LLLG.
fn pattern(file: &ConfigFile, n_layers: usize) -> Result<impl Fn(usize) -> bool + use<>> {
    let key = "sliding_window_pattern";
    let letters = match file.is_text(key) {
        true => file.text(key)?.as_bytes().to_vec(),
        false => Vec::new(),
    };
    if !letters.iter().all(|letter| b"LG".contains(letter)) {
        return Err(file.refuse(key, "expected a number, or L and G"));
    }
    let step = match letters.is_empty() {
        true => file.count_or(key, 4)?,
        false => 0,
    };
    Ok(move |layer: usize| match letters.len() {
        0 => step > 0 && !(layer + 1).is_multiple_of(step),
        n => letters[layer % n] == b'L' && layer + 1 < n_layers,
    })
}
