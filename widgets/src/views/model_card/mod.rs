//! A model at a glance, and the models that are resident.

mod sites;

use maud::html;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::Explorable;
use crate::kit::document::Document;
use crate::kit::page::{self, Component};
use crate::kit::{document, numbers, visible};

pub use sites::ModelSite;

/// What a loaded model is and where it sits.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct ModelCard {
    /// As it was loaded: a folder's or the hub's.
    pub name: String,
    /// `model_type` of its `config.json`: "gpt2".
    pub model_type: String,
    /// Blocks of the main stack.
    pub n_layers: usize,
    /// Numbers in the stream at each position.
    pub hidden_size: usize,
    /// Heads of attention in each layer.
    pub n_heads: usize,
    /// Tokens that it knows.
    pub vocab_size: usize,
    /// In tokens.
    pub context_length: usize,
    /// Numbers that were learned.
    pub n_parameters: u64,
    /// "cpu", "cuda:0".
    pub device: String,
    /// "float32".
    pub dtype: String,
    /// Bytes of its weights.
    pub memory_bytes: u64,
    /// What multiplies with its weights on a processor: "own (few rows), oneDNN (many rows)". It is measured once a process, so of
    /// one model it may differ from machine to machine, and stands in no text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub products: Option<String>,
    /// What is changed in its passes, a line each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub interventions: Vec<String>,
    /// Places inside that are read and changed, in the order in which a pass comes by them. Missing where the model is one of a list.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sites: Vec<ModelSite>,
}

impl ModelCard {
    /// `demo · gpt2 · 2,245,120 parameters · float32 · cpu`
    pub fn in_a_line(&self) -> String {
        let plain = |text: &str| visible::plain(text, false);
        format!(
            "{} · {} · {} parameters · {} · {}",
            plain(&self.name),
            plain(&self.model_type),
            numbers::count(self.n_parameters),
            plain(&self.dtype),
            plain(&self.device)
        )
    }

    fn facts(&self) -> [(&'static str, String); 9] {
        let count = |n: usize| numbers::count(n as u64);
        [
            ("layers", count(self.n_layers)),
            ("hidden size", count(self.hidden_size)),
            ("heads", count(self.n_heads)),
            ("vocabulary", count(self.vocab_size)),
            ("context", format!("{} tokens", count(self.context_length))),
            ("parameters", numbers::count(self.n_parameters)),
            ("device", visible::plain(&self.device, false)),
            ("dtype", visible::plain(&self.dtype, false)),
            ("memory", numbers::bytes(self.memory_bytes)),
        ]
    }
}

impl Document for ModelCard {
    const TYPE: &'static str = "model";
}

impl Explorable for ModelCard {
    fn text(&self) -> String {
        let facts = self
            .facts()
            .map(|(name, value)| format!("\n  {name:<12}{value}"))
            .concat();
        let interventions = self.interventions.iter();
        let interventions: Vec<String> = interventions
            .map(|line| format!("\n  {}", visible::plain(line, false)))
            .collect();
        let changed = match interventions.is_empty() {
            true => String::new(),
            false => format!("\nunder interventions:{}", interventions.concat()),
        };
        format!(
            "{} ({}){facts}{changed}",
            visible::plain(&self.name, false),
            visible::plain(&self.model_type, false)
        )
    }

    fn html(&self) -> Option<String> {
        let content = html! {
            div class="ecco card" {
                div class="head" {
                    b { (visible::plain(&self.name, false)) }
                    " "
                    span { (visible::plain(&self.model_type, false)) }
                }
                dl {
                    @for (name, value) in self.facts() { div { dt { (name) } dd { (value) } } }
                    @if let Some(products) = &self.products {
                        div { dt { "products" } dd { (visible::plain(products, false)) } }
                    }
                    @if !self.interventions.is_empty() {
                        div class="row" {
                            dt { "interventions" }
                            @for line in &self.interventions { dd { (visible::plain(line, false)) } }
                        }
                    }
                }
                (sites::diagram(&self.sites))
            }
        };
        Some(page::still(include_str!("../../kit/card.css"), &content))
    }

    fn json(&self) -> Option<Value> {
        document::json(self)
    }
}

/// The models that are resident, in the order they were loaded.
#[derive(Debug, Clone, Default, PartialEq, Serialize, JsonSchema)]
pub struct ResidentModels {
    /// In the order they were loaded.
    pub models: Vec<ModelCard>,
}

const COMPONENT: Component = Component {
    tag: "ecco-models",
    view: "models-1",
    css: concat!(include_str!("../../kit/card.css"), include_str!("models.css")),
    js: include_str!("models.js"),
};

const COLUMNS: [&str; 6] = ["model", "type", "parameters", "device", "dtype", "memory"];

impl ResidentModels {
    fn rows(&self) -> impl Iterator<Item = [String; 6]> + '_ {
        self.models.iter().map(|model| {
            [
                visible::plain(&model.name, false),
                visible::plain(&model.model_type, false),
                numbers::count(model.n_parameters),
                visible::plain(&model.device, false),
                visible::plain(&model.dtype, false),
                numbers::bytes(model.memory_bytes),
            ]
        })
    }

    fn bytes(&self) -> u64 {
        let all = self.models.iter().map(|model| model.memory_bytes);
        all.fold(0, u64::saturating_add)
    }

    /// Of the memory that all take.
    fn share(&self, model: &ModelCard) -> f64 {
        model.memory_bytes as f64 / self.bytes().max(1) as f64
    }

    fn total(&self) -> String {
        let bytes = self.bytes();
        let plural = if self.models.len() == 1 { "" } else { "s" };
        format!("{} model{plural}, {}", self.models.len(), numbers::bytes(bytes))
    }
}

impl Document for ResidentModels {
    const TYPE: &'static str = "models";
}

impl Explorable for ResidentModels {
    fn text(&self) -> String {
        if self.models.is_empty() {
            return "no model is resident".to_owned();
        }
        let rows: Vec<[String; 6]> = std::iter::once(COLUMNS.map(str::to_owned))
            .chain(self.rows())
            .collect();
        let width = |column: usize| {
            rows.iter()
                .map(|row| row[column].chars().count())
                .max()
                .unwrap_or(0)
        };
        let line = |row: &[String; 6]| {
            let cells = (0..row.len()).map(|column| format!("{:<1$}", row[column], width(column)));
            cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        };
        let lines: Vec<String> = rows.iter().map(line).chain([self.total()]).collect();
        lines.join("\n")
    }

    fn html(&self) -> Option<String> {
        let content = html! {
            div class="ecco card" {
                div class="head" {
                    b { "Resident models" }
                    " "
                    span { @if self.models.is_empty() { "none" } @else { (self.total()) } }
                }
                @if !self.models.is_empty() {
                    div class="wide" {
                        table {
                            thead { tr { @for name in COLUMNS { th scope="col" { (name) } } td {} } }
                            tbody {
                                @for (row, model) in self.rows().zip(&self.models) {
                                    tr {
                                        @for cell in row { td { (cell) } }
                                        td class="track" { span style=(numbers::width(self.share(model))) {} }
                                    }
                                }
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

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn card(name: &str) -> ModelCard {
        ModelCard {
            name: name.into(),
            model_type: "gpt2".into(),
            n_layers: 6,
            hidden_size: 768,
            n_heads: 12,
            vocab_size: 50257,
            context_length: 1024,
            n_parameters: 81_912_576,
            device: "cuda:0".into(),
            dtype: "float32".into(),
            memory_bytes: 327_650_304,
            products: None,
            interventions: vec![],
            sites: vec![],
        }
    }

    #[test]
    fn a_card_in_a_console() {
        let text = card("distilgpt2").text();
        assert!(text.starts_with("distilgpt2 (gpt2)\n  layers      6\n"), "{text}");
        assert!(
            text.contains("  parameters  81,912,576\n") && text.ends_with("  memory      328 MB"),
            "{text}"
        );
    }

    #[test]
    fn a_table_in_a_console_is_aligned() {
        let models = ResidentModels {
            models: vec![card("demo"), card("distilgpt2")],
        };
        let text = models.text();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0].find("type"), lines[1].find("gpt2"));
        assert_eq!(lines[3], "2 models, 655 MB");
        assert_eq!(ResidentModels::default().text(), "no model is resident");
    }

    #[test]
    fn names_are_inert() {
        let models = ResidentModels {
            models: vec![card("<b>\u{1b}[2J")],
        };
        for html in [models.html().unwrap(), models.models[0].html().unwrap()] {
            assert!(html.contains("&lt;b&gt;\\x1b[2J"), "{html}");
        }
        assert!(!models.text().contains('\u{1b}') && !models.models[0].text().contains('\u{1b}'));
    }

    #[test]
    fn json_has_the_numbers() {
        let models = ResidentModels {
            models: vec![card("demo")],
        };
        assert_eq!(
            models.json().unwrap()["models"][0]["memory_bytes"],
            327_650_304u64
        );
    }

    #[test]
    fn sites_stand_as_a_pass_comes_by_them_with_the_call_that_reads_each() {
        let site = |name: &str, axes: &str| ModelSite {
            name: name.into(),
            axes: axes.into(),
        };
        let layered = "(layer 6, position, hidden 768)";
        let names = [
            "residual_before",
            "queries",
            "residual_mid",
            "mlp_pre",
            "mlp_inner",
        ];
        let mut sites: Vec<ModelSite> = names.iter().map(|name| site(name, layered)).collect();
        sites.push(site("final_norm", "(position, hidden 768)"));
        let html = ModelCard {
            sites,
            ..card("demo")
        }
        .html()
        .unwrap();
        let places = [
            "stream",
            "residual_before",
            "attention",
            "queries",
            "MLP",
            "mlp_inner",
            "end",
        ];
        let at: Vec<usize> = places
            .iter()
            .map(|word| html.find(&format!(">{word}<")).unwrap())
            .collect();
        assert!(at.is_sorted(), "{at:?}");
        assert_eq!(html.matches("class=\"beside\"").count(), 2, "{html}");
        assert!(
            html.contains("lm.run(&quot;…&quot;).at(&quot;queries&quot;, 0)"),
            "{html}"
        );
        assert!(html.contains(".at(&quot;final_norm&quot;)"), "{html}");
        assert!(!card("demo").html().unwrap().contains("class=\"sites\""));
    }
}
