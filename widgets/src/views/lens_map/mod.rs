//! The logit lens at several places: each layer's best token, coloured by one of several numbers.

#[cfg(test)]
mod tests;

use maud::html;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Explorable;
use crate::kit::Token;
use crate::kit::boxes::legend;
use crate::kit::document::Document;
use crate::kit::grid::{Cell, Grid, Heading, Scale};
use crate::kit::page::{Component, note};
use crate::kit::{document, visible};
use crate::views::depths::{FittedLensName, Reading, columns_shown, final_norm, raw, way};

/// What each layer would say if it were the last (logit lens), at several places.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LensMap {
    /// The model's name, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The places.
    pub columns: Vec<LensColumn>,
    /// Names of the layers.
    pub layers: Vec<String>,
    /// By layer and column.
    pub readings: Vec<Vec<Reading>>,
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

/// A place whose token is predicted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LensColumn {
    /// From 0 on.
    pub position: usize,
    /// The token that stands there.
    #[serde(rename = "token")]
    pub chosen: Option<Token>,
}

const COMPONENT: Component = Component {
    tag: "ecco-lens",
    view: "lens-3",
    css: include_str!("../../kit/grid.css"),
    js: concat!(include_str!("../../kit/grid.js"), include_str!("view.js")),
};

impl LensMap {
    fn grid(&self) -> Grid {
        let column = |column: &LensColumn| match &column.chosen {
            Some(token) => Heading::token(token, Some(column.position)),
            None => Heading {
                index: Some(column.position),
                ..Heading::text("▸")
            },
        };
        let cell = |reading: &Reading| match reading.top.first() {
            Some((token, probability)) => Cell::token(token, *probability),
            None => Cell::text("", 0.0),
        };
        Grid {
            corner: "layer",
            columns: self.columns.iter().map(column).collect(),
            rows: self.layers.iter().map(Heading::text).collect(),
            cells: self
                .readings
                .iter()
                .map(|row| row.iter().map(cell).collect())
                .collect(),
            scale: Scale::Sequential,
        }
    }
}

/// Cells of a page: about 1 MB of them and their candidates.
const MOST_CELLS: usize = 2_500;

impl LensMap {
    fn title(&self) -> &'static str {
        self.fitted.map_or("Logit lens", FittedLensName::title)
    }

    fn first(&self, n: usize) -> Self {
        let mut view = self.clone();
        view.columns.truncate(n);
        view.readings.iter_mut().for_each(|row| row.truncate(n));
        view
    }
}

/// Candidates that the script names.
const N_LABELLED: usize = 5;

impl Document for LensMap {
    const TYPE: &'static str = "lens";
}

impl Explorable for LensMap {
    fn text(&self) -> String {
        let how = if self.raw { " without the final norm" } else { "" };
        format!(
            "{}{how} · each layer's most probable token\n{}",
            self.title(),
            self.grid().text()
        )
    }

    fn svg(&self) -> Option<String> {
        self.grid().picture(
            self.title(),
            "each layer's most probable token, coloured by its probability",
        )
    }

    fn html(&self) -> Option<String> {
        let (n, cut) = columns_shown(self.columns.len(), self.layers.len(), MOST_CELLS);
        let view = self.first(n);
        let readings = view.readings.iter().flatten();
        let labelled =
            readings.flat_map(|reading| reading.top.iter().take(N_LABELLED).map(|(token, _)| token));
        let content = html! {
            div class="ecco lens" data-labels=(visible::exceptions(labelled)) {
                div class="head" {
                    b { (self.title()) } " "
                    span { "each layer's most probable token" @if self.raw { ", " (way(true, None)) } } " "
                    span class="metric" { "coloured by its probability" }
                    (legend("0", "100%"))
                }
                @if self.columns.is_empty() { (note("no places to show")) }
                @if let Some(cut) = cut { (note(&cut)) }
                (view.grid().table())
                div class="readout" { span hidden { "Point at a cell for its candidates, entropy, and distance to the output." } }
            }
        };
        Some(COMPONENT.render(&content, &view))
    }

    fn json(&self) -> Option<Value> {
        document::json(self)
    }

    fn alt_text(&self) -> Option<String> {
        let (n, places) = (self.layers.len(), self.columns.len());
        Some(format!(
            "The most probable token after each of {n} layers at {places} places"
        ))
    }
}
