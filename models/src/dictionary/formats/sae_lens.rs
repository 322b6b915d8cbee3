//! SAELens: a folder with `cfg.json` and `sae_weights.safetensors`.

use serde_json::Value;

use super::super::reading::Source;
use super::super::{ActivationRule, Preparation, hooks};
use super::Raw;
use crate::error::{Result, refuse};

impl Source<'_> {
    /// `cfg.json` and `sae_weights.safetensors`: from version 6 on with `metadata`, before as one flat map.
    pub(super) fn sae_lens(&self) -> Result<Raw> {
        let raw = self.plain(
            "SAELens",
            (self.matrix("W_enc")?, self.optional("b_enc")?),
            (self.matrix("W_dec")?, self.optional("b_dec")?),
        );
        let raw = self.located_by_hooks(self.normed(raw)?)?;
        let raw = match self.truth("apply_b_dec_to_input").unwrap_or(true) {
            true => raw.less_output_bias(),
            false => raw,
        };
        if self.truth("finetuning_scaling_factor") == Some(true) {
            return Err(self.setting(
                "finetuning_scaling_factor",
                "activations that were scaled after training are not read; fold the factor into W_dec, and save it again",
            ));
        }
        let activation = self.text("activation_fn_str").or(self.text("activation_fn"));
        match (self.text("architecture").unwrap_or("standard"), activation) {
            ("topk", _) | ("standard", Some("topk")) => {
                let within = self.settings.get("activation_fn_kwargs").and_then(|map| map.get("k"));
                let rule = self.k(self.settings.get("k").or(within))?;
                let raw = Raw { rule, ..raw };
                Ok(match self.truth("rescale_acts_by_decoder_norm") {
                    Some(true) => raw.rescaled(),
                    _ => raw,
                })
            }
            ("standard", Some("relu") | None) | ("transcoder" | "skip_transcoder", _) => Ok(raw),
            ("jumprelu" | "jumprelu_transcoder" | "jumprelu_skip_transcoder", _) => {
                Ok(raw.with_thresholds(self.tensor("threshold")?))
            }
            ("gated", _) => Ok(Raw {
                rule: ActivationRule::Gated,
                bias: self.tensor("b_gate")?,
                levels: vec![self.tensor("r_mag")?.exp(), self.tensor("b_mag")?],
                ..raw
            }),
            ("standard", Some(_)) => {
                let key = ["activation_fn_str", "activation_fn"].into_iter().find(|key| self.text(key).is_some());
                Err(self.setting(key.unwrap_or_default(), "read are relu and topk"))
            }
            _ => Err(self.setting(
                "architecture",
                "read are standard, topk, jumprelu (and batchtopk saved as such), gated, and transcoders of them",
            )),
        }
    }

    /// What SAELens does to inputs before they are encoded.
    fn normed(&self, raw: Raw) -> Result<Raw> {
        const KEY: &str = "normalize_activations";
        let preparation = match self.settings.get(KEY) {
            None | Some(Value::Null | Value::Bool(false)) => Preparation::Plain,
            Some(Value::String(name)) if name == "none" => Preparation::Plain,
            Some(Value::String(name)) if name == "layer_norm" => Preparation::LayerNorm,
            Some(Value::String(name)) if name == "constant_norm_rescale" => Preparation::ConstantNorm,
            Some(Value::String(name)) if name == "expected_average_only_in" => {
                let reason = "the factor that inputs were scaled by is not in the files; fold it into the weights \
                              (sae.fold_activation_norm_scaling_factor), and save it again";
                return Err(self.setting(KEY, reason));
            }
            Some(_) => {
                return Err(self.setting(KEY, "read are none, layer_norm and constant_norm_rescale"));
            }
        };
        Ok(Raw {
            preparation,
            skip: match self.weights.contains_key("W_skip") {
                true => Some(self.turned("W_skip")?),
                false => None,
            },
            ..raw
        })
    }

    fn located_by_hooks(&self, raw: Raw) -> Result<Raw> {
        let metadata = self.settings.get("metadata");
        let name = |key: &str| {
            let within = metadata.and_then(|metadata| metadata.get(key));
            within.or(self.settings.get(key)).and_then(Value::as_str)
        };
        let hook = |name: &str| {
            let unknown = || {
                let name: String = name.chars().take(80).collect();
                refuse(
                    "site",
                    "not given",
                    format!(
                        "{} names the hook {name:?}, which is unknown: name the site and the layer",
                        self.settings_name
                    ),
                )
            };
            let found = hooks::of_transformer_lens(name, self.norm);
            match (found, self.options.site, self.options.layer) {
                (None, Some(_), Some(_)) => Ok(None),
                (None, ..) => Err(unknown()),
                (found, ..) => Ok(found),
            }
        };
        let reads = name("hook_name")
            .or(name("hook_point"))
            .map(hook)
            .transpose()?
            .flatten();
        let writes = name("hook_name_out").map(hook).transpose()?.flatten();
        Ok(raw.at(reads, writes))
    }
}
