//! Nemotron-H (2504.03624) and Nemotron 3 (2512.20856): selective state spaces, attention without positions, MLPs, and experts
//! without gates, each alone in a layer.

use serde_json::Value;

use super::grouped::Mixture;
use super::{Family, mamba, standard};
use crate::config::{
    Activation, Config, ConfigFile, Experts, GroupRating, Head, Mamba, MambaKind, Mixer, Mlp, Positions,
    SharedExpert,
};
use crate::error::Result;

pub(super) const FAMILY: Family = Family {
    model_type: "nemotron_h",
    known_as: "Nemotron-H 4B to 56B, Nemotron Nano 2, Nemotron 3",
    config,
    prefixes: &["backbone.", "model."],
    weights: &[
        &[
            ("layers.*.mixer.q_proj.weight", "layers.*.attention.query.weight"),
            ("layers.*.mixer.k_proj.weight", "layers.*.attention.key.weight"),
            ("layers.*.mixer.v_proj.weight", "layers.*.attention.value.weight"),
            ("layers.*.mixer.o_proj.weight", "layers.*.attention.output.weight"),
            ("layers.*.mixer.up_proj.weight", "layers.*.mlp.up.weight"),
            ("layers.*.mixer.up_proj.bias", "layers.*.mlp.up.bias"),
            ("layers.*.mixer.down_proj.weight", "layers.*.mlp.down.weight"),
            ("layers.*.mixer.down_proj.bias", "layers.*.mlp.down.bias"),
        ],
        EXPERTS,
        mamba::STATE_SPACES,
        mamba::AROUND,
    ],
    ignored: &["mtp."],
    linear_in_out: false,
};

const EXPERTS: &[(&str, &str)] = &[
    ("layers.*.mixer.gate.weight", "layers.*.mlp.router.weight"),
    (
        "layers.*.mixer.gate.e_score_correction_bias",
        "layers.*.mlp.choice_bias",
    ),
    (
        "layers.*.mixer.experts.*.up_proj.weight",
        "layers.*.mlp.experts.*.up.weight",
    ),
    (
        "layers.*.mixer.experts.*.down_proj.weight",
        "layers.*.mlp.experts.*.down.weight",
    ),
    ("layers.*.mixer.experts.up_proj", "layers.*.mlp.experts.up.weight"),
    (
        "layers.*.mixer.experts.down_proj",
        "layers.*.mlp.experts.down.weight",
    ),
    (
        "layers.*.mixer.shared_experts.up_proj.weight",
        "layers.*.mlp.shared.up.weight",
    ),
    (
        "layers.*.mixer.shared_experts.down_proj.weight",
        "layers.*.mlp.shared.down.weight",
    ),
    (
        "layers.*.mixer.fc1_latent_proj.weight",
        "layers.*.mlp.latent_in.weight",
    ),
    (
        "layers.*.mixer.fc2_latent_proj.weight",
        "layers.*.mlp.latent_out.weight",
    ),
];

/// What a layer is.
#[derive(Clone, Copy, PartialEq)]
enum Layer {
    StateSpace,
    Attention,
    Mlp,
    Experts,
}

fn config(file: &ConfigFile) -> Result<Config> {
    let layers = layers(file)?;
    let n_layers = layers.len();
    let n_heads = file.size_or("num_attention_heads", 32)?;
    let n_kv_heads = file.size_or("num_key_value_heads", 8)?;
    if !n_heads.is_multiple_of(n_kv_heads) {
        let reason = format!("num_attention_heads = {n_heads} is not a multiple of it");
        return Err(file.refuse("num_key_value_heads", &reason));
    }
    let (hidden, head_dim) = (file.size("hidden_size")?, file.size_or("head_dim", 128)?);
    let norm = standard::rms(file, "layer_norm_epsilon", 1e-5)?;
    let space = Mixer::Mamba(state_space(file)?);
    let mixer = |layer: &Layer| match layer {
        Layer::StateSpace => space,
        Layer::Attention => Mixer::Attention,
        Layer::Mlp | Layer::Experts => Mixer::Nothing,
    };
    let thinks = |layer: &Layer| matches!(layer, Layer::Mlp | Layer::Experts);
    let config = Config {
        vocab_size: file.size("vocab_size")?,
        context_length: file.size_or("max_position_embeddings", 4096)?,
        n_kv_heads,
        intermediate_size: file.size_or("intermediate_size", 21_504)?,
        activation: file.activation("mlp_hidden_act", Activation::SquaredRelu)?,
        positions: Positions::Rotary {
            ropes: vec![],
            by_layer: vec![None; n_layers],
        },
        mixers: layers.iter().map(mixer).collect(),
        mlps: layers.iter().map(thinks).collect(),
        mlp: Mlp::Plain {
            bias: file.flag_or("mlp_bias", false)?,
        },
        head: Head::new(file.flag_or("tie_word_embeddings", false)?),
        ..standard::sized("nemotron_h", hidden, n_layers, n_heads, head_dim, norm)
    };
    match layers.contains(&Layer::Experts) {
        true => with_experts(file, config, &layers),
        false => Ok(config),
    }
}

fn with_experts(file: &ConfigFile, config: Config, layers: &[Layer]) -> Result<Config> {
    if file.flag_or("mlp_bias", false)? {
        return Err(file.refuse("mlp_bias", "beside experts, MLPs without biases are read alone"));
    }
    let usual = Mixture {
        n_experts: 8,
        n_chosen: 2,
        n_dense: 0,
        n_shared: 1,
        size: 7688,
        groups: Some((GroupRating::BestTwo, [1, 1])),
    };
    let config = usual.by_sigmoids(file, config, 1.0)?;
    let Mlp::Experts(experts) = config.mlp else {
        unreachable!("a mixture")
    };
    let experts = Experts {
        gated: false,
        latent: file.size_if_any("moe_latent_size")?,
        shared: Some(SharedExpert {
            size: file.size_or("moe_shared_expert_intermediate_size", 7688)?,
            gated: false,
        }),
        layers: layers.iter().map(|layer| *layer == Layer::Experts).collect(),
        ..experts
    };
    Ok(Config {
        mlp: Mlp::Experts(experts),
        ..config
    })
}

fn state_space(file: &ConfigFile) -> Result<Mamba> {
    let n_heads = file.size_or("mamba_num_heads", 128)?;
    let n_groups = mamba::groups(file, n_heads)?;
    let kind = MambaKind::ByHead {
        n_heads,
        head_dim: file.size_or("mamba_head_dim", 64)?,
        n_groups,
        n_norm_groups: n_groups,
    };
    let least = file.number_or("time_step_min", 0.001)?;
    if least.abs() > mamba::LARGEST_STEP {
        return Err(file.refuse(
            "time_step_min",
            "expected a number up to 65504, float16's largest",
        ));
    }
    Ok(Mamba {
        step_limits: (least, f64::INFINITY),
        ..mamba::space(file, "ssm_state_size", 128, kind, "use_bias")?
    })
}

/// By a list, or by a text with a sign for each layer: M, *, - or E.
fn layers(file: &ConfigFile) -> Result<Vec<Layer>> {
    if file.is_set("hybrid_override_pattern") && !file.is_set("layers_block_type") {
        let key = "hybrid_override_pattern";
        let layer = |sign: char| match sign {
            'M' => Ok(Layer::StateSpace),
            '*' => Ok(Layer::Attention),
            '-' => Ok(Layer::Mlp),
            'E' => Ok(Layer::Experts),
            _ => Err(file.refuse(key, "expected M, *, - or E for each layer")),
        };
        let layers = file.text(key)?.chars().take(MOST + 1).map(layer);
        return few(file, key, layers.collect::<Result<_>>()?);
    }
    let key = match file.is_set("layers_block_type") {
        true => "layers_block_type",
        false => "layer_types",
    };
    let Some(types) = file.list(key)? else {
        return Err(file.refuse("layers_block_type", "expected what each layer is"));
    };
    let layer = |value: &Value| match value.as_str() {
        Some("linear_attention" | "mamba") => Ok(Layer::StateSpace),
        Some("full_attention" | "attention") => Ok(Layer::Attention),
        Some("mlp") => Ok(Layer::Mlp),
        Some("moe") => Ok(Layer::Experts),
        _ => Err(file.refuse(
            key,
            "expected linear_attention, full_attention, mlp or moe for each layer",
        )),
    };
    few(
        file,
        key,
        types.iter().take(MOST + 1).map(layer).collect::<Result<_>>()?,
    )
}

/// Layers beyond these are a damaged file.
const MOST: usize = 4_096;

fn few(file: &ConfigFile, key: &str, layers: Vec<Layer>) -> Result<Vec<Layer>> {
    match (1..=MOST).contains(&layers.len()) {
        true => Ok(layers),
        false => Err(file.refuse(key, &format!("expected 1 to {MOST} layers"))),
    }
}
