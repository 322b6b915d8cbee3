//! Guided backpropagation and deconvolution: gradients of which activations pass back only what is positive.
//!
//! That is no linear map, so autograd cannot have it as a rule. The pass is cut where each layer begins, at each
//! activation, and where an encoder ends: what follows starts from a leaf. Gradients are taken of one segment after the
//! other, from the last to the first, and changed in between.

use std::ops::ControlFlow;

use ecco_models::Site;
use ecco_models::config::Activation;
use ecco_models::host;
use ecco_models::tap::Tap;
use tch::{Kind, Tensor};

use super::objective::Objective;
use super::options::AttributionOptions;
use super::rows::{Contributions, MethodOutput};
use super::work::Work;
use crate::error::Result;

/// Gradients of which activations pass back what is positive, where they are positive themselves.
pub(super) fn guided_backprop(
    explained: &Objective,
    _: &AttributionOptions,
    work: &mut Work,
) -> Result<MethodOutput> {
    rectified(explained, true, work)
}

/// Gradients of which activations pass back what is positive.
pub(super) fn deconvolution(
    explained: &Objective,
    _: &AttributionOptions,
    work: &mut Work,
) -> Result<MethodOutput> {
    rectified(explained, false, work)
}

fn rectified(explained: &Objective, is_guided: bool, work: &mut Work) -> Result<MethodOutput> {
    tch::with_grad(|| {
        let x = explained.embeddings().detach().set_requires_grad(true);
        let mut cuts = Cuts {
            is_guided,
            all: Vec::new(),
            work,
        };
        let values = explained.values(&x, &mut cuts)?; // [1, target]
        let cuts = cuts.all;
        let mut rows = Vec::new();
        for target in 0..values.size()[1] {
            let gradient = back(&values.select(1, target), &cuts, &x);
            rows.push(gradient.to_kind(Kind::Double));
            work.advance(1)?;
        }
        let contributions = Contributions::Embeddings(Tensor::cat(&rows, 0));
        Ok(MethodOutput::without_baseline(
            contributions,
            host::numbers(&values.detach()),
        ))
    })
}

/// A place where the pass is cut.
struct Cut {
    /// In the graph of what comes before.
    end: Tensor,
    /// What goes on from there.
    leaf: Tensor,
    /// What a positive cotangent of an activation is multiplied with; `None` where nothing is changed.
    factor: Option<Tensor>,
}

impl Cut {
    /// From the leaf's cotangent to that of the end.
    fn pass(&self, cotangent: &Tensor) -> Tensor {
        match &self.factor {
            Some(factor) => cotangent.relu() * factor,
            None => cotangent.shallow_clone(),
        }
    }
}

/// Cuts a pass.
struct Cuts<'r, 'a, 'b> {
    is_guided: bool,
    all: Vec<Cut>,
    work: &'r mut Work<'a, 'b>,
}

impl Cuts<'_, '_, '_> {
    fn cut(&mut self, end: &Tensor, value: &Tensor, factor: Option<Tensor>) -> Tensor {
        let leaf = value.detach().set_requires_grad(true);
        self.all.push(Cut {
            end: end.shallow_clone(),
            leaf: leaf.shallow_clone(),
            factor,
        });
        leaf
    }
}

impl Tap for Cuts<'_, '_, '_> {
    fn wants(&self, site: Site, _: usize) -> bool {
        matches!(site, Site::ResidualBefore | Site::FinalNorm)
    }

    fn visit(&mut self, site: Site, layer: usize, value: Tensor) -> Tensor {
        match self.wants(site, layer) {
            true => self.cut(&value, &value, None),
            false => value,
        }
    }

    fn activate(&mut self, activation: Activation, x: &Tensor) -> Tensor {
        if matches!(activation, Activation::Tanh | Activation::SoftmaxLinear) {
            // They rectify nothing.
            return activation.forward(x);
        }
        let before = x.detach();
        let value = activation.forward(&before);
        let factor = match self.is_guided {
            true => activation.derivative(&before) * value.gt(0.0),
            false => value.ones_like(),
        };
        self.cut(x, &value, Some(factor))
    }

    fn proceed(&mut self, _: usize) -> ControlFlow<()> {
        self.work.report()
    }
}

/// The gradient of a value at `x`, through all cuts.
fn back(value: &Tensor, cuts: &[Cut], x: &Tensor) -> Tensor {
    let mut cotangents: Vec<Option<Tensor>> = (0..=cuts.len()).map(|_| None).collect(); // of x, then of each leaf
    let mut root = value.sum(None::<Kind>);
    let mut end = cuts.len();
    loop {
        let leaves: Vec<&Tensor> = std::iter::once(x)
            .chain(cuts[..end].iter().map(|cut| &cut.leaf))
            .collect();
        if root.requires_grad() {
            let found = Tensor::run_backward(&[&root], &leaves, true, false);
            for (sum, more) in cotangents.iter_mut().zip(found) {
                *sum = match (sum.take(), more.defined()) {
                    (Some(sum), true) => Some(sum + more),
                    (None, true) => Some(more),
                    (sum, false) => sum,
                };
            }
        }
        if end == 0 {
            break;
        }
        end -= 1;
        let cut = &cuts[end];
        root = match &cotangents[end + 1] {
            Some(cotangent) => (&cut.end * cut.pass(cotangent).detach()).sum(None::<Kind>),
            None => Tensor::zeros([1], (value.kind(), value.device())),
        };
    }
    cotangents[0].take().unwrap_or_else(|| x.zeros_like())
}
