//! Faithfulness, methods compared, and groups of tokens, on models.

use ecco_explain::faithfulness::{FaithfulnessOptions, faithfulness};
use ecco_explain::{
    AttributionOptions, Combine, Grouping, Method, Quantity, Target, attribute, compare, group,
};
use ecco_interpreter::unwatched;
use ecco_models::run::Input;
use ecco_tests::model;

use crate::explanations::{assert_near, cases, numbers, with};

#[test]
fn faithfulness_is_the_references() {
    for case in cases() {
        // The reference orders by absolute contributions, as these scores do.
        let found = case.attribute(&with(Method::Occlusion));
        let longest = found.scores.iter().map(Vec::len).max().unwrap();
        let options = FaithfulnessOptions {
            fractions: vec![0.2, 0.5],
            n_steps: longest,
            n_random: 2,
            ..FaithfulnessOptions::default()
        };
        let measured = faithfulness(
            &case.model,
            &case.input,
            &case.targets,
            &found,
            &options,
            None,
            &mut unwatched,
        )
        .unwrap();
        for (check, row) in measured.targets.iter().zip(&case.rows) {
            let (expected, figures) = (&row["faithfulness"], &check.found.figures);
            let scale = check.full.max(check.empty);
            let near = |name: &str, found: f64, scale: f64| {
                let expected = expected[name].as_f64().unwrap();
                assert!(
                    (found - expected).abs() <= 1e-5 * scale,
                    "{} {name}: {found}, expected {expected}",
                    case.name
                );
            };
            near("comprehensiveness", figures.comprehensiveness, scale);
            near("sufficiency", figures.sufficiency, scale);
            near("log_odds", figures.log_odds, 1.0);
            if check.found.deletion.len() == numbers(&expected["deletion"]).len() {
                assert_near(
                    &case.name,
                    &check.found.deletion,
                    &numbers(&expected["deletion"]),
                    1e-5,
                );
                assert_near(
                    &case.name,
                    &check.found.insertion,
                    &numbers(&expected["insertion"]),
                    1e-5,
                );
            }
        }
    }
}

/// Methods side by side: occlusion is added as the referee, and each is measured against the same random orders.
#[test]
fn methods_are_compared_with_occlusion() {
    for case in cases() {
        let methods = [with(Method::GradXInput), with(Method::KernelShap)];
        let measure = FaithfulnessOptions::default();
        let (found, compared) = compare(
            &case.model,
            &case.input,
            &case.targets,
            &methods,
            2,
            Some(&measure),
            &mut unwatched,
        )
        .unwrap();
        assert_eq!(compared.methods, ["grad_x_input", "kernel_shap", "occlusion"]);
        assert_eq!(found[2], case.attribute(&with(Method::Occlusion)));
        let rows = compared.rows();
        assert!(rows[0].is_referee && rows[0].method == "occlusion" && rows[0].spearman == 1.0);
        assert!(rows.iter().all(|row| row.faithfulness.is_some()));
        let random = compared.random.unwrap();
        // Each method's order is measured beside the same random ones.
        let alone = faithfulness(
            &case.model,
            &case.input,
            &case.targets,
            &found[1],
            &measure,
            None,
            &mut unwatched,
        )
        .unwrap();
        assert_eq!(alone.random(), Some(random));
        // Fewer passes go side by side than here, which rounds otherwise.
        let together = compared.faithfulness[1].unwrap();
        for ((name, one, _), (_, other, _)) in alone.figures().named().into_iter().zip(together.named()) {
            assert!((one - other).abs() <= 1e-9, "{name}: {one} and {other}");
        }
    }
}

/// F is a probability whatever was explained: for a contrast that among the two.
#[test]
fn faithfulness_is_of_probabilities() {
    let all = cases();
    let case = all.iter().find(|case| case.name == "gpt2-tiny").unwrap();
    let options = FaithfulnessOptions::default();
    let check = |target: Target| {
        let found = attribute(
            &case.model,
            &case.input,
            &[target],
            &with(Method::Occlusion),
            &mut unwatched,
        )
        .unwrap();
        let measured = faithfulness(
            &case.model,
            &case.input,
            &[target],
            &found,
            &options,
            None,
            &mut unwatched,
        )
        .unwrap();
        (found.values[0], measured.targets[0].full)
    };
    let target = case.targets[1];
    let (probability, full) = check(target);
    assert!((probability - full).abs() < 1e-12);
    let (logit, of_logit) = check(target.of(Quantity::Logit));
    assert!((of_logit - full).abs() < 1e-12 && (logit - full).abs() > 1e-3);
    let (difference, of_two) = check(target.of(Quantity::Logit).against(7));
    assert!((of_two - 1.0 / (1.0 + (-difference).exp())).abs() < 1e-12);
    let (entropy, of_entropy) = check(target.of(Quantity::Entropy));
    assert!((entropy - of_entropy).abs() < 1e-12 && entropy > 1.0);
    // An attribution of another target has another number of sources.
    let found = case.attribute(&with(Method::Occlusion));
    let error = faithfulness(
        &case.model,
        &case.input,
        &[target],
        &found,
        &options,
        None,
        &mut unwatched,
    )
    .unwrap_err();
    assert!(
        error.to_string().contains("different targets or sources"),
        "{error}"
    );
}

/// Groups of tokens: sums stay complete, whatever the text is cut into.
#[test]
fn groups_keep_what_adds_up() {
    let model = model("gpt2-tiny", "float64");
    let text = "She said 👩\u{200D}👧 was\nthere.";
    let ids = model.tokenizer().encode(text).unwrap();
    let tokens = model.tokenizer().tokens(&ids);
    let input = Input::of(&model, ids.clone(), Vec::new()).unwrap();
    let options = AttributionOptions {
        n_samples: Some(200),
        ..with(Method::KernelShap)
    };
    let target = Target::token(ids.len(), 5);
    let found = attribute(&model, &input, &[target], &options, &mut unwatched).unwrap();
    for by in ["words", "lines", "sentences"] {
        let groups = group(&[&tokens], &Grouping::parse(by).unwrap()).unwrap();
        let text_again: String = groups.iter().map(|group| group.text.as_str()).collect();
        assert_eq!(text_again, text, "{by}");
        let grouped = found.grouped(&groups, Combine::Sum);
        assert_eq!(grouped.scores[0].len(), groups.len());
        let sum: f64 = grouped.signed[0].iter().sum();
        assert!((sum - grouped.completeness[0].unwrap().promised).abs() < 1e-12);
        assert!((grouped.scores[0].iter().sum::<f32>() - 1.0).abs() < 1e-5);
        assert!(found.grouped(&groups, Combine::Mean).completeness[0].is_none());
    }
    let words = group(&[&tokens], &Grouping::Words).unwrap();
    let family = words.iter().find(|group| group.text.contains('👩')).unwrap();
    assert!(
        family.tokens.len() > 4 && family.text == " 👩\u{200D}👧",
        "{family:?}"
    );
}
