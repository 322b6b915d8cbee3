//! What passes recorded, text by text.

use ndarray::{ArrayD, Axis, IxDyn};
use tch::Tensor;

use super::{Input, Place};
use crate::error::{Error, Result};
use crate::guard::guard;
use crate::tap::{Capture, Site, Tap, to_array};

/// Sites of the texts of one batch.
pub struct Records {
    own: Capture,
    encoder: Capture,
    /// Layers of a whole pass, of each stack; 0 where it was not one over all of them.
    n_layers: [usize; 2],
    /// Tokens by text: of the stack whose head speaks, and of what is read.
    lengths: Vec<[usize; 2]>,
}

impl Records {
    /// On the host: they may be kept for long.
    pub(crate) fn new(captures: [Capture; 2], n_layers: [usize; 2], inputs: &[Input]) -> Self {
        Self::in_place(captures.map(Capture::on_host), n_layers, inputs)
    }

    /// Of one text what a tap gathered at one place, by layer as the pass has it: `[1, …]`.
    pub fn of_place(place: Place, layers: Vec<(usize, Tensor)>, input: &Input) -> Self {
        let mut captures = [Capture::new(&[], None), Capture::new(&[], None)];
        let own = &mut captures[usize::from(place.encoder)];
        *own = Capture::new(&[place.site], None);
        for (layer, tensor) in layers {
            let _ = own.visit(place.site, layer, tensor);
        }
        Self::new(captures, [0, 0], std::slice::from_ref(input))
    }

    /// Where the pass had them.
    pub(super) fn in_place([own, encoder]: [Capture; 2], n_layers: [usize; 2], inputs: &[Input]) -> Self {
        let lengths = inputs.iter().map(|input| [input.spoken().len(), input.ids.len()]);
        Self {
            own,
            encoder,
            n_layers,
            lengths: lengths.collect(),
        }
    }

    /// Whether a place was recorded.
    pub fn has(&self, place: Place) -> bool {
        !self.capture(place).layers(place.site).is_empty()
    }

    /// The layers at which a place was recorded, in order.
    pub fn layers(&self, place: Place) -> Vec<usize> {
        self.capture(place).layers(place.site)
    }

    /// The lengths of a place's axes at a layer as the pass had them, without the batch's.
    pub fn size(&self, place: Place, layer: usize) -> Option<Vec<usize>> {
        let capture = self.capture(place);
        let size = capture
            .layers(place.site)
            .contains(&layer)
            .then(|| capture.tensor(place.site, layer).size())?;
        Some(size[1..].iter().map(|&length| length as usize).collect())
    }

    /// A place of one text as f32, its axes as [`Place::axes`] names them; at one layer without that axis.
    ///
    /// # Errors
    /// [`Error::NoSite`] where nothing was recorded: the model does not have the place. [`Error::Widths`] where the
    /// layers do not go into one array, [`Error::SomeLayers`] where not all have it.
    pub fn array(&self, place: Place, layer: Option<usize>, text: usize) -> Result<ArrayD<f32>> {
        let axes = place.axes();
        let tensors = self.tensors(place, layer);
        let Some(first) = tensors.first() else {
            return Err(Error::NoSite {
                site: place.name(),
                layer,
            });
        };
        if layer.is_none() && axes[0] == "layer" && tensors.len() < self.n_layers[usize::from(place.encoder)]
        {
            return Err(Error::SomeLayers {
                site: place.name(),
                layers: self.layers(place),
            });
        }
        if tensors.iter().any(|tensor| tensor.size() != first.size()) {
            return Err(Error::Widths { site: place.name() });
        }
        guard(|| {
            let [own, read] = self.lengths[text];
            let tensors: Vec<Tensor> = tensors
                .iter()
                .map(|tensor| {
                    let tensor = tensor.get(text as i64);
                    let length = if place.encoder { read } else { own } as i64;
                    match place.site {
                        Site::CrossPattern => tensor.narrow(-2, 0, length).narrow(-1, 0, read as i64),
                        Site::AttentionPattern => tensor.narrow(-2, 0, length).narrow(-1, 0, length),
                        _ => tensor.narrow(-2, 0, length),
                    }
                })
                .collect();
            let array = to_array(&Tensor::stack(&tensors, 0))?;
            let array = match axes {
                [_, "neuron", "position"] => array.permuted_axes(IxDyn(&[0, 2, 1])),
                _ => array,
            };
            let is_one = layer.is_some() || axes[0] != "layer";
            Ok(if is_one {
                array.index_axis_move(Axis(0), 0)
            } else {
                array
            })
        })
    }

    /// By layer, `[text, …]`.
    pub(super) fn tensors(&self, place: Place, layer: Option<usize>) -> Vec<&Tensor> {
        let capture = self.capture(place);
        let layers = capture.layers(place.site).into_iter();
        layers
            .filter(|at| layer.is_none_or(|layer| layer == *at))
            .map(|layer| capture.tensor(place.site, layer))
            .collect()
    }

    fn capture(&self, place: Place) -> &Capture {
        if place.encoder { &self.encoder } else { &self.own }
    }
}
