//! What ablating a node does: the answer without what stands there, all else as the model computes it.

use ecco_models::Site;
use ecco_models::host::{self, bring};
use ecco_models::tap::Tap;
use tch::Tensor;

use super::chosen::{Chosen, Write};
use super::parts::Stacks;
use super::{AttributionGraph, GraphNode, Node};
use crate::attribution::Objective;
use crate::attribution::work::Work;

/// Of so many parts with the largest scores, several passes side by side.
pub(super) fn measure(
    explained: &Objective,
    (graph, chosen): (&mut AttributionGraph, &Chosen),
    n: usize,
    work: &mut Work,
) -> ecco_models::error::Result<()> {
    let is_part = |node: &GraphNode| !matches!(node.node, Node::Token { .. } | Node::Answer);
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
        let written = |at: &usize| {
            let of_node = chosen.written.iter().filter(|(number, _)| number == at);
            of_node.map(|(_, write)| write).collect::<Vec<_>>()
        };
        let written: Vec<Vec<&Write>> = some.iter().map(written).collect();
        let mut tap = Without {
            nodes: &nodes,
            written: &written,
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

/// Puts 0 where a row's node stands, and takes off what it writes.
struct Without<'a, 'r, 'w, 'b> {
    nodes: &'a [Node],
    /// Of features and errors.
    written: &'a [Vec<&'a Write>],
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

    /// The rows whose node writes what the MLP of a layer adds, with its position and what it writes.
    fn writing(&self, layer: usize) -> Vec<(i64, i64, &Tensor)> {
        let each = self.nodes.iter().zip(self.written).enumerate();
        let writing = each.filter_map(|(row, (node, written))| match node {
            Node::Feature { at, .. } | Node::Error { at } => {
                let here = (self.stacks.in_encoder(), at.layer, self.stacks.offset());
                let written = written.iter().find(|write| write.layer == layer)?;
                Some((row as i64, at.within(here)? as i64, &written.write))
            }
            _ => None,
        });
        writing.collect()
    }
}

impl Tap for Without<'_, '_, '_, '_> {
    fn wants(&self, site: Site, layer: usize) -> bool {
        match site {
            Site::HeadOutputs | Site::MlpInner => !self.here(site, layer).is_empty(),
            Site::MlpOutput => !self.writing(layer).is_empty(),
            _ => false,
        }
    }

    fn visit(&mut self, site: Site, layer: usize, value: Tensor) -> Tensor {
        if !self.wants(site, layer) {
            return value;
        }
        let value = value.copy();
        if site == Site::MlpOutput {
            for (row, position, write) in self.writing(layer) {
                let place = value.get(row).get(position);
                let _ = place
                    .shallow_clone()
                    .g_sub_(&bring(write, (place.kind(), place.device())));
            }
            return value;
        }
        let here = self.here(site, layer);
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
