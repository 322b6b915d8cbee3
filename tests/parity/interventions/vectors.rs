//! Divergence, steering vectors, means.

use ecco_explain::intervention::swap::Swap;
use ecco_models::tap::{Capture, NoTap};
use tch::Tensor;

use super::*;

#[test]
fn divergence_is_the_sum_over_the_vocabulary() {
    let model = model("gpt2-tiny", "float32");
    let input = Input::new(&model, "She said that it was there.", None).unwrap();
    let place = Place::of(Site::MlpOutput);
    let scaled = Intervention {
        positions: Some(vec![3..4]),
        ..one(place, Change::Scale(3.0))
    };
    let changed = edited(&model, &[scaled]);
    let found = divergence(&model, &changed, &input, &mut unwatched).unwrap();
    let log_p = |logits: &ArrayD<f32>, row: usize| -> Vec<f64> {
        let row: Vec<f64> = logits
            .index_axis(Axis(0), row)
            .iter()
            .map(|x| f64::from(*x))
            .collect();
        let total = row.iter().map(|x| x.exp()).sum::<f64>().ln();
        row.iter().map(|x| x - total).collect()
    };
    let (p, q) = (logits(&model, &input), logits(&changed, &input));
    for (position, kl) in found.kl.iter().enumerate() {
        let (p, q) = (log_p(&p, position), log_p(&q, position));
        let expected: f64 = p.iter().zip(&q).map(|(p, q)| p.exp() * (p - q)).sum();
        assert!(
            (kl - expected).abs() < 1e-5 * (1.0 + expected),
            "{position}: {kl}, expected {expected}"
        );
        assert_eq!(*kl > 1e-6, position >= 3, "only what comes after is changed");
        let best = q.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).unwrap();
        assert_eq!(found.changed[position].id, best.0 as u32);
        assert!((found.changed[position].probability - best.1.exp()).abs() < 1e-6);
        let next = input.ids.get(position + 1).map(|&id| p[id as usize].exp());
        match (found.reference[position].of_next, next) {
            (Some(found), Some(expected)) => assert!((found - expected).abs() < 1e-6),
            (found, expected) => assert_eq!(found, expected),
        }
    }
    let same = divergence(
        &model,
        &edited(&model, &[one(place, Change::Scale(1.0))]),
        &input,
        &mut unwatched,
    );
    assert!(same.unwrap().kl.iter().all(|kl| *kl == 0.0));
    let other = ecco_tests::model("families/llama", "float32");
    match divergence(&model, &other, &input, &mut unwatched) {
        Err(Error::Option { option: "model", .. }) => {
            assert_ne!(model.config().vocab_size, other.config().vocab_size)
        }
        other => assert!(other.is_ok()),
    }
}

#[test]
fn steering_goes_from_one_mean_to_the_other() {
    let model = model("families/llama", "float32");
    let inputs = |texts: &[&str]| -> Vec<Input> {
        texts
            .iter()
            .map(|&text| Input::new(&model, text, None).unwrap())
            .collect()
    };
    let (positive, negative) = (inputs(&["She said", "She was"]), inputs(&["Où", "It was there."]));
    let place = Place::of(Site::ResidualAfter);
    let options = SteeringOptions {
        place,
        layer: 0,
        at: TextPosition::Last,
        unit: false,
    };
    let found = steering(&model, &positive, &negative, &options, &mut unwatched).unwrap();
    let last = |input: &Input| {
        let states = run_of(&model, input).records().array(place, Some(0), 0).unwrap();
        states.index_axis(Axis(0), input.ids.len() - 1).mapv(f64::from)
    };
    let mean = |inputs: &[Input]| (last(&inputs[0]) + last(&inputs[1])) / 2.0;
    let expected = mean(&positive) - mean(&negative);
    for (found, expected) in found.vector.iter().zip(&expected) {
        assert!((f64::from(*found) - expected).abs() < 1e-5 * (1.0 + expected.abs()));
    }
    assert!((found.norm - expected.iter().map(|x| x * x).sum::<f64>().sqrt()).abs() < 1e-4);
    // In these units the means are at 1 and -1.
    for (projections, side) in found.projections.iter().zip([1.0, -1.0]) {
        assert!((projections.iter().sum::<f64>() / 2.0 - side).abs() < 1e-9);
    }
    let unit = steering(
        &model,
        &positive,
        &negative,
        &SteeringOptions {
            unit: true,
            ..options
        },
        &mut unwatched,
    );
    let unit = unit.unwrap();
    let length: f32 = unit.vector.iter().map(|x| x * x).sum();
    assert!((length - 1.0).abs() < 1e-5 && unit.n_apart() <= 4);
    // Ablated along it, nothing of it is left; scaled, a multiple.
    let along = |change| Intervention {
        layers: Some(vec![0]),
        part: Part::Direction(found.vector.clone()),
        ..one(place, change)
    };
    let component = |model: &Model| {
        let states = run_of(model, &positive[0])
            .records()
            .array(place, Some(0), 0)
            .unwrap();
        let unit = ndarray::Array1::from(unit.vector.clone());
        states.into_dimensionality::<ndarray::Ix2>().unwrap().dot(&unit)
    };
    let before = component(&model);
    let after = component(&edited(
        &model,
        &[along(Change::Ablate(Replacement::Number(0.0)))],
    ));
    assert!(before.iter().any(|x| x.abs() > 0.1) && after.iter().all(|x| x.abs() < 1e-5));
    let twice = component(&edited(&model, &[along(Change::Scale(2.0))]));
    assert!((twice - before * 2.0).iter().all(|gap| gap.abs() < 1e-4));
    assert!(steering(&model, &positive, &positive, &options, &mut unwatched).is_err());
}

/// Of heads it is one of all of them, side by side.
#[test]
fn a_direction_may_go_through_all_heads() {
    let model = model("families/llama", "float32");
    let place = Place::of(Site::HeadOutputs);
    let input = Input::new(&model, "She said that it was there.", None).unwrap();
    let outputs = |model: &Model| {
        let array = run_of(model, &input).records().array(place, Some(0), 0).unwrap();
        let array = array
            .into_dimensionality::<ndarray::Ix3>()
            .unwrap()
            .mapv(f64::from);
        let (n_heads, n, size) = array.dim();
        let rows = array.permuted_axes([1, 0, 2]); // (position, head, number)
        rows.to_shape((n, n_heads * size)).unwrap().to_owned()
    };
    let before = outputs(&model);
    let width = before.ncols();
    let direction: Vec<f32> = (0..width).map(|at| (at as f32 * 0.7).sin() + 0.1).collect();
    let unit = ndarray::Array1::from(direction.clone()).mapv(f64::from);
    let unit = &unit / unit.dot(&unit).sqrt();
    let changed = |part: Part, change: Change| {
        let intervention = Intervention {
            layers: Some(vec![0]),
            part,
            ..one(place, change)
        };
        outputs(&edited(&model, &[intervention]))
    };
    let along = |change| changed(Part::Direction(direction.clone()), change);
    let close = |found: &ndarray::Array2<f64>, expected: &ndarray::Array2<f64>| {
        assert!((found - expected).iter().all(|gap| gap.abs() < 1e-5));
    };
    let column = |x: ndarray::Array1<f64>| x.insert_axis(Axis(1));
    let component = column(before.dot(&unit)).dot(&unit.clone().insert_axis(Axis(0)));
    close(&along(Change::Scale(1.0)), &before);
    close(&along(Change::Scale(3.0)), &(&before + &component * 2.0));
    close(&along(Change::Scale(0.0)), &(&before - &component));
    close(
        &along(Change::Ablate(Replacement::Number(0.0))),
        &(&before - &component),
    );
    // Added, it is theirs side by side; as wide as a head it is that of each alike.
    let added = |vector: &[f32], part| {
        let what = Vector::Values(vector.to_vec());
        changed(part, Change::Add { what, factor: 2.0 })
    };
    let whole = ndarray::Array1::from(direction.clone()).mapv(f64::from);
    close(&added(&direction, Part::Whole), &(&before + &(&whole * 2.0)));
    let n_heads = model.config().n_heads;
    let size = width / n_heads;
    assert!(n_heads > 1);
    let alike = ndarray::Array1::from_iter((0..width).map(|at| whole[at % size]));
    close(
        &added(&direction[..size], Part::Whole),
        &(&before + &(&alike * 2.0)),
    );
    let last = ndarray::Array1::from_iter(
        (0..width).map(|at| if at < width - size { 0.0 } else { whole[at % size] }),
    );
    close(
        &added(&direction[..size], Part::Heads(vec![n_heads - 1])),
        &(&before + &(&last * 2.0)),
    );
    for (part, change) in [
        (Part::Direction(direction[..size].to_vec()), Change::Scale(2.0)),
        (
            Part::Whole,
            Change::Add {
                what: Vector::Values(direction[..size + 1].to_vec()),
                factor: 1.0,
            },
        ),
    ] {
        let intervention = Intervention {
            part,
            ..one(place, change)
        };
        let error = compile(&model, &[intervention], &mut unwatched)
            .map(|_| ())
            .unwrap_err();
        assert!(error.to_string().contains(&width.to_string()), "{error}");
    }
}

#[test]
fn the_mean_is_that_of_all_positions() {
    for (site, part) in [
        (Site::MlpOutput, Part::Whole),
        (Site::MlpInner, Part::Features(vec![4, 1])),
        (Site::HeadOutputs, Part::Heads(vec![2])),
    ] {
        let model = model("gpt2-tiny", "float32");
        let inputs: Vec<Input> = ["one two", "three"]
            .iter()
            .map(|&text| Input::new(&model, text, None).unwrap())
            .collect();
        let place = Place::of(site);
        let to_mean = Intervention {
            layers: Some(vec![1]),
            part: part.clone(),
            ..one(place, Change::Ablate(Replacement::Mean(inputs.clone())))
        };
        let changed = edited(&model, &[to_mean]);
        let values = |model: &Model, input: &Input| {
            let array = run_of(model, input).records().array(place, Some(1), 0).unwrap();
            let array = match site {
                Site::MlpInner => array.reversed_axes(), // (position, neuron)
                Site::HeadOutputs => array.index_axis_move(Axis(0), 2),
                _ => array,
            };
            array.into_dimensionality::<ndarray::Ix2>().unwrap()
        };
        let n: usize = inputs.iter().map(|input| input.ids.len()).sum();
        let sums = inputs.iter().map(|input| values(&model, input).sum_axis(Axis(0)));
        let mean = sums.reduce(|a, b| a + b).unwrap() / n as f32;
        let after = values(&changed, &Input::new(&model, "She said that", None).unwrap());
        let columns: Vec<usize> = match &part {
            Part::Features(features) => features.clone(),
            _ => (0..mean.len()).collect(),
        };
        for row in after.outer_iter() {
            for &column in &columns {
                assert!((row[column] - mean[column]).abs() < 1e-5, "{site:?} {column}");
            }
        }
    }
}

#[test]
fn swapped_coordinates_are_exchanged_and_the_rest_stays() {
    for (dtype, tolerance) in [("float64", 1e-12), ("float32", 1e-6)] {
        let model = model("families/llama", dtype);
        let width = model.config().hidden_size;
        let wave = |phase: f64| (0..width).map(move |at| ((at as f64 * 1.7 + phase).sin() + 0.3) as f32);
        let directions = [wave(0.0), wave(1.1)].map(Iterator::collect::<Vec<f32>>);
        let swap = |directions: &[Vec<f32>; 2]| Intervention {
            layers: Some(vec![0]),
            positions: Some(vec![1..3]),
            ..one(
                Place::of(Site::ResidualAfter),
                Change::Swap(Swap {
                    directions: directions.clone(),
                    names: ["\" a\"", "\" b\""].map(str::to_owned),
                }),
            )
        };
        let input = Input::new(&model, "She said that it", None).unwrap();
        let stream = |model: &Model| {
            guard(|| {
                let mut tap = Capture::new(&[Site::ResidualAfter], Some(&[0]));
                let _ = run::states(model, std::slice::from_ref(&input), &mut tap, &mut NoTap)?;
                Ok(tap.tensor(Site::ResidualAfter, 0).get(0).to_kind(Kind::Double))
            })
            .unwrap()
        };
        let changed = edited(&model, &[swap(&directions)]);
        let (before, after) = (stream(&model), stream(&changed)); // [position, hidden]
        let v = directions
            .each_ref()
            .map(|direction| Tensor::from_slice(direction).to_kind(Kind::Double));
        let v = Tensor::stack(&v, 1); // [hidden, 2]
        let coordinates = |x: &Tensor| v.linalg_pinv(1e-15, false).matmul(&x.tr()); // [2, position]
        let (of_before, of_after) = (coordinates(&before), coordinates(&after));
        let rest = |x: &Tensor, of: &Tensor| x - v.matmul(of).tr();
        let most = |x: Tensor| f64::try_from(x.abs().max()).unwrap();
        let scale = 1.0 + most(before.shallow_clone());
        let within = of_after.narrow(1, 1, 2) - of_before.flip([0]).narrow(1, 1, 2);
        assert!(most(within) < tolerance * scale, "{dtype}");
        assert!(
            most(rest(&after, &of_after) - rest(&before, &of_before)) < tolerance * scale,
            "{dtype}"
        );
        assert!(
            most((&after - &before).narrow(0, 1, 2)) > 1e-2,
            "it does something"
        );
        assert_eq!(after.get(0), before.get(0), "only at these positions");
        let line = swap(&directions).label();
        assert_eq!(
            line,
            "layer 0 residual_after, at positions 1–2: the coordinates of \" a\" and \" b\" swapped"
        );
        for wrong in [
            [
                directions[0].clone(),
                directions[0].iter().map(|x| x * 2.0).collect(),
            ],
            [directions[0].clone(), vec![1.0; width + 1]],
        ] {
            assert!(compile(&model, &[swap(&wrong)], &mut unwatched).is_err());
        }
    }
}
