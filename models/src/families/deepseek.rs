//! DeepSeek V2 (2405.04434) and V3 (2412.19437): attention by way of short vectors, of whose keys the last part alone turns,
//! and mixtures whose experts are chosen by groups.

use super::{Family, llama, qwen, standard};
use crate::config::{
    AttentionConfig, Config, ConfigFile, ExpertGroups, Experts, GroupRating, Head, Latent, Mlp, Positions,
    Projection, Rating, SharedExpert,
};
use crate::error::Result;
use crate::rope::{Defaults, Pairs, Rope, yarn_scale};

pub(super) const V2: Family = Family {
    model_type: "deepseek_v2",
    known_as: "DeepSeek V2 and V2.5, V2-Lite, Coder V2",
    config: v2,
    weights: &[WEIGHTS, qwen::EXPERTS, standard::WEIGHTS],
    ..llama::LLAMA
};

pub(super) const V3: Family = Family {
    model_type: "deepseek_v3",
    known_as: "DeepSeek V3 and R1, Moonlight 16B-A3B",
    config: v3,
    // What guesses several tokens at once is stored as a layer behind V3's last.
    ignored: &["layers.*.self_attn.rotary_emb.inv_freq", "layers.61."],
    ..V2
};

const WEIGHTS: &[(&str, &str)] = &[
    (
        "layers.*.self_attn.q_a_proj.weight",
        "layers.*.attention.query_down.weight",
    ),
    (
        "layers.*.self_attn.q_a_proj.bias",
        "layers.*.attention.query_down.bias",
    ),
    (
        "layers.*.self_attn.q_a_layernorm.weight",
        "layers.*.attention.query_down_norm.weight",
    ),
    (
        "layers.*.self_attn.q_b_proj.weight",
        "layers.*.attention.query.weight",
    ),
    (
        "layers.*.self_attn.kv_a_proj_with_mqa.weight",
        "layers.*.attention.down.weight",
    ),
    (
        "layers.*.self_attn.kv_a_proj_with_mqa.bias",
        "layers.*.attention.down.bias",
    ),
    (
        "layers.*.self_attn.kv_a_layernorm.weight",
        "layers.*.attention.down_norm.weight",
    ),
    (
        "layers.*.self_attn.kv_b_proj.weight",
        "layers.*.attention.up.weight",
    ),
    (
        "layers.*.mlp.gate.e_score_correction_bias",
        "layers.*.mlp.choice_bias",
    ),
    (
        "layers.*.mlp.shared_experts.gate_proj.weight",
        "layers.*.mlp.shared.gate.weight",
    ),
    (
        "layers.*.mlp.shared_experts.up_proj.weight",
        "layers.*.mlp.shared.up.weight",
    ),
    (
        "layers.*.mlp.shared_experts.down_proj.weight",
        "layers.*.mlp.shared.down.weight",
    ),
];

fn v2(file: &ConfigFile) -> Result<Config> {
    if file.flag_or("mlp_bias", false)? {
        return Err(file.refuse("mlp_bias", "biases are not known in mixtures: expected false"));
    }
    let groups = match file.text_or("topk_method", "greedy")? {
        "greedy" => None,
        "group_limited_greedy" => Some(GroupRating::Best),
        _ => return Err(file.refuse("topk_method", "expected greedy or group_limited_greedy")),
    };
    let mixture = Mixture {
        usual: [64, 6, 0, 2],
        size: 1407,
        groups,
    };
    let (experts, config) = mixture.read(file, config(file, "deepseek_v2", Pairs::Neighbours)?)?;
    Ok(Config {
        mlp: Mlp::Experts(Experts {
            normalised: false,
            scale: file.positive_or("routed_scaling_factor", 1.0)?,
            ..experts
        }),
        ..config
    })
}

fn v3(file: &ConfigFile) -> Result<Config> {
    let pairs = match file.flag_or("rope_interleave", true)? {
        true => Pairs::Neighbours,
        false => Pairs::Halves,
    };
    let mixture = Mixture {
        usual: [256, 8, 3, 1],
        size: 2048,
        groups: Some(GroupRating::BestTwo),
    };
    let (experts, config) = mixture.read(file, config(file, "deepseek_v3", pairs)?)?;
    Ok(Config {
        mlp: Mlp::Experts(Experts {
            rating: Rating::Sigmoid,
            normalised: file.flag_or("norm_topk_prob", true)?,
            scale: file.positive_or("routed_scaling_factor", 2.5)?,
            choice_bias: Some(1),
            ..experts
        }),
        ..config
    })
}

fn config(file: &ConfigFile, model_type: &str, pairs: Pairs) -> Result<Config> {
    let (hidden_size, n_layers) = (file.size("hidden_size")?, file.size("num_hidden_layers")?);
    let n_heads = file.size("num_attention_heads")?;
    if file.size_or("num_key_value_heads", n_heads)? != n_heads {
        let reason = format!("expected {n_heads}, as there are heads: all keys are of their own");
        return Err(file.refuse("num_key_value_heads", &reason));
    }
    let (own, shared) = (
        file.size_or("qk_nope_head_dim", 128)?,
        file.size_or("qk_rope_head_dim", 64)?,
    );
    let head_dim = own + shared;
    let rope = Rope {
        start: own,
        pairs,
        ..Rope::read(file, None, shared, Defaults::default())?
    };
    let latent = Latent {
        query_rank: match file.has("q_lora_rank") && !file.is_set("q_lora_rank") {
            true => None,
            false => Some(file.size_or("q_lora_rank", 1536)?),
        },
        rank: file.size_or("kv_lora_rank", 512)?,
        shared,
    };
    let bias = file.flag_or("attention_bias", false)?;
    let norm = standard::rms(file, "rms_norm_eps", 1e-6)?;
    let config = standard::sized(model_type, hidden_size, n_layers, n_heads, head_dim, norm);
    Ok(Config {
        vocab_size: file.size("vocab_size")?,
        context_length: rope.reach(),
        value_dim: file.size_or("v_head_dim", 128)?,
        activation: file.activation("hidden_act", config.activation)?,
        positions: Positions::Rotary {
            ropes: vec![rope],
            by_layer: vec![Some(0); n_layers],
        },
        attention: AttentionConfig {
            scales: vec![scale(file, head_dim)?; n_layers],
            projection: Projection::Latent(latent),
            ..standard::attention(n_layers, head_dim, bias, bias)
        },
        head: Head::new(file.flag_or("tie_word_embeddings", false)?),
        ..config
    })
}

/// The factor on query · key: with scaled turns also YaRN's, which other models have on cosines and sines.
fn scale(file: &ConfigFile, head_dim: usize) -> Result<f64> {
    let plain = (head_dim as f64).powf(-0.5);
    let key = match file.is_set("rope_parameters") {
        true => "rope_parameters",
        false => "rope_scaling",
    };
    let Some(parameters) = file.section(key)? else {
        return Ok(plain);
    };
    let kind = parameters.text_or("rope_type", parameters.text_or("type", "default")?)?;
    let all = parameters.number_or("mscale_all_dim", 0.0)?;
    if kind == "default" || all == 0.0 {
        return Ok(plain);
    }
    let scale = plain * yarn_scale(parameters.positive_or("factor", 1.0)?, all).powi(2);
    match scale.is_finite() {
        true => Ok(scale),
        false => Err(parameters.refuse("mscale_all_dim", "expected a number of about 1")),
    }
}

/// Mixtures behind the first few layers.
struct Mixture {
    /// What the file is silent about: the number of experts, of chosen ones, of layers before, of shared experts.
    usual: [usize; 4],
    /// Neurons of an expert.
    size: usize,
    groups: Option<GroupRating>,
}

impl Mixture {
    fn read(&self, file: &ConfigFile, config: Config) -> Result<(Experts, Config)> {
        let [n_experts, n_chosen, first, n_shared] = self.usual;
        let sizes = [("n_routed_experts", n_experts), ("num_experts_per_tok", n_chosen)];
        let experts = standard::experts(file, sizes, config.n_layers)?;
        let first = file.count_or("first_k_dense_replace", first)?;
        let intermediate_size = file.size_or("moe_intermediate_size", self.size)?;
        let shared = match file.count_or("n_shared_experts", n_shared)? {
            0 => None,
            n => Some(SharedExpert {
                size: n * intermediate_size,
                gated: false,
            }),
        };
        let experts = Experts {
            groups: match self.groups {
                Some(rating) => Some(groups(file, &experts, rating)?),
                None => None,
            },
            layers: (0..config.n_layers).map(|layer| layer >= first).collect(),
            dense_size: file.size("intermediate_size")?,
            shared,
            ..experts
        };
        let config = Config {
            intermediate_size,
            ..config
        };
        Ok((experts, config))
    }
}

/// Equal ones, which together have as many experts as are chosen.
fn groups(file: &ConfigFile, experts: &Experts, rating: GroupRating) -> Result<ExpertGroups> {
    let n_groups = file.size_or("n_group", 8)?;
    let n_chosen = file.size_or("topk_group", 4)?;
    let least = match rating {
        GroupRating::Best => 1,
        GroupRating::BestTwo => 2,
    };
    let size = experts.n_experts / n_groups;
    if experts.n_experts % n_groups != 0 || size < least {
        let reason = format!(
            "{} experts are no such number of equal groups of {least} at least",
            experts.n_experts
        );
        return Err(file.refuse("n_group", &reason));
    }
    if n_chosen > n_groups || n_chosen * size < experts.n_chosen {
        let reason = format!(
            "{} experts are chosen, of groups of {size}, of which there are {n_groups}",
            experts.n_chosen
        );
        return Err(file.refuse("topk_group", &reason));
    }
    Ok(ExpertGroups {
        n_groups,
        n_chosen,
        rating,
    })
}
