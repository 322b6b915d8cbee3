//! Concepts against autograd, scikit-learn and scipy.

use ecco_explain::concept::{ConceptOptions, concept_scores};
use ecco_explain::states::Positions;
use ecco_explain::{Quantity, Target};
use ecco_interpreter::unwatched;
use ecco_models::Site;
use ecco_models::run::{Input, Place};
use ecco_tests::{fixtures, model};
use serde_json::Value;

#[test]
fn scores_of_a_concept_are_those_of_autograd_and_scikit_learn() {
    let told: Value =
        serde_json::from_slice(&std::fs::read(fixtures().join("concept.json")).unwrap()).unwrap();
    let model = model("gpt2-tiny", "float64");
    let texts = |key: &str| -> Vec<Input> {
        let texts = told[key].as_array().unwrap().iter();
        texts
            .map(|text| Input::new(&model, text.as_str().unwrap(), None).unwrap())
            .collect()
    };
    let numbers = |value: &Value| -> Vec<f64> {
        value
            .as_array()
            .unwrap()
            .iter()
            .map(|number| number.as_f64().unwrap())
            .collect()
    };
    let explained: Vec<(Input, Target)> = texts("texts")
        .into_iter()
        .map(|input| {
            let id = told["target"].as_u64().unwrap() as u32;
            let target = Target::token(input.ids.len(), id).of(Quantity::Logit);
            (input, target)
        })
        .collect();
    let mut n_apart = 0;
    for (name, at) in [("last", Positions::Each(vec![-1])), ("mean", Positions::Mean)] {
        let options = ConceptOptions {
            place: Place::of(Site::ResidualAfter),
            layers: None,
            at,
            n_splits: told["splits"].as_u64().unwrap() as usize,
            l2: told["l2"].as_f64().unwrap(),
            seed: told["seed"].as_u64().unwrap(),
        };
        let found = concept_scores(
            &model,
            &texts("concept"),
            &texts("others"),
            &explained,
            &options,
            &mut unwatched,
        );
        let found = found.unwrap();
        assert_eq!(found.len(), 3);
        for (found, expected) in found.iter().zip(told[name].as_array().unwrap()) {
            let what = format!("{name}, layer {}", found.layer);
            for (found, expected) in [
                (&found.scores, numbers(&expected["scores"])),
                (&found.random, numbers(&expected["random"])),
            ] {
                assert!(
                    found.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-6),
                    "{what}: {found:?}, expected {expected:?}"
                );
            }
            let largest = found.derivatives.iter().fold(0.0f64, |most, x| most.max(x.abs()));
            for (found, expected) in found.derivatives.iter().zip(numbers(&expected["derivatives"])) {
                assert!(
                    (found - expected).abs() < 1e-4 * largest,
                    "{what}: {found}, expected {expected}"
                );
            }
            for (found, key) in [(found.p, "p"), (found.accuracy, "accuracy")] {
                let expected = expected[key].as_f64().unwrap();
                assert!(
                    (found - expected).abs() < 1e-4,
                    "{what}, {key}: {found}, expected {expected}"
                );
            }
            n_apart += usize::from(found.p < 0.05);
        }
    }
    assert!((1..6).contains(&n_apart), "all are alike: {n_apart}");
}
