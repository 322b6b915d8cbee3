//! A document of attention read again. Small patterns are made of the weights where these are all there.

use serde::Deserialize;
use serde::de::Error as _;
use serde_json::{Error, Value};

use super::{Attention, Map, Pattern, thumbnail};
use crate::kit::{Token, reading};

/// What of a document makes the others.
#[derive(Deserialize)]
struct Stored {
    model: Option<String>,
    what: String,
    keys: Vec<Token>,
    n_input: usize,
    queries: Option<Vec<Token>>,
    causal: bool,
    n_layers: usize,
    n_heads: usize,
    layer: usize,
    head: Option<usize>,
    patterns: Vec<Pattern>,
    first_query: usize,
    hint: Option<String>,
    thumbnails: Option<String>,
}

/// That of a document.
///
/// # Errors
/// Patterns that are not of this text and these heads; small ones that are missing.
pub(crate) fn read(document: &Value) -> Result<Attention, Error> {
    let stored: Stored = reading::read(document)?;
    let n_queries = stored.queries.as_ref().unwrap_or(&stored.keys).len();
    let map = Map::new(stored.n_layers, stored.n_heads, n_queries, stored.keys.len());
    let found = Attention {
        model: stored.model,
        what: stored.what,
        keys: stored.keys,
        n_input: stored.n_input,
        queries: stored.queries,
        causal: stored.causal,
        map,
        layer: stored.layer,
        head: stored.head,
        patterns: stored.patterns,
        first_query: stored.first_query,
        hint: stored.hint,
    };
    if !found.fits() {
        return Err(Error::custom("its patterns are not of its tokens and heads"));
    }
    let map = match &stored.thumbnails {
        Some(text) => found.map.clone().decoded(text),
        None => found.thumbnails(),
    };
    let map = map.ok_or_else(|| Error::custom("the small patterns of some heads are missing"))?;
    Ok(Attention { map, ..found })
}

impl Attention {
    /// Whether each pattern is of a head that there is, with a weight for each query and key.
    fn fits(&self) -> bool {
        let n_queries = self.queries().len();
        let is_square = !self.causal || n_queries <= self.keys.len();
        let is_there = n_queries == 0 || self.first_query < n_queries;
        let has_heads = self.map.n_layers > 0 && self.map.n_heads > 0;
        if !is_square || !is_there || !has_heads {
            return false;
        }
        let n = match n_queries {
            0 => 0,
            _ => self.range(n_queries - 1).end,
        };
        let is_whole = |pattern: &Pattern| {
            let is_known = pattern.layer < self.map.n_layers && pattern.head < self.map.n_heads;
            is_known && pattern.weights.len() == n
        };
        self.patterns.iter().all(is_whole)
    }

    /// Small patterns of those that are here; `None` where these are not all, each once.
    fn thumbnails(&self) -> Option<Map> {
        let n_heads = self.map.n_heads;
        let is_next = |(at, pattern): (usize, &Pattern)| pattern.layer * n_heads + pattern.head == at;
        if self.first_query > 0
            || Some(self.patterns.len()) != self.map.n_layers.checked_mul(n_heads)
            || !self.patterns.iter().enumerate().all(is_next)
        {
            return None;
        }
        let mut map = self.map.clone();
        for pattern in &self.patterns {
            let small = thumbnail(
                &pattern.weights,
                self.queries().len(),
                self.keys.len(),
                self.causal,
                map.size(),
            );
            map.add(&small);
        }
        Some(map)
    }
}
