//! Circuits of edges, and curves over their size.

use std::rc::Rc;

use ecco_explain::edges::{Circuit as Found, Edge, Graph, Sized, Source};
use ecco_models::tap::Reader;
use ecco_scripting::result::numbers::short;
use ecco_scripting::result::{Explanation, Show};
use ecco_scripting::tensor::Tensor;
use ecco_scripting::{ErrorKind, Registry, ScriptError, members};
use ecco_widgets::{CircuitCurve, CircuitEdge, CircuitNode, CircuitSize, Explorable};
use ndarray::{Array1, Array2};
use rhai::{Array, Dynamic, FLOAT, Map};

use super::edges::Edges;

/// Some edges, and what they do.
#[derive(Clone)]
pub(crate) struct Circuit {
    of: Edges,
    found: Rc<Found>,
    chosen: Rc<str>,
}

/// Pairs of names as a script gives them.
pub(super) struct EdgeNames<'a>(pub &'a Array);

impl EdgeNames<'_> {
    /// # Errors
    /// For what is no pair, names that are not there, and a pair whose reader comes before its source.
    pub(super) fn edges(&self, graph: &Graph) -> Result<Vec<Edge>, ScriptError> {
        let edge = |pair: &Dynamic| {
            let names = pair.read_lock::<Array>();
            let names: Vec<String> = names
                .iter()
                .flat_map(|names| names.iter())
                .filter_map(|name| name.clone().into_string().ok())
                .collect();
            let [from, to] = &names[..] else {
                return Err(ScriptError::new(ErrorKind::Value, "an edge is a pair of names")
                    .with_hint("write what writes and what reads: [\"input\", \"m0\"]"));
            };
            let edge = Edge {
                source: graph.source_named(from)?,
                reader: graph.reader_named(to)?,
            };
            match graph.has(edge) {
                true => Ok(edge),
                false => {
                    let message = format!("{to} reads before {from} writes, so there is no edge");
                    Err(ScriptError::new(ErrorKind::Value, message))
                }
            }
        };
        self.0.iter().map(edge).collect()
    }
}

impl Circuit {
    pub(super) fn new(of: &Edges, found: Found, chosen: String) -> Self {
        Self {
            of: of.clone(),
            found: Rc::new(found),
            chosen: chosen.into(),
        }
    }

    fn graph(&self) -> &Graph {
        &self.of.found.graph
    }

    /// Its edges, the largest absolute score first.
    fn ranked(&self) -> Vec<Edge> {
        let mut edges = self.found.edges.clone();
        let size = |edge: &Edge| self.of.found.score(*edge).abs();
        edges.sort_by(|a, b| size(b).total_cmp(&size(a)));
        edges
    }

    /// The sources whose heads or MLPs a reader is of; the last number stands for the logits.
    fn parts(&self, reader: usize) -> (Vec<usize>, &'static str) {
        let graph = self.graph();
        let group = graph.n_heads / graph.n_kv_heads.max(1);
        let of_heads = |layer: usize, heads: std::ops::Range<usize>| {
            let head = |source: &usize| matches!(graph.source(*source), Source::Head { layer: of, head } if of == layer && heads.contains(&head));
            (0..graph.n_sources()).filter(head).collect::<Vec<_>>()
        };
        match graph.reader(reader) {
            (Reader::Queries, layer, head) => (of_heads(layer, head..head + 1), "q"),
            (Reader::Keys, layer, key) => (of_heads(layer, key * group..(key + 1) * group), "k"),
            (Reader::Values, layer, key) => (of_heads(layer, key * group..(key + 1) * group), "v"),
            (Reader::Mlp, layer, _) => {
                let mlp = |source: &usize| graph.source(*source) == Source::Mlp { layer };
                ((0..graph.n_sources()).filter(mlp).collect(), "")
            }
            (Reader::Head, ..) => (vec![graph.n_sources()], ""),
        }
    }

    fn view(&self) -> ecco_widgets::Circuit {
        let (graph, ranked) = (self.graph(), self.ranked());
        // A part is drawn where it writes or is the end.
        let writes = |part: usize| part == graph.n_sources() || ranked.iter().any(|edge| edge.source == part);
        let kept: Vec<usize> = (0..=graph.n_sources())
            .filter(|&part| !ranked.is_empty() && writes(part))
            .collect();
        let number = |part: usize| kept.iter().position(|&kept| kept == part);
        let node = |&part: &usize| match part == graph.n_sources() {
            true => CircuitNode {
                name: "logits".to_owned(),
                row: 2 * graph.n_layers + 1,
            },
            false => CircuitNode {
                name: graph.source_name(part),
                row: match graph.source(part) {
                    Source::Input => 0,
                    Source::Head { layer, .. } => 2 * layer + 1,
                    Source::Mlp { layer } => 2 * layer + 2,
                },
            },
        };
        let mut edges = Vec::new();
        for edge in &ranked {
            let (parts, by) = self.parts(edge.reader);
            for part in parts {
                let (Some(from), Some(to)) = (number(edge.source), number(part)) else {
                    continue;
                };
                edges.push(CircuitEdge {
                    from,
                    to,
                    by: by.to_owned(),
                    score: self.of.found.score(*edge),
                });
            }
        }
        ecco_widgets::Circuit {
            model: Some(self.of.asked.model()),
            chosen: self.chosen.to_string(),
            answer: self.of.asked.answer.clone(),
            faithfulness: self.found.faithfulness,
            without: self.found.without,
            nodes: kept.iter().map(node).collect(),
            edges,
        }
    }

    fn edges(&self) -> Array {
        let map = |edge: Edge| {
            Dynamic::from_map(Map::from([
                ("from".into(), self.graph().source_name(edge.source).into()),
                ("to".into(), self.graph().reader_name(edge.reader).into()),
                ("score".into(), Dynamic::from_float(self.of.found.score(edge))),
            ]))
        };
        self.ranked().into_iter().map(map).collect()
    }
}

impl Show for Circuit {
    fn view(&self) -> Result<Box<dyn Explorable>, ScriptError> {
        Ok(Box::new(self.view()))
    }

    fn line(&self) -> String {
        format!(
            "circuit of {} edges ({}), faithfulness {}, without it {} is left",
            self.found.edges.len(),
            self.chosen,
            short(self.found.faithfulness),
            short(self.found.without)
        )
    }
}

impl Explanation for Circuit {
    fn tensors(&self) -> Result<Vec<(&'static str, Tensor)>, ScriptError> {
        let mut kept = Array2::<f32>::zeros(self.of.found.scores.dim());
        for edge in &self.found.edges {
            kept[(edge.source, edge.reader)] = 1.0;
        }
        Ok(vec![(
            "kept",
            Tensor::new(kept.into_dyn(), &["source", "reader"]),
        )])
    }
}

/// Circuits of several sizes.
#[derive(Clone)]
pub(crate) struct Curve {
    of: Edges,
    found: Rc<Vec<Sized>>,
}

impl Curve {
    pub(super) fn new(of: &Edges, found: Vec<Sized>) -> Self {
        Self {
            of: of.clone(),
            found: Rc::new(found),
        }
    }

    fn column(&self, of: impl Fn(&Sized) -> f64) -> Tensor {
        let values: Array1<f32> = self.found.iter().map(|sized| of(sized) as f32).collect();
        Tensor::new(values.into_dyn(), &["size"])
    }

    fn random(&self) -> Tensor {
        let n = self.found.first().map_or(0, |sized| sized.random.len());
        let at = |(row, column): (usize, usize)| self.found[row].random[column] as f32;
        Tensor::new(
            Array2::from_shape_fn((self.found.len(), n), at).into_dyn(),
            &["size", "draw"],
        )
    }
}

impl Show for Curve {
    fn view(&self) -> Result<Box<dyn Explorable>, ScriptError> {
        let size = |sized: &Sized| CircuitSize {
            n: sized.circuit.n_asked,
            kept: sized.circuit.edges.len(),
            faithfulness: sized.circuit.faithfulness,
            without: sized.circuit.without,
            random: sized.random.clone(),
        };
        Ok(Box::new(CircuitCurve {
            model: Some(self.of.asked.model()),
            method: self.of.method(),
            answer: self.of.asked.answer.clone(),
            n_edges: self.of.found.graph.edges().len(),
            circuits: self.found.iter().map(size).collect(),
        }))
    }

    fn line(&self) -> String {
        format!("circuits of {} sizes by {}", self.found.len(), self.of.method())
    }
}

impl Explanation for Curve {
    fn tensors(&self) -> Result<Vec<(&'static str, Tensor)>, ScriptError> {
        Ok(vec![
            ("faithfulness", self.column(|sized| sized.circuit.faithfulness)),
            ("without", self.column(|sized| sized.circuit.without)),
            ("sizes", self.column(|sized| sized.circuit.n_asked as f64)),
            ("random", self.random()),
        ])
    }

    fn labels(&self, axis: &str) -> Option<Vec<String>> {
        let sizes = self.found.iter().map(|sized| sized.circuit.n_asked.to_string());
        (axis == "size").then(|| sizes.collect())
    }
}

pub(super) fn register(registry: &mut Registry) {
    members! { registry, [Circuit];
        /// How much of the difference of the answers is left with all other edges as in the corrupted text: 0 as for that
        /// text, 1 as for the clean one; it may be below and above.
        get faithfulness(circuit: &Circuit) -> FLOAT { Ok(circuit.found.faithfulness) }

        /// The same with these edges as in the corrupted text, and all others as in the clean one.
        get without(circuit: &Circuit) -> FLOAT { Ok(circuit.found.without) }

        /// Its edges, the largest absolute score first: maps with `from`, `to` and `score`.
        get edges(circuit: &Circuit) -> Array { Ok(circuit.edges()) }
    }
    members! { registry, [Curve];
        /// How many edges each circuit was asked to have: a tensor (size).
        get sizes(curve: &Curve) -> Tensor { Ok(curve.column(|sized| sized.circuit.n_asked as f64)) }

        /// How much of the difference of the answers each circuit leaves: a tensor (size).
        get faithfulness(curve: &Curve) -> Tensor { Ok(curve.column(|sized| sized.circuit.faithfulness)) }

        /// How much is left without each circuit: a tensor (size).
        get without(curve: &Curve) -> Tensor { Ok(curve.column(|sized| sized.circuit.without)) }

        /// How much random circuits of as many edges leave: a tensor (size, draw).
        get random(curve: &Curve) -> Tensor { Ok(curve.random()) }
    }
}
