//! Tables of coloured cells: layers down, tokens or heads across. What the views that look inside a model share.

use maud::{Markup, html};

use crate::kit::Token;
use crate::kit::colour;
use crate::kit::visible;

/// How strength becomes colour.
#[derive(Clone, Copy)]
pub(crate) enum Scale {
    Sequential,
    /// Two hues, by the sign.
    Diverging,
}

pub(crate) struct Grid {
    /// What the rows are: `layer`.
    pub corner: &'static str,
    pub columns: Vec<Heading>,
    pub rows: Vec<Heading>,
    pub cells: Vec<Vec<Cell>>,
    pub scale: Scale,
}

pub(crate) struct Heading {
    pub markup: Markup,
    pub text: String,
    /// A small number beside it: a position.
    pub index: Option<usize>,
}

#[derive(Clone)]
pub(crate) struct Cell {
    pub markup: Markup,
    pub text: String,
    /// In 0..=1; in −1..=1 on a diverging scale. What is no number has no colour.
    pub strength: f32,
}

impl Heading {
    pub(crate) fn text(text: impl Into<String>) -> Self {
        let text = text.into();
        Self {
            markup: html! { (text) },
            text,
            index: None,
        }
    }

    pub(crate) fn token(token: &Token, index: Option<usize>) -> Self {
        Self {
            markup: visible::label_html(token),
            text: visible::label(token),
            index,
        }
    }
}

impl Cell {
    pub(crate) fn text(text: impl Into<String>, strength: f32) -> Self {
        let text = text.into();
        Self {
            markup: html! { (text) },
            text,
            strength,
        }
    }

    pub(crate) fn token(token: &Token, strength: f32) -> Self {
        Self {
            markup: visible::label_html(token),
            text: visible::label(token),
            strength,
        }
    }
}

impl Scale {
    /// Ground and ink over a white page, and the custom property that the style sheet works with.
    fn style(self, strength: f32) -> Option<String> {
        let (ground, ink) = self.colours(strength)?;
        let s = (strength * 1000.0).round() / 1000.0;
        Some(format!(
            "--s:{s};background-color:{};color:{ink}",
            colour::hex(ground)
        ))
    }

    fn colours(self, strength: f32) -> Option<([u8; 3], &'static str)> {
        if !strength.is_finite() || strength.abs() < 0.004 {
            return None;
        }
        Some(match self {
            Self::Sequential => (colour::scale(strength), colour::text_on_scale(strength)),
            Self::Diverging => (colour::diverging(strength), colour::text_on_diverging(strength)),
        })
    }

    fn class(self) -> &'static str {
        match self {
            Self::Sequential => "grid",
            Self::Diverging => "grid diverging",
        }
    }
}

impl Grid {
    /// In a frame that scrolls as its cells are pointed at, with keys too.
    pub(crate) fn table(&self) -> Markup {
        html! { div class="scroll" { (self.cells()) } }
    }

    /// In one that scrolls by keys itself: no cell is reached by them.
    pub(crate) fn region(&self, label: &str) -> Markup {
        html! { div class="scroll" tabindex="0" role="region" aria-label=(label) { (self.cells()) } }
    }

    fn cells(&self) -> Markup {
        html! {
            table class=(self.scale.class()) {
                thead {
                    tr {
                        th { (self.corner) }
                        @for column in &self.columns { th scope="col" { (heading(column)) } }
                    }
                }
                tbody {
                    @for (row, cells) in self.rows.iter().zip(&self.cells) {
                        tr {
                            th scope="row" { (heading(row)) }
                            @for cell in cells { td style=[self.scale.style(cell.strength)] { (cell.markup) } }
                        }
                    }
                }
            }
        }
    }

    /// The same as SVG, with what it shows as `title` and `about`. Long tables are cut.
    pub(crate) fn picture(&self, title: &str, about: &str) -> Option<String> {
        let n_columns = self.columns.len().min(MOST_COLUMNS);
        let n_rows = self.rows.len().min(MOST_ROWS);
        if n_columns == 0 || n_rows == 0 {
            return None;
        }
        let shown = |cells: &[Cell]| cells.iter().take(n_columns).map(|cell| length(&cell.text)).max();
        let widest = self
            .cells
            .iter()
            .take(n_rows)
            .filter_map(|cells| shown(cells))
            .max()
            .unwrap_or(0);
        // A picture of colours alone has small cells.
        let (cell_w, cell_h) = if widest == 0 {
            (14, 14)
        } else {
            (widest.max(3) * CHARACTER + 10, 20)
        };
        let beside = self
            .rows
            .iter()
            .map(|row| length(&row.text))
            .max()
            .unwrap_or(0)
            .max(self.corner.len());
        let above = self
            .columns
            .iter()
            .take(n_columns)
            .map(|column| length(&column.text))
            .max()
            .unwrap_or(0);
        let is_turned = above * CHARACTER > cell_w;
        let above = if is_turned { above * CHARACTER + 8 } else { 18 };
        let (left, top) = (MARGIN + beside * CHARACTER + 12, MARGIN + 24 + above);
        let least = MARGIN * 2 + (title.chars().count() + about.chars().count() + 2) * CHARACTER;
        let width = (left + n_columns * cell_w + MARGIN).max(least.min(900));
        let cut = (self.columns.len() > n_columns || self.rows.len() > n_rows).then(|| {
            format!(
                "{n_rows} of {} rows, {n_columns} of {} columns",
                self.rows.len(),
                self.columns.len()
            )
        });
        let height = top + n_rows * cell_h + MARGIN + if cut.is_some() { 16 } else { 0 };
        let svg = html! {
            svg xmlns="http://www.w3.org/2000/svg" width=(width) height=(height) viewBox={ "0 0 " (width) " " (height) }
                role="img" font-family="system-ui,-apple-system,Segoe UI,sans-serif" font-size="11" fill="#1f2328" {
                title { (title) }
                desc { (about) }
                rect width=(width) height=(height) fill="#fff" {}
                text x=(MARGIN) y=(MARGIN + 10) font-size="12" font-weight="600" {
                    (title) tspan dx="8" font-weight="400" fill="#656d76" { (about) }
                }
                @for (x, column) in self.columns.iter().take(n_columns).enumerate() {
                    @let middle = left + x * cell_w + cell_w / 2;
                    @if is_turned {
                        text transform={ "translate(" (middle + 4) " " (top - 5) ") rotate(-90)" } { (visible::cut(&column.text, CHARACTERS)) }
                    } @else {
                        text x=(middle) y=(top - 5) text-anchor="middle" { (visible::cut(&column.text, CHARACTERS)) }
                    }
                }
                @for (y, (row, cells)) in self.rows.iter().zip(&self.cells).take(n_rows).enumerate() {
                    @let baseline = top + y * cell_h + cell_h / 2 + 4;
                    text x=(left - 6) y=(baseline) text-anchor="end" fill="#656d76" { (visible::cut(&row.text, CHARACTERS)) }
                    @for (x, cell) in cells.iter().take(n_columns).enumerate() {
                        @let colours = self.scale.colours(cell.strength);
                        @let (ground, ink) = colours.unwrap_or(([255; 3], "#222"));
                        @if colours.is_some() {
                            rect x=(left + x * cell_w) y=(top + y * cell_h) width=(cell_w) height=(cell_h) fill=(colour::hex(ground)) stroke="#fff" {}
                        }
                        @if !cell.text.is_empty() {
                            text x=(left + x * cell_w + cell_w / 2) y=(baseline) text-anchor="middle" fill=(ink) {
                                (visible::cut(&cell.text, CHARACTERS))
                            }
                        }
                    }
                }
                @if let Some(cut) = cut { text x=(left) y=(height - MARGIN) fill="#656d76" { (cut) } }
            }
        };
        Some(svg.into_string())
    }

    /// Rows of aligned columns for a console.
    pub(crate) fn text(&self) -> String {
        let cut = |text: &str| visible::cut(text, CHARACTERS);
        let line = |head: &str, cells: &mut dyn Iterator<Item = String>| {
            [cut(head)].into_iter().chain(cells).collect::<Vec<String>>()
        };
        let n = MOST_IN_CONSOLE;
        let mut lines = vec![line(
            self.corner,
            &mut self.columns.iter().take(n).map(|column| cut(&column.text)),
        )];
        for (row, cells) in self.rows.iter().zip(&self.cells) {
            lines.push(line(
                &row.text,
                &mut cells.iter().take(n).map(|cell| cut(&cell.text)),
            ));
        }
        let n_columns = lines.iter().map(Vec::len).max().unwrap_or(0);
        let size = |text: &str| text.chars().count();
        let width = |at: usize| {
            lines
                .iter()
                .filter_map(|line| line.get(at))
                .map(|text| size(text))
                .max()
                .unwrap_or(0)
        };
        let widths: Vec<usize> = (0..n_columns).map(width).collect();
        let padded = |(at, text): (usize, &String)| format!("{text}{}", " ".repeat(widths[at] - size(text)));
        let lines = lines.iter().map(|line| {
            let cells: Vec<String> = line.iter().enumerate().map(padded).collect();
            cells.join("  ").trim_end().to_owned()
        });
        let mut text = lines.collect::<Vec<_>>().join("\n");
        if self.columns.len() > n {
            text.push_str(&format!("\n… {} more columns", self.columns.len() - n));
        }
        text
    }
}

const MARGIN: usize = 12;
const CHARACTER: usize = 7;
/// Characters of a label that are drawn.
const CHARACTERS: usize = 14;
const MOST_COLUMNS: usize = 60;
const MOST_ROWS: usize = 100;
const MOST_IN_CONSOLE: usize = 12;

fn length(text: &str) -> usize {
    text.chars().count().min(CHARACTERS)
}

fn heading(heading: &Heading) -> Markup {
    html! {
        @if let Some(index) = heading.index { small { (index) } " " }
        (heading.markup)
    }
}

/// What stands before a place, and a blank there: `The keys to the cabinet ___`. Of a long text the end.
pub(crate) fn blank(before: &[Token]) -> String {
    const MOST: usize = 60;
    let whole = |token: &&Token| token.part.is_none_or(|(part, _)| part <= 1);
    let text: String = before
        .iter()
        .filter(whole)
        .map(|token| token.text.as_str())
        .collect();
    let text = visible::plain(&text, false);
    let n = text.chars().count();
    let text: String = match n > MOST {
        true => ['…'].into_iter().chain(text.chars().skip(n - MOST)).collect(),
        false => text,
    };
    format!("{text}▁▁▁")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(text: &str) -> Token {
        Token {
            text: text.to_owned(),
            id: 7,
            part: None,
        }
    }

    fn grid(scale: Scale) -> Grid {
        Grid {
            corner: "layer",
            columns: vec![Heading::token(&token(" is"), Some(4)), Heading::text("mlp")],
            rows: vec![Heading::text("0"), Heading::text("1")],
            cells: vec![
                vec![Cell::text("5", 1.0), Cell::text("-1", -0.5)],
                vec![Cell::token(&token("<b>"), 0.0), Cell::text("x", f32::NAN)],
            ],
            scale,
        }
    }

    #[test]
    fn cells_are_coloured_without_a_style_sheet() {
        let html = grid(Scale::Sequential).table().into_string();
        assert!(
            html.contains("<td style=\"--s:1;background-color:#440154;color:#fff\">5</td>"),
            "{html}"
        );
        assert!(html.contains("<td><bdi>&lt;b&gt;</bdi></td><td>x</td>"), "{html}");
        assert!(html.contains("<th scope=\"col\"><small>4</small> <bdi><i>·</i>is</bdi></th>"));
        let html = grid(Scale::Diverging).table().into_string();
        assert!(html.contains("<td style=\"--s:-0.5;background-color:#"), "{html}");
    }

    #[test]
    fn the_same_in_a_console_and_as_a_picture() {
        let grid = grid(Scale::Diverging);
        assert_eq!(grid.text(), "layer  ·is  mlp\n0      5    -1\n1      <b>  x");
        let svg = grid.picture("T<", "about").unwrap();
        assert!(
            svg.contains("<title>T&lt;</title>") && svg.matches("<rect").count() == 3,
            "{svg}"
        );
    }

    #[test]
    fn long_tables_are_cut_where_it_is_said() {
        let mut wide = grid(Scale::Diverging);
        let columns = 0..200;
        wide.columns = columns.clone().map(|n| Heading::text(n.to_string())).collect();
        wide.cells = vec![columns.map(|n| Cell::text(n.to_string(), 0.1)).collect(); 2];
        assert!(wide.text().ends_with("… 188 more columns"));
        assert!(
            wide.picture("t", "a")
                .unwrap()
                .contains("2 of 2 rows, 60 of 200 columns")
        );
        wide.columns.clear();
        assert!(wide.picture("t", "a").is_none());
    }

    #[test]
    fn a_blank_stands_after_the_end_of_the_text() {
        assert_eq!(blank(&[token("The"), token(" keys")]), "The keys▁▁▁");
        let long = blank(&vec![token("word "); 30]);
        assert!(long.starts_with('…') && long.chars().count() == 64, "{long}");
        let part = |n| Token {
            part: Some((n, 2)),
            ..token("👩")
        };
        assert_eq!(blank(&[part(1), part(2), token("\n")]), "👩\\n▁▁▁");
    }
}
