//! Models in several parts against the same in one.
//!
//! Without several devices, layers of another type stand for layers elsewhere: a product of tensors of two types fails,
//! as one of tensors on two devices does. So each border that is crossed without bringing what is needed shows.

use std::ops::ControlFlow;

use ecco_explain::direct::{LogitQuery, direct};
use ecco_explain::lens::{Question, lens};
use ecco_explain::{AttributionOptions, Method, Outcome, Target, attribute};
use ecco_interpreter::unwatched;
use ecco_models::config::Task;
use ecco_models::edit::{Change, Edit, Part};
use ecco_models::model::Body;
use ecco_models::placement::{Placement, Spot};
use ecco_models::run::{Input, Place, Run, run, sites};
use ecco_models::tap::to_array;
use ecco_models::{GenerateOptions, LoadOptions, Model, Site, capture, generate};
use ecco_tests::{assert_close, cases, fixtures, model, of_all_layers};
use tch::{Device, Kind, Tensor};

use crate::families::for_each;

const CPU: Device = Device::Cpu;
const DOUBLE: Spot = Spot {
    device: CPU,
    kind: Some(Kind::Double),
};

/// The model with every second layer, beginning with the first or the second, in double precision.
fn in_parts(name: &str, first: usize) -> Model {
    let whole = model(name, "float32");
    let n_encoder_layers = match whole.body() {
        Body::EncoderDecoder(both) => both.encoder.blocks.len(),
        _ => 0,
    };
    let n_layers = n_encoder_layers + whole.stack().blocks.len();
    let elsewhere = (first..n_layers)
        .step_by(2)
        .map(|layer| (layer..layer + 1, DOUBLE));
    let placement = Placement {
        main: Spot::on(CPU),
        elsewhere: elsewhere.collect(),
        n_encoder_layers,
    };
    let options = LoadOptions {
        dtype: Some("float32".into()),
        ..Default::default()
    };
    let model = Model::open_placed(&fixtures().join(name), &options, &placement, &mut unwatched).expect(name);
    let places = model.stack().places().into_iter();
    let is_double: Vec<bool> = places.map(|(kind, _)| kind == Kind::Double).collect();
    // ALBERT's layers share weights, and so are where these are.
    assert!(is_double.contains(&true) || first == 1, "{name}: {is_double:?}");
    model
}

fn inputs(model: &Model) -> Vec<Input> {
    let target = matches!(model.body(), Body::EncoderDecoder(_)).then_some("Une forêt\n");
    let texts = ["She said that it was there.", "Où ? l'été\n🎉 日"];
    texts
        .map(|text| Input::new(model, text, target).expect(text))
        .into()
}

fn at(runs: &[Run], text: usize) -> (&Run, usize) {
    let found = runs
        .iter()
        .find_map(|run| Some((run, run.order().iter().position(|&at| at == text)?)));
    found.expect("every text is somewhere")
}

#[test]
fn every_site_and_what_heads_say() {
    for_each(&cases(), |name| {
        let whole = model(name, "float32");
        let expected = run(&whole, inputs(&whole), 3, &mut unwatched).unwrap();
        let places: Vec<Place> = sites(&whole)
            .unwrap()
            .into_iter()
            .map(|(place, _)| place)
            .collect();
        for first in [0, 1] {
            let parts = in_parts(name, first);
            let found = run(&parts, inputs(&parts), 3, &mut unwatched).unwrap();
            for text in 0..2 {
                let ((expected, i), (found, j)) = (at(&expected, text), at(&found, text));
                for place in &places {
                    let what = format!("{name} from {first}: {} of text {text}", place.name());
                    if let Some(array) = of_all_layers(expected.records(), *place, i) {
                        let found = of_all_layers(found.records(), *place, j).unwrap();
                        assert_close(&what, &found, &array, 1e-4);
                    }
                }
                if let Ok(logits) = expected.logits(&whole, i) {
                    let found = found.logits(&parts, j).unwrap();
                    assert_close(&format!("{name} logits"), &found, &logits, 1e-4);
                }
            }
        }
    });
}

#[test]
fn what_layers_would_say_and_what_parts_wrote() {
    for_each(&cases(), |name| {
        let whole = model(name, "float32");
        if !matches!(whole.config().task, Task::NextToken | Task::MaskedToken(_)) {
            return;
        }
        let input = inputs(&whole).remove(0);
        let question = Question {
            rows: vec![0, input.spoken().len() - 1],
            depths: (0..=whole.config().n_layers).collect(),
            top_k: 1,
            watch: vec![vec![70], vec![7]],
            raw: false,
        };
        let parts = in_parts(name, 0);
        let read = |model: &Model| lens(model, &input, &question, &mut unwatched).unwrap().readings;
        for (expected, found) in read(&whole).iter().flatten().zip(read(&parts).iter().flatten()) {
            let (p, q) = (expected.watched[0].probability, found.watched[0].probability);
            assert!((p - q).abs() < 1e-4 * (1.0 + p), "{name}: {q}, {p}");
            assert!((expected.entropy - found.entropy).abs() < 1e-3, "{name}");
        }
        if whole.config().task == Task::NextToken {
            let wanted = LogitQuery {
                row: question.rows[1],
                token: 70,
                contrast: Some(7),
            };
            let found = direct(&parts, &input, wanted, &mut unwatched).unwrap();
            let expected = direct(&whole, &input, wanted, &mut unwatched).unwrap();
            let size = expected
                .layers
                .iter()
                .map(|layer| layer.mlp.abs() + layer.attention.abs());
            let allowed = 2e-4 * (1.0 + size.sum::<f64>());
            assert!(
                (found.sum() - found.logit).abs() < allowed,
                "{name}: {}",
                found.sum()
            );
            assert!(
                (found.logit - expected.logit).abs() < allowed,
                "{name}: {}",
                found.logit
            );
        }
    });
}

#[test]
fn generated_tokens() {
    for_each(&cases(), |name| {
        let whole = model(name, "float32");
        if whole.config().task != Task::NextToken {
            return;
        }
        let parts = in_parts(name, 0);
        for beam_size in [1, 3] {
            let options = GenerateOptions {
                generate: Some(6),
                beam_size: Some(beam_size),
                ..Default::default()
            };
            let ids = |model: &Model| {
                let mut go_on = |_: &ecco_models::Draft| ControlFlow::Continue(());
                generate(model, "She said", &options, &mut go_on).unwrap().ids()
            };
            assert_eq!(ids(&parts), ids(&whole), "{name}, {beam_size} beams");
        }
    });
}

/// Scores of what a model says of a text, by a method.
fn contributions(model: &Model, method: Method) -> Option<Vec<Vec<f32>>> {
    let input = inputs(model).remove(0);
    let targets = match (&model.config().task, input.target.is_empty()) {
        (Task::NextToken, true) => Target::written(&input, 4),
        (Task::NextToken, false) => Target::written(&input, 1),
        (task @ Task::Label(_), _) if !task.is_of_text() => vec![
            Outcome::TokenLabel {
                position: 3,
                label: 0,
            }
            .into(),
        ],
        (Task::Label(_), _) => vec![Target::label(0)],
        (Task::MaskedToken(_), _) => vec![Target::token(3, 7)],
        (Task::States, _) => return None,
    };
    let options = AttributionOptions {
        n_steps: 8,
        ..AttributionOptions::with(method)
    };
    let found = attribute(model, &input, &targets, &options, &mut unwatched);
    Some(found.unwrap_or_else(|error| panic!("{method:?}: {error}")).scores)
}

fn assert_same_contributions(name: &str, methods: &[Method], tolerance: f32) {
    let (whole, parts) = (model(name, "float32"), in_parts(name, 0));
    for &method in methods {
        let (found, expected) = (contributions(&parts, method), contributions(&whole, method));
        let (found, expected) = (found.unwrap_or_default(), expected.unwrap_or_default());
        assert_eq!(found.len(), expected.len(), "{name}");
        for (found, expected) in found.iter().flatten().zip(expected.iter().flatten()) {
            assert!(
                (found - expected).abs() < tolerance,
                "{name} {method:?}: {found}, {expected}"
            );
        }
    }
}

#[test]
fn contributions_to_tokens_and_labels() {
    for_each(&cases(), |name| {
        let methods = [
            Method::GradXInput,
            Method::IntegratedGradients,
            Method::LayerwiseRelevance,
            Method::GuidedBackprop,
        ];
        assert_same_contributions(name, &methods, 1e-4);
        // Which differences are too small to divide by hangs on the type, and shows where slopes bend (xIELU).
        assert_same_contributions(name, &[Method::DeepLift], 5e-4);
    });
}

#[test]
fn contributions_by_every_method() {
    let names = ["llama", "gemma2", "bert-labels", "deberta-v2-convolution", "t5"];
    for_each(&names.map(|name| format!("families/{name}")), |name| {
        // Differences of two passes are rounded where they are small, one way in float32 and another in float64.
        assert_same_contributions(name, Method::ALL, 5e-3);
    });
}

#[test]
fn edits_are_made_where_their_layers_are() {
    for_each(
        &[
            "families/llama".into(),
            "families/bert".into(),
            "families/t5".into(),
        ],
        |name| {
            let logits = |model: &Model| {
                let vector = Tensor::ones([16], (Kind::Float, CPU));
                let edit = |layer, change| Edit {
                    place: Place::of(Site::ResidualAfter),
                    layer,
                    part: Part::Whole,
                    positions: None,
                    change,
                };
                let edits = vec![
                    edit(0, Change::Add(vector.shallow_clone())),
                    edit(1, Change::Add(vector * 2.0)),
                ];
                let model = model.edited(&model.edits(edits).unwrap());
                let runs = run(&model, inputs(&model), 1, &mut unwatched).unwrap();
                runs[0].logits(&model, 0).unwrap()
            };
            let whole = model(name, "float32");
            assert_close(name, &logits(&in_parts(name, 0)), &logits(&whole), 1e-4);
        },
    );
}

#[test]
fn captures_of_layers_in_several_places_are_one_tensor() {
    let parts = in_parts("families/llama", 0);
    let ids = parts.tokenizer().encode("She said").unwrap();
    let captured = capture(&parts, &ids, &[Site::ResidualAfter], None, &mut unwatched).unwrap();
    let kinds = [0, 1].map(|layer| captured.tensor(Site::ResidualAfter, layer).kind());
    assert_eq!(kinds, [Kind::Double, Kind::Float]);
    let all = captured.array(Site::ResidualAfter).unwrap();
    let last = to_array(&captured.tensor(Site::ResidualAfter, 1).get(0)).unwrap();
    assert_eq!(all.index_axis(ndarray::Axis(0), 1), last);
}

#[test]
fn auto_is_the_processor_where_there_is_no_gpu() {
    let options = LoadOptions {
        device: Some("auto".into()),
        ..Default::default()
    };
    let model = Model::open(&fixtures().join("families/llama"), &options, &mut unwatched).unwrap();
    match ecco_models::device::rooms().unwrap().len() {
        1 => {
            eprintln!("skipped for want of a GPU: that `auto` fills it first");
            assert_eq!(model.device(), "cpu");
            assert_eq!(model.layer_devices(), ["cpu", "cpu"]);
        }
        _ => assert_eq!(model.device(), "cuda:0"),
    }
}
