//! Gemma Scope, Llama Scope, Qwen Scope.

use serde_json::Value;
use tch::Tensor;

use super::super::hooks;
use super::super::reading::Source;
use super::Raw;
use crate::error::Result;
use crate::site::Site;

impl Source<'_> {
    /// `params.npz`, which says nothing of itself; `params.safetensors` with `config.json`.
    pub(super) fn gemma_scope(&self) -> Result<Raw> {
        let is_second = self.weights.contains_key("w_enc");
        let names = match is_second {
            true => ["w_enc", "w_dec", "b_enc", "b_dec"],
            false => ["W_enc", "W_dec", "b_enc", "b_dec"],
        };
        let raw = self.plain(
            if is_second { "Gemma Scope 2" } else { "Gemma Scope" },
            (self.matrix(names[0])?, self.optional(names[2])?),
            (self.matrix(names[1])?, self.optional(names[3])?),
        );
        let raw = raw.with_thresholds(self.tensor("threshold")?);
        let (site, layer) = hooks::of_gemma_scope(&self.file.path);
        let hook = |key: &str| self.text(key).and_then(hooks::of_module);
        let raw = raw.at(hook("hf_hook_point_in"), hook("hf_hook_point_out"));
        Ok(Raw {
            reads: raw.reads.or(site),
            layer: raw.layer.or(layer),
            before_gain: true,
            skip: self.optional("affine_skip_connection")?,
            ..raw
        })
    }

    /// `hyperparams.json` and `checkpoints/final.safetensors`. Inputs are scaled to the length √d on average, and outputs
    /// back: z √d/norm, with the threshold scaled alike.
    pub(super) fn llama_scope(&self) -> Result<Raw> {
        let raw = self.plain(
            "Llama Scope",
            (self.turned("encoder.weight")?, self.optional("encoder.bias")?),
            (self.turned("decoder.weight")?, self.optional("decoder.bias")?),
        );
        let scale = |side: &str, width: i64| -> Result<f64> {
            let norms = self.settings.get("dataset_average_activation_norm");
            let norm = norms.and_then(|norms| norms.get(side)).and_then(Value::as_f64);
            let norm = norm.filter(|norm| *norm > 0.0 && norm.is_finite());
            let reason = format!("expected a number above 0 for {side:?}");
            let norm = norm.ok_or_else(|| self.setting("dataset_average_activation_norm", &reason))?;
            Ok((width as f64).sqrt() / norm)
        };
        let (scale_in, scale_out) = (
            scale("in", raw.encoder.size()[0])?,
            scale("out", raw.decoder.size()[1])?,
        );
        let threshold = self.settings.get("jump_relu_threshold").and_then(Value::as_f64);
        let threshold = threshold
            .filter(|threshold| threshold.is_finite())
            .ok_or_else(|| self.setting("jump_relu_threshold", "expected a number"))?;
        let hook = |key: &str| {
            self.text(key)
                .and_then(|name| hooks::of_transformer_lens(name, self.norm))
        };
        let raw = raw.with_thresholds(Tensor::from(threshold * scale_in).to_kind(self.kind));
        let raw = raw.at(hook("hook_point_in"), hook("hook_point_out"));
        let raw = match self.truth("apply_decoder_bias_to_pre_encoder") {
            Some(true) => raw.less_output_bias(),
            _ => raw,
        };
        Ok(Raw {
            input_bias: raw.input_bias.map(|bias| bias / scale_in),
            encoder: raw.encoder * scale_in,
            decoder: raw.decoder / scale_out,
            output_bias: raw.output_bias / scale_out,
            ..raw
        })
    }

    /// `layer{n}.sae.pt`, of the residual stream; the repository's name says k, as `L0_50`.
    pub(super) fn qwen_scope(&self) -> Result<Raw> {
        let raw = self.plain(
            "Qwen Scope",
            (self.turned("W_enc")?, self.optional("b_enc")?),
            (self.turned("W_dec")?, self.optional("b_dec")?),
        );
        let name = self
            .file
            .name
            .strip_prefix("layer")
            .and_then(|rest| rest.split_once('.'));
        let said = self.file.path.split(['/', '-']).rev().find_map(|part| {
            let k = part.strip_prefix("L0_").or(part.strip_prefix("l0_"));
            k.and_then(|k| k.parse::<u64>().ok())
        });
        Ok(Raw {
            rule: self.k(said.map(Value::from).as_ref())?,
            reads: Some(Site::ResidualAfter),
            layer: name.and_then(|(layer, _)| layer.parse().ok()),
            ..raw
        })
    }
}
