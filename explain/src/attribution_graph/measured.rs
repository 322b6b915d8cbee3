//! What ablating a node does: the answer without what stands there, all else as the model computes it.

use ecco_models::tap::Tap;
use ecco_models::{Site, host};
use tch::Tensor;

use super::parts::Stacks;
use super::{AttributionGraph, GraphNode, Node};
use crate::attribution::Objective;
use crate::attribution::work::Work;

/// Of so many heads and neurons with the largest scores, several passes side by side.
pub(super) fn measure(
    explained: &Objective,
    graph: &mut AttributionGraph,
    n: usize,
    work: &mut Work,
) -> ecco_models::error::Result<()> {
    let is_part = |node: &GraphNode| matches!(node.node, Node::Head { .. } | Node::Neuron { .. });
    let mut strongest: Vec<usize> = (0..graph.nodes.len())
        .filter(|&at| is_part(&graph.nodes[at]))
        .collect();
    let score = |at: &usize| graph.nodes[*at].score.abs();
    strongest.sort_by(|a, b| score(b).total_cmp(&score(a)));
    strongest.truncate(n);
    work.total += strongest.len() as u64;
    let x = explained.embeddings();
    for some in strongest.chunks(explained.rows_at_once() as usize) {
        let nodes: Vec<Node> = some.iter().map(|&at| graph.nodes[at].node).collect();
        let mut tap = Without {
            nodes: &nodes,
            stacks: Stacks::of(explained),
            work,
        };
        let rows = x.expand([some.len() as i64, -1, -1], false).contiguous();
        let values = host::numbers(&explained.values(&rows, &mut tap)?.select(1, 0));
        for (&at, value) in some.iter().zip(values) {
            graph.nodes[at].measured = Some(graph.value - value);
        }
        work.advance(some.len() as u64)?;
    }
    Ok(())
}

/// Puts 0 where a row's node stands.
struct Without<'a, 'r, 'w, 'b> {
    nodes: &'a [Node],
    stacks: Stacks,
    work: &'r mut Work<'w, 'b>,
}

impl Without<'_, '_, '_, '_> {
    /// The rows whose node stands there, with its place in `[…, row, column]`.
    fn here(&self, site: Site, layer: usize) -> Vec<(i64, i64, i64)> {
        let here = (self.stacks.in_encoder(), layer, self.stacks.offset());
        let place = |(row, node): (usize, &Node)| {
            let (first, second) = node.place(site, here)?;
            Some((row as i64, first, second))
        };
        self.nodes.iter().enumerate().filter_map(place).collect()
    }
}

impl Tap for Without<'_, '_, '_, '_> {
    fn wants(&self, site: Site, layer: usize) -> bool {
        matches!(site, Site::HeadOutputs | Site::MlpInner) && !self.here(site, layer).is_empty()
    }

    fn visit(&mut self, site: Site, layer: usize, value: Tensor) -> Tensor {
        let here = self.here(site, layer);
        if here.is_empty() {
            return value;
        }
        let value = value.copy();
        for (row, first, second) in here {
            let _ = value.get(row).get(first).get(second).zero_();
        }
        value
    }

    fn proceed(&mut self, layer: usize) -> std::ops::ControlFlow<()> {
        self.stacks.proceed(layer);
        self.work.report()
    }
}
