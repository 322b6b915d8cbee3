//! Attribution by perturbation and by attention against captum and straightforward implementations, and the identities
//! that must hold.

use ecco_explain::attribution::coalitions;
use ecco_explain::{
    Aggregation, Attribution, AttributionOptions, Baseline, Method, Objective, Outcome, Quantity, Target,
    attribute,
};
use ecco_interpreter::{Diagnostic, Kind, unwatched};
use ecco_models::Model;
use ecco_models::config::Task;
use ecco_models::guard::guard;
use ecco_models::run::Input;
use ecco_models::tap::NoTap;
use ecco_tests::{fixtures, integers, model};
use ndarray::Array2;
use serde_json::Value;
use tch::Tensor;

/// One model of the fixture: what is explained, and what the references found.
pub(super) struct Case {
    pub(super) name: String,
    pub(super) model: Model,
    pub(super) input: Input,
    pub(super) targets: Vec<Target>,
    pub(super) rows: Vec<Value>,
}

pub(super) fn cases() -> Vec<Case> {
    let text = std::fs::read_to_string(fixtures().join("explanations.json")).unwrap();
    let stored: Value = serde_json::from_str(&text).unwrap();
    let case = |(name, stored): (&String, &Value)| {
        let model = model(name, "float64");
        let written = stored.get("written").map(integers).unwrap_or_default();
        let input = Input::of(&model, integers(&stored["ids"]), written).unwrap();
        let target = |stored: &Value| match (stored[0].as_u64(), &model.config().task) {
            (None, _) => Target::label(stored[1].as_u64().unwrap() as usize),
            (Some(position), _) => Target::token(position as usize, stored[1].as_u64().unwrap() as u32),
        };
        Case {
            name: name.clone(),
            targets: stored["targets"].as_array().unwrap().iter().map(target).collect(),
            rows: stored["rows"].as_array().unwrap().clone(),
            model,
            input,
        }
    };
    stored.as_object().unwrap().iter().map(case).collect()
}

impl Case {
    pub(super) fn attribute(&self, options: &AttributionOptions) -> Attribution {
        attribute(&self.model, &self.input, &self.targets, options, &mut unwatched).unwrap()
    }

    /// Compares contributions with a stored method's, those of one target relative to the largest of them.
    fn assert_is(&self, stored: &str, found: &Attribution, tolerance: f64) -> usize {
        let mut compared = 0;
        for (row, found) in self.rows.iter().zip(&found.signed) {
            let Some(expected) = row.get(stored) else { continue };
            compared += 1;
            assert_near(
                &format!("{} {stored}", self.name),
                found,
                &numbers(expected),
                tolerance,
            );
        }
        compared
    }

    /// F at embeddings, `[text][target]`.
    pub(super) fn values(&self, x: impl Fn(&Objective) -> Tensor) -> Vec<Vec<f64>> {
        let explained = Objective::new(&self.model, &self.input, &self.targets).unwrap();
        let values = guard(|| explained.values(&x(&explained), &mut NoTap)).unwrap();
        let (n, width) = (values.size()[0], values.size()[1]);
        let at = |text, target| values.double_value(&[text, target]);
        (0..n)
            .map(|text| (0..width).map(|target| at(text, target)).collect())
            .collect()
    }
}

pub(super) fn numbers(list: &Value) -> Vec<f64> {
    list.as_array()
        .unwrap()
        .iter()
        .map(|value| value.as_f64().unwrap())
        .collect()
}

pub(super) fn assert_near(what: &str, found: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len(), "{what}: lengths differ");
    let largest = expected
        .iter()
        .fold(0.0, |largest: f64, value| largest.max(value.abs()));
    for (place, (found, expected)) in found.iter().zip(expected).enumerate() {
        let off = (found - expected).abs();
        assert!(
            off <= tolerance * largest,
            "{what}, source {place}: {found}, expected {expected} (off by {:.1e} of the largest)",
            off / largest
        );
    }
}

pub(super) fn with(method: Method) -> AttributionOptions {
    AttributionOptions::with(method)
}

#[test]
fn occlusion_is_captums() {
    let mut compared = 0;
    for case in cases() {
        compared += case.assert_is("occlusion", &case.attribute(&with(Method::Occlusion)), 1e-5);
        let window = AttributionOptions {
            window: 2,
            ..with(Method::Occlusion)
        };
        compared += case.assert_is("window", &case.attribute(&window), 1e-5);
    }
    assert_eq!(compared, 32);
}

#[test]
fn shapley_values_are_captums() {
    let (mut exact, mut estimated) = (0, 0);
    for case in cases() {
        let found = case.attribute(&with(Method::KernelShap));
        exact += case.assert_is("shapley", &found, 1e-5);
        // captum's own estimate from 4,000 samples is this far from the truth.
        estimated += case.assert_is("kernel_shap", &found, 0.08);
    }
    assert!(exact >= 10 && exact == estimated, "only {exact} were compared");
}

#[test]
fn lime_on_every_set_is_captums() {
    for case in cases() {
        let explained = Objective::new(&case.model, &case.input, &case.targets).unwrap();
        let n = explained.n_sources();
        let sets = coalitions::all(n);
        let values = case.values(|explained| {
            let x = explained.embeddings();
            let kept: Vec<f64> = sets.iter().map(|&kept| f64::from(u8::from(kept))).collect();
            let kept = Tensor::from_slice(&kept).reshape([sets.nrows() as i64, n as i64, 1]);
            x * kept
        });
        for (place, (target, row)) in case.targets.iter().zip(&case.rows).enumerate() {
            let n = explained.n_sources_of(target);
            let sets: Array2<bool> = coalitions::all(n);
            // Of what a target does not see nothing is kept in the first sets.
            let values: Vec<f64> = values[..1 << n].iter().map(|values| values[place]).collect();
            let found = coalitions::lime(sets.view(), ndarray::ArrayView1::from(&values));
            let what = format!("{} lime", case.name);
            assert_near(&what, &found.coefficients, &numbers(&row["lime"]), 1e-5);
        }
    }
}

/// Sets of 6 sources as samples have them: all sizes equally often, 5,880 in all.
fn as_sampled() -> Array2<bool> {
    let sets = coalitions::all(6);
    let copies = [60, 10, 4, 3, 4, 10, 60].map(|copies| 14 * copies);
    let size = |set: usize| set.count_ones() as usize;
    let rows: Vec<usize> = (0..sets.nrows())
        .flat_map(|set| vec![set; copies[size(set)]])
        .collect();
    sets.select(ndarray::Axis(0), &rows)
}

#[test]
fn samples_come_close_to_all_sets() {
    let mut compared = 0;
    for case in cases() {
        let samples = |method, n_samples| AttributionOptions {
            n_samples: Some(n_samples),
            seed: 1,
            ..with(method)
        };
        let found = case.attribute(&samples(Method::Lime, 6_000));
        assert_eq!(
            found,
            case.attribute(&samples(Method::Lime, 6_000)),
            "the same seed gives the same"
        );
        let exact = case.attribute(&with(Method::KernelShap));
        let estimated = case.attribute(&samples(Method::KernelShap, 60));
        let sets = as_sampled();
        let values = case.values(|explained| {
            let n = explained.n_sources() as i64;
            let kept: Vec<f64> = sets.iter().map(|&kept| f64::from(u8::from(kept))).collect();
            let kept = Tensor::from_slice(&kept).reshape([sets.nrows() as i64, 6, 1]);
            explained.embeddings() * kept.constant_pad_nd([0, 0, 0, n - 6])
        });
        for target in (0..found.signed.len()).filter(|&target| found.signed[target].len() == 6) {
            compared += 1;
            let what = format!("{} target {target}", case.name);
            let values: Vec<f64> = values.iter().map(|values| values[target]).collect();
            let all = coalitions::lime(sets.view(), ndarray::ArrayView1::from(&values));
            assert_near(
                &format!("{what}, LIME"),
                &found.signed[target],
                &all.coefficients,
                0.1,
            );
            // 60 samples are fewer than the 64 sets, so these are estimated.
            let (found, exact) = (&estimated.signed[target], &exact.signed[target]);
            assert_near(&format!("{what}, KernelSHAP"), found, exact, 0.6);
            let error = estimated.completeness[target].unwrap().error;
            assert!(error < 1e-12, "{what}: off by {error}");
        }
    }
    assert_eq!(compared, 8);
}

#[test]
fn rollout_and_value_zeroing_are_the_references() {
    let mut compared = 0;
    for case in cases() {
        compared += case.assert_is("rollout", &case.attribute(&with(Method::AttentionRollout)), 1e-5);
        compared += case.assert_is(
            "value_zeroing",
            &case.attribute(&with(Method::ValueZeroing)),
            2e-4,
        );
    }
    assert_eq!(compared, 32);
}

/// Unnormalised occlusion of one token is the difference of two forward passes.
#[test]
fn occlusion_is_a_difference_of_two_passes() {
    for case in cases() {
        let found = case.attribute(&with(Method::Occlusion));
        let full = case.values(|explained| explained.embeddings());
        let n = found.signed.iter().map(Vec::len).max().unwrap();
        for source in 0..n {
            let without = case.values(|explained| {
                let x = explained.embeddings().copy();
                let _ = x.select(1, source as i64).zero_();
                x
            });
            for (target, row) in found
                .signed
                .iter()
                .enumerate()
                .filter(|(_, row)| source < row.len())
            {
                let expected = full[0][target] - without[0][target];
                let off = (row[source] - expected).abs();
                // Families that norm in single precision round there.
                assert!(off < 1e-9, "{}: {} and {expected}", case.name, row[source]);
                if case.name == "gpt2-tiny" {
                    assert!(off < 1e-14, "off by {off}");
                }
            }
        }
    }
}

/// Σ φ = F(x) − F(baseline), whatever is explained and whatever the baseline.
#[test]
fn shapley_values_add_up() {
    for mut case in cases() {
        let quantities = [Quantity::Logit, Quantity::LogProbability, Quantity::Entropy];
        for (target, quantity) in case.targets.iter_mut().zip(quantities) {
            *target = target.of(quantity);
        }
        for baseline in [Baseline::Zero, Baseline::Mean] {
            let options = AttributionOptions {
                baseline,
                aggregation: Aggregation::Sum,
                ..with(Method::KernelShap)
            };
            let found = case.attribute(&options);
            let full = case.values(|explained| explained.embeddings());
            for (target, row) in found.signed.iter().enumerate() {
                let difference = found.values[target] - found.baseline_values[target].unwrap();
                let off = (row.iter().sum::<f64>() - difference).abs();
                assert!(off < 1e-12, "{}: off by {off}", case.name);
                assert!(
                    (found.values[target] - full[0][target]).abs() < 1e-6,
                    "{}",
                    case.name
                );
            }
        }
    }
}

/// Rows of attention are shares: none is negative, and with the start token's they sum to 1.
#[test]
fn attention_rows_are_shares() {
    for case in cases() {
        for method in [
            Method::AttentionRollout,
            Method::AttentionLast,
            Method::ValueZeroing,
        ] {
            let found = case.attribute(&with(method));
            let is_pair = !case.input.target.is_empty();
            for row in &found.signed {
                let sum: f64 = row.iter().sum();
                assert!(row.iter().all(|&value| value >= 0.0));
                assert!(sum < 1.0 + 1e-6, "{} {method:?}: {sum}", case.name);
                assert!(is_pair || sum > 1.0 - 1e-6, "{} {method:?}: {sum}", case.name);
            }
            // What is said does not matter to attention, where it is said does.
            assert!(found.completeness.iter().all(Option::is_none));
        }
    }
}

#[test]
fn targets_share_passes_and_do_not_see_each_other() {
    for case in cases() {
        for method in [Method::Occlusion, Method::KernelShap, Method::AttentionRollout] {
            let together = case.attribute(&with(method));
            for (place, &target) in case.targets.iter().enumerate() {
                let alone =
                    attribute(&case.model, &case.input, &[target], &with(method), &mut unwatched).unwrap();
                let what = format!("{} {method:?} target {place}", case.name);
                assert_near(&what, &together.signed[place], &alone.signed[0], 1e-6);
            }
        }
    }
}

#[test]
fn options_out_of_range_are_refused() {
    let cases = cases();
    let case = cases.iter().find(|case| case.name == "gpt2-tiny").unwrap();
    let ids: Vec<u32> = (0..40).collect();
    let input = Input::of(&case.model, ids, Vec::new()).unwrap();
    let refused = |options: AttributionOptions| {
        let target = Target::token(39, 5);
        let error = attribute(&case.model, &input, &[target], &options, &mut unwatched).unwrap_err();
        error.to_string()
    };
    let samples = |method, n_samples| AttributionOptions {
        n_samples: Some(n_samples),
        ..with(method)
    };
    assert_eq!(
        refused(samples(Method::KernelShap, 8)),
        "n_samples is 8: KernelSHAP of 39 sources needs at least 78"
    );
    assert_eq!(
        refused(samples(Method::Lime, 0)),
        "n_samples is 0: expected 1 to 1000000"
    );
    assert_eq!(
        refused(samples(Method::Lime, 1)),
        "n_samples is 1: LIME of 39 sources needs at least 2"
    );
    let window = AttributionOptions {
        window: 0,
        ..with(Method::Occlusion)
    };
    assert!(refused(window).starts_with("window is 0"));
    let baseline = AttributionOptions {
        baseline: Baseline::Mean,
        ..with(Method::AttentionRollout)
    };
    assert!(refused(baseline).contains("attention_rollout does not compare with one"));
}

/// More samples of more targets than there is memory for: said before anything is computed, with what helps.
#[test]
fn too_little_memory_is_told_with_the_option_that_lowers_it() {
    let all = cases();
    let case = all.iter().find(|case| case.name == "gpt2-tiny").unwrap();
    let available = ecco_models::device::available_host_memory().expect("Linux says so");
    let n_targets = (available / 8_000_000 + 1) as usize; // a million samples of each take 8 MB
    let ids: Vec<u32> = (0..30).collect();
    let input = Input::of(&case.model, ids, Vec::new()).unwrap();
    let targets = vec![Target::token(30, 5); n_targets];
    for method in [Method::Lime, Method::KernelShap] {
        let options = AttributionOptions {
            n_samples: Some(1_000_000),
            ..with(method)
        };
        let error = attribute(&case.model, &input, &targets, &options, &mut unwatched).unwrap_err();
        let message = error.to_string();
        assert_eq!(error.kind(), Kind::Memory, "{message}");
        assert!(
            message.contains("30 sources") && message.contains("a lower n_samples takes less"),
            "{message}"
        );
        assert!(message.contains("GB"), "{message}");
    }
}

/// A script's interruption ends a method between passes.
#[test]
fn methods_can_be_interrupted() {
    let case = &cases()[0];
    for method in [
        Method::Occlusion,
        Method::Lime,
        Method::KernelShap,
        Method::ValueZeroing,
    ] {
        let mut calls = 0;
        let mut watch = |progress: &ecco_interpreter::Progress| {
            assert!(progress.done <= progress.total.unwrap(), "{progress:?}");
            calls += 1;
            match calls {
                2 => std::ops::ControlFlow::Break(()),
                _ => std::ops::ControlFlow::Continue(()),
            }
        };
        let error =
            attribute(&case.model, &case.input, &case.targets, &with(method), &mut watch).unwrap_err();
        assert_eq!(error.kind(), Kind::Interrupt, "{method:?}");
    }
}

#[test]
fn only_targets_that_the_model_says_are_in_the_fixture() {
    for case in cases() {
        let labels = matches!(case.model.config().task, Task::Label(_));
        let is_label = |target: &Target| matches!(target.said, Outcome::Label(_));
        assert!(case.targets.iter().all(|target| is_label(target) == labels));
    }
}
