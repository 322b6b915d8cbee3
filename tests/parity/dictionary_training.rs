//! Training dictionaries: steps against autograd and Adam in torch, known directions that are found again, and what must hold.

use std::ops::ControlFlow;

use ecco_explain::dictionary::autoencoder::{Autoencoder, Recipe};
use ecco_explain::dictionary::training::{Trained, TrainingOptions, train};
use ecco_explain::dictionary::{encode, loss_recovered};
use ecco_interpreter::{Progress, unwatched};
use ecco_models::dictionary::Spot;
use ecco_models::dictionary::reading::{DictionaryOptions, open};
use ecco_models::dictionary::writing::{SETTINGS, WEIGHTS, sae_lens};
use ecco_models::guard::guard;
use ecco_models::run::Input;
use ecco_models::{Model, Place, Site};
use ecco_tests::{assert_close, fixtures, model, stored_tensor};
use ndarray::{Array1, Array2, ArrayD, Axis};
use safetensors::serialize_to_file;
use safetensors::tensor::{Dtype, TensorView};
use tch::{Kind, Tensor};

fn tensor(array: &ArrayD<f32>, kind: Kind) -> Tensor {
    let size: Vec<i64> = array.shape().iter().map(|n| *n as i64).collect();
    Tensor::from_slice(&array.iter().copied().collect::<Vec<_>>())
        .to_kind(kind)
        .reshape(&size[..])
}

fn array(tensor: &Tensor) -> ArrayD<f32> {
    let numbers: Vec<f32> = Vec::try_from(tensor.to_kind(Kind::Float).flatten(0, -1)).unwrap();
    let size: Vec<usize> = tensor.size().iter().map(|n| *n as usize).collect();
    ArrayD::from_shape_vec(size, numbers).unwrap()
}

#[test]
fn steps_are_those_of_autograd_and_adam() {
    let stored = |name: &str| stored_tensor(&fixtures().join("dictionaries/training.safetensors"), name);
    let recipe = Recipe { k: 2, dead_after: 2 };
    let [directions, bias] = ["directions", "output_bias"].map(|name| tensor(&stored(name), Kind::Double));
    let measures = guard(|| {
        let mut trained = Autoencoder::new(recipe, &directions, &bias);
        let mut measures = Vec::new();
        for rows in stored("x").axis_iter(Axis(0)) {
            let rows = tensor(&rows.to_owned(), Kind::Double);
            measures.push(array(&trained.step(&rows, 0.02, &mut || Ok(()))?));
        }
        for (name, parameter) in [
            ("W_enc", &trained.encoder),
            ("b_enc", &trained.bias),
            ("W_dec", &trained.decoder),
            ("b_dec", &trained.output_bias),
        ] {
            assert_close(name, &array(&parameter.value), &stored(name), 1e-5);
        }
        Ok(measures)
    })
    .unwrap();
    let views: Vec<_> = measures.iter().map(|row| row.view()).collect();
    let measures = ndarray::stack(Axis(0), &views).unwrap();
    assert_close("measures", &measures, &stored("measures"), 1e-5);
}

/// Numbers in [0, 1), the same each time.
struct Uniform(u64);

impl Uniform {
    fn next(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Of length 1.
    fn direction(&mut self, n: usize) -> Array1<f32> {
        // Twelve uniform numbers make one that is nearly normal.
        let normal = |uniform: &mut Self| (0..12).map(|_| uniform.next()).sum::<f64>() - 6.0;
        let row: Array1<f32> = (0..n).map(|_| normal(self) as f32).collect();
        let length = row.dot(&row).sqrt();
        row / length
    }
}

#[test]
fn planted_directions_are_found_again() {
    const WIDTH: usize = 32;
    const PLANTED: usize = 64;
    let mut random = Uniform(88_172_645_463_325_252);
    let mut directions = |n: usize| {
        let rows: Vec<f32> = (0..n).flat_map(|_| random.direction(WIDTH)).collect();
        Array2::from_shape_vec((n, WIDTH), rows).unwrap()
    };
    let (planted, start) = (directions(PLANTED), directions(2 * PLANTED));
    let recipe = Recipe { k: 3, dead_after: 20 };
    let found = guard(|| {
        let nothing = Tensor::zeros([WIDTH as i64], (Kind::Float, tch::Device::Cpu));
        let start = tensor(&start.clone().into_dyn(), Kind::Float);
        let mut trained = Autoencoder::new(recipe, &start, &nothing);
        let (mut first, mut last) = (f32::NAN, f32::NAN);
        for step in 0..1500 {
            let mut rows = Array2::<f32>::zeros((256, WIDTH));
            for mut row in rows.rows_mut() {
                for _ in 0..3 {
                    let which = (random.next() * PLANTED as f64) as usize;
                    row.scaled_add(0.5 + random.next() as f32, &planted.row(which));
                }
            }
            let rows = tensor(&(rows * 4.0).into_dyn(), Kind::Float);
            let rate = 3e-3 * (5.0 * (1.0 - f64::from(step) / 1500.0)).min(1.0);
            let measures = array(&trained.step(&rows, rate, &mut || Ok(()))?);
            last = measures[1];
            first = if step == 0 { last } else { first };
        }
        assert!(last < 0.1 && last < first / 5.0, "{first} {last}");
        Ok(array(&trained.decoder.value))
    })
    .unwrap();
    let found: Array2<f32> = found.into_dimensionality().unwrap();
    let cosines = planted.dot(&found.t());
    let best = |row: ndarray::ArrayView1<f32>| row.iter().copied().fold(-1.0_f32, f32::max);
    let best: Vec<f32> = cosines.rows().into_iter().map(best).collect();
    let n = best.iter().filter(|cosine| **cosine > 0.9).count();
    assert!(n * 10 >= PLANTED * 9, "{n} of {PLANTED}: {best:?}");
    // Not by chance: the directions at the start are far from all.
    let before = planted.dot(&start.t());
    assert!(before.iter().all(|cosine| *cosine < 0.9));
}

fn texts(model: &Model) -> Vec<Input> {
    let mut random = Uniform(123_456_789);
    let n_tokens = model.config().vocab_size.min(60) as f64;
    let text = |at: usize| {
        let ids = (0..12 + at % 9).map(|_| (random.next() * n_tokens) as u32);
        Input {
            ids: ids.collect(),
            ..Input::default()
        }
    };
    (0..40).map(text).collect()
}

fn spot(site: Site) -> Spot {
    Spot {
        place: Place::of(site),
        layer: 1,
    }
}

const OPTIONS: TrainingOptions = TrainingOptions {
    features: Some(96),
    recipe: Recipe { k: 6, dead_after: 20 },
    steps: 120,
    batch: 128,
    learning_rate: 3e-3,
    seed: 5,
    held_out: 0.1,
    from: 1,
};

fn trained(model: &Model, options: TrainingOptions, site: Site) -> Trained {
    train(model, &texts(model), spot(site), options, &mut unwatched).unwrap()
}

#[test]
fn training_on_texts_lowers_the_loss() {
    let model = model("gpt2-tiny", "float32");
    for site in [Site::ResidualAfter, Site::HeadOutputs, Site::MlpInner] {
        let found = trained(&model, OPTIONS, site);
        let unexplained = |points: &[_]| {
            let sum: f64 = points
                .iter()
                .map(|point: &ecco_explain::dictionary::training::TrainingPoint| point.unexplained)
                .sum();
            sum / points.len() as f64
        };
        let (first, last) = (unexplained(&found.curve[..10]), unexplained(&found.curve[110..]));
        assert!(last < 0.7 * first, "{site:?}: {first} {last}");
        assert!(
            found
                .curve
                .iter()
                .all(|point| point.l0 <= 6.0 && point.loss >= point.unexplained)
        );
        let held_out = found.held_out.unwrap();
        assert_eq!((held_out.n_texts, found.n_texts), (4, 36));
        assert!(held_out.quality.explained > 0.2, "{site:?}: {held_out:?}");
        assert!(held_out.loss.unwrap().share() > 0.2, "{site:?}: {held_out:?}");
    }
}

#[test]
fn what_is_held_out_is_measured_as_texts_are() {
    let model = model("gpt2-tiny", "float64");
    let texts = texts(&model);
    let options = TrainingOptions { steps: 10, ..OPTIONS };
    // Of two texts one is held out.
    let found = train(
        &model,
        &texts[..2],
        spot(Site::ResidualAfter),
        options,
        &mut unwatched,
    )
    .unwrap();
    let held_out = found.held_out.unwrap();
    let same = texts[..2].iter().any(|text| {
        let encoding = encode(&model, text, &found.dictionary, 1, &mut unwatched).unwrap();
        let loss = loss_recovered(&model, text, &found.dictionary, 1, &mut unwatched).unwrap();
        let near = |a: f64, b: f64| (a - b).abs() < 1e-9;
        near(encoding.quality.explained, held_out.quality.explained)
            && near(encoding.quality.l0, held_out.quality.l0)
            && encoding.quality.n_positions == held_out.quality.n_positions
            && near(loss.reconstructed, held_out.loss.unwrap().reconstructed)
    });
    assert!(same, "{held_out:?}");
}

/// The files, as SAELens writes them.
fn saved(trained: &Trained, model: &Model, folder: &std::path::Path) {
    let files = sae_lens(&trained.dictionary, model).unwrap();
    assert_eq!(files.settings["metadata"]["sae_lens_version"], "6.0.0");
    std::fs::create_dir_all(folder).unwrap();
    std::fs::write(folder.join(SETTINGS), files.settings.to_string()).unwrap();
    let bytes = |array: &ArrayD<f32>| array.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>();
    let tensors: Vec<_> = files
        .weights
        .iter()
        .map(|(name, array)| (*name, array.shape().to_vec(), bytes(array)))
        .collect();
    let views = tensors
        .iter()
        .map(|(name, shape, bytes)| (*name, TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap()));
    serialize_to_file(views, None, &folder.join(WEIGHTS)).unwrap();
}

#[test]
fn the_same_seed_is_the_same_dictionary_and_so_is_what_was_saved() {
    let folder = std::env::temp_dir().join(format!("ecco-trained-{}", std::process::id()));
    for (precision, site) in [
        ("float32", Site::ResidualAfter),
        ("float64", Site::HeadOutputs),
        ("float32", Site::MlpInput),
    ] {
        let model = model("gpt2-tiny", precision);
        let options = TrainingOptions { steps: 30, ..OPTIONS };
        let [one, again] = [0; 2].map(|_| trained(&model, options, site));
        let other = trained(&model, TrainingOptions { seed: 6, ..options }, site);
        saved(&one, &model, &folder);
        let name = folder.display().to_string();
        let read = open(&name, &model, &DictionaryOptions::default(), &mut unwatched).unwrap();
        assert_eq!(
            (read.reads, read.rule),
            (one.dictionary.reads, one.dictionary.rule)
        );
        let text = &texts(&model)[0];
        let of = |dictionary| encode(&model, text, dictionary, 1, &mut unwatched).unwrap();
        assert_eq!(of(&one.dictionary), of(&again.dictionary), "{site:?}");
        assert_eq!(one.curve, again.curve, "{site:?}");
        assert_eq!(of(&one.dictionary), of(&read), "{site:?}");
        assert_ne!(of(&one.dictionary), of(&other.dictionary), "{site:?}");
    }
    let _ = std::fs::remove_dir_all(folder);
}

#[test]
fn what_cannot_be_trained_is_refused_and_an_interrupt_ends_it() {
    let model = model("gpt2-tiny", "float32");
    let texts = texts(&model);
    let error = |options: TrainingOptions, texts: &[Input], layer: usize| {
        let spot = Spot {
            layer,
            ..spot(Site::ResidualAfter)
        };
        train(&model, texts, spot, options, &mut unwatched)
            .unwrap_err()
            .to_string()
    };
    let of = |k| TrainingOptions {
        recipe: Recipe { k, dead_after: 5 },
        ..OPTIONS
    };
    assert_eq!(error(of(97), &texts, 1), "k is 97: at most 96");
    let rate = |learning_rate| TrainingOptions {
        learning_rate,
        ..OPTIONS
    };
    assert_eq!(
        error(rate(-1.0), &texts, 1),
        "learning_rate is -1: expected a number above 0"
    );
    let lost = error(rate(1e30), &texts, 1);
    assert!(lost.contains("the loss is no number any more"), "{lost}");
    assert_eq!(
        error(OPTIONS, &[], 1),
        "texts is 0: there are not two positions to train on"
    );
    assert!(
        error(OPTIONS, &texts, 9).starts_with("layers is 9"),
        "{}",
        error(OPTIONS, &texts, 9)
    );
    let held_out = TrainingOptions {
        held_out: 1.0,
        ..OPTIONS
    };
    assert!(error(held_out, &texts, 1).starts_with("held_out is 1: it is the share"));
    let mut looks = 0;
    let mut watch = |progress: &Progress| {
        looks += 1;
        match progress.label == "training the dictionary" && progress.done == 20 {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    };
    let stopped = train(&model, &texts, spot(Site::ResidualAfter), OPTIONS, &mut watch);
    assert_eq!(
        stopped.unwrap_err().to_string(),
        ecco_models::Error::Interrupted.to_string()
    );
    assert!(looks > 20);
}
