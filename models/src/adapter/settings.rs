//! `adapter_config.json`, as PEFT writes it.

use std::path::Path;

use regex::Regex;
use serde_json::{Map, Value};

use crate::error::{Error, Result};

/// What adapter_config.json says.
pub(super) struct Settings {
    map: Map<String, Value>,
    rank: usize,
    alpha: f64,
    ranks: Vec<(Regex, f64)>,
    alphas: Vec<(Regex, f64)>,
    by_root: bool,
}

pub(crate) use crate::files::ADAPTER_SETTINGS as FILE;

/// What would make a model another one than it says here, and what is then to be done.
const REFUSED: [(&str, &str); 4] = [
    (
        "alora_invocation_tokens",
        "an adapter for a part of a text is not read here",
    ),
    (
        "layer_replication",
        "a model with repeated layers is not read here",
    ),
    (
        "target_parameters",
        "an adapter of parameters without a module is not read here",
    ),
    ("arrow_config", "a choice between adapters is not read here"),
];

/// Ways to start that change the model that is adapted.
const STARTS: [&str; 5] = ["pissa", "olora", "corda", "lora_ga", "loftq"];

impl Settings {
    pub(super) fn parse(text: &[u8]) -> Result<Self> {
        let map = match serde_json::from_slice(text) {
            Ok(Value::Object(map)) => map,
            Ok(_) => return Err(damaged("not a JSON object")),
            Err(error) => return Err(damaged(error)),
        };
        let settings = Self {
            rank: 0,
            alpha: 0.0,
            ranks: patterns(&map, "rank_pattern")?,
            alphas: patterns(&map, "alpha_pattern")?,
            by_root: map.get("use_rslora") == Some(&Value::Bool(true)),
            map,
        };
        settings.check()?;
        let rank = settings.map.get("r").and_then(Value::as_u64);
        let alpha = settings.map.get("lora_alpha").and_then(Value::as_f64);
        Ok(Self {
            rank: rank
                .filter(|&rank| rank > 0)
                .ok_or_else(|| settings.refuse("r", "expected a rank from 1"))? as usize,
            alpha: alpha
                .filter(|alpha| alpha.is_finite())
                .ok_or_else(|| settings.refuse("lora_alpha", "expected a number"))?,
            ..settings
        })
    }

    fn check(&self) -> Result<()> {
        if self.map.get("peft_type").and_then(Value::as_str) != Some("LORA") {
            return Err(self.refuse(
                "peft_type",
                "expected LORA, the one kind of adapter that is read here",
            ));
        }
        let set = |value: &&Value| {
            !value.is_null() && **value != Value::Array(vec![]) && **value != Value::Bool(false)
        };
        for (key, reason) in REFUSED {
            if self.map.get(key).filter(set).is_some() {
                return Err(self.refuse(key, reason));
            }
        }
        let start = self.map.get("init_lora_weights").and_then(Value::as_str);
        let start = start.unwrap_or_default().to_lowercase();
        match STARTS.iter().any(|name| start.starts_with(name)) {
            true => Err(self.refuse(
                "init_lora_weights",
                "training began by changing the model, which the adapter does not hold; save it with \
                 path_initial_model_for_weight_conversion",
            )),
            false => Ok(()),
        }
    }

    /// What the product of a module of this rank is multiplied by.
    pub(super) fn scale(&self, module: &str, rank: usize) -> Result<f64> {
        let of = |patterns: &[(Regex, f64)]| {
            let found = patterns.iter().find(|(pattern, _)| pattern.is_match(module));
            found.map(|(_, value)| *value)
        };
        let said = of(&self.ranks).map_or(self.rank, |rank| rank as usize);
        if said != rank {
            return Err(damaged(format!(
                "says rank {said} of {module}, whose weights have rank {rank}"
            )));
        }
        let alpha = of(&self.alphas).unwrap_or(self.alpha);
        let scale = match self.by_root {
            true => alpha / (rank as f64).sqrt(),
            false => alpha / rank as f64,
        };
        match (scale as f32).is_finite() {
            true => Ok(scale),
            false => Err(self.too_large(module)),
        }
    }

    /// The error about a scale that leads out of the numbers.
    pub(super) fn too_large(&self, module: &str) -> Error {
        let reason = format!("what it multiplies in {module} is beyond float32's range");
        self.refuse("lora_alpha", &reason)
    }

    /// Whether the weights of linear layers get lengths of their own.
    pub(super) fn is_dora(&self) -> bool {
        self.map.get("use_dora") == Some(&Value::Bool(true))
    }

    /// The tokens whose vectors are trained, of one matrix of embeddings.
    pub(super) fn tokens(&self, module: &str) -> Result<Vec<i64>> {
        let said = self.map.get("trainable_token_indices").unwrap_or(&Value::Null);
        let list = match said {
            Value::Object(by_name) => by_name
                .iter()
                .find(|(name, _)| module == *name || module.ends_with(&format!(".{name}")))
                .map(|(_, list)| list),
            list => Some(list),
        };
        let tokens = list
            .and_then(Value::as_array)
            .map(|list| list.iter().map(Value::as_i64));
        let tokens: Option<Vec<i64>> = tokens.and_then(Iterator::collect);
        tokens.ok_or_else(|| {
            self.refuse(
                "trainable_token_indices",
                &format!("expected the ids of {module}"),
            )
        })
    }

    /// Name or folder of the model that it changes.
    pub(super) fn base(&self) -> Option<&str> {
        let base = self.map.get("base_model_name_or_path")?.as_str()?;
        Some(base).filter(|base| !base.is_empty())
    }

    fn refuse(&self, key: &str, reason: &str) -> Error {
        let mut value = self.map.get(key).map_or("missing".into(), Value::to_string);
        if let Some((end, _)) = value.char_indices().nth(80) {
            value.truncate(end);
        }
        Error::Config {
            file: FILE,
            key: key.to_owned(),
            value,
            reason: reason.to_owned(),
        }
    }
}

/// Numbers for modules whose names end as a regular expression says, the first that fits being right.
fn patterns(map: &Map<String, Value>, key: &str) -> Result<Vec<(Regex, f64)>> {
    let Some(Value::Object(patterns)) = map.get(key) else {
        return Ok(vec![]);
    };
    let pattern = |(pattern, value): (&String, &Value)| {
        let regex = Regex::new(&format!(r"^(?:.*\.)?(?:{pattern})$")).ok();
        regex
            .zip(value.as_f64())
            .ok_or_else(|| damaged(format!("{key} has {pattern:?}: {value}, no name with a number")))
    };
    patterns.iter().map(pattern).collect()
}

fn damaged(reason: impl std::fmt::Display) -> Error {
    Error::Damaged {
        file: FILE.into(),
        reason: reason.to_string(),
    }
}

/// Whether a folder is an adapter and no model.
pub(crate) fn is_adapter(folder: &Path) -> bool {
    let model = [
        "model.safetensors",
        "model.safetensors.index.json",
        "pytorch_model.bin",
        "pytorch_model.bin.index.json",
    ];
    folder.join(FILE).is_file() && !model.iter().any(|name| folder.join(name).exists())
}
