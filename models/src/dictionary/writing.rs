//! A dictionary as the files of SAELens, which reads them from version 6 on, and so does [`reading`](super::reading).

use ndarray::ArrayD;
use serde_json::{Value, json};

use super::{ActivationRule, Dictionary, Preparation, hooks};
use crate::error::{Result, refuse};
use crate::guard::guard;
use crate::host;
use crate::model::Model;

/// What the two files of a folder have.
pub struct SaeLensFiles {
    /// `cfg.json`
    pub settings: Value,
    /// `sae_weights.safetensors`, by name.
    pub weights: Vec<(&'static str, ArrayD<f32>)>,
}

pub const SETTINGS: &str = "cfg.json";
pub const WEIGHTS: &str = "sae_weights.safetensors";
/// The version of SAELens from which on the settings are as they are written.
const FORMAT: &str = "6.0.0";

/// What SAELens computes the same activations of: autoencoders with a ReLU, a JumpReLU or the k largest.
///
/// # Errors
/// Transcoders and gated dictionaries, which this format writes otherwise; a place without a name in TransformerLens.
pub fn sae_lens(dictionary: &Dictionary, model: &Model) -> Result<SaeLensFiles> {
    let what = || format!("{:?} of {}", dictionary.rule, dictionary.format);
    if dictionary.is_transcoder() || dictionary.skip.is_some() {
        let reason = "only autoencoders are written in SAELens's format, and this is a transcoder";
        return Err(refuse("the dictionary", what(), reason));
    }
    let hook = hooks::to_transformer_lens(dictionary.reads, model.config().norm)
        .filter(|_| !dictionary.reads.place.encoder);
    let hook = hook.ok_or_else(|| {
        let reason =
            "SAELens has no name for this place of the model, and its files would not say where they belong";
        refuse("the site", dictionary.reads.place.name(), reason)
    })?;
    let normalize = match dictionary.preparation {
        Preparation::Plain => "none",
        Preparation::LayerNorm => "layer_norm",
        Preparation::ConstantNorm => "constant_norm_rescale",
        Preparation::BeforeGain { .. } => {
            let reason = "an input that is read before the gain of a norm is not written";
            return Err(refuse("the dictionary", what(), reason));
        }
    };
    let architecture = match dictionary.rule {
        ActivationRule::Relu => "standard",
        ActivationRule::JumpRelu => "jumprelu",
        ActivationRule::TopK(_) => "topk",
        ActivationRule::Gated => {
            let reason = "gates are stored as logarithms there, which would change the last digits";
            return Err(refuse("the dictionary", what(), reason));
        }
    };
    let mut settings = json!({
        "architecture": architecture,
        "d_in": dictionary.n_inputs(),
        "d_sae": dictionary.n_features(),
        "dtype": "float32",
        "device": "cpu",
        "apply_b_dec_to_input": dictionary.input_bias.is_some(),
        "normalize_activations": normalize,
        "reshape_activations": match hook.ends_with("hook_z") { true => "hook_z", false => "none" },
        // Without a version SAELens takes settings for those of its earlier ones.
        "metadata": {"hook_name": hook, "model_name": model.name(), "sae_lens_version": FORMAT},
    });
    if let ActivationRule::TopK(k) = dictionary.rule {
        settings["k"] = json!(k);
        settings["rescale_acts_by_decoder_norm"] = json!(false);
    }
    guard(|| {
        let mut weights = vec![
            ("W_enc", host::array(&dictionary.encoder)),
            ("b_enc", host::array(&dictionary.bias)),
            ("W_dec", host::array(&dictionary.decoder)),
            ("b_dec", host::array(&dictionary.output_bias)),
        ];
        if dictionary.rule == ActivationRule::JumpRelu {
            weights.push(("threshold", host::array(&dictionary.levels[0])));
        }
        Ok(SaeLensFiles { settings, weights })
    })
}
