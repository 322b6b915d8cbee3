//! Fitted lenses: Jacobians against autograd through transformers, published files, and what must hold.

use ecco_explain::lens::{
    JacobianOptions, Question, Reading, TunedOptions, compare, direction, jacobian, lens_by, maps, tuned,
};
use ecco_interpreter::unwatched;
use ecco_models::guard::guard;
use ecco_models::lens::{FittedLens, LensMethod, Translator, reading::open};
use ecco_models::run::Input;
use ecco_models::tap::{Capture, NoTap};
use ecco_models::{Model, Rule, Site, run};
use ecco_tests::{assert_close, fixtures, integers, model, stored_tensor};
use ndarray::{ArrayD, Axis};
use serde_json::Value;
use tch::Tensor;

const NAMES: [&str; 3] = ["llama", "gemma2", "qwen3"];

fn constants() -> Value {
    let file = std::fs::read(fixtures().join("lenses/expected.json")).unwrap();
    serde_json::from_slice(&file).unwrap()
}

fn stored(name: &str) -> ArrayD<f32> {
    stored_tensor(&fixtures().join("lenses/expected.safetensors"), name)
}

fn inputs() -> Vec<Input> {
    let constants = constants();
    let texts = constants["texts"].as_array().unwrap();
    let input = |ids: &Value| Input {
        ids: integers(ids),
        ..Input::default()
    };
    texts.iter().map(input).collect()
}

fn options() -> JacobianOptions {
    let constants = constants();
    JacobianOptions {
        skip: constants["skip"].as_u64().unwrap() as usize,
        max_length: constants["max_length"].as_u64().unwrap() as usize,
        rule: Rule::Gradient,
    }
}

/// What is said behind a text, at every depth that the lens has and at the end.
fn read(model: &Model, ids: &[u32], by: Option<&FittedLens>) -> Vec<Reading> {
    let n_layers = model.config().n_layers;
    let has = |depth: &usize| *depth == n_layers || by.is_none_or(|lens| lens.at(*depth).is_some());
    let question = Question {
        rows: vec![ids.len() - 1],
        depths: (0..=n_layers).filter(has).collect(),
        top_k: model.config().vocab_size,
        watch: vec![vec![]],
        raw: false,
    };
    let input = Input {
        ids: ids.to_vec(),
        ..Input::default()
    };
    let found = lens_by(model, &input, &question, by, &mut unwatched).unwrap();
    found.readings.into_iter().map(|mut row| row.remove(0)).collect()
}

#[test]
fn the_mean_jacobian_is_that_of_autograd() {
    for name in NAMES {
        let model = model(&format!("families/{name}"), "float64");
        let found = jacobian(&model, &inputs(), options(), &mut unwatched).unwrap();
        let n_texts = constants()["models"][name]["n_texts"].as_u64();
        assert_eq!(
            (found.method, found.n_texts),
            (LensMethod::Jacobian, n_texts),
            "{name}"
        );
        let depths: Vec<usize> = found
            .translators
            .iter()
            .map(|translator| translator.depth)
            .collect();
        assert_eq!(depths, (1..model.config().n_layers).collect::<Vec<_>>(), "{name}");
        // transformers' norms are in float32.
        assert_close(
            name,
            &maps(&found).unwrap().0,
            &stored(&format!("{name}.jacobian")),
            2e-5,
        );
    }
}

#[test]
fn by_the_relevance_lens_a_pass_is_a_sum_of_its_positions() {
    // Without biases the affine map has no constant.
    for name in NAMES {
        let model = model(&format!("families/{name}"), "float64");
        let ids = integers(&constants()["read"]);
        let input = Input {
            ids: ids[..3].to_vec(),
            ..Input::default()
        };
        let streams: Vec<Tensor> = guard(|| {
            let mut tap = Capture::new(&[Site::ResidualAfter], None);
            let _ = run::states(&model, std::slice::from_ref(&input), &mut tap, &mut NoTap)?;
            let layers = 0..model.config().n_layers;
            Ok(layers
                .map(|layer| tap.tensor(Site::ResidualAfter, layer).get(0))
                .collect())
        })
        .unwrap();
        // What counts are the positions from `skip` to the last but one.
        let fit = |n: usize, skip: usize, rule: Rule| {
            let input = Input {
                ids: ids[..n].to_vec(),
                ..Input::default()
            };
            let options = JacobianOptions {
                skip,
                max_length: 8,
                rule,
            };
            jacobian(&model, &[input], options, &mut unwatched)
                .unwrap()
                .translators
        };
        let by = |rule| [fit(2, 0, rule), fit(3, 1, rule), fit(3, 0, rule)];
        let [first, second, both] = by(Rule::Frozen);
        let last = &streams[streams.len() - 1];
        for (layer, ((first, second), both)) in first.iter().zip(&second).zip(&both).enumerate() {
            let h = |position: i64| streams[layer].get(position);
            let across = &both.matrix * 2.0 - &first.matrix - &second.matrix;
            let sums = [first.matrix.mv(&h(0)), across.mv(&h(0)) + second.matrix.mv(&h(1))];
            for (position, sum) in sums.iter().enumerate() {
                let expected = last.get(position as i64);
                let gap = f64::try_from((sum - &expected).abs().max()).unwrap();
                let size = f64::try_from(expected.abs().max()).unwrap();
                assert!(
                    gap < 1e-11 * (1.0 + size),
                    "{name}, layer {layer}, position {position}: {gap} of {size}"
                );
            }
        }
        // By the slopes it is none.
        let [slopes, _, _] = by(Rule::Gradient);
        let gap = (slopes[0].matrix.mv(&streams[0].get(0)) - last.get(0))
            .abs()
            .max();
        assert!(f64::try_from(gap).unwrap() > 1e-3, "{name}");
    }
}

#[test]
fn the_demo_model_s_lens_is_inside_and_only_its() {
    let demo = ecco_models::load("demo", &Default::default(), &mut unwatched).unwrap();
    let lens = open("demo", None, &demo, &mut unwatched).unwrap();
    assert_eq!((lens.method, lens.translators.len()), (LensMethod::Tuned, 4));
    let text = "The months of the year are:\n1. January\n2. February\n3. March\n4. April\n5.";
    let text = Input::new(&demo, text, None).unwrap();
    let compared = compare(&demo, &lens, &[text], &mut unwatched).unwrap();
    for row in &compared[..4] {
        let (fitted, plain) = (row.fitted.divergence, row.plain.divergence);
        assert!(fitted < plain / 2.0, "{}: {fitted} for {plain}", row.depth);
    }
    let llama = model("families/llama", "float32");
    assert!(open("demo", None, &llama, &mut unwatched).is_err());
}

#[test]
fn published_files_say_what_their_libraries_say() {
    let model = model("families/gemma2", "float64");
    let ids = integers(&constants()["read"]);
    let fitted = jacobian(&model, &inputs(), options(), &mut unwatched).unwrap();
    for (path, key) in [("jacobian_lens.pt", "jacobian"), ("tuned_lens", "tuned")] {
        let path = fixtures().join("lenses").join(path);
        let lens = open(path.to_str().unwrap(), None, &model, &mut unwatched).unwrap();
        assert_eq!(lens.method.name(), key);
        let found = read(&model, &ids, Some(&lens));
        let expected = stored(&format!("gemma2.{key}_logits"));
        assert_eq!(found.len(), expected.shape()[0] + 1, "{key}");
        // Of float16 in the one file.
        let tolerance = if key == "jacobian" { 2e-3 } else { 2e-5 };
        for (reading, expected) in found.iter().zip(expected.axis_iter(Axis(0))) {
            let total: f64 = expected.iter().map(|x| f64::from(*x).exp()).sum();
            for (id, probability) in &reading.top {
                let expected = f64::from(expected[*id as usize]).exp() / total;
                let near = (f64::from(*probability) - expected).abs() <= tolerance * expected;
                assert!(near, "{key}, token {id}: {probability}, expected {expected}");
            }
        }
        if key == "jacobian" {
            let (found, expected) = (maps(&lens).unwrap().0, maps(&fitted).unwrap().0);
            assert_close("float16", &found, &expected, 1e-3);
            assert_eq!(lens.n_texts, fitted.n_texts);
        }
    }
}

#[test]
fn a_lens_that_does_nothing_is_the_logit_lens_and_the_last_layer_is_the_output() {
    let model = model("families/llama", "float64");
    let width = model.config().hidden_size as i64;
    let nothing = FittedLens {
        method: LensMethod::Tuned,
        n_texts: None,
        translators: (0..model.config().n_layers)
            .map(|depth| Translator {
                depth,
                matrix: Tensor::eye(width, (tch::Kind::Double, tch::Device::Cpu)),
                bias: Some(Tensor::zeros([width], (tch::Kind::Double, tch::Device::Cpu))),
            })
            .collect(),
    };
    let ids = integers(&constants()["read"]);
    assert_eq!(read(&model, &ids, Some(&nothing)), read(&model, &ids, None));
    let random = open(
        fixtures().join("lenses/jacobian_lens.pt").to_str().unwrap(),
        None,
        &model,
        &mut unwatched,
    );
    // It is of a model of three layers.
    let refused = random.map(|_| ()).unwrap_err().to_string();
    assert!(refused.contains("after 2 layers"), "{refused}");
}

#[test]
fn a_tuned_lens_comes_nearer_to_the_output_and_is_the_same_for_a_seed() {
    let model = model("planted", "float32");
    let texts: Vec<Input> = [
        "k1= s6 ; k6= s3 ; k5= s12 ; k1=",
        "k4= s28 ; k7= s18 ; k6= s1 ; k4=",
        "k9= s12 ; k8= s30 ; k6= s13 ; k9=",
    ]
    .iter()
    .map(|text| Input::new(&model, *text, None).unwrap())
    .collect();
    let fit = |seed| {
        let options = TunedOptions {
            steps: 60,
            step_tokens: 16,
            seed,
            ..TunedOptions::default()
        };
        tuned(&model, &texts, options, &mut unwatched).unwrap()
    };
    let found = fit(1);
    let numbers = |lens: &FittedLens| maps(lens).unwrap();
    assert_eq!(numbers(&found), numbers(&fit(1)));
    assert_ne!(numbers(&found), numbers(&fit(2)));
    let compared = compare(&model, &found, &texts, &mut unwatched).unwrap();
    let (last, layers) = compared.split_last().unwrap();
    assert_eq!(last.fitted, last.plain);
    assert_eq!((last.fitted.agreement, last.fitted.divergence), (1.0, 0.0));
    assert_eq!(layers.len(), model.config().n_layers);
    for row in layers {
        let (plain, fitted) = (row.plain.divergence, row.fitted.divergence);
        assert!(
            fitted < 0.6 * plain,
            "after {} layers: {fitted} for {plain}",
            row.depth
        );
    }
}

#[test]
fn a_token_s_direction_is_its_row_of_the_head_times_the_map() {
    let model = model("families/qwen3", "float64");
    let lens = jacobian(&model, &inputs(), options(), &mut unwatched).unwrap();
    let found = direction(&model, &lens, 1, 37).unwrap();
    let ecco_models::model::Body::Decoder(decoder) = model.body() else {
        panic!("a decoder")
    };
    // By the head's own numbers: what it says of each direction of the stream.
    let rows = guard(|| {
        let width = model.config().hidden_size as i64;
        let each = Tensor::eye(width, (tch::Kind::Double, tch::Device::Cpu));
        Ok(decoder.uncapped_logits(&each).select(1, 37)) // [hidden]
    })
    .unwrap();
    let expected = rows.unsqueeze(0).matmul(&lens.translators[0].matrix).get(0);
    for (at, found) in found.iter().enumerate() {
        let expected = expected.double_value(&[at as i64]);
        assert!(
            (f64::from(*found) - expected).abs() < 1e-6,
            "{at}: {found}, expected {expected}"
        );
    }
}

#[test]
fn what_cannot_be_fitted_is_said() {
    let llama = model("families/llama", "float32");
    let error = |model: &Model, options| {
        let found = jacobian(model, &inputs(), options, &mut unwatched);
        found.map(|_| ()).unwrap_err().to_string()
    };
    let far = JacobianOptions {
        skip: 60,
        ..options()
    };
    assert_eq!(
        error(&llama, far),
        "skip is 60: no text has more tokens than that and one"
    );
    let bert = model("families/bert", "float32");
    assert!(error(&bert, options()).starts_with("the kind of model is bert"));
    let mut looks = 0;
    let stopped = jacobian(&llama, &inputs(), options(), &mut |_| {
        looks += 1;
        match looks > 3 {
            true => std::ops::ControlFlow::Break(()),
            false => std::ops::ControlFlow::Continue(()),
        }
    });
    assert!(matches!(
        stopped,
        Err(ecco_explain::Error::Model(ecco_models::Error::Interrupted))
    ));
}
