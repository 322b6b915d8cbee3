//! A corpus that is being read as numbers, and one that goes on from there: exactly as one that was never interrupted.

use ecco_models::guard::guard;
use ecco_models::host;
use ndarray::{ArrayD, ArrayViewD, Axis, Slice};
use tch::{Device, Tensor};

use super::reading::{Reading, numbered};
use super::running::{FIELDS, Field, Running};
use crate::error::{Error, Result};

/// All that was found, of all layers one after the other.
#[derive(Debug, Clone, PartialEq)]
pub struct Stored {
    pub layers: Vec<StoredLayer>,
    /// By name: the neurons of all layers along one axis.
    pub numbers: Vec<(&'static str, Numbers)>,
    /// Pieces that pass together, in the order of the passes.
    pub batches: Vec<Vec<usize>>,
}

impl Stored {
    /// The names of its numbers.
    pub fn names() -> impl Iterator<Item = &'static str> {
        FIELDS.iter().map(|field| field.name)
    }
}

/// How far a layer has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredLayer {
    pub layer: Option<usize>,
    pub n_neurons: usize,
    pub n_passes: usize,
    pub n_tokens: usize,
}

/// In as many bits as they need.
#[derive(Debug, Clone, PartialEq)]
pub enum Numbers {
    Single(ArrayD<f32>),
    Double(ArrayD<f64>),
}

fn unfit<T>(reason: impl Into<String>) -> Result<T> {
    Err(Error::Stored(reason.into()))
}

impl Reading {
    /// What it takes to go on from here.
    ///
    /// # Errors
    /// Those of the device.
    pub fn stored(&mut self) -> Result<Stored> {
        let state = |layer: &mut Running| StoredLayer {
            layer: layer.layer,
            n_neurons: layer.n_neurons(),
            n_passes: layer.n_passes,
            n_tokens: layer.n_tokens,
        };
        let layers = self.layers.iter_mut().map(state).collect();
        let numbers = match self.layers.is_empty() {
            true => Vec::new(),
            false => guard(|| {
                Ok(FIELDS
                    .iter()
                    .enumerate()
                    .map(|(at, of)| self.field(at, *of))
                    .collect())
            })?,
        };
        Ok(Stored {
            layers,
            numbers,
            batches: self.batches.clone(),
        })
    }

    /// Of all layers, on the host.
    fn field(&mut self, at: usize, of: Field) -> (&'static str, Numbers) {
        let layers = self.layers.iter_mut();
        let parts =
            layers.filter_map(|layer| layer.fields().nth(at).map(|(_, tensor)| tensor.shallow_clone()));
        let parts: Vec<Tensor> = parts.collect();
        let parts = host::tensors(&parts.iter().collect::<Vec<_>>());
        let whole = Tensor::cat(&parts, of.axis as i64);
        let shape: Vec<usize> = whole.size().iter().map(|&n| n as usize).collect();
        // There are as many numbers as the shape has places.
        let numbers = match of.is_exact {
            true => {
                let numbers = ArrayD::from_shape_vec(shape, host::numbers(&whole));
                Numbers::Double(numbers.unwrap_or_default())
            }
            false => Numbers::Single(host::array(&whole)),
        };
        (of.name, numbers)
    }

    /// Goes on from what was stored of the same texts by the same options. Nothing has been read here yet.
    ///
    /// # Errors
    /// [`Error::Stored`] of numbers that do not fit: other layers, other shapes, places that are not there.
    pub fn restore(&mut self, stored: &Stored) -> Result<()> {
        let n_pieces = self.pieces.all.len();
        let mut order: Vec<usize> = stored.batches.iter().flatten().copied().collect();
        order.sort_unstable();
        if !order.into_iter().eq(0..n_pieces) || stored.batches.iter().any(Vec::is_empty) {
            return unfit("its passes are not over its texts");
        }
        if stored.layers.len() > self.places.len() {
            return unfit("it has more layers than are looked at");
        }
        let (mut layers, mut start) = (Vec::new(), 0);
        for (of, place) in stored.layers.iter().zip(&self.places) {
            if of.n_neurons != place.n || of.layer != numbered(self.options.place, place.layer) {
                return unfit("its layers are other ones");
            }
            if of.n_passes > stored.batches.len() {
                return unfit("it has taken in more passes than there are");
            }
            let size = (of.n_neurons as i64, Device::Cpu);
            let mut layer = guard(|| Ok(Running::new(of.layer, size, &self.options, &self.sample)))?;
            (layer.n_passes, layer.n_tokens) = (of.n_passes, of.n_tokens);
            for (Field { name, axis, .. }, tensor) in layer.fields() {
                let Some((_, numbers)) = stored.numbers.iter().find(|(known, _)| *known == name) else {
                    return unfit(format!("it has no {name}"));
                };
                let (size, kind) = (tensor.size(), tensor.kind());
                let shape: Vec<usize> = size.iter().map(|&n| n as usize).collect();
                let Some(values) = numbers.part(axis, start, &shape) else {
                    return unfit(format!("its {name} have another shape"));
                };
                *tensor = guard(|| Ok(host::tensor(&values, Device::Cpu).reshape(size).to_kind(kind)))?;
            }
            start += of.n_neurons;
            layers.push(layer);
        }
        let n_kept = |numbers: &Numbers, axis: usize| numbers.shape().get(axis).copied();
        let sums = stored.numbers.iter().find(|(name, _)| *name == "sum");
        if sums.is_some_and(|(_, sums)| n_kept(sums, 0) != Some(start)) {
            return unfit("it has numbers of more neurons than its layers");
        }
        self.batches = stored.batches.clone();
        self.layers = layers;
        self.ensure_places()
    }

    /// Whether places are in the texts.
    fn ensure_places(&self) -> Result<()> {
        let of_encoder = self.options.place.encoder;
        let lengths: Vec<usize> = (0..self.pieces.all.len())
            .map(|piece| self.pieces.n_positions(piece, of_encoder))
            .collect();
        for layer in &self.layers {
            let places = guard(|| Ok(layer.places(&self.sample.pieces)))?;
            let is_there = |&(piece, position): &(i64, i64)| {
                let length = usize::try_from(piece).ok().map(|piece| lengths.get(piece));
                match length {
                    None => piece == -1,
                    Some(length) => length.is_some_and(|&n| (0..n as i64).contains(&position)),
                }
            };
            if !places.iter().all(is_there) {
                return unfit("it has places that are not in its texts");
            }
        }
        Ok(())
    }
}

impl Numbers {
    pub fn shape(&self) -> &[usize] {
        match self {
            Self::Single(array) => array.shape(),
            Self::Double(array) => array.shape(),
        }
    }

    /// Those of a layer whose neurons begin at `start` along an axis, row by row, in this shape.
    fn part(&self, axis: usize, start: usize, shape: &[usize]) -> Option<Vec<f64>> {
        fn cut<T: Copy + Into<f64>>(
            array: ArrayViewD<T>,
            axis: usize,
            start: usize,
            shape: &[usize],
        ) -> Option<Vec<f64>> {
            let end = start.checked_add(*shape.get(axis)?)?;
            if array.ndim() != shape.len() || *array.shape().get(axis)? < end {
                return None;
            }
            let part = array.slice_axis(Axis(axis), Slice::from(start..end));
            (part.shape() == shape).then(|| part.iter().map(|&value| value.into()).collect())
        }
        match self {
            Self::Single(array) => cut(array.view(), axis, start, shape),
            Self::Double(array) => cut(array.view(), axis, start, shape),
        }
    }
}
