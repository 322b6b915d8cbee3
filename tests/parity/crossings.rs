//! How often anything waits for data to cross between the host and the device, counted on the processor: the counts
//! are the same on a GPU, where each of them is a wait; but the most probable token is found where logits lie on a processor, so
//! that tokens are drawn here.

use std::ops::ControlFlow;
use std::path::Path;

use ecco_explain::attribution::{AttributionOptions, Method, Quantity, Target, attribute};
use ecco_explain::direct::{LogitQuery, direct};
use ecco_explain::intervention::divergence::divergence;
use ecco_explain::intervention::patching::{PatchOptions, patch_map};
use ecco_explain::lens::{Question, lens};
use ecco_explain::score::score;
use ecco_explain::sites::SiteAxis;
use ecco_interpreter::unwatched;
use ecco_models::edit::{Change, Edit, Part};
use ecco_models::generation::{GenerateOptions, generate};
use ecco_models::host::{Crossings, crossings};
use ecco_models::run::{self, Input};
use ecco_models::{Model, Place, Site};
use ecco_tests::model;

/// What crosses while something is done a second time: the first time may bring what then stays.
fn counted(mut done: impl FnMut()) -> Crossings {
    done();
    let before = crossings();
    done();
    crossings().since(before)
}

fn options(n: usize) -> GenerateOptions {
    GenerateOptions {
        generate: Some(n),
        seed: Some(3),
        // Nothing ends early.
        stop: vec![],
        ..GenerateOptions::default()
    }
}

fn drawn(n: usize) -> GenerateOptions {
    GenerateOptions {
        do_sample: Some(true),
        ..options(n)
    }
}

/// How many tokens were made, and what crossed meanwhile.
fn generated(model: &Model, options: &GenerateOptions) -> (u64, Crossings) {
    let mut n = 0;
    let crossed = counted(|| {
        let made = generate(model, "She said that it", options, &mut |_| {
            ControlFlow::Continue(())
        });
        n = made.expect("it generates").n_generated() as u64;
    });
    (n, crossed)
}

#[test]
fn a_token_crosses_once_however_it_is_chosen() {
    for name in [
        "families/llama",
        "families/opt",
        "families/bloom",
        "families/gemma2",
    ] {
        let model = model(name, "float32");
        let among = |top_k| GenerateOptions {
            top_k: Some(top_k),
            top_p: Some(0.9),
            min_p: Some(0.01),
            ..drawn(9)
        };
        for options in [among(5), among(0)] {
            let (n, crossed) = generated(&model, &options);
            assert_eq!(
                (n, crossed.to_host, crossed.to_device),
                (9, 9, 1),
                "{name} {options:?}"
            );
            assert_eq!(crossed.bytes_to_host, 9 * 8, "one id a token: {name}");
        }
        // The most probable one is found where logits lie, on a processor.
        let (n, crossed) = generated(&model, &options(9));
        assert_eq!((n, crossed.to_host, crossed.to_device), (9, 0, 1), "{name}");
    }
}

#[test]
fn a_changed_model_writes_with_no_more_crossings() {
    let model = model("families/llama", "float32");
    let edit = |site, part, change| Edit {
        place: Place::of(site),
        layer: 1,
        part,
        // Of the prompt, and of all that is written.
        positions: Some(vec![1..3, 5..usize::MAX]),
        change,
    };
    let scattered = vec![0, 3, 7, 9, 12, 14];
    let edits = vec![
        edit(Site::MlpInner, Part::Features(scattered), Change::Scale(0.5)),
        edit(Site::HeadOutputs, Part::Heads(vec![1]), Change::Set(0.0)),
        edit(Site::ResidualAfter, Part::Whole, Change::Scale(1.5)),
    ];
    let changed = model.edited(&model.edits(edits).expect("edits"));
    let (n, crossed) = generated(&changed, &drawn(7));
    assert_eq!((n, crossed.to_host, crossed.to_device), (7, 7, 1));
}

#[test]
fn beams_cross_once_a_step() {
    let model = model("families/llama", "float32");
    for do_sample in [false, true] {
        let options = GenerateOptions {
            beam_size: Some(4),
            do_sample: Some(do_sample),
            ..options(6)
        };
        let (n, crossed) = generated(&model, &options);
        assert_eq!((n, crossed.to_host), (6, 6), "drawn: {do_sample}");
        // Scores so far, which beams go on, their last tokens.
        assert!(crossed.to_device <= 3 * 6, "drawn: {do_sample}: {crossed:?}");
    }
}

#[test]
fn experts_tell_how_many_tokens_they_get_once_a_layer() {
    let model = model("families/mixtral", "float32");
    let (n, crossed) = generated(&model, &drawn(5));
    assert_eq!(crossed.to_host, n * (1 + model.config().n_layers as u64));
}

fn text(model: &Model) -> Input {
    Input::new(model, "She said that it was not what they had wanted", None).expect("a text")
}

#[test]
fn an_attribution_crosses_as_often_for_many_targets_as_for_one() {
    let model = model("families/llama", "float32");
    let input = text(&model);
    let n = input.ids.len();
    assert!(n >= 16 && model.config().n_layers >= 2);
    for &method in Method::ALL {
        let of = |first: usize| {
            let options = AttributionOptions {
                n_steps: 4,
                n_samples: Some(48),
                ..AttributionOptions::with(method)
            };
            let targets = Target::written(&input, first);
            counted(|| {
                attribute(&model, &input, &targets, &options, &mut unwatched).expect("an attribution");
            })
        };
        // KernelSHAP enumerates for targets with fewer sources than these, in passes of their own.
        let (few, many) = (of(n - 1), of(8));
        assert_eq!(few.to_host, many.to_host, "{method:?}");
        assert!(many.to_host <= 3, "{method:?}: {many:?}");
    }
}

#[test]
fn what_is_read_of_a_text_crosses_at_once() {
    let model = model("families/llama", "float32");
    let input = text(&model);
    let n = input.ids.len();
    let once = |what: &str, done: &mut dyn FnMut()| assert_eq!(counted(done).to_host, 1, "{what}");
    once("scores", &mut || {
        score(&model, &input, 1, &mut unwatched).expect("scores");
    });
    once("a divergence", &mut || {
        divergence(&model, &model, &input, &mut unwatched).expect("a divergence");
    });
    once("a lens", &mut || {
        let question = Question {
            rows: (0..n).collect(),
            depths: (0..=model.config().n_layers).collect(),
            top_k: 3,
            watch: vec![vec![1, 2, 3]; n],
            raw: false,
        };
        lens(&model, &input, &question, &mut unwatched).expect("a lens");
    });
    once("what parts wrote", &mut || {
        let wanted = LogitQuery {
            row: 3,
            token: 5,
            contrast: Some(6),
        };
        direct(&model, &input, wanted, &mut unwatched).expect("parts");
    });
    let mut corrupted = input.clone();
    corrupted.ids[1] = 77;
    for (site, by) in [
        (Site::ResidualAfter, SiteAxis::Position),
        (Site::HeadOutputs, SiteAxis::Head),
    ] {
        once("a map of patches", &mut || {
            let options = PatchOptions {
                place: Place::of(site),
                by,
                answer: (Target::token(n, 5).of(Quantity::Logit)).into(),
            };
            patch_map(&model, &input, &corrupted, &options, &mut unwatched).expect("a map");
        });
    }
}

#[test]
fn a_run_crosses_once_for_what_is_kept_and_once_for_what_is_said() {
    for name in ["families/llama", "families/bert", "families/t5"] {
        let model = model(name, "float32");
        let is_pair = model.config().encoder.is_some();
        let input = Input::new(&model, "She said that it", is_pair.then_some("was")).expect("a text");
        let crossed = counted(|| {
            run::run(&model, vec![input.clone()], 3, &mut unwatched).expect("a run");
        });
        // Without a mask among its tokens, a masked model says nothing.
        let (stacks, says) = (1 + u64::from(is_pair), u64::from(name != "families/bert"));
        assert_eq!(crossed.to_host, stacks + says, "{name}");
        let shapes = counted(|| {
            run::sites(&model).expect("sites");
        });
        assert_eq!(shapes.to_host, 0, "{name}: its shapes");
    }
}

/// Clippy's list of disallowed methods has the others.
#[test]
fn no_tensor_is_made_a_vector_but_on_the_way_that_is_counted() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let (mut folders, mut n_files, mut found) = (Vec::new(), 0, Vec::new());
    folders.extend(["models/src", "explain/src", "primitives/src"].map(|folder| root.join(folder)));
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("the sources are there") {
            let path = entry.expect("readable").path();
            // Conversations have numbers and no tensors; tests read tensors as is shortest.
            if path.ends_with("models/src/chat") || path.ends_with("tests.rs") {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            n_files += 1;
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            let is_one = |line: &&str| {
                let (before, after) = line.split_once("try_from(").unwrap_or_default();
                let types = ["Vec::", ">::", "f64::", "f32::", "bool::"];
                !after.is_empty() && types.iter().any(|of| before.ends_with(of)) || line.contains(".print()")
            };
            found.extend(
                text.lines()
                    .filter(is_one)
                    .map(|line| format!("{}: {line}", path.display())),
            );
        }
    }
    assert!(n_files > 150, "only {n_files} files");
    assert!(found.is_empty(), "{found:#?}");
}
