//! Which heads, neurons and features are nodes.

use ecco_models::host;
use tch::{Kind, Tensor};

use super::parts::{Leaf, LeafKind, Parts};
use super::{GraphOptions, Node, wide};

/// A node and what of the answer comes through it.
pub(super) struct Found {
    pub node: Node,
    pub score: f64,
}

/// What a node writes in a layer of its stack, `[hidden]`.
pub(super) struct Write {
    pub layer: usize,
    pub write: Tensor,
}

pub(super) struct Chosen {
    /// Tokens, then heads, neurons, features and errors in the order of the pass, then the answer.
    pub nodes: Vec<Found>,
    pub n_tokens: usize,
    /// By leaf the nodes' places in its products, flattened.
    pub places: Vec<Tensor>,
    /// Along which heads' numbers are summed, `[head_dim]` in double precision.
    pub directions: Vec<(Node, Tensor)>,
    /// What they are, `[head_dim]`, by number of the node.
    pub heads: Vec<(usize, Tensor)>,
    /// What features and errors write, by number of the node.
    pub written: Vec<(usize, Write)>,
    pub n_parts: usize,
    pub kept: f64,
}

/// The largest scores of a pass whose parts are connected, by the slopes of its answer.
pub(super) fn choose(whole: &Parts, slopes: &[Tensor], options: &GraphOptions) -> Chosen {
    let leaves = &whole.leaves;
    let products: Vec<Tensor> = leaves
        .iter()
        .zip(slopes)
        .map(|(leaf, slopes)| leaf.products(slopes).flatten(0, -1))
        .collect();
    let mut n_parts = 0;
    let mut candidates = Vec::new(); // (leaf, place, score)
    let mut total = 0.0;
    let most = options.max_nodes as i64;
    let parts = &products[1..];
    let largest = |x: &Tensor| x.abs().topk(most.min(x.size()[0]), 0, true, false).1;
    let largest: Vec<Tensor> = parts.iter().map(largest).collect();
    let each = parts.iter().zip(&largest);
    let mut asked: Vec<Tensor> = each.map(|(x, at)| x.index_select(0, at)).collect();
    asked.extend(largest.iter().map(|at| at.to_kind(Kind::Double)));
    asked.extend(parts.iter().map(|x| x.abs().sum(Kind::Double)));
    let numbers = host::numbers_of_all(&asked.iter().collect::<Vec<_>>());
    let n = parts.len();
    let mut errors = Vec::new();
    for index in 0..n {
        let [scores, places, sums] = [&numbers[index], &numbers[n + index], &numbers[2 * n + index]];
        let each = places.iter().zip(scores);
        let each = each.map(|(&at, &score)| (1 + index, at as usize, score));
        match leaves[1 + index].kind {
            LeafKind::Errors => errors.extend(each),
            _ => {
                n_parts += parts[index].size()[0] as usize;
                total += sums[0];
                candidates.extend(each);
            }
        }
    }
    for all in [&mut candidates, &mut errors] {
        all.sort_by(|a, b| b.2.abs().total_cmp(&a.2.abs()));
        all.truncate(options.max_nodes);
    }
    let mut sum = 0.0;
    let mut kept = Vec::new();
    for candidate in candidates {
        if sum >= options.keep * total || candidate.2 == 0.0 {
            break;
        }
        sum += candidate.2.abs();
        kept.push(candidate);
    }
    // Errors are nodes where they have as much as a part that is one.
    let least = kept.last().map_or(0.0, |(_, _, score)| score.abs());
    kept.extend(errors.into_iter().filter(|(_, _, score)| score.abs() >= least));
    kept.sort_by_key(|&(leaf, at, _)| (leaf, at));
    let tokens = host::numbers(&products[0]);
    let n_tokens = tokens.len();
    let mut nodes: Vec<Found> = tokens
        .into_iter()
        .enumerate()
        .map(|(position, score)| Found {
            node: Node::Token { position },
            score,
        })
        .collect();
    let (mut directions, mut heads, mut written) = (Vec::new(), Vec::new(), Vec::new());
    let mut places: Vec<Vec<i64>> = vec![Vec::new(); leaves.len()];
    places[0] = (0..n_tokens as i64).collect();
    for (leaf, at, score) in kept {
        let node = leaves[leaf].node(at);
        if let Node::Head { .. } = node {
            let of_head = |x: &Tensor| x.flatten(0, 2).get(at as i64);
            directions.push((node, wide(&of_head(&slopes[leaf]))));
            heads.push((nodes.len(), of_head(&leaves[leaf].leaf.detach())));
        }
        let value = |place| leaves[leaf].leaf.detach().get(0).get(place);
        let layer = leaves[leaf].layer;
        let mut write = |layer, write| written.push((nodes.len(), Write { layer, write }));
        match &leaves[leaf].kind {
            LeafKind::Features { directions, .. } => {
                for (behind, directions) in directions.iter().enumerate() {
                    write(layer + behind, directions.get(at as i64) * value(at as i64));
                }
            }
            LeafKind::Errors => write(layer, value(at as i64)),
            _ => {}
        }
        nodes.push(Found { node, score });
        places[leaf].push(at as i64);
    }
    nodes.push(Found {
        node: Node::Answer,
        score: host::number(&whole.answer.detach()),
    });
    let place = |(leaf, places): (&Leaf, Vec<i64>)| host::index(&places, leaf.leaf.device());
    Chosen {
        places: leaves.iter().zip(places).map(place).collect(),
        kept: if total > 0.0 { sum / total } else { 1.0 },
        nodes,
        n_tokens,
        directions,
        heads,
        written,
        n_parts,
    }
}
