//! The Jacobian lens: how the stream at the end moves with that after a layer, on average ("Verbalizable Representations Form
//! a Global Workspace").
//!
//! J_l = mean over texts of 1/|V| Σ_{p in V} Σ_{p' in V} ∂h_L\[p'\] / ∂h_l\[p\], with h_l the stream after layer l before any norm.
//! V leaves out the first positions, where attention heaps what it has no use for, and the last.
//!
//! The relevance lens takes the same of the pass that the frozen rule makes linear: h_L\[p'\] is then Σ_p J_l\[p' p\] h_l\[p\] and what
//! biases add.

use std::cell::RefCell;
use std::ops::ControlFlow;

use ecco_interpreter::Watch;
use ecco_models::device::{ensure_free, step_bytes};
use ecco_models::guard::guard;
use ecco_models::host::bring;
use ecco_models::lens::{FittedLens, LensMethod, Translator};
use ecco_models::run::{self, Input};
use ecco_models::tap::{NoTap, Tap};
use ecco_models::{Model, Rule, Site};
use tch::{Kind, Tensor};

use super::fit::{beginnings, check_model};
use crate::aside::aside;
use crate::attribution::work::Work;
use crate::error::{Result, refuse};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JacobianOptions {
    /// Positions at the beginning of each text that are left out.
    pub skip: usize,
    /// Tokens of a text that are read at most.
    pub max_length: usize,
    /// What stands for slopes where the pass is not linear: by the frozen rule it is the relevance lens.
    pub rule: Rule,
}

impl Default for JacobianOptions {
    fn default() -> Self {
        Self {
            skip: 16,
            max_length: 128,
            rule: Rule::Gradient,
        }
    }
}

/// Memory for what a graph keeps.
const MOST_BYTES: u64 = 512 << 20;

/// Fits it: one pass over each text, and as many back as the stream is wide, several of which go together.
///
/// # Errors
/// A model that is no decoder of two layers or more; texts that are all too short; no room; `watch`'s interruption.
pub fn jacobian(
    model: &Model,
    inputs: &[Input],
    options: JacobianOptions,
    watch: &mut Watch,
) -> Result<FittedLens> {
    check_model(model)?;
    let texts = beginnings(inputs, options.max_length);
    let texts: Vec<&Input> = texts
        .iter()
        .filter(|text| text.ids.len() > options.skip.saturating_add(1))
        .collect();
    if texts.is_empty() {
        let reason = "no text has more tokens than that and one";
        return Err(refuse("skip", options.skip, reason));
    }
    let (n_layers, width) = (model.config().n_layers, model.config().hidden_size);
    let kind = FittedLens::kind(model);
    let matrices = (width * width * (n_layers - 1) * kind.elt_size_in_bytes()) as u64;
    let longest = texts.iter().map(|text| text.ids.len()).max().unwrap_or(0);
    let method = match options.rule {
        Rule::Frozen => LensMethod::Relevance,
        _ => LensMethod::Jacobian,
    };
    let what = format!(
        "a {} lens of {width} × {width} for each layer, and the graph of {longest} tokens",
        method.name()
    );
    let needed = 2 * matrices
        + graph_bytes(model, longest) * halves(options.rule) * copies(model, longest, options.rule) as u64;
    ensure_free(model.stack().device(), needed, &what)?;
    let label = format!("fitting the {} lens", method.name());
    let mut work = Work::new(watch, label, "texts", texts.len() as u64);
    let translators = guard(|| {
        let place = |layer: usize| (kind, model.stack().places()[layer].1);
        let empty = |layer| Tensor::zeros([width as i64, width as i64], place(layer));
        let mut sums: Vec<Tensor> = (0..n_layers - 1).map(empty).collect();
        for text in &texts {
            add(model, text, &options, &mut sums, &mut work)?;
            work.advance(1)?;
        }
        let main = (kind, model.stack().device());
        let each = sums.into_iter().enumerate().map(|(layer, sum)| Translator {
            depth: layer + 1,
            matrix: bring(&(sum / texts.len() as f64), main),
            bias: None,
        });
        Ok(each.collect())
    })?;
    Ok(FittedLens {
        method,
        n_texts: Some(texts.len() as u64),
        translators,
    })
}

/// What the graph of one text keeps: a few tensors of each width at every layer.
fn graph_bytes(model: &Model, n_tokens: usize) -> u64 {
    let config = model.config();
    let seen = 4 * config.n_heads * n_tokens;
    let numbers = 16 * config.hidden_size + 6 * config.intermediate_size + seen + config.work_of_mixers();
    (n_tokens * numbers * config.n_layers * FittedLens::kind(model).elt_size_in_bytes()) as u64
}

/// Rules beside the slopes compare two halves of a batch, of which only the first is differentiated.
fn halves(rule: Rule) -> u64 {
    match rule {
        Rule::Gradient => 1,
        _ => 2,
    }
}

/// How many rows of the matrices are pulled back together, each through a copy of the text.
fn copies(model: &Model, n_tokens: usize, rule: Rule) -> usize {
    let most =
        step_bytes(model.stack().device(), MOST_BYTES) / (graph_bytes(model, n_tokens) * halves(rule)).max(1);
    (most as usize).clamp(1, model.config().hidden_size)
}

/// Adds a text's matrices to the sums, `[hidden, hidden]` of each layer but the last.
fn add(
    model: &Model,
    text: &Input,
    options: &JacobianOptions,
    sums: &mut [Tensor],
    work: &mut Work,
) -> ecco_models::error::Result<()> {
    let (n_tokens, width) = (text.ids.len(), model.config().hidden_size);
    let (start, count) = (options.skip as i64, (n_tokens - 1 - options.skip) as i64);
    let n_copies = copies(model, n_tokens, options.rule);
    let together = vec![text.clone(); n_copies * halves(options.rule) as usize];
    let work = RefCell::new(work);
    let mut tap = Streams {
        seen: Vec::new(),
        rule: options.rule,
        work: &work,
    };
    tch::with_grad(|| {
        // The stream before the final norm is what counts.
        let _ = run::states(model, &together, &mut tap, &mut NoTap)?;
        let mut seen = tap.seen; // [copy, position, hidden]
        let last = seen.pop().ok_or(ecco_models::Error::Interrupted)?;
        let at_end = last
            .narrow(1, start, count)
            .sum_dim_intlist(1, false, None::<Kind>); // [copy, hidden]
        for first in (0..width).step_by(n_copies) {
            let n_rows = n_copies.min(width - first) as i64;
            // Of each copy another coordinate.
            let answer = at_end.narrow(0, 0, n_rows).narrow(1, first as i64, n_rows);
            let answer = answer.diagonal(0, 0, 1).sum(None::<Kind>);
            let values: Vec<Tensor> = seen.iter().map(Tensor::shallow_clone).collect();
            let back = move |_: &mut Watch| Tensor::run_backward(&[answer], &values, true, false);
            let found = aside("gradients", back, &mut |_| work.borrow_mut().report());
            let found = found.ok_or(ecco_models::Error::Interrupted)?;
            for (sum, gradient) in sums.iter().zip(found).filter(|(_, gradient)| gradient.defined()) {
                let gradient = gradient.narrow(0, 0, n_rows).narrow(1, start, count);
                let rows = gradient.mean_dim(1, false, sum.kind()); // [row, hidden]
                let _ = sum.narrow(0, first as i64, n_rows).g_add_(&rows);
            }
        }
        Ok(())
    })
}

/// The stream after each layer, as nodes of a graph that begins at the first.
struct Streams<'a, 'r, 'w, 'b> {
    seen: Vec<Tensor>,
    rule: Rule,
    work: &'a RefCell<&'r mut Work<'w, 'b>>,
}

impl Tap for Streams<'_, '_, '_, '_> {
    fn wants(&self, site: Site, _: usize) -> bool {
        site == Site::ResidualAfter
    }

    fn visit(&mut self, site: Site, layer: usize, value: Tensor) -> Tensor {
        if !self.wants(site, layer) {
            return value;
        }
        let value = match value.requires_grad() {
            true => value,
            false => value.detach().set_requires_grad(true),
        };
        self.seen.push(value.shallow_clone());
        value
    }

    fn rule(&self) -> Rule {
        self.rule
    }

    fn proceed(&mut self, _: usize) -> ControlFlow<()> {
        self.work.borrow_mut().report()
    }
}
