//! Attention patterns: what one head's query looks at, and a map of all heads.

#[cfg(test)]
mod tests;

use maud::{Markup, html};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Explorable;
use crate::kit::Token;
use crate::kit::boxes::{Extra, flow, legend};
use crate::kit::document::Document;
use crate::kit::grid::{Cell, Grid, Heading, Scale};
use crate::kit::page::{Component, note};
use crate::kit::{colour, document, names, numbers, rows, visible};

mod map;
mod stored;

pub use map::{Map, thumbnail};
pub(crate) use stored::read;

/// Patterns of one stack's layers, or of those between two stacks.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Attention {
    /// The model's name, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// For people: "self-attention".
    pub what: String,
    /// What is looked at.
    pub keys: Vec<Token>,
    /// The first so many keys were given.
    #[serde(skip)]
    pub n_input: usize,
    /// What looks; `null` where these are the keys themselves.
    pub queries: Option<Vec<Token>>,
    /// A query sees no key after itself; rows then end with it.
    pub causal: bool,
    #[serde(flatten)]
    pub map: Map,
    /// The layer that is looked at first, from 0.
    pub layer: usize,
    /// The head that is looked at first; `null` for the mean of the layer's.
    pub head: Option<usize>,
    /// Those whose weights are here in full.
    pub patterns: Vec<Pattern>,
    /// The first query that patterns have a row for.
    pub first_query: usize,
    /// How the patterns that are not here can be had, for people.
    pub hint: Option<String>,
}

/// One head's weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Pattern {
    /// From 0 on.
    pub layer: usize,
    /// Of its layer, from 0 on.
    pub head: usize,
    /// By query and key, row by row from the first query on; a causal row has no more keys than its own position.
    pub weights: Vec<f32>,
}

const COMPONENT: Component = Component {
    tag: "ecco-attention",
    view: "attention-3",
    css: include_str!("view.css"),
    js: concat!(
        include_str!("matrix.js"),
        include_str!("finder.js"),
        include_str!("view.js")
    ),
};

/// Keys named in a line.
const N_TOP: usize = 5;
/// Queries in a console.
const MOST_QUERIES: usize = 20;

impl Attention {
    fn queries(&self) -> &[Token] {
        self.queries.as_deref().unwrap_or(&self.keys)
    }

    /// The weights of a query in what is looked at first.
    fn row(&self, query: usize) -> Vec<f32> {
        let chosen = self.patterns.iter().filter(|pattern| {
            pattern.layer == self.layer && self.head.is_none_or(|head| head == pattern.head)
        });
        let range = self.range(query);
        let mut sum = vec![0.0; range.len()];
        let mut n = 0;
        for pattern in chosen {
            let weights = pattern.weights.get(range.clone()).unwrap_or(&[]);
            sum.iter_mut()
                .zip(weights)
                .for_each(|(sum, weight)| *sum += weight);
            n += 1;
        }
        sum.iter_mut().for_each(|sum| *sum /= n.max(1) as f32);
        sum
    }

    /// Where a query's row stands among a pattern's weights.
    fn range(&self, query: usize) -> std::ops::Range<usize> {
        let start_of = |query: usize| match self.causal {
            // Rows of query + 1 keys each.
            true => query * (query + 1) / 2 - self.first_query * (self.first_query + 1) / 2,
            false => (query - self.first_query) * self.keys.len(),
        };
        match query < self.first_query {
            true => 0..0,
            false => start_of(query)..start_of(query + 1),
        }
    }

    /// Whether all weights of all heads are here.
    fn has_all(&self) -> bool {
        self.first_query == 0 && self.patterns.len() == self.map.n_layers * self.map.n_heads
    }

    fn last_query(&self) -> usize {
        self.queries().len().saturating_sub(1)
    }

    fn which(&self) -> String {
        match self.head {
            Some(head) => names::head(self.layer, head),
            None => format!("L{}, mean of heads", self.layer),
        }
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.keys.is_empty() || self.queries().is_empty() {
            notes.push("no tokens".to_owned());
        }
        if self.first_query > 0 {
            notes.push(format!(
                "only queries from position {} on are here: the text is long",
                self.first_query
            ));
        }
        let n_all = self.map.n_layers * self.map.n_heads;
        if self.patterns.len() < n_all {
            let hint = self
                .hint
                .as_ref()
                .map_or(String::new(), |hint| format!(": {hint}"));
            notes.push(format!(
                "{} of {n_all} heads are here in full{hint}",
                self.patterns.len()
            ));
        }
        notes
    }

    fn content(&self) -> Markup {
        let query = self.last_query();
        let row = self.row(query);
        let peak = rows::peak(&row);
        let shade = |position: usize| {
            let strength = row
                .get(position)
                .and_then(|&v| rows::strength(v, peak))
                .filter(|s| *s >= 0.005);
            let style = strength.map(|s| {
                let (ground, text) = (colour::hex(colour::scale(s)), colour::text_on_scale(s));
                format!(
                    "--s:{};background-color:{ground};color:{text}",
                    (s * 1000.0).round() / 1000.0
                )
            });
            Extra {
                style,
                chosen: self.queries.is_none() && position == query,
                ..Extra::default()
            }
        };
        let plain = |position: usize| Extra {
            chosen: position == query,
            ..Extra::default()
        };
        html! {
            div class="ecco attention" {
                div class="head" {
                    b { "Attention" } " " span { (visible::plain(&self.what, false)) } " "
                    span class="which" { (self.which()) }
                    (legend("0", &numbers::share(peak.into())))
                }
                @for text in self.notes() { (note(&text)) }
                div class="sides" {
                    figure { (self.map.image()) figcaption { "layers down, heads across" } }
                    div {
                        div class="flow keys" { (flow(&self.keys, 0, self.n_input, shade)) }
                        @if let Some(queries) = &self.queries {
                            div class="head" { span { "written" } }
                            div class="flow queries" { (flow(queries, 0, usize::MAX, plain)) }
                        }
                    }
                }
                @if !row.is_empty() && !self.queries().is_empty() { div class="readout" { (self.readout(query, &row)) } }
            }
        }
    }

    fn readout(&self, query: usize, row: &[f32]) -> Markup {
        html! {
            span {
                (visible::label_html(&self.queries()[query])) " " small { (query) } " looks at "
            }
            @for i in rows::top(row, N_TOP) {
                span { (visible::label_html(&self.keys[i])) " " small { (i) } " " (numbers::share(row[i].into())) } " "
            }
        }
    }

    fn data(&self) -> Data<'_> {
        let queries = self.first_query..self.queries().len();
        Data {
            attention: self,
            n_input: self.n_input.min(self.keys.len()),
            weights: queries.map(|query| self.row(query)).collect(),
            thumbnails: (!self.has_all()).then(|| self.map.encoded()),
        }
    }
}

/// Attention patterns of one stack's layers, or of those between two stacks.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Data<'a> {
    #[serde(flatten)]
    attention: &'a Attention,
    /// The first so many keys were given.
    n_input: usize,
    /// What is looked at first, by query from `first_query` on and by key.
    weights: Vec<Vec<f32>>,
    /// Where not all heads are here in full, small pictures of them: opacities in base64, layer by layer, head by head, row by row.
    #[serde(skip_serializing_if = "Option::is_none")]
    thumbnails: Option<String>,
}

impl Document for Data<'_> {
    const TYPE: &'static str = "attention";
}

impl Explorable for Attention {
    /// What each of the last queries looks at most.
    fn text(&self) -> String {
        let mut text = format!(
            "attention · {} · {}",
            visible::plain(&self.what, false),
            self.which()
        );
        let n = self.queries().len();
        let digits = n.to_string().len();
        for query in n.saturating_sub(MOST_QUERIES).max(self.first_query)..n {
            let row = self.row(query);
            let cut = |token: &Token| visible::cut(&visible::label(token), 24);
            let top = rows::top(&row, N_TOP).into_iter();
            let top: Vec<String> = top
                .map(|i| {
                    format!(
                        "{}{} {}",
                        cut(&self.keys[i]),
                        names::position(i),
                        numbers::share(row[i].into())
                    )
                })
                .collect();
            text.push_str(&format!(
                "\n{query:>digits$} {} ← {}",
                cut(&self.queries()[query]),
                top.join(", ")
            ));
        }
        for note in self.notes() {
            text.push_str(&format!("\n⚠ {note}"));
        }
        text
    }

    /// What is looked at first: queries down, keys across.
    fn svg(&self) -> Option<String> {
        let queries = self.first_query..self.queries().len();
        let rows: Vec<Vec<f32>> = queries.clone().map(|query| self.row(query)).collect();
        let cells = rows.iter().map(|row| {
            let peak = rows::peak(row);
            let cell = |at: usize| {
                let strength = row.get(at).and_then(|weight| rows::strength(*weight, peak));
                Cell::text("", strength.unwrap_or(0.0))
            };
            (0..self.keys.len()).map(cell).collect()
        });
        let grid = Grid {
            corner: "query",
            columns: self
                .keys
                .iter()
                .map(|token| Heading::token(token, None))
                .collect(),
            rows: queries
                .map(|query| Heading::token(&self.queries()[query], None))
                .collect(),
            cells: cells.collect(),
            scale: Scale::Sequential,
        };
        grid.picture(
            "Attention",
            &format!(
                "{}, {}; each row rescaled",
                visible::plain(&self.what, false),
                self.which()
            ),
        )
    }

    fn html(&self) -> Option<String> {
        Some(COMPONENT.render(&self.content(), &self.data()))
    }

    fn json(&self) -> Option<Value> {
        document::json(&self.data())
    }

    fn alt_text(&self) -> Option<String> {
        Some(format!(
            "Attention of {}: what each of {} tokens looks at",
            self.which(),
            self.queries().len()
        ))
    }
}
