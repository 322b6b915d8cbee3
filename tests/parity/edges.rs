//! Edges between a model's parts against a plain decoder whose readers have streams of their own, and what must hold of them.

use ecco_explain::edges::{Edge, EdgeMethod, EdgeOptions, Edges, Graph, Setting, edges, query_key};
use ecco_explain::intervention::answer::Answer;
use ecco_explain::vocabulary::weights::HeadAt;
use ecco_explain::{Outcome, Quantity, Target};
use ecco_interpreter::unwatched;
use ecco_models::config::Mlp;
use ecco_models::run::{self, Input};
use ecco_models::{Model, Place, Site};
use ecco_tests::{cases, fixtures, integers, model, stored_tensor};
use ndarray::{ArrayD, Axis};
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
        answer: target(model, &clean).into(),
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
            answer: target(&model, &clean).into(),
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
fn edges_of_the_divergence_of_all_that_is_predicted() {
    for name in ["gpt2-tiny", "families/llama"] {
        let model = model(name, "float64");
        let [clean, corrupted] = texts(&model);
        let setting = Setting {
            model: &model,
            clean: &clean,
            corrupted: &corrupted,
            answer: Answer::Divergence(Outcome::Token {
                position: clean.ids.len(),
                id: 0,
            }),
        };
        let asked = EdgeOptions {
            n_steps: 200,
            n_measured: 12,
            ..options(EdgeMethod::IntegratedGradients)
        };
        let found = edges(&setting, &asked, &mut unwatched).unwrap();
        // Σ p ln (p / q) over all tokens, p of the clean text.
        let [log_p, log_q] = [&clean, &corrupted].map(|input| {
            let run = run::run(&model, vec![input.clone()], 1, &mut unwatched)
                .unwrap()
                .remove(0);
            let logits = run.logits(&model, 0).unwrap();
            let last = logits.index_axis(Axis(0), logits.shape()[0] - 1).mapv(f64::from);
            let most = last.iter().copied().fold(f64::MIN, f64::max);
            let sum = last.iter().map(|x| (x - most).exp()).sum::<f64>().ln();
            last.mapv(|x| x - most - sum)
        });
        let expected: f64 = log_p.iter().zip(&log_q).map(|(p, q)| p.exp() * (p - q)).sum();
        assert!(found.clean.abs() < 1e-12, "{name}: {}", found.clean);
        assert!(
            (found.corrupted - expected).abs() < 1e-5 * (1.0 + expected),
            "{name}: {}, expected {expected}",
            found.corrupted
        );
        // Along the way edges from the embeddings make all of it; all edges are the clean text, none the corrupted one.
        let gap = found.clean - found.corrupted;
        let path: f64 = found.scores.row(0).sum();
        assert!(
            (path - gap).abs() < 2e-3 * gap.abs(),
            "{name}: {path}, expected {gap}"
        );
        let whole = found
            .circuit_of(&setting, &found.graph.edges(), &mut unwatched)
            .unwrap();
        assert!(
            (whole.faithfulness - 1.0).abs() < 1e-6 && whole.without.abs() < 1e-6,
            "{name}"
        );
        // An edge that is patched alone is what exact scores say.
        let edge = found.measured[0].0;
        let exact = EdgeOptions {
            from: Some(vec![edge.source]),
            to: Some(vec![edge.reader]),
            ..options(EdgeMethod::Exact)
        };
        let exact = edges(&setting, &exact, &mut unwatched).unwrap();
        assert!((exact.score(edge) - found.measured[0].1).abs() < 1e-9, "{name}");
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

/// Every pair of what wrote a query and what wrote a key: together the score, whose softmax is the pattern.
#[test]
fn products_of_queries_and_keys_are_sums_over_what_wrote_both() {
    let (mut n_models, mut n_patterns) = (0, 0);
    for (name, model) in graphs() {
        let [clean, _] = texts(&model);
        let at = HeadAt {
            layer: model.config().n_layers - 1,
            head: model.config().n_heads - 1,
        };
        let query = clean.ids.len() - 1;
        let found = query_key(&model, &clean, at, (query, None), &mut unwatched)
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        n_models += 1;
        let near = |sum: f64, expected: f64, what: &str| {
            assert!(
                (sum - expected).abs() < 1e-9 * (1.0 + expected.abs()),
                "{name} {what}: {sum}, {expected}"
            );
        };
        near(found.pairs.sum(), found.scores[found.key], "pairs");
        for key in 0..=query {
            near(found.by_query.row(key).sum(), found.scores[key], "queries");
            near(found.by_key.row(key).sum(), found.scores[key], "keys");
        }
        for source in 0..found.sources.len() {
            near(
                found.pairs.row(source).sum(),
                found.by_query[(found.key, source)],
                "a query's source",
            );
            near(
                found.pairs.column(source).sum(),
                found.by_key[(found.key, source)],
                "a key's source",
            );
        }
        // Where nothing is added to them or cut off, scores make the pattern.
        let most = found.scores.iter().copied().fold(f64::MIN, f64::max);
        let powers: Vec<f64> = found.scores.iter().map(|score| (score - most).exp()).collect();
        let sum: f64 = powers.iter().sum();
        let gap = powers
            .iter()
            .zip(&found.attention)
            .map(|(power, share)| (power / sum - share).abs());
        if gap.fold(0.0, f64::max) < 1e-6 {
            n_patterns += 1;
        } else {
            println!("{name}: scores are not all of the pattern");
        }
    }
    println!("{n_models} {n_patterns}");
    assert!(
        n_models > 30 && 3 * n_patterns > 2 * n_models,
        "{n_models} {n_patterns}"
    );
}

/// GPT-2's, written out: (a source's write, less its mean, over the stream's deviation, times the gain) W_Q.
#[test]
fn a_querys_parts_are_those_of_the_weights() {
    let model = model("gpt2-tiny", "float64");
    let [clean, _] = texts(&model);
    let at = HeadAt { layer: 0, head: 1 };
    let query = 3;
    let found = query_key(&model, &clean, at, (query, Some(1)), &mut unwatched).unwrap();
    assert_eq!(found.sources, ["input", "biases"]);
    let weight = |name: &str| {
        let file = fixtures().join("gpt2-tiny/model.safetensors");
        stored_tensor(&file, &format!("transformer.h.0.{name}")).mapv(f64::from)
    };
    let (gain, shift) = (weight("ln_1.weight"), weight("ln_1.bias"));
    let (matrix, bias) = (weight("attn.c_attn.weight"), weight("attn.c_attn.bias"));
    let run = run::run(&model, vec![clean.clone()], 1, &mut unwatched)
        .unwrap()
        .remove(0);
    let place = Place::of(Site::ResidualBefore);
    let stream = run.records().array(place, Some(0), 0).unwrap().mapv(f64::from);
    let head_dim = 48 / 4;
    // What the stream makes of a query or a key, and what biases do.
    let side = |position: usize, first: usize| {
        let x = stream.index_axis(Axis(0), position);
        let mean = x.sum() / 48.0;
        let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 48.0;
        let deviation = (variance + 1e-5).sqrt();
        let number = |at: usize| {
            let column = first + at;
            let of_stream = (0..48).map(|i| (x[i] - mean) / deviation * gain[i] * matrix[[i, column]]);
            let of_bias = (0..48).map(|i| shift[i] * matrix[[i, column]]);
            [of_stream.sum(), of_bias.sum::<f64>() + bias[column]]
        };
        (0..head_dim).map(number).collect::<Vec<[f64; 2]>>()
    };
    let (queries, keys) = (side(query, head_dim), side(1, 48 + head_dim));
    for (row, column) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        let each = queries
            .iter()
            .zip(&keys)
            .map(|(query, key)| query[row] * key[column]);
        let expected = each.sum::<f64>() / (head_dim as f64).sqrt();
        let pair = found.pairs[(row, column)];
        assert!(
            (pair - expected).abs() < 1e-5 * (1.0 + expected.abs()),
            "{row} {column}: {pair}, {expected}"
        );
    }
    let refused = |query, key| {
        let found = query_key(&model, &clean, at, (query, key), &mut unwatched);
        found.unwrap_err().to_string()
    };
    assert_eq!(
        refused(2, Some(3)),
        "key is 3: the query at position 2 sees no later ones"
    );
    assert!(refused(99, None).starts_with("query is 99: there are "));
}
