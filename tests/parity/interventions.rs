//! Interventions: what they change as transformers with forward hooks has it, and that nothing else changes.

use std::collections::HashMap;
use std::ops::{ControlFlow, Range};

use ecco_explain::intervention::divergence::divergence;
use ecco_explain::intervention::patching::{By, PatchMap, PatchOptions, patch_map};
use ecco_explain::intervention::steering::{At, SteeringOptions, steering};
use ecco_explain::intervention::{Change, Intervention, Part, To, Vector, compile};
use ecco_explain::{AttributionOptions, Error, Quantity, Target, attribute};
use ecco_models::config::Task;
use ecco_models::generation::writer::Writer;
use ecco_models::guard::guard;
use ecco_models::model::Body;
use ecco_models::progress::unwatched;
use ecco_models::run::{self, Input, Place, Run};
use ecco_models::tap::to_array;
use ecco_models::{GenerateOptions, Generation, Model, Progress, Site, generate};
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
            "ablate" => Change::Ablate(To::Number(case["to"].as_f64().unwrap_or(0.0))),
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
            logits = writer.go_on(&written[written.len() - 1..])?;
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
    let folder = std::fs::read_dir(fixtures().join("families")).expect("the fixtures are there");
    let folders = folder
        .map(|entry| entry.expect("readable"))
        .filter(|entry| entry.path().is_dir())
        .filter_map(|entry| entry.file_name().into_string().ok());
    let case = |name: String| {
        let model = model(&format!("families/{name}"), "float32");
        let is_pair = matches!(model.body(), Body::EncoderDecoder(_));
        let input = Input::new(&model, "She said that it", is_pair.then_some("was there")).expect("a text");
        (name, model, input)
    };
    let cases: Vec<_> = folders.map(case).collect();
    assert!(cases.len() >= 55);
    cases
}

fn bits(array: &ArrayD<f32>) -> Vec<u32> {
    array.iter().map(|value| value.to_bits()).collect()
}

/// An own value by layer, as a script would take it from a run.
fn own_values(run: &Run, place: Place) -> Change {
    let layers = run.records().layers(place).into_iter();
    let values = |layer: usize| run.records().array(place, Some(layer), 0).expect("recorded");
    Change::Patch(layers.map(|layer| (layer, values(layer))).collect())
}

#[test]
fn own_values_factor_one_and_nothing_added_change_no_bit() {
    let mut n_places = 0;
    for (name, model, input) in families() {
        let untouched = run_of(&model, &input);
        let answer = |model: &Model, run: &Run| match model.config().task {
            Task::States => run
                .records()
                .array(Place::of(Site::FinalNorm), None, 0)
                .expect("states"),
            _ => run.logits(model, 0).expect("a head"),
        };
        let expected = bits(&answer(&model, &untouched));
        for (place, _) in run::sites(&model).expect("it has sites") {
            let is_pattern = place.axes().contains(&"query");
            let nothing = Change::Add {
                what: Vector::Number(3.0),
                factor: 0.0,
            };
            let mut changes = vec![Change::Scale(1.0), nothing];
            let has_common_width = !place.encoder && model.config().attention.causal;
            if !is_pattern || (has_common_width && place.site == Site::AttentionPattern) {
                changes.push(own_values(&untouched, place));
            }
            for change in changes {
                let what = format!("{name}: {}", one(place, change.clone()).label());
                let changed = edited(&model, &[one(place, change)]);
                let run = run_of(&changed, &input);
                assert_eq!(bits(&answer(&changed, &run)), expected, "{what}");
                n_places += 1;
            }
        }
    }
    assert!(n_places > 2000, "{n_places}");
}

/// Something is changed at some positions of every place that a model has.
fn at_every_place(model: &Model, positions: &[Range<usize>]) -> Vec<Intervention> {
    let places = run::sites(model).expect("it has sites").into_iter();
    let places = places
        .map(|(place, _)| place)
        .filter(|place| !place.axes().contains(&"query"));
    let change = |place| Intervention {
        positions: Some(positions.to_vec()),
        ..one(place, Change::Scale(0.9))
    };
    places.map(change).collect()
}

#[test]
fn with_cache_as_without() {
    let mut n_models = 0;
    for (name, model, input) in families() {
        if matches!(model.body(), Body::Encoder(_)) {
            continue;
        }
        n_models += 1;
        let n_given = input.spoken().len();
        // Given, generated, and both.
        let positions = [1..2, n_given - 1..n_given + 1, n_given + 3..usize::MAX];
        let changed = edited(&model, &at_every_place(&model, &positions));
        let written = greedy(&changed, &input, 6);
        let whole = [input.spoken(), &written].concat();
        let whole = match input.target.is_empty() {
            true => Input {
                ids: whole,
                target: vec![],
            },
            false => Input {
                ids: input.ids.clone(),
                target: whole,
            },
        };
        let uncached = logits(&changed, &whole);
        let mut cached = Vec::new();
        guard(|| {
            let mut writer = Writer::new(&changed, &whole.ids, whole.spoken().len())?;
            cached.push(to_array(&writer.begin(&whole.spoken()[..n_given])?.get(0))?);
            for &id in &whole.spoken()[n_given..] {
                cached.push(to_array(&writer.go_on(&[id])?.get(0))?);
            }
            Ok(())
        })
        .expect("it writes");
        for (step, cached) in cached.iter().enumerate() {
            let row = uncached.index_axis(Axis(0), n_given - 1 + step).into_owned();
            assert_close(&format!("{name}, step {step}"), cached, &row, 1e-5);
            let (best, _) = row.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).unwrap();
            if let Some(&id) = written.get(step) {
                assert_eq!(best as u32, id, "{name}, step {step}");
            }
        }
        let gap = &uncached - &logits(&model, &whole);
        assert!(
            gap.iter().any(|gap| gap.abs() > 1e-2),
            "{name} is not changed at all"
        );
    }
    assert!(n_models >= 40, "{n_models}");
}

#[test]
fn experts_neurons_are_what_is_added() {
    for name in ["families/mixtral", "families/qwen3_moe"] {
        let model = model(name, "float32");
        let input = Input::new(&model, "She said that", None).unwrap();
        let changed = |site| {
            let change = Change::Ablate(To::Number(0.0));
            logits(&edited(&model, &[one(Place::of(site), change)]), &input)
        };
        assert_eq!(changed(Site::MlpInner), changed(Site::MlpOutput), "{name}");
        assert_ne!(changed(Site::MlpInner), logits(&model, &input), "{name}");
        // One expert's neurons: only the tokens that go through it change.
        let records = run_of(&model, &input);
        let inner = records
            .records()
            .array(Place::of(Site::MlpInner), Some(1), 0)
            .unwrap(); // (neuron, position)
        let width = model.config().intermediate_size;
        let of_first = inner.slice_axis(Axis(0), (0..width).into());
        let last = of_first.index_axis(Axis(1), input.ids.len() - 1);
        let goes_through = last.iter().any(|value| *value != 0.0);
        let first = Intervention {
            layers: Some(vec![1]),
            part: Part::Features((0..width).collect()),
            ..one(Place::of(Site::MlpInner), Change::Scale(5.0))
        };
        let (before, after) = (logits(&model, &input), logits(&edited(&model, &[first]), &input));
        let row = |logits: &ArrayD<f32>| logits.index_axis(Axis(0), input.ids.len() - 1).into_owned();
        assert_eq!(row(&before) != row(&after), goes_through, "{name}");
    }
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
        ..one(Place::of(Site::MlpInner), Change::Ablate(To::Number(to)))
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
    };
    let records = run_of(&induced, &input);
    let inner = records
        .records()
        .array(Place::of(Site::MlpInner), Some(0), 0)
        .unwrap();
    assert!(inner.index_axis(Axis(0), 5).iter().all(|value| *value == 20.0));
}

#[test]
fn attribution_of_a_changed_model_is_refused_or_its_own() {
    let model = model("families/flan-t5", "float32");
    let input = Input::new(&model, "She said that", Some("it was")).unwrap();
    let cut = one(Place::of(Site::CrossOutput), Change::Ablate(To::Number(0.0)));
    let changed = edited(&model, &[cut]);
    let options = AttributionOptions::default();
    let targets = Target::written(&input, 1);
    let signed = |model: &Model| {
        attribute(model, &input, &targets, &options, &mut unwatched)
            .expect("it can be explained")
            .signed
    };
    let of_source = |row: &Vec<f64>| row[..input.ids.len()].iter().map(|x| x.abs()).sum::<f64>();
    assert!(signed(&model).iter().all(|row| of_source(row) > 0.0));
    // Nothing of the text that was read reaches the decoder any more.
    assert!(signed(&changed).iter().all(|row| of_source(row) == 0.0));
}

#[test]
fn maps_of_patches_are_a_plain_loops() {
    let stored = stored();
    let mut n_maps = 0;
    for (name, maps) in stored.json["maps"].as_object().expect("maps by model") {
        let model = model(name, "float32");
        for map in maps.as_array().expect("maps") {
            let input = |key: &str| Input {
                ids: integers(&map[key]),
                target: vec![],
            };
            let options = PatchOptions {
                place: Place::parse(map["site"].as_str().unwrap()).unwrap(),
                by: if map["by"] == "head" {
                    By::Head
                } else {
                    By::Position
                },
                target: Target::token(
                    integers(&map["clean_ids"]).len(),
                    map["target"].as_u64().unwrap() as u32,
                )
                .against(map["contrast"].as_u64().unwrap() as u32)
                .of(Quantity::Logit),
            };
            let (clean, corrupted) = (input("clean_ids"), input("corrupted_ids"));
            let found = patch_map(&model, &clean, &corrupted, &options, &mut unwatched).expect("a map");
            let close = |found: f64, expected: &Value, what: &str| {
                let expected = expected.as_f64().expect("a number");
                let gap = (found - expected).abs();
                assert!(
                    gap < 1e-4 * (1.0 + expected.abs()),
                    "{name} {what}: {found}, expected {expected}"
                );
            };
            close(found.clean, &map["clean"], "clean");
            close(found.corrupted, &map["corrupted"], "corrupted");
            for ((row, column), value) in found.patched.indexed_iter() {
                let what = format!("{} {row} {column}", map["site"]);
                close(*value, &map["patched"][row][column], &what);
            }
            assert_eq!(found.patched.nrows(), map["patched"].as_array().unwrap().len());
            assert_eq!(found.patched.ncols(), map["patched"][0].as_array().unwrap().len());
            n_maps += 1;
        }
    }
    assert!(n_maps >= 10);
}

/// Texts that differ in one token, read by any model.
fn pair(model: &Model) -> (Input, Input) {
    let is_pair = matches!(model.body(), Body::EncoderDecoder(_));
    let clean = Input::new(model, "She said that it", is_pair.then_some("was")).expect("a text");
    let mut corrupted = clean.clone();
    corrupted.ids[2] = 77;
    (clean, corrupted)
}

#[test]
fn the_stream_before_the_first_layer_is_the_text() {
    let mut n_models = 0;
    for (name, model, _) in families() {
        let (clean, corrupted) = pair(&model);
        let n = clean.spoken().len();
        let target = match model.config().task {
            Task::States | Task::Replaced(_) => continue,
            Task::Label(_) => Target::label(0).of(Quantity::Logit),
            Task::MaskedToken(_) => Target::token(n - 2, 1).of(Quantity::LogProbability),
            Task::NextToken => Target::token(n, 1).of(Quantity::LogProbability),
        };
        let row = match model.config().task {
            Task::Label(_) => None,
            Task::MaskedToken(_) => Some(n - 2),
            _ => Some(n - 1),
        };
        n_models += 1;
        let options = |site, encoder| PatchOptions {
            place: Place { site, encoder },
            by: By::Position,
            target,
        };
        let map = |options: &PatchOptions| -> PatchMap {
            patch_map(&model, &clean, &corrupted, options, &mut unwatched).expect(&name)
        };
        let is_pair = matches!(model.body(), Body::EncoderDecoder(_));
        let first = map(&options(Site::ResidualPre, is_pair)).restored();
        for (position, restored) in first.row(0).iter().enumerate() {
            let expected = f64::from(u8::from(position == 2));
            assert!(
                (restored - expected).abs() < 1e-3,
                "{name} position {position}: {restored}"
            );
        }
        // At the end of the stack whose head speaks, the answer is where it is read.
        let last = map(&options(Site::ResidualPost, false));
        if let Some(position) = row {
            let restored = last.restored()[[last.layers.len() - 1, position]];
            assert!((restored - 1.0).abs() < 1e-3, "{name}: {restored}");
        }
        let heads = PatchOptions {
            by: By::Head,
            ..options(Site::HeadOutput, false)
        };
        assert_eq!(
            map(&heads).patched.dim(),
            (model.config().n_layers, model.config().n_heads),
            "{name}"
        );
    }
    assert!(n_models >= 50, "{n_models}");
}

#[test]
fn divergence_is_the_sum_over_the_vocabulary() {
    let model = model("gpt2-tiny", "float32");
    let input = Input::new(&model, "She said that it was there.", None).unwrap();
    let place = Place::of(Site::MlpOutput);
    let scaled = Intervention {
        positions: Some(vec![3..4]),
        ..one(place, Change::Scale(3.0))
    };
    let changed = edited(&model, &[scaled]);
    let found = divergence(&model, &changed, &input, &mut unwatched).unwrap();
    let log_p = |logits: &ArrayD<f32>, row: usize| -> Vec<f64> {
        let row: Vec<f64> = logits
            .index_axis(Axis(0), row)
            .iter()
            .map(|x| f64::from(*x))
            .collect();
        let total = row.iter().map(|x| x.exp()).sum::<f64>().ln();
        row.iter().map(|x| x - total).collect()
    };
    let (p, q) = (logits(&model, &input), logits(&changed, &input));
    for (position, kl) in found.kl.iter().enumerate() {
        let (p, q) = (log_p(&p, position), log_p(&q, position));
        let expected: f64 = p.iter().zip(&q).map(|(p, q)| p.exp() * (p - q)).sum();
        assert!(
            (kl - expected).abs() < 1e-5 * (1.0 + expected),
            "{position}: {kl}, expected {expected}"
        );
        assert_eq!(*kl > 1e-6, position >= 3, "only what comes after is changed");
        let best = q.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).unwrap();
        assert_eq!(found.changed[position].id, best.0 as u32);
        assert!((found.changed[position].probability - best.1.exp()).abs() < 1e-6);
        let next = input.ids.get(position + 1).map(|&id| p[id as usize].exp());
        match (found.reference[position].of_next, next) {
            (Some(found), Some(expected)) => assert!((found - expected).abs() < 1e-6),
            (found, expected) => assert_eq!(found, expected),
        }
    }
    let same = divergence(
        &model,
        &edited(&model, &[one(place, Change::Scale(1.0))]),
        &input,
        &mut unwatched,
    );
    assert!(same.unwrap().kl.iter().all(|kl| *kl == 0.0));
    let other = ecco_tests::model("families/llama", "float32");
    match divergence(&model, &other, &input, &mut unwatched) {
        Err(Error::Option { option: "model", .. }) => {
            assert_ne!(model.config().vocab_size, other.config().vocab_size)
        }
        other => assert!(other.is_ok()),
    }
}

#[test]
fn steering_goes_from_one_mean_to_the_other() {
    let model = model("families/llama", "float32");
    let inputs = |texts: &[&str]| -> Vec<Input> {
        texts
            .iter()
            .map(|text| Input::new(&model, text, None).unwrap())
            .collect()
    };
    let (positive, negative) = (inputs(&["She said", "She was"]), inputs(&["Où", "It was there."]));
    let place = Place::of(Site::ResidualPost);
    let options = SteeringOptions {
        place,
        layer: 0,
        at: At::Last,
        unit: false,
    };
    let found = steering(&model, &positive, &negative, &options, &mut unwatched).unwrap();
    let last = |input: &Input| {
        let states = run_of(&model, input).records().array(place, Some(0), 0).unwrap();
        states.index_axis(Axis(0), input.ids.len() - 1).mapv(f64::from)
    };
    let mean = |inputs: &[Input]| (last(&inputs[0]) + last(&inputs[1])) / 2.0;
    let expected = mean(&positive) - mean(&negative);
    for (found, expected) in found.vector.iter().zip(&expected) {
        assert!((f64::from(*found) - expected).abs() < 1e-5 * (1.0 + expected.abs()));
    }
    assert!((found.norm - expected.iter().map(|x| x * x).sum::<f64>().sqrt()).abs() < 1e-4);
    // In these units the means are at 1 and -1.
    for (projections, side) in found.projections.iter().zip([1.0, -1.0]) {
        assert!((projections.iter().sum::<f64>() / 2.0 - side).abs() < 1e-9);
    }
    let unit = steering(
        &model,
        &positive,
        &negative,
        &SteeringOptions {
            unit: true,
            ..options
        },
        &mut unwatched,
    );
    let unit = unit.unwrap();
    let length: f32 = unit.vector.iter().map(|x| x * x).sum();
    assert!((length - 1.0).abs() < 1e-5 && unit.n_apart() <= 4);
    // Ablated along it, nothing of it is left; scaled, a multiple.
    let along = |change| Intervention {
        layers: Some(vec![0]),
        part: Part::Direction(found.vector.clone()),
        ..one(place, change)
    };
    let component = |model: &Model| {
        let states = run_of(model, &positive[0])
            .records()
            .array(place, Some(0), 0)
            .unwrap();
        let unit = ndarray::Array1::from(unit.vector.clone());
        states.into_dimensionality::<ndarray::Ix2>().unwrap().dot(&unit)
    };
    let before = component(&model);
    let after = component(&edited(&model, &[along(Change::Ablate(To::Number(0.0)))]));
    assert!(before.iter().any(|x| x.abs() > 0.1) && after.iter().all(|x| x.abs() < 1e-5));
    let twice = component(&edited(&model, &[along(Change::Scale(2.0))]));
    assert!((twice - before * 2.0).iter().all(|gap| gap.abs() < 1e-4));
    assert!(steering(&model, &positive, &positive, &options, &mut unwatched).is_err());
}

#[test]
fn the_mean_is_that_of_all_positions() {
    for (site, part) in [
        (Site::MlpOutput, Part::Whole),
        (Site::MlpInner, Part::Features(vec![4, 1])),
        (Site::HeadOutput, Part::Heads(vec![2])),
    ] {
        let model = model("gpt2-tiny", "float32");
        let inputs: Vec<Input> = ["one two", "three"]
            .iter()
            .map(|text| Input::new(&model, text, None).unwrap())
            .collect();
        let place = Place::of(site);
        let to_mean = Intervention {
            layers: Some(vec![1]),
            part: part.clone(),
            ..one(place, Change::Ablate(To::Mean(inputs.clone())))
        };
        let changed = edited(&model, &[to_mean]);
        let values = |model: &Model, input: &Input| {
            let array = run_of(model, input).records().array(place, Some(1), 0).unwrap();
            let array = match site {
                Site::MlpInner => array.reversed_axes(), // (position, neuron)
                Site::HeadOutput => array.index_axis_move(Axis(0), 2),
                _ => array,
            };
            array.into_dimensionality::<ndarray::Ix2>().unwrap()
        };
        let n: usize = inputs.iter().map(|input| input.ids.len()).sum();
        let sums = inputs.iter().map(|input| values(&model, input).sum_axis(Axis(0)));
        let mean = sums.reduce(|a, b| a + b).unwrap() / n as f32;
        let after = values(&changed, &Input::new(&model, "She said that", None).unwrap());
        let columns: Vec<usize> = match &part {
            Part::Features(features) => features.clone(),
            _ => (0..mean.len()).collect(),
        };
        for row in after.outer_iter() {
            for &column in &columns {
                assert!((row[column] - mean[column]).abs() < 1e-5, "{site:?} {column}");
            }
        }
    }
}

#[test]
fn what_is_not_there_is_named() {
    let model = model("gpt2-tiny", "float32");
    let said = |intervention: Intervention| match compile(&model, &[intervention], &mut unwatched) {
        Ok(_) => panic!("it was taken"),
        Err(error) => error.to_string(),
    };
    let zero = || Change::Ablate(To::Number(0.0));
    let inner = Place::of(Site::MlpInner);
    let at = |layers: &[usize], part: Part| Intervention {
        layers: Some(layers.to_vec()),
        part,
        ..one(inner, zero())
    };
    assert_eq!(
        said(at(&[7], Part::Whole)),
        "layer is 7: the model has layers 0 to 2"
    );
    assert_eq!(
        said(at(&[1], Part::Features(vec![3, 192]))),
        "neurons is 192: mlp_inner of layer 1 has 192 neurons, numbered 0 to 191"
    );
    assert_eq!(
        said(at(&[1], Part::Heads(vec![0]))),
        "heads is [0]: mlp_inner is not divided by heads; head_outputs is"
    );
    assert_eq!(
        said(one(Place::of(Site::CrossOutput), zero())),
        "the model has no cross_output"
    );
    assert_eq!(
        said(one(Place::of(Site::MlpUp), zero())),
        "the model has no mlp_up"
    );
    let vector = Change::Add {
        what: Vector::Values(vec![1.0; 7]),
        factor: 1.0,
    };
    assert_eq!(
        said(one(Place::of(Site::ResidualPost), vector)),
        "vector is a vector of 7 numbers: expected 48, as many as numbers residual_after has at each position"
    );
    let patch = Change::Patch(vec![(0, ArrayD::zeros(vec![4, 48]))]);
    let late = Intervention {
        layers: Some(vec![0]),
        positions: Some(vec![2..6]),
        ..one(Place::of(Site::ResidualPost), patch)
    };
    assert_eq!(
        said(late),
        "positions is 5: what is patched has 4 positions, numbered 0 to 3"
    );
    let (clean, mut corrupted) = pair(&model);
    corrupted.ids.push(5);
    let options = PatchOptions {
        place: inner,
        by: By::Position,
        target: Target::token(clean.ids.len(), 0),
    };
    let error = patch_map(&model, &clean, &corrupted, &options, &mut unwatched).unwrap_err();
    let (n, more) = (clean.ids.len(), clean.ids.len() + 1);
    let message = error.to_string();
    assert!(
        message.starts_with(&format!("the clean text has {n} tokens (")),
        "{message}"
    );
    assert!(
        message.contains(&format!("the corrupted one {more} (")),
        "{message}"
    );
    let same = patch_map(&model, &clean, &clean, &options, &mut unwatched).unwrap_err();
    assert!(same.to_string().contains("nothing can be restored"), "{same}");
    let mut polls = 0;
    let interrupted = patch_map(&model, &clean, &pair(&model).1, &options, &mut |_: &Progress| {
        polls += 1;
        match polls {
            1..=7 => ControlFlow::Continue(()),
            _ => ControlFlow::Break(()),
        }
    });
    assert!(matches!(
        interrupted,
        Err(Error::Model(ecco_models::Error::Interrupted))
    ));
}

/// Of a decoder, whose gradients are otherwise taken by a pass back that knows nothing of changes.
#[test]
fn nothing_comes_from_positions_that_are_cut_off() {
    let model = model("families/llama", "float64");
    let input = Input::new(&model, "She said that it", None).unwrap();
    let n = input.ids.len();
    let cut = |site| Intervention {
        positions: Some(vec![2..3]),
        ..one(Place::of(site), Change::Ablate(To::Number(0.0)))
    };
    let changed = edited(&model, &[cut(Site::Key), cut(Site::Value)]);
    let target = [Target::token(n, 9)];
    let signed = |model: &Model| {
        let options = AttributionOptions::default();
        let attribution = attribute(model, &input, &target, &options, &mut unwatched).expect("explained");
        attribution.signed[0].clone()
    };
    assert!(signed(&model)[2] != 0.0);
    let found = signed(&changed);
    assert!(
        found[2] == 0.0 && found.iter().filter(|x| **x == 0.0).count() == 1,
        "{found:?}"
    );
}

#[test]
fn gradients_go_through_what_was_changed() {
    let model = model("gpt2-tiny", "float64");
    let Body::Decoder(_) = model.body() else { panic!() };
    let half = one(Place::of(Site::AttentionOutput), Change::Scale(0.5));
    let changed = edited(&model, &[half]);
    let Body::Decoder(decoder) = changed.body() else {
        panic!()
    };
    let ids = model.tokenizer().encode("She said that").unwrap();
    guard(|| {
        let x = decoder.embed(&ids).detach().set_requires_grad(true);
        let value = |x: &tch::Tensor| {
            let states = decoder.forward(x, None, &mut ecco_models::tap::NoTap)?;
            Ok::<_, ecco_models::Error>(
                decoder
                    .logits(&states)
                    .select(1, -1)
                    .select(1, 9)
                    .sum(None::<Kind>),
            )
        };
        let gradient = tch::with_grad(|| {
            let value = value(&x)?;
            Ok::<_, ecco_models::Error>(tch::Tensor::run_backward(&[value], &[&x], false, false).remove(0))
        })?;
        let step = gradient.randn_like() * 1e-5;
        let moved = (value(&(&x + &step))? - value(&(&x - &step))?) / 2.0;
        let expected = (gradient * step).sum(None::<Kind>);
        let gap = (&moved - &expected).abs().double_value(&[]);
        assert!(
            gap < 1e-8 * (1.0 + expected.abs().double_value(&[])) + 1e-10,
            "{gap}"
        );
        Ok(())
    })
    .unwrap();
}
