//! Circuits: what some edges do without the others, and the others without them.

use ecco_interpreter::Watch;
use ecco_models::guard::guard;
use ecco_models::host;
use ndarray::Array2;
use tch::Tensor;

use super::pass::as_tensor;
use super::{Edge, Edges, Setting};
use crate::attribution::work::Work;
use crate::error::{Result, refuse};
use crate::random::RandomState;

/// Some edges, and what they do.
#[derive(Debug, Clone, PartialEq)]
pub struct Circuit {
    /// Without those that lead nowhere, by source and then by reader.
    pub edges: Vec<Edge>,
    /// How many were asked for.
    pub n_asked: usize,
    /// How much of the difference of the answers is left where all other edges carry what is in the corrupted text:
    /// (f(circuit) − f(corrupted)) / (f(clean) − f(corrupted)). It may be below 0 and above 1.
    pub faithfulness: f64,
    /// The same where these edges carry what is in the corrupted text, and all others what is in the clean one.
    pub without: f64,
}

/// Circuits of one size, and random ones of as many edges.
#[derive(Debug, Clone, PartialEq)]
pub struct Sized {
    pub circuit: Circuit,
    /// Faithfulness of random circuits.
    pub random: Vec<f64>,
}

impl Edges {
    /// The circuit of the `n` edges with the largest absolute scores, pruned.
    ///
    /// # Errors
    /// As [`Self::circuit_of`].
    pub fn circuit(&self, setting: &Setting, n: usize, watch: &mut Watch) -> Result<Circuit> {
        let strongest: Vec<Edge> = self.ranked().into_iter().take(n).collect();
        self.circuit_of(setting, &strongest, watch)
    }

    /// The circuit of these edges, pruned, in two passes over the clean text.
    ///
    /// # Errors
    /// For none at all, and edges that there are not.
    pub fn circuit_of(&self, setting: &Setting, edges: &[Edge], watch: &mut Watch) -> Result<Circuit> {
        if edges.is_empty() {
            return Err(refuse("edges", "none", "a circuit has at least one edge"));
        }
        let kept = self.kept(edges);
        let make = |at: usize| match at {
            0 => kept.clone(),
            _ => kept.mapv(|kept| !kept),
        };
        let shares = self.shares(setting, 2, make, watch)?;
        Ok(circuit(&kept, edges.len(), [shares[0], shares[1]]))
    }

    /// Circuits of so many edges each, beside `n_random` random ones of each size.
    ///
    /// # Errors
    /// As [`Self::circuit_of`].
    pub fn curve(
        &self,
        setting: &Setting,
        sizes: &[usize],
        n_random: usize,
        seed: u64,
        watch: &mut Watch,
    ) -> Result<Vec<Sized>> {
        let all = self.graph.edges();
        check_sizes(sizes, n_random, all.len())?;
        let ranked = self.ranked();
        let mut random = RandomState::new(seed as u32);
        let of_size = |size: usize| self.kept(&ranked[..size.min(ranked.len())]);
        // Of each size the circuit, all without it, and random ones. They are made when they are run: each is as large as the graph.
        let per_size = 2 + n_random;
        let make = |at: usize| match (sizes[at / per_size], at % per_size) {
            (size, 0) => of_size(size),
            (size, 1) => of_size(size).mapv(|kept| !kept),
            (size, _) => {
                let order = random.shuffled(all.len());
                let drawn: Vec<Edge> = order[..size].iter().map(|&at| all[at]).collect();
                self.kept(&drawn)
            }
        };
        let shares = self.shares(setting, sizes.len() * per_size, make, watch)?;
        let each = sizes.iter().zip(shares.chunks(per_size));
        let sized = each.map(|(&size, shares)| Sized {
            circuit: circuit(&of_size(size), size, [shares[0], shares[1]]),
            random: shares[2..].to_vec(),
        });
        Ok(sized.collect())
    }

    /// (source, reader), pruned.
    fn kept(&self, edges: &[Edge]) -> Array2<bool> {
        let mut kept = Array2::from_elem((self.graph.n_sources(), self.graph.n_readers()), false);
        for edge in edges {
            kept[(edge.source, edge.reader)] = true;
        }
        self.graph.prune(&mut kept);
        kept
    }

    /// The share of the difference that each of `n` sets of edges leaves; `make` makes them in their order.
    fn shares(
        &self,
        setting: &Setting,
        n: usize,
        mut make: impl FnMut(usize) -> Array2<bool>,
        watch: &mut Watch,
    ) -> Result<Vec<f64>> {
        let answers = guard(|| {
            let work = &mut Work::new(watch, "circuits".into(), "passes", n as u64);
            let pair = setting.pair(self.graph, work)?;
            let at_once = setting.at_once(self.graph);
            let mut answers = Vec::new();
            for first in (0..n).step_by(at_once) {
                let some = first..(first + at_once).min(n);
                let cut: Vec<Array2<bool>> = some.clone().map(|at| make(at).mapv(|kept| !kept)).collect();
                let cut = as_tensor(&cut.iter().collect::<Vec<_>>(), setting.model.stack().device());
                answers.push(pair.with_cuts(cut, work)?);
                work.advance(some.len() as u64)?;
            }
            match answers.is_empty() {
                true => Ok(vec![]),
                false => Ok(host::numbers(&Tensor::cat(&answers, 0))),
            }
        })?;
        let gap = self.clean - self.corrupted;
        let share = |answer: f64| (answer - self.corrupted) / gap;
        Ok(answers.into_iter().map(share).collect())
    }
}

/// Circuits of a curve at most, random ones included.
const MOST_CIRCUITS: usize = 10_000;

/// # Errors
/// For sizes that there are not, and very many.
fn check_sizes(sizes: &[usize], n_random: usize, n_edges: usize) -> Result<()> {
    if let Some(&size) = sizes.iter().find(|&&size| size == 0 || size > n_edges) {
        let reason = format!("there are {n_edges} edges, and a circuit has at least one");
        return Err(refuse("sizes", size, reason));
    }
    let n = n_random.saturating_add(2).saturating_mul(sizes.len());
    match n <= MOST_CIRCUITS {
        true => Ok(()),
        false => {
            let reason = format!(
                "of {} sizes that makes {n} circuits, and at most {MOST_CIRCUITS} are run",
                sizes.len()
            );
            Err(refuse("random", n_random, reason))
        }
    }
}

fn circuit(kept: &Array2<bool>, n_asked: usize, [faithfulness, without]: [f64; 2]) -> Circuit {
    let edges = kept.indexed_iter().filter(|(_, kept)| **kept);
    Circuit {
        edges: edges
            .map(|((source, reader), _)| Edge { source, reader })
            .collect(),
        n_asked,
        faithfulness,
        without,
    }
}
