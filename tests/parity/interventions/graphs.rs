//! Attribution graphs: their sums, what they are made of, and what is measured beside them.

use ecco_explain::attribution_graph::{
    AttributionGraph, GraphNode, GraphOptions, Node, NodeKinds, attribution_graph,
};
use ecco_explain::sites::{SiteMethod, SiteOptions, attribute_site};

use super::gradients::target;
use super::*;

fn graph(model: &Model, input: &Input, nodes: NodeKinds, max_nodes: usize) -> AttributionGraph {
    let options = GraphOptions {
        target: target(model, input).expect("a head"),
        nodes,
        dictionaries: vec![],
        keep: 1.0,
        max_nodes,
        n_measured: 2,
    };
    attribution_graph(model, input, &options, &mut unwatched)
        .unwrap_or_else(|error| panic!("{}: {error}", model.name()))
}

/// Behind the tokens, errors of dictionaries aside.
pub(crate) fn parts(graph: &AttributionGraph) -> impl DoubleEndedIterator<Item = (usize, &GraphNode)> {
    let nodes = graph.nodes.iter().enumerate();
    nodes.filter(|(_, node)| !matches!(node.node, Node::Token { .. } | Node::Error { .. }))
}

/// Edges into a node, what other parts give it and its constant are its value.
pub(crate) fn assert_edges_sum(what: &str, graph: &AttributionGraph, (at, node): (usize, &GraphNode)) {
    let into = graph.edges.iter().filter(|edge| edge.to == at);
    let sizes: f64 = into.clone().map(|edge| edge.weight.abs()).sum();
    let sum = into.map(|edge| edge.weight).sum::<f64>() + node.others + node.constant;
    assert!(
        (sum - node.value).abs() < 1e-9 * (1.0 + sizes + node.value.abs()),
        "{what} {:?}: {sum}, expected {}",
        node.node,
        node.value
    );
}

/// From the answer down: what a node gives each reader, as a share of that reader's value, by its score, is its score. Gives what
/// all ways come to, by node.
pub(crate) fn assert_ways_add_up(what: &str, graph: &AttributionGraph) -> Vec<f64> {
    let mut scores = vec![0.0; graph.nodes.len()];
    for (at, node) in parts(graph).collect::<Vec<_>>().into_iter().rev() {
        let score = if node.node == Node::Answer {
            node.value
        } else {
            scores[at]
        };
        assert!(
            (score - node.score).abs() < 1e-8 * (1.0 + graph.value.abs()),
            "{what} {:?}: {score}, expected {}",
            node.node,
            node.score
        );
        for edge in graph.edges.iter().filter(|edge| edge.to == at) {
            scores[edge.from] += edge.weight / node.value * score;
        }
    }
    scores
}

#[test]
fn edges_into_a_node_sum_to_what_it_is_in_every_family() {
    let (mut n_nodes, mut n_models) = (0, 0);
    for (name, model, input) in families_in("float64") {
        if target(&model, &input).is_none() {
            continue;
        }
        n_models += 1;
        // Both kinds in every family, and one of them alone.
        let others = [NodeKinds::Neurons, NodeKinds::Heads];
        for kinds in [NodeKinds::All, others[n_models % 2]] {
            let found = graph(&model, &input, kinds, 12);
            for (at, node) in parts(&found) {
                assert_edges_sum(&format!("{name} {kinds:?}"), &found, (at, node));
                n_nodes += 1;
            }
            for edge in &found.edges {
                assert!(edge.from < edge.to, "{name}: what is read comes later");
            }
        }
    }
    assert!(n_models >= 50 && n_nodes > 1000, "{n_models} {n_nodes}");
}

#[test]
fn nodes_are_the_pass_and_their_scores_its_relevance() {
    for (name, model, input) in families_in("float64") {
        let Some(target) = target(&model, &input) else {
            continue;
        };
        let found = graph(&model, &input, NodeKinds::Neurons, 30);
        for encoder in [false, true] {
            let place = Place {
                site: Site::MlpInner,
                encoder,
            };
            let layers = run::probe(&model).expect("it runs").layers(place);
            if layers.is_empty() {
                continue;
            }
            let options = SiteOptions {
                place,
                layers: None,
                target,
                method: SiteMethod::LayerwiseRelevance,
                n_steps: 1,
                // Layers need not have as many neurons as each other.
                by: SiteAxis::Position,
            };
            let relevance = attribute_site(&model, &input, &options, &mut unwatched).expect("it is");
            let run = run_of(&model, &input);
            for (_, node) in parts(&found) {
                let Node::Neuron { at, neuron } = node.node else {
                    continue;
                };
                if at.encoder != encoder {
                    continue;
                }
                let n_read = if encoder || input.target.is_empty() {
                    0
                } else {
                    input.ids.len()
                };
                let index = [neuron, at.position - n_read];
                let at_layer = |records: &run::Records| {
                    f64::from(records.array(place, Some(at.layer), 0).expect("recorded")[index])
                };
                let (activation, score) = (at_layer(run.records()), at_layer(&relevance.elements));
                assert!(
                    (node.value - activation).abs() < 1e-6 * (1.0 + activation.abs()),
                    "{name} {:?}: {} is not its activation {activation}",
                    node.node,
                    node.value
                );
                assert!(
                    (node.score - score).abs() < 1e-6 * (1.0 + score.abs()),
                    "{name} {:?}: {} is not its relevance {score}",
                    node.node,
                    node.score
                );
            }
        }
    }
}

#[test]
fn all_ways_together_are_the_scores() {
    for name in [
        "gpt2-tiny",
        "families/llama",
        "families/gemma2",
        "families/flan-t5",
    ] {
        let model = model(name, "float64");
        let is_pair = matches!(model.body(), Body::EncoderDecoder(_));
        let input = Input::new(&model, "She said", is_pair.then_some("was")).expect("a text");
        let found = graph(&model, &input, NodeKinds::All, 2_000);
        assert!(
            (found.kept - 1.0).abs() < 1e-9 && found.completeness > 1.0 - 1e-6,
            "{name}"
        );
        assert!(found.replacement > 1.0 - 1e-6, "{name}: {}", found.replacement);
        assert_ways_add_up(name, &found);
    }
}

#[test]
fn what_is_measured_is_the_answer_without_it() {
    for name in ["gpt2-tiny", "families/llama", "families/flan-t5"] {
        let model = model(name, "float64");
        let is_pair = matches!(model.body(), Body::EncoderDecoder(_));
        let input = Input::new(&model, "She said that it", is_pair.then_some("was there")).expect("a text");
        let found = graph(&model, &input, NodeKinds::Neurons, 40);
        let answer = |model: &Model| {
            let place = Place::of(Site::ResidualAfter);
            super::gradients::gradient_at(model, &input, place, None).answer
        };
        let whole = answer(&model);
        assert!((whole - found.value).abs() < 1e-9 * (1.0 + whole.abs()), "{name}");
        let mut n = 0;
        for (_, node) in parts(&found) {
            let (Node::Neuron { at, neuron }, Some(measured)) = (node.node, node.measured) else {
                continue;
            };
            n += 1;
            let place = Place {
                site: Site::MlpInner,
                encoder: at.encoder,
            };
            let n_read = if at.encoder || input.target.is_empty() {
                0
            } else {
                input.ids.len()
            };
            let position = at.position - n_read;
            let without = Intervention {
                layers: Some(vec![at.layer]),
                positions: Some(vec![position..position + 1]),
                part: Part::Features(vec![neuron]),
                ..one(place, Change::Ablate(Replacement::Number(0.0)))
            };
            let expected = whole - answer(&edited(&model, &[without]));
            assert!(
                (measured - expected).abs() < 1e-8 * (1.0 + whole.abs()),
                "{name} {:?}: {measured}, expected {expected}",
                node.node
            );
        }
        assert_eq!(n, 2, "{name}");
    }
}
