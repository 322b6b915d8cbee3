//! What must not change, and what must, in every family.

use super::*;

fn bits(array: &ArrayD<f32>) -> Vec<u32> {
    array.iter().map(|value| value.to_bits()).collect()
}

/// An own value by layer, as a script would take it from a run.
fn own_values(run: &Run, place: Place) -> Change {
    let layers = run.records().layers(place).into_iter();
    let values = |layer: usize| run.records().array(place, Some(layer), 0).expect("recorded");
    Change::Patch(layers.map(|layer| (layer, values(layer))).collect())
}

#[test]
fn own_values_factor_one_and_nothing_added_change_no_bit() {
    let mut n_places = 0;
    for (name, model, input) in families() {
        let untouched = run_of(&model, &input);
        let answer = |model: &Model, run: &Run| match model.config().task {
            Task::States => run
                .records()
                .array(Place::of(Site::FinalNorm), None, 0)
                .expect("states"),
            _ => run.logits(model, 0).expect("a head"),
        };
        let expected = bits(&answer(&model, &untouched));
        for (place, _) in run::sites(&model).expect("it has sites") {
            let is_pattern = place.axes().contains(&"query");
            let nothing = Change::Add {
                what: Vector::Number(3.0),
                factor: 0.0,
            };
            let mut changes = vec![Change::Scale(1.0), nothing];
            let has_common_width = !place.encoder && model.config().attention.causal;
            if !is_pattern || (has_common_width && place.site == Site::AttentionPattern) {
                changes.push(own_values(&untouched, place));
            }
            for change in changes {
                let what = format!("{name}: {}", one(place, change.clone()).label());
                let changed = edited(&model, &[one(place, change)]);
                let run = run_of(&changed, &input);
                assert_eq!(bits(&answer(&changed, &run)), expected, "{what}");
                n_places += 1;
            }
        }
    }
    assert!(n_places > 2000, "{n_places}");
}

/// Something is changed at some positions of every place that a model has.
fn at_every_place(model: &Model, positions: &[Range<usize>]) -> Vec<Intervention> {
    let places = run::sites(model).expect("it has sites").into_iter();
    let places = places
        .map(|(place, _)| place)
        .filter(|place| !place.axes().contains(&"query"));
    let change = |place| Intervention {
        positions: Some(positions.to_vec()),
        ..one(place, Change::Scale(0.9))
    };
    places.map(change).collect()
}

#[test]
fn with_cache_as_without() {
    let mut n_models = 0;
    for (name, model, input) in families_in("float64") {
        if matches!(model.body(), Body::Encoder(_)) {
            continue;
        }
        n_models += 1;
        let n_given = input.spoken().len();
        // Given, generated, and both.
        let positions = [1..2, n_given - 1..n_given + 1, n_given + 3..usize::MAX];
        let changed = edited(&model, &at_every_place(&model, &positions));
        let written = greedy(&changed, &input, 6);
        let whole = [input.spoken(), &written].concat();
        let whole = match input.target.is_empty() {
            true => Input {
                ids: whole,
                target: vec![],
                ..Input::default()
            },
            false => Input {
                ids: input.ids.clone(),
                target: whole,
                ..Input::default()
            },
        };
        let uncached = logits(&changed, &whole);
        let mut cached = Vec::new();
        guard(|| {
            let mut writer = Writer::new(&changed, &whole.ids, whole.spoken().len())?;
            cached.push(to_array(&writer.begin(&whole.spoken()[..n_given])?.get(0))?);
            for n in n_given..whole.spoken().len() {
                let read = whole.spoken()[..=n].to_vec();
                cached.push(to_array(&writer.go_on(&[read])?.get(0))?);
            }
            Ok(())
        })
        .expect("it writes");
        for (step, cached) in cached.iter().enumerate() {
            let row = uncached.index_axis(Axis(0), n_given - 1 + step).into_owned();
            assert_close(&format!("{name}, step {step}"), cached, &row, 1e-6);
            let (best, _) = row.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).unwrap();
            if let Some(&id) = written.get(step) {
                assert_eq!(best as u32, id, "{name}, step {step}");
            }
        }
        let gap = &uncached - &logits(&model, &whole);
        assert!(
            gap.iter().any(|gap| gap.abs() > 1e-2),
            "{name} is not changed at all"
        );
    }
    assert!(n_models >= 40, "{n_models}");
}

#[test]
fn experts_neurons_are_what_is_added() {
    for name in ["families/mixtral", "families/olmoe", "families/qwen3_moe"] {
        let model = model(name, "float32");
        let input = Input::new(&model, "She said that", None).unwrap();
        let changed = |site| {
            let change = Change::Ablate(Replacement::Number(0.0));
            logits(&edited(&model, &[one(Place::of(site), change)]), &input)
        };
        assert_eq!(changed(Site::MlpInner), changed(Site::MlpOutput), "{name}");
        assert_ne!(changed(Site::MlpInner), logits(&model, &input), "{name}");
        // One expert's neurons: only the tokens that go through it change.
        let records = run_of(&model, &input);
        let inner = records
            .records()
            .array(Place::of(Site::MlpInner), Some(1), 0)
            .unwrap(); // (neuron, position)
        let width = model.config().intermediate_size;
        let of_first = inner.slice_axis(Axis(0), (0..width).into());
        let last = of_first.index_axis(Axis(1), input.ids.len() - 1);
        let goes_through = last.iter().any(|value| *value != 0.0);
        let first = Intervention {
            layers: Some(vec![1]),
            part: Part::Features((0..width).collect()),
            ..one(Place::of(Site::MlpInner), Change::Scale(5.0))
        };
        let (before, after) = (logits(&model, &input), logits(&edited(&model, &[first]), &input));
        let row = |logits: &ArrayD<f32>| logits.index_axis(Axis(0), input.ids.len() - 1).into_owned();
        assert_eq!(row(&before) != row(&after), goes_through, "{name}");
    }
}

#[test]
fn what_a_router_weighs_experts_with_is_read_and_changed() {
    let names = [
        "mixtral",
        "olmoe",
        "qwen3_moe",
        "qwen2_moe",
        "gpt_oss",
        "phimoe",
        "deepseek_v3",
        "glm4_moe",
    ];
    for name in names.map(|name| format!("families/{name}")) {
        let model = model(&name, "float32");
        let [input, other] =
            ["She said that", "One two three"].map(|text| Input::new(&model, text, None).unwrap());
        let n = input.ids.len().min(other.ids.len());
        let place = Place::of(Site::ExpertWeights);
        let weights = |run: &Run, layer: usize| run.records().array(place, Some(layer), 0).unwrap();
        let run_before = run_of(&model, &input);
        let layer = *run_before.records().layers(place).last().expect("a router");
        let before = weights(&run_before, layer); // (position, expert)
        let n_experts = before.shape()[1];

        // An expert's weight set to 0 is its neurons set to 0, but for what its bias adds.
        let width = model.config().intermediate_size;
        let ablated = |site: Site, part: Vec<usize>| {
            let change = Intervention {
                layers: Some(vec![layer]),
                part: Part::Features(part),
                ..one(Place::of(site), Change::Ablate(Replacement::Number(0.0)))
            };
            logits(&edited(&model, &[change]), &input)
        };
        let n_tokens = |expert: &usize| {
            let column = before.index_axis(Axis(1), *expert);
            column.iter().filter(|weight| **weight != 0.0).count()
        };
        let busiest = (0..n_experts).max_by_key(n_tokens).expect("there are experts");
        let without = ablated(Site::ExpertWeights, vec![busiest]);
        assert_ne!(without, logits(&model, &input), "{name}");
        if name != "families/gpt_oss" {
            let neurons = (busiest * width..(busiest + 1) * width).collect();
            assert_close(&name, &without, &ablated(Site::MlpInner, neurons), 1e-6);
        }

        // With another text's weights its tokens go where that one's go.
        let there = weights(&run_of(&model, &other), layer);
        let patch = Intervention {
            layers: Some(vec![layer]),
            positions: Some(vec![0..n]),
            ..one(place, Change::Patch(vec![(layer, there.clone())]))
        };
        let after = run_of(&edited(&model, &[patch]), &input);
        let rows = |weights: &ArrayD<f32>| weights.slice_axis(Axis(0), (0..n).into()).into_owned();
        assert_eq!(rows(&weights(&after, layer)), rows(&there), "{name}");
        assert_ne!(
            rows(&before),
            rows(&there),
            "{name}: the texts go through the same experts"
        );
        let inner = after
            .records()
            .array(Place::of(Site::MlpInner), Some(layer), 0)
            .unwrap(); // (neuron, position)
        for position in 0..n {
            for expert in 0..n_experts {
                let neurons = (expert * width..(expert + 1) * width).map(|neuron| inner[[neuron, position]]);
                let works = neurons.into_iter().any(|value| value != 0.0);
                assert_eq!(
                    works,
                    there[[position, expert]] != 0.0,
                    "{name}: {position}, {expert}"
                );
            }
        }
    }
}
