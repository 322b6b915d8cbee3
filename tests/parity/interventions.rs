//! Interventions: what they change as transformers with forward hooks has it, and that nothing else changes.

// Positions are lists of ranges, and often one of them.
#![allow(clippy::single_range_in_vec_init)]

mod aligned;
mod every_family;
mod explained;
pub(crate) mod gradients;
pub(crate) mod graphs;
mod patching;
mod refused;
mod vectors;

use std::collections::HashMap;
use std::ops::{ControlFlow, Range};

use ecco_explain::intervention::divergence::divergence;
use ecco_explain::intervention::patching::{PatchMap, PatchOptions, patch_map};
use ecco_explain::intervention::steering::{SteeringOptions, TextPosition, steering};
use ecco_explain::intervention::{Change, Intervention, Part, Replacement, Vector, compile};
use ecco_explain::sites::SiteAxis;
use ecco_explain::{AttributionOptions, Error, Quantity, Target, attribute};
use ecco_interpreter::Progress;
use ecco_interpreter::unwatched;
use ecco_models::config::Task;
use ecco_models::generation::writer::Writer;
use ecco_models::guard::guard;
use ecco_models::model::Body;
use ecco_models::run::{self, Input, Place, Run};
use ecco_models::tap::to_array;
use ecco_models::{GenerateOptions, Generation, Model, Site, generate};
use ecco_tests::{assert_close, fixtures, integers, model};
use ndarray::{ArrayD, Axis};
use safetensors::SafeTensors;
use serde_json::Value;
use tch::Kind;

const MODELS: [&str; 3] = ["gpt2-tiny", "families/llama", "families/flan-t5"];

struct Stored {
    json: Value,
    tensors: HashMap<String, ArrayD<f32>>,
}

fn stored() -> Stored {
    let read = |ending: &str| {
        std::fs::read(fixtures().join(format!("interventions.{ending}"))).expect("it is there")
    };
    let bytes = read("safetensors");
    let file = SafeTensors::deserialize(&bytes).expect("valid safetensors");
    let tensors = file.tensors().into_iter().map(|(name, view)| {
        let values = view.data().chunks_exact(4);
        let values = values.map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap()));
        let array = ArrayD::from_shape_vec(view.shape(), values.collect()).expect("shape and data agree");
        (name, array)
    });
    Stored {
        tensors: tensors.collect(),
        json: serde_json::from_slice(&read("json")).expect("valid JSON"),
    }
}

impl Stored {
    fn vector(&self, model: &str, name: &str) -> Vec<f32> {
        self.tensors[&format!("{model}.{name}")].iter().copied().collect()
    }

    /// An intervention in the words of `make_interventions.py`.
    fn intervention(&self, model: &str, case: &Value) -> Intervention {
        let site = case["site"].as_str().expect("a site");
        let number = |name: &str| case[name].as_f64().expect(name);
        let change = match case["change"].as_str().expect("a change") {
            "ablate" => Change::Ablate(Replacement::Number(case["to"].as_f64().unwrap_or(0.0))),
            "scale" => Change::Scale(number("factor")),
            "add" => Change::Add {
                what: Vector::Values(self.vector(model, case["vector"].as_str().expect("a vector"))),
                factor: number("factor"),
            },
            "patch" => {
                let source = case["source"].as_str().expect("a source");
                let values = self.tensors[&format!("{model}.{source}")].clone();
                Change::Patch(vec![(case["layer"].as_u64().expect("a layer") as usize, values)])
            }
            other => panic!("{other}"),
        };
        let index = |name: &str| {
            let values = integers(&case[name]);
            values.into_iter().map(|at| at as usize).collect::<Vec<_>>()
        };
        let part = match case {
            _ if case["head"].is_u64() => Part::Heads(vec![case["head"].as_u64().unwrap() as usize]),
            _ if case["neurons"].is_array() => Part::Features(index("neurons")),
            _ if case["direction"].is_string() => {
                Part::Direction(self.vector(model, case["direction"].as_str().unwrap()))
            }
            _ => Part::Whole,
        };
        let positions = case["positions"]
            .is_array()
            .then(|| index("positions").iter().map(|&at| at..at + 1).collect());
        Intervention {
            place: Place::parse(site).expect(site),
            layers: Some(vec![case["layer"].as_u64().expect("a layer") as usize]),
            part,
            positions,
            change,
        }
    }
}

fn edited(model: &Model, interventions: &[Intervention]) -> Model {
    model.edited(&compile(model, interventions, &mut unwatched).expect("it can be changed"))
}

fn one(place: Place, change: Change) -> Intervention {
    Intervention {
        place,
        layers: None,
        part: Part::Whole,
        positions: None,
        change,
    }
}

fn run_of(model: &Model, input: &Input) -> Run {
    run::run(model, vec![input.clone()], 1, &mut unwatched)
        .expect("it runs")
        .remove(0)
}

fn logits(model: &Model, input: &Input) -> ArrayD<f32> {
    run_of(model, input).logits(model, 0).expect("it has a head")
}

/// Greedy tokens after an input, through the cache.
fn greedy(model: &Model, input: &Input, n: usize) -> Vec<u32> {
    let mut written = input.spoken().to_vec();
    let start = written.len();
    guard(|| {
        let mut writer = Writer::new(model, &input.ids, start + n)?;
        let mut logits = writer.begin(&written)?;
        for _ in 0..n {
            written.push(logits.get(0).argmax(None, false).int64_value(&[]) as u32);
            logits = writer.go_on(std::slice::from_ref(&written))?;
        }
        Ok(())
    })
    .expect("it writes");
    written.split_off(start)
}

#[test]
fn changed_as_by_hooks() {
    let stored = stored();
    let mut n_cases = 0;
    for name in MODELS {
        let (model, run) = (model(name, "float32"), &stored.json["runs"][name]);
        let input = Input {
            ids: integers(&run["ids"]),
            target: integers(&run["target"]),
            ..Input::default()
        };
        let untouched = integers(&run["untouched"]);
        assert_eq!(greedy(&model, &input, untouched.len()), untouched, "{name}");
        for (index, case) in run["cases"].as_array().expect("cases").iter().enumerate() {
            let interventions = case["interventions"].as_array().expect("interventions").iter();
            let interventions: Vec<_> = interventions
                .map(|case| stored.intervention(name, case))
                .collect();
            let changed = edited(&model, &interventions);
            let found = logits(&changed, &input);
            let found = found.slice_axis(Axis(0), (-2..).into()).into_owned();
            let what = format!("{name} {case}");
            assert_close(&what, &found, &stored.tensors[&format!("{name}.{index}")], 1e-4);
            let generated = integers(&case["generated"]);
            assert_eq!(greedy(&changed, &input, generated.len()), generated, "{what}");
            n_cases += 1;
        }
        assert_eq!(
            greedy(&model, &input, untouched.len()),
            untouched,
            "{name} itself was changed"
        );
    }
    assert!(n_cases >= 20, "{n_cases}");
}

/// A small model of every family, and what it reads.
fn families() -> Vec<(String, Model, Input)> {
    families_in("float32")
}

pub(crate) fn families_in(dtype: &str) -> Vec<(String, Model, Input)> {
    let folder = std::fs::read_dir(fixtures().join("families")).expect("the fixtures are there");
    let folders = folder
        .map(|entry| entry.expect("readable"))
        .filter(|entry| entry.path().is_dir())
        .filter_map(|entry| entry.file_name().into_string().ok());
    let case = |name: String| {
        let model = model(&format!("families/{name}"), dtype);
        let is_pair = matches!(model.body(), Body::EncoderDecoder(_));
        let input = Input::new(&model, "She said that it", is_pair.then_some("was there")).expect("a text");
        (name, model, input)
    };
    let cases: Vec<_> = folders.map(case).collect();
    assert!(cases.len() >= 55);
    cases
}

fn text(model: &Model, beam_size: Option<usize>) -> Generation {
    let options = GenerateOptions {
        generate: Some(10),
        beam_size,
        ..Default::default()
    };
    generate(model, "She said", &options, &mut |_| ControlFlow::Continue(())).expect("it generates")
}

/// The sum of the generated tokens' log-probabilities, without a cache.
fn score(model: &Model, text: &Generation) -> f32 {
    let ids = text.ids();
    let logits = logits(
        model,
        &Input {
            ids: ids.clone(),
            target: vec![],
            ..Input::default()
        },
    );
    let log_p = |at: usize| {
        let row = logits.index_axis(Axis(0), at - 1);
        let most = row.iter().copied().fold(f32::MIN, f32::max);
        row[ids[at] as usize] - most - row.iter().map(|x| (x - most).exp()).sum::<f32>().ln()
    };
    (text.n_input..ids.len()).map(log_p).sum()
}

#[test]
fn generated_text_changes_and_beams_search_the_changed_model() {
    let model = model("gpt2-tiny", "float32");
    let untouched = text(&model, None);
    // What the Python library's neuron inhibition and induction set out to do.
    let neurons = |to: f64| Intervention {
        layers: Some(vec![0]),
        part: Part::Features(vec![2, 5, 11, 17]),
        ..one(Place::of(Site::MlpInner), Change::Ablate(Replacement::Number(to)))
    };
    let induced = edited(&model, &[neurons(20.0)]);
    let (greedy, beams) = (text(&induced, None), text(&induced, Some(4)));
    assert_ne!(greedy.ids(), untouched.ids());
    assert_eq!(
        greedy.ids()[..greedy.n_input],
        untouched.ids()[..untouched.n_input]
    );
    assert!(score(&induced, &beams) >= score(&induced, &greedy) - 1e-4);
    assert!(
        score(&induced, &beams) > score(&induced, &text(&model, Some(4))),
        "beams ignore the change"
    );
    assert_eq!(text(&model, None).ids(), untouched.ids());
    // What is recorded of a changed model is what it made of the text.
    let input = Input {
        ids: greedy.ids(),
        target: vec![],
        ..Input::default()
    };
    let records = run_of(&induced, &input);
    let inner = records
        .records()
        .array(Place::of(Site::MlpInner), Some(0), 0)
        .unwrap();
    assert!(inner.index_axis(Axis(0), 5).iter().all(|value| *value == 20.0));
}
