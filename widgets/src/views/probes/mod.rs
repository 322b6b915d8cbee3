//! Linear probes: how well a label is read off states, layer by layer, beside shuffled labels and the most frequent label.

#[cfg(test)]
mod tests;

mod picture;

use maud::html;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Explorable;
use crate::kit::document::Document;
use crate::kit::grid::{Cell, Grid, Heading, Scale};
use crate::kit::page::{self, Component, note};
use crate::kit::{document, numbers, visible};

/// How well a label is read off states by a plane, at each place. Shares are of texts that the probe had not seen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Probes {
    /// The model's name, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// How the plane is found: "logistic regression".
    pub method: String,
    /// What it is about: "residual_after at the last token".
    pub states: String,
    /// The labels; of two the plane's normal points to the second, of more each has a plane.
    pub labels: Vec<String>,
    /// How many texts have each label.
    pub n_texts: Vec<usize>,
    /// Parts that the texts were divided into.
    pub folds: usize,
    /// The share of the most frequent label: what knowing nothing reaches.
    pub majority: f64,
    /// By layer and position.
    pub places: Vec<ProbePlace>,
}

/// A probe at one layer and position.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ProbePlace {
    /// `null` where the states are of no layer.
    pub layer: Option<usize>,
    /// Which token, for people: "last", "mean", "-2"; empty where there is nothing to tell apart.
    pub position: String,
    /// Share of labels that are right, the mean over the parts.
    pub accuracy: f64,
    /// Deviation of that between the parts.
    pub spread: f64,
    /// Area under the curve of true over false positives, the mean over the parts.
    pub auc: f64,
    /// How far probabilities are from shares; `null` where the method has no probabilities.
    pub calibration_error: Option<f64>,
    /// Accuracy on shuffled labels; `null` without a control.
    pub control: Option<f64>,
}

const COMPONENT: Component = Component {
    tag: "ecco-probes",
    view: "probes-1",
    css: concat!(include_str!("../../kit/grid.css"), include_str!("view.css")),
    js: include_str!("view.js"),
};
const TITLE: &str = "Probe";
/// Labels that are named at most.
const MOST_LABELS: usize = 5;

impl ProbePlace {
    /// How much better the labels are read than shuffled ones.
    fn selectivity(&self) -> Option<f64> {
        self.control.map(|control| self.accuracy - control)
    }

    /// `layer 2, -1`, or what there is of it.
    fn name(&self) -> String {
        let layer = self.layer.map(|layer| layer.to_string());
        let position = visible::plain(&self.position, false);
        match (layer, position.is_empty()) {
            (Some(layer), true) => layer,
            (Some(layer), false) => format!("{layer} · {position}"),
            (None, _) => position,
        }
    }
}

impl Probes {
    fn about(&self) -> String {
        let each = self.labels.iter().zip(&self.n_texts);
        let mut labels: Vec<String> = each
            .map(|(label, n)| format!("{n} {}", visible::cut(&visible::plain(label, false), 30)))
            .collect();
        if labels.len() > MOST_LABELS {
            let others = labels.split_off(MOST_LABELS - 1).len();
            labels.push(format!("{others} others"));
        }
        let last = labels.pop().unwrap_or_default();
        let labels = match labels.is_empty() {
            true => last,
            false => format!("{} and {last}", labels.join(", ")),
        };
        format!(
            "{} · {} · {labels}",
            visible::plain(&self.method, false),
            visible::plain(&self.states, false),
        )
    }

    /// The positions in the order in which they come up, each with its places.
    fn by_position(&self) -> Vec<(&str, Vec<&ProbePlace>)> {
        let mut all: Vec<(&str, Vec<&ProbePlace>)> = Vec::new();
        for place in &self.places {
            match all.iter_mut().find(|(name, _)| *name == place.position) {
                Some((_, places)) => places.push(place),
                None => all.push((&place.position, vec![place])),
            }
        }
        all
    }

    fn grid(&self) -> Grid {
        let plain = |value: Option<f64>| match value {
            Some(value) => Cell::text(numbers::fraction(value), 0.0),
            None => Cell::text("", 0.0),
        };
        let coloured = |value: f64, from: f64| {
            let strength = (value - from) / (1.0 - from).max(1e-9);
            Cell::text(numbers::fraction(value), strength.clamp(0.0, 1.0) as f32)
        };
        let row = |place: &ProbePlace| {
            vec![
                coloured(place.accuracy, self.majority),
                Cell::text(format!("± {}", numbers::fraction(place.spread)), 0.0),
                plain(place.control),
                plain(place.selectivity()),
                plain(Some(place.auc)),
                plain(place.calibration_error),
            ]
        };
        let columns = [
            "accuracy",
            "spread",
            "shuffled",
            "selectivity",
            "AUC",
            "calibration",
        ];
        Grid {
            corner: "layer",
            columns: columns.into_iter().map(Heading::text).collect(),
            rows: self
                .places
                .iter()
                .map(|place| Heading::text(place.name()))
                .collect(),
            cells: self.places.iter().map(row).collect(),
            scale: Scale::Sequential,
        }
    }
}

impl Document for Probes {
    const TYPE: &'static str = "probes";
}

impl Explorable for Probes {
    fn text(&self) -> String {
        format!(
            "{TITLE} · {} · {} parts · the most frequent label: {}\n{}",
            self.about(),
            self.folds,
            numbers::fraction(self.majority),
            self.grid().text()
        )
    }

    fn svg(&self) -> Option<String> {
        (!self.places.is_empty()).then(|| picture::alone(self))
    }

    fn html(&self) -> Option<String> {
        let content = html! {
            div class="ecco probes" {
                div class="head" { b { (TITLE) } " " span { (self.about()) } }
                @if self.places.is_empty() { (note("no states to probe")) }
                @else {
                    div class="both" {
                        div class="plots" style=(page::DRAWN) {
                            @for (position, places) in self.by_position().into_iter().take(picture::MOST_PLOTS) {
                                (picture::plot(self, position, &places))
                            }
                        }
                        (self.grid().table())
                    }
                    p class="key" {
                        i class="found" { "—" } " accuracy on texts left out (" (self.folds) " parts)  "
                        @if self.places.iter().any(|place| place.control.is_some()) {
                            i class="control" { "—" } " on shuffled labels  "
                        }
                        i class="majority" { "- -" } " the most frequent label"
                    }
                }
            }
        };
        Some(COMPONENT.render(&content, self))
    }

    fn json(&self) -> Option<Value> {
        document::json(self)
    }

    fn alt_text(&self) -> Option<String> {
        let best = self
            .places
            .iter()
            .max_by(|a, b| a.accuracy.total_cmp(&b.accuracy))?;
        Some(format!(
            "Accuracy of probes at {} places, at most {}",
            self.places.len(),
            numbers::fraction(best.accuracy)
        ))
    }
}
