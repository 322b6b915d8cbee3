//! Models whose blocks stay as the file has them, against the same with all their numbers in memory.

use std::ops::ControlFlow;

use ecco_explain::attribution::{AttributionOptions, Method, Target, attribute};
use ecco_explain::direct::{LogitQuery, direct};
use ecco_explain::lens::{Question, lens};
use ecco_interpreter::unwatched;
use ecco_models::edit::{Change, Edit, Part};
use ecco_models::model::Body;
use ecco_models::run::Input;
use ecco_models::{GenerateOptions, LoadOptions, Model, Place, Site, capture, generate};
use ecco_tests::{assert_close, fixtures};

use crate::families::for_each;
use crate::gguf::{cases, open};

/// Of rounding: these matrices are small, so that products are the same but for single directions'.
const TOLERANCE: f32 = 1e-6;

/// The model of a case, as it is stored and as numbers.
fn both(name: &str) -> [Model; 2] {
    let [stored, numbers] = ["stored", "float32"].map(|dtype| open(name, Some(dtype)));
    assert_eq!(stored.dtype(), "float32", "{name}");
    assert_eq!(stored.n_parameters(), numbers.n_parameters(), "{name}");
    assert!(
        2 * stored.memory_bytes() < numbers.memory_bytes(),
        "{name}: {} of {}",
        stored.memory_bytes(),
        numbers.memory_bytes()
    );
    [stored, numbers]
}

fn names() -> Vec<String> {
    cases().keys().cloned().collect()
}

fn text(model: &Model) -> Input {
    let is_pair = matches!(model.body(), Body::EncoderDecoder(_));
    Input::new(
        model,
        "She said that it was there.",
        is_pair.then_some("so she did"),
    )
    .expect("a text")
}

#[test]
fn logits_and_everything_inside() {
    for_each(&names(), |name| {
        let [stored, numbers] = both(name).map(|model| {
            let ids = text(&model).ids;
            let logits = crate::gguf::logits(&model, &ids);
            if let Body::EncoderDecoder(_) = model.body() {
                return vec![logits];
            }
            let sites = [Site::ResidualBefore, Site::AttentionPattern, Site::MlpInner];
            let found = capture(&model, &ids, &sites, None, &mut unwatched).expect("a pass");
            let inside = sites.map(|site| found.array(site).expect("recorded"));
            inside.into_iter().chain([logits]).collect()
        });
        for (stored, numbers) in stored.iter().zip(&numbers) {
            assert_close(name, stored, numbers, TOLERANCE);
        }
    });
}

#[test]
fn greedy_tokens() {
    for_each(&names(), |name| {
        let [stored, numbers] = both(name).map(|model| {
            let options = GenerateOptions {
                generate: Some(12),
                do_sample: Some(false),
                ..GenerateOptions::default()
            };
            let made = generate(&model, "She said that it", &options, &mut |_| {
                ControlFlow::Continue(())
            });
            made.expect("it writes")
                .tokens
                .iter()
                .map(|token| token.id)
                .collect::<Vec<_>>()
        });
        assert_eq!(stored, numbers, "{name}");
    });
}

fn near(what: &str, stored: &[f64], numbers: &[f64]) {
    let largest = numbers.iter().fold(0.0, |most: f64, x| most.max(x.abs()));
    assert_eq!(stored.len(), numbers.len(), "{what}");
    for (stored, numbers) in stored.iter().zip(numbers) {
        let gap = (stored - numbers).abs();
        assert!(gap <= 1e-5 * largest.max(1e-3), "{what}: {stored}, {numbers}");
    }
}

/// Of the last token of a short text.
fn signed(model: &Model, method: Method) -> Vec<f64> {
    let is_pair = matches!(model.body(), Body::EncoderDecoder(_));
    let input = Input::new(model, "She said", is_pair.then_some("so")).expect("a text");
    let options = AttributionOptions {
        n_steps: 2,
        n_samples: Some(48),
        ..AttributionOptions::with(method)
    };
    let first = input.spoken().len() - 1;
    let targets = Target::written(&input, first);
    let found = attribute(model, &input, &targets, &options, &mut unwatched).expect("an attribution");
    found.signed.into_iter().flatten().collect()
}

/// By the passes that are written out, and by autograd: of experts, encoder–decoders and rules.
#[test]
fn every_method_of_attribution() {
    for name in ["llama", "gpt2", "qwen3moe", "t5"] {
        let [stored, numbers] = both(name);
        for &method in Method::ALL {
            let what = format!("{name} {method:?}");
            near(&what, &signed(&stored, method), &signed(&numbers, method));
        }
    }
}

#[test]
fn saliency_of_every_architecture() {
    for_each(&names(), |name| {
        let [stored, numbers] = both(name);
        near(
            name,
            &signed(&stored, Method::GradXInput),
            &signed(&numbers, Method::GradXInput),
        );
    });
}

#[test]
fn the_lens_and_what_parts_wrote() {
    for name in ["llama", "gpt2", "bloom", "mixtral"] {
        let [stored, numbers] = both(name).map(|model| {
            let input = text(&model);
            let question = Question {
                rows: (0..input.ids.len()).collect(),
                depths: (0..=model.config().n_layers).collect(),
                top_k: 3,
                watch: vec![vec![1, 2, 3]; input.ids.len()],
                raw: false,
            };
            let seen = lens(&model, &input, &question, &mut unwatched).expect("a lens");
            let wanted = LogitQuery {
                row: 3,
                token: 5,
                contrast: Some(6),
            };
            let parts = direct(&model, &input, wanted, &mut unwatched).expect("parts");
            let top = seen.readings.iter().flatten().map(|reading| reading.top[0].0);
            (top.collect::<Vec<_>>(), parts.sum(), parts.logit)
        });
        assert_eq!(stored.0, numbers.0, "{name}");
        near(name, &[stored.1, stored.2], &[numbers.1, numbers.2]);
    }
}

#[test]
fn a_changed_model() {
    for name in ["llama", "gpt2"] {
        let [stored, numbers] = both(name).map(|model| {
            let edit = Edit {
                place: Place::of(Site::MlpInner),
                layer: 1,
                part: Part::Features(vec![0, 3]),
                positions: None,
                change: Change::Set(2.0),
            };
            let changed = model.edited(&model.edits(vec![edit]).expect("edits"));
            let ids = text(&model).ids;
            let (found, own) = (
                changed.logits(&ids).expect("a pass"),
                model.logits(&ids).expect("a pass"),
            );
            assert_ne!(found, own, "{name}");
            found
        });
        assert_close(name, &stored, &numbers, TOLERANCE);
    }
}

/// Half floats on the processor, which become float32 otherwise.
#[test]
fn half_floats_stay_as_they_are_stored() {
    let folder = Copy::with_half_floats();
    let [stored, numbers] = [Some("stored"), None].map(|dtype| folder.open(dtype, None));
    assert_eq!(stored.dtype(), "float32");
    assert_eq!(stored.n_parameters(), numbers.n_parameters());
    assert!(stored.memory_bytes() * 10 < numbers.memory_bytes() * 6);
    let ids = text(&stored).ids;
    assert_eq!(
        stored.logits(&ids).expect("a pass"),
        numbers.logits(&ids).expect("a pass")
    );
    let of_brain = |dtype: &str| {
        let options = LoadOptions {
            dtype: Some(dtype.into()),
            device: Some("cpu".into()),
            ..LoadOptions::default()
        };
        Model::open(&fixtures().join("gpt2-tiny-bf16"), &options, &mut unwatched).expect("a model")
    };
    let [stored, numbers] = ["stored", "float32"].map(of_brain);
    assert_eq!(stored.dtype(), "float32");
    // Vectors are numbers.
    assert!(stored.memory_bytes() * 10 < numbers.memory_bytes() * 6);
    let ids = text(&stored).ids;
    let [stored, numbers] = [stored, numbers].map(|model| model.logits(&ids).expect("a pass"));
    assert_close("bfloat16", &stored, &numbers, TOLERANCE);
}

/// Beside weights that stay as they are stored, and in the place of some.
#[test]
fn adapters_on_top() {
    let folder = Copy::with_half_floats();
    for adapter in ["llama", "llama-dora", "llama-tokens"] {
        let adapter = fixtures().join("adapters").join(adapter).display().to_string();
        let [stored, numbers] = [Some("stored"), None].map(|dtype| folder.open(dtype, Some(adapter.clone())));
        let ids = text(&stored).ids;
        for share in [0.0, 0.5, 1.0] {
            let [stored, numbers] = [&stored, &numbers].map(|model| {
                model
                    .adapted(share)
                    .and_then(|view| view.logits(&ids))
                    .expect("a pass")
            });
            assert_close(&adapter, &stored, &numbers, TOLERANCE);
        }
    }
}

/// A model of half floats, in a folder of its own.
struct Copy(std::path::PathBuf);

impl Copy {
    fn with_half_floats() -> Self {
        let number = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .expect("a time")
            .as_nanos();
        let to = std::env::temp_dir().join(format!("ecco-stored-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&to).expect("a folder");
        let from = fixtures().join("families/llama");
        for file in ["config.json", "tokenizer.json"] {
            std::fs::copy(from.join(file), to.join(file)).expect("a copy");
        }
        let tensors = tch::Tensor::read_safetensors(from.join("model.safetensors")).expect("weights");
        let halves: Vec<(String, tch::Tensor)> = tensors
            .into_iter()
            .map(|(name, tensor)| (name, tensor.to_kind(tch::Kind::Half)))
            .collect();
        tch::Tensor::write_safetensors(&halves, to.join("model.safetensors")).expect("written");
        Self(to)
    }

    fn open(&self, dtype: Option<&str>, adapter: Option<String>) -> Model {
        let options = LoadOptions {
            dtype: dtype.map(str::to_owned),
            device: Some("cpu".into()),
            adapter,
            ..LoadOptions::default()
        };
        Model::open(&self.0, &options, &mut unwatched).unwrap_or_else(|error| panic!("{error}"))
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
