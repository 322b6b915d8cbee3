//! Attribution through what was changed.

use super::*;

#[test]
fn nothing_comes_from_a_text_that_is_not_looked_at() {
    let model = model("families/flan-t5", "float32");
    let input = Input::new(&model, "She said that", Some("it was")).unwrap();
    let cut = one(
        Place::of(Site::CrossOutput),
        Change::Ablate(Replacement::Number(0.0)),
    );
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

/// Of a decoder, whose gradients are otherwise taken by a pass back that knows nothing of changes.
#[test]
fn nothing_comes_from_positions_that_are_cut_off() {
    let model = model("families/llama", "float64");
    let input = Input::new(&model, "She said that it", None).unwrap();
    let n = input.ids.len();
    let cut = |site| Intervention {
        positions: Some(vec![2..3]),
        ..one(Place::of(site), Change::Ablate(Replacement::Number(0.0)))
    };
    let changed = edited(&model, &[cut(Site::Keys), cut(Site::Values)]);
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
