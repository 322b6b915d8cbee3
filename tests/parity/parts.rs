//! Weights by the names of their parts: with norms and biases folded in they are the same model.

use ecco_explain::vocabulary::parts::{Part, PartAt, has, part};
use ecco_interpreter::unwatched;
use ecco_models::config::{NormKind, PreNorm};
use ecco_models::model::Body;
use ecco_models::run::{Input, Place, record};
use ecco_models::tap::NoTap;
use ecco_models::{Model, Site};
use ecco_tests::{Reference, assert_close, cases, model};
use ndarray::{Array2, ArrayD, Axis, Ix1, Ix2};
use tch::{Kind, Tensor};

const TEXT: &str = "She said that it was there and there it was";

fn at(part: Part, layer: Option<usize>) -> PartAt {
    PartAt {
        part,
        layer,
        head: None,
    }
}

/// A norm that has nothing but its division.
fn divided(x: &Tensor, epsilon: f64) -> Tensor {
    x / (x.square().mean_dim(-1, true, None::<Kind>) + epsilon).sqrt()
}

#[test]
fn folded_weights_and_norms_that_only_divide_are_the_same_model() {
    let model = model("gpt2-tiny", "float64");
    let ids = model.ids(TEXT).unwrap();
    let n = ids.len() as i64;
    let config = model.config();
    let folded = |of: Part, layer: Option<usize>| part(&model, at(of, layer), true).unwrap();
    let index: Vec<i64> = ids.iter().map(|&id| id.into()).collect();
    let tokens = folded(Part::Embedding, None).index_select(0, &Tensor::from_slice(&index));
    let mut x = tokens + folded(Part::Positions, None).narrow(0, 0, n); // [position, hidden]
    let future = Tensor::ones([n, n], (Kind::Bool, x.device())).triu(1);
    for layer in 0..config.n_layers {
        let of = |part: Part| folded(part, Some(layer));
        let y = divided(&x, config.norm.epsilon);
        let read = |weight: Part, bias: Part| y.unsqueeze(0).matmul(&of(weight)) + of(bias).unsqueeze(1);
        let query = read(Part::Query, Part::QueryBias); // [head, position, head_dim]
        let key = read(Part::Key, Part::KeyBias);
        let scores = query.matmul(&key.transpose(1, 2)) / (query.size()[2] as f64).sqrt();
        let pattern = scores
            .masked_fill(&future, f64::NEG_INFINITY)
            .softmax(-1, Kind::Double);
        assert_eq!(of(Part::ValueBias).abs().max().double_value(&[]), 0.0);
        let mixed = pattern.matmul(&read(Part::Value, Part::ValueBias));
        x = x
            + mixed
                .matmul(&of(Part::Output))
                .sum_dim_intlist(0, false, Kind::Double)
            + of(Part::OutputBias);
        let pre = divided(&x, config.norm.epsilon).matmul(&of(Part::In)) + of(Part::InBias);
        x = x + pre.gelu("tanh").matmul(&of(Part::Out)) + of(Part::OutBias);
        // Nothing writes a mean.
        assert!(x.mean_dim(-1, false, Kind::Double).abs().max().double_value(&[]) < 1e-12);
    }
    let logits = divided(&x, config.norm.epsilon).matmul(&folded(Part::Unembedding, None));
    let logits = logits + folded(Part::UnembeddingBias, None);
    assert!(
        logits
            .mean_dim(-1, false, Kind::Double)
            .abs()
            .max()
            .double_value(&[])
            < 1e-12
    );
    let Body::Decoder(decoder) = model.body() else {
        panic!("a decoder");
    };
    let states = model.forward(&ids, &mut NoTap).unwrap();
    let expected = decoder.logits(&states).get(0).log_softmax(-1, Kind::Double);
    let off = (logits.log_softmax(-1, Kind::Double) - expected)
        .abs()
        .max()
        .double_value(&[]);
    assert!(off < 1e-11, "{off}");
}

/// With a norm behind its neurons, too, which becomes part of what they write.
#[test]
fn folded_weights_are_those_of_transformer_lens() {
    let name = "families/transformer_lens";
    let (model, reference) = (model(name, "float64"), Reference::open(name));
    let parts = [
        Part::Query,
        Part::QueryBias,
        Part::Value,
        Part::Output,
        Part::OutputBias,
        Part::In,
        Part::InBias,
        Part::Out,
        Part::OutBias,
    ];
    for of in parts {
        let expected = reference
            .tensor(&format!("folded.{}", of.name()))
            .expect("stored");
        let found = matrix(&model, at(of, Some(1)), true)
            .expect("it is there")
            .mapv(|x| x as f32);
        assert_close(of.name(), &found, &expected, 1e-5);
    }
}

#[test]
fn what_is_not_there_is_said() {
    let model = model("gpt2-tiny", "float32");
    let said = |of: PartAt, folded| part(&model, of, folded).unwrap_err().to_string();
    let of = |part, layer, head| PartAt { part, layer, head };
    assert_eq!(
        said(of(Part::Query, None, None), false),
        "layer is missing: each layer has a W_Q: say which"
    );
    assert_eq!(
        said(of(Part::Embedding, Some(1), None), true),
        "layer is 1: W_E is of no layer"
    );
    assert!(
        said(of(Part::Query, Some(99), None), true).starts_with("layer is 99: the model has layers 0 to")
    );
    assert!(said(of(Part::Query, Some(0), Some(99)), true).starts_with("head is 99: layers have heads 0 to"));
    assert_eq!(
        said(of(Part::In, Some(0), Some(0)), false),
        "head is 0: W_in is of no head"
    );
    assert!(said(of(Part::Gate, Some(0), None), false).contains("its neurons have no gates"));
    let one = part(&model, of(Part::Query, Some(1), Some(1)), true).unwrap();
    let all = part(&model, of(Part::Query, Some(1), None), true).unwrap();
    assert_eq!(one, all.get(1));
    let plain = part(&model, of(Part::Query, Some(1), None), false).unwrap();
    assert!((plain - all).abs().max().double_value(&[]) > 1e-3);
}

/// A site's values over the text: (position, number).
fn values(model: &Model, input: &Input, site: Site, layer: usize) -> Option<Array2<f64>> {
    let places = [Place::of(site)];
    let records = record(model, std::slice::from_ref(input), &places, None, &mut unwatched).ok()?;
    let values = records.array(places[0], Some(layer), 0).ok()?.mapv(f64::from);
    let values = match site {
        Site::MlpPre | Site::MlpInner => values.reversed_axes(),
        _ => values,
    };
    values.into_dimensionality::<Ix2>().ok()
}

fn matrix(model: &Model, at: PartAt, folded: bool) -> Option<ArrayD<f64>> {
    let tensor = part(model, at, folded).ok()?.to_kind(Kind::Double);
    let shape: Vec<usize> = tensor.size().iter().map(|&n| n as usize).collect();
    let numbers = Vec::<f64>::try_from(tensor.flatten(0, -1)).unwrap();
    ArrayD::from_shape_vec(shape, numbers).ok()
}

/// x · W + b
fn read(model: &Model, x: &Array2<f64>, parts: [Part; 2], layer: usize, folded: bool) -> Option<Array2<f64>> {
    let [weight, bias] = parts.map(|part| matrix(model, at(part, Some(layer)), folded));
    let weight = weight?.into_dimensionality::<Ix2>().ok()?;
    Some(x.dot(&weight) + bias?.into_dimensionality::<Ix1>().ok()?)
}

fn near(name: &str, found: &Array2<f64>, expected: &Array2<f64>) {
    assert_eq!(found.dim(), expected.dim(), "{name}");
    let off = (found - expected).mapv(f64::abs).into_iter().fold(0.0, f64::max);
    let size = expected.mapv(f64::abs).into_iter().fold(1.0, f64::max);
    assert!(off < 2e-4 * size, "{name}: {off} of {size}");
}

/// Neurons of every family read and write what its parts say, folded and not.
#[test]
fn neurons_of_every_family_read_and_write_by_their_parts() {
    let (mut n_folded, mut n_plain) = (0, 0);
    for name in cases() {
        let model = model(&name, "float32");
        let Ok(input) = Input::new(&model, TEXT, None) else {
            continue;
        };
        let (config, layer) = (model.config(), 0);
        if has(&model, Part::Out, layer).ok() != Some(true) {
            continue;
        }
        let is_gated = has(&model, Part::Gate, layer).unwrap();
        let reads = if is_gated {
            [Part::Gate, Part::GateBias]
        } else {
            [Part::In, Part::InBias]
        };
        let value = |site| values(&model, &input, site, layer);
        let (Some(pre), Some(inner), Some(read_by)) =
            (value(Site::MlpPre), value(Site::MlpInner), value(Site::MlpInput))
        else {
            continue;
        };
        near(&name, &read(&model, &read_by, reads, layer, false).unwrap(), &pre);
        let stream = match config.residual.parallel {
            true => value(Site::ResidualBefore),
            false => value(Site::ResidualMid),
        };
        // Between a decoder's two branches there may be a look at an encoder.
        let is_read = config.residual.before != PreNorm::None && config.encoder.is_none();
        if let (Some(stream), true) = (stream, is_read) {
            let is_rms = matches!(config.norm.kind, NormKind::Rms { .. });
            let mean = stream.mean_axis(Axis(1)).unwrap().insert_axis(Axis(1));
            let x = if is_rms { stream } else { stream - mean };
            let squares = x.mapv(|x| x * x).mean_axis(Axis(1)).unwrap();
            let roots = squares.mapv(|mean| (mean + config.norm.epsilon).sqrt());
            let x = x / roots.insert_axis(Axis(1));
            if let Some(found) = read(&model, &x, reads, layer, true) {
                near(&name, &found, &pre);
                n_folded += 1;
            }
        }
        if let (Some(output), false) = (value(Site::MlpOutput), config.residual.after_branch) {
            let found = read(&model, &inner, [Part::Out, Part::OutBias], layer, false).unwrap();
            near(&name, &(found * config.residual.scale), &output);
            n_plain += 1;
        }
    }
    assert!(n_folded > 25 && n_plain > 25, "{n_folded}, {n_plain}");
}
