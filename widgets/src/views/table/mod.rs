//! A table: rows of cells under the names of columns. Of a long one the script has only the rows in the page that are seen;
//! it sorts and searches all of them.

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use maud::{Markup, html};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Explorable;
use crate::kit::document::Document;
use crate::kit::page::{Component, note};
use crate::kit::{document, numbers, visible};

/// Named columns, and rows with a cell for each.
#[derive(Debug, Clone, PartialEq, Default, Serialize, JsonSchema)]
pub struct Table {
    /// The names of the columns, in order; of very many only the first.
    pub columns: Vec<String>,
    /// How many columns the table has.
    pub n_columns: usize,
    /// How many rows the table has.
    pub n_rows: usize,
    /// The rows, each with a cell for every column. Of a table with very many only the first: a file that it is saved to has
    /// all. Texts of more than 10,000 characters are cut.
    pub rows: Vec<Vec<TableCell>>,
}

/// What stands in a cell. Whole numbers beyond 2^53 are texts, and so is what is no finite number.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum TableCell {
    Truth(bool),
    Whole(i64),
    Number(f64),
    Text(String),
    Nothing(()),
}

const COMPONENT: Component = Component {
    tag: "ecco-table",
    view: "table-1",
    css: include_str!("view.css"),
    js: include_str!("view.js"),
};
/// Rows of a page without its script.
const MOST_STILL: usize = 200;
/// Rows, columns and characters of a cell in a console.
const MOST_IN_CONSOLE: usize = 20;
const MOST_COLUMNS_IN_CONSOLE: usize = 12;
const LONGEST_IN_CONSOLE: usize = 30;
/// 2^53: a browser's numbers hold whole ones up to here.
const LARGEST_WHOLE: f64 = 9_007_199_254_740_992.0;
/// Characters of a cell in a page; the one that is looked at is said whole.
const LONGEST: usize = 300;
/// Rows whose cells say how wide a column is, and how wide it can be, in characters.
const SAMPLE: usize = 200;
const WIDTHS: (usize, usize) = (5, 48);

impl TableCell {
    fn is_number(&self) -> bool {
        matches!(self, Self::Whole(_) | Self::Number(_))
    }

    /// As it stands in a page. The script's `shown` writes the same.
    pub(crate) fn text(&self) -> Cow<'_, str> {
        match self {
            Self::Truth(truth) => Cow::Borrowed(if *truth { "true" } else { "false" }),
            Self::Whole(whole) => Cow::Owned(whole.to_string()),
            // A browser does not tell it from a whole number.
            Self::Number(number) if number.fract() == 0.0 && number.abs() <= LARGEST_WHOLE => {
                Cow::Owned(format!("{:.0}", number + 0.0))
            }
            Self::Number(number) => Cow::Owned(numbers::short(*number)),
            Self::Text(text) => Cow::Owned(visible::cut(&visible::plain(text, false), LONGEST)),
            Self::Nothing(()) => Cow::Borrowed(""),
        }
    }
}

impl Table {
    /// The widths of the columns in characters.
    fn widths(&self) -> Vec<usize> {
        let width = |(at, name): (usize, &String)| {
            let cells = self.rows.iter().take(SAMPLE).filter_map(|row| row.get(at));
            let cells = cells.map(|cell| cell.text().chars().count());
            let widest = cells.max().unwrap_or(0).max(name.chars().count() + 2);
            widest.clamp(WIDTHS.0, WIDTHS.1)
        };
        self.columns.iter().enumerate().map(width).collect()
    }

    fn figures(&self) -> String {
        format!(
            "{} rows, {} columns",
            numbers::count(self.n_rows as u64),
            numbers::count(self.n_columns as u64)
        )
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.rows.is_empty() {
            notes.push("no rows to show".to_owned());
        }
        if self.rows.len() < self.n_rows {
            notes.push(format!(
                "the first {} of {} rows are here; a file that the table is saved to has all",
                numbers::count(self.rows.len() as u64),
                numbers::count(self.n_rows as u64)
            ));
        }
        if self.columns.len() < self.n_columns {
            notes.push(format!(
                "the first {} of {} columns are here; `select` chooses others",
                self.columns.len(),
                numbers::count(self.n_columns as u64)
            ));
        }
        notes
    }

    /// The script takes the last note away: it shows what is left out here.
    fn content(&self) -> Markup {
        html! {
            div class="ecco table" {
                div class="head" { b { "Table" } " " span class="figures" { (self.figures()) } }
                @for text in self.notes() { (note(&text)) }
                @if self.rows.len() > MOST_STILL {
                    div class="still" { (note(&format!("without its script the page shows the first {MOST_STILL} rows"))) }
                }
                (self.still())
                div class="readout" { "Click a cell, or walk to it with the arrow keys, for all that stands in it." }
            }
        }
    }

    fn still(&self) -> Markup {
        let digits = self.rows.len().to_string().len().max(3);
        html! {
            div class="scroll" {
                table {
                    colgroup {
                        col style=(format!("width:{}ch", digits + 3));
                        @for width in self.widths() { col style=(format!("width:{}ch", width + 3)); }
                    }
                    thead {
                        tr {
                            th scope="col" { "row" }
                            @for name in &self.columns { th scope="col" { bdi { (visible::plain(name, false)) } } }
                        }
                    }
                    tbody {
                        @for (at, row) in self.rows.iter().enumerate().take(MOST_STILL) {
                            tr {
                                th scope="row" { (at) }
                                @for cell in row { td class=[cell.is_number().then_some("n")] { bdi { (cell.text()) } } }
                            }
                        }
                    }
                }
            }
        }
    }
}

impl Document for Table {
    const TYPE: &'static str = "table";
    /// Cells are values of somebody's, not pixels.
    const IS_EXACT: bool = true;
}

impl Explorable for Table {
    fn text(&self) -> String {
        let cut = |text: &str| visible::cut(text, LONGEST_IN_CONSOLE);
        let n = MOST_COLUMNS_IN_CONSOLE;
        let names = self
            .columns
            .iter()
            .take(n)
            .map(|name| cut(&visible::plain(name, false)));
        let mut lines = vec![[String::new()].into_iter().chain(names).collect::<Vec<_>>()];
        for (at, row) in self.rows.iter().enumerate().take(MOST_IN_CONSOLE) {
            let cells = row.iter().take(n).map(|cell| cut(&cell.text()));
            lines.push([at.to_string()].into_iter().chain(cells).collect());
        }
        let mut text = format!("table of {}\n{}", self.figures(), aligned(&lines));
        let (n_rows, n_columns) = (self.rows.len().min(MOST_IN_CONSOLE), self.columns.len().min(n));
        for (left, of) in [
            (self.n_rows - n_rows, "rows"),
            (self.n_columns - n_columns, "columns"),
        ] {
            if left > 0 {
                text.push_str(&format!("\n… {} more {of}", numbers::count(left as u64)));
            }
        }
        text
    }

    fn html(&self) -> Option<String> {
        Some(COMPONENT.render(&self.content(), self))
    }

    fn json(&self) -> Option<Value> {
        document::json(self)
    }
}

/// Lines of cells with the cells of each column below each other.
pub(crate) fn aligned(lines: &[Vec<String>]) -> String {
    let width = |at: usize| {
        let cells = lines.iter().filter_map(|line| line.get(at));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let n_columns = lines.first().map_or(0, Vec::len);
    let widths: Vec<usize> = (0..n_columns).map(width).collect();
    let padded = |(cell, width): (&String, &usize)| {
        format!("{cell}{}", " ".repeat(width.saturating_sub(cell.chars().count())))
    };
    let lines = lines.iter().map(|line| {
        let cells: Vec<String> = line.iter().zip(&widths).map(padded).collect();
        cells.join("  ").trim_end().to_owned()
    });
    lines.collect::<Vec<_>>().join("\n")
}
