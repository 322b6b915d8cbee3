//! Which connections between a model's parts carry what makes two texts differ: edge attribution patching (Syed et al.
//! 2023, 2310.10348), with integrated gradients (Hanna et al. 2024, 2403.17806), and edges patched one by one (path
//! patching: Goldowsky-Dill et al. 2023, 2304.05969); and circuits of the strongest.
//!
//! A model that adds what its parts write to one stream is a graph: every head, MLP and the embeddings write, and every
//! head's queries, keys and values, every MLP and the final norm read the sum of all that was written before. With Δ what a
//! source writes to the clean text and not to the corrupted one, and g the gradient of the answer f at a reader's own copy
//! of the stream, before its norm, the edge between them changes f by about Σ Δ · g.
//!
//! - [`Graph`]: who writes, who reads
//! - [`edges`], [`Edges`]: a score for every edge
//! - [`Circuit`]: some edges without the others
//! - [`query_key`]: why a head looks where it looks
//! - `writes`: what each source writes; `pass`: passes in which readers see something else; `slopes`: gradients

mod circuit;
mod graph;
mod looking;
mod pass;
mod slopes;
mod writes;

use ecco_interpreter::{Watch, named};
use ecco_models::device::ensure_room;
use ecco_models::guard::guard;
use ecco_models::run::Input;
use ecco_models::{Model, host};
use ndarray::Array2;
use tch::Tensor;

use crate::agreement::pearson;
use crate::attribution::Completeness;
use crate::attribution::work::Work;
use crate::error::Result;
use crate::intervention::answer::Answer;
use crate::intervention::patching::{check_lengths, ensure_difference};
use crate::random::strongest_and_others;
use crate::sites::check_steps;
use pass::Pair;

pub use circuit::{Circuit, Sized};
pub use graph::{Edge, Graph, Source};
pub use looking::{QueryKey, query_key};

named! {
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum EdgeMethod {
        /// Gradients at the corrupted text: edge attribution patching.
        Gradient = "eap",
        /// Gradients averaged along the way from the corrupted embeddings to the clean ones, in the middles of so many steps.
        IntegratedGradients = "eap_ig",
        /// Each edge is patched.
        Exact = "exact",
    }
}

/// The texts, and the answer that is watched.
#[derive(Clone, Copy)]
pub struct Setting<'a> {
    pub model: &'a Model,
    pub clean: &'a Input,
    pub corrupted: &'a Input,
    /// The same position of both texts.
    pub answer: Answer,
}

#[derive(Debug, Clone, PartialEq)]
pub struct EdgeOptions {
    pub method: EdgeMethod,
    pub n_steps: usize,
    /// Only edges from these sources, by [`Graph::source_named`]; all without.
    pub from: Option<Vec<usize>>,
    /// Only edges to these readers.
    pub to: Option<Vec<usize>>,
    /// Edges that are patched indeed, to compare: half of them the strongest, the others drawn at random.
    pub n_measured: usize,
    pub seed: u64,
}

/// A score for every edge that was asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Edges {
    pub graph: Graph,
    pub options: EdgeOptions,
    /// (source, reader): by how much the answer to the corrupted text changes with the edge as in the clean one; 0 where
    /// there is no edge, or none was asked for.
    pub scores: Array2<f64>,
    pub clean: f64,
    pub corrupted: f64,
    /// Edges that were patched, and by how much the answer changed.
    pub measured: Vec<(Edge, f64)>,
    /// Where all edges from the embeddings together should make all of the difference.
    pub completeness: Option<Completeness>,
}

impl Edges {
    /// Those that were asked for, the largest absolute score first.
    pub fn ranked(&self) -> Vec<Edge> {
        let mut edges = self.options.edges(&self.graph);
        edges.sort_by(|a, b| self.score(*b).abs().total_cmp(&self.score(*a).abs()));
        edges
    }

    pub fn score(&self, edge: Edge) -> f64 {
        self.scores[(edge.source, edge.reader)]
    }

    /// Pearson's, between scores and what was measured. `None` where either does not vary.
    pub fn correlation(&self) -> Option<f64> {
        let pairs = self
            .measured
            .iter()
            .map(|(edge, change)| (self.score(*edge), *change));
        let (scores, changes): (Vec<f64>, Vec<f64>) = pairs.unzip();
        Some(pearson(&scores, &changes)).filter(|found| found.is_finite())
    }
}

impl EdgeOptions {
    /// Of the way from the corrupted embeddings to the clean ones, where gradients are taken.
    fn shares(&self) -> Vec<f64> {
        let n = self.n_steps.max(1);
        match self.method {
            EdgeMethod::Exact => vec![],
            EdgeMethod::Gradient => vec![0.0],
            EdgeMethod::IntegratedGradients => (0..n).map(|step| (step as f64 + 0.5) / n as f64).collect(),
        }
    }

    fn edges(&self, graph: &Graph) -> Vec<Edge> {
        let among =
            |some: &Option<Vec<usize>>, one: usize| some.as_ref().is_none_or(|some| some.contains(&one));
        let asked = |edge: &Edge| among(&self.from, edge.source) && among(&self.to, edge.reader);
        graph.edges().into_iter().filter(asked).collect()
    }
}

/// Scores every edge that is asked for.
///
/// # Errors
/// [`crate::Error::Lengths`] for texts of unequal length; for models whose stream is no sum of what their parts write, a
/// target that they do not say, texts with the same answer, too little memory, interruption.
pub fn edges(setting: &Setting, options: &EdgeOptions, watch: &mut Watch) -> Result<Edges> {
    let graph = setting.check()?;
    check_steps(options.n_steps)?;
    let at_once = setting.ensure_room(graph)?;
    let (asked, shares) = (options.edges(&graph), options.shares());
    let n_measured = match options.method {
        EdgeMethod::Exact => asked.len(),
        _ => options.n_measured.min(asked.len()),
    };
    let n_passes = (n_measured + shares.len()) as u64;
    let work = &mut Work::new(watch, "edges".into(), "passes", n_passes);
    let found = guard(|| {
        let pair = setting.pair(graph, work)?;
        let mut scores = match shares.is_empty() {
            true => Array2::zeros((graph.n_sources(), graph.n_readers())),
            false => slopes::scores(&pair, &shares, at_once, work)?,
        };
        let answers = host::numbers_of_all(&[&pair.clean_answer, &pair.corrupted_answer]);
        let (clean, corrupted) = (answers[0][0], answers[1][0]);
        let completeness = completeness(options, &scores, clean - corrupted);
        let values: Vec<f64> = asked
            .iter()
            .map(|edge| scores[(edge.source, edge.reader)])
            .collect();
        let mut sampled: Vec<Edge> = strongest_and_others(&values, n_measured, options.seed)
            .into_iter()
            .map(|at| asked[at])
            .collect();
        sampled.sort_unstable_by_key(|edge| (edge.reader, edge.source));
        let mut measured = pair.measured(&sampled, corrupted, at_once, work)?;
        if options.method == EdgeMethod::Exact {
            for (edge, change) in measured.drain(..) {
                scores[(edge.source, edge.reader)] = change;
            }
        }
        only(&asked, &mut scores);
        Ok(Edges {
            graph,
            options: options.clone(),
            scores,
            clean,
            corrupted,
            measured,
            completeness,
        })
    })?;
    ensure_difference(setting.model, found.clean, found.corrupted)?;
    Ok(found)
}

/// Only the embeddings differ in the end: their edges make all of the difference.
fn completeness(options: &EdgeOptions, scores: &Array2<f64>, gap: f64) -> Option<Completeness> {
    let promised = options.method == EdgeMethod::IntegratedGradients;
    promised.then(|| Completeness::of_sum(scores.row(0).sum(), gap))
}

/// Forgets the scores of edges that were not asked for.
fn only(asked: &[Edge], scores: &mut Array2<f64>) {
    let mut kept = Array2::zeros(scores.dim());
    for edge in asked {
        let at = (edge.source, edge.reader);
        kept[at] = scores[at];
    }
    *scores = kept;
}

/// Bytes that passes may take side by side.
const MOST_BYTES: u64 = 256 << 20;

impl<'a> Setting<'a> {
    /// # Errors
    /// As [`edges`].
    fn check(&self) -> Result<Graph> {
        let graph = Graph::of(self.model)?;
        for input in [self.clean, self.corrupted] {
            input.check(self.model)?;
            self.answer.check(self.model, input)?;
        }
        check_lengths(self.model, self.clean, self.corrupted)?;
        Ok(graph)
    }

    fn pair<'s>(&'s self, graph: Graph, work: &mut Work) -> ecco_models::error::Result<Pair<'s>> {
        Pair::read(self.model, graph, [self.clean, self.corrupted], self.answer, work)
    }

    /// What one pass takes: the streams of its readers, normed, what its sources write, and lists of edges.
    fn bytes(&self, graph: Graph) -> u64 {
        let config = self.model.config();
        let per_position = (graph.n_sources() + 4 * graph.n_readers()) * config.hidden_size
            + config.n_layers * (3 * config.intermediate_size + config.n_heads * self.clean.ids.len());
        let lists = 40 * graph.n_sources() * graph.n_readers();
        (self.clean.ids.len() * per_position * size_of::<f32>() + lists) as u64
    }

    fn at_once(&self, graph: Graph) -> usize {
        (MOST_BYTES / self.bytes(graph).max(1)).clamp(1, 32) as usize
    }

    /// How many passes go side by side.
    fn ensure_room(&self, graph: Graph) -> Result<usize> {
        let at_once = self.at_once(graph);
        let n = self.clean.ids.len();
        let what = format!("edges of a text of {n} tokens (a shorter one takes less)");
        ensure_room(
            self.model.stack().device(),
            self.bytes(graph) * at_once as u64,
            &what,
        )?;
        Ok(at_once)
    }
}

impl Pair<'_> {
    /// Edges patched one by one, in any order in which those of a layer's readers stand together.
    fn measured(
        &self,
        edges: &[Edge],
        unpatched: f64,
        at_once: usize,
        work: &mut Work,
    ) -> ecco_models::error::Result<Vec<(Edge, f64)>> {
        let layer = |edge: &Edge| self.graph.reader(edge.reader).1;
        let mut answers = Vec::new();
        for of_layer in edges.chunk_by(|one, other| layer(one) == layer(other)) {
            for some in of_layer.chunks(at_once) {
                answers.push(self.with_edges(some, work)?);
                work.advance(some.len() as u64)?;
            }
        }
        let answers = match answers.is_empty() {
            true => vec![],
            false => host::numbers(&Tensor::cat(&answers, 0)),
        };
        let each = edges.iter().zip(answers);
        Ok(each.map(|(edge, answer)| (*edge, answer - unpatched)).collect())
    }
}
