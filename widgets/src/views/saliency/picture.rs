//! Saliency as a picture: a heat map of targets (rows) over the tokens before them (columns).

use std::fmt::Write;

use maud::html;

use crate::kit::{colour, rows, visible};
use crate::views::saliency::{Saliency, Scale, Targets};

/// More columns or rows than this are pooled: a picture, not a record.
const MOST_COLUMNS: usize = 120;
const MOST_ROWS: usize = 60;
/// Shades of the scale, each way; cells of one shade share one path.
const SHADES: usize = 16;
const MARGIN: usize = 12;
/// Characters of a label, and the pixels each takes at most.
const CHARACTERS: usize = 16;
/// Of one beside a row, which may name two tokens.
const BESIDE: usize = 30;
const CHARACTER: usize = 7;

/// `None` if there is no row to draw.
pub(super) fn heat_map(saliency: &Saliency) -> Option<String> {
    let n_sources = (0..saliency.rows().len())
        .map(|k| saliency.row(k).len())
        .max()
        .filter(|n| *n > 0)?;
    let (columns, n_rows) = (n_sources.min(MOST_COLUMNS), saliency.rows().len().min(MOST_ROWS));
    let (cell_w, cell_h) = (720usize.div_ceil(columns).clamp(6, 18), CHARACTERS);
    let above = if labelled(saliency, columns) {
        label_size(saliency, 0..columns)
    } else {
        14
    };
    let targets = (0..saliency.rows().len()).map(|k| saliency.target_label(k).0.chars().count());
    let beside = targets.max().unwrap_or(0).min(BESIDE) * CHARACTER + 30;
    let (left, top) = (MARGIN + beside, MARGIN + 24 + above);
    let (width, height) = (
        left + columns * cell_w + MARGIN,
        top + n_rows * cell_h + MARGIN + 16,
    );
    let shades = shades(saliency, columns, n_rows);
    let method = saliency.about();
    let what = match saliency.targets {
        Targets::Written => "generated tokens. Columns: the tokens before them",
        Targets::Named(_) => "targets. Columns: what they draw on",
    };
    let extremes = match saliency.scale {
        Scale::Shares => "strongest: the row's maximum",
        Scale::Signed => "orange speaks for the target, blue against it; strongest colour: the row's maximum",
    };
    let summary = format!("Rows: {what}. {method}; {extremes}.");
    let svg = html! {
        svg xmlns="http://www.w3.org/2000/svg" width=(width) height=(height) viewBox={ "0 0 " (width) " " (height) }
            role="img" font-family="system-ui,-apple-system,Segoe UI,sans-serif" font-size="10" fill="#1f2328" {
            title { "Input saliency, " (method) }
            desc { (summary) }
            rect width=(width) height=(height) fill="#fff" {}
            text x=(MARGIN) y=(MARGIN + 10) font-size="12" font-weight="600" {
                "Input saliency" tspan dx="8" font-weight="400" fill="#656d76" { (method) }
            }
            (column_labels(saliency, columns, left, top, cell_w))
            (row_labels(saliency, n_rows, left, top, cell_h))
            g transform={ "translate(" (left) " " (top) ") scale(" (cell_w) " " (cell_h) ")" } {
                @for (shade, path) in shades.iter().enumerate().filter(|(_, path)| !path.is_empty()) {
                    path fill=(colour::hex(shade_colour(saliency.scale, shade))) d=(path) {}
                }
            }
            rect x=(left) y=(top) width=(columns * cell_w) height=(n_rows * cell_h) fill="none" stroke="#d0d7de" {}
            text x=(left) y=(height - MARGIN) fill="#656d76" { "each row rescaled to its maximum" }
        }
    };
    Some(svg.into_string())
}

/// Pixels that the longest label of some tokens takes.
fn label_size(saliency: &Saliency, tokens: std::ops::Range<usize>) -> usize {
    let longest = tokens
        .map(|i| saliency.label(i).chars().count())
        .max()
        .unwrap_or(0);
    longest.min(CHARACTERS) * CHARACTER + 6
}

fn labelled(saliency: &Saliency, columns: usize) -> bool {
    columns <= 72
        && columns
            == (0..saliency.rows().len())
                .map(|k| saliency.row(k).len())
                .max()
                .unwrap_or(0)
}

/// Shades 0 to SHADES - 1 against, those from SHADES on for the target; the first ones are the strongest against.
fn shade_colour(scale: Scale, shade: usize) -> [u8; 3] {
    let strength = (shade as f32 - SHADES as f32 + f32::from(shade >= SHADES)) / SHADES as f32;
    match scale {
        Scale::Shares => colour::scale(strength),
        Scale::Signed => colour::diverging(strength),
    }
}

/// For each shade the cells that have it, one unit wide and high.
fn shades(saliency: &Saliency, columns: usize, n_rows: usize) -> Vec<String> {
    let n_sources = (0..saliency.rows().len())
        .map(|k| saliency.row(k).len())
        .max()
        .unwrap_or(0);
    let mut paths = vec![String::new(); 2 * SHADES];
    for y in 0..n_rows {
        let mut cells = vec![0.0f32; columns];
        for k in y * saliency.rows().len() / n_rows..(y + 1) * saliency.rows().len() / n_rows {
            let row = saliency.row(k);
            let peak = rows::peak(row);
            for (i, value) in row.iter().enumerate() {
                let cell = &mut cells[i * columns / n_sources];
                let strength = rows::strength(*value, peak).unwrap_or(0.0);
                if strength > cell.abs() {
                    *cell = match saliency.scale {
                        Scale::Shares => strength,
                        Scale::Signed => strength.copysign(*value),
                    };
                }
            }
        }
        for (x, strength) in cells.iter().enumerate() {
            let steps = (strength.abs() * SHADES as f32).round().min(SHADES as f32) as usize;
            if steps > 0 {
                let shade = if *strength < 0.0 {
                    SHADES - steps
                } else {
                    SHADES + steps - 1
                };
                let _ = write!(paths[shade], "M{x} {y}h1v1h-1z");
            }
        }
    }
    paths
}

fn column_labels(
    saliency: &Saliency,
    columns: usize,
    left: usize,
    top: usize,
    cell_w: usize,
) -> maud::Markup {
    let n = saliency.tokens.len();
    html! {
        @if labelled(saliency, columns) {
            @for x in 0..columns {
                @let weight = if x >= saliency.n_input { "600" } else { "400" };
                text font-weight=(weight)
                    transform={ "translate(" (left + x * cell_w + cell_w / 2 + 3) " " (top - 4) ") rotate(-90)" } {
                    (visible::cut(&saliency.label(x), CHARACTERS))
                }
            }
        } @else {
            text x=(left) y=(top - 4) fill="#656d76" { "token 0" }
            text x=(left + columns * cell_w) y=(top - 4) fill="#656d76" text-anchor="end" { (n.saturating_sub(2)) }
        }
    }
}

fn row_labels(saliency: &Saliency, n_rows: usize, left: usize, top: usize, cell_h: usize) -> maud::Markup {
    let each = saliency.rows().len() == n_rows;
    let shown = |y: usize| each || y == 0 || y + 1 == n_rows;
    html! {
        @for y in (0..n_rows).filter(|y| shown(*y)) {
            @let (label, position) = saliency.target_label(y * (saliency.rows().len() - 1) / n_rows.saturating_sub(1).max(1));
            text x=(left - 6) y=(top + y * cell_h + 12) text-anchor="end" font-weight="600" {
                (visible::cut(&label, BESIDE))
                @if let Some(position) = position {
                    tspan fill="#656d76" font-weight="400" font-size="8" { " " (position) }
                }
            }
        }
    }
}
