//! Two models, one tuned from the other: where their predictions part, and which layers bring it.

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
use crate::kit::page::{self, Component};
use crate::kit::{colour, document, numbers, visible};

const COMPONENT: Component = Component {
    tag: "ecco-model-diff",
    view: "model-diff-1",
    css: include_str!("view.css"),
    js: include_str!("view.js"),
};

/// What a tuned model does otherwise than the one it was tuned from. Divergences are Kullback–Leibler's, of the tuned model's
/// predictions from the others', in nats, means over all positions.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct ModelDiff {
    /// The name of the model that was tuned.
    pub base: String,
    /// What became of it.
    pub tuned: String,
    /// Of the base as it is.
    pub divergence: f64,
    /// By text.
    pub texts: Vec<DiffText>,
    /// Before the first layer and after each: the mean cosine of both models' states.
    pub cosine: Vec<f64>,
    /// The same places: linear centred kernel alignment (CKA) of both models' states; may be empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cka: Vec<f64>,
    /// What is left of the divergence with parts of the tuned model; missing where that was not asked for, and for models with
    /// an encoder beside a decoder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grafts: Option<GraftMap>,
    /// How far weights are apart; may be empty.
    pub weights: Vec<WeightChange>,
}

/// One text, and how far the predictions of its tokens are apart.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct DiffText {
    /// The text.
    pub tokens: Vec<Token>,
    /// By token, of the prediction in its place, one more for what follows; `null` where nothing is predicted.
    pub divergences: Vec<f32>,
    /// By token as the divergences: what the base finds most probable there, and the tuned model.
    pub predicted: Vec<Option<(Token, Token)>>,
    /// The first place where these are not the same; `null` where there is none.
    pub parted: Option<usize>,
}

/// What is left of the divergence when parts of the base are the tuned model's.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct GraftMap {
    /// By layer: with that layer of the tuned model.
    pub layer: Vec<f64>,
    /// By layer: with its attention.
    pub attention: Vec<f64>,
    /// By layer: with its MLP.
    pub mlp: Vec<f64>,
    /// By layer: with all layers up to that one.
    pub up_to: Vec<f64>,
    /// With what makes the first stream of tokens.
    pub embedding: f64,
    /// With the final norm and the head.
    pub head: f64,
}

/// A weight of both models.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WeightChange {
    /// What it is in every family: "layers.0.attention.query.weight".
    pub role: String,
    /// `null` where it is of no layer.
    pub layer: Option<usize>,
    /// The length of the difference relative to that of the base's weight (Frobenius norms).
    pub relative: f64,
    /// The length of the base's weight.
    pub norm: f64,
}

/// Texts of a page, and characters of a name.
const MOST_TEXTS: usize = 20;
const LONGEST: usize = 60;

impl ModelDiff {
    /// How much of the divergence goes with a graft that leaves so much: 1 is all.
    fn share(&self, left: f64) -> f64 {
        1.0 - left / self.divergence
    }

    /// Of the weights of a layer whose roles have one of these words, as of one that has them side by side.
    fn distance(&self, layer: usize, is_attention: bool) -> Option<f64> {
        let of = self.weights.iter().filter(|weight| {
            weight.layer == Some(layer)
                && weight
                    .role
                    .contains(if is_attention { "attention" } else { "mlp" })
        });
        let squares = of.map(|weight| ((weight.relative * weight.norm).powi(2), weight.norm.powi(2)));
        let (difference, base) = squares.reduce(|(a, b), (c, d)| (a + c, b + d))?;
        Some(if difference == 0.0 {
            0.0
        } else {
            (difference / base).sqrt()
        })
    }

    fn n_layers(&self) -> usize {
        self.cosine.len().saturating_sub(1)
    }

    fn figures(&self) -> Vec<String> {
        let n = self.texts.len();
        let n_parted = self.texts.iter().filter(|text| text.parted.is_some()).count();
        let texts = if n == 1 { "text" } else { "texts" };
        let mut figures = vec![format!("{} nats apart", numbers::short(self.divergence))];
        figures.push(format!("another token first in {n_parted} of {n} {texts}"));
        if let Some(grafts) = self.grafts.as_ref().filter(|_| self.divergence > 0.0) {
            let best = (0..grafts.layer.len()).min_by(|&a, &b| grafts.layer[a].total_cmp(&grafts.layer[b]));
            if let Some(best) = best {
                let share = numbers::share(self.share(grafts.layer[best]));
                figures.push(format!("layer {best} alone brings {share}"));
            }
        }
        figures
    }

    /// The names of the columns, and those of each row: what is not known is empty.
    fn rows(&self) -> (Vec<&'static str>, Vec<(String, Vec<Cell>)>) {
        let mut names = vec!["cosine"];
        names.extend((!self.cka.is_empty()).then_some("CKA"));
        let has_weights = self.weights.iter().any(|weight| weight.layer.is_some());
        if self.grafts.is_some() {
            names.extend(["layer", "attention", "MLP", "all up to it"]);
        }
        if has_weights {
            names.extend(["attention's weights", "MLP's weights"]);
        }
        let plain = |value: Option<f64>| Cell {
            value,
            is_share: false,
        };
        let alike = |depth: usize| {
            let mut cells = vec![plain(self.cosine.get(depth).copied())];
            if !self.cka.is_empty() {
                let cka = self.cka.get(depth).copied();
                cells.push(plain(cka.filter(|cka| cka.is_finite())));
            }
            cells
        };
        let row = |at: usize| {
            let mut cells = alike(at + 1);
            if let Some(grafts) = &self.grafts {
                let columns = [&grafts.layer, &grafts.attention, &grafts.mlp, &grafts.up_to];
                cells.extend(columns.map(|column| self.cell(column.get(at))));
            }
            if has_weights {
                cells.extend([plain(self.distance(at, true)), plain(self.distance(at, false))]);
            }
            (at.to_string(), cells)
        };
        let mut rows: Vec<(String, Vec<Cell>)> = (0..self.n_layers()).map(row).collect();
        let beside = |name: &str, mut cells: Vec<Cell>, left: f64| {
            cells.push(self.cell(Some(&left)));
            cells.resize(names.len(), plain(None));
            (name.to_owned(), cells)
        };
        if let Some(grafts) = &self.grafts {
            rows.insert(0, beside("embedding", alike(0), grafts.embedding));
            let none = vec![plain(None); alike(0).len()];
            rows.push(beside("head", none, grafts.head));
        }
        (names, rows)
    }

    fn cell(&self, left: Option<&f64>) -> Cell {
        Cell {
            value: left
                .filter(|_| self.divergence > 0.0)
                .map(|left| self.share(*left)),
            is_share: true,
        }
    }

    fn content(&self) -> Markup {
        let (base, tuned) = (self.name(&self.base), self.name(&self.tuned));
        html! {
            div class="ecco model-diff" {
                div class="head" {
                    b { "Models apart" } " "
                    span { (base) " → " (tuned) } " "
                    @for figure in self.figures() { span { (figure) } " " }
                    (legend("0", &format!("{} nats", numbers::short(self.peak().into()))))
                }
                @if self.texts.is_empty() { (page::note("no texts to show")) }
                @if self.texts.len() > MOST_TEXTS {
                    (page::note(&format!("the first {MOST_TEXTS} of {} texts are shown; the data has all", self.texts.len())))
                }
                @for text in self.texts.iter().take(MOST_TEXTS) {
                    div class="flow" { (flow(&text.tokens, 0, usize::MAX, |at| self.extra(text, at))) (self.behind(text)) }
                }
                (self.layers())
            }
        }
    }

    fn name(&self, name: &str) -> String {
        visible::cut(&visible::plain(name, false), LONGEST)
    }

    /// The largest divergence, where the scale of colours ends.
    fn peak(&self) -> f32 {
        let all = self.texts.iter().flat_map(|text| &text.divergences).copied();
        all.filter(|kl| kl.is_finite()).fold(0.0, f32::max)
    }

    fn extra(&self, text: &DiffText, at: usize) -> Extra {
        let kl = text.divergences.get(at).copied().filter(|kl| kl.is_finite());
        let Some(kl) = kl else {
            return Extra {
                is_unread: true,
                below: Some("–".to_owned()),
                ..Extra::default()
            };
        };
        let strength = (kl / self.peak().max(f32::MIN_POSITIVE)).clamp(0.0, 1.0);
        let (ground, ink) = (
            colour::hex(colour::scale(strength)),
            colour::text_on_scale(strength),
        );
        let s = (strength * 1000.0).round() / 1000.0;
        Extra {
            style: Some(format!("--s:{s};background-color:{ground};color:{ink}")),
            title: Some(self.said(text, at)),
            below: Some(numbers::nats(kl.into())),
            place: text.parted == Some(at),
            ..Extra::default()
        }
    }

    /// `0.31 nats; most probable: ·Paris, tuned ·Rome`
    fn said(&self, text: &DiffText, at: usize) -> String {
        let kl = f64::from(text.divergences.get(at).copied().unwrap_or(f32::NAN));
        let label = |token: &Token| visible::cut(&visible::label(token), 24);
        match text.predicted.get(at).and_then(Option::as_ref) {
            Some((base, tuned)) if base.id == tuned.id => {
                format!(
                    "{} nats; both find {} most probable",
                    numbers::nats(kl),
                    label(base)
                )
            }
            Some((base, tuned)) => {
                let (base, tuned) = (label(base), label(tuned));
                format!("{} nats; most probable: {base}, tuned {tuned}", numbers::nats(kl))
            }
            None => format!("{} nats", numbers::nats(kl)),
        }
    }

    /// What is predicted behind the text.
    fn behind(&self, text: &DiffText) -> Markup {
        let at = text.tokens.len();
        html! {
            @if text.divergences.len() > at { b class="behind" { "▸ " (self.said(text, at)) } }
        }
    }

    fn layers(&self) -> Markup {
        let (names, rows) = self.rows();
        html! {
            div class="scroll" tabindex="0" role="region" aria-label="By layer" {
                table {
                    thead { tr { th scope="col" { "layer" } @for name in &names { th scope="col" { (name) } } } }
                    tbody {
                        @for (name, cells) in &rows {
                            tr { th scope="row" { (name) } @for cell in cells { (cell.html()) } }
                        }
                    }
                }
            }
            @if self.grafts.is_some() {
                p class="about" {
                    "How much of the divergence goes when the base has that layer, its attention, its MLP, or all layers up to it \
                     from the tuned model: 100% is the tuned model's predictions."
                }
            }
        }
    }
}

/// A number of the table.
#[derive(Clone)]
struct Cell {
    value: Option<f64>,
    is_share: bool,
}

impl Cell {
    fn text(&self) -> String {
        match self.value {
            None => String::new(),
            Some(value) if self.is_share => numbers::share(value),
            Some(value) => numbers::short(value),
        }
    }

    fn html(&self) -> Markup {
        let width = self
            .value
            .filter(|_| self.is_share)
            .map(|value| value.clamp(0.0, 1.0) * 100.0);
        let style = width.map(|width| format!("--w:{width:.0}%"));
        html! { td class=[self.is_share.then_some("share")] style=[style] { (self.text()) } }
    }
}

impl Document for ModelDiff {
    const TYPE: &'static str = "model_diff";
}

impl Explorable for ModelDiff {
    fn text(&self) -> String {
        let (names, rows) = self.rows();
        let mut text = format!(
            "{} → {} · {}",
            self.name(&self.base),
            self.name(&self.tuned),
            self.figures().join(" · ")
        );
        for (at, of) in self.texts.iter().enumerate().take(MOST_TEXTS) {
            if let Some(parted) = of.parted {
                text.push_str(&format!(
                    "\ntext {at} parts at {parted}: {}",
                    self.said(of, parted)
                ));
            }
        }
        let first = ["layer".to_owned()]
            .into_iter()
            .chain(names.iter().map(|name| (*name).to_owned()));
        let mut lines: Vec<Vec<String>> = vec![first.collect()];
        lines.extend(rows.into_iter().map(|(name, cells)| {
            let cells = cells.iter().map(Cell::text);
            [name].into_iter().chain(cells).collect()
        }));
        format!("{text}\n{}", crate::views::table::aligned(&lines))
    }

    fn html(&self) -> Option<String> {
        Some(COMPONENT.render(&self.content(), self))
    }

    fn json(&self) -> Option<Value> {
        document::json(self)
    }
}
