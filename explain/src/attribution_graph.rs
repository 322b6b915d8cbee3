//! How an answer came about: a graph of tokens, heads, and neurons or features at positions, with what each owes to each.
//!
//! With attention patterns, deviations of norms and gates held, and activations as their value over their input
//! ([`ecco_models::Rule::Frozen`]), a pass is affine: every neuron's activation, and the answer, is a sum of what tokens, heads and
//! neurons below it wrote and of what biases and positions make. The graph has these sums (Ameisen et al. 2025, Circuit
//! Tracing, with the model's own neurons in the place of a dictionary's features; 2601.22594):
//!
//! - a neuron's value is its activation, and so is a feature's; a head's what it writes at a position, along the direction in which that matters
//!   for the answer; a token's its embedding;
//! - an edge s → t is what of t's value comes from s without passing another part: a_s ∂t/∂a_s with all parts cut;
//! - where a layer has a transcoder, its features stand in the place of neurons, and what it leaves out of what the MLP adds
//!   comes in as tokens do: from nowhere, with the value that it had;
//! - of a node, edges into it, what of it comes from parts that are not in the graph, and its constant sum to its value.
//!
//! - `parts`: passes whose parts are leaves of autograd's graph; `transcoders`: features among them; `chosen`: which of them are nodes; `influence`: how much of
//!   the answer goes through each, and how much of it the graph explains; `measured`: what ablating a node does;
//!   `writes`: what heads and features that are nodes write

mod chosen;
mod influence;
mod measured;
mod parts;
mod transcoders;
mod writes;

use std::rc::Rc;

use ecco_interpreter::{Watch, named};
use ecco_models::dictionary::Dictionary;
use ecco_models::guard::guard;
use ecco_models::run::Input;
use ecco_models::{Model, host};
use tch::{Kind, Tensor};

use crate::agreement::pearson;
use crate::attribution::work::Work;
use crate::attribution::{Objective, Quantity, Target};
use crate::error::{Result, refuse};
use crate::sites::ensure_room_for;
use chosen::{Chosen, choose};
use parts::{Parts, backward, read};

named! {
    /// Which parts of a model are nodes, beside tokens and the answer. What others write passes on.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
    pub enum NodeKinds {
        #[default]
        All = "all",
        Neurons = "neurons",
        Heads = "heads",
        Features = "features",
    }
}

impl NodeKinds {
    /// Of layers without a transcoder.
    fn neurons(self) -> bool {
        matches!(self, Self::All | Self::Neurons)
    }

    fn heads(self) -> bool {
        matches!(self, Self::All | Self::Heads)
    }

    fn features(self) -> bool {
        matches!(self, Self::All | Self::Features)
    }
}

/// What stands at a place of the graph. Layers of an encoder come first where there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Node {
    /// A token's embedding.
    Token {
        position: usize,
    },
    Head {
        at: Place,
        head: usize,
    },
    Neuron {
        at: Place,
        neuron: usize,
    },
    /// Of the layer's transcoder.
    Feature {
        at: Place,
        feature: usize,
    },
    /// What the layer's transcoder leaves out.
    Error {
        at: Place,
    },
    Answer,
}

/// A layer at a position. Sources are counted as [`Objective`] has them: what is read, then what is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Place {
    pub encoder: bool,
    pub layer: usize,
    pub position: usize,
}

/// A node with what it is and does.
#[derive(Debug, Clone, PartialEq)]
pub struct GraphNode {
    pub node: Node,
    /// A neuron's or feature's activation; of others in units of the answer.
    pub value: f64,
    /// What of the answer comes through it, on all ways, in units of the answer.
    pub score: f64,
    /// What of its value comes from parts that are no nodes, and what from biases and positions.
    pub others: f64,
    pub constant: f64,
    /// The share of the answer that goes through it by absolute sizes of edges (Ameisen et al. 2025): 1 of the answer.
    pub influence: f64,
    /// By how much the answer falls when what stands there, or what it writes, is 0.
    pub measured: Option<f64>,
}

/// What of node `to`'s value comes from node `from`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GraphEdge {
    pub from: usize,
    pub to: usize,
    pub weight: f64,
}

#[derive(Debug, Clone, PartialEq)]
pub struct GraphOptions {
    /// Its logit, or label's.
    pub target: Target,
    pub nodes: NodeKinds,
    /// Transcoders, one a layer at most.
    pub dictionaries: Vec<Rc<Dictionary>>,
    /// Nodes are taken by their scores' absolute values until they have this share of all.
    pub keep: f64,
    /// At most so many, beside tokens and the answer, and so many errors whose scores are as large.
    pub max_nodes: usize,
    /// So many of the largest scores are measured.
    pub n_measured: usize,
}

/// The graph, tokens first, the answer last, each node behind those that it may owe something.
#[derive(Debug, Clone, PartialEq)]
pub struct AttributionGraph {
    pub nodes: Vec<GraphNode>,
    /// By `to`, then by `from`; edges of 0 are none.
    pub edges: Vec<GraphEdge>,
    /// What heads, features and errors write to the stream at their positions, `[hidden]`, by node; of models of one stack.
    pub writes: Vec<(usize, Vec<f32>)>,
    /// The answer.
    pub value: f64,
    /// Heads and neurons at positions that there are and features that are active, and the share of their scores' absolute values that nodes have.
    pub n_parts: usize,
    pub kept: f64,
    /// Of what goes into nodes, each as much as it matters, the share that comes from nodes and tokens.
    pub completeness: f64,
    /// Of what comes in at the ends, tokens, errors and parts that are no nodes, the share of the tokens.
    pub replacement: f64,
    /// The share of errors in that, those that are no nodes too; with transcoders.
    pub error: Option<f64>,
}

impl AttributionGraph {
    /// Pearson's, between scores and what was measured. `None` where either does not vary.
    pub fn correlation(&self) -> Option<f64> {
        let pairs = self
            .nodes
            .iter()
            .filter_map(|node| Some((node.score, node.measured?)));
        let (scores, measured): (Vec<f64>, Vec<f64>) = pairs.unzip();
        Some(pearson(&scores, &measured)).filter(|found| found.is_finite())
    }
}

/// Each node is a pass back, and edges are as many as pairs of nodes.
const MOST_NODES: usize = 2_000;

/// # Errors
/// For options out of range, a number that is no logit, and a target that the model does not say of this text.
pub fn attribution_graph(
    model: &Model,
    input: &Input,
    options: &GraphOptions,
    watch: &mut Watch,
) -> Result<AttributionGraph> {
    if options.target.of != Quantity::Logit {
        let reason = "what is affine leads to the logits, and no further";
        return Err(refuse("of", options.target.of.name(), reason));
    }
    if !(options.keep > 0.0 && options.keep <= 1.0) {
        let reason = "it is the share of the scores that nodes have, above 0 and up to 1";
        return Err(refuse("keep", options.keep, reason));
    }
    if options.max_nodes > MOST_NODES {
        let reason = format!("a graph has at most {MOST_NODES} nodes beside tokens and the answer");
        return Err(refuse("max_nodes", options.max_nodes, reason));
    }
    transcoders::check_options(model, options)?;
    if model.stack().is_edited() {
        return Err(ecco_models::Error::Edited { what: "this graph" }.into());
    }
    let explained = Objective::new(model, input, std::slice::from_ref(&options.target))?;
    let explained = match explained.start_source() {
        None if !input.target.is_empty() => explained.counting_start()?,
        _ => explained,
    };
    ensure_room_for(&explained, 2, "an attribution graph")?;
    Ok(guard(|| {
        let total = 2 + options.max_nodes as u64;
        let work = &mut Work::new(watch, "attribution graph".into(), "nodes", total);
        let whole = read(&explained, options, false, work)?;
        let slopes = backward(&whole.answer, &whole.leaves, work)?;
        work.advance(1)?;
        let chosen = choose(&whole, &slopes, options);
        let cut = read(&explained, options, true, work)?;
        work.total = 2 + chosen.nodes.len() as u64;
        let sums = sums(&cut, &chosen, work)?;
        let mut graph = assembled(&chosen, &sums);
        graph.error = graph.error.filter(|_| !options.dictionaries.is_empty());
        graph.writes = writes::of_nodes(model, &chosen);
        measured::measure(&explained, (&mut graph, &chosen), options.n_measured, work)?;
        Ok(graph)
    })?)
}

/// What a node's value is made of.
struct Sum {
    value: f64,
    constant: f64,
    /// By source, each of the nodes but the answer.
    edges: Vec<f64>,
    /// Of what is no node: its sum, and the sum of absolute values.
    others: f64,
    others_size: f64,
    /// What of that size are errors.
    error_size: f64,
}

/// Numbers of a row before those of edges.
const N_ENDS: usize = 5;

/// Of every node, tokens without any, and nothing of errors. What each is made of crosses to the host at the end.
fn sums(cut: &Parts, chosen: &Chosen, work: &mut Work) -> ecco_models::error::Result<Vec<Sum>> {
    let mut rows = Vec::new();
    for found in &chosen.nodes[chosen.n_tokens..] {
        if let Node::Error { .. } = found.node {
            let width = N_ENDS + chosen.nodes.len() - 1;
            rows.push(Tensor::zeros([width as i64], (Kind::Double, cut.answer.device())));
            work.advance(1)?;
            continue;
        }
        let part = cut.part(found.node, &chosen.directions);
        let slopes = backward(&part.value, &cut.leaves[..part.n_below], work)?;
        rows.push(cut.row(&part, &slopes, chosen));
        work.advance(1)?;
    }
    let width = rows[0].size()[0] as usize;
    let numbers = host::numbers(&Tensor::stack(&rows, 0));
    let sum = |row: &[f64]| Sum {
        value: row[0],
        constant: row[1],
        others: row[2],
        others_size: row[3],
        error_size: row[4],
        edges: row[N_ENDS..].to_vec(),
    };
    Ok(numbers.chunks(width).map(sum).collect())
}

fn assembled(chosen: &Chosen, sums: &[Sum]) -> AttributionGraph {
    let n_tokens = chosen.n_tokens;
    let is_error: Vec<bool> = chosen
        .nodes
        .iter()
        .map(|found| matches!(found.node, Node::Error { .. }))
        .collect();
    let share = influence::influence(n_tokens, sums, &is_error);
    let nodes = chosen.nodes.iter().enumerate().map(|(at, found)| {
        let sum = at.checked_sub(n_tokens).map(|at| &sums[at]);
        GraphNode {
            node: found.node,
            // A token's value is what of the answer comes from it: its embedding is no number, and neither is an error.
            value: sum.filter(|_| !is_error[at]).map_or(found.score, |sum| sum.value),
            score: found.score,
            others: sum.map_or(0.0, |sum| sum.others),
            constant: sum.map_or(0.0, |sum| sum.constant),
            influence: share.influence[at],
            measured: None,
        }
    });
    let edges = sums.iter().enumerate().flat_map(|(row, sum)| {
        let edges = sum.edges.iter().enumerate();
        let edge = move |(from, &weight)| GraphEdge {
            from,
            to: n_tokens + row,
            weight,
        };
        edges.map(edge).filter(|edge| edge.weight != 0.0)
    });
    AttributionGraph {
        nodes: nodes.collect(),
        edges: edges.collect(),
        writes: vec![],
        value: sums.last().map_or(0.0, |sum| sum.value),
        n_parts: chosen.n_parts,
        kept: chosen.kept,
        completeness: share.completeness,
        replacement: share.replacement,
        error: Some(share.error),
    }
}

/// In double precision.
fn wide(x: &Tensor) -> Tensor {
    x.to_kind(Kind::Double)
}
