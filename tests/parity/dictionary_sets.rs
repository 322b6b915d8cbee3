//! Folders with a transcoder for each layer: cross-layer ones against their definition, and what is refused.

use std::path::Path;
use std::rc::Rc;

use ecco_explain::dictionary::{attribute_features, described, encode, loss_recovered};
use ecco_explain::intervention::compile;
use ecco_explain::intervention::features::{FeatureAction, FeatureIntervention};
use ecco_explain::{Quantity, Target};
use ecco_interpreter::unwatched;
use ecco_models::dictionary::Dictionary;
use ecco_models::dictionary::reading::{DictionaryOptions, open};
use ecco_models::dictionary::set::open_set;
use ecco_models::edit::{Change, Edit, Part};
use ecco_models::guard::guard;
use ecco_models::run::{self, Input};
use ecco_models::{Model, Place, Site};
use ecco_tests::model;
use ndarray::{Array1, Array2, Array3, ArrayD, Axis, Ix2, Ix3, s};
use safetensors::serialize_to_file;
use safetensors::tensor::{Dtype, TensorView};
use tch::Tensor;

use super::dictionaries::Folder;

/// Features of a layer.
pub(crate) const N: usize = 24;

/// Where circuit-tracer's transcoders read and write.
const YAML: &str = "model_kind: cross_layer_transcoder\nfeature_input_hook: hook_resid_mid\nfeature_output_hook: hook_mlp_out\n";

/// Numbers between −1 and 1 that are the same everywhere.
pub(crate) fn numbers(seed: u64, n: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1_u64 << 23) as f32 - 1.0
    };
    (0..n).map(|_| next()).collect()
}

/// A safetensors file: name, shape, seed and scale of each tensor.
pub(crate) fn random_file(path: &Path, tensors: &[(String, Vec<usize>, u64, f32)]) {
    let tensors: Vec<_> = tensors
        .iter()
        .map(|(name, shape, seed, scale)| {
            let all = numbers(*seed, shape.iter().product());
            let bytes: Vec<u8> = all.iter().flat_map(|x| (x * scale).to_le_bytes()).collect();
            (name.clone(), shape.clone(), bytes)
        })
        .collect();
    let views = tensors.iter().map(|(name, shape, bytes)| {
        let view = TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap();
        (name.clone(), view)
    });
    serialize_to_file(views, None, path).unwrap();
}

/// A cross-layer transcoder's files for so many layers of a width; every other layer has thresholds.
pub(crate) fn cross_layer(name: &str, n_layers: usize, d: usize) -> Folder {
    let folder = Folder::new(name);
    std::fs::write(folder.0.join("config.yaml"), YAML).unwrap();
    for layer in 0..n_layers {
        let seed = 100 * layer as u64;
        let name = |part: &str| format!("{part}_{layer}");
        let mut encoder = vec![
            (name("W_enc"), vec![N, d], seed + 1, 1.0 / (d as f32).sqrt()),
            (name("b_enc"), vec![N], seed + 2, 0.3),
            (name("b_dec"), vec![d], seed + 3, 0.1),
        ];
        if layer % 2 == 0 {
            encoder.push((name("threshold"), vec![N], seed + 4, 0.3));
        }
        random_file(&folder.0.join(format!("W_enc_{layer}.safetensors")), &encoder);
        let decoder = [(name("W_dec"), vec![N, n_layers - layer, d], seed + 5, 0.2)];
        random_file(&folder.0.join(format!("W_dec_{layer}.safetensors")), &decoder);
    }
    folder
}

/// One of each layer, without what writes further up.
pub(crate) fn per_layer(name: &str, n_layers: usize, d: usize, hook: &str) -> Folder {
    let folder = Folder::new(name);
    let yaml = format!(
        "model_kind: transcoder_set\nfeature_input_hook: {hook}\nfeature_output_hook: hook_mlp_out\n"
    );
    std::fs::write(folder.0.join("config.yaml"), yaml).unwrap();
    for layer in 0..n_layers {
        let seed = 100 * layer as u64;
        let tensors = [
            ("W_enc".to_owned(), vec![N, d], seed + 1, 1.0 / (d as f32).sqrt()),
            ("b_enc".to_owned(), vec![N], seed + 2, 0.3),
            ("W_dec".to_owned(), vec![N, d], seed + 5, 0.2),
            ("b_dec".to_owned(), vec![d], seed + 3, 0.1),
        ];
        random_file(&folder.0.join(format!("layer_{layer}.safetensors")), &tensors);
    }
    folder
}

pub(crate) fn all_of(folder: &Folder, model: &Model) -> Vec<Rc<Dictionary>> {
    let name = folder.0.display().to_string();
    let none = DictionaryOptions::default();
    open_set(&name, model, (&none, None), &mut unwatched).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn text(model: &Model) -> Input {
    Input::new(model, "She said that it", None).unwrap()
}

/// What stands at a site of a layer, (position, number), in double precision.
fn standing(model: &Model, input: &Input, site: Site, layer: usize) -> Array2<f64> {
    let run = run::run(model, vec![input.clone()], 1, &mut unwatched)
        .unwrap()
        .remove(0);
    let value = run.records().array(Place::of(site), Some(layer), 0).unwrap();
    value.into_dimensionality::<Ix2>().unwrap().mapv(f64::from)
}

fn shaped(seed: u64, scale: f32, shape: &[usize]) -> ArrayD<f64> {
    let all = numbers(seed, shape.iter().product());
    let all = all.into_iter().map(|x| f64::from(x * scale)).collect();
    ArrayD::from_shape_vec(shape, all).unwrap()
}

/// By the definition: activations of a layer, (position, feature).
fn activations(model: &Model, input: &Input, layer: usize) -> Array2<f64> {
    let x = standing(model, input, Site::ResidualMid, layer);
    let d = x.ncols();
    let seed = 100 * layer as u64;
    let encoder = shaped(seed + 1, 1.0 / (d as f32).sqrt(), &[N, d]);
    let encoder = encoder.into_dimensionality::<Ix2>().unwrap();
    let z = x.dot(&encoder.t())
        + shaped(seed + 2, 0.3, &[N])
            .into_dimensionality::<ndarray::Ix1>()
            .unwrap();
    let threshold = match layer % 2 {
        0 => shaped(seed + 4, 0.3, &[N]).into_dimensionality().unwrap(),
        _ => Array1::zeros(N),
    };
    Array2::from_shape_fn(z.dim(), |(row, feature)| {
        let z = z[(row, feature)];
        if z > threshold[feature] { z.max(0.0) } else { 0.0 }
    })
}

/// What features of a layer write, (feature, layer, number).
fn decoder(layer: usize, n_layers: usize, d: usize) -> Array3<f64> {
    let decoder = shaped(100 * layer as u64 + 5, 0.2, &[N, n_layers - layer, d]);
    decoder.into_dimensionality::<Ix3>().unwrap()
}

/// b_dec_l + Σ over i ≤ l of a_i W_dec_i[:, l − i].
fn reconstruction(model: &Model, input: &Input, layer: usize, n_layers: usize) -> Array2<f64> {
    let mut made = Array2::zeros((input.ids.len(), 48));
    made += &shaped(100 * layer as u64 + 3, 0.1, &[48])
        .into_dimensionality::<ndarray::Ix1>()
        .unwrap();
    for below in 0..=layer {
        let written = decoder(below, n_layers, 48);
        made += &activations(model, input, below).dot(&written.index_axis(Axis(1), layer - below));
    }
    made
}

#[test]
fn a_layer_comes_to_what_all_below_it_write() {
    let model = model("gpt2-tiny", "float64");
    let input = text(&model);
    let folder = cross_layer("sets/definition", 3, 48);
    let all = all_of(&folder, &model);
    assert_eq!(all.len(), 3);
    for (layer, dictionary) in all.iter().enumerate() {
        assert!(dictionary.is_cross_layer() && dictionary.is_transcoder());
        assert_eq!((dictionary.reads.layer, dictionary.layers()), (layer, layer..3));
        let found = encode(&model, &input, dictionary, 0, &mut unwatched).unwrap();
        let expected = activations(&model, &input, layer);
        let mut n_active = 0;
        for (position, row) in found.active.iter().enumerate() {
            assert_eq!(
                row.len(),
                expected.row(position).iter().filter(|a| **a > 0.0).count()
            );
            for (feature, activation) in row {
                let expected = expected[(position, *feature as usize)];
                assert!((f64::from(*activation) - expected).abs() < 1e-5, "layer {layer}");
                n_active += 1;
            }
        }
        assert!(n_active > 10, "layer {layer}: {n_active}");
        let expected = reconstruction(&model, &input, layer, 3);
        let own = standing(&model, &input, Site::MlpOutput, layer);
        for (at, made) in found.reconstruction.indexed_iter() {
            assert!((f64::from(*made) - expected[at]).abs() < 1e-5, "layer {layer}");
            let error = f64::from(found.error[at]);
            assert!((error - (own[at] - expected[at])).abs() < 1e-5, "layer {layer}");
        }
        // One layer alone brings those that it needs.
        let options = DictionaryOptions {
            layer: Some(layer),
            ..DictionaryOptions::default()
        };
        let alone = open(&folder.0.display().to_string(), &model, &options, &mut unwatched).unwrap();
        let alone = encode(&model, &input, &alone, 0, &mut unwatched).unwrap();
        assert_eq!(alone, found);
        let weights = described(dictionary, 7).unwrap();
        let written = decoder(layer, 3, 48);
        assert_eq!(weights.writes.dim(), (3 - layer, 48));
        for (at, value) in weights.writes.indexed_iter() {
            assert!((f64::from(*value) - written[(7, at.0, at.1)]).abs() < 1e-6);
        }
    }
}

/// The logit of one token less that of another, behind the text.
pub(crate) fn answer(model: &Model, input: &Input) -> f64 {
    let run = run::run(model, vec![input.clone()], 1, &mut unwatched)
        .unwrap()
        .remove(0);
    let logits = run.logits(model, 0).unwrap();
    let last = logits.shape()[0] - 1;
    f64::from(logits[[last, 1]]) - f64::from(logits[[last, 2]])
}

fn target(input: &Input) -> Target {
    Target::token(input.ids.len(), 1).against(2).of(Quantity::Logit)
}

fn changed(model: &Model, dictionary: &Rc<Dictionary>, features: &[usize], what: FeatureAction) -> Model {
    let change = FeatureIntervention {
        dictionary: Rc::clone(dictionary),
        features: features.to_vec(),
        what,
    };
    model.edited(&compile(model, &[change.at(None)], &mut unwatched).unwrap())
}

/// The model with this put in the place of what the MLP of each layer adds, or added to it: (position, number).
fn by_hand(model: &Model, values: Vec<(usize, Array2<f64>)>, is_added: bool) -> Model {
    let edit = |(layer, values): (usize, Array2<f64>)| {
        let mut edits = Vec::new();
        for (position, row) in values.outer_iter().enumerate() {
            let row = guard(|| Ok(Tensor::from_slice(&row.to_vec()))).unwrap();
            edits.push(Edit {
                place: Place::of(Site::MlpOutput),
                layer,
                part: Part::Whole,
                positions: Some(vec![position..position + 1]),
                change: if is_added {
                    Change::Add(row)
                } else {
                    Change::Become(row)
                },
            });
        }
        edits
    };
    let edits = values.into_iter().flat_map(edit).collect();
    model.edited(&model.edits(edits).unwrap())
}

#[test]
fn changes_reach_every_layer_that_features_write_in() {
    let model = model("gpt2-tiny", "float64");
    let input = text(&model);
    let folder = cross_layer("sets/changes", 3, 48);
    let all = all_of(&folder, &model);
    let features = [3, 7, 20];
    let plain = answer(&model, &input);
    for (layer, dictionary) in all.iter().enumerate() {
        let active = activations(&model, &input, layer);
        let written = decoder(layer, 3, 48);
        // What these features write in each layer, so many times.
        let writes = |times: &dyn Fn(usize, usize) -> f64| {
            let of_layer = |behind: usize| {
                let mut all = Array2::zeros((input.ids.len(), 48));
                for (position, mut row) in all.outer_iter_mut().enumerate() {
                    for feature in features {
                        row.scaled_add(times(position, feature), &written.slice(s![feature, behind, ..]));
                    }
                }
                (layer + behind, all)
            };
            (0..3 - layer).map(of_layer).collect::<Vec<_>>()
        };
        for (what, times) in [
            (FeatureAction::Scale(0.0), -1.0),
            (FeatureAction::Scale(3.0), 2.0),
        ] {
            let found = answer(&changed(&model, dictionary, &features, what), &input);
            let expected = by_hand(
                &model,
                writes(&|position, feature| times * active[(position, feature)]),
                true,
            );
            let expected = answer(&expected, &input);
            assert!(
                (found - expected).abs() < 2e-6,
                "layer {layer} {what:?}: {found}, expected {expected}"
            );
            assert!((found - plain).abs() > 1e-4, "layer {layer} {what:?}");
        }
        let found = changed(&model, dictionary, &features, FeatureAction::Add(0.5));
        let expected = by_hand(&model, writes(&|_, _| 0.5), true);
        assert!(
            (answer(&found, &input) - answer(&expected, &input)).abs() < 2e-6,
            "layer {layer}"
        );
        // What stands in the value's place is what all layers up to it write there.
        let found = changed(&model, dictionary, &[], FeatureAction::Reconstruct);
        let expected = by_hand(
            &model,
            vec![(layer, reconstruction(&model, &input, layer, 3))],
            false,
        );
        assert!(
            (answer(&found, &input) - answer(&expected, &input)).abs() < 2e-6,
            "layer {layer}"
        );
        let loss = loss_recovered(&model, &input, dictionary, 0, &mut unwatched).unwrap();
        assert!(loss.plain.is_finite() && loss.reconstructed != loss.plain);
    }
}

#[test]
fn what_an_answer_owes_to_all_layers_sums_to_the_value_times_its_gradient() {
    let model = model("gpt2-tiny", "float64");
    let input = text(&model);
    let folder = cross_layer("sets/attribution", 3, 48);
    let all = all_of(&folder, &model);
    for (layer, dictionary) in all.iter().enumerate() {
        let found =
            attribute_features(&model, &input, dictionary, &target(&input), 4, &mut unwatched).unwrap();
        let (sum, whole) = (found.sum(), found.whole.iter().sum::<f64>());
        assert!(
            (sum - whole).abs() < 1e-9 * (1.0 + whole.abs()),
            "layer {layer}: {sum}, {whole}"
        );
        assert_eq!((found.earlier.len(), found.later.is_empty()), (layer, layer == 2));
        // A feature contributes by as much as the answer changes with it, in all layers.
        for (feature, total) in found.totals().into_iter().take(6) {
            let step = 1e-3;
            let at = |factor| {
                let changed = changed(
                    &model,
                    dictionary,
                    &[feature as usize],
                    FeatureAction::Scale(factor),
                );
                answer(&changed, &input)
            };
            let slope = (at(1.0 + step) - at(1.0 - step)) / (2.0 * step);
            assert!(
                (slope - total).abs() < 5e-4,
                "layer {layer} feature {feature}: {slope}, expected {total}"
            );
        }
        for (feature, measured) in &found.measured {
            let without = changed(
                &model,
                dictionary,
                &[*feature as usize],
                FeatureAction::Scale(0.0),
            );
            let expected = answer(&model, &input) - answer(&without, &input);
            assert!(
                (measured - expected).abs() < 2e-6,
                "{feature}: {measured}, expected {expected}"
            );
        }
    }
}

#[test]
fn damaged_and_half_folders_are_refused() {
    let model = model("gpt2-tiny", "float32");
    let none = DictionaryOptions::default();
    let said = |folder: &Folder, layers: Option<&[usize]>| {
        let name = folder.0.display().to_string();
        let found = open_set(&name, &model, (&none, layers), &mut unwatched).unwrap_err();
        found.to_string().replace(&name, "FOLDER")
    };
    let folder = cross_layer("sets/damaged", 3, 48);
    let alone = open(&folder.0.display().to_string(), &model, &none, &mut unwatched);
    assert_eq!(
        alone.unwrap_err().to_string(),
        "layer is not given: it is a cross-layer transcoder with layers 0 to 2: say which"
    );
    assert!(
        said(&folder, Some(&[1, 2]))
            .starts_with("layers is [1, 2]: features of a cross-layer transcoder write in all later layers")
    );
    assert_eq!(
        said(&folder, Some(&[3])),
        "layers is 3: the model has layers 0 to 2"
    );
    std::fs::remove_file(folder.0.join("W_dec_1.safetensors")).unwrap();
    assert_eq!(
        said(&folder, None),
        "W_dec_1.safetensors: it is missing, and the layers that come behind need it"
    );
    let short = [("W_dec_1".to_owned(), vec![N, 1, 48], 5, 0.2)];
    random_file(&folder.0.join("W_dec_1.safetensors"), &short);
    assert_eq!(
        said(&folder, None),
        "W_dec_1.safetensors: W_dec_1 writes in 1 layers from layer 1 on, and there are 2"
    );
    let flat = [("W_dec_1".to_owned(), vec![N, 48], 5, 0.2)];
    random_file(&folder.0.join("W_dec_1.safetensors"), &flat);
    assert!(
        said(&folder, None)
            .contains("W_dec_1 has shape [24, 48], expected (feature, layer, output), from layer 1 on")
    );
    let other = [("W_dec_2".to_owned(), vec![N, 2, 48], 5, 0.2)];
    random_file(&folder.0.join("W_dec_1.safetensors"), &other);
    assert_eq!(said(&folder, None), "W_dec_1.safetensors: it has no W_dec_1");
    let few = [("W_dec_1".to_owned(), vec![N - 1, 2, 48], 5, 0.2)];
    random_file(&folder.0.join("W_dec_1.safetensors"), &few);
    assert!(said(&folder, None).contains("its encoder has 24 features, and its decoder 23"));
    std::fs::write(folder.0.join("W_dec_1.safetensors"), b"short").unwrap();
    assert!(said(&folder, None).contains("W_dec_1.safetensors"));
    let of_another = cross_layer("sets/of-another", 2, 48);
    assert_eq!(
        said(&of_another, None),
        "path is \"FOLDER\": it is a cross-layer transcoder of 2 layers, and the model has 3: it is of another model, or files are \
         missing"
    );
    let narrow = cross_layer("sets/narrow", 3, 32);
    assert!(said(&narrow, None).contains("it has 48 numbers at a position, and the dictionary 32"));
    let empty = Folder::new("sets/empty");
    assert!(said(&empty, None).contains("this one has nothing"));

    // One of each layer: those that are missing are named, and the others are had by name.
    let each = per_layer("sets/each", 3, 48, "hook_resid_mid");
    assert_eq!(all_of(&each, &model).len(), 3);
    std::fs::remove_file(each.0.join("layer_1.safetensors")).unwrap();
    assert_eq!(
        said(&each, None),
        "layers is [0, 1, 2]: layer_N.safetensors is missing for N = 1 (there is config.yaml, layer_0.safetensors, \
         layer_2.safetensors): name the layers that there are"
    );
    let name = each.0.display().to_string();
    let some = open_set(&name, &model, (&none, Some(&[2, 0])), &mut unwatched).unwrap();
    assert_eq!(some.iter().map(|one| one.reads.layer).collect::<Vec<_>>(), [0, 2]);
    assert!(some.iter().all(|one| !one.is_cross_layer()));
}
