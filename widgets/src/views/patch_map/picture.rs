//! A patching map as a picture.

use std::fmt::Write;

use maud::html;

use crate::PatchMap;
use crate::kit::{colour, numbers, visible};
use crate::views::patch_map::Columns;

const MARGIN: usize = 12;
const CHARACTERS: usize = 16;
/// Shades to either side; cells of one shade share one path.
const SHADES: i32 = 16;
const MOST_CELLS: usize = 6000;

/// `None` if there is no cell to draw.
pub(super) fn heat_map(map: &PatchMap) -> Option<String> {
    let (columns, n_rows) = (map.shown(MOST_CELLS), map.layers.len());
    if columns.is_empty() || n_rows == 0 {
        return None;
    }
    let n = columns.len();
    let (cell_w, cell_h) = ((720 / n).clamp(6, 34), 18);
    let labelled = cell_w >= 9;
    let above = match &map.columns {
        Columns::Positions { .. } if labelled => CHARACTERS * 7,
        _ => 14,
    };
    let (left, top) = (MARGIN + 56, MARGIN + 38 + above);
    let (width, height) = (
        (left + n * cell_w + MARGIN).max(420),
        top + n_rows * cell_h + MARGIN + 18,
    );
    let answer = visible::plain(&map.answer, false);
    let peak = numbers::fraction(map.peak().into());
    let svg = html! {
        svg xmlns="http://www.w3.org/2000/svg" width=(width) height=(height) viewBox={ "0 0 " (width) " " (height) }
            role="img" font-family="system-ui,-apple-system,Segoe UI,sans-serif" font-size="10" fill="#1f2328" {
            title { "Activation patching of " (visible::plain(&map.site, false)) }
            desc { "Rows: layers. Columns: what is patched. Red: of the clean answer comes back; blue: the other way." }
            rect width=(width) height=(height) fill="#fff" {}
            text x=(MARGIN) y=(MARGIN + 10) font-size="12" font-weight="600" {
                "Activation patching" tspan dx="8" font-weight="400" fill="#656d76" { (visible::plain(&map.site, false)) }
            }
            text x=(MARGIN) y=(MARGIN + 26) fill="#656d76" {
                (visible::cut(&answer, 60)) ": corrupted " (numbers::short(map.corrupted)) ", clean " (numbers::short(map.clean))
            }
            @for (x, &column) in columns.iter().enumerate().filter(|_| labelled) {
                @let weight = if map.differs(column) { "700" } else { "400" };
                @match &map.columns {
                    Columns::Positions { .. } => text font-weight=(weight)
                        transform={ "translate(" (left + x * cell_w + cell_w / 2 + 3) " " (top - 4) ") rotate(-90)" } {
                        (visible::cut(&map.column(column), CHARACTERS))
                    },
                    Columns::Heads(_) => text x=(left + x * cell_w + cell_w / 2) y=(top - 4) text-anchor="middle" { (column) },
                }
            }
            @for (y, layer) in map.layers.iter().enumerate() {
                text x=(left - 6) y=(top + y * cell_h + 13) text-anchor="end" { "layer " (layer) }
            }
            g transform={ "translate(" (left) " " (top) ") scale(" (cell_w) " " (cell_h) ")" } {
                @for (shade, path) in shades(map, &columns) {
                    path fill=(colour::hex(colour::diverging(shade as f32 / SHADES as f32))) d=(path) {}
                }
            }
            rect x=(left) y=(top) width=(n * cell_w) height=(n_rows * cell_h) fill="none" stroke="#d0d7de" {}
            text x=(left) y=(height - MARGIN) fill="#656d76" { "deepest colour: " (peak) " of the clean answer restored" }
        }
    };
    Some(svg.into_string())
}

/// For each shade the cells that have it, one unit wide and high.
fn shades(map: &PatchMap, columns: &[usize]) -> Vec<(i32, String)> {
    let mut paths: Vec<(i32, String)> = (-SHADES..=SHADES).map(|shade| (shade, String::new())).collect();
    for row in 0..map.layers.len() {
        for (x, &column) in columns.iter().enumerate() {
            let strength = map.strength(row, column).unwrap_or(0.0);
            let shade = (strength * SHADES as f32).round() as i32;
            if shade != 0 {
                let _ = write!(paths[(shade + SHADES) as usize].1, "M{x} {row}h1v1h-1z");
            }
        }
    }
    paths.retain(|(_, path)| !path.is_empty());
    paths
}
