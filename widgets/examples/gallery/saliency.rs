//! Input saliency as a generation has it.

use ecco_widgets::Explorable;
use ecco_widgets::*;

use crate::texts::*;

pub(crate) fn views() -> Vec<(&'static str, Box<dyn Explorable>)> {
    let hostile = hostile();
    let n = hostile.len();
    let mut ragged = saliency(SaliencyStyle::Detailed);
    ragged.scores[0][3] = f32::NAN;
    ragged.scores[2].truncate(4);
    ragged.scores.pop();
    vec![
        ("saliency", Box::new(saliency(SaliencyStyle::Minimal))),
        ("saliency-detailed", Box::new(saliency(SaliencyStyle::Detailed))),
        (
            "hostile",
            Box::new(scored(hostile.clone(), n - 4, SaliencyStyle::Detailed)),
        ),
        ("ragged", Box::new(ragged)),
        (
            "nothing",
            Box::new(Saliency {
                tokens: vec![],
                n_input: 0,
                scores: vec![],
                ..saliency(SaliencyStyle::Minimal)
            }),
        ),
        (
            "long",
            Box::new(scored(words(5000), 4800, SaliencyStyle::Minimal)),
        ),
        (
            "long-detailed",
            Box::new(scored(words(5000), 4800, SaliencyStyle::Detailed)),
        ),
    ]
}

/// Shares as a model of lists would have them: like draws on like, and on what is near.
fn scored(tokens: Vec<Token>, n_input: usize, style: SaliencyStyle) -> Saliency {
    let scores = (n_input..tokens.len()).map(|target| {
        let share = |source: usize| {
            let like = if kind(&tokens[source]) == kind(&tokens[target]) {
                6.0
            } else {
                1.0
            };
            let near = 1.0 + 5.0 / (1.0 + (target - source) as f32);
            like * near * (0.15 + noise(target, source).powi(2))
        };
        let row: Vec<f32> = (0..target).map(share).collect();
        let sum: f32 = row.iter().sum();
        row.into_iter().map(|value| value / sum).collect()
    });
    let scores = scores.collect();
    let lines = (0..tokens.len())
        .filter(|&i| i == 0 || tokens[i - 1].text == "\n")
        .collect();
    Saliency {
        units: [("line".to_owned(), lines)].into(),
        tokens,
        n_input,
        style,
        method: "gradient × input".to_owned(),
        scores,
        ..Saliency::default()
    }
}

pub(crate) fn saliency(style: SaliencyStyle) -> Saliency {
    scored(eu(), N_INPUT, style)
}
