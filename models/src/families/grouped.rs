//! Mixtures as DeepSeek's models have them, behind the first few layers: with experts that every token goes through, and
//! others that are chosen by groups.

use serde_json::Value;

use super::standard;
use crate::config::{Config, ConfigFile, ExpertGroups, Experts, GroupRating, Mlp, Rating, SharedExpert};
use crate::error::Result;

/// Of shared experts and of what counts in a choice alone.
pub(super) const EXPERTS: &[(&str, &str)] = &[
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

/// What a file may be silent about.
pub(super) struct Mixture {
    pub n_experts: usize,
    pub n_chosen: usize,
    /// Layers before, without experts.
    pub n_dense: usize,
    /// Experts that every token goes through, which are one.
    pub n_shared: usize,
    /// Neurons of an expert.
    pub size: usize,
    /// How many groups there are and how many are chosen, and by what.
    pub groups: Option<(GroupRating, [usize; 2])>,
}

impl Mixture {
    /// Experts that are rated by a softmax, and the configuration with their size.
    pub(super) fn read(&self, file: &ConfigFile, config: Config) -> Result<(Experts, Config)> {
        let sizes = [
            ("n_routed_experts", self.n_experts),
            ("num_experts_per_tok", self.n_chosen),
        ];
        let experts = standard::experts(file, sizes, config.n_layers)?;
        let intermediate_size = file.size_or("moe_intermediate_size", self.size)?;
        let shared = match file.count_or("n_shared_experts", self.n_shared)? {
            0 => None,
            n => Some(SharedExpert {
                size: n * intermediate_size,
                gated: false,
            }),
        };
        let experts = Experts {
            groups: match self.groups {
                Some(groups) => self::groups(file, &experts, groups)?,
                None => None,
            },
            layers: self.layers(file, config.n_layers)?,
            dense_size: config.intermediate_size,
            shared,
            ..experts
        };
        let config = Config {
            intermediate_size,
            ..config
        };
        Ok((experts, config))
    }

    /// The same with a sigmoid for each expert (2412.19437).
    pub(super) fn by_sigmoids(&self, file: &ConfigFile, config: Config, scale: f64) -> Result<Config> {
        let (experts, config) = self.read(file, config)?;
        Ok(Config {
            mlp: Mlp::Experts(Experts {
                rating: Rating::Sigmoid,
                normalised: file.flag_or("norm_topk_prob", true)?,
                scale: file.positive_or("routed_scaling_factor", scale)?,
                choice_bias: Some(1),
                ..experts
            }),
            ..config
        })
    }

    /// Which layers have experts.
    fn layers(&self, file: &ConfigFile, n_layers: usize) -> Result<Vec<bool>> {
        let first = file.count_or("first_k_dense_replace", self.n_dense)?;
        let Some(types) = file.list("mlp_layer_types")? else {
            return Ok((0..n_layers).map(|layer| layer >= first).collect());
        };
        let is_mixed = |value: &Value| match value.as_str() {
            Some("sparse") => Some(true),
            Some("dense") => Some(false),
            _ => None,
        };
        match types.iter().map(is_mixed).collect::<Option<Vec<_>>>() {
            Some(layers) if layers.len() == n_layers => Ok(layers),
            _ => {
                let reason = format!("expected dense or sparse for each of {n_layers} layers");
                Err(file.refuse("mlp_layer_types", &reason))
            }
        }
    }
}

/// Equal ones, of which enough are chosen for as many experts as are chosen; none where there is one.
fn groups(
    file: &ConfigFile,
    experts: &Experts,
    (rating, usual): (GroupRating, [usize; 2]),
) -> Result<Option<ExpertGroups>> {
    let (n_groups, n_chosen) = (
        file.size_or("n_group", usual[0])?,
        file.size_or("topk_group", usual[1])?,
    );
    let least = match rating {
        GroupRating::Best => 1,
        GroupRating::BestTwo => 2,
    };
    let (n_experts, size) = (experts.n_experts, experts.n_experts / n_groups);
    if !n_experts.is_multiple_of(n_groups) || size < least {
        let reason = format!("{n_experts} experts are no such number of equal groups of {least} or more");
        return Err(file.refuse("n_group", &reason));
    }
    if n_chosen > n_groups || n_chosen * size < experts.n_chosen {
        let reason = format!(
            "{} experts are chosen, and of {n_groups} groups each has {size}",
            experts.n_chosen
        );
        return Err(file.refuse("topk_group", &reason));
    }
    Ok((n_groups > 1).then_some(ExpertGroups {
        n_groups,
        n_chosen,
        rating,
    }))
}
