//! What a model asks for, without a file: for tests that make the weights of a configuration.

use std::collections::BTreeMap;

use tch::{Device, Kind, Tensor};

use super::Weights;
use crate::error::Result;
use crate::families::Family;
use crate::weight::Weight;

/// Names in files and shapes.
pub(crate) type Asked = Vec<(String, Vec<usize>)>;

impl Weights {
    /// The weights that something takes, of which each is there as zeros.
    pub(crate) fn asked_for(
        family: &'static Family,
        take: impl FnOnce(&mut Self) -> Result<()>,
    ) -> Result<Asked> {
        let mut weights = Self::of_weights(BTreeMap::new(), BTreeMap::new(), family);
        weights.asked = Some(Asked::new());
        take(&mut weights)?;
        Ok(weights.asked.unwrap_or_default())
    }

    /// Zeros, where it is only asked what is taken.
    pub(super) fn ask(&mut self, name: &str, shape: &[usize]) -> Option<Weight> {
        let asked = self.asked.as_mut()?;
        asked.push((self.family.name_in_file(name), shape.to_vec()));
        let sizes: Vec<i64> = shape.iter().map(|&size| size as i64).collect();
        let zeros = Tensor::zeros(sizes, (Kind::Float, Device::Cpu));
        self.taken.insert(name.to_owned(), zeros.shallow_clone().into());
        Some(zeros.into())
    }
}
