//! The views of attribution in all their kinds.

use ecco_widgets::Explorable;
use ecco_widgets::comparison::MethodRow;
use ecco_widgets::faithfulness::{Figure, Measurement};
use ecco_widgets::saliency::{Check, CheckNote, Target, Targets};
use ecco_widgets::*;

use crate::saliency::saliency;
use crate::texts::{N_INPUT, eu, hostile, noise, read, token, words};

pub(crate) fn views() -> Vec<(&'static str, Box<dyn Explorable>)> {
    vec![
        ("saliency-signed", Box::new(contrasts(SaliencyStyle::Minimal))),
        (
            "saliency-signed-detailed",
            Box::new(contrasts(SaliencyStyle::Detailed)),
        ),
        ("saliency-labels", Box::new(labels())),
        ("saliency-words", Box::new(by_words())),
        ("saliency-lines", Box::new(by_lines())),
        ("saliency-pair", Box::new(pair())),
        ("hostile-targets", Box::new(hostile_targets())),
        ("score", Box::new(score(eu(), 8))),
        ("score-first", Box::new(score(eu(), 0))),
        ("hostile-score", Box::new(score(hostile(), 3))),
        ("long-score", Box::new(score(words(5000), 10))),
        ("faithfulness", Box::new(faithfulness(eu()[N_INPUT..].to_vec()))),
        ("faithfulness-one", Box::new(faithfulness(eu()[30..31].to_vec()))),
        ("hostile-faithfulness", Box::new(faithfulness(hostile()))),
        ("comparison", Box::new(comparison(eu()))),
        ("hostile-comparison", Box::new(comparison(hostile()))),
        ("long-comparison", Box::new(comparison(words(2000)))),
    ]
}

fn target(name: &Token, contrast: Option<&str>, position: Option<usize>) -> Target {
    Target {
        name: name.clone(),
        contrast: contrast.map(token),
        position,
        token: None,
    }
}

/// Why this and not that, at three places of the list of countries.
pub(crate) fn contrasts(style: SaliencyStyle) -> Saliency {
    let tokens = eu();
    let targets = vec![
        target(&token(" Denmark"), Some(" Iceland"), Some(36)),
        target(&token(" Croatia"), Some("\n"), Some(23)),
        target(&token(" Finland"), None, Some(43)),
    ];
    let reach = [36, 23, 43];
    let score = |k: usize, i: usize| {
        let size = noise(k + 40, i).powi(3) * if tokens[i].text.len() > 4 { 0.6 } else { 0.15 };
        if noise(i, k) < 0.35 { -size } else { size }
    };
    let scores = reach
        .iter()
        .enumerate()
        .map(|(k, &n)| (0..n).map(|i| score(k, i)).collect());
    let note = |text: &str, is_good| CheckNote {
        text: text.into(),
        is_good,
        off: 0.0,
    };
    Saliency {
        n_input: N_INPUT,
        style,
        method: "integrated gradients".into(),
        of: "logit".into(),
        values: vec![2.413, 0.872, -1.25],
        targets: Targets::Named(targets),
        scale: Scale::Signed,
        scores: scores.collect(),
        checks: vec![
            Check {
                name: "completeness".into(),
                notes: vec![
                    note("error 3e-8 of 2.41", Some(true)),
                    note("error 0.14 of 0.87", Some(false)),
                    note("error 2e-7 of 1.25", Some(true)),
                ],
            },
            Check::of_all(
                "faithfulness",
                "comprehensiveness 0.41, random 0.12".into(),
                Some(true),
            ),
        ],
        tokens,
        ..Saliency::default()
    }
}

pub(crate) fn labels() -> Saliency {
    let tokens = read("[CLS]| It| was| not| good| at| all|,| but| the| music| was| lovely|.|[SEP]");
    let n = tokens.len();
    let row = |k: usize| {
        (0..n)
            .map(|i| noise(k, i + 9).powi(2) - if i % 4 == k { 0.5 } else { 0.05 })
            .collect()
    };
    let named = ["negative", "neutral", "positive"].map(|name| target(&token(name), None, None));
    Saliency {
        n_input: n,
        method: "gradient × input".into(),
        of: "probability".into(),
        values: vec![0.962, 0.031, 0.007],
        targets: Targets::Named(named.to_vec()),
        scale: Scale::Signed,
        scores: (0..3).map(row).collect(),
        tokens,
        ..Saliency::default()
    }
}

/// Lines of which the target's own ends with what comes after it.
fn by_lines() -> Saliency {
    let pieces = eu();
    let starts = [0, 9, 13, 17, 21, 25, 29, 34, 38, 42, pieces.len()];
    let spans: Vec<(usize, usize)> = starts.windows(2).map(|pair| (pair[0], pair[1])).collect();
    let text = |&(start, end): &(usize, usize)| {
        let text: String = pieces[start..end]
            .iter()
            .map(|token| token.text.as_str())
            .collect();
        token(&text)
    };
    let row = |unit: usize| {
        let row: Vec<f32> = (0..spans.len())
            .map(|i| if i <= unit { 0.1 + noise(unit, i) } else { 0.0 })
            .collect();
        let sum: f32 = row.iter().sum();
        row.iter().map(|value| value / sum).collect()
    };
    let named = [(23, 4), (36, 7)].map(|(at, unit)| Target {
        token: Some(at),
        ..target(&pieces[at], None, Some(unit))
    });
    Saliency {
        n_input: 4,
        unit: Unit::Line,
        method: "gradient × input".into(),
        of: "probability".into(),
        values: vec![0.42, 0.87],
        targets: Targets::Named(named.to_vec()),
        scores: vec![row(4), row(7)],
        tokens: spans.iter().map(text).collect(),
        reach: vec![23, 36],
        spans,
        pieces,
        ..Saliency::default()
    }
}

pub(crate) fn by_words() -> Saliency {
    let tokens = read("The| European| Union| was| founded| in| Maastricht|.|\n|Its| capital| is| Brussels|.");
    let row = |n: usize| {
        let row: Vec<f32> = (0..n).map(|i| 0.05 + noise(n, i).powi(2)).collect();
        let sum: f32 = row.iter().sum();
        row.iter().map(|value| value / sum).collect()
    };
    let named = vec![
        target(&token(" Brussels"), None, Some(12)),
        target(&token("."), None, Some(13)),
    ];
    Saliency {
        n_input: 12,
        unit: Unit::Word,
        style: SaliencyStyle::Detailed,
        method: "gradient × input".into(),
        of: "probability".into(),
        values: vec![0.42, 0.87],
        targets: Targets::Named(named),
        scores: vec![row(12), row(13)],
        tokens,
        ..Saliency::default()
    }
}

pub(crate) fn pair() -> Saliency {
    let mut tokens = read("▁translate|▁English|▁to|▁German|:|▁The|▁house|▁is|▁wonderful|.|</s>");
    let n_input = tokens.len();
    tokens.extend(read("▁Das|▁Haus|▁ist|▁wunderbar|.|</s>"));
    let row = |n: usize| {
        let row: Vec<f32> = (0..n).map(|i| 0.02 + noise(n + 3, i).powi(3)).collect();
        let sum: f32 = row.iter().sum();
        row.iter().map(|value| value / sum).collect()
    };
    Saliency {
        is_pair: true,
        n_input,
        style: SaliencyStyle::Detailed,
        method: "gradient × input".into(),
        of: "probability".into(),
        scores: (n_input..tokens.len()).map(row).collect(),
        values: vec![0.81, 0.93, 0.99, 0.72, 0.95, 1.0],
        tokens,
        ..Saliency::default()
    }
}

fn hostile_targets() -> Saliency {
    let tokens = hostile();
    let named = tokens
        .iter()
        .map(|token| target(token, Some("</span><img src=x onerror=window.hacked=5>"), Some(2)));
    let n = tokens.len();
    Saliency {
        n_input: n - 4,
        targets: Targets::Named(named.collect()),
        scale: Scale::Signed,
        scores: (0..n)
            .map(|k| (0..n).map(|i| noise(k, i) - 0.5).collect())
            .collect(),
        checks: vec![Check::of_all(
            "<b>check</b>",
            "<img src=x onerror=window.hacked=6>".into(),
            None,
        )],
        ..Saliency {
            tokens,
            ..saliency(SaliencyStyle::Detailed)
        }
    }
}

pub(crate) fn score(tokens: Vec<Token>, n_input: usize) -> Score {
    let scored = |i: usize| {
        let bits = 14.0 * noise(i, 77).powi(3);
        (i >= n_input.max(1)).then(|| ScoredToken {
            log_probability: -bits * std::f32::consts::LN_2,
            rank: if bits < 1.0 { 1 } else { bits.exp2() as u32 },
            best: Some((tokens[(i * 7) % tokens.len()].clone(), 0.3 + 0.5 * noise(i, 5))),
        })
    };
    Score {
        n_input,
        is_pair: false,
        scored: (0..tokens.len()).map(scored).collect(),
        vocab_size: 50257,
        tokens,
        ..Score::default()
    }
}

pub(crate) fn faithfulness(names: Vec<Token>) -> Faithfulness {
    let steps: Vec<f32> = (0..=10).map(|step| step as f32 / 10.0).collect();
    let measured = |(k, name): (usize, &Token)| {
        let full = 0.2 + 0.6 * noise(k, 3);
        let curve = |power: f32| {
            steps
                .iter()
                .map(|step| full * (1.0 - step).powf(power))
                .collect::<Vec<f32>>()
        };
        let rising = |power: f32| {
            steps
                .iter()
                .map(|step| full * (1.0 - (1.0 - step).powf(power)))
                .collect::<Vec<f32>>()
        };
        Measurement {
            target: target(name, None, Some(N_INPUT + k)),
            deletion: curve(3.0 + noise(k, 4)),
            insertion: rising(2.0 + noise(k, 5)),
            random: Some((curve(1.1), rising(0.9))),
        }
    };
    let figure = |name: &str, value, random, more_is_better, about: &str| Figure {
        name: name.into(),
        value,
        random: Some(random),
        more_is_better,
        about: about.into(),
    };
    Faithfulness {
        method: "gradient × input".into(),
        of: "probability".into(),
        targets: names.iter().enumerate().map(measured).collect(),
        figures: vec![
            figure(
                "comprehensiveness",
                0.4123,
                0.1204,
                true,
                "what is lost without the highest sources",
            ),
            figure(
                "sufficiency",
                0.0512,
                0.2311,
                false,
                "what is lost with them alone",
            ),
            figure("log-odds", -1.27, -0.41, false, ""),
            figure("deletion", 0.2011, 0.1902, false, "area under the curve"),
            figure("insertion", 0.4213, 0.2532, true, "area under the curve"),
        ],
        steps,
        ..Faithfulness::default()
    }
}

pub(crate) fn comparison(tokens: Vec<Token>) -> Comparison {
    let n = tokens.len();
    let positions: Vec<usize> = (n - n / 4..n).take(20).collect();
    let methods = [
        ("occlusion", Scale::Signed, 0),
        ("integrated gradients", Scale::Shares, 1),
        ("gradient × input", Scale::Shares, 2),
        ("attention rollout", Scale::Shares, 3),
    ];
    let compared = |(method, scale, seed): (&str, Scale, usize)| {
        let value = |k: usize, i: usize| {
            let like = noise(k, i).powi(4) + seed as f32 * 0.06 * noise(seed + 9, i * k);
            if scale == Scale::Signed && noise(i, seed) < 0.3 {
                -like
            } else {
                like
            }
        };
        let correlation = ["1", "0.83", "0.71", "0.22"][seed];
        MethodRow {
            method: method.into(),
            is_referee: seed == 0,
            scale,
            scores: positions
                .iter()
                .map(|&k| (0..k).map(|i| value(k, i)).collect())
                .collect(),
            figures: vec![
                ("rank correlation".into(), correlation.into()),
                (
                    "top 5 in common".into(),
                    ["100%", "78%", "64%", "31%"][seed].into(),
                ),
                (
                    "comprehensiveness".into(),
                    ["0.51", "0.47", "0.41", "0.18"][seed].into(),
                ),
                (
                    "sufficiency".into(),
                    ["0.04", "0.05", "0.09", "0.21"][seed].into(),
                ),
                ("seconds".into(), ["1.42", "0.61", "0.02", "0.01"][seed].into()),
            ],
            ..MethodRow::default()
        }
    };
    Comparison {
        n_input: N_INPUT.min(n),
        of: "probability".into(),
        targets: positions
            .iter()
            .map(|&position| target(&tokens[position], None, Some(position)))
            .collect(),
        methods: methods.into_iter().map(compared).collect(),
        tokens,
        random: [
            ("comprehensiveness".to_owned(), 0.09),
            ("sufficiency".to_owned(), 0.33),
        ]
        .into(),
        ..Comparison::default()
    }
}
