//! Attribution patching of texts of unequal length.

use ecco_explain::intervention::alignment::{Alignment, align};
use ecco_explain::intervention::estimate::{
    EstimateOptions, attribution_patching, attribution_patching_aligned,
};
use ecco_explain::intervention::patching::patch_map_aligned;

use super::gradients::{gradient_at, target};
use super::patching::pair;
use super::*;

#[test]
fn estimates_are_differences_of_aligned_positions_times_gradients() {
    for (name, stack) in [
        ("families/llama", ""),
        ("families/gemma2", ""),
        ("families/bert", ""),
    ] {
        let model = model(name, "float64");
        let (clean, mut corrupted) = pair(&model);
        corrupted.ids.splice(2..3, [77, 78]);
        let answer = target(&model, &corrupted).expect("a head").into();
        let alignment = Alignment {
            pairs: align(&clean.ids, &corrupted.ids),
            clean: target(&model, &clean).expect("a head").into(),
        };
        let [of_clean, of_corrupted] = [&clean, &corrupted].map(|input| run_of(&model, input));
        let place = Place::parse(&format!("{stack}mlp_output")).expect("a site");
        let patch = PatchOptions {
            place,
            by: SiteAxis::Position,
            answer,
        };
        let options = EstimateOptions {
            patch,
            n_steps: 0,
            n_measured: 6,
            seed: 0,
        };
        let found =
            attribution_patching_aligned(&model, &clean, &corrupted, &options, &alignment, &mut unwatched)
                .expect("estimates");
        let patched = patch_map_aligned(&model, &clean, &corrupted, &patch, &alignment, &mut unwatched);
        let patched = patched.expect("a map");
        assert_eq!(
            (found.clean, found.corrupted),
            (patched.clean, patched.corrupted),
            "{name}"
        );
        let gradients = gradient_at(&model, &corrupted, place, None);
        let (mut n_aligned, mut n_none) = (0, 0);
        for ((row, position), change) in found.changes.indexed_iter() {
            let layer = Some(found.layers[row]);
            let at = |records: &run::Records| records.array(place, layer, 0).expect("recorded");
            let partner = alignment.pairs.iter().find(|pair| pair.1 == position);
            let expected = match partner {
                None => 0.0,
                Some((one, _)) => {
                    let [clean, own] = [(&of_clean, *one), (&of_corrupted, position)]
                        .map(|(run, position)| at(run.records()).index_axis_move(Axis(0), position));
                    let gradient = at(&gradients.gradients).index_axis_move(Axis(0), position);
                    let each = clean.iter().zip(&own).zip(&gradient);
                    each.map(|((clean, own), slope)| f64::from(clean - own) * f64::from(*slope))
                        .sum()
                }
            };
            assert!(
                (change - expected).abs() < 1e-5 * (1.0 + expected.abs()),
                "{name} {row} {position}: {change}, expected {expected}"
            );
            match partner {
                None => n_none += 1,
                Some(_) => n_aligned += usize::from(expected.abs() > 1e-4),
            }
        }
        assert!(n_none >= 2 && n_aligned > 3, "{name}: {n_none} {n_aligned}");
        // What is measured is the map's, and nothing of what is not aligned.
        assert_eq!(found.measured.len(), 6);
        for one in &found.measured {
            assert!(alignment.pairs.iter().any(|pair| pair.1 == one.at.1), "{name}");
            let expected = patched.patched[one.at] - patched.corrupted;
            assert!((one.change - expected).abs() < 1e-9, "{name}");
        }
        let steps = EstimateOptions {
            n_steps: 5,
            ..options
        };
        let refused =
            attribution_patching_aligned(&model, &clean, &corrupted, &steps, &alignment, &mut unwatched);
        assert!(
            refused
                .err()
                .expect("no way")
                .to_string()
                .starts_with("n_steps is 5: between texts that are aligned")
        );
        // Of texts as long as each other it is the plain one.
        let (clean, corrupted) = pair(&model);
        let answer = target(&model, &corrupted).expect("a head");
        let alignment = Alignment {
            pairs: align(&clean.ids, &corrupted.ids),
            clean: answer.into(),
        };
        let options = EstimateOptions {
            patch: PatchOptions {
                answer: answer.into(),
                ..patch
            },
            ..options
        };
        let plain = attribution_patching(&model, &clean, &corrupted, &options, &mut unwatched);
        let found =
            attribution_patching_aligned(&model, &clean, &corrupted, &options, &alignment, &mut unwatched);
        let (plain, found) = (plain.expect("estimates"), found.expect("estimates"));
        assert_eq!(
            (plain.changes, plain.measured.len()),
            (found.changes, found.measured.len()),
            "{name}"
        );
    }
}
