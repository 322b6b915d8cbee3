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
        let shares = self.shares(setting, &[kept.clone(), kept.mapv(|kept| !kept)], watch)?;
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
        if let Some(&size) = sizes.iter().find(|&&size| size == 0 || size > all.len()) {
            let reason = format!("there are {} edges, and a circuit has at least one", all.len());
            return Err(refuse("sizes", size, reason));
        }
        let ranked = self.ranked();
        let mut random = RandomState::new(seed as u32);
        let mut kept = Vec::new();
        for &size in sizes {
            let of_size = self.kept(&ranked[..size.min(ranked.len())]);
            kept.push(of_size.mapv(|kept| !kept));
            kept.push(of_size);
            for _ in 0..n_random {
                let order = random.shuffled(all.len());
                let drawn: Vec<Edge> = order[..size].iter().map(|&at| all[at]).collect();
                kept.push(self.kept(&drawn));
            }
        }
        let shares = self.shares(setting, &kept, watch)?;
        let each = sizes
            .iter()
            .zip(kept.chunks(2 + n_random).zip(shares.chunks(2 + n_random)));
        let sized = each.map(|(&size, (kept, shares))| Sized {
            circuit: circuit(&kept[1], size, [shares[1], shares[0]]),
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

    /// The share of the difference that each of these sets of edges leaves.
    fn shares(&self, setting: &Setting, kept: &[Array2<bool>], watch: &mut Watch) -> Result<Vec<f64>> {
        let answers = guard(|| {
            let work = &mut Work::new(watch, "circuits".into(), "passes", kept.len() as u64);
            let pair = setting.pair(self.graph, work)?;
            let mut answers = Vec::new();
            for some in kept.chunks(setting.at_once(self.graph)) {
                let cut: Vec<Array2<bool>> = some.iter().map(|kept| kept.mapv(|kept| !kept)).collect();
                let cut = as_tensor(&cut.iter().collect::<Vec<_>>(), setting.model.stack().device());
                answers.push(pair.with_cuts(cut, work)?);
                work.advance(some.len() as u64)?;
            }
            Ok(host::numbers(&Tensor::cat(&answers, 0)))
        })?;
        let gap = self.clean - self.corrupted;
        let share = |answer: f64| (answer - self.corrupted) / gap;
        Ok(answers.into_iter().map(share).collect())
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
