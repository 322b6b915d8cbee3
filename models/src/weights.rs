//! Weights by canonical name, straight from the mapped file.

mod archive;
#[cfg(test)]
mod asked;
mod by_head;
mod finite;
mod guessing;
mod listed;
mod npz;
mod pickle;
mod prefix;
mod pytorch;
mod stored;
mod ties;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::rc::Rc;

use tch::{Device, Kind, Tensor};

use crate::adapter::LowRank;
use crate::error::{Error, Result};
use crate::families::{Family, WeightName};
use crate::files::index_name;
use crate::placement::Placement;
use crate::weight::Weight;
use ecco_interpreter::{Progress, Watch};

use prefix::common_start;

pub(crate) use by_head::side_by_side;
pub(crate) use guessing::leave_out_guessing_layers;
pub use listed::WeightCard;
pub(crate) use prefix::take_prefix_off;

pub(crate) use pytorch::settings as pytorch_settings;
pub(crate) use stored::kind_of;
pub(crate) use stored::{Encoded, StoredData, StoredWeight, by_name, stored_weights};

/// All weights of a model on their device. Taking one checks its shape.
pub struct Weights {
    /// By canonical name.
    tensors: BTreeMap<String, StoredTensor>,
    /// What was taken: layers may repeat the weights of others.
    taken: BTreeMap<String, Weight>,
    /// The first of those that are.
    missing: Vec<String>,
    n_missing: usize,
    /// What all of them are from.
    source: String,
    /// What stands before a file's name in its path.
    folder: String,
    /// What people should know of how it was read.
    notices: Vec<String>,
    family: &'static Family,
    /// What an adapter adds to linear layers, by canonical name, and whether it was asked for.
    low_ranks: BTreeMap<String, (Rc<LowRank>, bool)>,
    /// What was asked for, where every weight is there.
    #[cfg(test)]
    asked: Option<asked::Asked>,
}

/// A weight as it was found.
struct StoredTensor {
    file: Rc<str>,
    /// Its name there.
    name: String,
    weight: Weight,
}

/// What a model's weights come to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Sum {
    pub n_parameters: u64,
    /// That they take.
    pub n_bytes: u64,
    /// Whether some stay as the files have them, and become numbers when they are used.
    pub is_stored: bool,
}

/// As what weights are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WeightType {
    /// What is computed with.
    pub kind: Kind,
    /// Matrices that the files have in another type stay so, and are decoded when they are used.
    pub is_stored: bool,
}

impl Weights {
    /// The type in which a model's weights are kept: the one that most of its bytes are stored in. Some files have
    /// their norms or biases in another.
    pub(crate) fn kind(stored: &[StoredWeight], device: Device) -> Kind {
        let mut bytes = [Kind::Float, Kind::BFloat16, Kind::Half, Kind::Double].map(|kind| (kind, 0));
        for weight in stored {
            let of_kind = bytes.iter_mut().find(|(kind, _)| Some(*kind) == weight.kind());
            if let Some((_, sum)) = of_kind {
                *sum += weight.n_bytes();
            }
        }
        let most = bytes.iter().map(|(_, sum)| *sum).max();
        let kind = bytes.iter().find(|(_, sum)| Some(*sum) == most);
        match kind.map_or(Kind::Float, |(kind, _)| *kind) {
            // Half floats have no fast arithmetic on most CPUs; the values are the same in f32.
            Kind::Half if device == Device::Cpu => Kind::Float,
            kind => kind,
        }
    }

    /// Bytes that each weight takes, by canonical name.
    pub(crate) fn sizes(stored: &[StoredWeight], family: &Family, wanted: WeightType) -> Vec<(String, u64)> {
        let canonical = |weight: &StoredWeight| match family.weight_name(&weight.name) {
            WeightName::Canonical(name) if weight.stays(wanted) => Some((name, weight.n_bytes())),
            WeightName::Canonical(name) => Some((name, weight.n_bytes_as(wanted.kind))),
            _ => None,
        };
        stored.iter().filter_map(canonical).collect()
    }

    /// Puts every weight where it belongs, as what is wanted. A weight that is there already, as a mapped file is on the CPU,
    /// is not copied: the files must outlive the tensors. What is copied leaves no second copy on the host: the pages
    /// it was read from are given back.
    pub(crate) fn load(
        stored: Vec<StoredWeight>,
        family: &'static Family,
        placement: &Placement,
        wanted: WeightType,
        watch: &mut Watch,
    ) -> Result<Self> {
        let mut weights = Self {
            tensors: BTreeMap::new(),
            taken: BTreeMap::new(),
            missing: Vec::new(),
            n_missing: 0,
            source: source(&stored),
            folder: stored
                .first()
                .map_or_else(String::new, |weight| weight.file.folder().to_owned()),
            notices: Vec::new(),
            family,
            low_ranks: BTreeMap::new(),
            #[cfg(test)]
            asked: None,
        };
        let (mut done, total) = (0, stored.iter().map(StoredWeight::n_bytes).sum());
        let mut unknown: Vec<(Rc<str>, String)> = Vec::new();
        for weight in stored {
            done += weight.n_bytes();
            if watch(&loading(done, total)) == ControlFlow::Break(()) {
                return Err(Error::Interrupted);
            }
            let file: Rc<str> = weight.file.name.as_str().into();
            match family.weight_name(&weight.name) {
                WeightName::Ignored => {}
                WeightName::Unknown => unknown.push((file, weight.name)),
                WeightName::Canonical(canonical) => {
                    let spot = placement.of(&canonical);
                    let kind = match spot.kind.unwrap_or(wanted.kind) {
                        // Rounding would choose others, as transformers has it.
                        Kind::BFloat16 | Kind::Half if canonical.ends_with(".choice_bias") => Kind::Float,
                        kind => kind,
                    };
                    let (name, weight) = weight.weight(WeightType { kind, ..wanted }, spot.device)?;
                    weights.insert(canonical, StoredTensor { file, name, weight })?;
                }
            }
        }
        match weights.unexpected(unknown) {
            Some(error) => Err(error),
            None => Ok(weights),
        }
    }

    /// Weights that are where they belong already, by canonical name, with what is added to them.
    pub(crate) fn of_weights(
        own: BTreeMap<String, Weight>,
        low_ranks: BTreeMap<String, Rc<LowRank>>,
        family: &'static Family,
    ) -> Self {
        let file: Rc<str> = "the adapter".into();
        let stored = |(name, weight): (String, Weight)| {
            let stored = StoredTensor {
                file: Rc::clone(&file),
                name: family.name_in_file(&name),
                weight,
            };
            (name, stored)
        };
        Self {
            tensors: own.into_iter().map(stored).collect(),
            taken: BTreeMap::new(),
            missing: Vec::new(),
            n_missing: 0,
            source: file.to_string(),
            folder: String::new(),
            notices: Vec::new(),
            family,
            low_ranks: low_ranks
                .into_iter()
                .map(|(name, low_rank)| (name, (low_rank, false)))
                .collect(),
            #[cfg(test)]
            asked: None,
        }
    }

    /// What was taken, by canonical name.
    pub(crate) fn taken(&self) -> BTreeMap<String, Weight> {
        let each = self.taken.iter();
        each.map(|(name, weight)| (name.clone(), weight.shallow_clone()))
            .collect()
    }

    /// What an adapter adds to a linear layer with this weight.
    pub(crate) fn low_rank(&mut self, name: &str) -> Option<Rc<LowRank>> {
        let (low_rank, used) = self.low_ranks.get_mut(name)?;
        *used = true;
        Some(Rc::clone(low_rank))
    }

    /// What an adapter adds to a layer that nothing asked for.
    pub(crate) fn unused_low_rank(&self) -> Option<&str> {
        let unused = self.low_ranks.iter().find(|(_, (_, used))| !used);
        unused.map(|(name, _)| name.as_str())
    }

    /// The numbers of a weight of the given shape. One that is missing is remembered for [`Weights::finish`].
    pub fn take(&mut self, name: &str, shape: &[usize]) -> Result<Tensor> {
        let weight = self.take_whole(name, shape)?;
        let numbers = weight.tensor();
        if let Weight::Stored(_) = weight {
            self.taken.insert(name.to_owned(), numbers.shallow_clone().into());
        }
        Ok(numbers)
    }

    /// The same for what need not be numbers before it is used.
    pub(crate) fn take_whole(&mut self, name: &str, shape: &[usize]) -> Result<Weight> {
        if let Some(weight) = self.taken.get(name) {
            return Ok(weight.shallow_clone());
        }
        #[cfg(test)]
        if let Some(zeros) = self.ask(name, shape) {
            return Ok(zeros);
        }
        let Some(StoredTensor {
            file,
            name: in_file,
            weight,
        }) = self.tensors.remove(name)
        else {
            self.miss(self.family.name_in_file(name));
            return Ok(Tensor::new().into());
        };
        let found: Vec<usize> = weight.size().iter().map(|&size| size as usize).collect();
        if found == shape {
            self.taken.insert(name.to_owned(), weight.shallow_clone());
            return Ok(weight);
        }
        Err(Error::WeightShape {
            file: file.to_string(),
            name: in_file,
            found,
            expected: shape.to_vec(),
        })
    }

    /// The weight of a linear layer as `[in, out]`, a view where the family stores `[out, in]`.
    pub(crate) fn take_linear(&mut self, name: &str, inputs: usize, outputs: usize) -> Result<Weight> {
        match self.family.linear_in_out {
            true => self.take_whole(name, &[inputs, outputs]),
            false => Ok(self.take_whole(name, &[outputs, inputs])?.tr()),
        }
    }

    /// Keeps a weight, of two by different names the one whose name is further down in the family's tables.
    fn insert(&mut self, canonical: String, new: StoredTensor) -> Result<()> {
        let Some(old) = self.tensors.get(&canonical) else {
            self.tensors.insert(canonical, new);
            return Ok(());
        };
        let [rank_old, rank_new] = [old, &new].map(|stored| self.family.rank(&stored.name));
        if rank_old == rank_new && !old.weight.is_same(&new.weight) {
            return Err(Error::Damaged {
                file: new.file.to_string(),
                reason: format!("{} and {} are one weight, and differ", old.name, new.name),
            });
        }
        if rank_old < rank_new {
            self.tensors.insert(canonical, new);
        }
        Ok(())
    }

    /// Whether a weight is there.
    pub fn has(&self, name: &str) -> bool {
        self.tensors.contains_key(name) || self.taken.contains_key(name)
    }

    /// Leaves out a weight that is stored and that nothing asked for.
    pub(crate) fn pass_over(&mut self, name: &str) {
        self.tensors.remove(name);
    }

    /// Whether nothing of a layer is there, which is then remembered as missing: a config with an absurd
    /// number of layers ends at the first that the file does not have.
    pub fn lacks_layer(&mut self, prefix: &str) -> bool {
        #[cfg(test)]
        if self.asked.is_some() {
            return false;
        }
        let starts = |name: Option<&String>| name.is_some_and(|name| name.starts_with(prefix));
        let lacks = !starts(
            self.tensors
                .range(prefix.to_owned()..)
                .next()
                .map(|(name, _)| name),
        ) && !starts(self.taken.range(prefix.to_owned()..).next().map(|(name, _)| name));
        if lacks {
            self.miss(format!("everything of {}", prefix.trim_end_matches('.')));
        }
        lacks
    }

    fn miss(&mut self, name: String) {
        self.n_missing += 1;
        if self.missing.len() < NAMED {
            self.missing.push(name);
        }
    }

    /// Checks that everything asked for was there, and everything there was asked for; what it comes to, and
    /// what people should know of how they were read.
    pub(crate) fn finish(self) -> Result<(Sum, Vec<String>)> {
        if !self.missing.is_empty() {
            return Err(Error::WeightsMissing {
                names: shorten(&self.missing, self.n_missing),
                head_alone: self.n_missing == 1 && self.missing[0] == self.family.name_in_file("head.weight"),
                file: self.source,
            });
        }
        // Files of encoders often have the heads of several tasks.
        let left = self.tensors.iter().filter(|(name, _)| !name.starts_with("task."));
        let left = left.map(|(_, stored)| (Rc::clone(&stored.file), stored.name.clone()));
        match self.unexpected(left.collect()) {
            Some(error) => Err(error),
            None => Ok((Sum::of(self.taken.values()), self.notices)),
        }
    }

    /// The error about names that the family does not have; the file is the first one's.
    fn unexpected(&self, names: Vec<(Rc<str>, String)>) -> Option<Error> {
        let (file, _) = names.first()?;
        let first: Vec<String> = names.iter().map(|(_, name)| name.clone()).take(NAMED).collect();
        Some(Error::WeightsUnexpected {
            path: format!("{}{file}", self.folder),
            model_type: self.family.model_type.to_owned(),
            start: common_start(names.iter().map(|(_, name)| name.as_str())).to_owned(),
            names: shorten(&first, names.len()),
        })
    }
}

impl Sum {
    fn of<'a>(weights: impl Iterator<Item = &'a Weight>) -> Self {
        weights.fold(Self::default(), |sum, weight| Self {
            n_parameters: sum.n_parameters + weight.numel(),
            n_bytes: sum.n_bytes + weight.n_bytes(),
            is_stored: sum.is_stored || matches!(weight, Weight::Stored(_)),
        })
    }
}

/// Names that an error says.
const NAMED: usize = 4;

/// The first few of `n` names and how many more there are.
fn shorten(names: &[String], n: usize) -> String {
    let first = names
        .iter()
        .map(|name| name.chars().take(80).collect::<String>())
        .collect::<Vec<_>>();
    match n.saturating_sub(NAMED) {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}

/// What all weights are from: the file, or the index of several.
fn source(stored: &[StoredWeight]) -> String {
    match stored {
        [] => "the file of weights".into(),
        [first, rest @ ..] if rest.iter().all(|other| other.file.name == first.file.name) => {
            first.file.name.clone()
        }
        [first, ..] => index_name(first.file.format).into(),
    }
}

fn loading(done: u64, total: u64) -> Progress {
    Progress {
        label: "loading weights".into(),
        done,
        total: Some(total),
        unit: "bytes",
    }
}
