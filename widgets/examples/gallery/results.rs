//! Results of several texts: openable, of strangers' texts, of very many texts, of none. Two models, one tuned from the other.

use ecco_widgets::TableCell::{Nothing, Number, Text};
use ecco_widgets::{
    DiffText, Explorable, GraftMap, ModelDiff, ResultRow, Results, SaliencyStyle, Token, WeightChange,
};

use crate::saliency::saliency;
use crate::texts::{eu, hostile as hostile_tokens, noise, words};

pub(crate) fn views() -> Vec<(&'static str, Box<dyn Explorable>)> {
    let hostile = [
        "<img src=x onerror=alert(1)>",
        "</script><script>alert(1)</script>",
        "\u{202e}reversed\u{2066} \u{1b}[31m\0\u{2028}x",
    ];
    vec![
        (
            "results",
            Box::new(results(&[
                "The countries of the European Union are:\n1. Austria\n2. Belgium\n3. Bulgaria\n4.",
                "Another list of countries that are in the European Union, written at greater length than the first one was: 1.",
                "A third.",
            ])),
        ),
        ("hostile-results", Box::new(results(&hostile))),
        (
            "long-results",
            Box::new(Results {
                rows: (0..3000)
                    .map(|at| row(&format!("text number {at}"), at))
                    .collect(),
                ..results(&[])
            }),
        ),
        ("none-results", Box::new(results(&[]))),
        ("model-diff", Box::new(model_diff(&eu(), 12))),
        ("hostile-model-diff", Box::new(model_diff(&hostile_tokens(), 2))),
        ("long-model-diff", Box::new(model_diff(&words(2000), 80))),
        ("none-model-diff", Box::new(ModelDiff::default())),
    ]
}

fn results(texts: &[&str]) -> Results {
    let view = saliency(SaliencyStyle::Minimal);
    let whole = |(at, text): (usize, &&str)| ResultRow {
        result: view.json(),
        page: view.html(),
        ..row(text, at)
    };
    Results {
        model: Some("distilgpt2".to_owned()),
        about: "saliency (gradient × input)".to_owned(),
        columns: ["target", "value", "strongest", "off"]
            .map(str::to_owned)
            .to_vec(),
        rows: texts.iter().enumerate().map(whole).collect(),
    }
}

fn row(text: &str, at: usize) -> ResultRow {
    ResultRow {
        text: text.to_owned(),
        figures: vec![
            Text(" Cyprus".to_owned()),
            Number(0.53 / (at + 1) as f64),
            Text(" Bulgaria".to_owned()),
            Nothing(()),
        ],
        ..ResultRow::default()
    }
}

fn model_diff(tokens: &[Token], n_layers: usize) -> ModelDiff {
    let curve = |of: usize| {
        (0..n_layers)
            .map(|layer| f64::from(0.1 + 0.4 * noise(layer, of)))
            .collect()
    };
    let weight = |layer: usize, part: &str| WeightChange {
        role: format!("layers.{layer}.{part}.weight"),
        layer: Some(layer),
        relative: f64::from(noise(layer, part.len()) / 10.0),
        norm: 12.0,
    };
    let n = tokens.len();
    let place = |at: usize| Some((tokens[at % n].clone(), tokens[(at + at % 3) % n].clone()));
    ModelDiff {
        base: "HuggingFaceTB/SmolLM2-135M".to_owned(),
        tuned: "HuggingFaceTB/SmolLM2-135M-Instruct".to_owned(),
        divergence: 0.45,
        texts: vec![DiffText {
            tokens: tokens.to_vec(),
            divergences: (0..=n)
                .map(|at| {
                    if at == 0 {
                        f32::NAN
                    } else {
                        2.0 * noise(at, 3).powi(3)
                    }
                })
                .collect(),
            predicted: (0..=n).map(|at| if at == 0 { None } else { place(at) }).collect(),
            parted: (n > 5).then_some(4),
        }],
        cosine: (0..=n_layers).map(|depth| 1.0 - 0.02 * depth as f64).collect(),
        cka: (0..=n_layers)
            .map(|depth| 1.0 - 0.002 * (depth * depth) as f64)
            .collect(),
        grafts: Some(GraftMap {
            layer: curve(1),
            attention: curve(2),
            mlp: curve(3),
            up_to: (0..n_layers)
                .map(|layer| 0.45 * (1.0 - (layer + 1) as f64 / n_layers as f64))
                .collect(),
            embedding: 0.44,
            head: 0.46,
        }),
        weights: (0..n_layers)
            .flat_map(|layer| [weight(layer, "attention.query"), weight(layer, "mlp.up")])
            .collect(),
    }
}
