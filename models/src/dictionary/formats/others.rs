//! sparsify, OpenAI's, dictionary_learning, circuit-tracer.

use serde_json::Value;
use tch::Tensor;

use super::super::reading::Source;
use super::super::{ActivationRule, Preparation, hooks};
use super::Raw;
use crate::error::Result;
use crate::site::Site;
use crate::weights::StoredData;

impl Source<'_> {
    /// `cfg.json` and `sae.safetensors`, in a folder that has the name of a module.
    pub(super) fn sparsify(&self) -> Result<Raw> {
        let raw = self.plain(
            "sparsify",
            (self.turned("encoder.weight")?, self.optional("encoder.bias")?),
            (self.matrix("W_dec")?, self.optional("b_dec")?),
        );
        let transcodes = self.truth("transcode") == Some(true);
        let rule = match self.text("activation").unwrap_or("topk") {
            "topk" => self.k(self.settings.get("k"))?,
            _ => return Err(self.setting("activation", "read is topk")),
        };
        let folder = self.file.folder().trim_end_matches('/');
        let module = folder.rsplit('/').next().and_then(hooks::of_module);
        let raw = match (module, transcodes) {
            // Its input is the module's, and its output.
            (Some(hook), true) if hook.spot.place.site == Site::MlpOutput => Raw {
                reads: Some(Site::MlpInput),
                writes: Some(Site::MlpOutput),
                layer: Some(hook.spot.layer),
                ..raw
            },
            (hook, _) => raw.at(hook, None),
        };
        let raw = Raw {
            rule,
            skip: match self.weights.contains_key("W_skip") {
                true => Some(self.turned("W_skip")?),
                false => None,
            },
            ..raw
        };
        Ok(if transcodes { raw } else { raw.less_output_bias() })
    }

    /// A state dictionary with the activation's name and settings beside the tensors; top-k ones norm what they read.
    pub(super) fn openai(&self) -> Result<Raw> {
        let raw = self.plain(
            "OpenAI",
            (self.turned("encoder.weight")?, self.optional("latent_bias")?),
            (self.turned("decoder.weight")?, self.optional("pre_bias")?),
        );
        let raw = raw.less_output_bias();
        match self.text("activation") {
            Some("TopK") => Ok(Raw {
                rule: self.k(self.settings.get("activation_state_dict.k"))?,
                preparation: Preparation::LayerNorm,
                ..raw
            }),
            Some("ReLU") => Ok(raw),
            _ => Err(self.setting("activation", "read are ReLU and TopK")),
        }
    }

    /// `ae.pt` and `config.json` with a `trainer`.
    pub(super) fn dictionary_learning(&self) -> Result<Raw> {
        const FORMAT: &str = "dictionary_learning";
        let trainer = self.settings.get("trainer");
        let said = |key: &str| trainer.and_then(|trainer| trainer.get(key));
        let layer = said("layer").and_then(Value::as_u64).map(|layer| layer as usize);
        let class = said("dict_class").and_then(Value::as_str).unwrap_or_default();
        let encoder = match self.weights.contains_key("W_enc") {
            true => (self.matrix("W_enc")?, self.optional("b_enc")?),
            false => (self.turned("encoder.weight")?, self.optional("encoder.bias")?),
        };
        let decoder = match self.weights.contains_key("W_dec") {
            true => self.matrix("W_dec")?,
            false => self.turned("decoder.weight")?,
        };
        let biases = ["bias", "b_dec", "decoder_bias", "decoder.bias"];
        let bias = biases.into_iter().find(|name| self.weights.contains_key(*name));
        let output_bias = bias.map(|name| self.tensor(name)).transpose()?;
        let raw = self.plain(FORMAT, encoder, (decoder, output_bias));
        // A linear layer's own bias is added and not taken off; JumpReLU takes none off either.
        let takes_off = bias != Some("decoder.bias") && !class.starts_with("JumpRelu");
        let raw = if takes_off { raw.less_output_bias() } else { raw };
        let raw = match said("submodule_name").and_then(Value::as_str) {
            Some(name) => raw.at(hooks::of_submodule(name, layer), None),
            None => raw,
        };
        let raw = Raw {
            layer: raw.layer.or(layer),
            ..raw
        };
        let is_top_k = class.contains("TopK") && !class.contains("BatchTopK");
        if self.weights.contains_key("r_mag") {
            return Ok(Raw {
                rule: ActivationRule::Gated,
                bias: self.tensor("gate_bias")?,
                levels: vec![self.tensor("r_mag")?.exp(), self.tensor("mag_bias")?],
                ..raw
            });
        }
        if is_top_k {
            let stored = self.whole_number("k").map(Value::from);
            let rule = self.k(said("k").or(stored.as_ref()))?;
            return Ok(Raw { rule, ..raw });
        }
        Ok(match self.optional("threshold")? {
            Some(threshold) => raw.with_thresholds(threshold),
            None => raw,
        })
    }

    /// A tensor of one whole number.
    fn whole_number(&self, name: &str) -> Option<u64> {
        match &self.weights.get(name)?.data {
            StoredData::Numbers { bytes, .. } if matches!(bytes.len(), 4 | 8) => {
                Some(bytes.iter().rev().fold(0, |n, byte| n << 8 | u64::from(*byte)))
            }
            _ => None,
        }
    }

    /// `layer_{n}.safetensors`, and `config.yaml` for all layers.
    pub(super) fn circuit_tracer(&self) -> Result<Raw> {
        let (encoder, decoder) = (self.turned("W_enc")?, self.matrix("W_dec")?);
        // Older files have the decoder as a linear layer has it.
        let n_features = encoder.size()[1];
        let is_turned = decoder.size()[0] != n_features && decoder.size()[1] == n_features;
        let decoder = if is_turned { decoder.tr() } else { decoder };
        let raw = self.plain(
            "circuit-tracer",
            (encoder, self.optional("b_enc")?),
            (decoder, self.optional("b_dec")?),
        );
        let layer = self
            .file
            .name
            .strip_prefix("layer_")
            .and_then(|rest| rest.split_once('.'));
        let layer = layer.and_then(|(layer, _)| layer.parse().ok());
        let raw = self.at_feature_hooks(raw, layer.unwrap_or(0));
        let raw = Raw {
            layer,
            skip: match self.weights.contains_key("W_skip") {
                true => Some(self.turned("W_skip")?),
                false => None,
            },
            ..raw
        };
        Ok(match self.optional("activation_function.threshold")? {
            Some(threshold) => raw.with_thresholds(threshold),
            None => raw,
        })
    }

    /// `W_enc_{n}.safetensors` and `W_dec_{n}.safetensors` of a layer together: circuit-tracer's cross-layer transcoders. The
    /// decoder is `[feature, layer, output]`, from the own layer on.
    pub(in super::super) fn cross_layer(&self, layer: usize) -> Result<Raw> {
        let name = |part: &str| format!("{part}_{layer}");
        let decoders = self.tensor(&name("W_dec"))?;
        let size = decoders.size();
        if size.len() != 3 || size[1] == 0 {
            let reason = format!(
                "W_dec_{layer} has shape {size:?}, expected (feature, layer, output), from layer {layer} on"
            );
            return Err(self.damaged(reason));
        }
        let mut decoders = (0..size[1]).map(|behind| decoders.select(1, behind));
        let own = decoders.next().unwrap_or_else(Tensor::new);
        let bias = self.tensor(&name("b_enc"))?;
        let raw = self.plain(
            "circuit-tracer, cross-layer",
            (self.turned(&name("W_enc"))?, Some(bias)),
            (own, Some(self.tensor(&name("b_dec"))?)),
        );
        let raw = self.at_feature_hooks(raw, layer);
        let raw = Raw {
            layer: Some(layer),
            writes: raw.writes.or(Some(Site::MlpOutput)),
            later: decoders.collect(),
            ..raw
        };
        Ok(match self.optional(&name("threshold"))? {
            Some(threshold) => raw.with_thresholds(threshold.flatten(0, -1)),
            None => raw,
        })
    }

    /// Where circuit-tracer's settings say that features read and write.
    fn at_feature_hooks(&self, raw: Raw, layer: usize) -> Raw {
        let hook = |key: &str| hooks::within_layer(self.text(key)?, layer, self.norm);
        raw.at(hook("feature_input_hook"), hook("feature_output_hook"))
    }
}
