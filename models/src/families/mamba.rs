//! Mamba (2312.00752), Mamba 2 (2405.21060) and Falcon Mamba (2410.05355): selective state spaces and nothing else.

use super::{Family, standard};
use crate::config::{Config, ConfigFile, Head, Mamba, MambaKind, Mixer, Positions};
use crate::error::Result;

pub(super) const MAMBA: Family = Family {
    model_type: "mamba",
    known_as: "Mamba 130M to 2.8B, as the folders of state-spaces with -hf have it",
    config: |file| by_channel(file, "mamba"),
    prefixes: &["backbone."],
    weights: &[STATE_SPACES, AROUND],
    ignored: &[],
    linear_in_out: false,
};

pub(super) const FALCON_MAMBA: Family = Family {
    model_type: "falcon_mamba",
    known_as: "Falcon Mamba 7B",
    config: |file| by_channel(file, "falcon_mamba"),
    ..MAMBA
};

pub(super) const MAMBA2: Family = Family {
    model_type: "mamba2",
    known_as: "Mamba 2, Mamba-Codestral 7B",
    config: mamba2,
    ..MAMBA
};

pub(super) const STATE_SPACES: &[(&str, &str)] = &[
    ("layers.*.mixer.in_proj.weight", "layers.*.mamba.inputs.weight"),
    ("layers.*.mixer.in_proj.bias", "layers.*.mamba.inputs.bias"),
    ("layers.*.mixer.conv1d.weight", "layers.*.mamba.kernel.weight"),
    ("layers.*.mixer.conv1d.bias", "layers.*.mamba.kernel.bias"),
    ("layers.*.mixer.x_proj.weight", "layers.*.mamba.selection.weight"),
    ("layers.*.mixer.dt_proj.weight", "layers.*.mamba.step.weight"),
    ("layers.*.mixer.dt_proj.bias", "layers.*.mamba.step.bias"),
    ("layers.*.mixer.dt_bias", "layers.*.mamba.step_bias"),
    ("layers.*.mixer.A_log", "layers.*.mamba.decay"),
    ("layers.*.mixer.D", "layers.*.mamba.skip"),
    ("layers.*.mixer.norm.weight", "layers.*.mamba.norm.weight"),
    ("layers.*.mixer.out_proj.weight", "layers.*.mamba.output.weight"),
    ("layers.*.mixer.out_proj.bias", "layers.*.mamba.output.bias"),
];

/// What stands around layers of one branch.
pub(super) const AROUND: &[(&str, &str)] = &[
    ("embedding.weight", "token_embedding.weight"),
    ("embeddings.weight", "token_embedding.weight"),
    ("layers.*.norm.weight", "layers.*.norm.weight"),
    ("norm_f.weight", "final_norm.weight"),
    ("lm_head.weight", "head.weight"),
];

/// What both kinds have in common.
fn config(file: &ConfigFile, model_type: &str, tied: bool, mamba: Mamba) -> Result<Config> {
    let (hidden_size, n_layers) = (file.size("hidden_size")?, file.size("num_hidden_layers")?);
    let norm = standard::rms(file, "layer_norm_epsilon", 1e-5)?;
    Ok(Config {
        vocab_size: file.size("vocab_size")?,
        context_length: file.size_or("max_position_embeddings", 2048)?,
        intermediate_size: 0,
        positions: Positions::Rotary {
            ropes: vec![],
            by_layer: vec![None; n_layers],
        },
        mixers: vec![Mixer::Mamba(mamba); n_layers],
        mlps: vec![false; n_layers],
        head: Head::new(file.flag_or("tie_word_embeddings", tied)?),
        ..standard::sized(model_type, hidden_size, n_layers, 1, hidden_size, norm)
    })
}

fn by_channel(file: &ConfigFile, model_type: &str) -> Result<Config> {
    let hidden = file.size("hidden_size")?;
    let n_channels = match file.is_set("intermediate_size") {
        true => file.size("intermediate_size")?,
        false => file.size_or("expand", 2)?.saturating_mul(hidden),
    };
    let rank = match file.is_text("time_step_rank") || !file.is_set("time_step_rank") {
        true => hidden.div_ceil(16),
        false => file.size("time_step_rank")?,
    };
    let norm = match model_type {
        "falcon_mamba" => Some(file.positive_or("mixer_rms_eps", 1e-6)?),
        _ => None,
    };
    let kind = MambaKind::ByChannel {
        n_channels,
        rank,
        norm,
    };
    config(
        file,
        model_type,
        true,
        space(file, "state_size", 16, kind, "use_bias")?,
    )
}

fn mamba2(file: &ConfigFile) -> Result<Config> {
    let (n_heads, head_dim) = (file.size_or("num_heads", 128)?, file.size_or("head_dim", 64)?);
    let inner = file
        .size_or("expand", 2)?
        .saturating_mul(file.size("hidden_size")?);
    if n_heads.saturating_mul(head_dim) != inner {
        let reason = format!("times head_dim = {head_dim} it is not expand times hidden_size, {inner}");
        return Err(file.refuse("num_heads", &reason));
    }
    let kind = MambaKind::ByHead {
        n_heads,
        head_dim,
        n_groups: groups(file, n_heads)?,
        n_norm_groups: 1,
    };
    let mamba = Mamba {
        step_limits: limits(file)?,
        ..space(file, "state_size", 128, kind, "use_bias")?
    };
    config(file, "mamba2", false, mamba)
}

/// Groups of heads that share B and C.
pub(super) fn groups(file: &ConfigFile, n_heads: usize) -> Result<usize> {
    let n_groups = file.size_or("n_groups", 8)?;
    match n_heads.is_multiple_of(n_groups) {
        true => Ok(n_groups),
        false => Err(file.refuse("n_groups", &format!("{n_heads} heads are no multiple of it"))),
    }
}

/// What a step is at least and at most.
fn limits(file: &ConfigFile) -> Result<(f64, f64)> {
    if !file.is_set("time_step_limit") {
        return Ok((0.0, f64::INFINITY));
    }
    let is_limit = |limit: f64| limit.is_infinite() || limit.abs() <= LARGEST_STEP;
    match file.numbers("time_step_limit")?[..] {
        [least, most] if least <= most && is_limit(least) && is_limit(most) => Ok((least, most)),
        _ => Err(file.refuse("time_step_limit", "expected the least step and the largest")),
    }
}

/// Limits of steps have to be numbers in every type: float16's largest.
pub(super) const LARGEST_STEP: f64 = 65_504.0;

pub(super) fn space(
    file: &ConfigFile,
    state: &str,
    usual: usize,
    kind: MambaKind,
    bias: &str,
) -> Result<Mamba> {
    Ok(Mamba {
        kind,
        state: file.size_or(state, usual)?,
        width: standard::kernel_width(file, "conv_kernel", 4)?,
        kernel_bias: file.flag_or("use_conv_bias", true)?,
        bias: file.flag_or(bias, false)?,
        step_limits: (0.0, f64::INFINITY),
    })
}
