//! Bad input.

use super::patching::pair;
use super::*;

#[test]
fn what_is_not_there_is_named() {
    let model = model("gpt2-tiny", "float32");
    let said = |intervention: Intervention| match compile(&model, &[intervention], &mut unwatched) {
        Ok(_) => panic!("it was taken"),
        Err(error) => error.to_string(),
    };
    let zero = || Change::Ablate(Replacement::Number(0.0));
    let inner = Place::of(Site::MlpInner);
    let at = |layers: &[usize], part: Part| Intervention {
        layers: Some(layers.to_vec()),
        part,
        ..one(inner, zero())
    };
    assert_eq!(
        said(at(&[7], Part::Whole)),
        "layer is 7: the model has layers 0 to 2"
    );
    assert_eq!(
        said(at(&[1], Part::Features(vec![3, 192]))),
        "neurons is 192: mlp_inner of layer 1 has 192 neurons, numbered 0 to 191"
    );
    assert_eq!(
        said(at(&[1], Part::Heads(vec![0]))),
        "heads is [0]: mlp_inner is not divided by heads; head_outputs is"
    );
    assert_eq!(
        said(one(Place::of(Site::CrossOutput), zero())),
        "the model has no cross_output"
    );
    assert_eq!(
        said(one(Place::of(Site::MlpUp), zero())),
        "the model has no mlp_up"
    );
    let vector = Change::Add {
        what: Vector::Values(vec![1.0; 7]),
        factor: 1.0,
    };
    assert_eq!(
        said(one(Place::of(Site::ResidualAfter), vector)),
        "vector is a vector of 7 numbers: expected 48, as many as residual_after has at each position"
    );
    let patch = Change::Patch(vec![(0, ArrayD::zeros(vec![4, 48]))]);
    let late = Intervention {
        layers: Some(vec![0]),
        positions: Some(vec![2..6]),
        ..one(Place::of(Site::ResidualAfter), patch)
    };
    assert_eq!(
        said(late),
        "positions is 5: what is patched has 4 positions, numbered 0 to 3"
    );
    let (clean, mut corrupted) = pair(&model);
    corrupted.ids.push(5);
    let options = PatchOptions {
        place: inner,
        by: SiteAxis::Position,
        answer: (Target::token(clean.ids.len(), 0)).into(),
    };
    let error = patch_map(&model, &clean, &corrupted, &options, &mut unwatched).unwrap_err();
    let (n, more) = (clean.ids.len(), clean.ids.len() + 1);
    let message = error.to_string();
    assert!(
        message.starts_with(&format!("the clean text has {n} tokens (")),
        "{message}"
    );
    assert!(
        message.contains(&format!("the corrupted one {more} (")),
        "{message}"
    );
    let same = patch_map(&model, &clean, &clean, &options, &mut unwatched).unwrap_err();
    assert!(same.to_string().contains("nothing can be restored"), "{same}");
    let mut polls = 0;
    let interrupted = patch_map(&model, &clean, &pair(&model).1, &options, &mut |_: &Progress| {
        polls += 1;
        match polls {
            1..=7 => ControlFlow::Continue(()),
            _ => ControlFlow::Break(()),
        }
    });
    assert!(matches!(
        interrupted,
        Err(Error::Model(ecco_models::Error::Interrupted))
    ));
}
