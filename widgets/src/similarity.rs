//! How alike layers (or factors) are to others: a heat map with the numbers in its cells.

use maud::{Markup, html};
use serde_json::{Value, json};

use crate::page::{Component, note};
use crate::{Explorable, MimeBundle, colour, numbers, visible};

#[derive(Debug, Clone, PartialEq)]
pub struct SimilarityGrid {
    /// `Similarity of layers`
    pub title: String,
    /// The method.
    pub about: String,
    /// What a row is, and the rows' names.
    pub rows: (String, Vec<String>),
    pub columns: (String, Vec<String>),
    /// `values[row][column]`, usually in 0..=1.
    pub values: Vec<Vec<f32>>,
    pub notes: Vec<String>,
}

const COMPONENT: Component = Component {
    tag: "ecco-similarity",
    view: "similarity-1",
    css: include_str!("similarity.css"),
    js: include_str!("similarity.js"),
};

/// Two digits after the point.
fn digits(value: f32) -> String {
    match value.is_finite() {
        true => format!("{value:.2}"),
        false => "–".to_owned(),
    }
}

impl SimilarityGrid {
    fn value(&self, row: usize, column: usize) -> f32 {
        let value = self.values.get(row).and_then(|row| row.get(column));
        value.copied().unwrap_or(f32::NAN)
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = self.notes.clone();
        if self.rows.1.is_empty() || self.columns.1.is_empty() {
            notes.push("nothing to compare".to_owned());
        }
        notes
    }

    /// Both kinds of names: `factor ↓ seed →`.
    fn corner(&self) -> String {
        let plain = |name: &str| visible::plain(name, false);
        format!("{} ↓ {} →", plain(&self.rows.0), plain(&self.columns.0))
    }

    fn content(&self) -> Markup {
        html! {
            div class="ecco similarity" {
                div class="head" {
                    b { (visible::plain(&self.title, false)) } " "
                    span { (visible::plain(&self.about, false)) } " "
                    span class="legend" { "0 " i {} " 1" }
                }
                @for text in self.notes() { (note(&visible::plain(&text, false))) }
                div class="wide" {
                    table {
                        thead {
                            tr {
                                th class="corner" { (self.corner()) }
                                @for name in &self.columns.1 { th scope="col" { (visible::plain(name, false)) } }
                            }
                        }
                        tbody {
                            @for (row, name) in self.rows.1.iter().enumerate() {
                                tr {
                                    th scope="row" { (visible::plain(name, false)) }
                                    @for column in 0..self.columns.1.len() {
                                        @let value = self.value(row, column);
                                        td style=[style(value)] { (digits(value)) }
                                    }
                                }
                            }
                        }
                    }
                }
                div class="readout" { (self.range_text()) }
            }
        }
    }

    fn range_text(&self) -> String {
        let all = || {
            self.values
                .iter()
                .flatten()
                .copied()
                .filter(|value| value.is_finite())
        };
        match all().next() {
            Some(_) => {
                let (least, most) = (
                    all().fold(f32::INFINITY, f32::min),
                    all().fold(f32::NEG_INFINITY, f32::max),
                );
                format!(
                    "From {} to {}.",
                    numbers::short(least.into()),
                    numbers::short(most.into())
                )
            }
            None => "No numbers.".to_owned(),
        }
    }

    fn data(&self) -> Value {
        let row = |row: usize| {
            (0..self.columns.1.len())
                .map(|column| numbers::rounded(self.value(row, column)))
                .collect::<Value>()
        };
        json!({
            "title": self.title,
            "about": self.about,
            "rows": self.rows,
            "columns": self.columns,
            "values": (0..self.rows.1.len()).map(row).collect::<Value>(),
        })
    }
}

/// What is negative has the colour of 0.
fn style(value: f32) -> Option<String> {
    let s = (value.clamp(0.0, 1.0) * 1000.0).round() / 1000.0;
    let (ground, ink) = (colour::hex(colour::scale(s)), colour::text_on_scale(s));
    (s > 0.0).then(|| format!("--s:{s};background-color:{ground};color:{ink}"))
}

impl Explorable for SimilarityGrid {
    /// A table.
    fn text(&self) -> String {
        let names = self
            .rows
            .1
            .iter()
            .map(|name| visible::plain(name, false))
            .collect::<Vec<_>>();
        let widest = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
        let mut text = format!("{}: {} ({})", self.title, self.about, self.corner());
        let columns = self
            .columns
            .1
            .iter()
            .map(|name| format!("{:>6}", visible::cut(&visible::plain(name, false), 6)));
        text.push_str(&format!("\n{:widest$}{}", "", columns.collect::<String>()));
        for (row, name) in names.iter().enumerate() {
            let values =
                (0..self.columns.1.len()).map(|column| format!("{:>6}", digits(self.value(row, column))));
            text.push_str(&format!("\n{name:>widest$}{}", values.collect::<String>()));
        }
        for note in self.notes() {
            text.push_str(&format!("\n⚠ {note}"));
        }
        text
    }

    fn svg(&self) -> Option<String> {
        picture(self)
    }

    fn html(&self) -> Option<String> {
        Some(COMPONENT.render(&self.content(), &self.data()))
    }

    fn json(&self) -> Option<Value> {
        Some(self.data())
    }

    fn bundle(&self) -> MimeBundle {
        crate::bundle::assemble(self).with_alt_text(&format!(
            "{}, {}: a heat map of {} by {}. {}",
            self.title,
            self.about,
            self.rows.1.len(),
            self.columns.1.len(),
            self.range_text()
        ))
    }
}

const CELL: usize = 38;
const ROW: usize = 24;

fn picture(grid: &SimilarityGrid) -> Option<String> {
    let (n_rows, n_columns) = (grid.rows.1.len(), grid.columns.1.len());
    if n_rows == 0 || n_columns == 0 {
        return None;
    }
    let (left, top) = (84, 62);
    let (width, height) = (left + n_columns * CELL + 12, top + n_rows * ROW + 12);
    let name = |name: &str| visible::cut(&visible::plain(name, false), 9);
    let svg = html! {
        svg xmlns="http://www.w3.org/2000/svg" width=(width.max(320)) height=(height) viewBox={ "0 0 " (width.max(320)) " " (height) }
            role="img" font-family="system-ui,-apple-system,Segoe UI,sans-serif" font-size="11" fill="#1f2328" {
            title { (visible::plain(&grid.title, false)) }
            desc { (visible::plain(&grid.about, false)) "; " (grid.corner()) }
            rect width=(width.max(320)) height=(height) fill="#fff" {}
            text x="12" y="20" font-size="12" font-weight="600" { (visible::plain(&grid.title, false)) }
            text x="12" y="36" fill="#656d76" { (visible::plain(&grid.about, false)) ": " (grid.corner()) }
            @for (column, label) in grid.columns.1.iter().enumerate() {
                text x=(left + column * CELL + CELL / 2) y=(top - 6) text-anchor="middle" { (name(label)) }
            }
            @for (row, label) in grid.rows.1.iter().enumerate() {
                text x=(left - 8) y=(top + row * ROW + 16) text-anchor="end" { (name(label)) }
                @for column in 0..n_columns { (cell(grid.value(row, column), left + column * CELL, top + row * ROW)) }
            }
        }
    };
    Some(svg.into_string())
}

fn cell(value: f32, x: usize, y: usize) -> Markup {
    let s = if value.is_finite() {
        value.clamp(0.0, 1.0)
    } else {
        0.0
    };
    html! {
        rect x=(x) y=(y) width=(CELL - 1) height=(ROW - 1) fill=(colour::hex(colour::scale(s))) stroke="#d0d7de" stroke-width=".5" {}
        text x=(x + CELL / 2) y=(y + 16) text-anchor="middle" fill=(colour::text_on_scale(s)) { (digits(value)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid() -> SimilarityGrid {
        let names = |n: usize| (0..n).map(|i| i.to_string()).collect();
        SimilarityGrid {
            title: "Similarity of layers".to_owned(),
            about: "unbiased CKA".to_owned(),
            rows: ("layer of <b>".to_owned(), names(2)),
            columns: ("layer".to_owned(), names(3)),
            values: vec![vec![1.0, 0.5, -0.02], vec![0.25, f32::NAN]],
            notes: vec![],
        }
    }

    #[test]
    fn a_table_everywhere() {
        let expected = "Similarity of layers: unbiased CKA (layer of <b> ↓ layer →)\n \
                        \u{20}    0     1     2\n\
                        0  1.00  0.50 -0.02\n\
                        1  0.25     –     –";
        assert_eq!(grid().text(), expected);
        let html = grid().html().unwrap();
        assert!(
            html.contains("layer of &lt;b&gt;") && !html.contains("layer of <b>"),
            "{html}"
        );
        assert!(
            html.contains("<td style=\"--s:1;background-color:#440154;color:#fff\">1.00</td>"),
            "{html}"
        );
        assert!(html.contains("<td>-0.02</td>") && html.contains("<td>–</td>"));
        let svg = grid().svg().unwrap();
        assert_eq!(svg.matches("<rect").count(), 1 + 6);
        assert_eq!(grid().json().unwrap()["values"][1], json!([0.25, null, null]));
        assert!(
            COMPONENT
                .js
                .contains("define(\"ecco-similarity\", \"similarity-1\"")
        );
    }

    #[test]
    fn nothing_does_not_panic() {
        let none = SimilarityGrid {
            rows: (String::new(), vec![]),
            values: vec![],
            ..grid()
        };
        assert!(none.svg().is_none() && none.html().unwrap().contains("nothing to compare"));
        assert!(none.bundle().data.contains_key("text/plain"));
    }
}
