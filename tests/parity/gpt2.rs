//! Forward pass, captures and greedy tokens of GPT-2 against transformers.

use std::ops::ControlFlow;

use ecco_interpreter::unwatched;
use ecco_models::{GenerateOptions, Site, capture, generate};
use ecco_tests::{Reference, assert_close, integers, model};
use ndarray::{Axis, concatenate};
use serde_json::Value;

const MODELS: &[&str] = &["gpt2-tiny", "gpt2-untied", "gpt2-tiny-bf16"];

/// Calls `check` for every stored text of every model.
fn for_each_text(check: impl Fn(&ecco_models::Model, &Reference, &str, &Value)) {
    for name in MODELS {
        let (model, reference) = (model(name, "float32"), Reference::open(name));
        let texts = reference.runs.as_object().expect("texts by name");
        assert!(!texts.is_empty());
        for (text, run) in texts {
            check(&model, &reference, text, run);
        }
    }
}

/// `value` is compared when the reference holds `text.what`; answers whether it did.
fn compare(
    reference: &Reference,
    text: &str,
    what: &str,
    tolerance: f32,
    value: impl FnOnce() -> ndarray::ArrayD<f32>,
) -> bool {
    let name = format!("{text}.{what}");
    let expected = reference.tensor(&name);
    if let Some(expected) = &expected {
        assert_close(&name, &value(), expected, tolerance);
    }
    expected.is_some()
}

#[test]
fn tokens_and_their_spans() {
    for_each_text(|model, _, name, run| {
        let text = run["text"].as_str().expect("a text");
        let ids = model.tokenizer().encode(text).expect("encodes");
        assert_eq!(ids, integers(&run["ids"]), "{name}");
        assert_eq!(model.tokenizer().decode(&ids), text);
        let characters: Vec<char> = text.chars().collect();
        for token in model.tokenizer().tokens(&ids) {
            assert_eq!(
                token.text,
                characters[token.span].iter().collect::<String>(),
                "{name}"
            );
        }
    });
}

#[test]
fn logits() {
    let mut compared = 0;
    for name in MODELS {
        let (model, reference) = (model(name, "float32"), Reference::open(name));
        for (text, run) in reference.runs.as_object().unwrap() {
            let logits = || model.logits(&integers(&run["ids"])).unwrap();
            compared += usize::from(compare(&reference, text, "logits", 1e-4, logits));
        }
    }
    assert!(compared >= 4, "only {compared} texts have logits");
}

#[test]
fn hidden_states_attention_and_activations() {
    for_each_text(|model, reference, text, run| {
        let ids = integers(&run["ids"]);
        let sites = [
            Site::ResidualBefore,
            Site::ResidualAfter,
            Site::FinalNorm,
            Site::AttentionPattern,
            Site::MlpInner,
        ];
        let captured = capture(model, &ids, &sites, None, &mut unwatched).unwrap();
        let site = |site| captured.array(site).unwrap();
        // transformers' last hidden state stands after the final norm.
        let hidden = || concatenate![Axis(0), site(Site::ResidualBefore), site(Site::FinalNorm)];
        let last = model.config().n_layers - 1;
        let residual = || site(Site::ResidualAfter).index_axis_move(Axis(0), last);
        compare(reference, text, "hidden_states", 1e-4, hidden);
        compare(reference, text, "residual_final", 1e-4, residual);
        compare(reference, text, "attention", 1e-4, || {
            site(Site::AttentionPattern)
        });
        compare(reference, text, "activations", 1e-4, || site(Site::MlpInner));
    });
    let tiny = Reference::open("gpt2-tiny");
    for what in ["hidden_states", "residual_final", "attention", "activations"] {
        assert!(
            tiny.tensor(&format!("unicode.{what}")).is_some(),
            "nothing was compared for {what}"
        );
    }
}

#[test]
fn the_longest_context() {
    for name in ["gpt2-tiny", "gpt2-untied"] {
        let (model, reference) = (model(name, "float32"), Reference::open(name));
        let run = &reference.runs["long"];
        let ids = [integers(&run["ids"]), integers(&run["generated"])].concat();
        assert_eq!(ids.len(), model.config().context_length);
        let logits = model.logits(&ids).unwrap();
        let last = || logits.index_axis_move(Axis(0), ids.len() - 1);
        assert!(compare(&reference, "long", "last_logits", 1e-4, last));
    }
}

#[test]
fn greedy_tokens() {
    for_each_text(|model, _, name, run| {
        let expected = integers(&run["generated"]);
        let n_input = integers(&run["ids"]).len();
        let generate_count = 20.min(model.config().context_length - n_input);
        let options = GenerateOptions {
            generate: Some(generate_count),
            ..Default::default()
        };
        let mut shown = 0;
        let mut on_draft = |draft: &ecco_models::Draft| {
            shown = draft.tokens().len();
            ControlFlow::Continue(())
        };
        let output = generate(model, run["text"].as_str().unwrap(), &options, &mut on_draft).unwrap();
        assert_eq!(output.ids()[output.n_input..], expected, "{name}");
        assert!(shown <= output.tokens.len() && shown > 0);
    });
}

#[test]
fn with_cache_as_without() {
    let model = model("gpt2-tiny", "float64");
    let options = GenerateOptions {
        generate: Some(20),
        ..Default::default()
    };
    let output = generate(&model, "One, two, ", &options, &mut |_| ControlFlow::Continue(())).unwrap();
    let logits = model.logits(&output.ids()).unwrap();
    for position in output.n_input..output.tokens.len() {
        let row = logits.index_axis(Axis(0), position - 1);
        let best = row
            .iter()
            .enumerate()
            .max_by(|a, b| a.1.total_cmp(b.1))
            .unwrap()
            .0;
        assert_eq!(best as u32, output.tokens[position].id, "position {position}");
    }
}

#[test]
fn sampling_repeats_by_its_seed() {
    let model = model("gpt2-tiny", "float32");
    let sample = |seed| {
        let options = GenerateOptions {
            generate: Some(20),
            do_sample: Some(true),
            seed,
            ..Default::default()
        };
        generate(&model, "One, two, ", &options, &mut |_| ControlFlow::Continue(())).unwrap()
    };
    let first = sample(None);
    assert_eq!(sample(first.seed).ids(), first.ids());
    let others = (0..5).map(|seed| sample(Some(seed)).ids());
    assert!(
        others.filter(|ids| *ids != first.ids()).count() >= 4,
        "all seeds draw the same"
    );
}

#[test]
fn an_interrupt_keeps_the_tokens_so_far() {
    let model = model("gpt2-tiny", "float32");
    let options = GenerateOptions {
        generate: Some(20),
        ..Default::default()
    };
    let mut calls = 0;
    let output = generate(&model, "One, two, ", &options, &mut |_| {
        calls += 1;
        if calls > 5 {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    })
    .unwrap();
    assert_eq!(output.finish, ecco_models::Finish::Interrupted);
    assert_eq!(output.n_generated(), 5);
}
