//! Published formats: which tensors are what, and how each encodes. Scales that a format applies to inputs, activations or
//! outputs are folded into the weights where they are the same for every position.
//!
//! - here: which format files are of; `sae_lens`; `scopes`: Gemma, Llama and Qwen Scope; `others`

mod others;
mod sae_lens;
mod scopes;

use serde_json::Value;
use tch::Tensor;

use super::hooks::Hook;
use super::reading::Source;
use super::{ActivationRule, Preparation};
use crate::error::{Result, refuse};
use crate::files::WeightFormat;
use crate::site::Site;

/// A dictionary as its files have it: tensors that may be views of them.
pub(super) struct Raw {
    pub format: &'static str,
    /// `[input, feature]`
    pub encoder: Tensor,
    pub bias: Tensor,
    pub input_bias: Option<Tensor>,
    /// `[feature, output]`
    pub decoder: Tensor,
    pub output_bias: Tensor,
    /// `[input, output]`
    pub skip: Option<Tensor>,
    pub rule: ActivationRule,
    pub levels: Vec<Tensor>,
    /// Of a cross-layer transcoder, what is written in each layer behind: `[feature, output]`.
    pub later: Vec<Tensor>,
    pub preparation: Preparation,
    pub reads: Option<Site>,
    pub writes: Option<Site>,
    pub layer: Option<usize>,
    /// Where it reads the MLP's input, that is before the gain of the norm.
    pub before_gain: bool,
}

/// By the files and the names in them.
///
/// # Errors
/// For files of no format that is read, and what is damaged.
pub(super) fn raw(source: &Source) -> Result<Raw> {
    let (has, says) = (
        |name: &str| source.weights.contains_key(name),
        |key: &str| source.settings.contains_key(key),
    );
    if has("pre_bias") && has("latent_bias") {
        return source.openai();
    }
    if says("jump_relu_threshold") {
        return source.llama_scope();
    }
    if says("trainer") {
        return source.dictionary_learning();
    }
    if has("encoder.weight") && source.settings_name == "cfg.json" {
        return source.sparsify();
    }
    if has("w_enc") || source.file.format == WeightFormat::Npz {
        return source.gemma_scope();
    }
    if has("W_enc") && source.settings_name == "cfg.json" {
        return source.sae_lens();
    }
    if has("W_enc") && (says("feature_input_hook") || source.file.name.starts_with("layer_")) {
        return source.circuit_tracer();
    }
    if has("W_enc") && source.file.format == WeightFormat::Pytorch {
        return source.qwen_scope();
    }
    let names: Vec<&str> = source.weights.keys().map(String::as_str).take(8).collect();
    let reason = format!(
        "with tensors {} and {} it is of no format that is read: SAELens, Gemma Scope, Llama Scope, Qwen Scope, sparsify, \
         OpenAI, dictionary_learning, circuit-tracer",
        names.join(", "),
        match source.settings_name.as_str() {
            "" => "no settings beside it",
            name => name,
        }
    );
    Err(source.damaged(reason))
}

impl Source<'_> {
    pub(super) fn tensor(&self, name: &str) -> Result<Tensor> {
        let weight = self.weights.get(name);
        let weight = weight.ok_or_else(|| self.damaged(format!("it has no {name}")))?;
        weight.tensor((self.kind, tch::Device::Cpu))
    }

    pub(super) fn optional(&self, name: &str) -> Result<Option<Tensor>> {
        self.weights
            .contains_key(name)
            .then(|| self.tensor(name))
            .transpose()
    }

    pub(super) fn matrix(&self, name: &str) -> Result<Tensor> {
        let tensor = self.tensor(name)?;
        match tensor.dim() {
            2 => Ok(tensor),
            _ => Err(self.damaged(format!("{name} has shape {:?}, expected a matrix", tensor.size()))),
        }
    }

    pub(super) fn turned(&self, name: &str) -> Result<Tensor> {
        Ok(self.matrix(name)?.tr())
    }

    pub(super) fn text(&self, key: &str) -> Option<&str> {
        self.settings.get(key)?.as_str()
    }

    pub(super) fn truth(&self, key: &str) -> Option<bool> {
        self.settings.get(key)?.as_bool()
    }

    /// A whole number from 1 on, an option first.
    pub(super) fn k(&self, said: Option<&Value>) -> Result<ActivationRule> {
        let said = said.and_then(Value::as_u64).map(|k| k as usize);
        let k = self.options.k.or(said).ok_or_else(|| {
            refuse(
                "k",
                "not given",
                "the files do not say how many features are active at a position: name it",
            )
        })?;
        Ok(ActivationRule::TopK(k))
    }

    /// An autoencoder that subtracts nothing, with a ReLU.
    pub(super) fn plain(
        &self,
        format: &'static str,
        (encoder, bias): (Tensor, Option<Tensor>),
        (decoder, output_bias): (Tensor, Option<Tensor>),
    ) -> Raw {
        let zeros = |n: Option<&i64>| Tensor::zeros([n.copied().unwrap_or(0)], (self.kind, tch::Device::Cpu));
        Raw {
            format,
            bias: bias.unwrap_or_else(|| zeros(encoder.size().get(1))),
            output_bias: output_bias.unwrap_or_else(|| zeros(decoder.size().get(1))),
            encoder,
            decoder,
            input_bias: None,
            skip: None,
            rule: ActivationRule::Relu,
            levels: vec![],
            later: vec![],
            preparation: Preparation::Plain,
            reads: None,
            writes: None,
            layer: None,
            before_gain: false,
        }
    }
}

impl Raw {
    /// Of a dictionary whose output's bias is taken off what it reads.
    pub(super) fn less_output_bias(self) -> Self {
        Self {
            input_bias: Some(self.output_bias.shallow_clone()),
            ..self
        }
    }

    /// With a threshold for each feature, or one for all.
    pub(super) fn with_thresholds(self, threshold: Tensor) -> Self {
        let threshold = match threshold.numel() {
            1 => threshold.reshape([1]).expand_as(&self.bias),
            _ => threshold,
        };
        Self {
            rule: ActivationRule::JumpRelu,
            levels: vec![threshold],
            ..self
        }
    }

    /// Activations in units of what they write: z ‖W_dec\[f\]‖, and W_dec\[f\] of length 1.
    pub(super) fn rescaled(self) -> Self {
        let norms = self.decoder.norm_scalaropt_dim(2, [-1], false); // [feature]
        // A feature that writes nothing is never active.
        let lengths = norms.clamp_min(1e-30).unsqueeze(1);
        Self {
            encoder: &self.encoder * &norms,
            bias: &self.bias * &norms,
            decoder: &self.decoder / lengths,
            ..self
        }
    }

    pub(super) fn at(self, reads: Option<Hook>, writes: Option<Hook>) -> Self {
        Self {
            reads: reads.map(|hook| hook.spot.place.site),
            writes: writes.map(|hook| hook.spot.place.site),
            layer: reads.map(|hook| hook.spot.layer),
            before_gain: reads.is_some_and(|hook| hook.before_gain),
            ..self
        }
    }
}
