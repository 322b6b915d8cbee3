//! Edges between a model's parts, circuits of them, circuits by size, and a graph of tokens, heads and neurons.

use ecco_widgets::Explorable;
use ecco_widgets::*;

use crate::texts::hostile;

pub(crate) fn views() -> Vec<(&'static str, Box<dyn Explorable>)> {
    let hostile: Vec<String> = hostile().into_iter().map(|token| token.text).collect();
    let named = |edges: Edges| Edges {
        method: hostile[0].clone(),
        answer: hostile[1].clone(),
        edges: edges
            .edges
            .into_iter()
            .zip(hostile.iter().cycle())
            .map(|(edge, name)| ScoredEdge {
                from: name.clone(),
                to: name.clone(),
                ..edge
            })
            .collect(),
        ..edges
    };
    let drawn = |circuit: Circuit| Circuit {
        chosen: hostile[0].clone(),
        answer: hostile[1].clone(),
        nodes: circuit
            .nodes
            .into_iter()
            .zip(hostile.iter().cycle())
            .map(|(node, name)| CircuitNode {
                name: name.clone(),
                ..node
            })
            .collect(),
        ..circuit
    };
    let called = |graph: AttributionGraph| AttributionGraph {
        answer: hostile[1].clone(),
        tokens: crate::texts::hostile(),
        nodes: graph
            .nodes
            .into_iter()
            .zip(hostile.iter().cycle())
            .map(|(node, name)| GraphNode {
                name: name.clone(),
                label: Some(name.clone()),
                promotes: vec![name.clone()],
                ..node
            })
            .collect(),
        groups: vec![GraphGroup {
            name: hostile[0].clone(),
            nodes: vec![6, 7],
        }],
        ..graph
    };
    vec![
        ("edges", Box::new(edges())),
        ("hostile-edges", Box::new(named(edges()))),
        ("circuit", Box::new(circuit())),
        ("hostile-circuit", Box::new(drawn(circuit()))),
        ("circuit-curve", Box::new(curve())),
        ("attribution-graph", Box::new(graph())),
        ("hostile-attribution-graph", Box::new(called(graph()))),
    ]
}

const ANSWER: &str = "logit of \" Paris\" less that of \" Rome\"";
const METHOD: &str = "edge attribution patching with integrated gradients, 5 steps";

/// Parts of a circuit: a name, and the row it stands in.
const NODES: [(&str, usize); 13] = [
    ("input", 0),
    ("a0.h1", 1),
    ("a0.h4", 1),
    ("m0", 2),
    ("a2.h3", 5),
    ("m2", 6),
    ("a5.h0", 11),
    ("a5.h3", 11),
    ("a5.h7", 11),
    ("m5", 12),
    ("a8.h2", 17),
    ("m8", 18),
    ("logits", 25),
];
/// From, to, by, score.
const EDGES: [(usize, usize, &str, f64); 20] = [
    (11, 12, "", 2.4),
    (0, 3, "", 2.2),
    (10, 11, "", 1.6),
    (10, 12, "", 1.9),
    (7, 10, "v", 1.7),
    (3, 7, "q", 0.9),
    (3, 7, "k", 0.5),
    (3, 6, "v", -0.8),
    (6, 12, "", -1.1),
    (0, 1, "k", 0.4),
    (1, 3, "", 0.35),
    (0, 2, "v", 0.3),
    (2, 4, "k", 0.28),
    (4, 5, "", 0.27),
    (5, 8, "v", -0.22),
    (8, 9, "", -0.21),
    (9, 12, "", 0.2),
    (3, 10, "q", 0.18),
    (0, 12, "", 0.11),
    (3, 12, "", -0.09),
];

pub(crate) fn edges() -> Edges {
    let of = |&(from, to, by, score): &(usize, usize, &str, f64)| {
        let to = match by {
            "" => NODES[to].0.to_owned(),
            by => NODES[to].0.replace('h', by),
        };
        ScoredEdge {
            from: NODES[from].0.to_owned(),
            to,
            score,
            measured: (score.abs() > 0.4).then_some(score * 0.9 + 0.1),
        }
    };
    let mut edges: Vec<ScoredEdge> = EDGES.iter().map(of).collect();
    edges.sort_by(|a, b| b.score.abs().total_cmp(&a.score.abs()));
    Edges {
        model: None,
        method: METHOD.into(),
        answer: ANSWER.into(),
        clean: 5.1,
        corrupted: -1.3,
        n_edges: 32_491,
        edges,
        correlation: Some(0.93),
        sum: Some(6.36),
    }
}

pub(crate) fn circuit() -> Circuit {
    Circuit {
        model: None,
        chosen: format!("20 edges by {METHOD}"),
        answer: ANSWER.into(),
        faithfulness: 0.91,
        without: 0.08,
        nodes: NODES
            .iter()
            .map(|&(name, row)| CircuitNode {
                name: name.into(),
                row,
            })
            .collect(),
        edges: EDGES
            .iter()
            .map(|&(from, to, by, score)| CircuitEdge {
                from,
                to,
                by: by.into(),
                score,
            })
            .collect(),
    }
}

pub(crate) fn curve() -> CircuitCurve {
    let sizes = [5, 10, 20, 50, 100, 200, 500, 1000, 5000, 32_491];
    let share = |n: usize| 1.0 - (-(n as f64) / 60.0).exp();
    let size = |&n: &usize| CircuitSize {
        n,
        kept: n - n / 7,
        faithfulness: share(n) + if n == 200 { 0.13 } else { 0.0 },
        without: (1.0 - 1.2 * share(n)).max(-0.2) * f64::from(u8::from(n < 32_491)),
        random: vec![share(n / 200), share(n / 150), 0.0],
    };
    CircuitCurve {
        model: None,
        method: METHOD.into(),
        answer: ANSWER.into(),
        n_edges: 32_491,
        circuits: sizes.iter().map(size).collect(),
    }
}

/// Kind, number, row, column and score of nodes behind the tokens.
const PARTS: [(GraphNodeKind, usize, usize, usize, f64); 12] = [
    (GraphNodeKind::Head, 1, 1, 4, 0.9),
    (GraphNodeKind::Head, 3, 1, 5, -0.2),
    (GraphNodeKind::Neuron, 590, 2, 3, 1.2),
    (GraphNodeKind::Neuron, 17, 2, 5, 0.4),
    (GraphNodeKind::Neuron, 231, 2, 5, -0.3),
    (GraphNodeKind::Head, 2, 3, 5, 9.5),
    (GraphNodeKind::Head, 4, 3, 5, 1.2),
    (GraphNodeKind::Neuron, 301, 4, 5, 0.7),
    (GraphNodeKind::Head, 0, 5, 5, 2.7),
    (GraphNodeKind::Neuron, 88, 6, 5, -0.6),
    (GraphNodeKind::Neuron, 13, 8, 5, 2.8),
    (GraphNodeKind::Neuron, 439, 8, 5, 1.0),
];

pub(crate) fn graph() -> AttributionGraph {
    let tokens: Vec<Token> = ["The", " capital", " of", " France", " is", " called"]
        .map(crate::texts::token)
        .into();
    let node = |kind, name: String, index, row, position, score: f64| GraphNode {
        kind,
        name,
        index,
        label: None,
        row,
        position,
        value: if kind == GraphNodeKind::Neuron {
            score.abs() + 0.4
        } else {
            score
        },
        score,
        others: 0.1 * score,
        constant: -0.05,
        influence: score.abs() / 18.0,
        measured: (score.abs() > 1.0).then_some(0.9 * score),
        promotes: vec![],
        suppresses: vec![],
    };
    let of_tokens = tokens.iter().zip([-1.3, 6.6, 0.2, 15.0, 3.7, 0.4]).enumerate();
    let mut nodes: Vec<GraphNode> = of_tokens
        .map(|(at, (token, score))| {
            node(
                GraphNodeKind::Token,
                token.text.clone(),
                Some(token.id as usize),
                0,
                at,
                score,
            )
        })
        .collect();
    for (kind, index, row, position, score) in PARTS {
        let letter = if kind == GraphNodeKind::Head { 'h' } else { 'n' };
        let name = format!("L{} {letter}{index}", (row - 1) / 2);
        nodes.push(GraphNode {
            promotes: [" Paris", " Sofia", " France"].map(str::to_owned).into(),
            suppresses: vec![" Rome".to_owned()],
            ..node(kind, name, Some(index), row, position, score)
        });
    }
    let answer = node(
        GraphNodeKind::Answer,
        "logit of \" Paris\"".to_owned(),
        Some(6342),
        9,
        5,
        18.1,
    );
    nodes.push(GraphNode {
        influence: 1.0,
        measured: None,
        ..answer
    });
    let mut edges = Vec::new();
    for to in 6..nodes.len() {
        for from in 0..to {
            if nodes[from].row < nodes[to].row && nodes[from].position <= nodes[to].position {
                let weight =
                    nodes[from].score * nodes[to].score / 40.0 / (1 + nodes[to].row - nodes[from].row) as f64;
                edges.push(GraphEdge { from, to, weight });
            }
        }
    }
    AttributionGraph {
        model: None,
        answer: "logit of \" Paris\"".into(),
        value: 18.1,
        tokens,
        nodes,
        edges,
        groups: vec![],
        n_parts: 15_480,
        kept: 0.51,
        completeness: 0.93,
        replacement: 0.81,
        error: None,
        correlation: Some(0.98),
    }
}
