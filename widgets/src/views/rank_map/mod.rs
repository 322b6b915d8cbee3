//! Ranks of chosen tokens after each layer.

use maud::html;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Explorable;
use crate::kit::Token;
use crate::kit::boxes::legend;
use crate::kit::document::Document;
use crate::kit::grid::{self, Cell, Grid, Heading, Scale};
use crate::kit::page::{Component, note};
use crate::kit::{document, numbers, visible};
use crate::views::depths::{FittedLensName, columns_shown, final_norm, raw, way};

/// Which tokens are ranked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RankKind {
    #[default]
    /// Those that were written, each at its own place.
    Written,
    /// Some tokens at one place.
    Watched,
}

/// Ranks of chosen tokens after each layer.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct RankMap {
    /// The model's name, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Which tokens are ranked.
    pub kind: RankKind,
    /// These tokens.
    #[serde(rename = "tokens")]
    pub columns: Vec<Token>,
    /// Where each of them stands, or would stand.
    pub positions: Vec<usize>,
    /// What is read before the place of watched tokens.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub before: Vec<Token>,
    /// Names of the layers.
    pub layers: Vec<String>,
    /// By layer and column; 1 is the most probable token, 0 says that what the layer says is no number.
    pub ranks: Vec<Vec<u32>>,
    /// By layer and column, in 0..=1.
    pub probabilities: Vec<Vec<f32>>,
    /// By layer, of what it says at the one place, in nats; may be empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub entropy: Vec<f32>,
    /// By layer, Kullback–Leibler divergence of the output from what it says there, in nats; may be empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub divergence: Vec<f32>,
    /// The states were read without the final norm.
    #[serde(
        rename = "final_norm",
        serialize_with = "final_norm",
        deserialize_with = "raw"
    )]
    #[schemars(description = "Whether the model's final norm was applied before the head.")]
    pub raw: bool,
    /// The lens that was fitted; none of the logit lens.
    #[serde(rename = "lens", skip_serializing_if = "Option::is_none")]
    pub fitted: Option<FittedLensName>,
}

const COMPONENT: Component = Component {
    tag: "ecco-ranks",
    view: "ranks-2",
    css: include_str!("../../kit/grid.css"),
    js: concat!(include_str!("../../kit/grid.js"), include_str!("view.js")),
};

/// Ranks from here on have no colour.
const LAST: f32 = 5000.0;

impl RankMap {
    fn grid(&self) -> Grid {
        let watched = self.kind == RankKind::Watched;
        let columns = self.columns.iter().zip(&self.positions);
        let cell = |rank: &u32| match rank {
            0 => Cell::text("–", f32::NAN),
            rank => Cell::text(rank.to_string(), strength(*rank)),
        };
        Grid {
            corner: "layer",
            columns: columns
                .map(|(token, position)| Heading::token(token, (!watched).then_some(*position)))
                .collect(),
            rows: self.layers.iter().map(Heading::text).collect(),
            cells: self
                .ranks
                .iter()
                .map(|ranks| ranks.iter().map(cell).collect())
                .collect(),
            scale: Scale::Sequential,
        }
    }

    fn title(&self) -> String {
        match (self.kind, self.positions.first()) {
            (RankKind::Watched, Some(position)) => {
                format!("Rankings of watched tokens at position {position}")
            }
            _ => "Rankings of the written tokens".to_owned(),
        }
    }
}

/// Cells of a page: about 1 MB of them.
const MOST_CELLS: usize = 8_000;

impl RankMap {
    fn first(&self, n: usize) -> Self {
        let mut view = self.clone();
        view.columns.truncate(n);
        view.positions.truncate(n);
        view.ranks.iter_mut().for_each(|row| row.truncate(n));
        view.probabilities.iter_mut().for_each(|row| row.truncate(n));
        view
    }
}

/// 1 for the best, falling with the logarithm.
fn strength(rank: u32) -> f32 {
    (1.0 - (rank as f32).ln() / LAST.ln()).max(0.0)
}

impl Document for RankMap {
    const TYPE: &'static str = "rankings";
}

impl Explorable for RankMap {
    fn text(&self) -> String {
        let before = match self.kind {
            RankKind::Watched => format!(" · {}", grid::blank(&self.before)),
            RankKind::Written => String::new(),
        };
        format!(
            "{} · {}{before}\n{}",
            self.title(),
            way(self.raw, self.fitted),
            self.grid().text()
        )
    }

    fn svg(&self) -> Option<String> {
        self.grid().picture(&self.title(), way(self.raw, self.fitted))
    }

    fn html(&self) -> Option<String> {
        let (n, cut) = columns_shown(self.columns.len(), self.layers.len(), MOST_CELLS);
        let view = self.first(n);
        let content = html! {
            div class="ecco ranks" {
                div class="head" {
                    b { (self.title()) } " " span { (way(self.raw, self.fitted)) }
                    @if self.kind == RankKind::Watched { " " span class="blank" { (grid::blank(&self.before)) } }
                    (legend(&format!("rank {}", numbers::count(LAST as u64)), "1"))
                }
                @if self.columns.is_empty() { (note("no tokens to rank")) }
                @if let Some(cut) = cut { (note(&cut)) }
                (view.grid().table())
                div class="readout" { "The rank of each token after each layer: 1 is the most probable one." }
            }
        };
        Some(COMPONENT.render(&content, &view))
    }

    fn json(&self) -> Option<Value> {
        document::json(self)
    }

    fn alt_text(&self) -> Option<String> {
        let tokens: Vec<String> = self.columns.iter().take(12).map(visible::label).collect();
        let n = self.layers.len();
        Some(format!(
            "{}: {}, after each of {n} layers",
            self.title(),
            tokens.join(", ")
        ))
    }
}
