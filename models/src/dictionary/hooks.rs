//! Names of places in other libraries.

use crate::config::NormConfig;
use crate::site::{Place, Site};

use super::{Preparation, Spot};

/// Where a dictionary reads or writes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Hook {
    pub spot: Spot,
    /// What the norm before the MLP makes of the stream, its gain left out.
    pub before_gain: bool,
}

/// TransformerLens's names within a layer.
const HOOKS: [(&str, Site); 13] = [
    ("hook_resid_pre", Site::ResidualBefore),
    ("ln1.hook_normalized", Site::AttentionInput),
    ("attn.hook_z", Site::HeadOutputs),
    ("hook_attn_out", Site::AttentionOutput),
    ("hook_resid_mid", Site::ResidualMid),
    ("hook_mlp_in", Site::ResidualMid),
    ("ln2.hook_normalized", Site::MlpInput),
    ("mlp.hook_in", Site::MlpInput),
    ("mlp.hook_pre", Site::MlpPre),
    ("mlp.hook_post", Site::MlpInner),
    ("mlp.hook_out", Site::MlpOutput),
    ("hook_mlp_out", Site::MlpOutput),
    ("hook_resid_post", Site::ResidualAfter),
];

/// What transformers' modules within a layer are called, and what goes in or comes out there.
const MODULES: [(&str, Site); 13] = [
    ("", Site::ResidualAfter),
    ("output", Site::ResidualAfter),
    ("mlp", Site::MlpOutput),
    ("mlp.output", Site::MlpOutput),
    ("mlp.input", Site::MlpInput),
    ("post_feedforward_layernorm.output", Site::MlpOutput),
    ("pre_feedforward_layernorm.output", Site::MlpInput),
    ("attn", Site::AttentionOutput),
    ("attention", Site::AttentionOutput),
    ("self_attn", Site::AttentionOutput),
    ("self_attn.output", Site::AttentionOutput),
    ("self_attn.o_proj.input", Site::HeadOutputs),
    ("post_attention_layernorm.output", Site::AttentionOutput),
];

/// What dictionary_learning's users call places, before `_layer_3`.
const SUBMODULES: [(&str, Site); 4] = [
    ("resid_post", Site::ResidualAfter),
    ("resid_pre", Site::ResidualBefore),
    ("mlp_out", Site::MlpOutput),
    ("attn_out", Site::AttentionOutput),
];

/// What the parts of Gemma Scope's repositories are called.
const GEMMA_SCOPE: [(&str, Site); 4] = [
    ("-res", Site::ResidualAfter),
    ("-mlp", Site::MlpOutput),
    ("-att", Site::HeadOutputs),
    ("-transcoders", Site::MlpInput),
];

fn found(table: &[(&str, Site)], name: &str) -> Option<Site> {
    table
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, site)| *site)
}

fn hook(layer: &str, site: Site, before_gain: bool) -> Option<Hook> {
    let spot = Spot {
        place: Place::of(site),
        layer: layer.parse().ok()?,
    };
    Some(Hook { spot, before_gain })
}

/// TransformerLens's name within a layer. There the gain of a root mean square comes behind the hook, that of a layer norm
/// before it.
pub(super) fn within_layer(name: &str, layer: usize, norm: NormConfig) -> Option<Hook> {
    let is_rms = norm.kind.is_rms();
    match name {
        "ln1.hook_normalized" if is_rms => None,
        name => hook(
            &layer.to_string(),
            found(&HOOKS, name)?,
            is_rms && name == "ln2.hook_normalized",
        ),
    }
}

/// `blocks.3.hook_resid_post`.
pub(super) fn of_transformer_lens(name: &str, norm: NormConfig) -> Option<Hook> {
    let (layer, rest) = name.strip_prefix("blocks.")?.split_once('.')?;
    within_layer(rest, layer.parse().ok()?, norm)
}

/// What TransformerLens calls what stands at a spot, where it has a name for it.
pub(super) fn to_transformer_lens(spot: Spot, norm: NormConfig) -> Option<String> {
    let names = HOOKS
        .iter()
        .map(|(name, _)| format!("blocks.{}.{name}", spot.layer));
    let exact = Hook {
        spot,
        before_gain: false,
    };
    let mut names = names.filter(|name| of_transformer_lens(name, norm) == Some(exact));
    names.next()
}

/// `model.layers.3.output`, `layers.3.mlp`, `transformer.h.3`. Of a transcoder's MLP it is what goes in.
pub(super) fn of_module(name: &str) -> Option<Hook> {
    let parts: Vec<&str> = name.split('.').collect();
    let at = parts.iter().position(|part| part.parse::<usize>().is_ok())?;
    let rest = parts[at + 1..].join(".");
    let before_gain = rest == "pre_feedforward_layernorm.output";
    hook(parts[at], found(&MODULES, &rest)?, before_gain)
}

/// `resid_post_layer_3`.
pub(super) fn of_submodule(name: &str, layer: Option<usize>) -> Option<Hook> {
    let (site, number) = match name.split_once("_layer_") {
        Some((site, number)) => (site, Some(number.to_owned())),
        None => (name, None),
    };
    let number = number.or(layer.map(|layer| layer.to_string()))?;
    hook(&number, found(&SUBMODULES, site)?, false)
}

/// By the folders that a file of Gemma Scope is in: `google/gemma-scope-2b-pt-res/layer_3/…`; each of the two may be
/// unknown.
pub(super) fn of_gemma_scope(path: &str) -> (Option<Site>, Option<usize>) {
    let mut parts = path.split('/');
    let site = parts.clone().find_map(|part| {
        let is_scope = part.contains("gemma-scope");
        let row = GEMMA_SCOPE.iter().find(|(end, _)| part.ends_with(end));
        row.filter(|_| is_scope).map(|(_, site)| *site)
    });
    (
        site,
        parts.find_map(|part| part.strip_prefix("layer_")?.parse().ok()),
    )
}

/// Before the gain of the norm that stands before the MLP.
pub(super) fn before_gain(norm: NormConfig) -> Preparation {
    Preparation::BeforeGain {
        centred: !norm.kind.is_rms(),
        epsilon: norm.epsilon,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::NormKind;

    const LAYER: NormConfig = NormConfig {
        kind: NormKind::Layer { bias: true },
        epsilon: 1e-5,
    };
    const RMS: NormConfig = NormConfig {
        kind: NormKind::Rms { from_one: false },
        epsilon: 1e-6,
    };

    fn said(hook: Option<Hook>) -> String {
        hook.map_or("nothing".into(), |hook| {
            let gain = if hook.before_gain { ", before the gain" } else { "" };
            format!("{} {}{gain}", hook.spot.place.name(), hook.spot.layer)
        })
    }

    #[test]
    fn places_of_other_libraries_are_found() {
        for (name, expected) in [
            ("blocks.11.hook_resid_post", "residual_after 11"),
            ("blocks.0.attn.hook_z", "head_outputs 0"),
            ("blocks.x.hook_resid_post", "nothing"),
            ("blocks.3.hook_q", "nothing"),
        ] {
            assert_eq!(said(of_transformer_lens(name, RMS)), expected, "{name}");
        }
        let normalized = "blocks.2.ln2.hook_normalized";
        assert_eq!(said(of_transformer_lens(normalized, LAYER)), "mlp_input 2");
        assert_eq!(
            said(of_transformer_lens(normalized, RMS)),
            "mlp_input 2, before the gain"
        );
        for (name, expected) in [
            ("model.layers.7.output", "residual_after 7"),
            ("layers.7", "residual_after 7"),
            ("transformer.h.0.mlp", "mlp_output 0"),
            ("model.layers.7.self_attn.o_proj.input", "head_outputs 7"),
            (
                "model.layers.7.pre_feedforward_layernorm.output",
                "mlp_input 7, before the gain",
            ),
            ("embed_tokens", "nothing"),
        ] {
            assert_eq!(said(of_module(name)), expected, "{name}");
        }
        assert_eq!(said(of_submodule("resid_post_layer_4", None)), "residual_after 4");
        assert_eq!(said(of_submodule("mlp_out", Some(2))), "mlp_output 2");
        let path = "hub/models--google--gemma-scope-2b-pt-res/snapshots/ab/layer_20/width_16k/average_l0_71";
        assert_eq!(of_gemma_scope(path), (Some(Site::ResidualAfter), Some(20)));
        assert_eq!(of_gemma_scope("layer_3/width_16k"), (None, Some(3)));
        let name = |site, norm| {
            let place = Place::of(site);
            to_transformer_lens(Spot { place, layer: 2 }, norm).unwrap_or_default()
        };
        assert_eq!(name(Site::ResidualAfter, RMS), "blocks.2.hook_resid_post");
        assert_eq!(name(Site::MlpInput, RMS), "blocks.2.mlp.hook_in");
        assert_eq!(name(Site::AttentionInput, RMS), "");
        assert_eq!(name(Site::AttentionInput, LAYER), "blocks.2.ln1.hook_normalized");
    }
}
