//! Attention.

use ecco_widgets::Explorable;
use ecco_widgets::*;

use crate::texts::*;

pub(crate) fn views() -> Vec<(&'static str, Box<dyn Explorable>)> {
    let hostile = hostile();
    vec![
        ("attention", Box::new(attention(eu(), 6, 12, Some(3)))),
        ("attention-mean", Box::new(attention(eu(), 6, 12, None))),
        ("attention-cross", Box::new(cross_attention())),
        (
            "hostile-attention",
            Box::new(attention(hostile.clone(), 2, 3, Some(1))),
        ),
        ("long-attention", Box::new(long_attention())),
    ]
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

pub(crate) fn attention(
    tokens: Vec<Token>,
    n_layers: usize,
    n_heads: usize,
    head: Option<usize>,
) -> Attention {
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
        model: None,
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

pub(crate) fn cross_attention() -> Attention {
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
        model: None,
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
