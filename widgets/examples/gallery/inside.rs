//! Layers, parts, heads, candidates.

use ecco_widgets::Explorable;
use ecco_widgets::*;

use crate::texts::*;

pub(crate) fn views() -> Vec<(&'static str, Box<dyn Explorable>)> {
    let hostile = hostile();
    vec![
        ("predictions", Box::new(predictions(eu(), 23))),
        ("hostile-predictions", Box::new(predictions(hostile.clone(), 8))),
        ("ranks", Box::new(ranks(RankKind::Written))),
        ("ranks-watched", Box::new(ranks(RankKind::Watched))),
        ("lens", Box::new(lens(eu(), 23, 6))),
        (
            "fitted-lens",
            Box::new(LensMap {
                fitted: Some(depths::FittedLensName::Jacobian),
                ..lens(eu(), 23, 6)
            }),
        ),
        ("hostile-lens", Box::new(lens(hostile.clone(), 2, 3))),
        ("parts", Box::new(parts(PartsBy::Layer))),
        ("parts-heads", Box::new(parts(PartsBy::Head))),
        ("parts-neurons", Box::new(parts(PartsBy::Neuron))),
        ("candidates", Box::new(candidates())),
        ("top-k", Box::new(top_k())),
        ("heads", Box::new(head_scores("induction"))),
        ("heads-sorted", Box::new(head_scores("copying"))),
        ("vocabulary", Box::new(vocabulary(eu()))),
        ("hostile-vocabulary", Box::new(vocabulary(hostile.clone()))),
    ]
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

pub(crate) fn predictions(tokens: Vec<Token>, position: usize) -> LayerPredictions {
    let chosen = tokens[position].clone();
    let reading = |layer: usize| layer_reading(&tokens, &chosen, (layer + 1) as f32 / 6.0, layer);
    LayerPredictions {
        model: None,
        before: tokens[..position].to_vec(),
        position,
        layers: layers(6),
        readings: (0..6).map(reading).collect(),
        chosen: Some(chosen.clone()),
        raw: false,
        fitted: None,
    }
}

pub(crate) fn ranks(kind: RankKind) -> RankMap {
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
        fitted: None,
        ..RankMap::default()
    }
}

pub(crate) fn lens(tokens: Vec<Token>, n_input: usize, n_layers: usize) -> LensMap {
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
        model: None,
        columns: places.clone().map(column).collect(),
        layers: ["embedding".to_owned()]
            .into_iter()
            .chain(layers(n_layers))
            .collect(),
        readings: (0..=n_layers)
            .map(|layer| places.clone().map(|position| reading(layer, position)).collect())
            .collect(),
        raw: false,
        fitted: None,
    }
}

pub(crate) fn parts(by: PartsBy) -> Parts {
    let value = |layer: usize, part: usize| f64::from(noise(layer, part) - 0.35) * (1.0 + layer as f64);
    let layer = |layer| LayerParts {
        attention: value(layer, 1),
        cross: None,
        mlp: 3.0 * value(layer, 2),
    };
    let layers: Vec<LayerParts> = (0..6).map(layer).collect();
    let sum: f64 = layers.iter().map(|layer| layer.attention + layer.mlp).sum();
    Parts {
        model: None,
        before: eu()[..23].to_vec(),
        position: 23,
        target: token(" Croatia"),
        contrast: matches!(by, PartsBy::Layer).then(|| token(" Denmark")),
        logit: sum + 1.5,
        sum: sum + 1.5 + 3e-6,
        embedding: 2.0,
        bias: -0.5,
        layers,
        heads: heads(),
        attention_bias: (0..6).map(|layer| f64::from(noise(layer, 99)) - 0.5).collect(),
        neurons: neurons(),
        n_neurons: 18_432,
        by,
        capped: false,
    }
}

fn heads() -> Vec<Vec<f64>> {
    let head = |layer: usize, head: usize| {
        f64::from(noise(layer, head + 40) - 0.4) * if head == layer { 5.0 } else { 0.7 }
    };
    (0..6)
        .map(|layer| (0..12).map(|at| head(layer, at)).collect())
        .collect()
}

fn neurons() -> Vec<ecco_widgets::parts::Neuron> {
    let neuron = |rank: usize| ecco_widgets::parts::Neuron {
        layer: 5 - rank % 3,
        neuron: (noise(rank, 5) * 3072.0) as usize,
        activation: f64::from(noise(rank, 6)) * 4.0,
        part: if rank % 4 == 3 { -1.0 } else { 1.0 } * 2.5 / (1.0 + rank as f64 * 0.4),
    };
    (0..20).map(neuron).collect()
}

pub(crate) fn top_k() -> TopK {
    let tokens = eu();
    let position = |position: usize| TopKPosition {
        position,
        token: tokens.get(position).cloned(),
        rank: (position < tokens.len()).then_some(1 + (position * 7 % 40) as u32),
        probability: (position < tokens.len()).then_some(noise(position, 3) * 0.6),
        top: (0..5)
            .map(|rank| {
                (
                    tokens[(position + rank * 5) % tokens.len()].clone(),
                    0.5 / (1.0 + rank as f32),
                )
            })
            .collect(),
    };
    TopK {
        model: None,
        k: 5,
        positions: (1..=tokens.len()).map(position).collect(),
    }
}

pub(crate) fn candidates() -> Candidates {
    let row = |(rank, (token, probability)): (usize, (Token, f32))| Candidate {
        rank: rank + 1,
        label: CandidateLabel::Token(token),
        probability,
        is_chosen: false,
    };
    let tokens = read(" Cyprus| Croatia| Denmark| the|\n").into_iter();
    let rows = tokens.zip([0.31, 0.12, 0.118, 0.05, 0.04]).enumerate().map(row);
    Candidates {
        model: None,
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

pub(crate) fn head_scores(by: &str) -> Heads {
    let scores = ["induction", "previous", "entropy", "copying"];
    let value = |score: usize, layer: usize, head: usize| match score {
        2 => 3.0 * noise(layer * 31 + head, 9),
        3 => 2.0 * noise(layer * 17 + head, 10) - 1.0,
        _ => noise(layer * 13 + head, 11 + score).powi(4),
    };
    let layer = |score: usize, layer: usize| (0..12).map(|head| value(score, layer, head)).collect();
    Heads {
        model: None,
        about: "50 random tokens twice, 4 texts".to_owned(),
        scores: scores.map(str::to_owned).to_vec(),
        by: by.to_owned(),
        values: (0..scores.len())
            .map(|score| (0..8).map(|at| layer(score, at)).collect())
            .collect(),
    }
}

pub(crate) fn vocabulary(tokens: Vec<Token>) -> Vocabulary {
    let end = |row: usize, sign: f32| {
        let token = |at: usize| VocabularyToken {
            token: tokens[(row * 7 + at * 3) % tokens.len()].clone(),
            value: sign * (3.0 - 0.25 * at as f32),
        };
        (0..10).map(token).collect()
    };
    let row = |row: usize| VocabularyRow {
        label: tokens[row % tokens.len()].text.clone(),
        norm: Some(1.5 + row as f64),
        promotes: end(row, 1.0),
        suppresses: end(row + 3, -0.5),
    };
    Vocabulary {
        model: None,
        about: "OV circuit of head 3.1".to_owned(),
        ends: ["promotes", "suppresses"].map(str::to_owned),
        rows: (0..6).map(row).collect(),
    }
}
