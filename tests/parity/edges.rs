//! Edges between a model's parts against a plain decoder whose readers have streams of their own, and what must hold of them.

use ecco_explain::edges::{Edge, EdgeMethod, EdgeOptions, Edges, Graph, Setting, edges};
use ecco_explain::{Quantity, Target};
use ecco_interpreter::unwatched;
use ecco_models::Model;
use ecco_models::config::Mlp;
use ecco_models::run::Input;
use ecco_tests::{cases, fixtures, integers, model, stored_tensor};
use ndarray::ArrayD;
use serde_json::Value;

fn constants() -> Value {
    let file = std::fs::read(fixtures().join("edges.json")).unwrap();
    serde_json::from_slice(&file).unwrap()
}

fn stored(model: &str, name: &str) -> ArrayD<f32> {
    stored_tensor(&fixtures().join("edges.safetensors"), &format!("{model}.{name}"))
}

fn names() -> Vec<String> {
    let constants = constants();
    let names: Vec<String> = constants["models"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(names.len(), 4);
    names
}

/// The texts of the stored numbers, cut to those tokens that a vocabulary has.
fn texts(model: &Model) -> [Input; 2] {
    let constants = constants();
    ["clean", "corrupted"].map(|which| {
        let ids = integers(&constants[which]);
        let n = model.config().vocab_size as u32;
        let ids = ids.into_iter().map(|id| id % n).collect();
        Input::of(model, ids, vec![]).unwrap()
    })
}

fn target(model: &Model, input: &Input) -> Target {
    let constants = constants();
    let n = model.config().vocab_size as u64;
    let id = |which: &str| (constants[which].as_u64().unwrap() % n) as u32;
    Target::token(input.ids.len(), id("target"))
        .of(Quantity::Logit)
        .against(id("contrast"))
}

fn options(method: EdgeMethod) -> EdgeOptions {
    EdgeOptions {
        method,
        n_steps: constants()["steps"].as_u64().unwrap() as usize,
        from: None,
        to: None,
        n_measured: 0,
        seed: 0,
    }
}

/// Calls `look` with what is asked of a model.
fn of<T>(model: &Model, options: &EdgeOptions, look: impl FnOnce(&Setting, Edges) -> T) -> T {
    let [clean, corrupted] = texts(model);
    let setting = Setting {
        model,
        clean: &clean,
        corrupted: &corrupted,
        target: target(model, &clean),
    };
    let found = edges(&setting, options, &mut unwatched).unwrap();
    look(&setting, found)
}

#[test]
fn scores_are_those_of_a_decoder_with_streams_apart() {
    for name in names() {
        let told = &constants()["models"][&name];
        let model = model(&name, "float64");
        for method in [
            EdgeMethod::Gradient,
            EdgeMethod::IntegratedGradients,
            EdgeMethod::Exact,
        ] {
            of(&model, &options(method), |_, found| {
                let expected = stored(&name, method.name());
                assert_eq!(expected.shape(), found.scores.shape(), "{name}");
                for (end, which) in [(found.clean, "clean"), (found.corrupted, "corrupted")] {
                    assert!(
                        (end - told[which].as_f64().unwrap()).abs() < 1e-5,
                        "{name}, {which}"
                    );
                }
                for (at, expected) in expected.indexed_iter() {
                    let found = found.scores[(at[0], at[1])];
                    assert!(
                        (found - f64::from(*expected)).abs() < 2e-5 * (1.0 + f64::from(expected.abs())),
                        "{name}, {method:?}, {at:?}: {found}, expected {expected}"
                    );
                }
            });
        }
    }
}

#[test]
fn circuits_do_what_those_of_that_decoder_do() {
    let mut n_compared = 0;
    for name in names() {
        let told = &constants()["models"][&name]["circuits"];
        let model = model(&name, "float64");
        of(
            &model,
            &options(EdgeMethod::IntegratedGradients),
            |setting, found| {
                for circuit in told.as_array().unwrap() {
                    let n = circuit["n"].as_u64().unwrap() as usize;
                    let got = found.circuit(setting, n, &mut unwatched).unwrap();
                    let edges: Vec<Vec<u32>> = circuit["edges"]
                        .as_array()
                        .unwrap()
                        .iter()
                        .map(integers)
                        .collect();
                    let own = got
                        .edges
                        .iter()
                        .map(|edge| vec![edge.source as u32, edge.reader as u32]);
                    assert_eq!(own.collect::<Vec<_>>(), edges, "{name}, {n}");
                    for (value, which) in [(got.faithfulness, "faithfulness"), (got.without, "without")] {
                        let expected = circuit[which].as_f64().unwrap();
                        assert!(
                            (value - expected).abs() < 1e-5,
                            "{name}, {n}, {which}: {value}, expected {expected}"
                        );
                        n_compared += 1;
                    }
                }
            },
        );
    }
    assert_eq!(n_compared, 16);
}

/// Families whose stream is a sum of what their parts write.
fn graphs() -> Vec<(String, Model)> {
    let each = cases().into_iter().filter_map(|name| {
        let model = model(&name, "float64");
        Graph::of(&model).is_ok().then_some((name, model))
    });
    each.collect()
}

#[test]
fn identities_hold_for_every_family() {
    let graphs = graphs();
    assert!(graphs.len() > 30, "{}", graphs.len());
    for (name, model) in graphs {
        let only_input = EdgeOptions {
            from: Some(vec![0]),
            n_steps: 64,
            ..options(EdgeMethod::IntegratedGradients)
        };
        let [clean, corrupted] = texts(&model);
        let setting = Setting {
            model: &model,
            clean: &clean,
            corrupted: &corrupted,
            target: target(&model, &clean),
        };
        let Ok(found) = edges(&setting, &options(EdgeMethod::Gradient), &mut unwatched) else {
            panic!("{name}: no scores");
        };
        let all = found.graph.edges();
        let gap = found.clean - found.corrupted;
        // All edges are the clean text, none the corrupted one.
        let whole = found.circuit_of(&setting, &all, &mut unwatched).unwrap();
        let off = (whole.faithfulness - 1.0).abs().max(whole.without.abs());
        assert!(off < 1e-6, "{name}: {} and {}", whole.faithfulness, whole.without);
        // All edges from the embeddings are the whole way, unless a router changes its mind on it: that jump has no slope.
        if matches!(model.config().mlp, Mlp::Experts { .. }) {
            continue;
        }
        let path = edges(&setting, &only_input, &mut unwatched).unwrap();
        let completeness = path.completeness.unwrap();
        // What is cut off has a corner, which steps find only so well.
        let tolerance = match model.config().attention.clip {
            Some(_) => 0.05,
            None => 0.02,
        };
        assert!(
            completeness.error.abs() < tolerance * gap.abs() + 1e-3,
            "{name}: {} of {gap}",
            path.scores.row(0).sum()
        );
    }
}

#[test]
fn some_edges_are_asked_for_by_name() {
    let model = model("gpt2-tiny", "float64");
    let graph = Graph::of(&model).unwrap();
    let (from, to) = (
        graph.source_named("m0").unwrap(),
        graph.reader_named("logits").unwrap(),
    );
    let some = EdgeOptions {
        from: Some(vec![from]),
        to: Some(vec![to]),
        ..options(EdgeMethod::Exact)
    };
    of(&model, &some, |_, found| {
        let edge = Edge {
            source: from,
            reader: to,
        };
        assert_eq!(found.ranked(), [edge]);
        assert_ne!(found.score(edge), 0.0);
        assert_eq!(found.scores.iter().filter(|score| **score != 0.0).count(), 1);
    });
    for index in 0..graph.n_sources() {
        assert_eq!(graph.source_named(&graph.source_name(index)).unwrap(), index);
    }
    for index in 0..graph.n_readers() {
        assert_eq!(graph.reader_named(&graph.reader_name(index)).unwrap(), index);
    }
    let error = graph.source_named("a9.h0").unwrap_err().to_string();
    assert!(
        error.contains("from is \"a9.h0\": sources are \"input\", heads"),
        "{error}"
    );
    let error = graph.reader_named("a0.h0").unwrap_err().to_string();
    assert!(error.contains("readers are queries"), "{error}");
}

#[test]
fn measured_edges_and_random_circuits() {
    let model = model("families/llama", "float64");
    let exact = of(&model, &options(EdgeMethod::Exact), |_, found| found);
    let some = EdgeOptions {
        n_measured: 12,
        ..options(EdgeMethod::IntegratedGradients)
    };
    of(&model, &some, |setting, found| {
        assert_eq!(found.measured.len(), 12);
        for (edge, change) in &found.measured {
            assert!((exact.score(*edge) - change).abs() < 1e-9);
        }
        assert!(found.correlation().unwrap() > 0.5, "{:?}", found.correlation());
        assert!(found.measured.iter().any(|(edge, _)| *edge == found.ranked()[0]));
        let n = found.graph.edges().len();
        let curve = found.curve(setting, &[5, n], 2, 3, &mut unwatched).unwrap();
        assert_eq!(curve.len(), 2);
        assert!((curve[1].circuit.faithfulness - 1.0).abs() < 1e-6);
        assert!(curve[1].random.iter().all(|share| (share - 1.0).abs() < 1e-6));
        assert_eq!(curve[0].random.len(), 2);
        let again = found.curve(setting, &[5, n], 2, 3, &mut unwatched).unwrap();
        assert_eq!(curve, again);
        for sizes in [[0], [n + 1]] {
            let error = found.curve(setting, &sizes, 1, 0, &mut unwatched).unwrap_err();
            assert!(
                error.to_string().contains(&format!("there are {n} edges")),
                "{error}"
            );
        }
        let error = found
            .curve(setting, &[5], usize::MAX, 0, &mut unwatched)
            .unwrap_err();
        assert!(error.to_string().contains("at most 10000 are run"), "{error}");
        assert!(found.circuit_of(setting, &[], &mut unwatched).is_err());
    });
}

#[test]
fn other_models_say_why_not() {
    for (name, reason) in [
        ("families/bert", "reads from left to right"),
        ("families/t5", "reads from left to right"),
        ("families/opt-350m", "norms stand on the stream"),
    ] {
        let error = Graph::of(&model(name, "float32")).unwrap_err().to_string();
        assert!(error.contains(reason), "{name}: {error}");
    }
}
