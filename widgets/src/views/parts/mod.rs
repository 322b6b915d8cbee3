//! What each part of a model wrote to a token's logit (direct logit attribution): by layer, by head, or by neuron.

#[cfg(test)]
mod tests;

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
use crate::kit::{document, names, numbers, visible};

/// What each part of a model wrote to a token's logit (direct logit attribution).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Parts {
    /// The model's name, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// What is read before the place.
    #[serde(default)]
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PartsBy {
    Layer,
    Head,
    Neuron,
}

/// A neuron of an MLP, and what it wrote to the logit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
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
    view: "parts-3",
    css: concat!(include_str!("../../kit/grid.css"), include_str!("view.css")),
    js: concat!(include_str!("../../kit/grid.js"), include_str!("view.js")),
};

impl Parts {
    fn grid(&self) -> Grid {
        let (columns, rows) = self.table();
        let so_far = self.so_far();
        let [heads, mlp] = self.peaks(&columns, &rows);
        let peaks: Vec<f64> = columns
            .iter()
            .map(|name| if name == MLP { mlp } else { heads })
            .collect();
        let cell = |(at, value): (usize, &f64)| match columns[at].as_str() {
            _ if !value.is_finite() => Cell::text("", 0.0),
            ACTIVATION => Cell::text(numbers::short(*value), 0.0),
            SO_FAR => sum_cell(*value, &so_far),
            _ if value.abs() < peaks[at] * 0.01 => Cell::text("", 0.0),
            _ => Cell::text(signed(*value), (value / peaks[at].max(f64::MIN_POSITIVE)) as f32),
        };
        Grid {
            corner: if self.by == PartsBy::Neuron {
                "neuron"
            } else {
                "layer"
            },
            columns: columns.iter().map(Heading::text).collect(),
            cells: rows
                .iter()
                .map(|(_, values)| values.iter().enumerate().map(cell).collect())
                .collect(),
            rows: rows.into_iter().map(|(name, _)| Heading::text(name)).collect(),
            scale: Scale::Diverging,
        }
    }

    fn table(&self) -> Table {
        let (mut columns, mut rows) = match self.by {
            PartsBy::Layer => self.by_layer(),
            PartsBy::Head => self.by_head(),
            PartsBy::Neuron => return by_neuron(&self.neurons),
        };
        columns.push(SO_FAR.to_owned());
        for ((_, values), sum) in rows.iter_mut().zip(self.so_far()) {
            values.push(sum);
        }
        (columns, rows)
    }

    /// The logit after each layer: what all before it and it have written, and the biases.
    fn so_far(&self) -> Vec<f64> {
        let mut sum = self.embedding + self.bias;
        let after = |layer: &LayerParts| {
            sum += layer.attention + layer.cross.unwrap_or(0.0) + layer.mlp;
            sum
        };
        self.layers.iter().map(after).collect()
    }

    /// The largest sizes: of heads and what stands beside them, and of MLPs. By head the two have scales of their own: one MLP
    /// may write more than all heads, which would be grey then.
    fn peaks(&self, columns: &[String], rows: &[(String, Vec<f64>)]) -> [f64; 2] {
        let peak = |is_in: &dyn Fn(&str) -> bool| {
            let cells = rows.iter().flat_map(|(_, values)| columns.iter().zip(values));
            let sizes = cells.filter(|(name, value)| value.is_finite() && is_in(name));
            sizes.fold(0.0f64, |peak, (_, value)| peak.max(value.abs()))
        };
        let is_part = |name: &str| name != SO_FAR && name != ACTIVATION;
        match self.by {
            PartsBy::Head => [
                peak(&|name| is_part(name) && name != MLP),
                peak(&|name| name == MLP),
            ],
            _ => [peak(&is_part); 2],
        }
    }

    fn legend(&self) -> Markup {
        let (columns, rows) = self.table();
        let [heads, mlp] = self.peaks(&columns, &rows);
        let ends = |sign: char| {
            let end = |peak: f64| signed(peak).replace('+', &sign.to_string());
            match self.by {
                PartsBy::Head => format!("heads {}, {MLP} {}", end(heads), end(mlp)),
                _ => end(heads),
            }
        };
        legend(&ends('−'), &ends('+'))
    }

    fn by_layer(&self) -> Table {
        let has_cross = self.layers.iter().any(|layer| layer.cross.is_some());
        let mut columns = vec!["attention".to_owned()];
        columns.extend(has_cross.then(|| "cross-attention".to_owned()));
        columns.push(MLP.to_owned());
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
        columns.push(MLP.to_owned());
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
                (self.legend())
            }
            @for text in self.notes() { (note(&text)) }
            p class="balance" {
                b { (numbers::short(logit.1)) } " ="
                @for (index, (name, value)) in parts.iter().enumerate() {
                    @if index > 0 { " +" } " " (name) " " b { (numbers::short(*value)) }
                }
                " " small { "(the parts sum to it within " (format!("{:.0e}", (self.sum - as_written(self.logit)).abs())) ")" }
            }
        }
    }
}

/// A number as a document has it and a loaded one is: of single precision its shortest decimals, whatever it was made of.
fn as_written(number: f64) -> f64 {
    let single = number as f32;
    match f64::from(single) == number {
        true => single.to_string().parse().unwrap_or(number),
        false => number,
    }
}

const MLP: &str = "MLP";
const ACTIVATION: &str = "activation";
const SO_FAR: &str = "logit so far";

/// A number of `all`, with a bar from the least of them.
fn sum_cell(value: f64, all: &[f64]) -> Cell {
    let finite = || all.iter().copied().filter(|value| value.is_finite());
    let least = finite().fold(0.0, f64::min);
    let most = finite().fold(0.0, f64::max);
    let width = numbers::width((value - least) / (most - least).max(f64::MIN_POSITIVE));
    let text = numbers::short((value * 100.0).round() / 100.0);
    Cell {
        markup: html! { i class="bar" style=(width) {} " " (text) },
        ..Cell::text(text.clone(), 0.0)
    }
}

/// Names of columns, and rows by name.
type Table = (Vec<String>, Vec<(String, Vec<f64>)>);

fn by_neuron(top: &[Neuron]) -> Table {
    let row = |neuron: &Neuron| {
        let name = names::neuron(Some(neuron.layer), neuron.neuron);
        (name, vec![neuron.part, neuron.activation])
    };
    let columns = ["written", ACTIVATION].map(str::to_owned).to_vec();
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
