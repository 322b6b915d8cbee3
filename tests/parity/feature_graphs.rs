//! Attribution graphs whose nodes are features of transcoders: their sums, what they are made of, and what is measured.

use std::rc::Rc;

use ecco_explain::attribution_graph::{
    AttributionGraph, GraphNode, GraphOptions, Node, NodeKinds, attribution_graph,
};
use ecco_explain::dictionary::encode;
use ecco_explain::intervention::compile;
use ecco_explain::intervention::features::{FeatureAction, FeatureIntervention};
use ecco_explain::{Quantity, Target};
use ecco_interpreter::unwatched;
use ecco_models::config::Mixer;
use ecco_models::dictionary::Dictionary;
use ecco_models::dictionary::reading::DictionaryOptions;
use ecco_models::dictionary::set::open_set;
use ecco_models::run::Input;
use ecco_models::{Model, Place};
use ecco_tests::model;
use serde_json::json;

use super::dictionaries::{Folder, PLAIN, opened, stored};
use super::dictionary_sets::{all_of, cross_layer, per_layer};
use super::interventions::families_in;
use super::interventions::gradients::target as answer_of;
use super::interventions::graphs::{assert_edges_sum, assert_ways_add_up, parts};

fn at(site: &str, layer: usize) -> DictionaryOptions {
    DictionaryOptions {
        site: Place::parse(site),
        layer: Some(layer),
        ..DictionaryOptions::default()
    }
}

/// Gemma Scope's kind of a layer, with thresholds, which reads before the gain of the norm.
fn thresholds(model: &Model, layer: usize) -> Rc<Dictionary> {
    Rc::new(opened(&stored("gemma_scope.npz"), model, &at("mlp_input", layer)))
}

/// Sparsify's, the k largest, with a skip connection, behind the norm.
fn largest(model: &Model) -> Rc<Dictionary> {
    let folder = Folder::new("feature-graphs/layers.1.mlp");
    let tensors = [
        ("encoder.weight", "W_enc", true),
        ("encoder.bias", "b_enc", false),
        PLAIN[2],
        PLAIN[3],
        ("W_skip", "W_skip", false),
    ];
    folder.weights("sae.safetensors", &tensors);
    folder.settings(
        "cfg.json",
        &json!({"activation": "topk", "k": 7, "transcode": true, "skip_connection": true, "d_in": 48}),
    );
    Rc::new(opened(&folder.0, model, &DictionaryOptions::default()))
}

/// Circuit-tracer's, with a ReLU and a skip connection, which reads the stream.
fn relu(model: &Model) -> Rc<Dictionary> {
    let folder = Folder::new("feature-graphs/circuit-tracer");
    let yaml =
        "model_kind: transcoder_set\nfeature_input_hook: hook_resid_mid\nfeature_output_hook: hook_mlp_out\n";
    std::fs::write(folder.0.join("config.yaml"), yaml).unwrap();
    let tensors = [
        ("W_enc", "W_enc", true),
        PLAIN[1],
        PLAIN[2],
        PLAIN[3],
        ("W_skip", "W_skip", false),
    ];
    folder.weights("layer_1.safetensors", &tensors);
    let layer = DictionaryOptions {
        layer: Some(1),
        ..DictionaryOptions::default()
    };
    Rc::new(opened(&folder.0, model, &layer))
}

fn options(input: &Input, nodes: NodeKinds, dictionaries: Vec<Rc<Dictionary>>, most: usize) -> GraphOptions {
    GraphOptions {
        target: Target::token(input.ids.len(), 1).against(2).of(Quantity::Logit),
        nodes,
        dictionaries,
        keep: 1.0,
        max_nodes: most,
        n_measured: 0,
    }
}

fn graph(model: &Model, input: &Input, options: &GraphOptions) -> AttributionGraph {
    attribution_graph(model, input, options, &mut unwatched).unwrap()
}

fn text(model: &Model) -> Input {
    Input::new(model, "She said that it", None).unwrap()
}

#[test]
fn edges_into_a_feature_sum_to_its_activation() {
    let model = model("gpt2-tiny", "float64");
    let input = text(&model);
    let all: Vec<_> = (0..3).map(|layer| thresholds(&model, layer)).collect();
    let one_of_each = vec![thresholds(&model, 0), relu(&model), thresholds(&model, 2)];
    let crossing = all_of(&cross_layer("feature-graphs/cross-layer", 3, 48), &model);
    // Features of the first layer write where no transcoder of theirs is, too.
    let lowest = crossing[..1].to_vec();
    let sets = [
        all,
        vec![largest(&model)],
        vec![relu(&model)],
        one_of_each,
        crossing,
        lowest,
    ];
    let mut n_features = 0;
    for dictionaries in sets {
        for kinds in [NodeKinds::All, NodeKinds::Features] {
            let found = graph(&model, &input, &options(&input, kinds, dictionaries.clone(), 150));
            for (at, node) in parts(&found) {
                assert_edges_sum(&format!("{kinds:?}"), &found, (at, node));
                let Node::Feature { at, feature } = node.node else {
                    continue;
                };
                let dictionary = dictionaries
                    .iter()
                    .find(|one| one.writes.layer == at.layer)
                    .unwrap();
                let encoding = encode(&model, &input, dictionary, 0, &mut unwatched).unwrap();
                let active = encoding.active[at.position].iter();
                let active = active.clone().find(|one| one.0 as usize == feature).unwrap().1;
                assert!((node.value - f64::from(active)).abs() < 1e-6, "{:?}", node.node);
                n_features += 1;
            }
            // In layers that have one there are no neurons, and elsewhere if they are asked for.
            let n_neurons = |layer: usize| {
                let is_here =
                    |node: &&GraphNode| matches!(node.node, Node::Neuron { at, .. } if at.layer == layer);
                found.nodes.iter().filter(is_here).count()
            };
            for layer in 0..3 {
                let is_replaced = dictionaries.iter().any(|one| one.writes.layer == layer);
                let expected = kinds == NodeKinds::All && !is_replaced;
                assert_eq!(n_neurons(layer) > 0, expected, "{kinds:?} {layer}");
            }
            assert!(
                found
                    .nodes
                    .iter()
                    .any(|node| matches!(node.node, Node::Error { .. }))
            );
        }
    }
    assert!(n_features > 200, "{n_features}");
}

#[test]
fn all_ways_with_errors_are_the_scores_and_the_answer_is_the_models() {
    let model = model("gpt2-tiny", "float64");
    let input = text(&model);
    let mixed = vec![thresholds(&model, 0), relu(&model), thresholds(&model, 2)];
    let crossing = all_of(&cross_layer("feature-graphs/ways", 3, 48), &model);
    let plain = graph(&model, &input, &options(&input, NodeKinds::All, vec![], 10));
    assert_eq!(plain.error, None);
    for (kinds, dictionaries) in [
        (NodeKinds::All, &mixed),
        (NodeKinds::Features, &mixed),
        (NodeKinds::All, &crossing),
        (NodeKinds::Features, &crossing),
    ] {
        let asked = options(&input, kinds, dictionaries.clone(), 2_000);
        let found = graph(&model, &input, &asked);
        assert!((found.value - plain.value).abs() < 1e-9, "{kinds:?}");
        assert!((found.kept - 1.0).abs() < 1e-9, "{kinds:?}");
        // Whatever is no token at the ends is an error.
        let error = found.error.unwrap();
        assert!(
            (found.replacement + error - 1.0).abs() < 1e-9,
            "{kinds:?}: {error}"
        );
        assert!(
            error > 0.05 && found.completeness < 0.95 && found.completeness > 0.0,
            "{kinds:?}: {found:?}"
        );
        let scores = assert_ways_add_up(&format!("{kinds:?}"), &found);
        for (at, node) in found.nodes.iter().enumerate() {
            if let Node::Error { .. } = node.node {
                assert!(
                    (scores[at] - node.score).abs() < 1e-8,
                    "{kinds:?} {:?}",
                    node.node
                );
            }
        }
        // Errors that are no nodes count as much.
        let few = graph(&model, &input, &options(&input, kinds, dictionaries.clone(), 5));
        assert!(few.error.unwrap() > 0.0 && few.replacement + few.error.unwrap() < 1.0);
    }
}

#[test]
fn what_is_measured_is_the_answer_without_what_a_feature_writes() {
    let model = model("gpt2-tiny", "float64");
    let input = text(&model);
    let dictionaries = vec![thresholds(&model, 0), relu(&model), thresholds(&model, 2)];
    let answer = |model: &Model| crate::dictionary_sets::answer(model, &input);
    let whole = answer(&model);
    let crossing = all_of(&cross_layer("feature-graphs/measured", 3, 48), &model);
    for dictionaries in [dictionaries, crossing] {
        let asked = GraphOptions {
            n_measured: 60,
            ..options(&input, NodeKinds::Features, dictionaries.clone(), 60)
        };
        let found = graph(&model, &input, &asked);
        let (mut n_features, mut n_errors) = (0, 0);
        for node in &found.nodes {
            let Some(measured) = node.measured else {
                continue;
            };
            let (at, features, what) = match node.node {
                Node::Feature { at, feature } => (at, vec![feature], FeatureAction::Scale(0.0)),
                Node::Error { at } => (at, vec![], FeatureAction::Reconstruct),
                other => panic!("{other:?} was measured"),
            };
            match features.is_empty() {
                true => n_errors += 1,
                false => n_features += 1,
            }
            let dictionary = dictionaries
                .iter()
                .find(|one| one.writes.layer == at.layer)
                .unwrap();
            let change = FeatureIntervention {
                dictionary: Rc::clone(dictionary),
                features,
                what,
            };
            let positions = Some(vec![at.position..at.position + 1]);
            let edits = compile(&model, &[change.at(positions)], &mut unwatched).unwrap();
            let expected = whole - answer(&model.edited(&edits));
            assert!(
                (measured - expected).abs() < 1e-5,
                "{:?}: {measured}, expected {expected}",
                node.node
            );
        }
        assert!(n_features > 20 && n_errors > 3, "{n_features} {n_errors}");
        // What they write is told, so that it can be read in the vocabulary.
        let written = found
            .writes
            .iter()
            .filter(|(at, write)| matches!(found.nodes[*at].node, Node::Feature { .. }) && write.len() == 48);
        assert!(written.count() > 20);
    }
}

#[test]
fn what_can_be_no_node_is_refused() {
    let model = model("gpt2-tiny", "float32");
    let input = text(&model);
    let error = |nodes, dictionaries| {
        let asked = options(&input, nodes, dictionaries, 5);
        attribution_graph(&model, &input, &asked, &mut unwatched)
            .unwrap_err()
            .to_string()
    };
    let of = |layer| thresholds(&model, layer);
    assert_eq!(
        error(NodeKinds::Features, vec![]),
        "dictionary is not given: name the transcoders whose features are nodes"
    );
    assert_eq!(
        error(NodeKinds::Heads, vec![of(1)]),
        "nodes is heads: features are nodes with \"features\" and \"all\""
    );
    assert_eq!(
        error(NodeKinds::All, vec![of(1), of(0), of(1)]),
        "dictionary is a second one of mlp_output of layer 1: the layer has one already"
    );
    let crossing = all_of(&cross_layer("feature-graphs/refused", 3, 48), &model);
    assert_eq!(
        error(NodeKinds::All, crossing[1..].to_vec()),
        "dictionary is layer 1 of a cross-layer transcoder: features of the layers below write there, too: name all layers up to \
         it, of one set"
    );
    let residual = Rc::new(opened(
        &stored("gemma_scope.npz"),
        &model,
        &at("residual_after", 1),
    ));
    assert_eq!(
        error(NodeKinds::All, vec![residual]),
        "dictionary is one that reads residual_after of layer 1 and writes residual_after of layer 1: nodes are features of \
         transcoders, which read what goes into the MLP and write what it adds; `dictionary.attribute` says what an answer owes \
         to those of others"
    );
}

/// In every family: post-norms, parallel blocks, experts, encoders.
#[test]
fn edges_into_features_sum_in_every_family() {
    let (mut n_graphs, mut n_features, mut n_parallel) = (0, 0, 0);
    for (name, model, input) in families_in("float64") {
        let Some(target) = answer_of(&model, &input) else {
            continue;
        };
        let config = model.config();
        // Features stand between what a layer mixes and its MLP.
        if !(0..config.n_layers).all(|layer| config.has_mlp(layer) && config.mixer(layer) != Mixer::Nothing) {
            continue;
        }
        let (n_layers, d) = (config.n_layers, config.hidden_size);
        let opened = |folder: &Folder| {
            let path = folder.0.display().to_string();
            open_set(
                &path,
                &model,
                (&DictionaryOptions::default(), None),
                &mut unwatched,
            )
        };
        let each = |hook| per_layer("feature-graphs/each", n_layers, d, hook);
        let mut sets = Vec::new();
        match opened(&cross_layer("feature-graphs/families", n_layers, d)) {
            Ok(all) => sets.push(("cross-layer", all)),
            // Where attention and MLP read one stream, nothing stands between them.
            Err(error) => {
                assert!(
                    error.to_string().starts_with("the model has no residual_mid"),
                    "{name}: {error}"
                );
                sets.push(("behind the norm", opened(&each("mlp.hook_in")).unwrap()));
                n_parallel += 1;
            }
        }
        if n_graphs % 3 == 0 {
            sets.extend(
                opened(&each("ln2.hook_normalized"))
                    .ok()
                    .map(|all| ("before the gain", all)),
            );
        }
        for (what, dictionaries) in sets {
            let asked = GraphOptions {
                target,
                nodes: NodeKinds::All,
                dictionaries,
                keep: 1.0,
                max_nodes: 10,
                n_measured: 0,
            };
            let found = graph(&model, &input, &asked);
            n_graphs += 1;
            for (at, node) in parts(&found) {
                assert_edges_sum(&format!("{name} {what}"), &found, (at, node));
                n_features += usize::from(matches!(node.node, Node::Feature { .. }));
            }
            assert!(found.error.is_some_and(|error| error > 0.0), "{name} {what}");
        }
    }
    let all = format!("{n_graphs} {n_features} {n_parallel}");
    assert!(n_graphs > 110 && n_features > 300 && n_parallel > 8, "{all}");
}
