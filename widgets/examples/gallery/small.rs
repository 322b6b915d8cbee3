//! The small ones: tokens, readings, progress, cards.

use ecco_widgets::Explorable;
use ecco_widgets::*;
use serde_json::{Value, json};

use crate::texts::*;

pub(crate) fn views() -> Vec<(&'static str, Box<dyn Explorable>)> {
    let hostile = hostile();
    let n = hostile.len();
    vec![
        (
            "tokens",
            Box::new(TokenSequence {
                tokens: eu(),
                n_input: N_INPUT,
                ..TokenSequence::default()
            }),
        ),
        (
            "tokens-scored",
            Box::new(TokenSequence {
                probabilities: of_written(|i| 1.0 / (1.0 + i as f32)),
                ranks: of_written(|i| 1 + (i as u32 % 4) * 512),
                tokens: eu(),
                n_input: N_INPUT,
                ..TokenSequence::default()
            }),
        ),
        (
            "streaming",
            Box::new(TokenSequence {
                tokens: eu()[..31].to_vec(),
                n_input: N_INPUT,
                in_progress: true,
                ..TokenSequence::default()
            }),
        ),
        (
            "tokens-from-right",
            Box::new(TokenSequence {
                tokens: read("The| word|:|\n|שלום| עולם|,| זה| Jupyter| notebook| 2|.|\n|End"),
                n_input: 5,
                ..TokenSequence::default()
            }),
        ),
        ("progress", Box::new(download(138_000_000))),
        (
            "progress-unknown",
            Box::new(Progress {
                total: None,
                ..download(138_000_000)
            }),
        ),
        ("progress-done", Box::new(download(327_657_928))),
        (
            "model",
            Box::new(ModelCard {
                sites: sites(),
                ..card("distilgpt2")
            }),
        ),
        (
            "models",
            Box::new(ResidentModels {
                models: vec![card("distilgpt2"), card("demo")],
            }),
        ),
        ("models-none", Box::new(ResidentModels::default())),
        (
            "model-intervened",
            Box::new(ModelCard {
                products: Some("own (few rows), oneDNN (many rows)".into()),
                interventions: vec!["layer 2 mlp_inner, neurons 1, 5: set to 0".into()],
                ..card("distilgpt2")
            }),
        ),
        ("tensor", Box::new(tensor())),
        ("small-tensor", Box::new(small_tensor())),
        ("reading-masked", Box::new(masked())),
        ("reading-next", Box::new(next())),
        ("reading-written", Box::new(written())),
        ("reading-replaced", Box::new(replaced())),
        ("reading-labels", Box::new(labelled())),
        ("reading-entities", Box::new(entities())),
        ("reading-answers", Box::new(answers())),
        ("reading-values", Box::new(values())),
        (
            "reading-nothing",
            Box::new(Reading {
                said: Statement::Nothing {
                    reason: "the text has no [MASK], so there is nothing to predict".into(),
                },
                ..labelled()
            }),
        ),
        ("hostile-reading", Box::new(guessed(hostile.clone(), 3))),
        (
            "hostile-tokens",
            Box::new(TokenSequence {
                tokens: hostile.clone(),
                n_input: n - 4,
                ..TokenSequence::default()
            }),
        ),
    ]
}

/// A value for each token that was written, by how many were before it.
fn of_written<T>(of: impl Fn(usize) -> T) -> Vec<Option<T>> {
    let each = |i: usize| i.checked_sub(N_INPUT).map(&of);
    (0..eu().len()).map(each).collect()
}

/// A text with the tokens of another as candidates at some place.
pub(crate) fn guessed(tokens: Vec<Token>, position: usize) -> Reading {
    let mut said = Statement::Tokens { places: vec![] };
    let candidates = tokens.iter().enumerate();
    said.add_token(
        position,
        candidates
            .map(|(i, t)| (t.clone(), 0.5 / (i + 1) as f32))
            .collect(),
    );
    Reading {
        model: None,
        text: tokens.iter().map(|token| token.text.as_str()).collect(),
        tokens,
        target: vec![],
        said,
    }
}

pub(crate) fn masked() -> Reading {
    let mut said = Statement::Tokens { places: vec![] };
    let shares = [0.931, 0.024, 0.0081, 0.0034, 0.0002];
    for (position, words) in [
        (4, "capital|heart|center|city|Capital"),
        (6, "France|Europe|Gaul|Texas|love"),
    ] {
        said.add_token(position, read(words).into_iter().zip(shares).collect());
    }
    Reading {
        model: None,
        text: "Paris is the [MASK] of [MASK].".into(),
        tokens: read("[CLS]|Paris|is|the|[MASK]|of|[MASK]|.|[SEP]"),
        target: vec![],
        said,
    }
}

fn next() -> Reading {
    let shares = [0.31, 0.12, 0.118, 0.05, 0.04];
    let mut view = guessed(eu()[..21].to_vec(), 21);
    view.said = Statement::Tokens { places: vec![] };
    view.said.add_token(
        21,
        read(" Cyprus| Croatia| Denmark| the|\n")
            .into_iter()
            .zip(shares)
            .collect(),
    );
    view
}

fn written() -> Reading {
    let mut view = guessed(
        read("▁translate|▁English|▁to|▁German|:|▁The|▁house|▁is|▁wonderful|.|</s>"),
        0,
    );
    view.target = read("<pad>|▁Das|▁Haus");
    view.said = Statement::Tokens { places: vec![] };
    view.said.add_token(
        3,
        read("▁ist|▁war|,").into_iter().zip([0.97, 0.01, 0.004]).collect(),
    );
    view
}

pub(crate) fn replaced() -> Reading {
    let mut view = guessed(read("[CLS]|the|chef|ate|the|meal|[SEP]"), 0);
    view.said = Statement::Tokens { places: vec![] };
    for probability in [0.001, 0.02, 0.04, 0.93, 0.03, 0.11, 0.0] {
        view.said.add_replaced(probability);
    }
    view
}

pub(crate) fn labelled() -> Reading {
    let mut view = guessed(read("[CLS]|It|was|not|good|at|all|.|[SEP]"), 0);
    view.said = Statement::Tokens { places: vec![] };
    for (name, probability) in [("negative", 0.962), ("neutral", 0.031), ("positive", 0.007)] {
        view.said.add_label(name, probability, false);
    }
    view
}

pub(crate) fn entities() -> Reading {
    let words = "[CLS]| Angela| Merkel| was| born| in| Hamburg|,| and| led| Germany|.|[SEP]";
    let mut view = guessed(read(words), 0);
    view.said = Statement::Tokens { places: vec![] };
    let labels = "O|B-PER|I-PER|O|O|O|B-LOC|O|O|O|B-LOC|O";
    for (position, label) in labels.split('|').enumerate().skip(1) {
        let best = 0.99 - 0.03 * position as f32;
        let other = if label == "O" { "I-ORG" } else { "O" };
        view.said
            .add_token_label(position, vec![(label.into(), best), (other.into(), 1.0 - best)]);
    }
    view
}

pub(crate) fn answers() -> Reading {
    let words = "[CLS]| Where| was| she| born|?|[SEP]| She| was| born| in| the| port| of| Hamburg|.|[SEP]";
    let mut view = guessed(read(words), 0);
    view.said = Statement::Tokens { places: vec![] };
    for (start, end, text, score) in [
        (14, 14, "Hamburg", 0.62),
        (11, 14, "the port of Hamburg", 0.21),
        (10, 14, "in the port of Hamburg", 0.04),
    ] {
        view.said.add_span(start, end, text, score);
    }
    view
}

fn values() -> Reading {
    let mut view = labelled();
    view.said = Statement::Tokens { places: vec![] };
    for (name, value) in [("valence", 3.217), ("arousal", -0.41)] {
        view.said.add_value(name, value);
    }
    view
}

fn download(done: u64) -> Progress {
    Progress {
        label: "downloading model.safetensors".into(),
        done,
        total: Some(327_657_928),
        unit: "bytes".into(),
        left: Some(std::time::Duration::from_secs(95)),
    }
}

fn card(name: &str) -> ModelCard {
    ModelCard {
        name: name.into(),
        model_type: "gpt2".into(),
        n_layers: 6,
        hidden_size: 768,
        n_heads: 12,
        vocab_size: 50257,
        context_length: 1024,
        n_parameters: 81_912_576,
        device: "cuda:0".into(),
        dtype: "float32".into(),
        memory_bytes: 327_650_304,
        products: None,
        interventions: vec![],
        sites: vec![],
    }
}

fn sites() -> Vec<ModelSite> {
    let all = [
        ("residual_before", "(layer 6, position, hidden 768)"),
        ("attention_input", "(layer 6, position, hidden 768)"),
        ("queries", "(layer 6, head 12, position, head_dim 64)"),
        ("keys", "(layer 6, key_head 12, position, head_dim 64)"),
        ("values", "(layer 6, key_head 12, position, head_dim 64)"),
        ("attention_pattern", "(layer 6, head 12, query, key)"),
        ("head_outputs", "(layer 6, head 12, position, head_dim 64)"),
        ("attention_output", "(layer 6, position, hidden 768)"),
        ("residual_mid", "(layer 6, position, hidden 768)"),
        ("mlp_input", "(layer 6, position, hidden 768)"),
        ("mlp_pre", "(layer 6, neuron 3072, position)"),
        ("mlp_inner", "(layer 6, neuron 3072, position)"),
        ("mlp_output", "(layer 6, position, hidden 768)"),
        ("residual_after", "(layer 6, position, hidden 768)"),
        ("final_norm", "(position, hidden 768)"),
    ];
    let site = |(name, axes): (&str, &str)| ModelSite {
        name: name.into(),
        axes: axes.into(),
    };
    all.map(site).to_vec()
}

pub(crate) fn tensor() -> TensorSummary {
    let places = ecco_widgets::tensor_summary::places(&[6, 3072, 43]);
    let value = |i: usize| ((i * 37 % 101) as f32 / 50.0 - 1.0).powi(3) * (1.0 + (i % 7) as f32);
    let n = places.iter().map(Vec::len).product();
    let mut values: Vec<f32> = (0..n).map(value).collect();
    (values[5], values[50]) = (f32::NAN, f32::NAN);
    TensorSummary {
        name: "activations".into(),
        shape: vec![6, 3072, 43],
        axes: ["layer", "neuron", "position"].map(str::to_owned).to_vec(),
        dtype: "float32".into(),
        min: Some(-7.0),
        max: Some(11.2519),
        mean: Some(-0.013_37),
        n_nan: 1,
        n_infinite: 1,
        preview: vec![-0.1161, 0.0213, -0.1699, 0.8127, -0.0451, 1.294],
        histogram: Some(Histogram {
            start: -7.0,
            end: 11.2519,
            counts: vec![3, 12, 140, 2300, 780_000, 9000, 120, 9, 0, 1],
        }),
        cells: Some(TensorCells {
            places,
            deepest: 4.5,
            values: Some(values),
            infinite: vec![50],
            minus_infinite: vec![],
        }),
        data: None,
    }
}

/// Four axes, two without a name, with all of its values beside the picture.
fn small_tensor() -> TensorSummary {
    let shape = vec![2, 3, 4, 5];
    /// The values from `at` on, nested.
    fn nested(shape: &[usize], at: usize) -> Value {
        match shape {
            [] if at == 7 => Value::Null,
            [] => json!(at as f32 / 8.0),
            [n, inner @ ..] => (0..*n).map(|i| nested(inner, at * n + i)).collect(),
        }
    }
    TensorSummary {
        name: "tensor".into(),
        axes: ["text", "", "head", ""].map(str::to_owned).to_vec(),
        dtype: "float64".into(),
        min: Some(0.0),
        max: Some(14.875),
        mean: Some(7.4),
        n_nan: 1,
        preview: vec![0.0, 0.125, 0.25],
        cells: Some(TensorCells {
            places: ecco_widgets::tensor_summary::places(&shape),
            deepest: 14.875,
            ..TensorCells::default()
        }),
        data: Some(nested(&shape, 0)),
        shape,
        ..TensorSummary::default()
    }
}
