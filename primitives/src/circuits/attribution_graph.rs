//! `output.circuit`: how an answer came about, as a graph of tokens, heads, neurons and features.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use ecco_explain::attribution_graph::{
    AttributionGraph as Found, GraphNode, GraphOptions, Node, NodeKinds, Place, attribution_graph,
};
use ecco_explain::vocabulary::{MOST_ROWS, Spoken, Written, vocabulary};
use ecco_models::model::Body;
use ecco_scripting::options::Choice;
use ecco_scripting::result::{Explanation, Show};
use ecco_scripting::session::watched;
use ecco_scripting::tensor::Tensor;
use ecco_scripting::{ErrorKind, Registry, ScriptError, members, options};
use ecco_widgets::{Explorable, GraphEdge, GraphNodeKind, Token};
use ndarray::{Array1, Array2};
use rhai::{Array, Dynamic, FLOAT, INT, Map};

use crate::attribution::one_target::{OneTargetOptions, one_target};
use crate::dictionaries::dictionary::Dictionaries;
use crate::text::generation::Generation;
use crate::text::passage::Passage;
use crate::text::run::Run;
use crate::text::shown::shown;

options! {
    /// What `circuit` can be told.
    pub struct CircuitOptions {
        ..of_target: OneTargetOptions,
        /// which parts are nodes; what the others write passes on
        nodes: Choice<NodeKinds> = Choice(NodeKinds::All),
        /// transcoders whose features take the place of their layers' neurons: one, or an array with one a layer
        dictionary: Option<Dictionaries> = "none",
        /// nodes are taken, the largest scores first, until they have this share of all
        keep: f64 = 0.9,
        /// but so many at most
        max_nodes: usize [1..] = 200,
        /// how many of the largest scores are measured: the answer with the part set to 0
        measure: usize = 10,
    }
}

/// A graph. Clones share what is computed.
#[derive(Clone)]
pub(crate) struct AttributionGraph(Rc<Inner>);

struct Inner {
    passage: Passage,
    options: GraphOptions,
    /// The answer for people.
    answer: String,
    /// The token that it is, if it is one.
    answer_id: Option<usize>,
    found: OnceCell<Found>,
    /// By node, what it promotes and suppresses.
    spoken: OnceCell<BTreeMap<usize, Spoken>>,
}

/// Tokens that a node promotes or suppresses.
const N_SPOKEN: usize = 5;

impl AttributionGraph {
    fn new(passage: Passage, options: CircuitOptions) -> Result<Self, ScriptError> {
        let (target, answer) = one_target(&passage, &options.of_target)?;
        let answer_id = match target.said {
            ecco_explain::Outcome::Token { id, .. } => Some(id as usize),
            _ => None,
        };
        Ok(Self(Rc::new(Inner {
            options: GraphOptions {
                target,
                nodes: options.nodes.0,
                dictionaries: options.dictionary.map_or_else(Vec::new, |all| all.0),
                keep: options.keep,
                max_nodes: options.max_nodes,
                n_measured: options.measure,
            },
            answer,
            answer_id,
            passage,
            found: OnceCell::new(),
            spoken: OnceCell::new(),
        })))
    }

    fn found(&self) -> Result<&Found, ScriptError> {
        let Inner {
            passage,
            options,
            found,
            ..
        } = &*self.0;
        passage.found(
            found,
            |found| found.value,
            |model, watch| attribution_graph(model, passage.input(), options, watch),
        )
    }

    /// What nodes promote and suppress by what they write; nothing where the head of the model is not linear.
    fn spoken(&self) -> Result<&BTreeMap<usize, Spoken>, ScriptError> {
        let (inner, found) = (&self.0, self.found()?);
        if let Some(spoken) = inner.spoken.get() {
            return Ok(spoken);
        }
        let lm = inner.passage.model();
        let (loaded, state) = (lm.loaded()?, lm.state()?);
        let mut asked: Vec<(Vec<usize>, Written)> = Vec::new();
        let mut by_layer: BTreeMap<usize, Vec<(usize, usize)>> = BTreeMap::new();
        for (number, node) in found.nodes.iter().enumerate() {
            if let Node::Neuron { at, neuron } = node.node {
                by_layer.entry(at.layer).or_default().push((number, neuron));
            }
        }
        for (layer, all) in by_layer {
            for some in all.chunks(MOST_ROWS) {
                let (numbers, neurons) = some.iter().copied().unzip();
                asked.push((numbers, Written::Neurons { layer, neurons }));
            }
        }
        for some in found.writes.chunks(MOST_ROWS) {
            let (numbers, writes) = some.iter().cloned().unzip();
            asked.push((numbers, Written::Directions(writes)));
        }
        let mut spoken = BTreeMap::new();
        if matches!(loaded.body(), Body::Decoder(_)) {
            for (numbers, written) in asked {
                let told = watched(&state, lm.verbose, |watch| {
                    vocabulary(&loaded, &written, N_SPOKEN, watch)
                });
                match told {
                    Ok(told) => spoken.extend(
                        numbers
                            .into_iter()
                            .zip(told.into_iter().map(|(spoken, _)| spoken)),
                    ),
                    Err(ecco_explain::Error::Model(ecco_models::Error::Interrupted)) => told.map(|_| ())?,
                    Err(_) => break,
                }
            }
        }
        Ok(inner.spoken.get_or_init(|| spoken))
    }

    /// The columns: what is read, then what is written.
    fn ids(&self) -> Result<(Vec<u32>, Vec<u32>), ScriptError> {
        let input = self.0.passage.input();
        let is_token = |node: &&GraphNode| matches!(node.node, Node::Token { .. });
        let n = self.found()?.nodes.iter().filter(is_token).count();
        let n_read = n.min(input.ids.len());
        Ok((
            input.ids[..n_read].to_vec(),
            input.target.iter().copied().take(n - n_read).collect(),
        ))
    }

    /// What a node is, its number and its name.
    fn name(&self, node: &Node, tokens: &[Token]) -> (GraphNodeKind, Option<usize>, String) {
        let of = |at: &Place, part: String| match at.encoder {
            true => format!("enc L{} {part}", at.layer),
            false => format!("L{} {part}", at.layer),
        };
        match node {
            Node::Token { position } => {
                let token = tokens.get(*position);
                let text = token.map_or_else(String::new, |token| token.text.clone());
                (GraphNodeKind::Token, token.map(|token| token.id as usize), text)
            }
            Node::Head { at, head } => (GraphNodeKind::Head, Some(*head), of(at, format!("h{head}"))),
            Node::Neuron { at, neuron } => {
                (GraphNodeKind::Neuron, Some(*neuron), of(at, format!("n{neuron}")))
            }
            Node::Feature { at, feature } => (
                GraphNodeKind::Feature,
                Some(*feature),
                of(at, format!("f{feature}")),
            ),
            Node::Error { at } => (GraphNodeKind::Error, None, of(at, "error".to_owned())),
            Node::Answer => (GraphNodeKind::Answer, self.0.answer_id, self.0.answer.clone()),
        }
    }

    fn shown(&self) -> Result<ecco_widgets::AttributionGraph, ScriptError> {
        let (found, spoken, (read, written)) = (self.found()?, self.spoken()?, self.ids()?);
        let loaded = self.0.passage.model().loaded()?;
        let tokenizer = loaded.tokenizer();
        let mut tokens = shown(&tokenizer.tokens(&read));
        tokens.extend(shown(&tokenizer.tokens(&written)));
        let text = |&(id, _): &(u32, f64)| {
            tokenizer
                .tokens(&[id])
                .first()
                .map_or_else(String::new, |token| token.text.clone())
        };
        let (edges, small) = main_edges(found);
        let config = loaded.config();
        // Of an encoder that comes first, and of what writes.
        let n_layers = [
            config.encoder.as_ref().map_or(0, |encoder| encoder.n_layers),
            config.n_layers,
        ];
        let node = |(number, node): (usize, &GraphNode)| {
            let (kind, index, name) = self.name(&node.node, &tokens);
            let (row, position) = place(&node.node, n_layers, tokens.len());
            let said = spoken.get(&number);
            // What a neuron below 0 promotes it suppresses.
            let is_turned = kind == GraphNodeKind::Neuron && node.value < 0.0;
            let ends = said.map(|said| match is_turned {
                true => (&said.suppresses, &said.promotes),
                false => (&said.promotes, &said.suppresses),
            });
            ecco_widgets::GraphNode {
                kind,
                name,
                index,
                label: None,
                row,
                position,
                value: node.value,
                score: node.score,
                others: node.others + small[number],
                constant: node.constant,
                influence: node.influence,
                measured: node.measured,
                promotes: ends.map_or_else(Vec::new, |(high, _)| high.iter().map(text).collect()),
                suppresses: ends.map_or_else(Vec::new, |(_, low)| low.iter().map(text).collect()),
            }
        };
        Ok(ecco_widgets::AttributionGraph {
            model: Some(self.0.passage.model().card().name.clone()),
            answer: self.0.answer.clone(),
            value: found.value,
            nodes: found.nodes.iter().enumerate().map(node).collect(),
            edges,
            groups: vec![],
            n_parts: found.n_parts,
            kept: found.kept,
            completeness: found.completeness,
            replacement: found.replacement,
            error: found.error,
            correlation: found.correlation(),
            tokens,
        })
    }

    fn nodes(&self) -> Result<Array, ScriptError> {
        let shown = self.shown()?;
        let texts = |texts: &[String]| {
            texts
                .iter()
                .map(|text| Dynamic::from(text.clone()))
                .collect::<Array>()
        };
        // All edges are told here, so that only what is no node is left.
        let map = |(node, found): (&ecco_widgets::GraphNode, &GraphNode)| {
            let kind = serde_json::to_value(node.kind).ok();
            let kind = kind.as_ref().and_then(|kind| kind.as_str()).unwrap_or_default();
            let mut map = Map::from([
                ("kind".into(), kind.to_owned().into()),
                ("name".into(), node.name.clone().into()),
                ("position".into(), (node.position as INT).into()),
                ("value".into(), node.value.into()),
                ("score".into(), node.score.into()),
                ("others".into(), found.others.into()),
                ("constant".into(), node.constant.into()),
                ("influence".into(), node.influence.into()),
                (
                    "measured".into(),
                    node.measured.map_or(Dynamic::UNIT, Dynamic::from_float),
                ),
                ("promotes".into(), texts(&node.promotes).into()),
                ("suppresses".into(), texts(&node.suppresses).into()),
            ]);
            if !matches!(node.kind, GraphNodeKind::Token | GraphNodeKind::Answer) {
                let layer = (node.row - 1) / 2;
                map.insert("layer".into(), (layer as INT).into());
                map.insert(
                    "index".into(),
                    node.index.map_or(Dynamic::UNIT, |index| (index as INT).into()),
                );
            }
            Dynamic::from_map(map)
        };
        Ok(shown.nodes.iter().zip(&self.found()?.nodes).map(map).collect())
    }

    fn edges(&self) -> Result<Array, ScriptError> {
        let mut edges = self.found()?.edges.clone();
        edges.sort_by(|a, b| b.weight.abs().total_cmp(&a.weight.abs()));
        let map = |edge: &ecco_explain::attribution_graph::GraphEdge| {
            Dynamic::from_map(Map::from([
                ("from".into(), (edge.from as INT).into()),
                ("to".into(), (edge.to as INT).into()),
                ("weight".into(), edge.weight.into()),
            ]))
        };
        Ok(edges.iter().map(map).collect())
    }

    /// (to, from)
    fn weights(&self) -> Result<Tensor, ScriptError> {
        let found = self.found()?;
        let n = found.nodes.len();
        let mut weights = Array2::<f32>::zeros((n, n));
        for edge in &found.edges {
            weights[(edge.to, edge.from)] = edge.weight as f32;
        }
        Ok(Tensor::new(weights.into_dyn(), &["to", "from"]))
    }

    fn scores(&self) -> Result<Tensor, ScriptError> {
        let scores: Array1<f32> = self.found()?.nodes.iter().map(|node| node.score as f32).collect();
        Ok(Tensor::new(scores.into_dyn(), &["node"]))
    }

    fn correlation(&self) -> Result<FLOAT, ScriptError> {
        self.found()?.correlation().ok_or_else(|| {
            ScriptError::new(ErrorKind::Value, "nothing that varies was measured")
                .with_hint("ask for more: #{measure: 20}")
        })
    }
}

impl Show for AttributionGraph {
    fn view(&self) -> Result<Box<dyn Explorable>, ScriptError> {
        Ok(Box::new(self.shown()?))
    }

    fn line(&self) -> String {
        let inner = &self.0;
        format!(
            "attribution graph of the {} of {}",
            inner.answer,
            inner.passage.phrase()
        )
    }
}

impl Explanation for AttributionGraph {
    fn tensors(&self) -> Result<Vec<(&'static str, Tensor)>, ScriptError> {
        Ok(vec![("weights", self.weights()?), ("scores", self.scores()?)])
    }
}

/// How far up a node stands, and its column, with so many layers in an encoder that comes first and behind it.
fn place(node: &Node, [n_before, n_layers]: [usize; 2], n_columns: usize) -> (usize, usize) {
    let row = |at: &Place| 2 * (at.layer + if at.encoder { 0 } else { n_before }) + 1;
    match node {
        Node::Token { position } => (0, *position),
        Node::Head { at, .. } => (row(at), at.position),
        Node::Neuron { at, .. } | Node::Feature { at, .. } | Node::Error { at } => (row(at) + 1, at.position),
        Node::Answer => (2 * (n_layers + n_before) + 1, n_columns.saturating_sub(1)),
    }
}

/// Of each node the largest edges into it that together have so much of all, and what the others sum to: pairs of nodes are
/// many, and most of them owe each other next to nothing.
fn main_edges(found: &Found) -> (Vec<GraphEdge>, Vec<f64>) {
    const SHARE: f64 = 0.98;
    let mut into = vec![Vec::new(); found.nodes.len()];
    for edge in &found.edges {
        into[edge.to].push(*edge);
    }
    let (mut kept, mut small) = (Vec::new(), vec![0.0; found.nodes.len()]);
    for (to, mut edges) in into.into_iter().enumerate() {
        edges.sort_by(|a, b| b.weight.abs().total_cmp(&a.weight.abs()));
        let all: f64 = edges.iter().map(|edge| edge.weight.abs()).sum();
        let mut sum = 0.0;
        for edge in edges {
            match sum < SHARE * all {
                true => kept.push(GraphEdge {
                    from: edge.from,
                    to,
                    // As many digits as the numbers that it is made of have.
                    weight: f64::from(edge.weight as f32),
                }),
                false => small[to] += edge.weight,
            }
            sum += edge.weight.abs();
        }
    }
    (kept, small)
}

pub(super) fn register(registry: &mut Registry) {
    members! { registry, [Generation, Run];
        /// How a logit came about: a graph of tokens, heads, and neurons or features at positions, with what each owes to each. Attention
        /// patterns, norms' deviations and gates are held as they were, which makes the pass a sum: edges into a node, what
        /// other parts give it, and biases make its value. Nodes have the tokens that they promote, and of the largest
        /// scores beside what is predicted the effect that was measured. Nothing is computed before one looks.
        ///
        /// Example:
        /// ```rhai
        /// output.circuit(#{target: " Paris", contrast: " Rome", nodes: "neurons"})
        /// output.circuit().save("circuit.json")
        /// output.circuit(#{nodes: "features", dictionary: [first, second]})
        /// ```
        fn circuit(passage: Passage; options: CircuitOptions) -> AttributionGraph {
            AttributionGraph::new(passage, options)
        }
    }
    members! { registry, [AttributionGraph];
        /// Tokens first, the answer last: maps with `kind`, `name`, `position`, of heads, neurons and features `layer` and `index`, the
        /// `value` (an activation, of neurons and features), the `score` (what of the answer comes through it), `others` and `constant` (what of
        /// its value comes from parts that are no nodes, and from biases and positions), `influence`, `measured`, `promotes`
        /// and `suppresses`.
        get nodes(graph: &AttributionGraph) -> Array { graph.nodes() }

        /// The largest first: maps with `from` and `to`, numbers of nodes, and `weight`.
        get edges(graph: &AttributionGraph) -> Array { graph.edges() }

        /// What of each node's value comes from each: a tensor (to, from).
        get weights(graph: &AttributionGraph) -> Tensor { graph.weights() }

        /// What of the answer comes through each node on all ways: a tensor (node).
        get scores(graph: &AttributionGraph) -> Tensor { graph.scores() }

        /// The logit, or difference of logits, that is explained.
        get value(graph: &AttributionGraph) -> FLOAT { Ok(graph.found()?.value) }

        /// The share of all parts' scores that nodes have, by absolute values.
        get kept(graph: &AttributionGraph) -> FLOAT { Ok(graph.found()?.kept) }

        /// Of what goes into nodes, each weighed by its influence, the share that comes from nodes and tokens.
        get completeness(graph: &AttributionGraph) -> FLOAT { Ok(graph.found()?.completeness) }

        /// Of all that comes in at the ends, tokens and parts that are no nodes, the share that is tokens'.
        get replacement(graph: &AttributionGraph) -> FLOAT { Ok(graph.found()?.replacement) }

        /// The share of what comes in at the ends that the transcoders leave out; `()` without any.
        get error(graph: &AttributionGraph) -> Dynamic {
            Ok(graph.found()?.error.map_or(Dynamic::UNIT, Dynamic::from_float))
        }

        /// Pearson's r between scores and measured effects.
        get correlation(graph: &AttributionGraph) -> FLOAT { graph.correlation() }

        /// The graph as a file of the viewer that circuit-tracer and Neuronpedia share, as text; `ecco::load` reads such files.
        ///
        /// Example:
        /// ```rhai
        /// print(output.circuit().to_viewer("capital of France"))
        /// ```
        fn to_viewer(graph: &AttributionGraph, name: &str) -> String {
            Ok(graph.shown()?.to_viewer(name).to_string())
        }
    }
}
