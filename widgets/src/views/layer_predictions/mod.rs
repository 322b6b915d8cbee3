//! The most probable tokens at one place after each layer.

use maud::{Markup, html};
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
use crate::views::depths::{FittedLensName, Reading, final_norm, raw, way};

/// The most probable tokens at one place after each layer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LayerPredictions {
    /// The model's name, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// What is read before the place.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub before: Vec<Token>,
    /// The place, from 0 on.
    pub position: usize,
    /// The token that stands there.
    pub chosen: Option<Token>,
    /// Names of the layers.
    pub layers: Vec<String>,
    /// By layer.
    pub readings: Vec<Reading>,
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
    tag: "ecco-layer-predictions",
    view: "layer-predictions-2",
    css: concat!(include_str!("../../kit/grid.css"), include_str!("view.css")),
    js: concat!(include_str!("../../kit/grid.js"), include_str!("view.js")),
};

impl LayerPredictions {
    fn grid(&self) -> Grid {
        let n = self
            .readings
            .iter()
            .map(|reading| reading.top.len())
            .max()
            .unwrap_or(0);
        let is_chosen = |token: &Token| self.chosen.as_ref().is_some_and(|chosen| chosen.id == token.id);
        let cell = |(token, probability): &(Token, f32)| Cell {
            markup: html! {
                @if is_chosen(token) { b { (visible::label_html(token)) } } @else { (visible::label_html(token)) }
                " " em { (numbers::share(f64::from(*probability))) }
            },
            text: format!(
                "{} {}",
                visible::cut(&visible::label(token), 9),
                numbers::share(f64::from(*probability))
            ),
            strength: *probability,
        };
        Grid {
            corner: "layer",
            columns: (1..=n).map(|rank| Heading::text(rank.to_string())).collect(),
            rows: self.layers.iter().map(Heading::text).collect(),
            cells: self
                .readings
                .iter()
                .map(|reading| reading.top.iter().map(cell).collect())
                .collect(),
            scale: Scale::Sequential,
        }
    }

    fn title(&self) -> String {
        format!("Layer predictions at position {}", self.position)
    }

    fn chosen_html(&self) -> Markup {
        html! {
            @if let Some(chosen) = &self.chosen { "→ " (visible::label_html(chosen)) }
        }
    }
}

impl Document for LayerPredictions {
    const TYPE: &'static str = "layer_predictions";
}

impl Explorable for LayerPredictions {
    fn text(&self) -> String {
        let chosen = self
            .chosen
            .as_ref()
            .map_or(String::new(), |token| format!(" → {}", visible::label(token)));
        let before = grid::blank(&self.before);
        format!(
            "{} · {} · {before}{chosen}\n{}",
            self.title(),
            way(self.raw, self.fitted),
            self.grid().text()
        )
    }

    fn svg(&self) -> Option<String> {
        self.grid().picture(&self.title(), way(self.raw, self.fitted))
    }

    fn html(&self) -> Option<String> {
        let content = html! {
            div class="ecco predictions" {
                div class="head" {
                    b { "Layer predictions" } " "
                    span { "position " (self.position) ", " (way(self.raw, self.fitted)) } " "
                    span class="blank" { (grid::blank(&self.before)) " " (self.chosen_html()) }
                    (legend("0", "probability 100%"))
                }
                @if self.readings.is_empty() { (note("no layers to show")) }
                (self.grid().table())
                div class="readout" { "The most probable tokens after each layer, best first. " span hidden { "Point at one to find it in the others." } }
            }
        };
        Some(COMPONENT.render(&content, self))
    }

    fn json(&self) -> Option<Value> {
        document::json(self)
    }

    fn alt_text(&self) -> Option<String> {
        let n = self.layers.len();
        Some(format!(
            "The most probable tokens at position {} after each of {n} layers",
            self.position
        ))
    }
}
