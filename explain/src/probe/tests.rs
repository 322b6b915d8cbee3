use ecco_interpreter::unwatched;
use ndarray::Array3;

use super::*;

fn options(kind: ProbeKind) -> ProbeOptions {
    ProbeOptions {
        kind,
        folds: 4,
        l2: Some(1.0),
        seed: 0,
        n_shuffles: 20,
        groups: None,
    }
}

/// The label stands in three of 12 features, behind noise.
fn planted(n: usize) -> (Vec<LayerStates>, Vec<usize>) {
    let mut random = RandomState::new(7);
    let labels: Vec<usize> = (0..n).map(|text| usize::from(text % 3 == 0)).collect();
    let values = Array3::from_shape_fn((n, 1, 12), |(text, _, feature)| {
        let sign = if labels[text] == 1 { 1.0 } else { -1.0 };
        let noise = random.normal();
        (if (2..5).contains(&feature) {
            3.0 * sign + noise
        } else {
            noise
        }) as f32
    });
    let layer = Some(0);
    (vec![LayerStates { layer, values }], labels)
}

#[test]
fn every_kind_finds_what_is_planted_and_nothing_in_shuffled_labels() {
    let (states, labels) = planted(90);
    for &kind in ProbeKind::ALL {
        let found = probes(&states, &labels, &options(kind), &mut unwatched).unwrap();
        let probe = &found[0][0];
        assert!(probe.accuracy > 0.97 && probe.auc > 0.99, "{kind:?}: {probe:?}");
        assert!(probe.control < 0.75, "{kind:?}: {}", probe.control);
        let direction = probe.classifier.direction(1);
        let along = direction.slice(ndarray::s![2..5]).sum() / 3f64.sqrt();
        assert!(
            along > 0.6 && (direction.dot(&direction) - 1.0).abs() < 1e-9,
            "{kind:?}: {along}"
        );
        let has = matches!(kind, ProbeKind::Logistic | ProbeKind::Lda);
        assert_eq!(probe.calibration_error.is_some(), has);
    }
    assert!((majority(&labels) - 2.0 / 3.0).abs() < 1e-12);
}

#[test]
fn each_of_several_labels_has_its_direction() {
    let mut random = RandomState::new(9);
    let labels: Vec<usize> = (0..90).map(|text| text % 3).collect();
    let values = Array3::from_shape_fn((90, 1, 12), |(text, _, feature)| {
        let planted = if feature == 6 + labels[text] { 3.0 } else { 0.0 };
        (planted + 0.6 * random.normal()) as f32
    });
    let states = [LayerStates { layer: None, values }];
    for &kind in ProbeKind::ALL.iter().filter(|kind| **kind != ProbeKind::Pca) {
        let found = probes(&states, &labels, &options(kind), &mut unwatched).unwrap();
        let probe = &found[0][0];
        assert!(probe.accuracy > 0.97 && probe.auc > 0.99, "{kind:?}: {probe:?}");
        assert!(probe.control < 0.6, "{kind:?}: {}", probe.control);
        for class in 0..3 {
            let direction = probe.classifier.direction(class);
            let most = (0..12).max_by(|a, b| direction[*a].total_cmp(&direction[*b]));
            assert_eq!(most, Some(6 + class), "{kind:?}: {direction}");
        }
    }
    let error = probes(&states, &labels, &options(ProbeKind::Pca), &mut unwatched).unwrap_err();
    assert!(
        error.to_string().contains("does not tell 3 labels apart"),
        "{error}"
    );
}

#[test]
fn texts_of_a_group_are_left_out_together() {
    let (_, labels) = planted(60);
    let groups: Vec<usize> = (0..60).map(|text| text / 6).collect();
    let with = ProbeOptions {
        groups: Some(groups.clone()),
        ..options(ProbeKind::Ridge)
    };
    let folds = folds(&labels, &with).unwrap();
    for group in 0..10 {
        let of: Vec<usize> = (0..60).filter(|&text| groups[text] == group).collect();
        assert!(of.iter().all(|&text| folds[text] == folds[of[0]]));
    }
    let sizes: Vec<usize> = (0..4)
        .map(|fold| folds.iter().filter(|of| **of == fold).count())
        .collect();
    assert_eq!(sizes.iter().sum::<usize>(), 60);
    assert!(sizes.iter().all(|size| (12..=18).contains(size)), "{sizes:?}");
    let few = ProbeOptions {
        groups: Some(vec![0; 60]),
        ..with
    };
    assert!(
        super::folds(&labels, &few)
            .unwrap_err()
            .to_string()
            .contains("groups")
    );
}

#[test]
fn folds_have_shares_like_the_whole() {
    let (_, labels) = planted(90);
    let folds = folds(&labels, &options(ProbeKind::Lda)).unwrap();
    for fold in 0..4 {
        let of: Vec<usize> = labels
            .iter()
            .zip(&folds)
            .filter(|(_, f)| **f == fold)
            .map(|(l, _)| *l)
            .collect();
        let n_true = of.iter().sum::<usize>();
        assert!(
            (22..=23).contains(&of.len()) && (7..=8).contains(&n_true),
            "{}: {n_true}",
            of.len()
        );
    }
}

#[test]
fn what_cannot_be_probed_is_said() {
    let (mut states, labels) = planted(30);
    let error = |states: &[LayerStates], labels: &[usize], options: &ProbeOptions| {
        probes(states, labels, options, &mut unwatched)
            .unwrap_err()
            .to_string()
    };
    let usual = options(ProbeKind::Logistic);
    let many = ProbeOptions {
        folds: 11,
        ..usual.clone()
    };
    assert_eq!(
        error(&states, &labels, &many),
        "folds is 11: expected 2 to 10, as often as the rarer label stands"
    );
    let without = ProbeOptions {
        l2: Some(0.0),
        ..usual.clone()
    };
    assert!(error(&states, &labels, &without).starts_with("l2 is 0"));
    states[0].values[[4, 0, 5]] = f32::NAN;
    assert!(error(&states, &labels, &usual).starts_with("the state is NaN for text 4 at 5"));
}

#[test]
fn an_interrupt_is_heard() {
    let (states, labels) = planted(30);
    let stop = &mut |_: &Progress| std::ops::ControlFlow::Break(());
    for &kind in ProbeKind::ALL {
        assert!(
            probes(&states, &labels, &options(kind), stop).is_err(),
            "{kind:?}"
        );
    }
}
