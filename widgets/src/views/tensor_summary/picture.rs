//! All axes at once: each goes across or down, outer ones as facets of inner ones. The script draws the same with axes that
//! are chosen.

use std::fmt::Write;

use maud::{Markup, html};
use serde_json::Value;

use super::{TensorCells, TensorSummary};
use crate::kit::{colour, visible};

/// Shades to either side; cells of one shade share one path.
const SHADES: i32 = 16;
/// How large pictures become, in pixels, and their cells.
const WIDEST: f64 = 700.0;
const HIGHEST: f64 = 360.0;
const LARGEST_CELL: f64 = 22.0;
const MARGIN: f64 = 12.0;

/// Where cells stand along one direction, in cells: (place, part of the number of the cell). One outer axis' places stand
/// apart by a gap, a wider one for each axis within, and so do places between which some are left out.
struct Direction {
    cells: Vec<(usize, usize)>,
    extent: usize,
}

/// `axes`: for each, the outermost first, its places and how far two of its neighbours are apart in the order of values.
fn direction(axes: &[(&[usize], usize)]) -> Direction {
    let mut all = Direction {
        cells: vec![(0, 0)],
        extent: 1,
    };
    for (level, (places, stride)) in axes.iter().rev().enumerate() {
        let (mut at, mut cells) = (0, Vec::with_capacity(places.len() * all.cells.len()));
        for (i, place) in places.iter().enumerate() {
            if i > 0 {
                let folded = places[i - 1] + 1 != *place;
                at += all.extent + level + usize::from(folded) * (level + 1);
            }
            cells.extend(all.cells.iter().map(|(x, number)| (at + x, number + i * stride)));
        }
        all = Direction {
            cells,
            extent: at + all.extent,
        };
    }
    all
}

/// Which axes go across: the last, and of the others, from within, as many as make the picture about square.
fn is_across(cells: &TensorCells) -> Vec<bool> {
    let mut chosen = vec![false; cells.places.len()];
    let (mut across, mut down) = (1, 1);
    for (axis, places) in cells.places.iter().enumerate().rev() {
        chosen[axis] = across <= down;
        if chosen[axis] {
            across *= places.len();
        } else {
            down *= places.len();
        }
    }
    chosen
}

/// Both directions: across and down.
fn layout(cells: &TensorCells) -> [Direction; 2] {
    let mut stride = 1;
    let mut axes: Vec<(&[usize], usize)> = Vec::new();
    for places in cells.places.iter().rev() {
        axes.push((places, stride));
        stride *= places.len();
    }
    axes.reverse();
    let chosen = is_across(cells);
    [true, false].map(|is| {
        let of: Vec<_> = axes
            .iter()
            .zip(&chosen)
            .filter(|(_, of)| **of == is)
            .map(|(axis, _)| *axis)
            .collect();
        direction(&of)
    })
}

/// The values that are shown; NaN where there is no finite one.
fn values(tensor: &TensorSummary, cells: &TensorCells) -> Vec<f32> {
    match (&cells.values, &tensor.data) {
        (Some(values), _) => values.clone(),
        (None, Some(data)) => {
            let mut found = Vec::new();
            gather(data, &cells.places, &mut found);
            found
        }
        (None, None) => Vec::new(),
    }
}

fn gather(data: &Value, places: &[Vec<usize>], found: &mut Vec<f32>) {
    match places {
        [] => found.push(data.as_f64().unwrap_or(f64::NAN) as f32),
        [first, rest @ ..] => {
            for &at in first {
                gather(&data[at], rest, found);
            }
        }
    }
}

/// Width and height of a cell in pixels.
fn size([across, down]: &[Direction; 2]) -> (f64, f64) {
    let side = |most: f64, extent: usize| (most / extent as f64).clamp(0.5, LARGEST_CELL);
    (side(WIDEST, across.extent), side(HIGHEST, down.extent))
}

/// For each shade the path of its cells, one unit wide and high; cells side by side are one. Last, what is not finite.
fn shades(values: &[f32], deepest: f64, [across, down]: &[Direction; 2]) -> (Vec<(i32, String)>, String) {
    let mut paths: Vec<(i32, String)> = (-SHADES..=SHADES).map(|shade| (shade, String::new())).collect();
    let mut bad = String::new();
    let shade_of = |number: usize| {
        let value = values.get(number).copied().filter(|value| value.is_finite())?;
        let strength = if deepest > 0.0 {
            f64::from(value) / deepest
        } else {
            0.0
        };
        Some((strength.clamp(-1.0, 1.0) * f64::from(SHADES)).round() as i32)
    };
    for &(y, row) in &down.cells {
        let mut at = 0;
        while let Some(&(x, column)) = across.cells.get(at) {
            let shade = shade_of(row + column);
            let mut n = 1;
            while across
                .cells
                .get(at + n)
                .is_some_and(|&(next, column)| next == x + n && shade_of(row + column) == shade)
            {
                n += 1;
            }
            let _ = match shade {
                Some(shade) => write!(paths[(shade + SHADES) as usize].1, "M{x} {y}h{n}v1h-{n}z"),
                None => (x..x + n).try_for_each(|x| write!(bad, "M{x} {y}l1 1m-1 0l1 -1")),
            };
            at += n;
        }
    }
    paths.retain(|(_, path)| !path.is_empty());
    (paths, bad)
}

/// Colour of a shade over a white page, and the strength that a style sheet makes its own of.
fn paint(tensor: &TensorSummary, shade: i32) -> (String, f32) {
    let strength = shade as f32 / SHADES as f32;
    let ground = match tensor.min.is_some_and(|min| min < 0.0) {
        true => colour::diverging(strength),
        false => colour::scale(strength),
    };
    (colour::hex(ground), strength)
}

/// `across: position; down: layer, head`, the outermost first.
fn directions(tensor: &TensorSummary, cells: &TensorCells) -> String {
    let chosen = is_across(cells);
    let names = |is: bool| {
        let of = (0..chosen.len()).filter(|axis| chosen[*axis] == is);
        of.map(|axis| tensor.axis_name(axis))
            .collect::<Vec<_>>()
            .join(" › ")
    };
    match names(false) {
        down if down.is_empty() => format!("across: {}", names(true)),
        down => format!("across: {}; down: {down}", names(true)),
    }
}

fn drawing(tensor: &TensorSummary, cells: &TensorCells, sides: &[Direction; 2]) -> Markup {
    let (paths, bad) = shades(&values(tensor, cells), cells.deepest, sides);
    html! {
        @for (shade, path) in paths {
            @let (fill, strength) = paint(tensor, shade);
            @match shade {
                0 => path class="ground" fill="#f3f3f3" d=(path) {},
                _ => path style={ "--s:" (strength) } fill=(fill) d=(path) {},
            }
        }
        @if !bad.is_empty() { path class="bad" d=(bad) fill="none" stroke="#bf8700" stroke-width="0.2" {} }
    }
}

/// Inside of a page.
pub(super) fn inside(tensor: &TensorSummary, cells: &TensorCells) -> Markup {
    let sides = layout(cells);
    let (width, height) = size(&sides);
    let [across, down] = &sides;
    html! {
        p class="about" { (directions(tensor, cells)) }
        svg class="cells" width=(across.extent as f64 * width) height=(down.extent as f64 * height)
            viewBox={ "0 0 " (across.extent) " " (down.extent) } preserveAspectRatio="none" role="img" {
            title { "Values as colours, " (directions(tensor, cells)) }
            (drawing(tensor, cells, &sides))
        }
    }
}

/// A picture of its own, on white.
pub(super) fn alone(tensor: &TensorSummary, cells: &TensorCells) -> String {
    let sides = layout(cells);
    let (cell_w, cell_h) = size(&sides);
    let (w, h) = (sides[0].extent as f64 * cell_w, sides[1].extent as f64 * cell_h);
    let [low, high] = tensor.ends(cells);
    let mut below = vec![format!("colours from {low} to {high}")];
    below.extend(tensor.not_finite());
    below.extend(tensor.folds(cells));
    let title = format!("{} {}", tensor.name_text(), tensor.shape_text());
    let (width, height) = ((w + 2.0 * MARGIN).max(460.0), h + 78.0);
    let svg = html! {
        svg xmlns="http://www.w3.org/2000/svg" width=(width) height=(height) viewBox={ "0 0 " (width) " " (height) }
            role="img" font-family="system-ui,-apple-system,Segoe UI,sans-serif" font-size="10" fill="#1f2328" {
            title { (title) }
            desc { "Values as colours: orange above 0 and blue below, or the darker the larger where none is below 0." }
            rect width=(width) height=(height) fill="#fff" {}
            text x=(MARGIN) y="22" font-size="12" font-weight="600" { (visible::cut(&title, 80)) }
            text x=(MARGIN) y="38" fill="#656d76" { (directions(tensor, cells)) }
            g transform={ "translate(" (MARGIN) " 48) scale(" (cell_w) " " (cell_h) ")" } { (drawing(tensor, cells, &sides)) }
            text x=(MARGIN) y=(h + 66.0) fill="#656d76" { (visible::cut(&below.join("; "), 140)) }
        }
    };
    svg.into_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outer_places_stand_apart_and_so_do_folds() {
        let inner: &[usize] = &[0, 1, 8, 9];
        let outer: &[usize] = &[0, 1];
        let both = direction(&[(outer, 4), (inner, 1)]);
        let places: Vec<usize> = both.cells.iter().map(|cell| cell.0).collect();
        assert_eq!(places, [0, 1, 3, 4, 6, 7, 9, 10]);
        let numbers: Vec<usize> = both.cells.iter().map(|cell| cell.1).collect();
        assert_eq!(numbers, [0, 1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(both.extent, 11);
    }

    #[test]
    fn every_cell_is_drawn_once() {
        let cells = TensorCells {
            places: vec![vec![0, 1], vec![0, 1, 2], vec![0, 1, 2, 3]],
            deepest: 1.0,
            ..TensorCells::default()
        };
        assert_eq!(is_across(&cells), [false, false, true]);
        let sides = layout(&cells);
        let mut numbers: Vec<usize> = Vec::new();
        for (_, row) in &sides[1].cells {
            numbers.extend(sides[0].cells.iter().map(|(_, column)| row + column));
        }
        numbers.sort_unstable();
        assert_eq!(numbers, (0..24).collect::<Vec<_>>());
        let values = vec![1.0; 24];
        let (paths, bad) = shades(&values, 1.0, &sides);
        assert_eq!(paths.len(), 1);
        assert_eq!(
            (paths[0].0, paths[0].1.as_str()),
            (
                16,
                "M0 0h4v1h-4zM0 1h4v1h-4zM0 2h4v1h-4zM0 4h4v1h-4zM0 5h4v1h-4zM0 6h4v1h-4z"
            )
        );
        assert!(bad.is_empty());
        let (paths, bad) = shades(&[f32::NAN], 1.0, &[direction(&[]), direction(&[])]);
        assert_eq!((paths.len(), bad.as_str()), (0, "M0 0l1 1m-1 0l1 -1"));
    }
}
