//! What a file's header says of its model, as the `config.json` and `generation_config.json` that it stands for.

use serde_json::{Map, Value as Json, json};

use super::architectures::{self, Architecture};
use super::reader::{Gguf, Value};
use crate::error::{Error, Result};

/// A file's header, its keys read for one architecture.
pub(super) struct Header<'h, 'a> {
    pub(super) file: &'h str,
    pub(super) architecture: &'a str,
    pub(super) gguf: &'h Gguf<'a>,
}

impl<'h, 'a> Header<'h, 'a> {
    pub(super) fn new(file: &'h str, gguf: &'h Gguf<'a>) -> Result<Self> {
        let architecture = gguf.text("general.architecture").ok_or_else(|| Error::Damaged {
            file: file.to_owned(),
            reason: "does not say its general.architecture".into(),
        })?;
        Ok(Self {
            file,
            architecture,
            gguf,
        })
    }

    pub(super) fn damaged(&self, reason: String) -> Error {
        Error::Damaged {
            file: self.file.to_owned(),
            reason,
        }
    }

    /// A value by its key behind the architecture's name. Where it is a list for each layer, they must agree.
    fn value(&self, key: &str) -> Result<Option<Value<'a>>> {
        match self.gguf.get(&self.key(key)) {
            Some(Value::Numbers(list)) => {
                let mut values = list.iter();
                let first = values.next();
                match values.all(|value| Some(&value) == first.as_ref()) {
                    true => Ok(first),
                    false => Err(self.damaged(format!("{} differs between layers", self.key(key)))),
                }
            }
            value => Ok(value.cloned()),
        }
    }

    fn key(&self, key: &str) -> String {
        format!("{}.{key}", self.architecture)
    }

    /// A whole number, if it is there.
    pub(super) fn size(&self, key: &str) -> Result<Option<usize>> {
        match self.value(key)? {
            None => Ok(None),
            Some(value) => match value.whole().filter(|size| *size < 1 << 32) {
                Some(size) => Ok(Some(size as usize)),
                None => Err(self.damaged(format!("{} is {value}: expected a whole number", self.key(key)))),
            },
        }
    }

    /// A whole number above 0.
    pub(super) fn needed_size(&self, key: &str) -> Result<usize> {
        match self.size(key)? {
            Some(0) => Err(self.damaged(format!("{} is 0", self.key(key)))),
            Some(size) => Ok(size),
            None => Err(self.damaged(format!("does not say its {}", self.key(key)))),
        }
    }

    pub(super) fn has_tensor(&self, name: &str) -> bool {
        self.gguf.tensor(name).is_some()
    }

    pub(super) fn n_heads(&self) -> Result<usize> {
        self.needed_size("attention.head_count")
    }

    pub(super) fn n_kv_heads(&self) -> Result<usize> {
        match self.size("attention.head_count_kv")? {
            None | Some(0) => self.n_heads(),
            Some(n) => Ok(n),
        }
    }

    pub(super) fn head_dim(&self) -> Result<usize> {
        match self.size("attention.key_length")? {
            Some(size) if size > 0 => Ok(size),
            _ => Ok(self.needed_size("embedding_length")? / self.n_heads()?),
        }
    }

    /// The `config.json` that the header stands for.
    pub(super) fn config(&self) -> Result<Json> {
        let row = architectures::find(self)?;
        let mut config = Map::new();
        config.insert("model_type".into(), json!(row.model_type));
        for (key, in_config) in row.keys.iter().copied().flatten() {
            if let Some(value) = self.value(key)? {
                config.insert((*in_config).to_owned(), self.json(key, &value)?);
            }
        }
        for needed in ["block_count", "embedding_length", "attention.head_count"] {
            self.needed_size(needed)?;
        }
        let n_tokens = match self
            .gguf
            .tensor("token_embd.weight")
            .map(|tensor| tensor.shape.as_slice())
        {
            Some([n_tokens, _]) => *n_tokens,
            _ => return Err(self.damaged("has no matrix token_embd.weight".into())),
        };
        config.insert("vocab_size".into(), json!(n_tokens));
        config.insert(
            "tie_word_embeddings".into(),
            json!(!self.has_tensor("output.weight")),
        );
        self.turns(row, &mut config)?;
        (row.more)(self, &mut config)?;
        Ok(config.into())
    }

    /// How much of each head is turned, and what was done to the frequencies.
    fn turns(&self, row: &Architecture, config: &mut Map<String, Json>) -> Result<()> {
        if !row
            .keys
            .iter()
            .copied()
            .flatten()
            .any(|(key, _)| *key == "rope.freq_base")
        {
            return Ok(());
        }
        let head_dim = self.head_dim()?;
        let turned = self.size("rope.dimension_count")?.unwrap_or(head_dim);
        // Half a dimension more: what is read here is rounded down.
        let part = if turned == head_dim {
            1.0
        } else {
            (turned as f64 + 0.5) / head_dim.max(1) as f64
        };
        config.insert("partial_rotary_factor".into(), json!(part));
        if let Some(scaling) = self.scaling()? {
            config.insert("rope_scaling".into(), scaling);
        }
        Ok(())
    }

    fn scaling(&self) -> Result<Option<Json>> {
        let real = |key: &str| Ok::<_, Error>(self.value(key)?.and_then(|value| value.real()));
        // Llama 3.1's come as a factor for each frequency.
        if let Some(all) = self.factors("rope_freqs.weight")? {
            return Ok(Some(json!({
                "rope_type": "longrope", "short_factor": all, "long_factor": all, "attention_factor": 1.0,
            })));
        }
        let names = ["rope_factors_short.weight", "rope_factors_long.weight"];
        let mut scaling = match names.map(|name| self.factors(name)) {
            [Ok(Some(short)), Ok(Some(long))] => {
                json!({"rope_type": "longrope", "short_factor": short, "long_factor": long})
            }
            [Err(error), _] | [_, Err(error)] => return Err(error),
            _ => {
                let factor = real("rope.scaling.factor")?.or(real("rope.scale_linear")?);
                match (self.gguf.text(&self.key("rope.scaling.type")), factor) {
                    (None | Some("none"), _) | (Some("linear"), None) => return Ok(None),
                    (Some(kind @ ("linear" | "yarn")), Some(factor)) => {
                        json!({"rope_type": kind, "factor": factor})
                    }
                    (Some(kind), _) => return Err(self.unknown_scaling(kind)),
                }
            }
        };
        if let Some(original) = self.size("rope.scaling.original_context_length")? {
            scaling["original_max_position_embeddings"] = json!(original);
        }
        // YaRN's follows from its factor.
        let of_longrope = real("rope.scaling.attn_factor")?.filter(|_| scaling["rope_type"] == "longrope");
        if let Some(factor) = of_longrope {
            scaling["attention_factor"] = json!(factor);
        }
        Ok(Some(scaling))
    }

    fn unknown_scaling(&self, kind: &str) -> Error {
        let key = self.key("rope.scaling.type");
        self.damaged(format!(
            "{key} is {kind:?}: linear and yarn with a factor are read here"
        ))
    }

    /// The numbers of a small tensor of single floats.
    fn factors(&self, name: &str) -> Result<Option<Vec<f32>>> {
        let Some(tensor) = self.gguf.tensor(name) else {
            return Ok(None);
        };
        if tensor.block.name != "F32" {
            return Err(self.damaged(format!("{name} is stored as {}, expected F32", tensor.block.name)));
        }
        let numbers = tensor.bytes.chunks_exact(4);
        Ok(Some(
            numbers
                .map(|bytes| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
                .collect(),
        ))
    }

    fn json(&self, key: &str, value: &Value) -> Result<Json> {
        Ok(match value {
            Value::Whole(number) => json!(i64::try_from(*number).unwrap_or(i64::MAX)),
            Value::Real(number) if number.is_finite() => json!(number),
            Value::Flag(flag) => json!(flag),
            Value::Text(text) => json!(text),
            _ => return Err(self.damaged(format!("{} is {value}", self.key(key)))),
        })
    }

    /// The `generation_config.json` that the header stands for: the tokens at which texts start and end.
    pub(super) fn generation_config(&self) -> Json {
        let id = |name: &str| self.gguf.get(&format!("tokenizer.ggml.{name}_token_id"))?.whole();
        let ends: Vec<u64> = ["eos", "eot"].into_iter().filter_map(id).collect();
        let mut config = Map::new();
        if !ends.is_empty() {
            config.insert("eos_token_id".into(), json!(ends));
        }
        let start = self.gguf.get(&self.key("decoder_start_token_id"));
        if let Some(start) = start.and_then(Value::whole) {
            config.insert("decoder_start_token_id".into(), json!(start));
        }
        for (name, key) in [("bos", "bos_token_id"), ("padding", "pad_token_id")] {
            if let Some(id) = id(name) {
                config.insert(key.into(), json!(id));
            }
        }
        config.into()
    }
}
