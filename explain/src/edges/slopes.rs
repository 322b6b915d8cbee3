//! Edge attribution patching: all edges at once, by the gradient at each reader's own copy of the stream.

use std::cell::RefCell;
use std::ops::ControlFlow;

use ecco_interpreter::{Progress, Watch};
use ecco_models::Site;
use ecco_models::host::{self, bring};
use ecco_models::run;
use ecco_models::tap::{NoTap, Reader, Tap};
use ndarray::Array2;
use tch::{Kind, Tensor};

use super::graph::Graph;
use super::pass::{Pair, streams};
use crate::aside::aside;
use crate::attribution::work::Work;

/// (source, reader): the difference of what the source writes times the gradient at the reader's stream, summed over
/// positions. `shares` of the way from the corrupted embeddings to the clean ones are where gradients are taken, which
/// are averaged; 0 is the corrupted text. `at_once` of them go side by side.
pub(super) fn scores(
    pair: &Pair,
    shares: &[f64],
    at_once: usize,
    work: &mut Work,
) -> ecco_models::error::Result<Array2<f64>> {
    let size = [pair.graph.n_sources() as i64, pair.graph.n_readers() as i64];
    let scores = Tensor::zeros(size, (Kind::Double, pair.model.stack().device()));
    let difference = pair.difference(pair.graph.n_sources()).to_kind(Kind::Double);
    let difference = difference.flatten(1, 2); // [source, position · hidden]
    for shares in shares.chunks(at_once) {
        for (reader, layer, gradient) in gradients(pair, shares, work)? {
            let (first, n) = pair.graph.readers(reader, layer);
            let n_before = pair.graph.n_before(reader, layer) as i64;
            let gradient = bring(&gradient, (Kind::Double, scores.device()));
            let gradient = gradient.reshape([n as i64, -1]); // [reader, position · hidden]
            let of_readers = difference.narrow(0, 0, n_before).matmul(&gradient.tr());
            let _ = scores
                .narrow(0, 0, n_before)
                .narrow(1, first as i64, n as i64)
                .g_add_(&of_readers);
        }
        work.advance(shares.len() as u64)?;
    }
    let scores = host::numbers(&(scores / shares.len() as f64));
    let shape = (pair.graph.n_sources(), pair.graph.n_readers());
    Array2::from_shape_vec(shape, scores).map_err(|error| ecco_models::Error::Torch {
        message: error.to_string(),
    })
}

/// Of every kind of readers of every layer, summed over the shares: `[reader, position, hidden]` or without the first axis.
fn gradients(
    pair: &Pair,
    shares: &[f64],
    work: &mut Work,
) -> ecco_models::error::Result<Vec<(Reader, usize, Tensor)>> {
    let work = RefCell::new(work);
    let mut tap = Nodes {
        graph: pair.graph,
        start: between(&pair.embeddings(), shares),
        nodes: Vec::new(),
        work: &work,
    };
    tch::with_grad(|| {
        let inputs = vec![pair.corrupted.clone(); shares.len()];
        let states = run::states(pair.model, &inputs, &mut tap, &mut NoTap)?;
        let answer = pair.measure.of_states(&states)?.sum(Kind::Double);
        let nodes = std::mem::take(&mut tap.nodes);
        let values: Vec<Tensor> = nodes.iter().map(|(.., node)| node.shallow_clone()).collect();
        // One call of libtorch, which asks nobody.
        let back = move |_: &mut Watch| Tensor::run_backward(&[answer], &values, false, false);
        let mut report = |_: &Progress| work.borrow_mut().report();
        let found = aside("gradients", back, &mut report).ok_or(ecco_models::Error::Interrupted)?;
        let each = nodes.iter().zip(found).map(|((reader, layer, node), gradient)| {
            let gradient = if gradient.defined() {
                gradient
            } else {
                node.zeros_like()
            };
            (*reader, *layer, gradient.sum_dim_intlist(0, false, Kind::Double))
        });
        Ok(each.collect())
    })
}

/// Streams before the first layer, `[share, position, hidden]`.
fn between([corrupted, clean]: &[Tensor; 2], shares: &[f64]) -> Tensor {
    let shares = host::tensor(shares, corrupted.device()).reshape([-1, 1, 1]);
    corrupted + (clean - corrupted) * shares.to_kind(corrupted.kind())
}

/// Makes every reader's stream a node of autograd's of its own.
struct Nodes<'a, 'r, 'w, 'b> {
    graph: Graph,
    /// What stands before the first layer.
    start: Tensor,
    nodes: Vec<(Reader, usize, Tensor)>,
    work: &'a RefCell<&'r mut Work<'w, 'b>>,
}

impl Tap for Nodes<'_, '_, '_, '_> {
    fn wants(&self, site: Site, layer: usize) -> bool {
        site == Site::ResidualBefore && layer == 0
    }

    fn visit(&mut self, site: Site, layer: usize, value: Tensor) -> Tensor {
        match self.wants(site, layer) {
            true => bring(&self.start, (value.kind(), value.device())),
            false => value,
        }
    }

    fn read(&mut self, reader: Reader, layer: usize, stream: &Tensor) -> Option<Tensor> {
        let (_, n) = self.graph.readers(reader, layer);
        let own = streams(reader, n, stream);
        let node = match own.requires_grad() {
            true => own.alias(),
            false => own.detach().set_requires_grad(true),
        };
        self.nodes.push((reader, layer, node.shallow_clone()));
        Some(node)
    }

    fn proceed(&mut self, _: usize) -> ControlFlow<()> {
        self.work.borrow_mut().report()
    }
}
