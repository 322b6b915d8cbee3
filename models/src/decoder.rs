//! The decoder: a causal stack with a head that names the next token.

use std::rc::Rc;

use tch::{Device, Kind, Tensor};

use crate::attention::{Beside, Cache, CrossMemory, Cursor};
use crate::config::{Config, Head};
use crate::edit::StackEdits;
use crate::encoder_decoder::SHARED;
use crate::error::Result;
use crate::generation::step::Steps;
use crate::host;
use crate::layers::Linear;
use crate::rules::{Rule, over_itself};
use crate::stack::{Marks, Stack, apply};
use crate::tap::Tap;
use crate::weights::Weights;

/// Logits that are there at once where a processor's cache has them while they are summed, and where there is none to speak of.
const CACHED_LOGITS: i64 = 1 << 18;
const MOST_LOGITS: i64 = 1 << 24;
/// Outputs of a matrix that are worth a product of their own.
const FEWEST_OUTPUTS: i64 = 1024;

/// A causal transformer with its weights on one device.
pub struct Decoder {
    pub stack: Stack,
    /// From the residual stream to the embedding's width, where that is another.
    project_out: Option<Rc<Linear>>,
    pub head: Rc<Linear>,
    /// What was made to write quickly, and its memory.
    pub steps: Steps,
}

/// The head's bias, where there is one; encoder–decoders store it as a row, or leave out one of zeros.
fn bias(weights: &mut Weights, vocabulary: usize, head: &Head, row: bool) -> Result<Option<Tensor>> {
    Ok(match head.bias {
        false => None,
        true if (row || head.spares_bias) && !weights.has("head.bias") => None,
        true if row => Some(weights.take("head.bias", &[1, vocabulary])?.flatten(0, -1)),
        true => Some(weights.take("head.bias", &[vocabulary])?),
    })
}

impl Decoder {
    pub fn load(config: Config, weights: &mut Weights) -> Result<Self> {
        let (hidden, vocabulary, size) = (config.hidden_size, config.vocab_size, config.embedding.size);
        let head = config.head.clone();
        // Beside an encoder all that is shared has been tied before.
        if head.tied && config.encoder.is_none() {
            weights.tie("token_embedding.weight", &["head.weight"], !head.prefers_own);
        }
        let stack = Stack::load(config, weights)?;
        let project_out = match size == hidden {
            true => None,
            false => Some(Rc::new(Linear::load(
                weights,
                "project_out",
                hidden,
                size,
                false,
            )?)),
        };
        let weight = match head.tied && !weights.has("head.weight") {
            // A decoder beside an encoder may embed by a matrix of its own: its head is tied to the shared one.
            true if stack.config.encoder.is_some() => weights.take_whole(SHARED, &[vocabulary, size])?,
            true => stack.embedding.tokens.shallow_clone(),
            false => weights.take_whole("head.weight", &[vocabulary, size])?,
        };
        let bias = bias(weights, vocabulary, &head, stack.config.encoder.is_some())?;
        Ok(Self {
            stack,
            project_out,
            head: Rc::new(Linear::new(weight.tr(), bias, weights.low_rank("head.weight"))),
            steps: Steps::default(),
        })
    }

    /// A view on the same weights whose passes are edited.
    pub(crate) fn edited(&self, edits: &Rc<StackEdits>) -> Self {
        Self {
            stack: self.stack.edited(edits),
            project_out: self.project_out.clone(),
            head: Rc::clone(&self.head),
            steps: Steps::default(),
        }
    }

    pub fn config(&self) -> &Config {
        &self.stack.config
    }

    pub fn device(&self) -> Device {
        self.stack.device()
    }

    pub fn kind(&self) -> Kind {
        self.stack.kind()
    }

    /// Token embeddings alone, without positions: `[1, position, size]`.
    pub fn embed(&self, ids: &[u32]) -> Tensor {
        self.stack.embed(ids)
    }

    /// From token embeddings `[batch, position, size]` to the head's input, which has the same shape: the final
    /// norm's output, where there is one. With a cache the embeddings are those of the tokens that follow what
    /// it holds.
    pub fn forward(
        &self,
        embeddings: &Tensor,
        cache: Option<&mut Cache>,
        tap: &mut dyn Tap,
    ) -> Result<Tensor> {
        self.forward_with(embeddings, cache, None, tap)
    }

    /// The same for a decoder that also looks at what an encoder has read, by layer.
    pub fn forward_with(
        &self,
        embeddings: &Tensor,
        cache: Option<&mut Cache>,
        memories: Option<&[CrossMemory]>,
        tap: &mut dyn Tap,
    ) -> Result<Tensor> {
        let states = self
            .stack
            .forward(embeddings, Marks::default(), cache, memories, tap)?;
        Ok(self.project(states))
    }

    /// The same of one more token of one text, `[1, 1, size]`, whose place is a number on the device.
    pub fn step(&self, embeddings: &Tensor, cache: &mut Cache, cursor: &Cursor) -> Result<Tensor> {
        Ok(self.project(self.stack.step(embeddings, cache, cursor)?))
    }

    /// The same from the residual stream before a later layer on, see [`Stack::resume`].
    pub fn resume(
        &self,
        first: usize,
        from: (&Tensor, &Beside),
        memories: Option<&[CrossMemory]>,
        tap: &mut dyn Tap,
    ) -> Result<Tensor> {
        Ok(self.project(self.stack.resume(first, from, memories, tap)?))
    }

    /// The head's input as it would be if `x`, `[.., hidden]`, were the stream after the last layer; `raw` leaves the
    /// final norm out.
    pub fn read_out(&self, x: &Tensor, raw: bool) -> Tensor {
        self.project(match raw {
            true => x.shallow_clone(),
            false => apply(&self.stack.final_norm, x),
        })
    }

    fn project(&self, states: Tensor) -> Tensor {
        match &self.project_out {
            Some(project) => project.forward(&states),
            None => states,
        }
    }

    /// What a direction of the stream, `[.., hidden]`, adds to the logits of `length` tokens from `start` on: through the
    /// linear part of the final norm and the head's weights. No deviation, no bias, no cap.
    pub fn along_vocabulary(&self, direction: &Tensor, start: i64, length: i64) -> Tensor {
        let normed = match &self.stack.final_norm {
            Some(norm) => norm.linear(direction),
            None => direction.shallow_clone(),
        };
        let projected = match &self.project_out {
            Some(project) => project.linear(&normed),
            None => normed,
        };
        self.head.part(start, length).forward(&projected) * self.config().head.scale
    }

    /// The head: `[.., size]` to `[.., vocabulary]`.
    pub fn logits(&self, states: &Tensor) -> Tensor {
        self.logits_by(states, Rule::Gradient)
    }

    /// The same, differentiated by a rule.
    pub fn logits_by(&self, states: &Tensor, rule: Rule) -> Tensor {
        rule.soft_cap(self.uncapped_logits(states), self.config().head.soft_cap)
    }

    /// The same before they are capped: linear in the states, but for a bias.
    pub fn uncapped_logits(&self, states: &Tensor) -> Tensor {
        let scale = self.config().head.scale;
        let logits = self.head.forward(states);
        if scale == 1.0 { logits } else { logits * scale }
    }

    /// Of tokens `ids`, each after a row of `states`, `[row, size]`, the natural logarithm of its probability: `[row]`, in single
    /// precision at least. The vocabulary goes by in parts that stay in a processor's cache: logits as a whole are there nowhere.
    pub(crate) fn log_probabilities(&self, states: &Tensor, ids: &[u32]) -> Tensor {
        let most = if self.device().is_cuda() {
            MOST_LOGITS
        } else {
            CACHED_LOGITS
        };
        let vocabulary = self.config().vocab_size as i64;
        let width = (most / ids.len().max(1) as i64).max(FEWEST_OUTPUTS);
        let ids: Vec<i64> = ids.iter().map(|&id| i64::from(id)).collect();
        let ids = host::tensor(&ids, self.device()).unsqueeze(1); // [row, 1]
        let kind = if self.kind() == Kind::Double {
            Kind::Double
        } else {
            Kind::Float
        };
        let rows = |value: f64| Tensor::full(ids.size(), value, (kind, self.device()));
        let (mut own, mut largest, mut sum) = (rows(0.0), rows(f64::from(f32::MIN)), rows(0.0));
        for start in (0..vocabulary).step_by(width as usize) {
            let mut logits = self
                .logits_of(states, start, width.min(vocabulary - start))
                .to_kind(kind);
            let is_here = ids.ge(start).logical_and(&ids.lt(start + width));
            let here = (&ids - start).clamp(0, logits.size()[1] - 1);
            own = logits.gather(1, &here, false).where_self(&is_here, &own);
            let before = largest;
            largest = before.maximum(&logits.amax(-1, true));
            let part = logits
                .subtract_(&largest)
                .exp_()
                .sum_dim_intlist(-1, true, None::<Kind>);
            sum = sum * (before - &largest).exp() + part;
        }
        (own - largest - sum.log()).squeeze_dim(1)
    }

    /// [`Decoder::logits`] of `length` tokens from `start` on.
    fn logits_of(&self, states: &Tensor, start: i64, length: i64) -> Tensor {
        let head = &self.config().head;
        let mut logits = self.head.part(start, length).forward(states);
        if let Some(bias) = &self.head.bias {
            logits += bias.narrow(0, start, length);
        }
        if head.scale != 1.0 {
            logits *= head.scale;
        }
        Rule::Gradient.soft_cap(logits, head.soft_cap)
    }

    /// From the cotangent of `logits`, the head's output, to that of its input.
    pub fn logits_backward(&self, logits: &Tensor, cotangent: &Tensor, rule: Rule) -> Tensor {
        let head = &self.config().head;
        let slope = match head.soft_cap {
            Some(cap) if rule == Rule::Frozen => {
                // y = c tanh(x / c), of which only y is known: x = c artanh(y / c).
                let x = (logits / cap).atanh() * cap;
                over_itself(&x, logits, &x.ones_like()) * head.scale
            }
            Some(cap) => (1.0 - (logits / cap).square()) * head.scale,
            None if head.scale == 1.0 => return self.head.backward(cotangent),
            None => Tensor::from(head.scale).to_kind(cotangent.kind()),
        };
        self.head.backward(&(cotangent * slope))
    }

    /// From the cotangent of the head's input to that of the final norm's output.
    pub fn project_backward(&self, cotangent: &Tensor) -> Tensor {
        match &self.project_out {
            Some(project) => project.backward(cotangent),
            None => cotangent.shallow_clone(),
        }
    }

    /// From the cotangent of the head's input to that of the last layer's output `x`.
    pub fn output_backward(&self, x: &Tensor, cotangent: &Tensor, rule: Rule) -> Tensor {
        let cotangent = self.project_backward(cotangent);
        match &self.stack.final_norm {
            Some(norm) => norm.backward_by(x, &cotangent, rule),
            None => cotangent,
        }
    }
}
