//! A steering vector: how far it holds two groups of texts apart.

#[cfg(test)]
mod tests;

use std::fmt::Write;

use maud::{Markup, html};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Explorable;
use crate::kit::document::Document;
use crate::kit::page::Component;
use crate::kit::{document, numbers, visible};

const COMPONENT: Component = Component {
    tag: "ecco-steering",
    view: "steering-1",
    css: concat!(include_str!("../../kit/card.css"), include_str!("view.css")),
    js: include_str!("view.js"),
};

/// A steering vector, and how far it holds two groups of texts apart.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Steering {
    /// Where it is added: "residual_after".
    pub site: String,
    /// Of which layer, from 0.
    pub layer: usize,
    /// The vector by neuron; may be empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub vector: Vec<f32>,
    /// Length of the difference of the means.
    pub norm: f64,
    /// The usual length of what it is a difference of.
    pub typical: f64,
    /// Each text of the first group with its projection: 1 at the mean of this group, -1 at that of the second.
    pub positive: Vec<(String, f64)>,
    /// The same of the second group.
    pub negative: Vec<(String, f64)>,
}

impl Steering {
    fn n_apart(&self) -> usize {
        let above = self.positive.iter().filter(|(_, x)| *x > 0.0).count();
        above + self.negative.iter().filter(|(_, x)| *x < 0.0).count()
    }

    fn summary(&self) -> String {
        format!(
            "length {}, that of the values there {}; {} of {} texts on their side",
            numbers::short(self.norm),
            numbers::short(self.typical),
            self.n_apart(),
            self.positive.len() + self.negative.len()
        )
    }

    fn groups(&self) -> [(&'static str, &[(String, f64)]); 2] {
        [("positive", &self.positive), ("negative", &self.negative)]
    }

    /// A bar from the middle, in percent of the width: left edge and width.
    fn bar(&self, x: f64) -> (f64, f64) {
        let all = self.positive.iter().chain(&self.negative);
        let sizes = all.map(|(_, x)| x.abs()).filter(|size| size.is_finite());
        let most = sizes.fold(1.0, f64::max);
        let width = if x.is_finite() { x.abs() / most * 50.0 } else { 0.0 };
        (if x < 0.0 { 50.0 - width } else { 50.0 }, width)
    }

    fn row(&self, text: &str, x: f64) -> Markup {
        let (left, width) = self.bar(x);
        html! {
            tr {
                td { (visible::cut(&visible::plain(text, false), 60)) }
                td class="bar" {
                    svg viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true" {
                        path d="M50 0v10" {}
                        rect x=(format!("{left:.1}")) width=(format!("{width:.1}")) y="2" height="6" {}
                    }
                }
                td { (numbers::fraction(x)) }
            }
        }
    }
}

impl Document for Steering {
    const TYPE: &'static str = "steering";
}

impl Explorable for Steering {
    fn text(&self) -> String {
        let site = visible::plain(&self.site, false);
        let mut text = format!(
            "steering vector at {site} of layer {}: {}",
            self.layer,
            self.summary()
        );
        for (group, texts) in self.groups() {
            for (line, x) in texts {
                let line = visible::cut(&visible::plain(line, false), 50);
                let _ = write!(text, "\n{group} {:>6} {line}", numbers::fraction(*x));
            }
        }
        text
    }

    fn html(&self) -> Option<String> {
        let content = html! {
            div class="ecco card steering" {
                div class="head" {
                    b { "Steering vector" } " "
                    span { (visible::plain(&self.site, false)) " of layer " (self.layer) }
                }
                p { (self.summary()) }
                div class="wide" {
                    table {
                        @for (group, texts) in self.groups() {
                            tbody {
                                tr { th scope="rowgroup" colspan="3" { (group) } }
                                @for (line, x) in texts { (self.row(line, *x)) }
                            }
                        }
                    }
                }
            }
        };
        Some(COMPONENT.render(&content, self))
    }

    fn json(&self) -> Option<Value> {
        document::json(self)
    }
}
