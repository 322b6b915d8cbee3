//! What features do, what answers owe to them, and how well they stand for what they are made of.

use super::*;

fn standard(model: &Model, folder: &Folder) -> Rc<Dictionary> {
    folder.settings("cfg.json", &sae_lens("standard", &json!({})));
    folder.weights("sae_weights.safetensors", &PLAIN);
    Rc::new(opened(&folder.0, model, &DictionaryOptions::default()))
}

fn target() -> Target {
    let facts = facts();
    let id = |name: &str| facts[name].as_u64().unwrap() as u32;
    let n = facts["ids"].as_array().unwrap().len();
    Target::token(n, id("target"))
        .of(Quantity::Logit)
        .against(id("contrast"))
}

/// The answer of the stored numbers by a changed model.
fn answer(model: &Model, features: FeatureIntervention, from: usize) -> f64 {
    let positions = (from > 0).then(|| vec![from..usize::MAX]);
    let edits = compile(model, &[features.at(positions)], &mut unwatched).unwrap();
    let edited = model.edited(&edits);
    let run = run::run(&edited, vec![text(model)], 1, &mut unwatched)
        .unwrap()
        .remove(0);
    let logits = run.logits(&edited, 0).unwrap();
    let (facts, last) = (facts(), logits.shape()[0] - 1);
    let of = |name: &str| f64::from(logits[[last, facts[name].as_u64().unwrap() as usize]]);
    of("target") - of("contrast")
}

fn assert_near(found: f64, expected: &Value, tolerance: f64, what: &str) {
    let expected = expected.as_f64().unwrap();
    let allowed = tolerance * (1.0 + expected.abs());
    assert!(
        (found - expected).abs() < allowed,
        "{what}: {found}, expected {expected}"
    );
}

#[test]
fn features_do_what_hooks_in_transformers_do() {
    let model = model("gpt2-tiny", "float64");
    let folder = Folder::new("features");
    let dictionary = standard(&model, &folder);
    let with = |feature: usize, what: FeatureAction| FeatureIntervention {
        dictionary: Rc::clone(&dictionary),
        features: vec![feature],
        what,
    };
    let facts = facts();
    for row in facts["features"].as_array().unwrap() {
        let feature = row["feature"].as_u64().unwrap() as usize;
        let removed = answer(&model, with(feature, FeatureAction::Scale(0.0)), 0);
        assert_near(removed, &row["removed"], 1e-5, "taken out");
        let late = answer(&model, with(feature, FeatureAction::Scale(0.0)), 2);
        assert_near(late, &row["removed_late"], 1e-5, "taken out from position 2 on");
        let added = answer(&model, with(feature, FeatureAction::Add(2.0)), 0);
        assert_near(added, &row["added"], 1e-5, "added");
        let same = answer(&model, with(feature, FeatureAction::Scale(1.0)), 0);
        assert_near(same, &facts["answer"], 1e-5, "times 1");
    }
    let reconstructed = answer(&model, with(0, FeatureAction::Reconstruct), 0);
    assert_near(reconstructed, &facts["reconstructed"], 1e-5, "reconstructed");
}

#[test]
fn what_an_answer_owes_to_features_adds_up() {
    let facts = facts();
    let model = model("gpt2-tiny", "float64");
    let folder = Folder::new("attribution");
    let dictionary = standard(&model, &folder);
    let input = text(&model);
    let found = attribute_features(&model, &input, &dictionary, &target(), 10, &mut unwatched).unwrap();
    assert_near(found.answer, &facts["answer"], 1e-5, "answer");
    assert_near(found.error.iter().sum(), &facts["error"], 1e-5, "error");
    assert_near(found.rest.iter().sum(), &facts["bias"], 1e-5, "bias");
    let rows = facts["features"].as_array().unwrap();
    for ((row, (feature, total)), (same, measured)) in rows.iter().zip(found.totals()).zip(&found.measured) {
        assert_eq!(
            (Some(u64::from(feature)), *same),
            (row["feature"].as_u64(), feature)
        );
        assert_near(total, &row["attribution"], 1e-5, "contribution");
        assert_near(found.answer - measured, &row["removed"], 1e-5, "measured");
    }
    assert!(
        found.completeness().relative.abs() < 1e-9,
        "{:?}",
        found.completeness()
    );

    // Also where what is written is scaled by position, is another place, or has a way around the features.
    let skip = json!({"apply_b_dec_to_input": false, "metadata": {
        "hook_name": "blocks.1.hook_mlp_in", "hook_name_out": "blocks.1.hook_mlp_out"}});
    for (architecture, more) in [
        ("standard", json!({"normalize_activations": "layer_norm"})),
        (
            "standard",
            json!({"metadata": {"hook_name": "blocks.1.attn.hook_z"}}),
        ),
        ("skip_transcoder", skip),
    ] {
        folder.settings("cfg.json", &sae_lens(architecture, &more));
        folder.weights("sae_weights.safetensors", &with(&[("W_skip", "W_skip", false)]));
        let dictionary = Rc::new(opened(&folder.0, &model, &DictionaryOptions::default()));
        let found = attribute_features(&model, &input, &dictionary, &target(), 3, &mut unwatched).unwrap();
        assert!(
            found.completeness().relative.abs() < 1e-9,
            "{more}: {:?}",
            found.completeness()
        );
        for (feature, measured) in &found.measured {
            let features = FeatureIntervention {
                dictionary: Rc::clone(&dictionary),
                features: vec![*feature as usize],
                what: FeatureAction::Scale(0.0),
            };
            let removed = answer(&model, features, 0);
            assert!((found.answer - measured - removed).abs() < 1e-5, "{more}");
            assert!(measured.abs() > 1e-6, "{more}: the feature does something");
        }
    }
}

/// Token by token behind a cache the changed model says what it says of the whole text at once.
#[test]
fn what_is_generated_is_what_the_changed_model_says() {
    let model = model("gpt2-tiny", "float64");
    let folder = Folder::new("generated");
    let skip = json!({"apply_b_dec_to_input": false, "metadata": {
        "hook_name": "blocks.1.hook_mlp_in", "hook_name_out": "blocks.1.hook_mlp_out"}});
    let mut n_changed = 0;
    for (architecture, more) in [("standard", json!({})), ("skip_transcoder", skip)] {
        folder.settings("cfg.json", &sae_lens(architecture, &more));
        folder.weights("sae_weights.safetensors", &with(&[("W_skip", "W_skip", false)]));
        let dictionary = Rc::new(opened(&folder.0, &model, &DictionaryOptions::default()));
        for (what, positions) in [
            (FeatureAction::Scale(30.0), None),
            (FeatureAction::Scale(-20.0), Some(vec![4..9])),
            (FeatureAction::Reconstruct, None),
        ] {
            let features = FeatureIntervention {
                dictionary: Rc::clone(&dictionary),
                features: (0..20).collect(),
                what,
            };
            let edits = compile(&model, &[features.at(positions)], &mut unwatched).unwrap();
            let edited = model.edited(&edits);
            let options = GenerateOptions {
                generate: Some(8),
                ..GenerateOptions::default()
            };
            let written = |model: &Model| {
                generate(model, "The dog", &options, &mut |_| ControlFlow::Continue(())).unwrap()
            };
            let (found, plain) = (written(&edited), written(&model));
            n_changed += usize::from(found.ids() != plain.ids());
            let input = Input::of(&edited, found.ids(), vec![]).unwrap();
            let run = run::run(&edited, vec![input], 1, &mut unwatched)
                .unwrap()
                .remove(0);
            let logits = run.logits(&edited, 0).unwrap();
            for position in found.n_input..found.ids().len() {
                let row = logits.index_axis(ndarray::Axis(0), position - 1);
                let best = (0..row.len()).max_by(|a, b| row[*a].total_cmp(&row[*b]));
                assert_eq!(
                    best,
                    Some(found.ids()[position] as usize),
                    "{architecture}, {what:?}"
                );
            }
        }
    }
    assert!(n_changed >= 3, "{n_changed}");
}

#[test]
fn quality_is_that_of_the_reconstruction() {
    let facts = facts();
    let model = model("gpt2-tiny", "float64");
    let folder = Folder::new("quality");
    let dictionary = standard(&model, &folder);
    let input = text(&model);
    let found = encode(&model, &input, &dictionary, 0, &mut unwatched).unwrap();
    assert_near(found.quality.explained, &facts["explained"], 1e-5, "explained");
    assert_near(found.quality.l0, &facts["l0"], 1e-9, "L0");
    let loss = loss_recovered(&model, &input, &dictionary, 0, &mut unwatched).unwrap();
    for (found, expected) in [loss.plain, loss.reconstructed, loss.ablated]
        .into_iter()
        .zip(facts["losses"].as_array().unwrap())
    {
        assert_near(found, expected, 1e-5, "loss");
    }
}
