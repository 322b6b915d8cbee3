//! A result for each of several texts: a row with its figures, which opens what the result shows of itself.

#[cfg(test)]
mod tests;

use std::collections::HashSet;

use maud::{Markup, PreEscaped, html};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Error, Value};

use crate::Explorable;
use crate::kit::document::Document;
use crate::kit::{document, numbers, page, reading, visible};
use crate::views::table::{Table, TableCell};

/// A row for each text, with its figures and the whole result.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Results {
    /// The model's name, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// What each result is: "saliency".
    pub about: String,
    /// The names of the figures, in order.
    pub columns: Vec<String>,
    /// By text, in the order in which they were given.
    pub rows: Vec<ResultRow>,
}

/// What was found of one text.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct ResultRow {
    /// The text itself.
    pub text: String,
    /// One for each column.
    pub figures: Vec<TableCell>,
    /// The document of the result itself; of very many texts only the first have theirs here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<Value>,
    /// What it looks like.
    #[serde(skip)]
    #[schemars(skip)]
    pub page: Option<String>,
}

/// Rows of a page; a file that the list is saved to has all.
const MOST_ROWS: usize = 2000;
/// Characters of a text in its row.
const LONGEST: usize = 160;
/// What the second view of a kind needs in its place.
const AGAIN: &str = "<script>for(const element of [...globalThis.eccoViews.waiting])globalThis.eccoViews.upgrade?.(element)</script>";

impl Results {
    fn table(&self) -> Table {
        let row = |row: &ResultRow| {
            let text = TableCell::Text(row.text.clone());
            [text].into_iter().chain(row.figures.iter().cloned()).collect()
        };
        let text = ["text".to_owned()];
        Table {
            columns: text.into_iter().chain(self.columns.iter().cloned()).collect(),
            n_columns: self.columns.len() + 1,
            n_rows: self.rows.len(),
            rows: self.rows.iter().map(row).collect(),
        }
    }

    fn head(&self) -> String {
        let n = self.rows.len();
        let texts = if n == 1 { "text" } else { "texts" };
        format!("{} of {} {texts}", self.about, numbers::count(n as u64))
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.rows.is_empty() {
            notes.push("no texts to show".to_owned());
        }
        let (n, n_pages) = (
            self.rows.len(),
            self.rows.iter().filter(|row| row.page.is_some()).count(),
        );
        if n > MOST_ROWS {
            let (most, all) = (numbers::count(MOST_ROWS as u64), numbers::count(n as u64));
            notes.push(format!(
                "the first {most} of {all} texts are here; `table` has all"
            ));
        }
        if n_pages < n.min(MOST_ROWS) {
            let which = match n_pages {
                0 => "none".to_owned(),
                n => format!("the first {n}"),
            };
            notes.push(format!(
                "{which} can be opened here; an index, as in `results[{n_pages}]`, gives any"
            ));
        }
        notes
    }

    fn content(&self) -> Markup {
        let mut known = HashSet::new();
        html! {
            div class="ecco results" {
                div class="head" {
                    b { (visible::plain(&self.head(), false)) }
                    @if let Some(model) = &self.model { " " span { (visible::plain(model, false)) } }
                }
                @for text in self.notes() { (page::note(&text)) }
                @for (at, row) in self.rows.iter().enumerate().take(MOST_ROWS) {
                    @match &row.page {
                        Some(page) => details {
                            summary { (self.line(at, row)) }
                            div class="whole" { (PreEscaped(once(page, &mut known))) }
                        },
                        None => div class="closed" { (self.line(at, row)) },
                    }
                }
            }
        }
    }

    fn line(&self, at: usize, row: &ResultRow) -> Markup {
        html! {
            span class="line" {
                small { (at) } " "
                bdi class="text" { (visible::cut(&visible::plain(&row.text, false), LONGEST)) } " "
                span class="figures" {
                    @for (name, cell) in self.columns.iter().zip(&row.figures) {
                        @let text = cell.text();
                        @if !text.is_empty() {
                            span { i { (visible::plain(name, false)) } " " bdi { (text) } } " "
                        }
                    }
                }
            }
        }
    }
}

/// The page of an interactive view whose script is on the page already needs no second copy.
fn once<'a>(page: &'a str, known: &mut HashSet<&'a str>) -> String {
    let view = page
        .split_once("data-view=\"")
        .and_then(|(_, rest)| rest.split('"').next());
    let (Some(view), Some(at)) = (view, page.rfind(page::SCRIPT)) else {
        return page.to_owned();
    };
    let end = page[at..]
        .find("</script>")
        .map(|end| at + end + "</script>".len());
    match (known.insert(view), end) {
        (false, Some(end)) => [&page[..at], AGAIN, &page[end..]].concat(),
        _ => page.to_owned(),
    }
}

/// That of a document: the pages of its results are made anew.
pub(crate) fn read(document: &Value) -> Result<Results, Error> {
    let mut results: Results = reading::read(document)?;
    for row in &mut results.rows {
        let nested = row
            .result
            .as_ref()
            .filter(|result| result["type"] != Results::TYPE);
        row.page = match nested.map(crate::view_of).transpose()? {
            Some(Some(view)) => view.html(),
            _ => None,
        };
    }
    Ok(results)
}

impl Document for Results {
    const TYPE: &'static str = "results";
    /// The documents in it are rounded by themselves, where they are.
    const IS_EXACT: bool = true;
}

impl Explorable for Results {
    fn text(&self) -> String {
        let table = self.table().text();
        let rows = table.split_once('\n').map_or("", |(_, rows)| rows);
        format!("{}\n{rows}", visible::plain(&self.head(), false))
    }

    fn html(&self) -> Option<String> {
        Some(page::still(include_str!("view.css"), &self.content()))
    }

    fn json(&self) -> Option<Value> {
        document::json(self)
    }
}
