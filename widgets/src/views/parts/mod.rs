//! What each part of a model wrote to a token's logit (direct logit attribution): by layer, by head, or by neuron.

#[cfg(test)]
mod tests;

use maud::{Markup, html};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::Explorable;
use crate::kit::Token;
use crate::kit::boxes::legend;
use crate::kit::document::Document;
use crate::kit::grid::{self, Cell, Grid, Heading, Scale};
use crate::kit::page::{Component, note};
use crate::kit::{document, numbers, visible};

/// What each part of a model wrote to a token's logit (direct logit attribution).
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Parts {
    /// The model's name, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// What is read before the place.
    #[serde(skip)]
    pub before: Vec<Token>,
    /// The place, from 0 on.
    pub position: usize,
    /// The token whose logit it is.
    pub target: Token,
    /// Where there is one, all numbers are of the difference to its logit.
    pub contrast: Option<Token>,
    /// What is told apart.
    pub logit: f64,
    /// The sum of all parts.
    pub sum: f64,
    /// What the embedding wrote to it.
    pub embedding: f64,
    /// What no layer wrote: biases of the head and of norms.
    pub bias: f64,
    /// What each layer wrote to it.
    pub layers: Vec<LayerParts>,
    /// By layer and head, what each head wrote.
    pub heads: Vec<Vec<f64>>,
    /// By layer, what attention wrote besides.
    pub attention_bias: Vec<f64>,
    /// The neurons that wrote most, either way.
    pub neurons: Vec<Neuron>,
    /// Of so many.
    pub n_neurons: usize,
    /// What the page shows.
    pub by: PartsBy,
    /// The model caps its logits, and these are before that.
    pub capped: bool,
}

/// What one layer wrote to the logit.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct LayerParts {
    /// What its attention wrote.
    pub attention: f64,
    /// What attention to the encoder wrote, where there is such a thing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cross: Option<f64>,
    /// What its MLP wrote.
    pub mlp: f64,
}

/// Which parts a table shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PartsBy {
    Layer,
    Head,
    Neuron,
}

/// A neuron of an MLP, and what it wrote to the logit.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Neuron {
    /// From 0 on.
    pub layer: usize,
    /// Of its layer, from 0 on.
    pub neuron: usize,
    /// Its value there.
    pub activation: f64,
    /// What it wrote.
    pub part: f64,
}

const COMPONENT: Component = Component {
    tag: "ecco-parts",
    view: "parts-2",
    css: concat!(include_str!("../../kit/grid.css"), include_str!("view.css")),
    js: concat!(include_str!("../../kit/grid.js"), include_str!("view.js")),
};

impl Parts {
    fn grid(&self) -> Grid {
        let (columns, rows) = self.table();
        let (n_parts, peak) = (self.n_parts(), self.peak(&rows));
        let cell = |(at, value): (usize, &f64)| match (value.is_finite(), at < n_parts) {
            (true, true) => Cell::text(signed(*value), (value / peak.max(f64::MIN_POSITIVE)) as f32),
            (true, false) => Cell::text(numbers::short(*value), 0.0),
            (false, _) => Cell::text("", 0.0),
        };
        Grid {
            corner: if self.by == PartsBy::Neuron {
                "neuron"
            } else {
                "layer"
            },
            columns: columns.into_iter().map(Heading::text).collect(),
            cells: rows
                .iter()
                .map(|(_, values)| values.iter().enumerate().map(cell).collect())
                .collect(),
            rows: rows.into_iter().map(|(name, _)| Heading::text(name)).collect(),
            scale: Scale::Diverging,
        }
    }

    fn table(&self) -> Table {
        match self.by {
            PartsBy::Layer => self.by_layer(),
            PartsBy::Head => self.by_head(),
            PartsBy::Neuron => by_neuron(&self.neurons),
        }
    }

    /// Columns of what was written: of neurons the second one has activations.
    fn n_parts(&self) -> usize {
        if self.by == PartsBy::Neuron { 1 } else { usize::MAX }
    }

    /// The largest size of a part.
    fn peak(&self, rows: &[(String, Vec<f64>)]) -> f64 {
        let values = rows
            .iter()
            .flat_map(|(_, values)| values.iter().take(self.n_parts()));
        values
            .filter(|value| value.is_finite())
            .fold(0.0f64, |peak, value| peak.max(value.abs()))
    }

    fn by_layer(&self) -> Table {
        let has_cross = self.layers.iter().any(|layer| layer.cross.is_some());
        let mut columns = vec!["attention".to_owned()];
        columns.extend(has_cross.then(|| "cross-attention".to_owned()));
        columns.push("MLP".to_owned());
        let rows = self.layers.iter().enumerate().map(|(index, layer)| {
            let mut values = vec![layer.attention];
            values.extend(has_cross.then(|| layer.cross.unwrap_or(f64::NAN)));
            values.push(layer.mlp);
            (index.to_string(), values)
        });
        (columns, rows.collect())
    }

    fn by_head(&self) -> Table {
        let (heads, rest) = (&self.heads, &self.attention_bias);
        let n = heads.iter().map(Vec::len).max().unwrap_or(0);
        let has_cross = self.layers.iter().any(|layer| layer.cross.is_some());
        let has_rest = rest.iter().any(|value| *value != 0.0);
        let mut columns: Vec<String> = (0..n).map(|head| format!("head {head}")).collect();
        columns.extend(has_rest.then(|| "bias".to_owned()));
        columns.extend(has_cross.then(|| "cross-attention".to_owned()));
        columns.push("MLP".to_owned());
        let rows = self.layers.iter().zip(heads).zip(rest).enumerate();
        let rows = rows.map(|(index, ((layer, heads), rest))| {
            let mut values = heads.clone();
            values.resize(n, f64::NAN);
            values.extend(has_rest.then_some(*rest));
            values.extend(has_cross.then(|| layer.cross.unwrap_or(f64::NAN)));
            values.push(layer.mlp);
            (index.to_string(), values)
        });
        (columns, rows.collect())
    }

    fn what(&self) -> String {
        let target = visible::label(&self.target);
        match &self.contrast {
            Some(contrast) => format!("logit of {target} less that of {}", visible::label(contrast)),
            None => format!("logit of {target}"),
        }
    }

    /// `12.34 = embedding 1.2 + layers 10.5 + biases 0.64`
    fn balance(&self) -> [(&'static str, f64); 4] {
        let of_layer = |layer: &LayerParts| layer.attention + layer.cross.unwrap_or(0.0) + layer.mlp;
        [
            ("logit", self.logit),
            ("embedding", self.embedding),
            ("layers", self.layers.iter().map(of_layer).sum()),
            ("biases", self.bias),
        ]
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.capped {
            notes.push("the model caps its logits; these are the values before that".to_owned());
        }
        if !self.logit.is_finite() || !self.sum.is_finite() {
            notes.push("some parts are no finite numbers".to_owned());
        }
        notes
    }

    fn about(&self) -> String {
        match self.by {
            PartsBy::Layer => "what attention and MLP of each layer wrote".to_owned(),
            PartsBy::Head => "what each head wrote".to_owned(),
            PartsBy::Neuron => format!(
                "the {} neurons of {} that wrote most",
                self.neurons.len(),
                numbers::count(self.n_neurons as u64)
            ),
        }
    }

    fn head(&self) -> Markup {
        let [logit, parts @ ..] = self.balance();
        html! {
            div class="head" {
                b { "Direct logit attribution" } " " span { (self.about()) } " "
                span class="blank" { (grid::blank(&self.before)) } " "
                span { "logit of " (visible::label_html(&self.target))
                    @if let Some(contrast) = &self.contrast { " less that of " (visible::label_html(contrast)) }
                    " at position " (self.position)
                }
                @let peak = signed(self.peak(&self.table().1));
                (legend(&peak.replace('+', "−"), &peak))
            }
            @for text in self.notes() { (note(&text)) }
            p class="balance" {
                b { (numbers::short(logit.1)) } " ="
                @for (index, (name, value)) in parts.iter().enumerate() {
                    @if index > 0 { " +" } " " (name) " " b { (numbers::short(*value)) }
                }
                " " small { "(the parts sum to it within " (format!("{:.0e}", (self.sum - self.logit).abs())) ")" }
            }
        }
    }
}

/// Names of columns, and rows by name.
type Table = (Vec<String>, Vec<(String, Vec<f64>)>);

fn by_neuron(top: &[Neuron]) -> Table {
    let row = |neuron: &Neuron| {
        let name = format!("{}.{}", neuron.layer, neuron.neuron);
        (name, vec![neuron.part, neuron.activation])
    };
    let columns = ["written", "activation"].map(str::to_owned).to_vec();
    (columns, top.iter().map(row).collect())
}

/// Three digits after the point at most, and a sign.
fn signed(value: f64) -> String {
    let text = match value.abs() {
        size if size >= 100.0 => format!("{value:+.0}"),
        size if size >= 10.0 => format!("{value:+.1}"),
        size if size >= 0.005 => format!("{value:+.2}"),
        _ => "0".to_owned(),
    };
    text.replace('-', "−")
}

impl Document for Parts {
    const TYPE: &'static str = "logit_attribution";
}

impl Explorable for Parts {
    fn text(&self) -> String {
        let [logit, parts @ ..] = self.balance();
        let parts: Vec<String> = parts
            .iter()
            .map(|(name, value)| format!("{name} {}", numbers::short(*value)))
            .collect();
        let mut text = format!(
            "direct logit attribution · {} at position {}\n{} = {}\n{}",
            self.what(),
            self.position,
            numbers::short(logit.1),
            parts.join(" + "),
            self.grid().text()
        );
        for note in self.notes() {
            text.push_str(&format!("\n⚠ {note}"));
        }
        text
    }

    fn svg(&self) -> Option<String> {
        self.grid().picture(
            "Direct logit attribution",
            &format!("{}: {}", self.what(), self.about()),
        )
    }

    fn html(&self) -> Option<String> {
        let by = match self.by {
            PartsBy::Neuron => "neurons",
            _ => "",
        };
        let content = html! {
            div class={ "ecco parts diverging " (by) } {
                (self.head())
                (self.grid().table())
                div class="readout" { "Orange parts raise the logit, blue ones lower it." }
            }
        };
        Some(COMPONENT.render(&content, self))
    }

    fn json(&self) -> Option<Value> {
        document::json(self)
    }

    fn alt_text(&self) -> Option<String> {
        Some(format!(
            "Direct logit attribution, {}: {}",
            self.what(),
            self.about()
        ))
    }
}
