//! Contributions to the tokens that an encoder–decoder writes: of the text it has read, and of what it wrote before.

use ecco_models::encoder_decoder::EncoderDecoder;
use ecco_models::guard::guard;
use ecco_models::model::Body;
use ecco_models::{Model, Watch};
use tch::{Kind, Tensor};

use super::encoder::Interruptible;
use super::{Attribution, AttributionOptions, Work, aggregate, along_path, check_steps, steps};
use crate::error::{Error, Result};

/// Contributions to each written token. `source` is what was read, `written` what was written, its first token the
/// one that every text starts with.
///
/// Row k belongs to `written[k + 1]` and has `source.len() + k` values: the source's tokens, then those written
/// before, without the starting one, which is no input and keeps its embedding on the way from the baseline.
pub fn attribute_pair(
    model: &Model,
    source: &[u32],
    written: &[u32],
    options: &AttributionOptions,
    watch: &mut Watch,
) -> Result<Attribution> {
    check_steps(options)?;
    let Body::EncoderDecoder(both) = model.body() else {
        return Err(Error::Option {
            option: "model",
            value: model.config().model_type.clone(),
            reason: "not an encoder–decoder".into(),
        });
    };
    if written.len() < 2 {
        return Err(Error::NothingGenerated);
    }
    model.check_ids(source)?;
    model.check_ids(written)?;
    let steps = steps(options);
    let n_targets = written.len() - 1;
    let mut work = Work::new(watch, options, n_targets, (steps.len() * n_targets) as u64);
    Ok(guard(|| {
        let pair = Pair {
            both,
            written,
            n_source: source.len() as i64,
            start: both.decoder.embed(&written[..1]),
        };
        let before = both.decoder.embed(&written[1..n_targets.max(1)]);
        let embeddings = Tensor::cat(&[both.encoder.embed(source), before], 1); // [1, source + written, size]
        let gradients = along_path(&embeddings, n_targets, &steps, |x| pair.gradients(x, &mut work))?;
        aggregate(&[gradients], &embeddings, options.method, |row| {
            source.len() + row
        })
    })?)
}

struct Pair<'a> {
    both: &'a EncoderDecoder,
    written: &'a [u32],
    n_source: i64,
    /// The starting token's embedding, `[1, 1, size]`.
    start: Tensor,
}

impl Pair<'_> {
    /// Gradients of each target's probability at some points of the path, `[step, source + written, size]`.
    fn gradients(&self, x: &Tensor, work: &mut Work) -> ecco_models::error::Result<Vec<Tensor>> {
        tch::with_grad(|| {
            let (n_steps, n_positions) = (x.size()[0], x.size()[1]);
            let source = x.narrow(1, 0, self.n_source);
            let before = x.narrow(1, self.n_source, n_positions - self.n_source);
            let start = self.start.expand([n_steps, -1, -1], false);
            let memories = self.both.read(&source, None, &mut Interruptible(work))?;
            let decoder = &self.both.decoder;
            let written = Tensor::cat(&[start, before], 1);
            let states = decoder.forward_with(&written, None, Some(&memories), &mut Interruptible(work))?;
            let probabilities = decoder.logits(&states).softmax(-1, None::<Kind>); // [step, written, vocabulary]
            let mut gradients = Vec::new();
            for (row, &id) in self.written[1..].iter().enumerate() {
                let value = probabilities.select(1, row as i64).select(1, i64::from(id));
                gradients.push(Tensor::run_backward(&[value.sum(None::<Kind>)], &[x], true, false).remove(0));
                work.done += n_steps as u64;
                if work.report().is_break() {
                    return Err(ecco_models::Error::Interrupted);
                }
            }
            Ok(gradients)
        })
    }
}
