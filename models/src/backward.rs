//! Batched vector–Jacobian products of the decoder, written out.
//!
//! Explaining k generated tokens takes k gradients with respect to the same embeddings. Attention is
//! causal, so one forward pass over the whole sequence holds what all of them need; here k cotangents are
//! pulled back through it together, each layer a few large matrix products. Autograd would run one
//! backward pass per token. Two more savings: only positions up to the last target matter, and in the
//! last layer only the target's own row is wide.
//!
//! `attention` and `short_convolution` are the ways back through what mixes positions; states that are carried from position to
//! position, and experts, are left to autograd. `beside` is what goes from layer to layer beside the stream. `tests/` hold all of it against autograd.

mod attention;
mod beside;
mod short_convolution;

use std::ops::ControlFlow;

use tch::{Kind, Tensor};

use crate::attention::{Start, View, Views};
use crate::decoder::Decoder;
use crate::error::{Error, Result};
use crate::host::{self, bring};
use crate::layers::Norm;
use crate::mlp::{Mlp, Shape};
use crate::rules::{By, Rule};
use crate::stack::{Block, Mixer, apply};
use crate::tap::{Capture, NoTap, Site, Tap};

use beside::Cotangents;

/// What a forward pass has to record for [`pull_back`].
const SITES: &[Site] = &[
    Site::ResidualBefore,
    Site::Queries,
    Site::Keys,
    Site::Values,
    Site::AttentionPattern,
    Site::HeadOutputs,
    Site::AttentionOutput,
    Site::ResidualMid,
    Site::MlpPre,
    Site::MlpUp,
    Site::MlpOutput,
    Site::ResidualAfter,
];

/// Records what [`pull_back`] needs of a pass over so many positions.
pub fn record(decoder: &Decoder, n_positions: usize, rule: Rule) -> Capture {
    let blocks = &decoder.stack.blocks;
    let mut views = Views::new(&decoder.stack, Start::Known(0), n_positions as i64, None);
    let mut is_fused = |layer: usize| {
        let block = &blocks[layer];
        let attention = block.mixer.attention().filter(|_| rule == Rule::Gradient);
        attention.is_some_and(|attention| attention.is_fused_backward(views.at(block.place())))
    };
    // Of the last layer few rows of the pattern are needed.
    let fused: Vec<usize> = (0..blocks.len() - 1).filter(|&layer| is_fused(layer)).collect();
    Capture::new(SITES, None).without(Site::AttentionPattern, fused.into_iter())
}

/// Gradients with respect to the embeddings, `[target, position, size]`.
///
/// Target i is a function of the head's input at position `rows[i]`, and `cotangents[i]` (`[target, size]`) its
/// gradient there. `saved` is what [`record`] has of a forward pass over `embeddings`, one sequence. Only the first `max(rows) + 1`
/// positions are computed: the gradient at all later ones is zero.
///
/// By the frozen rule they are the factors of the affine map that the pass becomes; the rescale rule compares two passes
/// and is left to autograd. `proceed` is asked before each layer.
pub fn pull_back(
    decoder: &Decoder,
    embeddings: &Tensor,
    saved: &Capture,
    rows: &[usize],
    cotangents: &Tensor,
    rule: Rule,
    proceed: &mut dyn FnMut() -> ControlFlow<()>,
) -> Result<Tensor> {
    if decoder.stack.is_edited() {
        return Err(Error::Edited {
            what: "this gradient",
        });
    }
    let n_positions = rows.iter().max().map_or(0, |row| row + 1) as i64;
    let rows: Vec<i64> = rows.iter().map(|&row| row as i64).collect();
    let mut rows = host::index(&rows, decoder.device());
    let last = decoder.stack.blocks.len() - 1;
    let embeddings = embeddings.narrow(1, 0, n_positions);
    let beside = decoder.stack.beside(&embeddings, Rule::Gradient);
    let mut views = Views::new(&decoder.stack, Start::Known(0), n_positions, None).with(beside);
    let others = Cotangents::default();
    let main = decoder.stack.place();
    let x = saved.tensor(Site::ResidualAfter, last);
    let x = bring(
        &Queries::Rows(&bring(&rows, (Kind::Int64, x.device()))).of(x, 1),
        main,
    );
    let mut cotangent = decoder.output_backward(&x, &cotangents.unsqueeze(1), rule); // [target, 1, hidden]
    for (layer, block) in decoder.stack.blocks.iter().enumerate().rev() {
        if proceed() == ControlFlow::Break(()) {
            return Err(Error::Interrupted);
        }
        let place = block.place();
        rows = bring(&rows, (Kind::Int64, place.1));
        let queries = if layer == last {
            Queries::Rows(&rows)
        } else {
            Queries::First(n_positions)
        };
        cotangent = Layer {
            block,
            saved,
            layer,
            queries,
            n_positions,
            view: views.at(place),
            rule,
            others: &others,
        }
        .backward(&bring(&cotangent, place));
    }
    let of_inputs = others.of_inputs(main);
    Ok(decoder.stack.embedding.backward(
        &embeddings,
        bring(&cotangent, main),
        of_inputs.as_ref(),
        decoder.config(),
        rule,
    ))
}

/// The positions at which a layer's output has a cotangent.
#[derive(Clone, Copy)]
enum Queries<'a> {
    /// One for each target.
    Rows(&'a Tensor),
    /// All up to a length, for every target.
    First(i64),
}

impl Queries<'_> {
    /// A saved tensor `[1, …]` at these positions of `axis`: `[target, …, 1, …]` or `[1, …, length, …]`.
    fn of(self, saved: &Tensor, axis: i64) -> Tensor {
        match self {
            Self::Rows(rows) => saved
                .squeeze_dim(0)
                .index_select(axis - 1, rows)
                .movedim_int(axis - 1, 0)
                .unsqueeze(axis),
            Self::First(length) => saved.narrow(axis, 0, length),
        }
    }

    /// Adds a tensor at these positions of axis 1 to a whole one, `[target, position, hidden]`.
    fn add_to(self, whole: Tensor, part: &Tensor) -> Tensor {
        match self {
            Self::First(_) => whole + part,
            Self::Rows(rows) => {
                let index = rows.reshape([-1, 1, 1]).expand_as(part);
                whole.scatter_add(1, &index, part)
            }
        }
    }
}

/// One layer's part of the way back.
struct Layer<'a> {
    block: &'a Block,
    saved: &'a Capture,
    layer: usize,
    queries: Queries<'a>,
    n_positions: i64,
    view: &'a View<'a>,
    rule: Rule,
    others: &'a Cotangents,
}

impl Layer<'_> {
    /// From the cotangent of the layer's output at the queries to that of its input at all positions.
    fn backward(&self, cotangent: &Tensor) -> Tensor {
        let block = self.block;
        let cotangent = &self.own_input(block.scaled(cotangent.shallow_clone()));
        let pre = self.saved(Site::ResidualBefore).narrow(1, 0, self.n_positions);
        if let Some(norm) = block.only_norm() {
            let branch = match block.mixer {
                Mixer::Nothing => self.at_all(self.mlp(cotangent)),
                _ => self.mixer(cotangent, &pre),
            };
            return self.queries.add_to(self.back(norm, &pre, branch), cotangent);
        }
        if block.residual.parallel {
            let of_mlp = self.mlp(cotangent);
            let mut normalised = self.mixer(cotangent, &pre);
            let mut stream = cotangent.shallow_clone();
            match &block.mlp_norm {
                Some(norm) => {
                    stream = stream.g_add(&norm.backward_by(&self.queries.of(&pre, 1), &of_mlp, self.rule))
                }
                None => normalised = self.queries.add_to(normalised, &of_mlp),
            }
            return self
                .queries
                .add_to(self.back(&block.attention_norm, &pre, normalised), &stream);
        }
        let mid = || self.at_queries(Site::ResidualMid);
        let of_sum = self.sum(&block.mlp_post_norm, cotangent, || {
            mid() + self.at_queries(Site::MlpOutput)
        });
        // The stream goes around a branch and its norm, or around the branch alone.
        let of_mlp = self.mlp(&of_sum);
        let of_mid = match block.residual.from_norms {
            true => self.back(&block.mlp_norm, &mid(), of_mlp + of_sum),
            false => &of_sum + self.back(&block.mlp_norm, &mid(), of_mlp),
        };
        let before = || self.at_queries(Site::ResidualBefore) + self.at_queries(Site::AttentionOutput);
        let of_sum = self.sum(&block.attention_post_norm, &of_mid, before);
        let normalised = self.mixer(&of_sum, &pre);
        match block.residual.from_norms {
            true => self.back(
                &block.attention_norm,
                &pre,
                self.queries.add_to(normalised, &of_sum),
            ),
            false => self
                .queries
                .add_to(self.back(&block.attention_norm, &pre, normalised), &of_sum),
        }
    }

    /// From what the first branch adds at the queries to the normalised stream at all positions.
    fn mixer(&self, cotangent: &Tensor, pre: &Tensor) -> Tensor {
        match &self.block.mixer {
            Mixer::Attention(attention) => self.attention(attention, cotangent, pre),
            Mixer::ShortConvolution(convolution) => self.short_convolution(convolution, cotangent, pre),
            mixer @ (Mixer::DeltaNet(_) | Mixer::Mamba(_)) => self.carried(mixer, cotangent, pre),
            Mixer::Nothing => self.at_all(cotangent.zeros_like()),
        }
    }

    /// States that are carried on are left to autograd: going back through them takes what the pass had at every position,
    /// which is made anew here layer by layer.
    fn carried(&self, mixer: &Mixer, cotangent: &Tensor, pre: &Tensor) -> Tensor {
        let x = apply(&self.block.attention_norm, pre);
        let pass = |x: &Tensor, tap: &mut dyn Tap| mixer.forward(x, None, self.view, self.layer, tap);
        let output = || self.queries.of(&pass(&x, &mut NoTap), 1);
        let cotangent = self.branch(&self.block.attention_post_norm, cotangent, output);
        self.by_autograd(&x, &self.at_all(cotangent), pass)
    }

    /// What is there at the queries, among zeros: `[target, position, channel]`.
    fn at_all(&self, part: Tensor) -> Tensor {
        let size = [part.size()[0], self.n_positions, part.size()[2]];
        let whole = Tensor::zeros(size, (part.kind(), part.device()));
        self.queries.add_to(whole, &part)
    }

    fn saved(&self, site: Site) -> &Tensor {
        self.saved.tensor(site, self.layer)
    }

    fn at_queries(&self, site: Site) -> Tensor {
        self.queries.of(self.saved(site), 1)
    }

    /// Back through a norm before a branch, where there is one.
    fn back(&self, norm: &Option<Norm>, x: &Tensor, cotangent: Tensor) -> Tensor {
        match norm {
            Some(norm) => norm.backward_by(x, &cotangent, self.rule),
            None => cotangent,
        }
    }

    /// Back through a norm on the stream, where there is one.
    fn sum(&self, norm: &Option<Norm>, cotangent: &Tensor, x: impl FnOnce() -> Tensor) -> Tensor {
        match norm {
            Some(norm) if self.block.residual.after_sum => norm.backward_by(&x(), cotangent, self.rule),
            _ => cotangent.shallow_clone(),
        }
    }

    /// Back through the factor and the norm on a branch's output, which `output` computes anew.
    fn branch(&self, norm: &Option<Norm>, cotangent: &Tensor, output: impl FnOnce() -> Tensor) -> Tensor {
        let residual = &self.block.residual;
        let cotangent = match residual.scale {
            1.0 => cotangent.shallow_clone(),
            scale => cotangent * scale,
        };
        match norm {
            Some(norm) if residual.after_branch => norm.backward_by(&output(), &cotangent, self.rule),
            _ => cotangent,
        }
    }

    /// From what the MLP adds to its input, `[target, query, hidden]`.
    fn mlp(&self, cotangent: &Tensor) -> Tensor {
        let Mlp { activation, shape } = &self.block.mlp;
        let norm = &self.block.mlp_post_norm;
        match shape {
            Shape::Plain {
                up,
                norm: inner_norm,
                down,
            } => {
                let pre = self.at_queries(Site::MlpPre);
                let output = || down.forward(&apply(inner_norm, &activation.forward(&pre)));
                let inner = down.backward(&self.branch(norm, cotangent, output)); // [target, query, neuron]
                let active = match inner_norm {
                    Some(norm) => norm.backward_by(&activation.forward(&pre), &inner, self.rule),
                    None => inner,
                };
                up.backward(&activation.backward_by(&pre, &active, self.rule))
            }
            Shape::Gated(gated) => {
                let (gate, up) = (self.at_queries(Site::MlpPre), self.at_queries(Site::MlpUp));
                let active = activation.forward(&gate);
                let output = || gated.down.forward(&(&active * &up));
                let inner = gated.down.backward(&self.branch(norm, cotangent, output));
                let of_gate = match self.rule {
                    Rule::Frozen => inner.zeros_like(),
                    _ => &inner * up * activation.derivative(&gate),
                };
                gated.input_backward(&of_gate, &(inner * active))
            }
            Shape::Experts { .. } => self.experts(cotangent),
            Shape::Nothing => cotangent.zeros_like(),
        }
    }

    /// Experts are left to autograd: which of them a token goes through differs from token to token.
    fn experts(&self, cotangent: &Tensor) -> Tensor {
        let block = self.block;
        let before = || self.at_queries(Site::ResidualBefore);
        let x = match (&block.mlp_norm, block.residual.parallel) {
            _ if block.only_norm().is_some() => apply(&block.mlp_norm, &before()),
            (Some(norm), false) => norm.forward(&self.at_queries(Site::ResidualMid)),
            (Some(norm), true) => norm.forward(&before()),
            (None, false) => self.at_queries(Site::ResidualMid),
            (None, true) => apply(&block.attention_norm, &before()),
        };
        let output = || block.mlp.forward(&x, self.layer, &mut NoTap);
        let cotangent = self.branch(&block.mlp_post_norm, cotangent, output);
        self.by_autograd(&x, &cotangent, |x, tap| block.mlp.forward(x, self.layer, tap))
    }

    /// From the cotangent of what `pass` makes of `x` to that of `x`, of which each target has a copy.
    fn by_autograd(
        &self,
        x: &Tensor,
        cotangent: &Tensor,
        pass: impl Fn(&Tensor, &mut dyn Tap) -> Tensor,
    ) -> Tensor {
        let x = x
            .expand_as(cotangent)
            .contiguous()
            .detach()
            .set_requires_grad(true);
        let n_targets = x.size()[0];
        tch::with_grad(|| {
            // A rule takes two halves, whose second does not matter here.
            let both = match self.rule {
                Rule::Gradient => x.shallow_clone(),
                _ => Tensor::cat(&[&x, &x.detach()], 0),
            };
            let output = pass(&both, &mut By(self.rule));
            let total = (output.narrow(0, 0, n_targets) * cotangent).sum(None::<Kind>);
            Tensor::run_backward(&[total], &[&x], false, false).remove(0)
        })
    }
}

/// Bytes that pulling one cotangent back takes at its widest, for choosing how many go together.
pub fn bytes_per_target(decoder: &Decoder, saved: &Capture, n_positions: usize) -> u64 {
    let config = decoder.config();
    let patterns = saved.layers(Site::AttentionPattern).len() > 1; // beside the last layer's
    let seen = if patterns { n_positions } else { 0 };
    // A few tensors of each width live at once: see `Layer::mlp` and `Layer::pattern` in `attention`.
    let carried = config.work_of_mixers();
    let per_position =
        4 * config.intermediate_size + 8 * config.hidden_size + 4 * config.n_heads * seen + carried;
    (n_positions * per_position * decoder.kind().elt_size_in_bytes()) as u64
}
