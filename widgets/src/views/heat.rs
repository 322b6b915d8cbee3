//! Layers, or their heads, over positions, heads or neurons as coloured cells: what maps of patches and of contributions share.

use std::fmt::Write;

use maud::{Markup, html};
use serde::de::Error as _;
use serde_json::Error;

use crate::kit::Token;
use crate::kit::{colour, names, numbers, visible};

/// A table of numbers of either sign.
pub(crate) trait Heat {
    /// The layers.
    fn rows(&self) -> &[usize];
    /// Where rows are heads, which of its layer's heads each is.
    fn heads(&self) -> &[usize] {
        &[]
    }
    fn values(&self) -> &[Vec<f32>];
    fn columns(&self) -> Strip<'_>;

    fn n_columns(&self) -> usize {
        match self.columns() {
            Strip::Positions { tokens, .. } => tokens.len(),
            Strip::Counted(n, _) => n,
        }
    }

    fn value(&self, row: usize, column: usize) -> f32 {
        let value = self.values().get(row).and_then(|row| row.get(column));
        value.copied().unwrap_or(f32::NAN)
    }

    /// A row's heading: `4`, `L4 h2`.
    fn row_name(&self, row: usize) -> String {
        let layer = self.rows().get(row).copied().unwrap_or_default();
        match self.heads().get(row) {
            Some(&head) => names::head(layer, head),
            None => layer.to_string(),
        }
    }

    /// A cell's name: `L4 ·France 3`, `L4 h2`, `L4 h2 ·France 3`.
    fn name(&self, row: usize, column: usize) -> String {
        let layer = self.rows().get(row).copied().unwrap_or_default();
        match (self.heads().get(row), self.columns()) {
            (Some(&head), strip) => format!("{} {}", names::head(layer, head), strip.label(column)),
            (None, strip @ Strip::Positions { .. }) => format!("L{layer} {}", strip.label(column)),
            (None, Strip::Counted(_, "head")) => names::head(layer, column),
            (None, Strip::Counted(..)) => names::neuron(Some(layer), column),
        }
    }

    /// The largest absolute value.
    fn peak(&self) -> f32 {
        let all = self.values().iter().flatten().filter(|value| value.is_finite());
        all.fold(0.0, |peak, value| peak.max(value.abs()))
    }

    /// The strongest cells, as (row, column).
    fn top(&self, n: usize) -> Vec<(usize, usize)> {
        let cells =
            (0..self.rows().len()).flat_map(|row| (0..self.n_columns()).map(move |column| (row, column)));
        let size = |&(row, column): &(usize, usize)| self.value(row, column).abs();
        let mut cells: Vec<_> = cells.filter(|cell| size(cell) > 0.0).collect();
        cells.sort_by(|a, b| size(b).total_cmp(&size(a)).then(a.cmp(b)));
        cells.truncate(n);
        cells
    }

    /// The rows that are shown, in order: of heads the strongest ones, of layers all.
    fn shown_rows(&self) -> Vec<usize> {
        let n = self.rows().len();
        if self.heads().is_empty() {
            return (0..n).collect();
        }
        strongest(n, MOST_HEADS, |row| {
            let columns = 0..self.n_columns();
            columns
                .map(|column| self.value(row, column).abs())
                .fold(0.0, f32::max)
        })
    }

    /// The columns that are shown, in order: where there are too many cells the strongest ones.
    fn shown(&self) -> Vec<usize> {
        let rows = self.shown_rows();
        let most = (MOST_CELLS / rows.len().max(1)).max(1);
        strongest(self.n_columns(), most, |column| {
            let rows = rows.iter();
            rows.map(|&row| self.value(row, column).abs()).fold(0.0, f32::max)
        })
    }

    /// What has to be said of the whole; `all` names where every column is.
    fn notes(&self, n_shown: usize, all: &str) -> Vec<String> {
        let mut notes = Vec::new();
        let n = self.n_columns();
        if n > 0 && n_shown < n {
            notes.push(format!("the {n_shown} strongest of {n} columns; `{all}` has all"));
        }
        let (n, n_shown) = (self.rows().len(), self.shown_rows().len());
        if n_shown < n {
            notes.push(format!("the {n_shown} strongest of {n} heads; `{all}` has all"));
        }
        let is_bad = |value: &&f32| !value.is_finite();
        let n_bad = self.values().iter().flatten().filter(is_bad).count();
        if n_bad > 0 {
            notes.push(format!("{n_bad} values are not finite"));
        }
        notes
    }
}

/// Whether a map that was read has the rows and columns that it says.
///
/// # Errors
/// No row, or rows of another length.
pub(crate) fn check(map: &impl Heat) -> Result<(), Error> {
    let (rows, n) = (map.values(), map.n_columns());
    let is_named = map.heads().is_empty() || map.heads().len() == rows.len();
    let fits = !rows.is_empty() && rows.len() == map.rows().len() && is_named;
    match fits && rows.iter().all(|row| row.len() == n) {
        true => Ok(()),
        false => Err(Error::custom(
            "there is no row, or one is not as long as there are columns",
        )),
    }
}

/// The `most` strongest of `n`, in order.
fn strongest(n: usize, most: usize, strength: impl Fn(usize) -> f32) -> Vec<usize> {
    let mut all: Vec<usize> = (0..n).collect();
    if n > most {
        let strengths: Vec<f32> = all.iter().map(|&at| strength(at)).collect();
        all.sort_by(|&a, &b| strengths[b].total_cmp(&strengths[a]).then(a.cmp(&b)));
        all.truncate(most);
        all.sort_unstable();
    }
    all
}

/// What the columns are.
#[derive(Clone, Copy)]
pub(crate) enum Strip<'a> {
    /// The tokens of a text, and of another one that differs from it in some.
    Positions { tokens: &'a [Token], other: &'a [Token] },
    /// So many of what a word says.
    Counted(usize, &'static str),
}

impl<'a> Strip<'a> {
    /// `·France 3`, `head 2`.
    pub(crate) fn label(self, column: usize) -> String {
        match self {
            Self::Positions { tokens, .. } => {
                let label = tokens.get(column).map_or_else(String::new, visible::label);
                format!("{} {column}", visible::cut(&label, 24))
            }
            Self::Counted(_, what) => format!("{what} {column}"),
        }
    }

    /// `positions`, `heads`.
    pub(crate) fn plural(self) -> String {
        match self {
            Self::Positions { .. } => "positions".to_owned(),
            Self::Counted(_, what) => format!("{what}s"),
        }
    }

    /// The other text's token where it is another one.
    fn other(self, column: usize) -> Option<&'a Token> {
        match self {
            Self::Positions { tokens, other } => {
                let (token, other) = (tokens.get(column), other.get(column));
                other.filter(|other| token.map(|token| token.id) != Some(other.id))
            }
            Self::Counted(..) => None,
        }
    }

    fn heading(self, column: usize) -> Markup {
        match self {
            Self::Counted(..) => html! { (column) },
            Self::Positions { tokens, .. } => html! {
                div {
                    @if let Some(token) = tokens.get(column) { (visible::label_html(token)) }
                    @if let Some(token) = self.other(column) { " ← " (visible::label_html(token)) }
                }
                small { (column) }
            },
        }
    }
}

/// Tables with no more columns have numbers in their cells.
const MOST_NUMBERED: usize = 24;
/// Cells of a page; of a larger table the strongest columns are shown.
const MOST_CELLS: usize = 6000;
/// Rows of a page where they are heads.
const MOST_HEADS: usize = 40;

/// In -1..=1.
fn strength(heat: &dyn Heat, row: usize, column: usize) -> Option<f32> {
    let (value, peak) = (heat.value(row, column), heat.peak());
    value
        .is_finite()
        .then(|| if peak > 0.0 { value / peak } else { 0.0 })
}

/// The table; what stands behind each row is `end`'s, under its heading.
pub(crate) fn table(
    heat: &dyn Heat,
    shown: &[usize],
    end: Option<(&str, &dyn Fn(usize) -> Markup)>,
) -> Markup {
    let strip = heat.columns();
    html! {
        table class=[(shown.len() <= MOST_NUMBERED).then_some("numbered")] {
            thead {
                tr {
                    th scope="col" { @if heat.heads().is_empty() { "layer" } @else { "head" } }
                    @for &column in shown {
                        th scope="col" class=[strip.other(column).map(|_| "differs")] { (strip.heading(column)) }
                    }
                    @if let Some((heading, _)) = end { th scope="col" class="end" { (heading) } }
                }
            }
            tbody {
                @for row in heat.shown_rows() {
                    tr {
                        th scope="row" { (heat.row_name(row)) }
                        @for &column in shown { (cell(heat, row, column, shown.len() <= MOST_NUMBERED)) }
                        @if let Some((_, end)) = end { th class="end" { (end(row)) } }
                    }
                }
            }
        }
    }
}

fn cell(heat: &dyn Heat, row: usize, column: usize, numbered: bool) -> Markup {
    let value = heat.value(row, column);
    let style = strength(heat, row, column).map(|s| {
        let (ground, text) = (colour::hex(colour::diverging(s)), colour::text_on_diverging(s));
        format!("--s:{:.3};background-color:{ground};color:{text}", s)
    });
    html! {
        td style=[style] title=[(!numbered).then(|| numbers::fraction(value.into()))] {
            @if numbered { (numbers::in_table(value.into(), heat.peak().into())) }
        }
    }
}

const MARGIN: usize = 12;
const CHARACTERS: usize = 16;
/// Shades to either side; cells of one shade share one path.
const SHADES: i32 = 16;

/// What is written around a picture.
pub(crate) struct Caption {
    pub title: &'static str,
    pub site: String,
    /// Below the title.
    pub answer: String,
    /// What the colours mean, for those who do not see them.
    pub about: &'static str,
    /// What the deepest colour is.
    pub deepest: String,
}

/// `None` if there is no cell to draw.
pub(crate) fn picture(heat: &dyn Heat, caption: &Caption) -> Option<String> {
    let (columns, strip, rows) = (heat.shown(), heat.columns(), heat.shown_rows());
    let n_rows = rows.len();
    if columns.is_empty() || n_rows == 0 {
        return None;
    }
    let n = columns.len();
    let (cell_w, cell_h) = ((720 / n).clamp(6, 34), 18);
    let labelled = cell_w >= 9;
    let above = match strip {
        Strip::Positions { .. } if labelled => CHARACTERS * 7,
        _ => 14,
    };
    let (left, top) = (MARGIN + 56, MARGIN + 38 + above);
    let (width, height) = (
        (left + n * cell_w + MARGIN).max(420),
        top + n_rows * cell_h + MARGIN + 18,
    );
    let svg = html! {
        svg xmlns="http://www.w3.org/2000/svg" width=(width) height=(height) viewBox={ "0 0 " (width) " " (height) }
            role="img" font-family="system-ui,-apple-system,Segoe UI,sans-serif" font-size="10" fill="#1f2328" {
            title { (caption.title) " of " (visible::plain(&caption.site, false)) }
            desc { (caption.about) }
            rect width=(width) height=(height) fill="#fff" {}
            text x=(MARGIN) y=(MARGIN + 10) font-size="12" font-weight="600" {
                (caption.title) tspan dx="8" font-weight="400" fill="#656d76" { (visible::plain(&caption.site, false)) }
            }
            text x=(MARGIN) y=(MARGIN + 26) fill="#656d76" { (caption.answer) }
            @for (x, &column) in columns.iter().enumerate().filter(|_| labelled) {
                @let weight = if strip.other(column).is_some() { "700" } else { "400" };
                @match strip {
                    Strip::Positions { .. } => text font-weight=(weight)
                        transform={ "translate(" (left + x * cell_w + cell_w / 2 + 3) " " (top - 4) ") rotate(-90)" } {
                        (visible::cut(&strip.label(column), CHARACTERS))
                    },
                    Strip::Counted(..) => text x=(left + x * cell_w + cell_w / 2) y=(top - 4) text-anchor="middle" { (column) },
                }
            }
            @for (y, &row) in rows.iter().enumerate() {
                text x=(left - 6) y=(top + y * cell_h + 13) text-anchor="end" {
                    @if heat.heads().is_empty() { "layer " } (heat.row_name(row))
                }
            }
            g transform={ "translate(" (left) " " (top) ") scale(" (cell_w) " " (cell_h) ")" } {
                @for (shade, path) in shades(heat, &rows, &columns) {
                    path fill=(colour::hex(colour::diverging(shade as f32 / SHADES as f32))) d=(path) {}
                }
            }
            rect x=(left) y=(top) width=(n * cell_w) height=(n_rows * cell_h) fill="none" stroke="#d0d7de" {}
            text x=(left) y=(height - MARGIN) fill="#656d76" { "deepest colour: " (caption.deepest) }
        }
    };
    Some(svg.into_string())
}

/// For each shade the cells that have it, one unit wide and high.
fn shades(heat: &dyn Heat, rows: &[usize], columns: &[usize]) -> Vec<(i32, String)> {
    let mut paths: Vec<(i32, String)> = (-SHADES..=SHADES).map(|shade| (shade, String::new())).collect();
    let peak = heat.peak();
    for (y, &row) in rows.iter().enumerate() {
        for (x, &column) in columns.iter().enumerate() {
            let value = heat.value(row, column);
            let strength = if value.is_finite() && peak > 0.0 {
                value / peak
            } else {
                0.0
            };
            let shade = (strength * SHADES as f32).round() as i32;
            if shade != 0 {
                let _ = write!(paths[(shade + SHADES) as usize].1, "M{x} {y}h1v1h-1z");
            }
        }
    }
    paths.retain(|(_, path)| !path.is_empty());
    paths
}
