//! What interventions do.

use ecco_widgets::Explorable;
use ecco_widgets::*;

use crate::texts::*;

pub(crate) fn views() -> Vec<(&'static str, Box<dyn Explorable>)> {
    vec![
        ("side-by-side", Box::new(side_by_side())),
        ("patch-map", Box::new(patch_map(false))),
        ("patch-map-heads", Box::new(patch_map(true))),
        (
            "patch-map-head-positions",
            Box::new(patch_map_of_heads_at_positions()),
        ),
        ("attribution-patching", Box::new(attribution_patching())),
        ("patch-map-pairs", Box::new(patch_map_pairs())),
        ("site-attribution", Box::new(site_attribution())),
        ("steering", Box::new(steering())),
    ]
}

pub(crate) fn side_by_side() -> SideBySide {
    let untouched = eu();
    let mut intervened = untouched.clone();
    for (at, text) in [(29, " Malta"), (30, "\n"), (34, " </script><b>")] {
        intervened[at] = Token {
            text: text.into(),
            id: 7000 + at as u32,
            part: None,
        };
    }
    intervened.truncate(40);
    let predicted = |at: usize| Prediction {
        kl: (at as f32 * 0.7).sin().powi(2) * if at < N_INPUT { 0.2 } else { 1.4 },
        best: [(untouched[at].clone(), 0.61), (intervened[at].clone(), 0.48)],
        of_token: [if at == 29 { 0.02 } else { 0.5 }, 0.48],
    };
    SideBySide {
        predictions: (0..intervened.len())
            .map(|at| (at > 0).then(|| predicted(at)))
            .collect(),
        untouched: Side {
            name: "untouched".into(),
            tokens: untouched,
        },
        intervened: Side {
            name: "intervened".into(),
            tokens: intervened,
        },
        n_input: N_INPUT,
        interventions: vec![
            "layer 2 mlp_inner, neurons 1, 5: set to 0".into(),
            "layer 4 residual_after, at positions 3–5: + 3 × a vector of length 1.234".into(),
        ],
    }
}

pub(crate) fn patch_map(by_heads: bool) -> PatchMap {
    let mut corrupted = eu()[..14].to_vec();
    corrupted.push(hostile()[0].clone());
    let mut clean = corrupted.clone();
    clean[3] = Token {
        text: " Nordic".into(),
        id: 9999,
        part: None,
    };
    let n = if by_heads { 12 } else { corrupted.len() };
    let value = |layer: usize, column: usize| {
        let distance = (column as f32 - 3.0 - layer as f32 * 1.6).abs();
        (-distance * 0.8).exp() - if column == 9 { 0.3 } else { 0.0 }
    };
    PatchMap {
        site: if by_heads {
            "head_outputs"
        } else {
            "residual_before"
        }
        .into(),
        answer: "logit of \" Denmark\" less that of \" Iceland\"".into(),
        clean: 3.2,
        corrupted: -0.7,
        layers: (0..6).collect(),
        heads: None,
        restored: (0..6)
            .map(|layer| (0..n).map(|column| value(layer, column)).collect())
            .collect(),
        columns: match by_heads {
            true => Columns::Heads(n),
            false => Columns::Positions { corrupted, clean },
        },
        estimate: None,
        pairs: None,
    }
}

/// More heads than a page shows.
pub(crate) fn patch_map_of_heads_at_positions() -> PatchMap {
    const N_HEADS: usize = 8;
    let map = patch_map(false);
    let places = || (0..map.layers.len()).flat_map(|layer| (0..N_HEADS).map(move |head| (layer, head)));
    let row = |(layer, head): (usize, usize)| {
        let share = if head % 3 == 1 { 0.6 } else { 0.05 * head as f32 };
        map.restored[layer]
            .iter()
            .map(|restored| restored * share)
            .collect()
    };
    PatchMap {
        site: "head_outputs".into(),
        layers: places().map(|(layer, _)| layer).collect(),
        heads: Some(places().map(|(_, head)| head).collect()),
        restored: places().map(row).collect(),
        ..map
    }
}

pub(crate) fn attribution_patching() -> PatchMap {
    let map = patch_map(false);
    let cell = |at: usize| {
        let (row, column) = (at % 6, at * 5 % 14);
        MeasuredCell {
            row,
            column,
            restored: map.restored[row][column] * 0.8 + 0.02,
        }
    };
    PatchMap {
        estimate: Some(PatchEstimate {
            by: "gradients at the corrupted text".into(),
            measured: (0..20).map(cell).collect(),
            correlation: Some(0.974),
        }),
        ..map
    }
}

pub(crate) fn patch_map_pairs() -> PatchMap {
    let map = patch_map(true);
    let half = |restored: &f32| 0.04 + restored.abs() / 5.0;
    let interval = map.restored.iter().map(|row| row.iter().map(half).collect());
    PatchMap {
        pairs: Some(PatchPairs {
            n: 12,
            noise_at: None,
            interval: interval.collect(),
        }),
        ..map
    }
}

pub(crate) fn site_attribution() -> SiteAttribution {
    let map = patch_map(false);
    let tokens = match map.columns {
        Columns::Positions { corrupted, .. } => corrupted,
        _ => vec![],
    };
    let sum = |(layer, row): (usize, &Vec<f32>)| LayerSum {
        sum: row.iter().sum::<f32>().into(),
        promised: (layer != 2)
            .then(|| f64::from(row.iter().sum::<f32>()) + if layer == 4 { 0.4 } else { 0.0 }),
    };
    SiteAttribution {
        site: map.site,
        method: "integrated gradients".into(),
        answer: map.answer,
        value: map.clean,
        layers: map.layers,
        columns: SiteColumns::Positions(tokens),
        sums: map.restored.iter().enumerate().map(sum).collect(),
        contributions: map.restored,
    }
}

pub(crate) fn steering() -> Steering {
    let text = |text: &str, x: f64| (text.to_owned(), x);
    Steering {
        site: "residual_after".into(),
        layer: 3,
        norm: 4.31,
        typical: 61.2,
        positive: vec![text("I love this", 1.2), text("What a wonderful day", 0.8)],
        negative: vec![
            text("I hate this", -1.4),
            text("What a terrible day, <i>really</i>", 0.1),
        ],
        ..Steering::default()
    }
}
