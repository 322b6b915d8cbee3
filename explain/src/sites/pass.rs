//! A pass whose answer is differentiated by what stood at a site.
//!
//! The values that pass by are part of a graph of autograd, which begins at the first of them: what leads there is not
//! kept. Each is a node of its own, so that its gradient is that of a change made there and nowhere else, also where the
//! model takes one tensor for two things.

use std::cell::RefCell;
use std::ops::ControlFlow;

use ecco_interpreter::Watch;
use ecco_models::run::{self, Input, Known, Place};
use ecco_models::tap::Tap;
use ecco_models::{Model, Rule, Site};
use tch::{Kind, Tensor};

use crate::aside::aside;
use crate::attribution::work::Work;

/// What is differentiated, where, and how.
#[derive(Clone, Copy)]
pub(crate) struct Look<'a> {
    /// By row, `[row]` in double precision, of the head's input `[row, position, size]`.
    pub answer: &'a dyn Fn(&Tensor) -> ecco_models::error::Result<Tensor>,
    pub place: Place,
    /// All without.
    pub layers: Option<&'a [usize]>,
    pub rule: Rule,
}

/// Where a pass begins.
pub(crate) enum Start<'a> {
    Texts(&'a [Input]),
    /// So many times side by side before a layer of a pass that is known.
    Layer(&'a Known, usize, usize),
}

/// What stands in the place of the pass's own at a place of a layer, before anything looks at it.
pub(crate) struct Change<'a> {
    pub place: Place,
    pub layer: usize,
    pub make: &'a dyn Fn(&Tensor) -> Tensor,
}

/// What stood at a layer, and the gradient of its row's answer there, batch first as the pass has them.
pub(crate) struct Seen {
    pub layer: usize,
    pub value: Tensor,
    pub gradient: Tensor,
}

/// The answers by row, `[row]` in double precision, and what was seen on the way. By a rule that takes two halves the
/// first one's answers are differentiated.
pub(crate) fn pass(
    model: &Model,
    start: Start,
    look: &Look,
    changes: &[Change],
    work: &mut Work,
) -> ecco_models::error::Result<(Tensor, Vec<Seen>)> {
    let work = RefCell::new(work);
    let tap = |encoder: bool| GraphTap {
        look,
        encoder,
        changes,
        seen: Vec::new(),
        work: &work,
    };
    let (mut own, mut encoder) = (tap(false), tap(true));
    tch::with_grad(|| {
        let states = match start {
            Start::Texts(inputs) => run::states(model, inputs, &mut own, &mut encoder)?,
            Start::Layer(known, layer, n) => run::resume(model, known, layer, n, &mut own)?,
        };
        let answers = (look.answer)(&states)?; // [row]
        let mut seen = own.seen;
        seen.append(&mut encoder.seen);
        let n_rows = answers.size()[0];
        let counted = match look.rule {
            Rule::Gradient => n_rows,
            _ => n_rows / 2,
        };
        let sum = answers.narrow(0, 0, counted).sum(Kind::Double);
        let seen = differentiated(&sum, seen, &mut work.borrow_mut())?;
        Ok((answers.detach(), seen))
    })
}

/// With zeros where nothing depends on what was seen. The way back is one call of libtorch, which asks nobody.
fn differentiated(
    answer: &Tensor,
    seen: Vec<(usize, Tensor)>,
    work: &mut Work,
) -> ecco_models::error::Result<Vec<Seen>> {
    let values: Vec<Tensor> = seen.iter().map(|(_, value)| value.shallow_clone()).collect();
    let gradients = match answer.requires_grad() && !values.is_empty() {
        true => {
            let answer = answer.shallow_clone();
            let back = move |_: &mut Watch| Tensor::run_backward(&[answer], &values, false, false);
            aside("gradients", back, &mut |_| work.report()).ok_or(ecco_models::Error::Interrupted)?
        }
        false => values.iter().map(Tensor::zeros_like).collect(),
    };
    let each = seen.iter().zip(gradients);
    let each = each.map(|((layer, value), gradient)| Seen {
        layer: *layer,
        value: value.detach(),
        gradient: match gradient.defined() {
            true => gradient,
            false => value.detach().zeros_like(),
        },
    });
    Ok(each.collect())
}

struct GraphTap<'a, 'r, 'w, 'b> {
    look: &'a Look<'a>,
    /// Which stack this is.
    encoder: bool,
    changes: &'a [Change<'a>],
    seen: Vec<(usize, Tensor)>,
    work: &'a RefCell<&'r mut Work<'w, 'b>>,
}

impl GraphTap<'_, '_, '_, '_> {
    fn looks(&self, site: Site, layer: usize) -> bool {
        let Look { place, layers, .. } = self.look;
        let encoder = self.encoder;
        *place == Place { site, encoder } && layers.is_none_or(|layers| layers.contains(&layer))
    }

    fn change(&self, site: Site, layer: usize) -> Option<&Change<'_>> {
        let encoder = self.encoder;
        let place = Place { site, encoder };
        self.changes
            .iter()
            .find(|change| change.place == place && change.layer == layer)
    }
}

impl Tap for GraphTap<'_, '_, '_, '_> {
    fn wants(&self, site: Site, layer: usize) -> bool {
        self.looks(site, layer) || self.change(site, layer).is_some()
    }

    fn visit(&mut self, site: Site, layer: usize, value: Tensor) -> Tensor {
        let value = match self.change(site, layer) {
            Some(change) => (change.make)(&value),
            None => value,
        };
        if !self.looks(site, layer) {
            return value;
        }
        let value = match value.requires_grad() {
            true => value.alias(),
            false => value.detach().set_requires_grad(true),
        };
        self.seen.push((layer, value.shallow_clone()));
        value
    }

    fn rule(&self) -> Rule {
        self.look.rule
    }

    fn proceed(&mut self, _: usize) -> ControlFlow<()> {
        self.work.borrow_mut().report()
    }
}
