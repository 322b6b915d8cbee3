//! What is found over many texts: probes, neurons, maps of states.

use ecco_widgets::*;

use crate::texts::{eu, hostile};

pub(crate) fn views() -> Vec<(&'static str, Box<dyn Explorable>)> {
    let words: Vec<String> = hostile().into_iter().map(|token| token.text).collect();
    let named = |probes: Probes| Probes {
        method: words[0].clone(),
        states: words[1].clone(),
        labels: vec![words[2].clone(), words[3].clone()],
        places: probes
            .places
            .into_iter()
            .zip(words.iter().cycle())
            .map(|(place, name)| ProbePlace {
                position: name.clone(),
                ..place
            })
            .collect(),
        ..probes
    };
    vec![
        ("probes", Box::new(probes())),
        ("probes-positions", Box::new(positions())),
        ("hostile-probes", Box::new(named(positions()))),
        ("corpus-neuron", Box::new(neuron())),
        ("hostile-corpus-neuron", Box::new(hostile_neuron())),
        ("projection", Box::new(projection())),
        ("hostile-projection", Box::new(hostile_projection())),
        ("long-projection", Box::new(long_projection())),
    ]
}

fn place(layer: usize, position: &str, accuracy: f64, control: Option<f64>) -> ProbePlace {
    ProbePlace {
        layer: Some(layer),
        position: position.to_owned(),
        accuracy,
        spread: 0.03 + 0.01 * (layer % 4) as f64,
        auc: (accuracy + 0.04).min(1.0),
        calibration_error: Some(0.18 - 0.12 * accuracy),
        control,
    }
}

/// How well the label is read after so many layers.
fn reached(layer: usize) -> f64 {
    0.54 + 0.43 * (1.0 - (-(layer as f64) / 3.0).exp()) - 0.002 * layer as f64
}

pub(crate) fn probes() -> Probes {
    Probes {
        model: Some("a model".to_owned()),
        method: "logistic regression".to_owned(),
        states: "residual_after at the last token".to_owned(),
        labels: vec!["person".to_owned(), "city".to_owned()],
        n_texts: vec![88, 112],
        folds: 5,
        majority: 0.56,
        places: (0..24)
            .map(|layer| {
                let control = 0.5 + 0.03 * (layer as f64 * 1.7).sin();
                place(layer, "", reached(layer), Some(control))
            })
            .collect(),
    }
}

fn positions() -> Probes {
    let of = |position: &'static str, from: usize| {
        let at = move |layer: usize| {
            let accuracy = reached(layer.saturating_sub(from));
            place(layer, position, accuracy, None)
        };
        (0..6).map(at)
    };
    Probes {
        method: "linear discriminant analysis".to_owned(),
        states: "residual_after at 3 tokens".to_owned(),
        places: of("-3", 5).chain(of("-2", 2)).chain(of("-1", 0)).collect(),
        ..probes()
    }
}

/// A neuron that is strong at names of countries.
pub(crate) fn neuron() -> CorpusNeuron {
    let tokens = eu();
    let text = |text: usize, peak: usize, value: f32, has_values: bool| {
        let near =
            |i: usize| value * (-(i.abs_diff(peak) as f32) * 1.5).exp() - if i % 3 == 1 { 0.3 } else { 0.0 };
        CorpusText {
            text,
            value,
            peak,
            tokens: tokens.clone(),
            values: match has_values {
                true => (0..tokens.len())
                    .map(|i| if i == peak { value } else { near(i) })
                    .collect(),
                false => vec![],
            },
        }
    };
    let word = |at: usize, value: f32| VocabularyToken {
        token: tokens[at].clone(),
        value,
    };
    let group = |name: &str, texts| CorpusGroup {
        name: name.to_owned(),
        texts,
    };
    let alike = |by: &str, units: &[(usize, usize, f64)]| Neighbours {
        by: by.to_owned(),
        units: units
            .iter()
            .map(|&(layer, neuron, likeness)| Neighbour {
                layer: Some(layer),
                neuron,
                likeness,
            })
            .collect(),
    };
    CorpusNeuron {
        model: Some("a model".to_owned()),
        site: "mlp_inner".to_owned(),
        layer: Some(4),
        neuron: 117,
        unit: "neuron".to_owned(),
        n_tokens: 104_211,
        n_texts: 3_120,
        mean: 0.031,
        deviation: 0.24,
        active: 0.083,
        histogram: Histogram {
            start: -0.25,
            end: 6.5,
            counts: (0..27)
                .map(|bin| (90_000.0 * (-0.6 * bin as f32).exp()) as u64)
                .collect(),
        },
        quantiles: [
            (0.01, -0.17),
            (0.1, -0.12),
            (0.5, -0.03),
            (0.9, 0.06),
            (0.99, 2.4),
        ]
        .map(|(share, value)| Quantile { share, value })
        .to_vec(),
        promotes: vec![word(9, 2.5), word(5, 1.25)],
        suppresses: vec![word(1, -0.75)],
        nearest: vec![
            alike("weights", &[(4, 93, 0.61), (5, 1002, 0.44), (3, 7, 0.31)]),
            alike("activations", &[(5, 1002, 0.83), (4, 93, 0.57)]),
        ],
        groups: vec![
            group(
                "strongest",
                vec![
                    text(12, 5, 6.25, true),
                    text(844, 9, 5.0, true),
                    text(91, 13, 4.5, false),
                ],
            ),
            group(
                "stronger than in 50 % of 100 texts that were drawn",
                vec![text(2009, 3, 0.8, true)],
            ),
        ],
    }
}

fn hostile_neuron() -> CorpusNeuron {
    let words = hostile();
    let mut neuron = neuron();
    neuron.site = words[0].text.clone();
    neuron.promotes = words
        .iter()
        .map(|token| VocabularyToken {
            token: token.clone(),
            value: 1.0,
        })
        .collect();
    for group in &mut neuron.groups {
        group.name = words[1].text.clone();
        for text in &mut group.texts {
            text.tokens = words.clone();
            text.peak = 0;
            text.values.clear();
        }
    }
    neuron
}

/// Three texts' tokens: numbers, breaks and names apart, with labels and clusters.
pub(crate) fn projection() -> Projection {
    let tokens = eu();
    let n = tokens.len();
    let kind = |text: &str| match text.trim() {
        "" => 2,
        word if word.chars().all(|c| c.is_ascii_digit()) => 1,
        "." | ":" => 2,
        _ => 0,
    };
    let names: Vec<String> = (0..3 * n).map(|at| tokens[at % n].text.clone()).collect();
    let labels: Vec<usize> = names.iter().map(|name| kind(name)).collect();
    let turn = |at: usize, speed: f32| (at as f32 * speed).sin();
    let place = |at: usize, centres: [f32; 3], speed: f32| centres[labels[at]] + 1.1 * turn(at, speed);
    Projection {
        model: Some("a model".to_owned()),
        method: "PCA".to_owned(),
        states: "residual_after of layer 5".to_owned(),
        shares: vec![0.341, 0.127],
        x: (0..3 * n).map(|at| place(at, [3.0, -2.0, -1.0], 1.7)).collect(),
        y: (0..3 * n).map(|at| place(at, [0.5, 2.0, -2.5], 2.9)).collect(),
        texts: (0..3 * n).map(|at| at / n).collect(),
        clusters: labels
            .iter()
            .enumerate()
            .map(|(at, label)| if at % 17 == 3 { 3 } else { *label })
            .collect(),
        label_names: vec!["word".to_owned(), "number".to_owned(), "sign".to_owned()],
        names,
        labels,
    }
}

fn hostile_projection() -> Projection {
    let words: Vec<String> = hostile().into_iter().map(|token| token.text).collect();
    let map = projection();
    Projection {
        method: words[0].clone(),
        states: words[1].clone(),
        label_names: words.clone(),
        labels: (0..map.names.len()).map(|at| at % words.len()).collect(),
        names: (0..map.names.len())
            .map(|at| words[at % words.len()].clone())
            .collect(),
        ..map
    }
}

fn long_projection() -> Projection {
    let n = 12_000;
    let angle = |at: usize| at as f32 * 2.399_963;
    Projection {
        method: "t-SNE, perplexity 30".to_owned(),
        shares: vec![],
        x: (0..n).map(|at| (at as f32).sqrt() * angle(at).cos()).collect(),
        y: (0..n).map(|at| (at as f32).sqrt() * angle(at).sin()).collect(),
        names: (0..n).map(|at| format!(" word{at}")).collect(),
        texts: (0..n).map(|at| at / 600).collect(),
        labels: vec![],
        label_names: vec![],
        clusters: vec![],
        ..projection()
    }
}
