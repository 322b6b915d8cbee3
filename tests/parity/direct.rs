//! Direct logit attribution: the parts sum to the logit, in every family that writes.

use ecco_explain::direct::{Direct, LogitQuery, direct};
use ecco_interpreter::unwatched;
use ecco_models::config::Task;
use ecco_models::model::Body;
use ecco_models::run::{Input, run};
use ecco_tests::{cases, model};

fn sum(values: &[f64]) -> f64 {
    values.iter().sum()
}

/// The parts are what they are parts of, within `tolerance` of the size of what is summed.
pub(crate) fn assert_sums(what: &str, found: &Direct, tolerance: f64) {
    let near = |part: &str, found: f64, expected: f64, size: f64| {
        let allowed = tolerance * (1.0 + size);
        assert!(
            (found - expected).abs() <= allowed,
            "{what}, {part}: {found}, expected {expected}"
        );
    };
    let mut size = found.embedding.abs() + found.bias.abs();
    for (index, layer) in found.layers.iter().enumerate() {
        let wide = |values: &[f64]| values.iter().map(|value| value.abs()).sum::<f64>();
        let heads = sum(&layer.heads) + layer.attention_bias;
        near(
            &format!("heads of layer {index}"),
            heads,
            layer.attention,
            wide(&layer.heads),
        );
        let neurons = sum(&layer.neurons) + layer.mlp_bias;
        near(
            &format!("neurons of layer {index}"),
            neurons,
            layer.mlp,
            wide(&layer.neurons),
        );
        assert_eq!(layer.neurons.len(), layer.activations.len());
        size += layer.attention.abs() + layer.mlp.abs();
    }
    near("the logit", found.sum(), found.logit, size);
}

#[test]
fn parts_sum_to_the_logit_in_every_family() {
    let (mut n_whole, mut n_refused) = (0, 0);
    for name in cases() {
        for (dtype, tolerance) in [("float64", 1e-9), ("float32", 2e-4)] {
            let model = model(&name, dtype);
            let target = matches!(model.body(), Body::EncoderDecoder(_)).then_some("Une forêt");
            let input = Input::new(&model, "She said that it was there.", target).unwrap();
            let n = input.spoken().len();
            let wanted = LogitQuery {
                row: n - 1,
                token: 70,
                contrast: None,
            };
            if model.config().task != Task::NextToken {
                let error = direct(&model, &input, wanted, &mut unwatched).unwrap_err();
                assert!(error.to_string().contains("linear in the stream"), "{error}");
                n_refused += 1;
                continue;
            }
            n_whole += 1;
            let of_run = run(&model, vec![input.clone()], 1, &mut unwatched)
                .unwrap()
                .remove(0);
            let logits = of_run.logits(&model, 0).unwrap();
            for row in [0, n - 1] {
                let wanted = LogitQuery { row, ..wanted };
                let found = direct(&model, &input, wanted, &mut unwatched).unwrap();
                assert_sums(&format!("{name} {dtype} row {row}"), &found, tolerance);
                assert_eq!(found.capped, model.config().head.soft_cap.is_some());
                // What the head says: the logit, capped where the model does that.
                let said = match model.config().head.soft_cap {
                    Some(cap) => cap * (found.logit / cap).tanh(),
                    None => found.logit,
                };
                let expected = f64::from(logits[[row, 70]]);
                assert!(
                    (said - expected).abs() < 1e-4 * (1.0 + expected.abs()),
                    "{name}: {said}, {expected}"
                );
                let other = LogitQuery { token: 33, ..wanted };
                let other = direct(&model, &input, other, &mut unwatched).unwrap();
                let contrast = LogitQuery {
                    contrast: Some(33),
                    ..wanted
                };
                let contrast = direct(&model, &input, contrast, &mut unwatched).unwrap();
                assert_sums(&format!("{name} {dtype} contrast"), &contrast, tolerance);
                let size = found.embedding.abs() + other.embedding.abs();
                let gap = (found.embedding - other.embedding - contrast.embedding).abs();
                assert!(
                    gap <= tolerance * (1.0 + size),
                    "{name}: a contrast is a difference"
                );
            }
        }
    }
    assert!(n_whole >= 80 && n_refused >= 20, "{n_whole} and {n_refused}");
}

/// Ablating the last layer's MLP takes from the stream what its part says, with the norm's deviation as it was.
#[test]
fn a_part_is_what_is_missing_without_it() {
    let model = model("gpt2-tiny", "float64");
    let input = Input::new(&model, "one two three", None).unwrap();
    let row = input.ids.len() - 1;
    let found = direct(
        &model,
        &input,
        LogitQuery {
            row,
            token: 9,
            contrast: None,
        },
        &mut unwatched,
    )
    .unwrap();
    let Body::Decoder(decoder) = model.body() else {
        panic!("a decoder")
    };
    let sites = [ecco_models::Site::ResidualAfter, ecco_models::Site::MlpOutput];
    let capture = ecco_models::capture(&model, &input.ids, &sites, None, &mut unwatched).unwrap();
    let at = |site| capture.tensor(site, 2).get(0).get(row as i64);
    let (post, mlp) = (at(sites[0]), at(sites[1]));
    // The last state with and without the part, both over the deviation of the one with it.
    let center = |x: &tch::Tensor| x - x.mean(None::<tch::Kind>);
    let deviation = (center(&post).square().mean(None::<tch::Kind>) + model.config().norm.epsilon).sqrt();
    let norm = decoder.stack.final_norm.as_ref().unwrap();
    let weight = norm.forward(&post) - norm.bias().unwrap();
    let weight = weight / (center(&post) / &deviation);
    let written = center(&mlp) / deviation * weight;
    let expected = written.dot(&decoder.head.column(9)).double_value(&[]);
    assert!(
        (found.layers[2].mlp - expected).abs() < 1e-9,
        "{} {expected}",
        found.layers[2].mlp
    );
    let best = found.top_neurons(3);
    let size = |&(layer, neuron): &(usize, usize)| found.layers[layer].neurons[neuron].abs();
    let all = found
        .layers
        .iter()
        .flat_map(|layer| layer.neurons.iter().map(|value| value.abs()));
    assert_eq!(size(&best[0]), all.fold(0.0, f64::max));
    assert!(size(&best[0]) >= size(&best[1]) && size(&best[1]) >= size(&best[2]));
    assert_eq!(found.top_neurons(10_000).len(), 3 * 192);
}
