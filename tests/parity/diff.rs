//! Two models, one of which differs from the other in chosen weights: what grafts bring back is known.

use std::borrow::Cow;
use std::collections::HashMap;

use ecco_explain::diff::{Diff, Grafts, WeightDistance, diff, weight_distances};
use ecco_interpreter::unwatched;
use ecco_models::model::Body;
use ecco_models::run::{self, Input};
use ecco_models::{LoadOptions, Model};
use ecco_tests::{cases, fixtures, model};
use safetensors::tensor::{Dtype, SafeTensors, View};
use tempfile::TempDir;

/// Nats: single precision's rounding, in a sum over the vocabulary.
const SAME: f64 = 1e-7;

struct Changed {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl View for &Changed {
    fn dtype(&self) -> Dtype {
        self.dtype
    }
    fn shape(&self) -> &[usize] {
        &self.shape
    }
    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.bytes)
    }
    fn data_len(&self) -> usize {
        self.bytes.len()
    }
}

/// The fixture with every number 1.25 times what it is in the weights whose role is chosen; how many those are.
fn tuned(name: &str, is_changed: impl Fn(&str) -> bool) -> (TempDir, Model, usize) {
    let (from, base) = (fixtures().join(name), model(name, "float32"));
    let roles: HashMap<String, String> = base
        .weights()
        .expect("weights")
        .into_iter()
        .filter_map(|card| Some((card.name, card.role?)))
        .collect();
    let folder = tempfile::tempdir().expect("a folder");
    for entry in std::fs::read_dir(&from).expect("a fixture") {
        let path = entry.expect("readable").path();
        std::fs::copy(&path, folder.path().join(path.file_name().expect("a name"))).expect("copied");
    }
    let bytes = std::fs::read(from.join("model.safetensors")).expect("a fixture");
    let stored = SafeTensors::deserialize(&bytes).expect("a fixture");
    let mut n_changed = 0;
    let mut all = HashMap::new();
    for (name, view) in stored.tensors() {
        let mut bytes = view.data().to_vec();
        // Prefixes of wrappers are not part of the names that the model lists.
        let role = roles.iter().find(|(known, _)| name.ends_with(known.as_str()));
        if role.is_some_and(|(_, role)| is_changed(role)) {
            assert_eq!(view.dtype(), Dtype::F32, "{name}");
            n_changed += 1;
            for number in bytes.as_chunks_mut::<4>().0 {
                *number = (1.25 * f32::from_le_bytes(*number)).to_le_bytes();
            }
        }
        let changed = Changed {
            dtype: view.dtype(),
            shape: view.shape().to_vec(),
            bytes,
        };
        all.insert(name, changed);
    }
    safetensors::serialize_to_file(&all, None, &folder.path().join("model.safetensors")).expect("written");
    let options = LoadOptions {
        dtype: Some("float32".into()),
        device: Some("cpu".into()),
        ..LoadOptions::default()
    };
    let model = Model::open(folder.path(), &options, &mut unwatched).expect("it loads");
    (folder, model, n_changed)
}

fn inputs(model: &Model) -> Vec<Input> {
    let target = matches!(model.body(), Body::EncoderDecoder(_)).then_some("it was");
    ["She said that it was there.", "It was"]
        .map(|text| Input::new(model, text, target).expect("a text"))
        .to_vec()
}

fn found(base: &Model, tuned: &Model) -> Diff {
    diff(base, tuned, &inputs(base), true, &mut unwatched).expect("a difference")
}

fn is_same(one: f64, other: f64) -> bool {
    (one - other).abs() < SAME + 1e-5 * other.abs()
}

/// Of every family: a model does not differ from itself.
#[test]
fn nothing_is_apart_from_itself() {
    let mut n_maps = 0;
    for name in cases() {
        let model = model(&name, "float32");
        let Ok(found) = diff(&model, &model, &inputs(&model), true, &mut unwatched) else {
            continue;
        };
        assert!(
            found.texts.iter().flat_map(|text| &text.kl).all(|kl| *kl == 0.0),
            "{name}"
        );
        assert!(
            found.texts.iter().all(|text| Diff::parted(text).is_none()),
            "{name}"
        );
        assert!(
            found.cosine.iter().all(|cosine| (cosine - 1.0).abs() < 1e-9),
            "{name}: {:?}",
            found.cosine
        );
        // Of one position or one state for all there is none.
        let is_one = |cka: &f64| (cka - 1.0).abs() < 1e-9 || cka.is_nan();
        assert!(
            found.cka.len() == found.cosine.len() && found.cka.iter().all(is_one),
            "{name}: {:?}",
            found.cka
        );
        let is_pair = matches!(model.body(), Body::EncoderDecoder(_));
        assert_eq!(found.grafts.is_none(), is_pair, "{name}");
        let Some(Grafts {
            none,
            layer,
            attention,
            mlp,
            up_to,
            embedding,
            head,
        }) = found.grafts
        else {
            continue;
        };
        let all = [layer, attention, mlp, up_to, vec![none, embedding, head]].concat();
        assert!(all.iter().all(|kl| *kl < SAME), "{name}: {all:?}");
        n_maps += 1;
    }
    assert!(n_maps >= 25, "{n_maps}");
}

/// Of every family: what one layer makes otherwise, that layer brings, and no other.
#[test]
fn a_changed_layer_is_found() {
    let mut n_models = 0;
    for name in cases() {
        let base = model(&name, "float32");
        let is_pair = matches!(base.body(), Body::EncoderDecoder(_));
        let has_folder = fixtures().join(&name).join("model.safetensors").is_file();
        // In ALBERT several layers have one weight.
        let shares = base.config().model_type == "albert";
        if is_pair || !has_folder || shares || base.config().n_layers < 2 {
            continue;
        }
        let (_folder, tuned, n) = tuned(&name, |role| role.contains("layers.1."));
        if n == 0 || diff(&base, &tuned, &inputs(&base), false, &mut unwatched).is_err() {
            continue;
        }
        let found = found(&base, &tuned);
        let grafts = found.grafts.expect("one stack");
        assert!(grafts.none > 1e-6, "{name}: {}", grafts.none);
        assert!(grafts.layer[1] < SAME, "{name}: {}", grafts.layer[1]);
        assert!(grafts.up_to.last().is_some_and(|left| *left < SAME), "{name}");
        assert!(
            is_same(grafts.layer[0], grafts.none) && is_same(grafts.up_to[0], grafts.none),
            "{name}"
        );
        assert!(
            is_same(grafts.embedding, grafts.none) && is_same(grafts.head, grafts.none),
            "{name}"
        );
        assert!(
            (found.cosine[1] - 1.0).abs() < 1e-9 && found.cosine[2] < 1.0 - 1e-9,
            "{name}"
        );
        assert!(
            (found.cka[1] - 1.0).abs() < 1e-9 && found.cka[2] < 1.0 - 1e-9,
            "{name}: {:?}",
            found.cka
        );
        n_models += 1;
    }
    assert!(n_models >= 15, "{n_models}");
}

#[test]
fn a_changed_half_is_found() {
    for (half, other) in [("mlp", "attention"), ("attention", "mlp")] {
        let base = model("gpt2-tiny", "float32");
        let (_folder, tuned, n) = tuned("gpt2-tiny", |role| role.contains(&format!("layers.1.{half}")));
        assert!(n >= 4, "{n}");
        let grafts = found(&base, &tuned).grafts.expect("one stack");
        let of = |name: &str| {
            if name == "mlp" {
                &grafts.mlp
            } else {
                &grafts.attention
            }
        };
        assert!(grafts.none > 1e-6 && of(half)[1] < SAME, "{half}: {grafts:?}");
        assert!(
            is_same(of(other)[1], grafts.none) && is_same(of(half)[0], grafts.none),
            "{half}: {grafts:?}"
        );
    }
}

/// Of a decoder whose head is not its embedding.
#[test]
fn a_changed_embedding_or_head_is_found() {
    let is_untied = |name: &String| {
        let model = model(name, "float32");
        let roles = model
            .weights()
            .expect("weights")
            .into_iter()
            .filter_map(|card| card.role);
        let n = roles
            .filter(|role| ["token_embedding.weight", "head.weight"].contains(&role.as_str()))
            .count();
        let is_one_file = fixtures().join(name).join("model.safetensors").is_file();
        n == 2 && is_one_file && matches!(model.body(), Body::Decoder(_))
    };
    let name = cases()
        .into_iter()
        .find(is_untied)
        .expect("a decoder with a head of its own");
    let base = model(&name, "float32");
    for (role, is_first) in [("token_embedding.weight", true), ("head.weight", false)] {
        let (_folder, tuned, n) = tuned(&name, |name| name == role);
        assert_eq!(n, 1, "{name}: {role}");
        let grafts = found(&base, &tuned).grafts.expect("one stack");
        let (own, other) = match is_first {
            true => (grafts.embedding, grafts.head),
            false => (grafts.head, grafts.embedding),
        };
        assert!(
            grafts.none > 1e-6 && own < SAME && is_same(other, grafts.none),
            "{name}: {role}: {grafts:?}"
        );
    }
}

/// Against Σ p ln(p / q) of both runs' logits: of tokens that follow, and of each token's labels.
#[test]
fn divergences_are_those_of_the_logits() {
    for name in ["gpt2-tiny", "heads/tokens"] {
        logits_agree(name);
    }
}

fn logits_agree(name: &str) {
    let base = model(name, "float32");
    let (_folder, tuned, _) = tuned(name, |role| role.contains("layers.0."));
    let inputs = inputs(&base);
    let found = diff(&base, &tuned, &inputs, false, &mut unwatched).expect("a difference");
    assert!(found.grafts.is_none());
    let log_p = |model: &Model| -> Vec<Vec<f64>> {
        let runs = run::run(model, inputs[..1].to_vec(), 1, &mut unwatched).expect("a run");
        let logits = runs[0].logits(model, 0).expect("logits");
        let rows = logits.outer_iter().map(|row| {
            let row: Vec<f64> = row.iter().map(|&logit| f64::from(logit)).collect();
            let sum = row.iter().map(|logit| logit.exp()).sum::<f64>().ln();
            row.iter().map(|logit| logit - sum).collect()
        });
        rows.collect()
    };
    for (at, (p, q)) in log_p(&tuned).iter().zip(log_p(&base)).enumerate() {
        let expected: f64 = p.iter().zip(&q).map(|(p, q)| p.exp() * (p - q)).sum();
        let kl = found.texts[0].kl[at];
        assert!(
            expected > 1e-9 && (kl - expected).abs() < 1e-6,
            "{name}, {at}: {kl}, expected {expected}"
        );
        let best = |row: &[f64]| {
            (0..row.len())
                .max_by(|&a, &b| row[a].total_cmp(&row[b]))
                .map(|id| id as u32)
        };
        assert_eq!(Some(found.texts[0].reference[at].id), best(p), "{name}, {at}");
        assert_eq!(Some(found.texts[0].changed[at].id), best(&q), "{name}, {at}");
    }
}

#[test]
fn weights_are_as_far_apart_as_they_were_changed() {
    let base = model("gpt2-tiny", "float32");
    let (_folder, tuned, n) = tuned("gpt2-tiny", |role| role.contains("layers.1.mlp"));
    let found = weight_distances(&base, &tuned, &mut unwatched).expect("distances");
    let (changed, others): (Vec<_>, Vec<_>) = found
        .iter()
        .partition(|weight| weight.role.contains("layers.1.mlp"));
    assert_eq!(changed.len(), n);
    assert!(
        changed
            .iter()
            .all(|weight| weight.layer() == Some(1) && weight.base > 0.0)
    );
    let relative = WeightDistance::relative(changed);
    assert!((relative - 0.25).abs() < 1e-6, "{relative}");
    assert!(others.len() > 10 && others.iter().all(|weight| weight.difference == 0.0));
}

/// Answers, values and labels that are the case each by itself are no distributions at each position, and it is said why.
#[test]
fn heads_without_a_divergence_say_why() {
    let refused = |model: &Model| {
        let error = diff(model, model, &inputs(model), true, &mut unwatched).expect_err("no divergence");
        error.to_string()
    };
    let answers = refused(&model("heads/answers", "float32"));
    assert!(
        answers.contains("distributions over places of the text"),
        "{answers}"
    );
    let values = refused(&model("heads/values", "float32"));
    assert!(values.contains("values, which have no probabilities"), "{values}");
    // The same weights as those of two labels.
    let folder = tempfile::tempdir().expect("a folder");
    for entry in std::fs::read_dir(fixtures().join("heads/values")).expect("a fixture") {
        let path = entry.expect("readable").path();
        std::fs::copy(&path, folder.path().join(path.file_name().expect("a name"))).expect("copied");
    }
    let config = folder.path().join("config.json");
    let text = std::fs::read_to_string(&config).expect("a config");
    let several = text.replace("\"regression\"", "\"multi_label_classification\"");
    assert_ne!(text, several);
    std::fs::write(&config, several).expect("written");
    let labels = Model::open(folder.path(), &LoadOptions::default(), &mut unwatched).expect("it loads");
    let labels = refused(&labels);
    assert!(
        labels.contains("each label is the case or not by itself"),
        "{labels}"
    );
}

#[test]
fn models_of_another_size_are_refused() {
    let base = model("gpt2-tiny", "float32");
    let other = model(&cases()[0], "float32");
    let error = diff(&base, &other, &inputs(&base), true, &mut unwatched).expect_err("they are not alike");
    assert!(error.to_string().contains("tuned"), "{error}");
}
