//! A decoder as data: what a family's `config.json` is mapped to.

use serde_json::{Map, Value};

use crate::error::{Error, Result};

/// Everything the [`Decoder`](crate::decoder::Decoder) has to know, whatever the family.
#[derive(Debug, Clone, PartialEq)]
pub struct DecoderConfig {
    /// Hugging Face's name of the family.
    pub model_type: String,
    pub vocab_size: usize,
    /// The most tokens the model takes.
    pub context_length: usize,
    pub hidden_size: usize,
    pub n_layers: usize,
    pub n_heads: usize,
    /// Neurons of each MLP.
    pub intermediate_size: usize,
    pub activation: Activation,
    pub norm_epsilon: f64,
    /// The factor on query · key, by layer.
    pub attention_scales: Vec<f64>,
    /// The head shares the token embedding's weights.
    pub tied_head: bool,
}

impl DecoderConfig {
    pub fn head_dim(&self) -> usize {
        self.hidden_size / self.n_heads
    }
}

/// The MLP's non-linearity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// x Φ(x) (1606.08415).
    Gelu,
    /// Its approximation by tanh.
    GeluTanh,
    Relu,
    Silu,
    Tanh,
}

impl Activation {
    /// Hugging Face's names.
    const NAMES: &[(&str, Activation)] = &[
        ("gelu", Self::Gelu),
        ("gelu_new", Self::GeluTanh),
        ("gelu_pytorch_tanh", Self::GeluTanh),
        ("gelu_fast", Self::GeluTanh),
        ("relu", Self::Relu),
        ("silu", Self::Silu),
        ("swish", Self::Silu),
        ("tanh", Self::Tanh),
    ];
}

/// `config.json`, read key by key with errors that name the key and its value.
pub struct ConfigFile(Map<String, Value>);

/// Sizes beyond this are a damaged file, not a model: they must not reach an allocation.
const LARGEST: u64 = 1 << 24;

impl ConfigFile {
    pub fn parse(text: &[u8]) -> Result<Self> {
        match serde_json::from_slice(text) {
            Ok(Value::Object(map)) => Ok(Self(map)),
            Ok(_) => Err(Error::Damaged {
                file: "config.json".into(),
                reason: "not a JSON object".into(),
            }),
            Err(error) => Err(Error::Damaged {
                file: "config.json".into(),
                reason: error.to_string(),
            }),
        }
    }

    pub fn text(&self, key: &str) -> Result<&str> {
        match self.0.get(key) {
            Some(Value::String(text)) => Ok(text),
            other => Err(self.error(key, other, "expected a string")),
        }
    }

    /// A size: at least 1 and not absurd.
    pub fn size(&self, key: &str) -> Result<usize> {
        match self.0.get(key).and_then(Value::as_u64) {
            Some(size @ 1..=LARGEST) => Ok(size as usize),
            _ => Err(self.error(
                key,
                self.0.get(key),
                "expected a whole number from 1 to 16,777,216",
            )),
        }
    }

    /// A size that may be absent or null.
    pub fn size_or(&self, key: &str, default: usize) -> Result<usize> {
        if self.is_set(key) {
            self.size(key)
        } else {
            Ok(default)
        }
    }

    pub fn number_or(&self, key: &str, default: f64) -> Result<f64> {
        match self.0.get(key) {
            None | Some(Value::Null) => Ok(default),
            Some(value) => value
                .as_f64()
                .ok_or_else(|| self.error(key, Some(value), "expected a number")),
        }
    }

    pub fn flag_or(&self, key: &str, default: bool) -> Result<bool> {
        match self.0.get(key) {
            None | Some(Value::Null) => Ok(default),
            Some(value) => value
                .as_bool()
                .ok_or_else(|| self.error(key, Some(value), "expected true or false")),
        }
    }

    pub fn activation(&self, key: &str, default: Activation) -> Result<Activation> {
        if !self.is_set(key) {
            return Ok(default);
        }
        let name = self.text(key)?;
        let known = Activation::NAMES.iter().find(|(known, _)| *known == name);
        known.map(|(_, activation)| *activation).ok_or_else(|| {
            let names: Vec<&str> = Activation::NAMES.iter().map(|(name, _)| *name).collect();
            self.error(
                key,
                self.0.get(key),
                &format!("expected one of {}", names.join(", ")),
            )
        })
    }

    fn is_set(&self, key: &str) -> bool {
        self.0.get(key).is_some_and(|value| !value.is_null())
    }

    fn error(&self, key: &str, value: Option<&Value>, reason: &str) -> Error {
        let mut value = value.map_or("missing".into(), Value::to_string);
        if let Some((end, _)) = value.char_indices().nth(80) {
            value.truncate(end);
        }
        Error::Config {
            file: "config.json",
            key: key.to_owned(),
            value,
            reason: reason.to_owned(),
        }
    }

    /// An error about a value that is well formed but cannot be.
    pub fn refuse(&self, key: &str, reason: &str) -> Error {
        self.error(key, self.0.get(key), reason)
    }
}
