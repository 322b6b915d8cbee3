//! Gradients at sites, what is made of them, and how near they come to patching.

use ecco_explain::intervention::estimate::{Estimate, EstimateOptions, attribution_patching};
use ecco_explain::sites::{Gradient, SiteAttribution, SiteMethod, SiteOptions, attribute_site, gradient};
use ecco_models::config::{Activation, Mlp};
use ecco_tests::stored_tensor;

use super::patching::pair;
use super::*;

/// A logit, or what there is like it.
pub(crate) fn target(model: &Model, input: &Input) -> Option<Target> {
    let n = input.spoken().len();
    let target = match &model.config().task {
        Task::States => return None,
        task @ Task::Label(_) if !task.is_of_text() => ecco_explain::Outcome::TokenLabel {
            position: 1,
            label: 0,
        }
        .into(),
        Task::Label(_) => Target::label(0),
        Task::MaskedToken(_) => Target::token(n - 2, 1),
        Task::NextToken => Target::token(n, 1).against(2),
    };
    Some(target.of(Quantity::Logit))
}

pub(super) fn gradient_at(model: &Model, input: &Input, place: Place, layer: Option<usize>) -> Gradient {
    let target = target(model, input).expect("a head");
    let layers = layer.as_ref().map(std::slice::from_ref);
    gradient(model, input, &target, place, layers, &mut unwatched)
        .unwrap_or_else(|error| panic!("{} {}: {error}", model.name(), place.name()))
}

struct Case {
    name: String,
    model: Model,
    clean: Input,
    corrupted: Input,
    target: Target,
    told: Value,
}

impl Case {
    fn stored(&self, name: &str) -> ArrayD<f32> {
        stored_tensor(
            &fixtures().join("circuits.safetensors"),
            &format!("{}.{name}", self.name),
        )
    }
}

/// Those whose gradients another implementation gave.
fn cases() -> Vec<Case> {
    let file = std::fs::read(fixtures().join("circuits.json")).expect("it is there");
    let json: Value = serde_json::from_slice(&file).expect("valid JSON");
    let models = json["models"].as_object().expect("models");
    let cases: Vec<Case> = models
        .iter()
        .filter(|(_, told)| told["clean"].is_number())
        .map(|(name, told)| {
            let model = model(name, "float64");
            let input = |key: &str| Input::of(&model, integers(&json[key]), vec![]).expect("a text");
            let (clean, corrupted) = (input("clean"), input("corrupted"));
            let id = |key: &str| json[key].as_u64().expect("an id") as u32;
            let target = Target::token(clean.ids.len(), id("target")).against(id("contrast"));
            Case {
                name: name.clone(),
                target: target.of(Quantity::Logit),
                told: told.clone(),
                model,
                clean,
                corrupted,
            }
        })
        .collect();
    assert!(cases.len() >= 5);
    cases
}

const STORED: [Site; 5] = [
    Site::ResidualBefore,
    Site::HeadOutputs,
    Site::AttentionOutput,
    Site::MlpInner,
    Site::MlpOutput,
];

/// As a pass has it: neurons last.
fn by_position(site: Site, array: ArrayD<f32>) -> ArrayD<f32> {
    match site {
        Site::MlpInner => array.permuted_axes(ndarray::IxDyn(&[0, 2, 1])),
        _ => array,
    }
}

#[test]
fn gradients_at_sites_are_autograds_of_transformers() {
    for case in cases() {
        for site in STORED {
            let place = Place::of(site);
            let found = gradient(
                &case.model,
                &case.clean,
                &case.target,
                place,
                None,
                &mut unwatched,
            );
            let found = found.expect("gradients");
            let expected = case.told["clean"].as_f64().expect("a number");
            assert!((found.answer - expected).abs() < 1e-5, "{}", case.name);
            let what = format!("{} {}", case.name, place.name());
            let array = by_position(site, found.gradients.array(place, None, 0).expect("recorded"));
            assert_close(
                &what,
                &array,
                &case.stored(&format!("gradient.{}", place.name())),
                2e-5,
            );
            // Of one layer the same.
            let one = gradient(
                &case.model,
                &case.clean,
                &case.target,
                place,
                Some(&[1]),
                &mut unwatched,
            );
            let one = one
                .expect("gradients")
                .gradients
                .array(place, Some(1), 0)
                .expect("recorded");
            assert_close(
                &what,
                &by_position(site, one.insert_axis(Axis(0))).index_axis_move(Axis(0), 0),
                &array.index_axis_move(Axis(0), 1),
                1e-6,
            );
        }
    }
}

fn estimate(case: &Case, clean: &Input, corrupted: &Input, site: Site, by: SiteAxis) -> Estimate {
    let options = EstimateOptions {
        patch: PatchOptions {
            place: Place::of(site),
            by,
            answer: (case.target).into(),
        },
        n_steps: 0,
        n_measured: 6,
        seed: 0,
    };
    attribution_patching(&case.model, clean, corrupted, &options, &mut unwatched).expect("an estimate")
}

#[test]
fn estimates_are_differences_times_gradients() {
    for case in cases() {
        for site in STORED {
            let place = Place::of(site);
            let by = SiteAxis::usual(place);
            // The other way round it is the answer to the clean text that is broken.
            for (way, clean, corrupted) in [
                ("denoise", &case.clean, &case.corrupted),
                ("noise", &case.corrupted, &case.clean),
            ] {
                let found = estimate(&case, clean, corrupted, site, by);
                let what = format!("{} {way} {}", case.name, place.name());
                let elements = by_position(site, found.elements.array(place, None, 0).expect("recorded"));
                let elements = match site {
                    Site::MlpInner => elements,
                    _ => elements.sum_axis(Axis(elements.ndim() - 1)),
                };
                let expected = case.stored(&format!("{way}.{}", place.name()));
                assert_close(&what, &elements, &expected, 5e-5);
                let parts = match site {
                    Site::HeadOutputs | Site::MlpInner => expected.sum_axis(Axis(2)),
                    _ => expected,
                };
                assert_close(&what, &found.changes.mapv(|x| x as f32).into_dyn(), &parts, 1e-4);
                // What is measured is a cell of the map of patches.
                let map = patch_map(
                    &case.model,
                    clean,
                    corrupted,
                    &found.options.patch,
                    &mut unwatched,
                );
                let map = map.expect("a map");
                assert_eq!(found.measured.len(), found.changes.len().min(6), "{what}");
                for one in &found.measured {
                    let expected = map.patched[one.at] - map.corrupted;
                    assert!(
                        (one.change - expected).abs() < 1e-9,
                        "{what}: {one:?}, expected {expected}"
                    );
                }
                assert!((found.clean - map.clean).abs() < 1e-12, "{what}");
            }
        }
    }
}

#[test]
fn gradients_are_what_small_changes_make_at_every_site_of_every_family() {
    const STEP: f64 = 1e-4;
    let (mut n_places, mut n_models) = (0, 0);
    for (name, model, input) in families_in("float64") {
        if target(&model, &input).is_none() {
            continue;
        }
        n_models += 1;
        // Every second site of a family, and the others of the next one.
        let sites = run::sites(&model).expect("it has sites");
        for (place, _) in sites.into_iter().skip(n_models % 2).step_by(2) {
            let mut layers = run::probe(&model).expect("it runs").layers(place);
            // Keys and values are changed where they are made.
            if matches!(place.site, Site::Keys | Site::Values) {
                layers.retain(|&layer| model.config().source(layer).is_none());
            }
            let layer = (place.axes()[0] == "layer").then(|| layers[layers.len() / 2]);
            let found = gradient_at(&model, &input, place, layer);
            let array = found.gradients.array(place, layer, 0).expect("recorded");
            let axes: Vec<_> = place.axes().iter().filter(|axis| **axis != "layer").collect();
            let rows = axes
                .iter()
                .position(|axis| matches!(**axis, "position" | "query"))
                .expect("rows");
            let expected: f32 = array.slice_axis(Axis(rows), (1..3).into()).sum();
            let answer = |what: f64| {
                let change = Change::Add {
                    what: Vector::Number(what),
                    factor: 1.0,
                };
                let change = Intervention {
                    layers: layer.map(|layer| vec![layer]),
                    positions: Some(vec![1..3]),
                    ..one(place, change)
                };
                gradient_at(&edited(&model, &[change]), &input, place, layer).answer
            };
            let slope = (answer(STEP) - answer(-STEP)) / (2.0 * STEP);
            let gap = (slope - f64::from(expected)).abs();
            let size = f64::from(array.iter().fold(0.0f32, |most, x| most.max(x.abs())));
            assert!(
                gap < 1e-4 * (1e-2 + slope.abs() + size),
                "{name} {} {layer:?}: {expected}, expected {slope}",
                place.name()
            );
            n_places += 1;
        }
    }
    assert!(n_models >= 50 && n_places > 350, "{n_models} {n_places}");
}

fn attributed(
    model: &Model,
    input: &Input,
    target: Target,
    place: Place,
    method: SiteMethod,
) -> SiteAttribution {
    // Neurons with a kink take more steps.
    let is_smooth = model.config().activation != Activation::Relu;
    let options = SiteOptions {
        place,
        layers: None,
        target,
        method,
        n_steps: if is_smooth { 50 } else { 400 },
        by: SiteAxis::Position,
    };
    attribute_site(model, input, &options, &mut unwatched)
        .unwrap_or_else(|error| panic!("{} {}: {error}", model.name(), place.name()))
}

fn sums(found: &SiteAttribution) -> Vec<f64> {
    found.contributions.outer_iter().map(|row| row.sum()).collect()
}

#[test]
fn relevance_of_every_layer_is_the_answer_but_for_what_else_gives_it() {
    let mut n_places = 0;
    for (name, model, input) in families_in("float64") {
        let Some(target) = target(&model, &input) else {
            continue;
        };
        for (place, _) in run::sites(&model).expect("it has sites") {
            if place.axes()[0] != "layer" {
                continue;
            }
            let found = attributed(&model, &input, target, place, SiteMethod::LayerwiseRelevance);
            for (layer, completeness) in found.layers.iter().zip(&found.completeness) {
                let completeness = completeness.expect("promised of a logit");
                let size = 1.0 + completeness.promised.abs() + found.answer.abs();
                assert!(
                    completeness.error < 1e-8 * size,
                    "{name} {} {layer}: {completeness:?}",
                    place.name()
                );
                n_places += 1;
            }
        }
    }
    assert!(n_places > 1500, "{n_places}");
    // Without biases the stream's relevance is the logit, layer by layer.
    for name in ["families/llama", "families/gemma2", "families/qwen3"] {
        let model = model(name, "float64");
        let input = Input::new(&model, "She said that it", None).expect("a text");
        let target = target(&model, &input).expect("a head");
        for site in [Site::ResidualBefore, Site::ResidualMid, Site::ResidualAfter] {
            let found = attributed(
                &model,
                &input,
                target,
                Place::of(site),
                SiteMethod::LayerwiseRelevance,
            );
            for sum in sums(&found) {
                assert!(
                    (sum - found.answer).abs() < 1e-8 * (1.0 + sum.abs()),
                    "{name} {site:?}: {sum}, expected {}",
                    found.answer
                );
            }
        }
    }
}

#[test]
fn heads_sum_to_their_attention_and_neurons_to_their_mlp() {
    for name in ["families/llama", "families/qwen3", "families/gemma2"] {
        let model = model(name, "float64");
        let input = Input::new(&model, "She said that it", None).expect("a text");
        let target = target(&model, &input).expect("a head");
        let of = |site, method| sums(&attributed(&model, &input, target, Place::of(site), method));
        let is_plain = name != "families/gemma2";
        for (parts, whole) in [
            (Site::HeadOutputs, Site::AttentionOutput),
            (Site::MlpInner, Site::MlpOutput),
        ] {
            // Where a norm stands behind a branch only the rule that holds its deviation is linear.
            for method in [SiteMethod::Gradient, SiteMethod::LayerwiseRelevance] {
                let (found, expected) = (of(parts, method), of(whole, method));
                let is_sum = found
                    .iter()
                    .zip(&expected)
                    .all(|(a, b)| (a - b).abs() < 1e-10 * (1.0 + b.abs()));
                assert_eq!(
                    is_sum,
                    is_plain || method == SiteMethod::LayerwiseRelevance,
                    "{name} {parts:?} {method:?}"
                );
            }
        }
    }
}

#[test]
fn integrated_gradients_of_a_layer_are_the_effect_of_taking_it_away() {
    for name in [
        "gpt2-tiny",
        "families/llama",
        "families/bert",
        "families/t5",
        "families/gpt_neox",
    ] {
        let model = model(name, "float64");
        let is_pair = matches!(model.body(), Body::EncoderDecoder(_));
        let input = Input::new(&model, "She said that it", is_pair.then_some("was there")).expect("a text");
        let target = target(&model, &input).expect("a head");
        let encoders = if is_pair { vec![false, true] } else { vec![false] };
        let tolerance = if is_pair { 5e-3 } else { 1e-4 };
        for (site, encoder) in [Site::HeadOutputs, Site::MlpInner]
            .into_iter()
            .flat_map(|site| encoders.iter().map(move |&encoder| (site, encoder)))
        {
            let place = Place { site, encoder };
            let found = attributed(&model, &input, target, place, SiteMethod::IntegratedGradients);
            for (row, &layer) in found.layers.iter().enumerate() {
                let change = Change::Ablate(Replacement::Number(0.0));
                let change = Intervention {
                    layers: Some(vec![layer]),
                    ..one(place, change)
                };
                let without = gradient_at(&edited(&model, &[change]), &input, place, Some(layer)).answer;
                let (sum, effect) = (sums(&found)[row], found.answer - without);
                let what = format!("{name} {} {layer}: {sum}, expected {effect}", place.name());
                let promised = found.completeness[row].expect("promised").promised;
                assert!((promised - effect).abs() < 1e-9, "{what}");
                assert!((sum - effect).abs() < tolerance * (1.0 + effect.abs()), "{what}");
            }
        }
    }
}

#[test]
fn with_steps_every_layers_stream_makes_all_of_the_difference() {
    let mut n_models = 0;
    for (name, model, _) in families_in("float64") {
        let (clean, corrupted) = pair(&model);
        let Some(target) = target(&model, &clean).filter(|_| model.config().encoder.is_none()) else {
            continue;
        };
        let options = |n_steps| EstimateOptions {
            patch: PatchOptions {
                place: Place::of(Site::ResidualAfter),
                by: SiteAxis::Position,
                answer: target.into(),
            },
            n_steps,
            n_measured: 0,
            seed: 0,
        };
        let worst = |n_steps| {
            let found = attribution_patching(&model, &clean, &corrupted, &options(n_steps), &mut unwatched);
            let found = found.unwrap_or_else(|error| panic!("{name}: {error}"));
            if model.config().reads_beside() {
                assert!(found.completeness.iter().all(Option::is_none), "{name}");
                return 0.0;
            }
            let each = found
                .completeness
                .iter()
                .map(|layer| layer.expect("promised").relative);
            each.fold(0.0, f64::max)
        };
        // Norms on values come close to where they divide by next to nothing.
        let n_steps = if model.config().attention.value_norm {
            64
        } else {
            16
        };
        let (few, many) = (worst(n_steps), worst(4 * n_steps));
        // Where tokens change their experts on the way, the answer jumps, and no gradient knows.
        // And of one number a norm is the sign.
        let jumps = matches!(model.config().mlp, Mlp::Experts(_)) || name.ends_with("falcon_mamba");
        // Where queries, keys and values are cut off it has corners.
        let corners = model.config().attention.clip.is_some();
        let is_whole = many < 0.05 && (corners || many < few / 2.0 || many < 1e-3);
        assert!(
            is_whole || (jumps && many.is_finite()),
            "{name}: {few}, then {many}"
        );
        n_models += 1;
    }
    assert!(n_models >= 40, "{n_models}");
}
