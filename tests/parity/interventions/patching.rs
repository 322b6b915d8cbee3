//! Activation patching.

use ecco_explain::intervention::alignment::{Alignment, align};
use ecco_explain::intervention::answer::Answer;
use ecco_explain::intervention::estimate::{EstimateOptions, attribution_patching};
use ecco_explain::intervention::patching::patch_map_aligned;
use ecco_explain::intervention::tracing::{Noise, causal_trace};
use ecco_models::config::Mixer;

use super::*;

#[test]
fn maps_of_patches_are_a_plain_loops() {
    let stored = stored();
    let mut n_maps = 0;
    for (name, maps) in stored.json["maps"].as_object().expect("maps by model") {
        let model = model(name, "float32");
        for map in maps.as_array().expect("maps") {
            let input = |key: &str| Input {
                ids: integers(&map[key]),
                target: vec![],
                ..Input::default()
            };
            let options = PatchOptions {
                place: Place::parse(map["site"].as_str().unwrap()).unwrap(),
                by: if map["by"] == "head" {
                    SiteAxis::Head
                } else {
                    SiteAxis::Position
                },
                answer: (Target::token(
                    integers(&map["clean_ids"]).len(),
                    map["target"].as_u64().unwrap() as u32,
                )
                .against(map["contrast"].as_u64().unwrap() as u32)
                .of(Quantity::Logit))
                .into(),
            };
            let (clean, corrupted) = (input("clean_ids"), input("corrupted_ids"));
            let found = patch_map(&model, &clean, &corrupted, &options, &mut unwatched).expect("a map");
            let close = |found: f64, expected: &Value, what: &str| {
                let expected = expected.as_f64().expect("a number");
                let gap = (found - expected).abs();
                assert!(
                    gap < 1e-4 * (1.0 + expected.abs()),
                    "{name} {what}: {found}, expected {expected}"
                );
            };
            close(found.clean, &map["clean"], "clean");
            close(found.corrupted, &map["corrupted"], "corrupted");
            for ((row, column), value) in found.patched.indexed_iter() {
                let what = format!("{} {row} {column}", map["site"]);
                close(*value, &map["patched"][row][column], &what);
            }
            assert_eq!(found.patched.nrows(), map["patched"].as_array().unwrap().len());
            assert_eq!(found.patched.ncols(), map["patched"][0].as_array().unwrap().len());
            n_maps += 1;
        }
    }
    assert!(n_maps >= 10);
}

/// What is patched at a part, by an edit.
fn part(by: SiteAxis, part: usize, n_positions: usize) -> (Part, Option<Vec<Range<usize>>>) {
    let at = |position: usize| Some(vec![position..position + 1]);
    match by {
        SiteAxis::Position => (Part::Whole, at(part)),
        SiteAxis::Head => (Part::Heads(vec![part]), None),
        SiteAxis::HeadPosition => (Part::Heads(vec![part / n_positions]), at(part % n_positions)),
        SiteAxis::Neuron => (Part::Features(vec![part]), None),
    }
}

#[test]
fn maps_are_loops_of_edits_at_every_kind_of_site() {
    // What is changed before a layer is so once, also where a pass goes on from there.
    let steered = Change::Add {
        what: Vector::Number(0.5),
        factor: 1.0,
    };
    let steered = [one(Place::of(Site::ResidualBefore), steered)];
    const SITES: [&str; 10] = [
        "residual_mid",
        "queries",
        "keys",
        "values",
        "attention_pattern",
        "head_outputs",
        "attention_output",
        "mlp_inner",
        "mlp_output",
        "cross_output",
    ];
    let mut n_maps = 0;
    for (name, stack, before) in [
        ("gpt2-tiny", "", &[][..]),
        ("families/llama", "", &[]),
        ("families/llama", "", &steered),
        ("families/gemma2", "", &[]),
        ("families/bert", "", &[]),
        ("families/flan-t5", "", &[]),
        ("families/flan-t5", "encoder_", &[]),
    ] {
        let plain = model(name, "float64");
        let model = edited(&plain, before);
        let (clean, corrupted) = pair(&plain);
        let target = super::gradients::target(&plain, &clean).expect("a head");
        let values = run_of(&model, &clean);
        for (site, by) in SITES
            .iter()
            .flat_map(|site| SiteAxis::ALL.iter().map(move |&by| (site, by)))
        {
            let place = Place::parse(&format!("{stack}{site}")).expect("a site");
            let options = PatchOptions {
                place,
                by,
                answer: target.into(),
            };
            let divided = match by {
                SiteAxis::Position => true,
                SiteAxis::Head | SiteAxis::HeadPosition => place.axes().len() == 4,
                SiteAxis::Neuron => place.axes()[1] == "neuron",
            };
            // Patterns over texts that are read at once are no edits.
            let is_edit = *site != "attention_pattern" || matches!(name, "gpt2-tiny" | "families/llama");
            let is_there = values.records().array(place, Some(0), 0).is_ok();
            let map = patch_map(&model, &clean, &corrupted, &options, &mut unwatched);
            if !is_there || !divided {
                assert!(map.is_err(), "{name} {site} by {}", by.name());
                continue;
            }
            let map = map.unwrap_or_else(|error| panic!("{name} {site} by {}: {error}", by.name()));
            n_maps += 1;
            let n_positions = match place.encoder {
                true => corrupted.ids.len(),
                false => corrupted.spoken().len(),
            };
            let cells: Vec<_> = map.patched.indexed_iter().filter(|_| is_edit).collect();
            // Of heads at positions all, of others some.
            let step = if by == SiteAxis::HeadPosition && *site == "head_outputs" {
                1
            } else {
                1 + cells.len() / 8
            };
            for ((row, at), found) in cells.into_iter().step_by(step) {
                let layer = map.layers[row];
                let values = values.records().array(place, Some(layer), 0).expect("recorded");
                let (part, positions) = part(by, at, n_positions);
                let patched = Intervention {
                    layers: Some(vec![layer]),
                    part,
                    positions,
                    ..one(place, Change::Patch(vec![(layer, values)]))
                };
                let changed = edited(&plain, &[before, &[patched]].concat());
                let expected =
                    super::gradients::gradient_at(&changed, &corrupted, Place::of(Site::MlpOutput), Some(1))
                        .answer;
                assert!(
                    (found - expected).abs() < 1e-6 * (1.0 + expected.abs()),
                    "{name} {site} by {} {row} {at}: {found}, expected {expected}",
                    by.name()
                );
            }
        }
    }
    assert!(n_maps >= 100, "{n_maps}");
}

#[test]
fn texts_of_unequal_length_are_patched_where_they_are_aligned() {
    let (mut n_cells, mut n_kept) = (0, 0);
    for (name, stack) in [
        ("families/llama", ""),
        ("families/bert", ""),
        ("families/flan-t5", "encoder_"),
    ] {
        let model = model(name, "float64");
        let (clean, mut corrupted) = pair(&model);
        corrupted.ids.splice(2..3, [77, 78]);
        let target = super::gradients::target(&model, &corrupted).expect("a head");
        let of_clean = super::gradients::target(&model, &clean).expect("a head");
        let pairs = align(&clean.ids, &corrupted.ids);
        let n = corrupted.ids.len();
        assert_eq!(pairs.len(), n - 2, "one token for two: neither is aligned");
        let alignment = Alignment {
            pairs: pairs.clone(),
            clean: of_clean.into(),
        };
        let records = [&clean, &corrupted].map(|input| run_of(&model, input));
        for (site, by) in [
            ("residual_mid", SiteAxis::Position),
            ("values", SiteAxis::Head),
            ("head_outputs", SiteAxis::HeadPosition),
            ("mlp_inner", SiteAxis::Neuron),
        ] {
            let place = Place::parse(&format!("{stack}{site}")).expect("a site");
            let options = PatchOptions {
                place,
                by,
                answer: target.into(),
            };
            let map = patch_map_aligned(&model, &clean, &corrupted, &options, &alignment, &mut unwatched);
            let map = map.unwrap_or_else(|error| panic!("{name} {site}: {error}"));
            let asked = |input: &Input| {
                super::gradients::gradient_at(&model, input, Place::of(Site::MlpOutput), Some(1)).answer
            };
            assert!(
                (map.clean - asked(&clean)).abs() < 1e-9 && (map.corrupted - asked(&corrupted)).abs() < 1e-9
            );
            let axis = Axis(match by {
                SiteAxis::Neuron => 1,
                SiteAxis::Position => 0,
                _ => 1,
            });
            for ((row, at), found) in map.patched.indexed_iter().step_by(1 + map.patched.len() / 40) {
                let layer = map.layers[row];
                let [of_clean, mut values] = [0, 1].map(|text| {
                    records[text]
                        .records()
                        .array(place, Some(layer), 0)
                        .expect("recorded")
                });
                for &(one, other) in &pairs {
                    values
                        .index_axis_mut(axis, other)
                        .assign(&of_clean.index_axis(axis, one));
                }
                let (part, positions) = part(by, at, n);
                let is_aligned = match &positions {
                    Some(ranges) => pairs.iter().any(|pair| ranges[0].contains(&pair.1)),
                    None => true,
                };
                if !is_aligned {
                    assert_eq!(*found, map.corrupted, "{name} {site} {row} {at}");
                    n_kept += 1;
                    continue;
                }
                let patched = Intervention {
                    layers: Some(vec![layer]),
                    part,
                    positions,
                    ..one(place, Change::Patch(vec![(layer, values)]))
                };
                let changed = edited(&model, &[patched]);
                let expected =
                    super::gradients::gradient_at(&changed, &corrupted, Place::of(Site::MlpOutput), Some(1))
                        .answer;
                assert!(
                    (found - expected).abs() < 1e-6 * (1.0 + expected.abs()),
                    "{name} {site} {row} {at}: {found}, expected {expected}"
                );
                n_cells += 1;
            }
        }
        // Of texts as long as each other, all aligned, it is the plain map.
        let (clean, corrupted) = pair(&model);
        let options = PatchOptions {
            place: Place::parse(&format!("{stack}residual_mid")).expect("a site"),
            by: SiteAxis::Position,
            answer: of_clean.into(),
        };
        let alignment = Alignment {
            pairs: align(&clean.ids, &corrupted.ids),
            clean: of_clean.into(),
        };
        let found = patch_map_aligned(&model, &clean, &corrupted, &options, &alignment, &mut unwatched);
        let plain = patch_map(&model, &clean, &corrupted, &options, &mut unwatched);
        assert_eq!(found.expect("a map"), plain.expect("a map"), "{name}");
    }
    assert!(n_cells >= 150 && n_kept > 10, "{n_cells}, {n_kept}");
}

/// KL of the first's prediction from the others', nats.
fn kl(p: &[f64], q: &[f64]) -> f64 {
    let log = |logits: &[f64]| -> Vec<f64> {
        let most = logits.iter().copied().fold(f64::MIN, f64::max);
        let sum: f64 = logits.iter().map(|x| (x - most).exp()).sum();
        logits.iter().map(|x| x - most - sum.ln()).collect()
    };
    log(p).iter().zip(log(q)).map(|(p, q)| p.exp() * (p - q)).sum()
}

#[test]
fn divergences_are_those_of_the_predictions() {
    for name in ["gpt2-tiny", "families/flan-t5", "families/bert-labels"] {
        let model = model(name, "float64");
        let (clean, corrupted) = pair(&model);
        let outcome = match &model.config().task {
            Task::Label(_) => ecco_explain::Outcome::Label(0),
            _ => ecco_explain::Outcome::Token {
                position: clean.spoken().len(),
                id: 0,
            },
        };
        let said = |model: &Model, input: &Input| -> Vec<f64> {
            let logits = logits(model, input);
            let row = match logits.ndim() {
                1 => logits,
                _ => logits.index_axis_move(Axis(0), input.spoken().len() - 1),
            };
            row.iter().map(|&x| f64::from(x)).collect()
        };
        let place = Place {
            site: Site::MlpOutput,
            encoder: matches!(model.body(), Body::EncoderDecoder(_)),
        };
        let options = PatchOptions {
            place,
            by: SiteAxis::Position,
            answer: Answer::Divergence(outcome),
        };
        let map = patch_map(&model, &clean, &corrupted, &options, &mut unwatched).expect("a map");
        let of_clean = said(&model, &clean);
        let whole = kl(&of_clean, &said(&model, &corrupted));
        assert!(map.clean.abs() < 1e-12, "{name}: {}", map.clean);
        let close = |found: f64, expected: f64, what: &str| {
            assert!(
                (found - expected).abs() < 1e-5 * whole + 1e-11,
                "{name} {what}: {found}, expected {expected}"
            );
        };
        close(map.corrupted, whole, "corrupted");
        let values = run_of(&model, &clean);
        for ((row, at), found) in map.patched.indexed_iter() {
            let values = values.records().array(place, Some(row), 0).expect("recorded");
            let patched = Intervention {
                layers: Some(vec![row]),
                positions: Some(vec![at..at + 1]),
                ..one(place, Change::Patch(vec![(row, values)]))
            };
            let expected = kl(&of_clean, &said(&edited(&model, &[patched]), &corrupted));
            close(*found, expected, &format!("{row} {at}"));
            let restored = map.restored()[[row, at]];
            assert!((restored - (1.0 - found / map.corrupted)).abs() < 1e-12);
        }
        // Estimates are by its gradient: with steps enough all of the stream makes all of it.
        if name == "gpt2-tiny" {
            let estimated = |n_steps| {
                let options = EstimateOptions {
                    patch: PatchOptions {
                        place: Place::of(Site::ResidualBefore),
                        ..options
                    },
                    n_steps,
                    n_measured: 0,
                    seed: 0,
                };
                let found = attribution_patching(&model, &clean, &corrupted, &options, &mut unwatched);
                let each = found.expect("an estimate").completeness.into_iter();
                each.map(|layer| layer.expect("promised").relative)
                    .fold(0.0, f64::max)
            };
            let (few, many) = (estimated(16), estimated(64));
            assert!(many < 1e-2 && many < few / 4.0, "{few}, then {many}");
        }
    }
}

/// Texts that differ in one token, read by any model.
pub(super) fn pair(model: &Model) -> (Input, Input) {
    let is_pair = matches!(model.body(), Body::EncoderDecoder(_));
    let clean = Input::new(model, "She said that it", is_pair.then_some("was")).expect("a text");
    let mut corrupted = clean.clone();
    corrupted.ids[2] = 77;
    (clean, corrupted)
}

#[test]
fn the_stream_before_the_first_layer_is_the_text() {
    let mut n_models = 0;
    for (name, model, _) in families() {
        let (clean, corrupted) = pair(&model);
        let n = clean.spoken().len();
        let target = match &model.config().task {
            Task::States => continue,
            task @ Task::Label(_) if !task.is_of_text() => continue,
            Task::Label(_) => Target::label(0).of(Quantity::Logit),
            Task::MaskedToken(_) => Target::token(n - 2, 1).of(Quantity::LogProbability),
            Task::NextToken => Target::token(n, 1).of(Quantity::LogProbability),
        };
        let row = match model.config().task {
            Task::Label(_) => None,
            Task::MaskedToken(_) => Some(n - 2),
            _ => Some(n - 1),
        };
        n_models += 1;
        let options = |site, encoder| PatchOptions {
            place: Place { site, encoder },
            by: SiteAxis::Position,
            answer: target.into(),
        };
        let map = |options: &PatchOptions| -> PatchMap {
            patch_map(&model, &clean, &corrupted, options, &mut unwatched).expect(&name)
        };
        let is_pair = matches!(model.body(), Body::EncoderDecoder(_));
        let first = map(&options(Site::ResidualBefore, is_pair)).restored();
        for (position, restored) in first.row(0).iter().enumerate() {
            let expected = f64::from(u8::from(position == 2));
            // Where layers have inputs of their own a token brings more than its stream.
            let is_all = model.reader().config.embedding.own == 0;
            assert!(
                !is_all || (restored - expected).abs() < 1e-3,
                "{name} position {position}: {restored}"
            );
        }
        // At the end of the stack whose head speaks, the answer is where it is read.
        let last = map(&options(Site::ResidualAfter, false));
        if let Some(position) = row {
            let restored = last.restored()[[last.layers.len() - 1, position]];
            assert!((restored - 1.0).abs() < 1e-3, "{name}: {restored}");
        }
        let heads = PatchOptions {
            by: SiteAxis::Head,
            ..options(Site::HeadOutputs, false)
        };
        let config = model.config();
        let attends = |layer: &usize| config.mixer(*layer) == Mixer::Attention;
        let n_layers = (0..config.n_layers).filter(attends).count();
        match n_layers {
            0 => {
                let found = patch_map(&model, &clean, &corrupted, &heads, &mut unwatched);
                let error = found.map(|_| ()).expect_err("it has no heads").to_string();
                assert!(error.contains("head_outputs"), "{name}: {error}");
            }
            _ => assert_eq!(map(&heads).patched.dim(), (n_layers, config.n_heads), "{name}"),
        }
    }
    assert!(n_models >= 50, "{n_models}");
}

#[test]
fn states_without_noise_bring_the_answer_back_in_every_family() {
    let mut n_models = 0;
    for (name, model, input) in families_in("float64") {
        let Some(target) = super::gradients::target(&model, &input) else {
            continue;
        };
        let encoder = !input.target.is_empty();
        let noise = Noise {
            positions: vec![1],
            factor: 1.0,
            n_samples: 2,
            seed: 3,
        };
        let trace = |site: Site| {
            let options = PatchOptions {
                place: Place { site, encoder },
                by: SiteAxis::Position,
                answer: target.into(),
            };
            causal_trace(&model, &input, &options, &noise, &mut unwatched)
                .unwrap_or_else(|error| panic!("{name}: {error}"))
        };
        let [one, other] = &trace(Site::ResidualBefore)[..] else {
            panic!("a map for each draw")
        };
        assert_ne!(one.corrupted, other.corrupted, "{name}: each draw is another");
        for map in [one, other] {
            let restored = map.restored();
            for (position, &share) in restored.row(0).iter().enumerate() {
                let expected = f64::from(u8::from(position == 1));
                assert!(
                    (share - expected).abs() < 1e-5,
                    "{name}, position {position}: {share}, expected {expected}"
                );
            }
        }
        // The same noise again, and what it is measured by.
        assert_eq!(
            trace(Site::ResidualBefore)[1].corrupted,
            other.corrupted,
            "{name}"
        );
        n_models += 1;
    }
    assert!(n_models >= 50, "{n_models}");
}
