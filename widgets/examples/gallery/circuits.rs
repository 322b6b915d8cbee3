//! Edges between a model's parts, circuits of them, and circuits by size.

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
    vec![
        ("edges", Box::new(edges())),
        ("hostile-edges", Box::new(named(edges()))),
        ("circuit", Box::new(circuit())),
        ("hostile-circuit", Box::new(drawn(circuit()))),
        ("circuit-curve", Box::new(curve())),
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
