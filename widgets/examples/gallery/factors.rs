//! Factors, neurons, and similarities.

use ecco_widgets::Explorable;
use ecco_widgets::*;

use crate::texts::*;

pub(crate) fn views() -> Vec<(&'static str, Box<dyn Explorable>)> {
    let hostile = hostile();
    let n = hostile.len();
    let mut bad = factors(4);
    bad.components[1].truncate(5);
    bad.components[2][0] = f32::INFINITY;
    vec![
        ("factors", Box::new(factors(10))),
        ("factors-texts", Box::new(factors_of_texts())),
        ("factors-signed", Box::new(components(6))),
        ("neuron", Box::new(neuron(vec![(eu(), N_INPUT)]))),
        (
            "neuron-texts",
            Box::new(neuron(vec![(eu()[..20].to_vec(), 20), (eu(), N_INPUT)])),
        ),
        ("neurons", Box::new(top_neurons())),
        ("similarity", Box::new(similarity(6, 12))),
        ("similarity-of-many", Box::new(similarity(17, 30))),
        ("hostile-neuron", Box::new(neuron(vec![(hostile.clone(), n - 4)]))),
        ("hostile-factors", Box::new(factored(hostile, n - 4, 3))),
        ("ragged-factors", Box::new(bad)),
        ("long-factors", Box::new(factored(words(5000), 4800, 10))),
    ]
}

fn factored(tokens: Vec<Token>, n_input: usize, n: usize) -> Factors {
    let component = |k: usize| {
        let value = |(i, token): (usize, &Token)| match k {
            0..=4 if kind(token) == k => 1.5 + noise(k, i),
            5 => 2.0 * (-(i as f32) / 4.0).exp(),
            6 => 0.8 * i as f32 / tokens.len() as f32,
            _ => 0.35 * noise(k, i).powi(if k > 6 { 6 } else { 3 }) * (1 + k) as f32 / 4.0,
        };
        let mut values: Vec<f32> = tokens.iter().enumerate().map(value).collect();
        *values.last_mut().expect("a text has tokens") = f32::NAN;
        values
    };
    let components = (0..n).map(component).collect();
    Factors {
        method: "NMF".into(),
        texts: vec![FactorText {
            start: 0,
            n_input,
            n_read: tokens.len() - 1,
        }],
        components,
        neurons: (0..n).map(made_of).collect(),
        error: 151.234,
        relative_error: 0.4137,
        tokens,
        ..Factors::default()
    }
}

fn made_of(factor: usize) -> Vec<FactorNeuron> {
    let neuron = |rank: usize| FactorNeuron {
        layer: Some((noise(factor, rank) * 6.0) as usize),
        neuron: (noise(rank, factor + 90) * 3072.0) as usize,
        weight: 2.0 / (1 + rank) as f32,
    };
    (0..5).map(neuron).collect()
}

pub(crate) fn factors(n: usize) -> Factors {
    factored(eu(), N_INPUT, n)
}

/// Three texts, and how the number of factors was chosen.
fn factors_of_texts() -> Factors {
    let parts = [
        eu(),
        read("The| chef| cooked| a| meal|.|\n|1|.| Soup|\n|2|.| Bread"),
        eu()[..12].to_vec(),
    ];
    let mut texts = Vec::new();
    let n_tokens = parts.iter().map(Vec::len).sum::<usize>();
    let mut start = 0;
    for (part, n_input) in parts.iter().zip([N_INPUT, 13, 11]) {
        // The very last token was not read.
        let n_read = part.len().min(n_tokens - 1 - start);
        texts.push(FactorText {
            start,
            n_input,
            n_read,
        });
        start += part.len();
    }
    let held = |n: usize| Holdout {
        n_components: n,
        error: 0.2 + 0.6 / n as f64 + 0.004 * (n * n) as f64,
        spread: 0.02,
    };
    Factors {
        texts,
        held_out: (1..=10).map(held).collect(),
        ..factored(parts.concat(), 0, 4)
    }
}

/// Signed: waves of rising frequency.
pub(crate) fn components(n: usize) -> Factors {
    let tokens = eu();
    let wave = |k: usize| {
        let value = |i: usize| (i as f32 * (k + 1) as f32 / 6.0).sin() * (n - k) as f32;
        let read = (0..tokens.len() - 1).map(value);
        read.chain([f32::NAN]).collect()
    };
    Factors {
        method: "PCA".into(),
        signed: true,
        components: (0..n).map(wave).collect(),
        shares: (0..n).map(|k| 0.5 / (1 << k) as f64).collect(),
        ..factors(n)
    }
}

pub(crate) fn neuron(parts: Vec<(Vec<Token>, usize)>) -> NeuronActivity {
    let text = |(index, (tokens, n_input)): (usize, (Vec<Token>, usize))| {
        let value = |(i, token): (usize, &Token)| match kind(token) {
            3 => (0.4 + 0.6 * noise(index, i)) * (1 + index) as f32,
            _ => -0.3 * noise(i, index),
        };
        // The last token was not read.
        let read = tokens.iter().enumerate().take(tokens.len().saturating_sub(1));
        NeuronText {
            index,
            values: read.map(value).collect(),
            tokens,
            n_input,
            ..NeuronText::default()
        }
    };
    NeuronActivity {
        site: "mlp_inner".into(),
        layer: Some(2),
        neuron: 117,
        texts: parts.into_iter().enumerate().map(text).collect(),
    }
}

pub(crate) fn top_neurons() -> NeuronList {
    let at = |rank: usize| ActiveNeuron {
        layer: Some((noise(rank, 1) * 6.0) as usize),
        neuron: (noise(rank, 2) * 3072.0) as usize,
        value: 12.5 / (1.0 + rank as f32 / 3.0),
        position: (noise(rank, 3) * 42.0) as usize,
    };
    NeuronList {
        site: "mlp_inner".into(),
        what: "by their largest activation".into(),
        neurons: (0..10).map(at).collect(),
        tokens: eu(),
        ..NeuronList::default()
    }
}

pub(crate) fn similarity(rows: usize, columns: usize) -> SimilarityGrid {
    let names = |n: usize| (0..n).map(|i| i.to_string()).collect();
    let value = |i: usize, j: usize| {
        let gap = (i as f32 / rows as f32 - j as f32 / columns as f32).abs();
        1.02 - 1.3 * gap - 0.04 * noise(i, j)
    };
    SimilarityGrid {
        title: "Similarity of layers".into(),
        about: "unbiased CKA".into(),
        rows: ("layer of distilgpt2".into(), names(rows)),
        columns: ("layer of gpt2".into(), names(columns)),
        values: (0..rows)
            .map(|i| (0..columns).map(|j| value(i, j)).collect())
            .collect(),
        notes: vec![],
        ..SimilarityGrid::default()
    }
}
