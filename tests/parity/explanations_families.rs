//! Methods without gradients in families whose parts differ: against whole passes, one for each token.

use ecco_explain::{AttributionOptions, Method, Outcome, Target, attribute};
use ecco_interpreter::unwatched;
use ecco_models::Model;
use ecco_models::config::Task;
use ecco_models::model::Body;
use ecco_models::run::Input;
use ecco_models::tap::{Site, Tap};
use ecco_tests::{fixtures, model};
use ndarray::Array2;
use tch::Tensor;

use crate::explanations::{Case, assert_near, with};

/// Long texts go through in several batches, each behind what the text's own pass left.
#[test]
fn what_stands_before_the_replaced_token_need_not_be_computed_again() {
    let families = [
        "llama",
        "llama-dynamic",
        "mistral",
        "gemma3",
        "falcon-rw",
        "bloom",
        "gpt_neo",
        "opt-350m",
        "lfm2",
        "qwen3_5_text",
        "bart",
        "t5",
    ];
    for name in families {
        let model = model(&format!("families/{name}"), "float64");
        let ids: Vec<u32> = (0..36).map(|i| (i * 37 + 11) % 380).collect();
        let (read, written) = match model.config().encoder {
            Some(_) => (ids[..9].to_vec(), ids[9..].to_vec()),
            None => (ids, Vec::new()),
        };
        let input = Input::of(&model, read, written).unwrap();
        let n_spoken = input.spoken().len();
        let targets = [
            Target::token(n_spoken - 4, 7),
            Target::token(n_spoken, 3),
            Target::token(12, 9),
        ];
        let options = AttributionOptions {
            window: 2,
            ..with(Method::Occlusion)
        };
        let found = [
            attribute(&model, &input, &targets, &with(Method::Occlusion), &mut unwatched).unwrap(),
            attribute(&model, &input, &targets, &options, &mut unwatched).unwrap(),
        ];
        let case = Case {
            name: name.into(),
            model,
            input,
            targets: targets.to_vec(),
            rows: Vec::new(),
        };
        let full = case.values(|explained| explained.embeddings());
        let n = found[0].signed[1].len();
        let without: Vec<Vec<f64>> = (0..n)
            .map(|source| {
                case.values(|explained| {
                    let x = explained.embeddings().copy();
                    let _ = x.select(1, source as i64).zero_();
                    x
                })
                .remove(0)
            })
            .collect();
        for (target, row) in found[0].signed.iter().enumerate() {
            let expected: Vec<f64> = (0..row.len())
                .map(|source| full[0][target] - without[source][target])
                .collect();
            assert_near(&format!("{name} target {target}"), row, &expected, 1e-5);
            assert_eq!(found[1].signed[target].len(), row.len());
        }
        // Two tokens in one window are replaced together: the last window of the last target.
        let both = case.values(|explained| {
            let x = explained.embeddings().copy();
            let _ = x.narrow(1, n as i64 - 2, 2).zero_();
            x
        });
        let last = *found[1].signed[1].last().unwrap();
        let expected = full[0][1] - both[0][1];
        assert!(
            (last - expected).abs() <= 1e-5 * expected.abs() + 1e-12,
            "{name}: {last}, expected {expected}"
        );
    }
}

/// Zeroes one position's value in one layer, and records what that layer gives.
struct WithoutValue {
    layer: usize,
    position: Option<i64>,
    output: Option<Tensor>,
}

impl Tap for WithoutValue {
    fn wants(&self, site: Site, layer: usize) -> bool {
        layer == self.layer && matches!(site, Site::Values | Site::ResidualAfter)
    }
    fn visit(&mut self, site: Site, layer: usize, value: Tensor) -> Tensor {
        if layer == self.layer && site == Site::ResidualAfter {
            self.output = Some(value.get(0));
        }
        match self.position {
            Some(position) if layer == self.layer && site == Site::Values => {
                let value = value.copy();
                let _ = value.select(2, position).zero_();
                value
            }
            _ => value,
        }
    }
}

/// Value zeroing of a decoder as its paper has it: a whole pass for each token and layer.
fn zeroed_one_by_one(model: &Model, ids: &[u32]) -> Array2<f64> {
    let n = ids.len();
    let output = |layer, position| {
        let mut tap = WithoutValue {
            layer,
            position,
            output: None,
        };
        let _ = model.forward(ids, &mut tap).unwrap();
        tap.output.unwrap()
    };
    let of_layer = |layer| {
        let whole = output(layer, None);
        let mut turned = Array2::zeros((n, n));
        for j in 0..n {
            let without = output(layer, Some(j as i64));
            for i in j..n {
                let (a, b) = (whole.get(i as i64), without.get(i as i64));
                let length = |x: &Tensor| x.norm().double_value(&[]);
                turned[[i, j]] = 1.0 - a.dot(&b).double_value(&[]) / (length(&a) * length(&b));
            }
        }
        let sums = turned.sum_axis(ndarray::Axis(1)).insert_axis(ndarray::Axis(1));
        turned / sums
    };
    let layers = (0..model.config().n_layers).map(of_layer);
    layers.fold(Array2::eye(n), |product, layer| layer.dot(&product))
}

/// One layer run alone for many texts is a whole pass for each, in families whose blocks differ most.
#[test]
fn value_zeroing_of_every_kind_of_block_is_a_pass_for_each_token() {
    for name in [
        "gptj",
        "gpt_neox",
        "bloom",
        "mistral",
        "mixtral",
        "gemma2",
        "falcon-40b",
        "olmo2",
        "phi",
        "opt-350m",
    ] {
        let model = model(&format!("families/{name}"), "float64");
        let ids = [40, 271, 300, 9, 120, 366, 81, 200, 17];
        let expected = zeroed_one_by_one(&model, &ids);
        let input = Input::of(&model, ids.to_vec(), Vec::new()).unwrap();
        let targets = [Target::token(9, 1), Target::token(5, 1)];
        let found = attribute(
            &model,
            &input,
            &targets,
            &with(Method::ValueZeroing),
            &mut unwatched,
        )
        .unwrap();
        for (target, row) in targets.iter().zip(&found.signed) {
            let n = row.len();
            let expected = expected.row(n - 1).to_vec();
            assert_near(&format!("{name} {target:?}"), row, &expected[..n], 1e-6);
        }
    }
}

/// Every family, whatever it is made of.
#[test]
fn every_family_is_explained_without_gradients() {
    let folders = std::fs::read_dir(fixtures().join("families")).unwrap();
    let folders = folders
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.path().is_dir());
    let mut explained = 0;
    for folder in folders {
        let name = folder.file_name().into_string().unwrap();
        let model = model(&format!("families/{name}"), "float32");
        let ids: Vec<u32> = vec![55, 290, 12, 301, 77];
        let (input, target) = match (model.body(), &model.config().task) {
            (Body::EncoderDecoder(_), _) => (Input::of(&model, ids, vec![0, 30, 99]), Target::token(3, 7)),
            (Body::Decoder(_), _) => (Input::of(&model, ids, Vec::new()), Target::token(5, 7)),
            (_, task @ Task::Label(_)) if !task.is_of_text() => (
                Input::of(&model, ids, Vec::new()),
                Target::from(Outcome::TokenLabel {
                    position: 2,
                    label: 0,
                }),
            ),
            (_, Task::Label(_)) => (Input::of(&model, ids, Vec::new()), Target::label(0)),
            (_, Task::MaskedToken(_)) => (Input::of(&model, ids, Vec::new()), Target::token(2, 7)),
            _ => continue,
        };
        let input = input.unwrap();
        explained += 1;
        for method in [
            Method::Occlusion,
            Method::Lime,
            Method::KernelShap,
            Method::AttentionRollout,
            Method::AttentionLast,
            Method::ValueZeroing,
        ] {
            let options = AttributionOptions {
                n_samples: Some(200),
                ..with(method)
            };
            let found = attribute(&model, &input, &[target], &options, &mut unwatched);
            let is_of_attention = ["attention", "value_zeroing"]
                .iter()
                .any(|of| method.name().starts_with(of));
            if is_of_attention && model.config().without_attention().is_some() {
                let error = found.expect_err("it goes through attention alone").to_string();
                let (_, mixer) = model.config().without_attention().expect("one");
                assert!(error.contains(mixer.name()), "{name}: {error}");
                continue;
            }
            let found = found.unwrap_or_else(|error| panic!("{name} {method:?}: {error}"));
            let row = &found.signed[0];
            assert_eq!(row.len(), if input.target.is_empty() { 5 } else { 7 }, "{name}");
            assert!(
                row.iter().all(|value| value.is_finite()),
                "{name} {method:?}: {row:?}"
            );
            assert!(
                row.iter().any(|&value| value != 0.0),
                "{name} {method:?}: {row:?}"
            );
        }
    }
    assert!(explained > 50, "only {explained} were explained");
}
