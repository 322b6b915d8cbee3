//! `adapter_model.safetensors`: which weights of the model an adapter changes, and how.

use std::collections::BTreeMap;
use std::rc::Rc;

use tch::{Device, Kind, Tensor};

use super::low_rank::LowRank;
use super::settings::Settings;
use super::{Change, EMBEDDING, HEAD, Tunable};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::families::{Family, WeightName};
use crate::files::ModelFiles;
use crate::host::{self, bring};
use crate::weight::Weight;
use crate::weights::{StoredWeight, stored_weights};

pub(super) const WEIGHTS: &str = "adapter_model.safetensors";

/// What a tensor is to its module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Down,
    Up,
    UpBias,
    Magnitude,
    EmbeddingDown,
    EmbeddingUp,
    Rows,
    Whole,
}

/// What names end with behind their module's, and the end of the weight that is changed.
const ENDINGS: [(&str, Part, &str); 12] = [
    (".lora_A.weight", Part::Down, ".weight"),
    (".lora_B.weight", Part::Up, ".weight"),
    (".lora_B.bias", Part::UpBias, ".weight"),
    (".lora_magnitude_vector.weight", Part::Magnitude, ".weight"),
    (".lora_magnitude_vector", Part::Magnitude, ".weight"),
    (".lora_embedding_A", Part::EmbeddingDown, ".weight"),
    (".lora_embedding_B", Part::EmbeddingUp, ".weight"),
    (".token_adapter.trainable_tokens_delta", Part::Rows, ".weight"),
    (".base_layer.weight", Part::Whole, ".weight"),
    (".base_layer.bias", Part::Whole, ".bias"),
    (".weight", Part::Whole, ".weight"),
    (".bias", Part::Whole, ".bias"),
];

/// Name or folder of the model that an adapter changes.
pub(crate) fn base_of(files: &ModelFiles) -> Result<Option<String>> {
    Ok(Settings::parse(&files.config)?.base().map(str::to_owned))
}

/// The name without what PEFT puts around it: its module's, what it is to it, and the name of the weight.
fn parse(name: &str) -> Result<(String, Part, String)> {
    let bare = name.strip_prefix("base_model.model.");
    // Some files name the adapter within.
    let bare = bare.map(|bare| {
        let inside = bare.replace(".modules_to_save.", ".").replace(".default.", ".");
        inside
            .strip_suffix(".default")
            .map_or(inside.clone(), str::to_owned)
    });
    let found = bare.as_deref().and_then(|bare| {
        ENDINGS.iter().find_map(|(ending, part, weight)| {
            let module = bare.strip_suffix(ending)?;
            Some((module.to_owned(), *part, format!("{module}{weight}")))
        })
    });
    found.ok_or_else(|| damaged(format!("has {name}, which is no part of a LoRA adapter")))
}

/// The tensors of one module by what they are to it, and its name.
struct Module {
    name: String,
    parts: BTreeMap<Part, Tensor>,
}

impl Tunable {
    /// A model's weights with what the adapter makes of them.
    ///
    /// # Errors
    /// Where the adapter's files are damaged, or another model's.
    pub(crate) fn read(
        files: &ModelFiles,
        family: &'static Family,
        config: Config,
        weights: BTreeMap<String, Weight>,
    ) -> Result<Self> {
        let settings = Settings::parse(&files.config)?;
        let mut tunable = Self {
            family,
            config,
            weights,
            changes: vec![],
        };
        for (canonical, module) in modules(files, family)? {
            let own = tunable.own(&canonical);
            let own = own.ok_or_else(|| tunable.stranger(&canonical))?;
            let changes = module.changes(&settings, &canonical, own, family)?;
            let named = changes.into_iter().map(|change| (canonical.clone(), change));
            tunable.changes.extend(named);
        }
        match tunable.changes.is_empty() {
            true => Err(damaged("has no weights")),
            false => Ok(tunable),
        }
    }
}

/// What is changed, by canonical name.
fn modules(files: &ModelFiles, family: &Family) -> Result<BTreeMap<String, Module>> {
    let mut modules: BTreeMap<String, Module> = BTreeMap::new();
    for weight in stored_weights(files)? {
        let (module, part, name) = parse(&weight.name)?;
        let canonical = match family.weight_name(&name) {
            WeightName::Canonical(canonical) => canonical,
            WeightName::Ignored => continue,
            WeightName::Unknown => {
                return Err(misfit(format!(
                    "changes {module}, which a {} model does not have",
                    family.model_type
                )));
            }
        };
        let entry = modules.entry(canonical).or_insert_with(|| Module {
            name: module,
            parts: BTreeMap::new(),
        });
        entry.parts.insert(part, copied(&weight)?);
    }
    Ok(modules)
}

/// The numbers of a small file, which need not outlive it.
fn copied(weight: &StoredWeight) -> Result<Tensor> {
    Ok(weight.tensor((Kind::Float, Device::Cpu))?.copy())
}

impl Module {
    /// What becomes of the weight `own`, as its file has it.
    fn changes(
        &self,
        settings: &Settings,
        canonical: &str,
        own: &Weight,
        family: &Family,
    ) -> Result<Vec<Change>> {
        let place = own.place();
        let has = |part: &Part| self.parts.contains_key(part);
        let mut changes = Vec::new();
        let mut own = own.shallow_clone();
        if let Some(whole) = self.parts.get(&Part::Whole) {
            self.check_whole(whole, canonical, &own)?;
            let whole = bring(whole, place);
            own = whole.shallow_clone().into();
            changes.push(Change::Whole(whole));
        }
        if let Some(rows) = self.parts.get(&Part::Rows) {
            changes.push(self.rows(settings, rows, &own)?);
        }
        if has(&Part::EmbeddingDown) || has(&Part::EmbeddingUp) {
            changes.push(self.sum(settings, &own)?);
        }
        if [Part::Down, Part::Up, Part::UpBias].iter().any(has) {
            changes.push(self.low_rank(settings, canonical, &own, family)?);
        }
        match changes.is_empty() {
            true => Err(damaged(format!(
                "has magnitudes of {}, and nothing else",
                self.name
            ))),
            false => Ok(changes),
        }
    }

    /// Trained vectors of some tokens.
    fn rows(&self, settings: &Settings, rows: &Tensor, own: &Weight) -> Result<Change> {
        let tokens = settings.tokens(&self.name)?;
        let n_rows = own.size()[0];
        if let Some(token) = tokens.iter().find(|token| !(0..n_rows).contains(*token)) {
            return Err(misfit(format!(
                "trains token {token} of {}, which has {n_rows} rows",
                self.name
            )));
        }
        let shape = [tokens.len() as i64, own.size()[own.size().len() - 1]];
        self.expect(rows, &shape, "trainable_tokens_delta")?;
        let index = host::tensor(&tokens, own.device());
        Ok(Change::Rows(index, bring(rows, own.place())))
    }

    /// LoRA of an embedding.
    fn sum(&self, settings: &Settings, own: &Weight) -> Result<Change> {
        let (down, up) = (
            self.part(Part::EmbeddingDown, "lora_embedding_A")?,
            self.part(Part::EmbeddingUp, "lora_embedding_B")?,
        );
        if self.parts.contains_key(&Part::Magnitude) || own.size().len() != 2 {
            return Err(damaged(format!(
                "has DoRA's magnitudes of {}, which is no linear layer",
                self.name
            )));
        }
        let rank = down.size()[0];
        self.expect(down, &[rank, own.size()[0]], "lora_embedding_A")?;
        self.expect(up, &[own.size()[1], rank], "lora_embedding_B")?;
        let scale = settings.scale(&self.name, rank as usize)?;
        let placed = |tensor: Tensor| bring(&tensor, own.place());
        Ok(Change::Sum(placed(down.tr()), placed(up.tr() * scale)))
    }

    fn check_whole(&self, whole: &Tensor, canonical: &str, own: &Weight) -> Result<()> {
        let may_grow = [EMBEDDING, HEAD].contains(&canonical) && whole.dim() == own.size().len();
        let rows = if may_grow { whole.size()[0] } else { own.size()[0] };
        let expected = [&[rows], &own.size()[1..]].concat();
        self.expect(whole, &expected, "weight")
    }

    fn low_rank(
        &self,
        settings: &Settings,
        canonical: &str,
        own: &Weight,
        family: &Family,
    ) -> Result<Change> {
        let (down, up) = (self.part(Part::Down, "lora_A")?, self.part(Part::Up, "lora_B")?);
        if own.size().len() != 2 || canonical == EMBEDDING {
            return Err(damaged(format!(
                "has lora_A of {}, which is no linear layer",
                self.name
            )));
        }
        let weight = match family.linear_in_out && canonical != HEAD {
            true => own.shallow_clone(),
            false => own.tr(),
        }; // [in, out]
        let (rank, outputs) = (down.size()[0], weight.size()[1]);
        self.expect(down, &[rank, weight.size()[0]], "lora_A")?;
        self.expect(up, &[outputs, rank], "lora_B")?;
        let placed = |tensor: &Tensor| bring(tensor, own.place());
        let bias = self.parts.get(&Part::UpBias);
        if let Some(bias) = bias {
            self.expect(bias, &[outputs], "lora_B.bias")?;
        }
        let scale = settings.scale(&self.name, rank as usize)?;
        if host::number(&(up * scale).isfinite().all()) == 0.0 {
            return Err(settings.too_large(&self.name));
        }
        let low_rank = LowRank::new(
            placed(&down.tr()),
            &placed(&up.tr()),
            bias.map(placed).as_ref(),
            scale,
        );
        let low_rank = self.lengthened(settings, low_rank, &weight)?;
        Ok(Change::LowRank(Rc::new(low_rank)))
    }

    /// With the lengths that DoRA gives to the weights of outputs.
    fn lengthened(&self, settings: &Settings, low_rank: LowRank, weight: &Weight) -> Result<LowRank> {
        match self.parts.get(&Part::Magnitude) {
            Some(magnitude) => {
                let magnitude = magnitude.flatten(0, -1);
                self.expect(&magnitude, &[weight.size()[1]], "lora_magnitude_vector")?;
                let magnitude = bring(&magnitude, (magnitude.kind(), weight.device()));
                Ok(low_rank.with_magnitude(&magnitude, &weight.tensor()))
            }
            None if settings.is_dora() => {
                Err(damaged(format!("has no lora_magnitude_vector of {}", self.name)))
            }
            None => Ok(low_rank),
        }
    }

    fn part(&self, part: Part, name: &str) -> Result<&Tensor> {
        let found = self.parts.get(&part);
        let found = found.ok_or_else(|| damaged(format!("has no {name} of {}", self.name)))?;
        match found.dim() == 2 && found.numel() > 0 {
            true => Ok(found),
            false => Err(damaged(format!(
                "has {name} of {} with shape {:?}; expected a matrix",
                self.name,
                found.size()
            ))),
        }
    }

    fn expect(&self, tensor: &Tensor, shape: &[i64], part: &str) -> Result<()> {
        match tensor.size() == shape {
            true => Ok(()),
            false => Err(misfit(format!(
                "has {part} of {} with shape {:?}; the model's asks for {shape:?}",
                self.name,
                tensor.size()
            ))),
        }
    }
}

/// The error about an adapter of another model.
pub(super) fn misfit(reason: String) -> Error {
    Error::AdapterMisfit {
        file: WEIGHTS,
        reason,
    }
}

fn damaged(reason: impl Into<String>) -> Error {
    Error::Damaged {
        file: WEIGHTS.into(),
        reason: reason.into(),
    }
}
