use super::*;

/// F is a sum of what the sources are worth.
fn value(row: ndarray::ArrayView1<bool>, worth: &[f64]) -> f64 {
    let kept = row.iter().zip(worth).filter(|(kept, _)| **kept);
    kept.map(|(_, worth)| worth).sum()
}

fn check(scores: &[f32], worth: &[f64], options: &FaithfulnessOptions) -> Check {
    let values = |kept: Array2<bool>| Ok(kept.outer_iter().map(|row| value(row, worth)).collect());
    let random = (options.n_random > 0).then(|| by_chance(&[worth], options).remove(0));
    check_target(scores, options, random, values).unwrap()
}

/// Of targets that each see the first so many sources as are worth something to them.
fn by_chance(worth: &[&[f64]], options: &FaithfulnessOptions) -> Vec<Measurement> {
    let n_sources: Vec<usize> = worth.iter().map(|worth| worth.len()).collect();
    let chance = Chance::new(&n_sources, options);
    let shape = (chance.kept.nrows(), worth.len());
    let values = Array2::from_shape_fn(shape, |(pass, target)| {
        value(chance.kept.row(pass), worth[target])
    });
    chance.measured(values.view(), options)
}

#[test]
fn figures_of_an_additive_function_by_hand() {
    let worth = [0.4, 0.1, 0.3, 0.1];
    let options = FaithfulnessOptions {
        fractions: vec![0.25, 0.5],
        n_steps: 2,
        n_random: 0,
        ..Default::default()
    };
    let found = check(&[4.0, 1.0, 3.0, 2.0], &worth, &options);
    let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-12, "{a}, expected {b}");
    close(found.full, 0.9);
    close(found.empty, 0.0);
    close(found.found.figures.comprehensiveness, (0.4 + 0.7) / 2.0);
    close(found.found.figures.sufficiency, (0.5 + 0.2) / 2.0);
    close(
        found.found.figures.log_odds,
        ((0.5f64 / 0.9).ln() + (0.2f64 / 0.9).ln()) / 2.0,
    );
    for (found, expected) in found.found.deletion.iter().zip([0.9, 0.2, 0.0]) {
        close(*found, expected);
    }
    close(found.found.figures.deletion, (0.55 + 0.1) / 2.0);
    close(found.found.figures.insertion, (0.35 + 0.8) / 2.0);
    assert!(found.random.is_none());
}

#[test]
fn the_right_order_beats_random_orders_and_these_beat_the_wrong_one() {
    let worth: Vec<f64> = (0..20).map(|i| 0.5f64.powi(i)).collect();
    let right: Vec<f32> = worth.iter().map(|&worth| worth as f32).collect();
    let wrong: Vec<f32> = right.iter().map(|score| -score).collect();
    let options = FaithfulnessOptions::default();
    let (right, wrong) = (check(&right, &worth, &options), check(&wrong, &worth, &options));
    assert_eq!(right.random, wrong.random);
    let random = right.random.unwrap().figures;
    let named = |figures: &Figures| figures.named();
    for ((right, random), wrong) in named(&right.found.figures)
        .into_iter()
        .zip(named(&random))
        .zip(named(&wrong.found.figures))
    {
        let sign = if right.2 { 1.0 } else { -1.0 };
        assert!(
            sign * right.1 > sign * random.1,
            "{}: {} and {}",
            right.0,
            right.1,
            random.1
        );
        assert!(
            sign * random.1 > sign * wrong.1,
            "{}: {} and {}",
            right.0,
            random.1,
            wrong.1
        );
    }
}

#[test]
fn one_source_and_none() {
    let options = FaithfulnessOptions::default();
    let one = check(&[1.0], &[0.75], &options);
    assert_eq!(
        (one.found.figures.comprehensiveness, one.found.figures.sufficiency),
        (0.75, 0.0)
    );
    // Nothing is left of it, so that log-odds are none.
    assert!(one.found.figures.log_odds.is_nan());
    assert_eq!(format!("{:?}", one.random), format!("{:?}", Some(&one.found)));
    let none = check(&[], &[], &options);
    assert_eq!((none.full, none.empty), (0.0, 0.0));
}

#[test]
fn passes_are_as_few_as_can_be() {
    let mut n_passes = 0;
    let options = FaithfulnessOptions::default();
    check_target(&[3.0, 2.0, 1.0, 0.5], &options, None, |kept| {
        n_passes = kept.nrows();
        Ok(vec![0.5; kept.nrows()])
    })
    .unwrap();
    assert_eq!(
        n_passes,
        2 + 2 * 3,
        "all, none, and 1 to 3 of 4, kept or left out"
    );
    let n_random = |n_sources: &[usize]| Chance::new(n_sources, &options).kept.nrows();
    assert_eq!(n_random(&[4]), 2 + 5 * 2 * 3, "the same in five orders");
    assert_eq!(n_random(&[4, 4]), n_random(&[4]), "targets share them");
    // At most one for each number of the longest.
    let twenty: Vec<usize> = (23..43).collect();
    assert!(n_random(&twenty) <= 2 + 5 * 2 * 41, "{}", n_random(&twenty));
    assert!(n_random(&twenty) * 5 < twenty.iter().map(|&n| n_random(&[n])).sum());
}

/// Whatever targets it is measured beside, a target's random orders take the same numbers of its sources, each source as often.
#[test]
fn random_orders_of_many_targets_are_orders_of_each() {
    let options = FaithfulnessOptions {
        n_random: 400,
        fractions: vec![0.5],
        n_steps: 2,
        ..Default::default()
    };
    let worth: Vec<f64> = (0..9).map(|i| f64::from(i) / 36.0).collect();
    let of_many = by_chance(&[&worth[..5], &worth[..9], &worth[..1]], &options);
    // Of what adds up, so many of the sources are worth as much of the whole on average: 3 of 5, since 2.5 rounds up, and 5 of 9.
    let close = |a: f64, b: f64| assert!((a - b).abs() < 0.03, "{a}, expected {b}");
    let whole: f64 = worth[..5].iter().sum();
    close(of_many[0].insertion[1], whole * 3.0 / 5.0);
    close(of_many[0].deletion[1], whole * 2.0 / 5.0);
    close(of_many[1].insertion[1], 5.0 / 9.0);
    for measured in &of_many {
        for (only, without) in measured.insertion.iter().zip(&measured.deletion) {
            let all = measured.deletion[0];
            assert!(
                (only + without - all).abs() < 1e-12,
                "what is kept and what is left make all"
            );
        }
    }
    // The longest target's orders are those that it has alone.
    assert_eq!(of_many[1], by_chance(&[&worth], &options)[0]);
}

#[test]
fn options_out_of_range_are_refused() {
    let refused = |options: FaithfulnessOptions| options.check().unwrap_err().to_string();
    let with = |fractions: &[f64]| FaithfulnessOptions {
        fractions: fractions.to_vec(),
        ..Default::default()
    };
    assert_eq!(
        refused(with(&[0.5, 1.5])),
        "fractions is 1.5: expected fractions above 0 and up to 1"
    );
    assert!(refused(with(&[f64::NAN])).contains("NaN"));
    assert!(refused(with(&[])).contains("at least one"));
    let steps = FaithfulnessOptions {
        n_steps: 0,
        ..Default::default()
    };
    assert!(refused(steps).contains("1 to 1,000 steps"));
}

#[test]
fn what_is_no_order_or_no_number_has_no_figures() {
    let options = FaithfulnessOptions::default();
    let is_nothing = |figures: &Figures| figures.named().iter().all(|(_, value, _)| value.is_nan());
    for scores in [[0.0; 4], [f32::NAN; 4]] {
        let found = check(&scores, &[0.1; 4], &options);
        assert!(is_nothing(&found.found.figures), "{:?}", found.found);
        assert!(found.found.deletion.iter().all(|value| value.is_nan()));
        assert!(!is_nothing(&found.random.unwrap().figures));
    }
    // What is left has a probability that underflows: 0.
    let found = check(&[2.0, 1.0], &[0.5, 0.0], &options);
    assert!(found.found.figures.log_odds.is_nan());
    assert!((found.found.figures.comprehensiveness - 0.5).abs() < 1e-12);
}
