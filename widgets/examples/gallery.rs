//! Writes every view, and hard cases of them, into a folder: one page per case, its picture and its text
//! beside it.
//!
//! `cargo run --release -p ecco-widgets --example gallery -- FOLDER`; the browser tests read what it wrote.

use std::path::Path;
use std::time::Instant;
use std::{env, fs, io};

use ecco_interpreter::{DATA, Explorable};
use ecco_widgets::*;

#[path = "gallery/attribution.rs"]
mod attribution;

fn main() -> io::Result<()> {
    let folder = env::args().nth(1).unwrap_or_else(|| "gallery".to_owned());
    let folder = Path::new(&folder);
    fs::create_dir_all(folder)?;
    let mut index = String::new();
    for (name, view) in views().into_iter().chain(attribution::views()) {
        let start = Instant::now();
        let bundle = view.bundle();
        let milliseconds = start.elapsed().as_secs_f64() * 1e3;
        let get = |key: &str| {
            bundle
                .data
                .get(key)
                .and_then(|value| value.as_str())
                .unwrap_or_default()
        };
        let (html, svg, text) = (get("text/html"), get("image/svg+xml"), get("text/plain"));
        let json = bundle
            .data
            .get(DATA)
            .map(|json| json.to_string())
            .unwrap_or_default();
        println!(
            "{name:<20} {milliseconds:>7.1} ms  html {:>8}  svg {:>7}  json {:>8}  text {:>7} bytes",
            html.len(),
            svg.len(),
            json.len(),
            text.len()
        );
        fs::write(folder.join(format!("{name}.html")), page(name, html))?;
        fs::write(folder.join(format!("{name}.txt")), text)?;
        fs::write(folder.join(format!("{name}.json")), json)?;
        if !svg.is_empty() {
            fs::write(folder.join(format!("{name}.svg")), svg)?;
        }
        if !name.starts_with("long") {
            index.push_str(&format!("<h2>{name}</h2>{html}"));
        }
    }
    let twice = saliency(SaliencyStyle::Minimal)
        .html()
        .unwrap_or_default()
        .repeat(2);
    fs::write(folder.join("twice.html"), page("twice", &twice))?;
    fs::write(folder.join("index.html"), page("gallery", &index))
}

fn page(title: &str, content: &str) -> String {
    format!(
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width\">\
         <title>{title}</title><style>body{{font-family:sans-serif;margin:16px}}\
         @media (prefers-color-scheme:dark){{body{{background:#0d0f12;color:#ddd}}}}</style><body>{content}"
    )
}

fn views() -> Vec<(&'static str, Box<dyn Explorable>)> {
    let hostile = hostile();
    let n = hostile.len();
    let (mut ragged, mut bad) = (saliency(SaliencyStyle::Detailed), factors(4));
    ragged.scores[0][3] = f32::NAN;
    ragged.scores[2].truncate(4);
    ragged.scores.pop();
    bad.components[1].truncate(5);
    bad.components[2][0] = f32::INFINITY;
    vec![
        (
            "tokens",
            Box::new(TokenSequence {
                tokens: eu(),
                n_input: N_INPUT,
                in_progress: false,
            }),
        ),
        (
            "streaming",
            Box::new(TokenSequence {
                tokens: eu()[..31].to_vec(),
                n_input: N_INPUT,
                in_progress: true,
            }),
        ),
        ("saliency", Box::new(saliency(SaliencyStyle::Minimal))),
        ("saliency-detailed", Box::new(saliency(SaliencyStyle::Detailed))),
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
        ("hostile-neuron", Box::new(neuron(vec![(hostile.clone(), n - 4)]))),
        ("progress", Box::new(download(138_000_000))),
        (
            "progress-unknown",
            Box::new(Progress {
                total: None,
                ..download(138_000_000)
            }),
        ),
        ("progress-done", Box::new(download(327_657_928))),
        ("model", Box::new(card("distilgpt2"))),
        (
            "models",
            Box::new(ResidentModels {
                models: vec![card("distilgpt2"), card("demo")],
            }),
        ),
        ("models-none", Box::new(ResidentModels::default())),
        ("side-by-side", Box::new(side_by_side())),
        ("patch-map", Box::new(patch_map(false))),
        ("patch-map-heads", Box::new(patch_map(true))),
        ("steering", Box::new(steering())),
        (
            "model-intervened",
            Box::new(ModelCard {
                interventions: vec!["layer 2 mlp_inner, neurons 1, 5: set to 0".into()],
                ..card("distilgpt2")
            }),
        ),
        ("tensor", Box::new(tensor())),
        ("reading-masked", Box::new(masked())),
        ("reading-next", Box::new(next())),
        ("reading-written", Box::new(written())),
        ("reading-replaced", Box::new(replaced())),
        ("reading-labels", Box::new(labelled())),
        (
            "reading-nothing",
            Box::new(Reading {
                said: Said::Nothing {
                    reason: "the text has no [MASK], so there is nothing to predict".into(),
                },
                ..labelled()
            }),
        ),
        ("predictions", Box::new(predictions(eu(), 23))),
        ("hostile-predictions", Box::new(predictions(hostile.clone(), 8))),
        ("ranks", Box::new(ranks(RankKind::Written))),
        ("ranks-watched", Box::new(ranks(RankKind::Watched))),
        ("lens", Box::new(lens(eu(), 23, 6))),
        ("hostile-lens", Box::new(lens(hostile.clone(), 2, 3))),
        ("parts", Box::new(parts(PartsBy::Layer))),
        ("parts-heads", Box::new(parts(heads()))),
        ("parts-neurons", Box::new(parts(neurons()))),
        ("candidates", Box::new(candidates())),
        ("attention", Box::new(attention(eu(), 6, 12, Some(3)))),
        ("attention-mean", Box::new(attention(eu(), 6, 12, None))),
        ("attention-cross", Box::new(cross_attention())),
        (
            "hostile-attention",
            Box::new(attention(hostile.clone(), 2, 3, Some(1))),
        ),
        ("long-attention", Box::new(long_attention())),
        ("hostile-reading", Box::new(guessed(hostile.clone(), 3))),
        (
            "hostile",
            Box::new(scored(hostile.clone(), n - 4, SaliencyStyle::Detailed)),
        ),
        (
            "hostile-tokens",
            Box::new(TokenSequence {
                tokens: hostile.clone(),
                n_input: n - 4,
                in_progress: false,
            }),
        ),
        ("hostile-factors", Box::new(factored(hostile, n - 4, 3))),
        ("ragged", Box::new(ragged)),
        ("ragged-factors", Box::new(bad)),
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
        ("long-factors", Box::new(factored(words(5000), 4800, 10))),
    ]
}

const N_INPUT: usize = 23;

fn token(text: &str) -> Token {
    let id = text
        .bytes()
        .fold(7u32, |hash, byte| hash.wrapping_mul(31).wrapping_add(byte.into()))
        % 50257;
    Token {
        text: text.to_owned(),
        id,
        part: None,
    }
}

/// The list of countries of the README, as GPT-2 splits it.
fn eu() -> Vec<Token> {
    let text = "The| countries| of| the| European| Union| are|:|\n|1|.| Austria|\n|2|.| Belgium|\n|3|.| Bulgaria|\n|4|.\
                | Croatia|\n|5|.| Cyprus|\n|6|.| Czech| Republic|\n|7|.| Denmark|\n|8|.| Estonia|\n|9";
    text.split('|').map(token).collect()
}

fn hostile() -> Vec<Token> {
    let texts = [
        "</script><script>window.hacked=1</script>",
        "<img src=x onerror=window.hacked=2>",
        "]]>",
        "<!--",
        "\" onmouseover=\"window.hacked=3",
        "'&amp;&lt;",
        "\u{202e}evil",
        " שלום",
        "\0\u{1b}[31m\u{7}",
        "\u{301}",
        "\u{200d}",
        "\u{2028}",
        "\t\r\n",
        "   ",
        "",
        "${window.hacked=4}",
        "</ecco-saliency></div></style>",
        "-".repeat(300).leak(),
    ];
    let mut tokens: Vec<Token> = texts.into_iter().map(token).collect();
    for (text, parts) in [("م", 2), ("👩", 4)] {
        tokens.extend((1..=parts).map(|part| Token {
            part: Some((part, parts)),
            ..token(text)
        }));
    }
    tokens
}

fn words(n: usize) -> Vec<Token> {
    let eu = eu();
    (0..n).map(|i| eu[i % eu.len()].clone()).collect()
}

/// A number in 0..1 that depends on its arguments alone.
fn noise(a: usize, b: usize) -> f32 {
    let mut x =
        (a as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (b as u64).wrapping_mul(0xc2b2_ae3d_27d4_eb4f);
    x ^= x >> 29;
    x = x.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (x >> 40) as f32 / (1u64 << 24) as f32
}

fn kind(token: &Token) -> usize {
    match token.text.trim_matches(' ') {
        "\n" => 0,
        "." | ":" => 1,
        text if text.parse::<u32>().is_ok() => 2,
        text if token.text.starts_with(' ') && text.starts_with(char::is_uppercase) => 3,
        _ => 4,
    }
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
    Saliency {
        tokens,
        n_input,
        style,
        method: "gradient × input".to_owned(),
        scores,
        ..Saliency::default()
    }
}

fn saliency(style: SaliencyStyle) -> Saliency {
    scored(eu(), N_INPUT, style)
}

fn factored(tokens: Vec<Token>, n_input: usize, n: usize) -> Factors {
    let component = |k: usize| {
        let value = |(i, token): (usize, &Token)| match k {
            0..=4 if kind(token) == k => 1.5 + noise(k, i),
            5 => 2.0 * (-(i as f32) / 4.0).exp(),
            6 => 0.8 * i as f32 / tokens.len() as f32,
            _ => 0.35 * noise(k, i).powi(if k > 6 { 6 } else { 3 }) * (1 + k) as f32 / 4.0,
        };
        tokens.iter().enumerate().map(value).collect()
    };
    let components = (0..n).map(component).collect();
    Factors {
        method: "NMF".into(),
        texts: vec![FactorText { start: 0, n_input }],
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

fn factors(n: usize) -> Factors {
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
    let mut start = 0;
    for (part, n_input) in parts.iter().zip([N_INPUT, 13, 12]) {
        texts.push(FactorText { start, n_input });
        start += part.len();
    }
    let held = |n: usize| HeldOut {
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
fn components(n: usize) -> Factors {
    let tokens = eu();
    let wave = |k: usize| {
        let value = |i: usize| (i as f32 * (k + 1) as f32 / 6.0).sin() * (n - k) as f32;
        (0..tokens.len()).map(value).collect()
    };
    Factors {
        method: "PCA".into(),
        signed: true,
        components: (0..n).map(wave).collect(),
        shares: (0..n).map(|k| 0.5 / (1 << k) as f64).collect(),
        ..factors(n)
    }
}

fn neuron(parts: Vec<(Vec<Token>, usize)>) -> NeuronActivity {
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

fn top_neurons() -> NeuronList {
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

fn similarity(rows: usize, columns: usize) -> SimilarityGrid {
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

fn read(text: &str) -> Vec<Token> {
    text.split('|').map(token).collect()
}

/// A text with the tokens of another as candidates at some place.
fn guessed(tokens: Vec<Token>, position: usize) -> Reading {
    let mut said = Said::Tokens { places: vec![] };
    let candidates = tokens.iter().enumerate();
    said.add_token(
        position,
        candidates
            .map(|(i, t)| (t.clone(), 0.5 / (i + 1) as f32))
            .collect(),
    );
    Reading {
        text: tokens.iter().map(|token| token.text.as_str()).collect(),
        tokens,
        target: vec![],
        said,
    }
}

fn masked() -> Reading {
    let mut said = Said::Tokens { places: vec![] };
    let shares = [0.931, 0.024, 0.0081, 0.0034, 0.0002];
    for (position, words) in [
        (4, "capital|heart|center|city|Capital"),
        (6, "France|Europe|Gaul|Texas|love"),
    ] {
        said.add_token(position, read(words).into_iter().zip(shares).collect());
    }
    Reading {
        text: "Paris is the [MASK] of [MASK].".into(),
        tokens: read("[CLS]|Paris|is|the|[MASK]|of|[MASK]|.|[SEP]"),
        target: vec![],
        said,
    }
}

fn next() -> Reading {
    let shares = [0.31, 0.12, 0.118, 0.05, 0.04];
    let mut view = guessed(eu()[..21].to_vec(), 21);
    view.said = Said::Tokens { places: vec![] };
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
    view.said = Said::Tokens { places: vec![] };
    view.said.add_token(
        3,
        read("▁ist|▁war|,").into_iter().zip([0.97, 0.01, 0.004]).collect(),
    );
    view
}

fn replaced() -> Reading {
    let mut view = guessed(read("[CLS]|the|chef|ate|the|meal|[SEP]"), 0);
    view.said = Said::Tokens { places: vec![] };
    for probability in [0.001, 0.02, 0.04, 0.93, 0.03, 0.11, 0.0] {
        view.said.add_replaced(probability);
    }
    view
}

fn labelled() -> Reading {
    let mut view = guessed(read("[CLS]|It|was|not|good|at|all|.|[SEP]"), 0);
    view.said = Said::Tokens { places: vec![] };
    for (name, probability) in [("negative", 0.962), ("neutral", 0.031), ("positive", 0.007)] {
        view.said.add_label(name, probability, false);
    }
    view
}

fn download(done: u64) -> Progress {
    Progress {
        label: "downloading model.safetensors".into(),
        done,
        total: Some(327_657_928),
        unit: "bytes".into(),
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
        interventions: vec![],
    }
}

fn tensor() -> TensorSummary {
    TensorSummary {
        name: "activations".into(),
        shape: vec![6, 3072, 43],
        axes: ["layer", "neuron", "position"].map(str::to_owned).to_vec(),
        dtype: "float32".into(),
        min: Some(-0.17004),
        max: Some(11.2519),
        mean: Some(-0.013_37),
        preview: vec![-0.1161, 0.0213, -0.1699, 0.8127, -0.0451, 1.294],
    }
}

fn side_by_side() -> SideBySide {
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
    let predicted = |at: usize| Predicted {
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

fn patch_map(by_heads: bool) -> PatchMap {
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
        restored: (0..6)
            .map(|layer| (0..n).map(|column| value(layer, column)).collect())
            .collect(),
        columns: match by_heads {
            true => Columns::Heads(n),
            false => Columns::Positions { corrupted, clean },
        },
    }
}

fn steering() -> Steering {
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

fn layers(n: usize) -> Vec<String> {
    (0..n).map(|layer| layer.to_string()).collect()
}

/// What a layer says: unsure at first, then of the token that stands there.
fn layer_reading(tokens: &[Token], chosen: &Token, depth: f32, seed: usize) -> ecco_widgets::depths::Reading {
    let sure = depth.powi(2);
    let other = |rank: usize| tokens[(seed * 7 + rank * 5) % tokens.len()].clone();
    let first = if depth > 0.5 { chosen.clone() } else { other(0) };
    let top = [first].into_iter().chain((1..10).map(other)).enumerate();
    let top = top.map(|(rank, token)| (token, (0.05 + 0.8 * sure) / (1.0 + rank as f32).powi(2)));
    ecco_widgets::depths::Reading {
        top: top.collect(),
        chosen: Some((
            1 + ((1.0 - depth) * 3000.0 * noise(seed, 3)) as u32,
            0.05 + 0.8 * sure,
        )),
        entropy: 10.0 * (1.0 - depth) + 0.5,
        divergence: 8.0 * (1.0 - depth),
    }
}

fn predictions(tokens: Vec<Token>, position: usize) -> LayerPredictions {
    let chosen = tokens[position].clone();
    let reading = |layer: usize| layer_reading(&tokens, &chosen, (layer + 1) as f32 / 6.0, layer);
    LayerPredictions {
        before: tokens[..position].to_vec(),
        position,
        layers: layers(6),
        readings: (0..6).map(reading).collect(),
        chosen: Some(chosen.clone()),
        raw: false,
    }
}

fn ranks(kind: RankKind) -> RankMap {
    let (columns, positions, before) = match kind {
        RankKind::Written => (eu()[N_INPUT..].to_vec(), (N_INPUT..eu().len()).collect(), vec![]),
        RankKind::Watched => (read(" is| are| was"), vec![7; 3], eu()[..6].to_vec()),
    };
    let rank = |layer: usize, column: usize| {
        let far = 9.5 * (1.0 - layer as f32 / 5.0) * noise(column, 1) - noise(layer, column);
        1 + far.max(0.0).exp() as u32 - 1
    };
    let row = |layer: usize| {
        (0..columns.len())
            .map(|column| rank(layer, column).max(1))
            .collect::<Vec<u32>>()
    };
    let ranks: Vec<Vec<u32>> = (0..6).map(row).collect();
    let probabilities = ranks
        .iter()
        .map(|row| row.iter().map(|rank| 0.6 / *rank as f32).collect());
    RankMap {
        kind,
        positions,
        before,
        layers: layers(6),
        probabilities: probabilities.collect(),
        ranks,
        columns,
        raw: false,
        ..RankMap::default()
    }
}

fn lens(tokens: Vec<Token>, n_input: usize, n_layers: usize) -> LensMap {
    let column = |position: usize| LensColumn {
        position,
        chosen: tokens.get(position).cloned(),
    };
    let reading = |layer: usize, position: usize| {
        let chosen = tokens.get(position).unwrap_or(&tokens[0]);
        let depth = ((layer + 1) as f32 / n_layers as f32 * (0.6 + 0.4 * noise(position, 9))).min(1.0);
        layer_reading(&tokens, chosen, depth, layer + position)
    };
    let places = n_input..=tokens.len();
    LensMap {
        columns: places.clone().map(column).collect(),
        layers: ["embedding".to_owned()]
            .into_iter()
            .chain(layers(n_layers))
            .collect(),
        readings: (0..=n_layers)
            .map(|layer| places.clone().map(|position| reading(layer, position)).collect())
            .collect(),
        raw: false,
    }
}

fn parts(by: PartsBy) -> Parts {
    let value = |layer: usize, part: usize| f64::from(noise(layer, part) - 0.35) * (1.0 + layer as f64);
    let layer = |layer| LayerParts {
        attention: value(layer, 1),
        cross: None,
        mlp: 3.0 * value(layer, 2),
    };
    let layers: Vec<LayerParts> = (0..6).map(layer).collect();
    let sum: f64 = layers.iter().map(|layer| layer.attention + layer.mlp).sum();
    Parts {
        before: eu()[..23].to_vec(),
        position: 23,
        target: token(" Croatia"),
        contrast: matches!(by, PartsBy::Layer).then(|| token(" Denmark")),
        logit: sum + 1.5,
        sum: sum + 1.5 + 3e-6,
        embedding: 2.0,
        bias: -0.5,
        layers,
        by,
        capped: false,
    }
}

fn heads() -> PartsBy {
    let head = |layer: usize, head: usize| {
        f64::from(noise(layer, head + 40) - 0.4) * if head == layer { 5.0 } else { 0.7 }
    };
    PartsBy::Head {
        heads: (0..6)
            .map(|layer| (0..12).map(|at| head(layer, at)).collect())
            .collect(),
        rest: (0..6).map(|layer| f64::from(noise(layer, 99)) - 0.5).collect(),
    }
}

fn neurons() -> PartsBy {
    let neuron = |rank: usize| ecco_widgets::parts::Neuron {
        layer: 5 - rank % 3,
        neuron: (noise(rank, 5) * 3072.0) as usize,
        activation: f64::from(noise(rank, 6)) * 4.0,
        part: if rank % 4 == 3 { -1.0 } else { 1.0 } * 2.5 / (1.0 + rank as f64 * 0.4),
    };
    PartsBy::Neuron {
        top: (0..20).map(neuron).collect(),
        of: 18_432,
    }
}

fn candidates() -> Candidates {
    let row = |(rank, (token, probability)): (usize, (Token, f32))| Candidate {
        rank: rank + 1,
        label: CandidateLabel::Token(token),
        probability,
        is_chosen: false,
    };
    let tokens = read(" Cyprus| Croatia| Denmark| the|\n").into_iter();
    let rows = tokens.zip([0.31, 0.12, 0.118, 0.05, 0.04]).enumerate().map(row);
    Candidates {
        places: vec![CandidatePlace {
            position: Some(23),
            before: eu()[..23].to_vec(),
            rows: rows.collect(),
            chosen: Some(Candidate {
                rank: 1204,
                label: CandidateLabel::Token(token(" Atlantis")),
                probability: 0.000_02,
                is_chosen: true,
            }),
        }],
    }
}

/// Heads that look back by some steps, at the first token, or at tokens like their own.
fn weight(tokens: &[Token], layer: usize, head: usize, query: usize, key: usize) -> f32 {
    let near = match (layer + head) % 4 {
        0 if key + 1 + head / 4 == query => 12.0,
        1 if key == 0 => 20.0,
        2 if kind(&tokens[key]) == kind(&tokens[query]) => 3.0,
        3 => 4.0 / (1.0 + (query - key) as f32),
        _ => 0.05,
    };
    near * (0.2 + noise(query * 31 + head, key + layer))
}

fn attention(tokens: Vec<Token>, n_layers: usize, n_heads: usize, head: Option<usize>) -> Attention {
    let n = tokens.len();
    let mut map = ecco_widgets::attention::Map::new(n_layers, n_heads, n, n);
    let mut patterns = Vec::new();
    for (layer, at) in (0..n_layers).flat_map(|layer| (0..n_heads).map(move |head| (layer, head))) {
        let mut weights = Vec::new();
        for query in 0..n {
            let row: Vec<f32> = (0..=query)
                .map(|key| weight(&tokens, layer, at, query, key))
                .collect();
            let sum: f32 = row.iter().sum();
            weights.extend(row.into_iter().map(|value| value / sum));
        }
        map.add(&ecco_widgets::attention::thumbnail(
            &weights,
            n,
            n,
            true,
            map.size(),
        ));
        patterns.push(ecco_widgets::attention::Pattern {
            layer,
            head: at,
            weights,
        });
    }
    Attention {
        what: "self-attention".into(),
        n_input: N_INPUT,
        queries: None,
        causal: true,
        map,
        layer: n_layers / 2,
        head,
        patterns,
        first_query: 0,
        hint: Some("output.attention(#{layer: 3, head: 5}) shows others".into()),
        keys: tokens,
    }
}

fn cross_attention() -> Attention {
    let keys = read("▁translate|▁English|▁to|▁German|:|▁The|▁house|▁is|▁wonderful|.|</s>");
    let queries = read("<pad>|▁Das|▁Haus|▁ist");
    let (n_queries, n_keys) = (queries.len(), keys.len());
    let mut map = ecco_widgets::attention::Map::new(3, 4, n_queries, n_keys);
    let mut patterns = Vec::new();
    for (layer, head) in (0..3).flat_map(|layer| (0..4).map(move |head| (layer, head))) {
        let value = |query: usize, key: usize| if key == 5 + query { 6.0 } else { 0.3 } * (0.2 + noise(query + layer, key + head));
        let rows = (0..n_queries).map(|query| (0..n_keys).map(|key| value(query, key)).collect::<Vec<f32>>());
        let rows = rows.map(|row| {
            row.iter()
                .map(|value| value / row.iter().sum::<f32>())
                .collect::<Vec<f32>>()
        });
        let weights: Vec<f32> = rows.flatten().collect();
        map.add(&ecco_widgets::attention::thumbnail(
            &weights,
            n_queries,
            n_keys,
            false,
            map.size(),
        ));
        patterns.push(ecco_widgets::attention::Pattern { layer, head, weights });
    }
    Attention {
        what: "decoder's attention to the text".into(),
        keys,
        n_input: usize::MAX,
        queries: Some(queries),
        causal: false,
        map,
        layer: 2,
        head: None,
        patterns,
        first_query: 0,
        hint: None,
    }
}

/// One head of a long text in full, and of it only the last queries.
fn long_attention() -> Attention {
    let mut view = attention(words(400), 1, 2, Some(1));
    view.patterns.remove(0);
    view.first_query = 300;
    view.patterns[0].weights.drain(..300 * 301 / 2);
    view
}
