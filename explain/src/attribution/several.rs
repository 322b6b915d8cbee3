//! Gradients of several texts at once: those about equally long pass side by side.
//!
//! A decoder's positions see those before them only, so that what pads a text on the right changes nothing of it, and the sum of
//! one target of each text has as its gradient at a text's embeddings that of its own target.

use ecco_interpreter::Watch;
use ecco_models::decoder::Decoder;
use ecco_models::guard::guard;
use ecco_models::host;
use ecco_models::model::Body;
use ecco_models::run::{self, Input};
use ecco_models::{Model, Rule};
use tch::{Kind, Tensor};

use super::objective::Objective;
use super::options::AttributionOptions;
use super::rows::{Contributions, MethodOutput};
use super::target::Target;
use super::work::{RuleTap, Work};
use super::{Attribution, Method, attribute};
use crate::aside::aside;
use crate::error::Result;

/// What [`attribute`] gives of each text, up to rounding; `on_text` is given it with the text's place, as soon as it is there. The
/// gradient, and gradient × input, of decoders' texts are had side by side; else one text comes after the other.
///
/// # Errors
/// As of [`attribute`]; of an interrupt, when some texts were given already.
pub fn attribute_each(
    model: &Model,
    texts: &[(Input, Vec<Target>)],
    options: &AttributionOptions,
    watch: &mut Watch,
    on_text: &mut dyn FnMut(usize, Attribution),
) -> Result<()> {
    let is_gradient = [Method::GradXInput, Method::Gradient].contains(&options.method);
    let decoder = match model.body() {
        Body::Decoder(decoder) if is_gradient && !options.start_token => Some(decoder),
        _ => None,
    };
    let Some(decoder) = decoder.filter(|_| texts.len() > 1) else {
        for (at, (input, targets)) in texts.iter().enumerate() {
            on_text(at, attribute(model, input, targets, options, watch)?);
        }
        return Ok(());
    };
    options.check()?;
    let each = texts
        .iter()
        .map(|(input, targets)| Objective::new(model, input, targets));
    let each: Vec<Objective> = each.collect::<Result<_>>()?;
    let read: Vec<Input> = each.iter().map(sources).collect();
    let n_targets: usize = texts.iter().map(|(_, targets)| targets.len()).sum();
    let label = format!("{} of {} texts", options.method.label(), texts.len());
    let mut work = Work::new(watch, label, "targets", n_targets as u64);
    for batch in run::batches(model, &read) {
        let at_once = batch.iter().map(|&at| each[at].rows_at_once()).min().unwrap_or(1);
        for batch in batch.chunks(at_once as usize) {
            let some: Vec<&Objective> = batch.iter().map(|&at| &each[at]).collect();
            for explained in &some {
                options.method.cost().ensure_room(explained, options)?;
            }
            let found = guard(|| side_by_side(decoder, &some, options, &mut work))?;
            batch
                .iter()
                .zip(found)
                .for_each(|(&at, found)| on_text(at, found));
        }
    }
    Ok(())
}

/// What the furthest target of a text sees.
fn sources(explained: &Objective) -> Input {
    Input {
        ids: explained.source_ids(),
        ..Input::default()
    }
}

fn side_by_side(
    decoder: &Decoder,
    texts: &[&Objective],
    options: &AttributionOptions,
    work: &mut Work,
) -> ecco_models::error::Result<Vec<Attribution>> {
    let longest = texts.iter().map(|of| of.n_sources()).max().unwrap_or(0);
    // What pads is a token, so that no norm is of nothing.
    let padded = |of: &&Objective| {
        let mut ids = of.source_ids();
        let last = ids.last().copied().unwrap_or(0);
        ids.resize(longest, last);
        of.embed(&ids)
    };
    let x: Vec<Tensor> = texts.iter().map(padded).collect();
    let rule = Rule::Gradient;
    let (gradients, values) = tch::with_grad(|| {
        let x = Tensor::cat(&x, 0).detach().set_requires_grad(true); // [text, source, size]
        let states = decoder.forward(&x, None, &mut RuleTap { rule, work })?;
        let rows = texts.iter().enumerate().map(|(text, of)| {
            let rows: Vec<i64> = of.rows().into_iter().map(|row| row as i64).collect();
            states
                .get(text as i64)
                .index_select(0, &host::index(&rows, x.device()))
        });
        let rows: Vec<Tensor> = rows.collect();
        let logits = decoder.logits_by(&Tensor::cat(&rows, 0).unsqueeze(0), rule); // [1, row, token]
        let mut start = 0;
        let values = texts.iter().zip(&rows).map(|(of, rows)| {
            let n = rows.size()[0];
            start += n;
            of.values_of(&logits.narrow(1, start - n, n), rule).squeeze_dim(0) // [target]
        });
        let values: Vec<Tensor> = values.collect();
        let most = values.iter().map(|values| values.size()[0]).max().unwrap_or(0);
        let mut gradients = Vec::new();
        for target in 0..most {
            let of_each = values.iter().filter(|values| values.size()[0] > target);
            let of_each: Vec<Tensor> = of_each.map(|values| values.get(target)).collect();
            let sum = Tensor::stack(&of_each, 0).sum(None::<Kind>);
            let leaf = x.shallow_clone();
            // One call of libtorch, which asks nobody.
            let back = move |_: &mut Watch| Tensor::run_backward(&[sum], &[&leaf], true, false).remove(0);
            let gradient = aside("gradients", back, &mut |_| work.report());
            gradients.push(gradient.ok_or(ecco_models::Error::Interrupted)?);
            work.advance(of_each.len() as u64)?;
        }
        let values: Vec<Tensor> = values.iter().map(Tensor::detach).collect();
        Ok::<_, ecco_models::Error>((gradients, values))
    })?;
    let gradients = Tensor::stack(&gradients, 1).to_kind(Kind::Double); // [text, target, source, size]
    let values = host::numbers_of_all(&values.iter().collect::<Vec<_>>());
    let found = texts.iter().zip(&x).zip(values).enumerate();
    let found = found.map(|(text, ((of, x), values))| {
        let gradients = gradients.get(text as i64).narrow(0, 0, values.len() as i64);
        let contributions = match options.method == Method::GradXInput {
            true => gradients * x,
            false => gradients,
        };
        let n_sources: Vec<usize> = of
            .targets()
            .iter()
            .map(|target| of.n_sources_of(target))
            .collect();
        let output = MethodOutput::without_baseline(Contributions::Embeddings(contributions), values);
        let rows = output.rows(options.aggregation, &n_sources, options.method.adds_up());
        Attribution::of(options.method, rows.into_iter())
    });
    Ok(found.collect())
}
