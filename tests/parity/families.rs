//! Every family against transformers, and its written backward pass against autograd.

use std::ops::ControlFlow;

use ecco_interpreter::unwatched;
use ecco_models::backward::{pull_back, record};
use ecco_models::config::Task;
use ecco_models::families::{FAMILIES, Family};
use ecco_models::guard::guard;
use ecco_models::model::Body;
use ecco_models::tap::{NoTap, to_array};
use ecco_models::{Capture, Error, GenerateOptions, Model, Site, capture, generate};
use ecco_tests::{
    Reference, assert_close, cases, check_table, integers, largest_difference, last, last_as_stored, model,
};
use tch::{Kind, Tensor};

/// The cases of models that read one text and write another, or of all others.
fn cases_with_target(wanted: bool) -> Vec<String> {
    let has_target = |name: &String| Reference::open(name).runs["ascii"]["target"].is_array();
    cases()
        .into_iter()
        .filter(|name| has_target(name) == wanted)
        .collect()
}

/// Runs a check on every case of one text.
fn for_each_case(check: impl Fn(&str) + std::panic::RefUnwindSafe) {
    for_each(&cases_with_target(false), check);
}

/// Runs a check on cases and names all that fail, not the first only.
pub(crate) fn for_each(cases: &[String], check: impl Fn(&str) + std::panic::RefUnwindSafe) {
    let fails = |name: &&String| std::panic::catch_unwind(|| check(name)).is_err();
    let failed: Vec<&String> = cases.iter().filter(fails).collect();
    assert!(failed.is_empty(), "failed: {failed:?}");
}

#[test]
fn logits_hidden_states_attention_and_activations() {
    for_each_case(|name| {
        let (model, reference) = (model(name, "float32"), Reference::open(name));
        for text in ["ascii", "unicode"] {
            let ids = integers(&reference.runs[text]["ids"]);
            let expected = |what: &str| reference.tensor(&format!("{text}.{what}"));
            let check = |what: &str, found| {
                let stored = expected(what).unwrap();
                let found = last_as_stored(found, axis_of_positions(what), &stored);
                assert_close(&format!("{name} {text} {what}"), &found, &stored, 1e-4);
            };
            if expected("logits").is_some() {
                check("logits", model.logits(&ids).unwrap());
            }
            let sites = [Site::ResidualBefore, Site::AttentionPattern, Site::MlpInner];
            let captured = capture(&model, &ids, &sites, None, &mut unwatched).unwrap();
            check("hidden_states", captured.array(Site::ResidualBefore).unwrap());
            for (what, site) in [
                ("attention", Site::AttentionPattern),
                ("activations", Site::MlpInner),
            ] {
                // transformers does not hand out all of them for all models: see make_families.py.
                if expected(what).is_some() {
                    check(what, captured.array(site).unwrap());
                }
            }
        }
    });
}

#[test]
fn a_text_that_fills_the_context() {
    for_each_case(|name| {
        let (model, reference) = (model(name, "float32"), Reference::open(name));
        let ids = integers(&reference.runs["long"]["ids"]);
        assert_eq!(ids.len(), model.config().context_length, "{name}");
        if model.config().task == Task::States {
            assert!(model.logits(&ids).is_err(), "{name} has no head");
            return;
        }
        let logits = model.logits(&ids).unwrap();
        let found = match model.config().task.is_of_text() {
            true => logits,
            false => last(&logits, 0, 1),
        };
        assert_close(name, &found, &reference.tensor("long.last_logits").unwrap(), 1e-4);
    });
}

#[test]
fn encoder_decoders() {
    let cases = cases_with_target(true);
    assert!(cases.len() >= 5);
    for name in cases {
        let (model, reference) = (model(&name, "float32"), Reference::open(&name));
        let Body::EncoderDecoder(both) = model.body() else {
            panic!("{name} is an encoder–decoder")
        };
        for text in ["ascii", "unicode"] {
            let [ids, target] = ["ids", "target"].map(|key| integers(&reference.runs[text][key]));
            let sites = [Site::ResidualBefore, Site::AttentionPattern, Site::CrossPattern];
            let mut captured = Capture::new(&sites, None);
            let logits = guard(|| {
                let memories = both.read(&both.encoder.embed(&ids), None, &mut NoTap)?;
                let target = both.decoder.embed(&target);
                let states = both
                    .decoder
                    .forward_with(&target, None, Some(&memories), &mut captured)?;
                to_array(&both.decoder.logits(&states).get(0))
            });
            let check = |what: &str, found| {
                let expected = reference.tensor(&format!("{text}.{what}")).unwrap();
                let found = last_as_stored(found, axis_of_positions(what), &expected);
                assert_close(&format!("{name} {text} {what}"), &found, &expected, 1e-4);
            };
            check("hidden_states", captured.array(Site::ResidualBefore).unwrap());
            check("attention", captured.array(Site::AttentionPattern).unwrap());
            check("cross_attention", captured.array(Site::CrossPattern).unwrap());
            check("logits", logits.unwrap());
        }
    }
}

#[test]
fn greedy_tokens() {
    for_each_case(|name| {
        let (model, reference) = (model(name, "float32"), Reference::open(name));
        if model.config().task != Task::NextToken {
            let refused = generate(&model, "A", &GenerateOptions::default(), &mut |_| {
                ControlFlow::Continue(())
            });
            assert!(matches!(refused, Err(Error::NotCausal { .. })), "{name}");
            return;
        }
        for text in ["ascii", "unicode"] {
            let run = &reference.runs[text];
            let options = GenerateOptions {
                generate: Some(8),
                ..Default::default()
            };
            let prompt = run["text"].as_str().unwrap();
            let output = generate(&model, prompt, &options, &mut |_| ControlFlow::Continue(())).unwrap();
            assert_eq!(
                output.ids()[output.n_input..],
                integers(&run["generated"]),
                "{name} {text}"
            );
        }
    });
}

#[test]
fn the_written_backward_pass_is_autograds() {
    for_each_case(|name| {
        let (model, reference) = (model(name, "float64"), Reference::open(name));
        if model.config().task != Task::NextToken {
            return;
        }
        let ids = integers(&reference.runs["ascii"]["ids"]);
        let rows = [3, ids.len() - 1, 7];
        let (logits, found) = written(&model, &ids, &rows, 5);
        assert!(logits.isfinite().all().int64_value(&[]) == 1);
        for (target, expected) in autograd(&model, &ids, &rows, 5).iter().enumerate() {
            let expected = expected.narrow(0, 0, found.size()[1]);
            let scale = expected.abs().max().double_value(&[]);
            let difference = (found.get(target as i64) - &expected)
                .abs()
                .max()
                .double_value(&[]);
            assert!(scale > 1e-6, "{name}: no gradient to compare");
            assert!(
                difference <= 1e-12 * scale.max(1.0),
                "{name} target {target}: {difference} of {scale}"
            );
        }
    });
}

#[test]
fn the_table_of_families_is_fresh() {
    // GPT-2's cases are older and elsewhere.
    let old = ["gpt2-tiny", "gpt2-untied"].map(str::to_owned);
    let names = cases().into_iter().chain(old);
    let all: Vec<(String, Model)> = names
        .map(|name| (name.clone(), model(&name, "float32")))
        .collect();
    let rows = FAMILIES.iter().map(|family| Row::measure(family, &all));
    let rows: Vec<(String, f64)> = rows.map(|row| (row.facts(), row.difference)).collect();
    check_table(
        "families.md",
        "| `model_type` | known as | reads | cases | largest difference |",
        &rows,
    );
}

/// What one family's cases come to.
struct Row {
    model_type: &'static str,
    known_as: &'static str,
    reads: &'static str,
    cases: Vec<String>,
    /// Of logits and hidden states, relative to 1 + the expected value.
    difference: f64,
}

impl Row {
    /// Of all cases those that are of the family.
    fn measure(family: &Family, all: &[(String, Model)]) -> Self {
        let model_type = family.model_type;
        let mut row = Self {
            model_type,
            known_as: family.known_as,
            reads: "",
            cases: Vec::new(),
            difference: 0.0,
        };
        for (name, model) in all {
            if model.config().model_type != model_type {
                continue;
            }
            row.reads = match model.body() {
                Body::Decoder(_) => "from left to right",
                Body::Encoder(_) => "all at once",
                Body::EncoderDecoder(_) => "all at once, and writes",
            };
            row.difference = row.difference.max(difference(model, name));
            row.cases.push(name.replace("families/", ""));
        }
        assert!(!row.cases.is_empty(), "{model_type} has no parity case");
        row
    }

    fn facts(&self) -> String {
        let Self {
            model_type,
            known_as,
            reads,
            cases,
            ..
        } = self;
        format!("| `{model_type}` | {known_as} | {reads} | {}", cases.join(", "))
    }
}

/// Of some values only the last positions are stored.
fn axis_of_positions(what: &str) -> usize {
    match what {
        "logits" => 0,
        "hidden_states" => 1,
        _ => 2,
    }
}

/// Of logits and hidden states, to those of transformers.
pub(crate) fn difference(model: &Model, name: &str) -> f64 {
    let reference = Reference::open(name);
    let mut largest = 0f64;
    for text in ["ascii", "unicode"] {
        let ids = integers(&reference.runs[text]["ids"]);
        let mut compare = |what: &str, found: ndarray::ArrayD<f32>| {
            if let Some(expected) = reference.tensor(&format!("{text}.{what}")) {
                let found = last_as_stored(found, axis_of_positions(what), &expected);
                largest = largest.max(largest_difference(&found, &expected));
            }
        };
        if let Body::EncoderDecoder(both) = model.body() {
            let target = integers(&reference.runs[text]["target"]);
            let logits = guard(|| {
                let memories = both.read(&both.encoder.embed(&ids), None, &mut NoTap)?;
                let target = both.decoder.embed(&target);
                let states = both
                    .decoder
                    .forward_with(&target, None, Some(&memories), &mut NoTap)?;
                to_array(&both.decoder.logits(&states).get(0))
            });
            compare("logits", logits.unwrap());
            continue;
        }
        if let Ok(logits) = model.logits(&ids) {
            compare("logits", logits);
        }
        let captured = capture(model, &ids, &[Site::ResidualBefore], None, &mut unwatched).unwrap();
        compare("hidden_states", captured.array(Site::ResidualBefore).unwrap());
    }
    largest
}

/// Gradients of a logit at some positions, by [`pull_back`].
fn written(model: &Model, ids: &[u32], rows: &[usize], token: i64) -> (Tensor, Tensor) {
    let decoder = model.decoder("a test").unwrap();
    let mut saved = record(decoder, ids.len(), ecco_models::Rule::Gradient);
    let states = model.forward(ids, &mut saved).unwrap();
    let index: Vec<i64> = rows.iter().map(|&row| row as i64).collect();
    let logits = decoder.logits(&states.get(0).index_select(0, &Tensor::from_slice(&index)));
    let cotangents = logits.zeros_like();
    let _ = cotangents.select(1, token).fill_(1.0);
    let cotangents = decoder.logits_backward(&logits, &cotangents, ecco_models::Rule::Gradient);
    let embeddings = decoder.embed(ids);
    let mut proceed = || ControlFlow::Continue(());
    let found = pull_back(
        decoder,
        &embeddings,
        &saved,
        rows,
        &cotangents,
        ecco_models::Rule::Gradient,
        &mut proceed,
    )
    .unwrap();
    (logits, found)
}

/// The same, one after the other, by autograd.
fn autograd(model: &Model, ids: &[u32], rows: &[usize], token: i64) -> Vec<Tensor> {
    let decoder = model.decoder("a test").unwrap();
    let embeddings = decoder.embed(ids).detach().set_requires_grad(true);
    let states = decoder.forward(&embeddings, None, &mut NoTap).unwrap();
    let logits = decoder.logits(&states);
    assert_eq!(logits.kind(), Kind::Double);
    rows.iter()
        .map(|&row| {
            let target = logits.get(0).get(row as i64).get(token);
            Tensor::run_backward(&[target], &[&embeddings], true, false)
                .remove(0)
                .get(0)
        })
        .collect()
}
