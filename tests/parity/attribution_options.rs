//! Methods, targets and baselines against captum and others; options, batches, refusals.

use ecco_explain::{Aggregation, AttributionOptions, Baseline, Method, Outcome, Quantity, Target, attribute};
use ecco_interpreter::unwatched;
use ecco_models::Model;
use ecco_models::config::Task;
use ecco_models::model::Body;
use ecco_models::run::Input;
use ecco_tests::{Reference, fixtures, integers, model};

use crate::attribution_rules::explain;

#[test]
fn targets_together_are_targets_alone_in_any_order() {
    for name in ["gpt2-tiny", "families/bert", "families/t5"] {
        let model = model(name, "float64");
        let target = match model.body() {
            Body::EncoderDecoder(_) => vec![0, 4, 9, 31],
            _ => vec![],
        };
        let input = Input::of(&model, vec![5, 80, 31, 9, 200, 77], target).unwrap();
        let targets = [
            Target::token(3, 8).of(Quantity::Entropy),
            Target::token(1, 300),
            Target::token(2, 7).of(Quantity::Logit).against(9),
        ];
        for method in Method::ALL {
            if method.is_drawn() {
                // What is drawn depends on how many sources there are.
                continue;
            }
            let options = AttributionOptions {
                n_steps: 5,
                ..AttributionOptions::with(*method)
            };
            let together = explain(&model, &input, &targets, &options);
            for (k, target) in targets.iter().enumerate() {
                let alone = explain(&model, &input, &[*target], &options);
                assert_eq!(alone.signed[0].len(), together.signed[k].len());
                for (a, b) in alone.signed[0].iter().zip(&together.signed[k]) {
                    assert!(
                        (a - b).abs() < 1e-12 * (1.0 + b.abs()),
                        "{name}, {method:?}: {a} and {b}"
                    );
                }
            }
        }
    }
}

/// What captum computes of other targets, from other baselines and by other methods; layer-wise relevance is a small
/// implementation in transformers. See tests/reference/make_attributions.py.
#[test]
fn methods_targets_and_baselines_are_the_references() {
    let reference = Reference::open("attributions");
    let mut compared = std::collections::HashMap::new();
    for (index, case) in reference.runs.as_array().unwrap().iter().enumerate() {
        let text = |key: &str| case[key].as_str().unwrap();
        let number = |key: &str| case[key].as_u64().map(|number| number as u32);
        let model = model(text("model"), "float64");
        let mut ids = integers(&case["ids"]);
        let (position, token) = (number("position").unwrap() as usize, number("token").unwrap());
        let said = match model.config().task {
            Task::Label(_) => Outcome::Label(token as usize),
            _ => Outcome::Token { position, id: token },
        };
        if matches!(model.body(), Body::Decoder(_)) {
            ids.truncate(position);
        }
        let target = Target {
            said,
            contrast: number("contrast"),
            of: Quantity::parse(text("quantity")).unwrap(),
        };
        let options = AttributionOptions {
            baseline: match text("baseline") {
                "text" => Baseline::Text(integers(&case["other"])),
                name => Baseline::parse(name).unwrap(),
            },
            n_samples: Some(7),
            seed: 5,
            ..AttributionOptions::with(Method::parse(text("method")).unwrap())
        };
        let input = Input::of(&model, ids, integers(&case["written"])).unwrap();
        let found = explain(&model, &input, &[target], &options);
        let what = format!(
            "{} {} {} {}",
            text("model"),
            text("method"),
            text("quantity"),
            text("baseline")
        );
        // transformers has some norms and softmaxes in single precision whatever the model's.
        let tolerance = match text("model") {
            "families/llama" | "families/t5" => 2e-5,
            _ => 1e-6,
        };
        let value = case["value"].as_f64().unwrap();
        assert!(
            (found.values[0] - value).abs() < tolerance * (1.0 + value.abs()),
            "{what}"
        );
        if options.method == Method::LayerwiseRelevance {
            let (rest, expected) = (found.baseline_values[0].unwrap(), case["rest"].as_f64().unwrap());
            assert!(
                (rest - expected).abs() < tolerance * (1.0 + expected.abs()),
                "{what}: {rest}, {expected}"
            );
        }
        for (name, found) in [
            ("signed", found.signed[0].clone()),
            (
                "scores",
                found.scores[0].iter().map(|&score| f64::from(score)).collect(),
            ),
        ] {
            let expected = reference.tensor(&format!("{index}.{name}")).unwrap();
            assert_eq!(found.len(), expected.len(), "{what}");
            // Behind a layer norm a gradient's own sum is 0.
            let scale = expected
                .iter()
                .fold(1e-7_f64, |most, &value| most.max(f64::from(value).abs()));
            for (found, &expected) in found.iter().zip(&expected) {
                let error = (found - f64::from(expected)).abs() / scale;
                assert!(error < tolerance, "{what}, {name}: {found}, expected {expected}");
                let worst = compared.entry(text("method").to_owned()).or_insert(0.0_f64);
                *worst = worst.max(error);
            }
        }
    }
    println!("largest errors: {compared:?}");
    assert_eq!(compared.len(), 8);
}

/// Without noise SmoothGrad is the gradient; with its own draws captum's mean, as far as that many samples tell.
#[test]
fn smooth_grad_is_the_mean_of_noisy_gradients() {
    let reference = Reference::open("attributions");
    let of = |name: &str, sigma: f64, n_samples: usize, method: Method| {
        let model = model(name, "float64");
        let mut cases = reference.runs.as_array().unwrap().iter();
        let case = cases
            .find(|case| case["model"] == name && case["method"] == "smooth_grad")
            .unwrap();
        let (mut ids, position) = (
            integers(&case["ids"]),
            case["position"].as_u64().unwrap() as usize,
        );
        if matches!(model.body(), Body::Decoder(_)) {
            ids.truncate(position);
        }
        let target = Target::token(position, case["token"].as_u64().unwrap() as u32);
        let options = AttributionOptions {
            sigma,
            n_samples: Some(n_samples),
            ..AttributionOptions::with(method)
        };
        let input = Input::of(&model, ids, integers(&case["written"])).unwrap();
        explain(&model, &input, &[target], &options).signed.remove(0)
    };
    for name in ["families/llama", "families/t5"] {
        let (still, gradient) = (
            of(name, 0.0, 3, Method::SmoothGrad),
            of(name, 0.0, 1, Method::Gradient),
        );
        for (still, gradient) in still.iter().zip(&gradient) {
            assert!(
                (still - gradient).abs() <= 1e-12 * gradient.abs(),
                "{still}, {gradient}"
            );
        }
        let tensor = |what: &str| reference.tensor(&format!("{name}.{what}")).unwrap();
        let (mean, error) = (tensor("smooth_mean"), tensor("smooth_error"));
        let found = of(name, 0.15, 400, Method::SmoothGrad);
        assert_eq!(found.len(), mean.len());
        for (i, found) in found.iter().enumerate() {
            let apart = (found - f64::from(mean[[i]])).abs() / f64::from(error[[i]]);
            // Both means have that error.
            assert!(
                apart < 4.0 * 2.0_f64.sqrt(),
                "{name}, source {i}: {apart} standard errors"
            );
        }
    }
}

#[test]
fn what_cannot_be_explained_is_refused() {
    let refused = |name: &str, target: Target, options: AttributionOptions| {
        let model = model(name, "float32");
        let written = match model.body() {
            Body::EncoderDecoder(_) => vec![0, 4],
            _ => vec![],
        };
        let input = Input::of(&model, vec![5, 6, 7], written).unwrap();
        attribute(&model, &input, &[target], &options, &mut unwatched)
            .unwrap_err()
            .to_string()
    };
    let plain = AttributionOptions::default;
    assert_eq!(
        refused("gpt2-tiny", Target::token(0, 5), plain()),
        "position is 0: a token is predicted from those before it, and the text has 3; expected 1 to 3"
    );
    assert_eq!(
        refused("families/t5", Target::token(3, 5), plain()),
        "position is 3: a token is predicted from those before it, and what is written has 2; expected 1 to 2"
    );
    assert_eq!(
        refused("gpt2-tiny", Target::token(2, 384), plain()),
        "target is 384: the vocabulary has 384 tokens"
    );
    assert_eq!(
        refused("gpt2-tiny", Target::token(2, 3).against(500), plain()),
        "contrast is 500: the vocabulary has 384 tokens"
    );
    assert_eq!(
        refused("families/bert-labels", Target::label(1).against(3), plain()),
        "contrast is 3: the model has 3 labels"
    );
    assert_eq!(
        refused(
            "gpt2-tiny",
            Target::token(2, 3).of(Quantity::Entropy).against(4),
            plain()
        ),
        "contrast is given: entropy is of all tokens together, so there is nothing to contrast"
    );
    let with = |method, baseline| AttributionOptions {
        baseline,
        ..AttributionOptions::with(method)
    };
    let token = Target::token(2, 3);
    assert_eq!(
        refused("gpt2-tiny", token, with(Method::Gradient, Baseline::Mean)),
        "baseline is mean: gradient does not compare with one"
    );
    assert!(
        refused("gpt2-tiny", token, with(Method::DeepLift, Baseline::Mask))
            .starts_with("baseline is mask: the tokenizer")
    );
    assert_eq!(
        refused(
            "gpt2-tiny",
            token,
            with(Method::DeepLift, Baseline::Text(vec![1; 3]))
        ),
        "baseline is a text of 3 tokens: it stands for the text, which has 2 tokens"
    );
    let options = AttributionOptions {
        n_steps: 0,
        ..plain()
    };
    assert_eq!(
        refused("gpt2-tiny", token, options),
        "n_steps is 0: expected 1 to 10000"
    );
}

#[test]
fn scores_with_a_sign_keep_it() {
    let model = model("gpt2-tiny", "float64");
    let input = Input::of(&model, vec![5, 80, 31, 9, 200, 77], vec![]).unwrap();
    let scores = |aggregation| {
        let options = AttributionOptions {
            aggregation,
            ..AttributionOptions::default()
        };
        explain(&model, &input, &[Target::token(5, 8)], &options)
    };
    for aggregation in [Aggregation::Sum, Aggregation::Mean] {
        let found = scores(aggregation);
        let total: f64 = found.signed[0].iter().map(|value| value.abs()).sum();
        for (score, signed) in found.scores[0].iter().zip(&found.signed[0]) {
            assert!((f64::from(*score) - signed / total).abs() < 1e-6);
        }
    }
    let (l1, l2) = (scores(Aggregation::L1), scores(Aggregation::L2));
    assert_ne!(l1.scores, l2.scores);
    for found in [l1, l2] {
        assert!((found.scores[0].iter().sum::<f32>() - 1.0).abs() < 1e-5);
        assert!(found.scores[0].iter().all(|&score| score >= 0.0));
    }
}

#[test]
fn an_interruption_ends_an_attribution() {
    let model = model("families/bert", "float32");
    let input = Input::of(&model, vec![5, 80, 31, 9], vec![]).unwrap();
    for method in Method::ALL {
        let mut n_reports = 0;
        let error = attribute(
            &model,
            &input,
            &[Target::token(2, 8), Target::token(3, 8)],
            &AttributionOptions::with(*method),
            &mut |_| {
                n_reports += 1;
                match n_reports {
                    1 => std::ops::ControlFlow::Continue(()),
                    _ => std::ops::ControlFlow::Break(()),
                }
            },
        );
        assert_eq!(error.unwrap_err().to_string(), "interrupted", "{method:?}");
    }
}

#[test]
fn what_would_not_fit_is_refused_with_numbers() {
    // A Llama that takes texts as long as anything.
    let (from, to) = (
        fixtures().join("families/llama"),
        std::env::temp_dir().join("ecco-long-llama"),
    );
    std::fs::create_dir_all(&to).unwrap();
    for file in ["model.safetensors", "tokenizer.json"] {
        std::fs::copy(from.join(file), to.join(file)).unwrap();
    }
    let text = std::fs::read_to_string(from.join("config.json")).unwrap();
    let mut config: serde_json::Value = serde_json::from_str(&text).unwrap();
    config["max_position_embeddings"] = 10_000_000.into();
    std::fs::write(to.join("config.json"), config.to_string()).unwrap();
    let model = Model::open(&to, &ecco_models::LoadOptions::default(), &mut unwatched).unwrap();
    let input = Input::of(&model, vec![7; 300_000], vec![]).unwrap();
    for method in Method::ALL {
        let options = AttributionOptions::with(*method);
        let error = attribute(
            &model,
            &input,
            &[Target::token(300_000, 8)],
            &options,
            &mut unwatched,
        );
        let message = error.unwrap_err().to_string();
        assert!(
            message.contains(method.label()) && message.contains("300000") && message.contains(" GB, but"),
            "{message}"
        );
    }
    std::fs::remove_dir_all(&to).unwrap();
}

/// captum's numbers where the token that a decoder starts with is a source. See tests/reference/make_start.py.
#[test]
fn the_start_token_counts_where_it_is_asked_for() {
    let stored = std::fs::read(fixtures().join("start_token.json")).unwrap();
    let stored: serde_json::Value = serde_json::from_slice(&stored).unwrap();
    let number = |case: &serde_json::Value, key: &str| case[key].as_f64().unwrap();
    for case in stored.as_array().unwrap() {
        let model = model(case["model"].as_str().unwrap(), "float64");
        let input = Input::of(&model, integers(&case["ids"]), integers(&case["written"])).unwrap();
        let of = Quantity::parse(case["quantity"].as_str().unwrap()).unwrap();
        let (position, id) = (number(case, "position") as usize, number(case, "token") as u32);
        let target = Target::token(position, id).of(of);
        let method = Method::parse(case["method"].as_str().unwrap()).unwrap();
        let options = AttributionOptions {
            start_token: true,
            ..AttributionOptions::with(method)
        };
        let found = explain(&model, &input, &[target], &options);
        let expected = |key: &str| case[key].as_array().unwrap().iter().map(|x| x.as_f64().unwrap());
        assert_eq!(found.scores[0].len(), expected("scores").count());
        for (found, expected) in found.scores[0].iter().zip(expected("scores")) {
            assert!(
                (f64::from(*found) - expected).abs() < 1e-5,
                "{method:?}: {found}, {expected}"
            );
        }
        for (found, expected) in found.signed[0].iter().zip(expected("signed")) {
            assert!((found - expected).abs() < 2e-6, "{method:?}: {found}, {expected}");
        }
        let shown: f32 = found.scores[0].iter().sum();
        assert!((f64::from(shown) + number(case, "start") - 1.0).abs() < 1e-5);
        if let Some(sums) = found.completeness[0] {
            let all: f64 = found.signed[0].iter().sum::<f64>() + number(case, "start_signed");
            assert!((all - sums.promised).abs() < sums.error + 2e-6);
        }
        // Without it the shares are others.
        let without = explain(&model, &input, &[target], &AttributionOptions::with(method));
        assert_ne!(without.scores, found.scores);
    }
    let with_start = |method| AttributionOptions {
        start_token: true,
        ..AttributionOptions::with(method)
    };
    let refused = |name: &str, written: Vec<u32>, method| {
        let model = model(name, "float64");
        let input = Input::of(&model, vec![5, 80, 31], written).unwrap();
        let found = attribute(
            &model,
            &input,
            &[Target::token(1, 3)],
            &with_start(method),
            &mut unwatched,
        );
        found.unwrap_err().to_string()
    };
    assert!(refused("gpt2-tiny", vec![], Method::GradXInput).contains("has no decoder beside an encoder"));
    assert!(refused("families/t5", vec![0, 3], Method::AttentionLast).contains("looks at attention"));
}
