//! The most probable tokens at every position of a text: a row a token, the others when it is pointed at.

use maud::html;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Explorable;
use crate::kit::boxes::legend;
use crate::kit::document::Document;
use crate::kit::grid::{Cell, Grid, Heading, Scale};
use crate::kit::page::{Component, note};
use crate::kit::{Candidate, Token, candidates, document, numbers, stored_candidates, visible};

/// The most probable tokens at every position of a text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TopK {
    /// The model's name, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// How many are named at each position.
    pub k: usize,
    /// The predicted positions, in order.
    pub positions: Vec<TopKPosition>,
}

/// What is predicted at one position.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TopKPosition {
    /// From 0 on.
    pub position: usize,
    /// The token that stands there; `null` for a mask, and behind the end of the text.
    pub token: Option<Token>,
    /// Its rank; 1 is the most probable token, 0 says that the probabilities are no numbers.
    pub rank: Option<u32>,
    /// Its probability, in 0..=1.
    pub probability: Option<f32>,
    /// The most probable tokens, best first.
    #[serde(serialize_with = "candidates", deserialize_with = "stored_candidates")]
    #[schemars(with = "Vec<Candidate<'_>>")]
    pub top: Vec<(Token, f32)>,
}

const COMPONENT: Component = Component {
    tag: "ecco-top-k",
    view: "top-k-1",
    css: concat!(include_str!("../../kit/grid.css"), include_str!("view.css")),
    js: concat!(include_str!("../../kit/grid.js"), include_str!("view.js")),
};
const TITLE: &str = "Most probable tokens";
/// Rows of a page.
const MOST_ROWS: usize = 1_000;

impl TopK {
    fn grid(&self) -> Grid {
        let shown = || self.positions.iter().take(MOST_ROWS);
        let heading = |at: &TopKPosition| match &at.token {
            Some(token) => Heading::token(token, Some(at.position)),
            None => Heading {
                index: Some(at.position),
                ..Heading::text("▸")
            },
        };
        let own = |at: &TopKPosition| match (at.rank, at.probability) {
            (Some(rank), Some(p)) => {
                let share = numbers::share(f64::from(p));
                Cell::text(format!("{share}, rank {}", numbers::rank(rank.into())), p)
            }
            _ => Cell::text("", 0.0),
        };
        let best = |at: &TopKPosition| match at.top.first() {
            Some((token, p)) => Cell {
                markup: html! { (visible::label_html(token)) " " em { (numbers::share(f64::from(*p))) } },
                text: format!("{} {}", visible::label(token), numbers::share(f64::from(*p))),
                strength: *p,
            },
            None => Cell::text("", 0.0),
        };
        Grid {
            corner: "token",
            columns: ["its own probability", "most probable"].map(Heading::text).into(),
            rows: shown().map(heading).collect(),
            cells: shown().map(|at| vec![own(at), best(at)]).collect(),
            scale: Scale::Sequential,
        }
    }
}

impl Document for TopK {
    const TYPE: &'static str = "top_k";
}

impl Explorable for TopK {
    fn text(&self) -> String {
        format!(
            "{TITLE} at {} positions\n{}",
            self.positions.len(),
            self.grid().text()
        )
    }

    fn svg(&self) -> Option<String> {
        self.grid().picture(
            TITLE,
            "of each token its own probability, and the most probable one",
        )
    }

    fn html(&self) -> Option<String> {
        let n = self.positions.len();
        let named = self
            .positions
            .iter()
            .flat_map(|at| at.top.iter().map(|(token, _)| token));
        let content = html! {
            div class="ecco top-k" data-labels=(visible::exceptions(named)) {
                div class="head" { b { (TITLE) } " " span { "at " (numbers::count(n as u64)) " positions" } (legend("0", "probability 100%")) }
                @if n == 0 { (note("no positions to show")) }
                @if n > MOST_ROWS {
                    (note(&format!("the first {MOST_ROWS} of {n} positions are shown; the data has all")))
                }
                (self.grid().table())
                div class="readout" { span hidden { "Point at a row for the " (self.k) " most probable tokens there." } }
            }
        };
        Some(COMPONENT.render(&content, self))
    }

    fn json(&self) -> Option<Value> {
        document::json(self)
    }

    fn alt_text(&self) -> Option<String> {
        let n = self.positions.len();
        Some(format!("The most probable tokens at {n} positions of a text"))
    }
}
