//! Planted evidence: a model is trained so that it is known which token an answer comes from, and methods are asked.
//!
//! `docs/methods/recovery.md` is the table; [`write_the_table`] makes it.

use std::fmt::Write;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use ecco_explain::agreement::descending;
use ecco_explain::{AttributionOptions, Method, Target, attribute};
use ecco_interpreter::unwatched;
use ecco_models::Model;
use ecco_models::run::Input;
use ecco_tests::{fixtures, integers, model};
use serde_json::Value;

const TASKS: [&str; 2] = ["lookup", "induction"];

/// How often a method puts the right token first, the question at the end of the text aside.
#[derive(Clone, Copy, Default)]
struct Recovery {
    /// The token that the answer is copied from.
    answer: f64,
    /// That, or the key before it.
    either: f64,
    /// The token that the answer is copied from is among the first three.
    in_three: f64,
}

struct Prompt {
    ids: Vec<u32>,
    answer: u32,
    source: usize,
    key: usize,
}

fn prompts(task: &str) -> Vec<Prompt> {
    let text = std::fs::read_to_string(fixtures().join("planted/prompts.json")).unwrap();
    let stored: Value = serde_json::from_str(&text).unwrap();
    let number = |prompt: &Value, name: &str| prompt[name].as_u64().unwrap() as usize;
    let prompt = |prompt: &Value| Prompt {
        ids: integers(&prompt["ids"]),
        answer: number(prompt, "answer") as u32,
        source: number(prompt, "source"),
        key: number(prompt, "key"),
    };
    stored[task].as_array().unwrap().iter().map(prompt).collect()
}

fn recovery(model: &Model, method: Method, prompts: &[Prompt]) -> Recovery {
    let options = AttributionOptions {
        n_samples: Some(200),
        ..AttributionOptions::with(method)
    };
    let mut sum = Recovery::default();
    for prompt in prompts {
        let input = Input::of(model, prompt.ids.clone(), Vec::new()).unwrap();
        let target = Target::token(prompt.ids.len(), prompt.answer);
        let found = attribute(model, &input, &[target], &options, &mut unwatched).unwrap();
        let order = descending(&found.scores[0]);
        let order: Vec<usize> = order
            .into_iter()
            .filter(|&source| source + 1 < prompt.ids.len())
            .collect();
        let pair = [prompt.source, prompt.key];
        let share = |is: bool| f64::from(u8::from(is)) / prompts.len() as f64;
        sum.answer += share(order[0] == prompt.source);
        sum.either += share(pair.contains(&order[0]));
        sum.in_three += share(order[..3].contains(&prompt.source));
    }
    sum
}

/// By two threads, of which each takes the next method: it is the longest test by far.
fn all() -> Vec<(Method, [Recovery; 2])> {
    let (next, found) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = || {
        let (model, tasks) = (model("planted", "float64"), TASKS.map(prompts));
        while let Some(&method) = Method::ALL.get(next.fetch_add(1, Ordering::Relaxed)) {
            let of = tasks.each_ref().map(|prompts| recovery(&model, method, prompts));
            found.lock().unwrap().push((method, of));
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(work);
        scope.spawn(work);
    });
    let mut found = found.into_inner().unwrap();
    found.sort_by_key(|(method, _)| Method::ALL.iter().position(|other| other == method));
    found
}

fn page() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/methods/recovery.md")
}

/// Mean probabilities of a task's answers without the answer's token, its key, and the question.
fn without_each(model: &Model, prompts: &[Prompt]) -> [f64; 3] {
    let mut sum = [0.0; 3];
    for prompt in prompts {
        let input = Input::of(model, prompt.ids.clone(), Vec::new()).unwrap();
        let target = Target::token(prompt.ids.len(), prompt.answer);
        let options = AttributionOptions::with(Method::Occlusion);
        let found = attribute(model, &input, &[target], &options, &mut unwatched).unwrap();
        for (sum, place) in sum
            .iter_mut()
            .zip([prompt.source, prompt.key, prompt.ids.len() - 1])
        {
            *sum += (found.values[0] - found.signed[0][place]) / prompts.len() as f64;
        }
    }
    sum
}

fn table(found: &[(Method, [Recovery; 2])]) -> String {
    let model = model("planted", "float64");
    let [lookup, induction] = TASKS.map(|task| without_each(&model, &prompts(task)));
    let mut table = String::from(HEAD);
    for (what, (lookup, induction)) in ["the answer's token", "its key", "the question"]
        .iter()
        .zip(lookup.iter().zip(induction))
    {
        let _ = writeln!(table, "| {what} | {lookup:.2} | {induction:.2} |");
    }
    table.push_str(BETWEEN);
    for (method, tasks) in found {
        let _ = write!(table, "| {} (`{}`)", method.label(), method.name());
        for of in tasks {
            let _ = write!(
                table,
                " | {:.2} | {:.2} | {:.2}",
                of.answer, of.either, of.in_three
            );
        }
        table.push_str(" |\n");
    }
    table + FOOT
}

const HEAD: &str = "\
# Planted evidence: do methods find it?
A tiny model (two layers of 48, trained by `tests/reference/make_planted.py`) answers from its context and nothing else, so
it is known which token an answer comes from:

- **lookup**: `k8= s9 ; k6= s30 ; k0= s19 ; k6=` is followed by `s30`, which is in the text once
- **induction**: `s4 s17 s9 s30 s17` is followed by `s9`, which stands behind the first `s17`

Any word of a training text could be a hole (a zero embedding, the baseline of the methods), so none is asked about a text
that is strange to the model. What the answer's probability, 1.00, falls to without one token, mean over the prompts:

| without | lookup | induction |
|---|---|---|
";

const BETWEEN: &str = "
The answer's token it cannot do without; the key before it (`k6=`, the first `s17`) it can do without, more or less, by what is
left over. The question at the end is needed, but is what is asked and not where the answer comes from: it is left out below.
Of 50 drawn prompts each, the table has the fraction in which a method, asked for the probability of the answer, puts first
*the answer's* token, or *either* that or its key, and has the answer's token among its first *three*. Everything is at its
default, but that 200 samples are taken where some are.

| method | lookup: answer | either | in three | induction: answer | either | in three |
|---|---|---|---|---|---|---|
";

const FOOT: &str = "
Methods that ask the model, by one hole or many, find the token. Attention does not always: in the lookup the first layer moves
an answer to the `;` behind it and the second looks there, which is all that the last layer's attention knows, and more than
half of what rollout does. Value zeroing puts the key first, without which the model mostly still answers. Integrated gradients
and gradient SHAP pass through faint embeddings, which this model was not trained on. Two tasks are no ranking of methods.

This page is made by `cargo test --release -p ecco-tests --test parity -- --ignored write_the_table`.
";

#[test]
fn methods_find_what_was_planted() {
    let found = all();
    let of = |method: Method| found.iter().find(|(other, _)| *other == method).unwrap().1;
    for (task, name) in TASKS.iter().enumerate() {
        let at = |method| of(method)[task];
        assert!(
            at(Method::Occlusion).answer >= 0.95,
            "{name}: {}",
            at(Method::Occlusion).answer
        );
        for method in [Method::Lime, Method::KernelShap] {
            assert!(
                at(method).answer >= 0.8,
                "{name} {method:?}: {}",
                at(method).either
            );
        }
        for (method, tasks) in &found {
            let of = tasks[task];
            assert!(of.answer <= of.either && of.answer <= of.in_three, "{method:?}");
        }
    }
    let stored = std::fs::read_to_string(page()).unwrap_or_default();
    assert_eq!(
        stored,
        table(&found),
        "docs/methods/recovery.md is stale: its last line says how to make it"
    );
}

/// The model does answer, so that there is something to find.
#[test]
fn the_model_answers_from_its_context() {
    let model = model("planted", "float32");
    for prompt in TASKS.map(prompts).iter().flatten() {
        let logits = model.logits(&prompt.ids).unwrap();
        let last = logits.index_axis(ndarray::Axis(0), prompt.ids.len() - 1);
        let best = (0..last.len())
            .max_by(|&a, &b| last[[a]].total_cmp(&last[[b]]))
            .unwrap();
        assert_eq!(best as u32, prompt.answer);
        assert_eq!(prompt.ids[prompt.source], prompt.answer);
        assert_eq!(prompt.ids.iter().filter(|&&id| id == prompt.answer).count(), 1);
        assert_eq!(Some(&prompt.ids[prompt.key]), prompt.ids.last());
    }
}

#[test]
#[ignore = "writes docs/methods/recovery.md"]
fn write_the_table() {
    std::fs::write(page(), table(&all())).unwrap();
}
