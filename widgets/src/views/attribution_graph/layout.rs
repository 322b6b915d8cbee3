//! Where nodes stand: a column for each token, a line for each layer that has nodes, the tokens below, the answer above.

use super::{AttributionGraph, GraphNode, GraphNodeKind};

/// From one node to the next, across and down.
const STEP: f64 = 15.0;
/// Lines of a place: its nodes stand side by side in as many columns as that takes, up to so many.
const LINES: usize = 3;
const MOST_PER_LINE: usize = 30;
const LEAST_COLUMN: f64 = 44.0;
/// Between columns, and between layers.
const GAP: f64 = 10.0;
/// Left of the columns, for the layers' names.
pub(super) const LEFT: f64 = 46.0;
const TOP: f64 = 26.0;
const BELOW: f64 = 34.0;
/// A node's radius.
const LEAST: f64 = 3.0;
const MOST: f64 = 6.5;

pub(super) struct Layout {
    /// By node.
    pub places: Vec<(f64, f64)>,
    pub radii: Vec<f64>,
    /// Of each column its middle and width, left to right.
    pub columns: Vec<(f64, f64)>,
    /// Of each row that has nodes its number and middle.
    pub rows: Vec<(usize, f64)>,
    pub width: f64,
    pub height: f64,
}

impl Layout {
    pub(super) fn of(graph: &AttributionGraph) -> Self {
        let n_columns = graph.tokens.len().max(1);
        let column_of = |node: &GraphNode| node.position.min(n_columns - 1);
        let mut rows: Vec<usize> = graph.nodes.iter().map(|node| node.row).collect();
        rows.sort_unstable();
        rows.dedup();
        let row_of = |row: usize| rows.binary_search(&row).unwrap_or(0);
        // How many stand at each place, and which of them a node is: the most influential first.
        let mut order: Vec<usize> = (0..graph.nodes.len()).collect();
        order.sort_by(|&a, &b| graph.nodes[b].influence.total_cmp(&graph.nodes[a].influence));
        let mut counts = vec![0usize; rows.len() * n_columns];
        let mut number = vec![0usize; graph.nodes.len()];
        for at in order {
            let node = &graph.nodes[at];
            let count = &mut counts[row_of(node.row) * n_columns + column_of(node)];
            number[at] = *count;
            *count += 1;
        }
        let per_line = |column: usize| {
            let most = (0..rows.len()).map(|row| counts[row * n_columns + column]).max();
            let most = most.unwrap_or(0);
            most.div_ceil(LINES).max(most.min(LINES)).clamp(1, MOST_PER_LINE)
        };
        let per_line: Vec<usize> = (0..n_columns).map(per_line).collect();
        let mut left = LEFT;
        let column = |column: usize| {
            let width = LEAST_COLUMN.max(per_line[column] as f64 * STEP);
            let middle = left + width / 2.0;
            left += width + GAP;
            (middle, width)
        };
        let columns: Vec<(f64, f64)> = (0..n_columns).map(column).collect();
        let width = left;
        let lines = |row: usize| {
            let lines = |column: usize| counts[row * n_columns + column].div_ceil(per_line[column]);
            (0..n_columns).map(lines).max().unwrap_or(1) as f64
        };
        let height = TOP + BELOW + (0..rows.len()).map(|row| lines(row) * STEP + GAP).sum::<f64>();
        let mut bottom = height - BELOW;
        let mut middles = Vec::new();
        for row in 0..rows.len() {
            let tall = lines(row) * STEP + GAP;
            middles.push(bottom - tall / 2.0);
            bottom -= tall;
        }
        let peak = graph
            .nodes
            .iter()
            .filter(|node| node.kind != GraphNodeKind::Answer && node.score.is_finite())
            .fold(f64::MIN_POSITIVE, |peak, node| peak.max(node.score.abs()));
        let place = |(at, node): (usize, &GraphNode)| {
            let row = row_of(node.row);
            let (count, per_line) = (
                counts[row * n_columns + column_of(node)],
                per_line[column_of(node)],
            );
            let (line, in_line) = (number[at] / per_line, number[at] % per_line);
            let n_lines = count.div_ceil(per_line);
            let n = (count - line * per_line).min(per_line);
            (
                columns[column_of(node)].0 + (in_line as f64 - (n - 1) as f64 / 2.0) * STEP,
                middles[row] + ((n_lines - 1) as f64 / 2.0 - line as f64) * STEP,
            )
        };
        let radius = |node: &GraphNode| match node.score.is_finite() {
            true => LEAST + (MOST - LEAST) * (node.score.abs() / peak).min(1.0).sqrt(),
            false => LEAST,
        };
        Self {
            places: graph.nodes.iter().enumerate().map(place).collect(),
            radii: graph.nodes.iter().map(radius).collect(),
            columns,
            rows: rows.into_iter().zip(middles).collect(),
            width,
            height,
        }
    }
}
