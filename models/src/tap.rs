//! What happens inside a forward pass, and the one way to look at it or change it.

use std::collections::HashMap;
use std::ops::ControlFlow;

use ecco_interpreter::Progress;
use ndarray::ArrayD;
use tch::Tensor;

use crate::config::Activation;
use crate::error::Result;
use crate::host::{self, bring};
use crate::rules::Rule;

pub use crate::site::Site;

/// Who reads the residual stream, each for itself: an edge of a circuit ends there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reader {
    /// Each head's.
    Queries,
    /// Each key head's.
    Keys,
    /// Each key head's.
    Values,
    Mlp,
    /// The final norm.
    Head,
}

/// Sees, and may replace, every value at every site of a forward pass.
pub trait Tap {
    /// Whether [`Tap::visit`] does anything here. Attention patterns exist only where they are wanted.
    fn wants(&self, site: Site, layer: usize) -> bool;

    /// Takes the value and gives back the one to go on with.
    fn visit(&mut self, site: Site, layer: usize, value: Tensor) -> Tensor;

    /// What stands in the place of the stream for a layer's readers of a kind, before their norm. `stream` is
    /// `[batch, position, hidden]`, and so is what the MLP and the final norm (at the last layer) are given; heads'
    /// readers have one each, `[batch, head, position, hidden]`. `None`: the stream.
    fn read(&mut self, _reader: Reader, _layer: usize, _stream: &Tensor) -> Option<Tensor> {
        None
    }

    /// How what is not linear is to be differentiated.
    fn rule(&self) -> Rule {
        Rule::Gradient
    }

    /// A non-linearity: of neurons, or of a layer before the head.
    fn activate(&mut self, activation: Activation, x: &Tensor) -> Tensor {
        self.rule().activate(activation, x)
    }

    /// Asked before each layer; `Break` ends the forward pass with [`Error::Interrupted`](crate::Error::Interrupted).
    fn proceed(&mut self, _layer: usize) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}

/// Looks at nothing.
pub struct NoTap;

impl Tap for NoTap {
    fn wants(&self, _: Site, _: usize) -> bool {
        false
    }
    fn visit(&mut self, _: Site, _: usize, value: Tensor) -> Tensor {
        value
    }
}

/// Records tensors by site and layer. Nothing is copied: the tensors are those of the pass.
pub struct Capture {
    sites: Vec<Site>,
    layers: Option<Vec<usize>>,
    left_out: Vec<(Site, usize)>,
    tensors: HashMap<(Site, usize), Tensor>,
}

impl Capture {
    /// Will record `sites` at `layers`, or at all layers.
    pub fn new(sites: &[Site], layers: Option<&[usize]>) -> Self {
        Self {
            sites: sites.to_vec(),
            layers: layers.map(<[usize]>::to_vec),
            left_out: Vec::new(),
            tensors: HashMap::new(),
        }
    }

    /// The same without a site at some layers.
    pub fn without(self, site: Site, layers: impl Iterator<Item = usize>) -> Self {
        Self {
            left_out: layers.map(|layer| (site, layer)).collect(),
            ..self
        }
    }

    /// The tensor as the pass had it, batch first.
    ///
    /// # Panics
    /// If that site and layer were not recorded: a mistake of the caller's.
    pub fn tensor(&self, site: Site, layer: usize) -> &Tensor {
        self.tensors
            .get(&(site, layer))
            .unwrap_or_else(|| panic!("{site:?} of layer {layer} was not captured"))
    }

    /// Whether the pass had something there that was recorded.
    pub fn has(&self, site: Site, layer: usize) -> bool {
        self.tensors.contains_key(&(site, layer))
    }

    /// All of it in host memory.
    pub fn on_host(mut self) -> Self {
        let all: Vec<&Tensor> = self.tensors.values().collect();
        let brought = host::tensors(&all);
        for (tensor, brought) in self.tensors.values_mut().zip(brought) {
            *tensor = brought;
        }
        self
    }

    /// The recorded layers of a site, in order.
    pub fn layers(&self, site: Site) -> Vec<usize> {
        let mut layers: Vec<usize> = self
            .tensors
            .keys()
            .filter(|(recorded, _)| *recorded == site)
            .map(|(_, layer)| *layer)
            .collect();
        layers.sort_unstable();
        layers
    }

    /// A site of the first sequence in the batch, stacked over its layers, on the host as f32:
    /// `(layer, position, hidden)`, `(layer, head, query, key)`; the MLP's sites as
    /// `(layer, neuron, position)`, a view of the pass's own order.
    pub fn array(&self, site: Site) -> Result<ArrayD<f32>> {
        crate::guard::guard(|| {
            let layers = self.layers(site);
            let tensors = layers.iter().map(|&layer| self.tensor(site, layer).get(0));
            let tensors = side_by_side(tensors.collect());
            let array = to_array(&Tensor::stack(&tensors, 0))?;
            Ok(match site {
                Site::MlpPre | Site::MlpUp | Site::MlpInner => {
                    array.permuted_axes(ndarray::IxDyn(&[0, 2, 1]))
                }
                _ => array,
            })
        })
    }
}

impl Tap for Capture {
    fn wants(&self, site: Site, layer: usize) -> bool {
        self.sites.contains(&site)
            && self.layers.as_ref().is_none_or(|layers| layers.contains(&layer))
            && !self.left_out.contains(&(site, layer))
    }
    fn visit(&mut self, site: Site, layer: usize, value: Tensor) -> Tensor {
        if self.wants(site, layer) {
            self.tensors.insert((site, layer), value.shallow_clone());
        }
        value
    }
}

/// A tap whose pass is reported layer by layer, and can be ended.
pub struct ReportTap<'a, T> {
    pub tap: T,
    pub report: &'a mut dyn FnMut(usize) -> ControlFlow<()>,
}

impl<T: Tap> Tap for ReportTap<'_, T> {
    fn wants(&self, site: Site, layer: usize) -> bool {
        self.tap.wants(site, layer)
    }
    fn visit(&mut self, site: Site, layer: usize, value: Tensor) -> Tensor {
        self.tap.visit(site, layer, value)
    }
    fn read(&mut self, reader: Reader, layer: usize, stream: &Tensor) -> Option<Tensor> {
        self.tap.read(reader, layer, stream)
    }
    fn rule(&self) -> Rule {
        self.tap.rule()
    }
    fn activate(&mut self, activation: Activation, x: &Tensor) -> Tensor {
        self.tap.activate(activation, x)
    }
    fn proceed(&mut self, layer: usize) -> ControlFlow<()> {
        (self.report)(layer)
    }
}

/// Tensors of several layers where the first is: layers may be on several devices.
fn side_by_side(tensors: Vec<Tensor>) -> Vec<Tensor> {
    let place = tensors.first().map(|first| (first.kind(), first.device()));
    let brought =
        |tensor: Tensor| place.map_or_else(|| tensor.shallow_clone(), |place| bring(&tensor, place));
    tensors.into_iter().map(brought).collect()
}

/// A tensor on the host, as f32.
pub fn to_array(tensor: &Tensor) -> Result<ArrayD<f32>> {
    Ok(host::array(tensor))
}

/// How far a pass is.
pub(crate) fn running(layer: usize, n_layers: usize) -> Progress {
    Progress {
        label: "running the model".into(),
        done: layer as u64,
        total: Some(n_layers as u64),
        unit: "layers",
    }
}
