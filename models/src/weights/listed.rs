//! A model's weights for people: what its files call them, what they are, and their numbers.

use ndarray::ArrayD;
use tch::{Device, Kind};

use super::stored::{StoredWeight, stored_weights};
use super::take_prefix_off;
use crate::config::ConfigFile;
use crate::device;
use crate::error::{Result, refuse};
use crate::families::{self, Family, WeightName};
use crate::guard::guard;
use crate::host;
use crate::model::Model;
use crate::quantization::dequantized;

/// A weight that a model was loaded from.
#[derive(Debug, Clone, PartialEq)]
pub struct WeightCard {
    /// What the files call it.
    pub name: String,
    /// What it is in every family: `blocks.0.attention.query.weight`; none for what a model does without.
    pub role: Option<String>,
    pub file: String,
    pub shape: Vec<usize>,
    /// The type that it is stored as, or meant to become.
    pub dtype: String,
}

impl Model {
    /// The weights in its files, in any order. Several tensors of a quantized weight are one.
    ///
    /// # Errors
    /// Files that have changed since they were read.
    pub fn weights(&self) -> Result<Vec<WeightCard>> {
        self.of_stored(|stored, family| Ok(stored.iter().map(|weight| card(weight, family)).collect()))
    }

    /// The numbers of the weight that its files call so, or that has this role, as they are stored: without an adapter.
    ///
    /// # Errors
    /// No such weight, one of no numbers, files that have changed since they were read.
    pub fn weight(&self, name: &str) -> Result<ArrayD<f32>> {
        self.of_stored(|stored, family| {
            let is_it = |weight: &&StoredWeight| {
                weight.name == name || role(weight, family).is_some_and(|role| role == name)
            };
            let weight = stored.iter().find(is_it).ok_or_else(|| {
                let reason = format!("{:?} has no weight of that name or role", self.name());
                refuse("name", format!("{name:?}"), reason)
            })?;
            Ok(host::array(&weight.tensor((Kind::Float, Device::Cpu))?))
        })
    }

    fn of_stored<T>(&self, look: impl FnOnce(Vec<StoredWeight>, &Family) -> Result<T>) -> Result<T> {
        guard(|| {
            let files = self.files();
            files.ensure_unchanged()?;
            let config = ConfigFile::parse(&files.config)?;
            let family = families::find(&config)?;
            let mut stored = dequantized(stored_weights(files)?, &config, family)?;
            take_prefix_off(&mut stored, family);
            look(stored, family)
        })
    }
}

fn role(weight: &StoredWeight, family: &Family) -> Option<String> {
    match family.weight_name(&weight.name) {
        WeightName::Canonical(name) => Some(name),
        _ => None,
    }
}

fn card(weight: &StoredWeight, family: &Family) -> WeightCard {
    WeightCard {
        name: weight.name.clone(),
        role: role(weight, family),
        file: weight.file.name.clone(),
        shape: weight.shape.clone(),
        dtype: weight.kind().map_or("integers", device::kind_name).to_owned(),
    }
}
