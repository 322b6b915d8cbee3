//! Which neurons are most active, and where.

use ecco_interpreter::named;
use ndarray::ArrayView2;

named! {
/// How a neuron's activations over several positions become one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reduction {
    /// The largest; a neuron that fires once is found.
    #[default]
    Max = "max",
    /// The mean; neurons that fire everywhere come first.
    Mean = "mean",
}
}

/// A neuron and how active it is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RankedNeuron {
    /// The row of its layer.
    pub layer: usize,
    pub neuron: usize,
    /// The activation, or the mean over positions.
    pub value: f32,
    /// Where it is most active among the positions that were looked at.
    pub position: usize,
}

/// The `n` most active neurons of all layers (neuron, position), the most active first; among equals the earlier layer
/// and neuron. What is not a number does not count. Positions are those of `positions`.
pub fn most_active(
    layers: &[ArrayView2<f32>],
    positions: std::ops::Range<usize>,
    over: Reduction,
    n: usize,
) -> Vec<RankedNeuron> {
    let mut found: Vec<RankedNeuron> = Vec::new();
    for (layer, matrix) in layers.iter().enumerate() {
        for (neuron, values) in matrix.outer_iter().enumerate() {
            let values = positions
                .clone()
                .filter_map(|position| Some((position, *values.get(position)?)));
            let values = values.filter(|(_, value)| value.is_finite());
            let (mut sum, mut count, mut best) = (0.0, 0, None::<(usize, f32)>);
            for (position, value) in values {
                sum += f64::from(value);
                count += 1;
                if best.is_none_or(|(_, most)| value > most) {
                    best = Some((position, value));
                }
            }
            let Some((position, most)) = best else { continue };
            let value = match over {
                Reduction::Max => most,
                Reduction::Mean => (sum / f64::from(count)) as f32,
            };
            found.push(RankedNeuron {
                layer,
                neuron,
                value,
                position,
            });
        }
        keep(&mut found, n);
    }
    found
}

/// The `n` entries of a row that are largest in absolute value, largest first: (index, value).
pub fn heaviest(row: ndarray::ArrayView1<f32>, n: usize) -> Vec<(usize, f32)> {
    let numbers = row
        .iter()
        .copied()
        .enumerate()
        .filter(|(_, value)| value.is_finite() && *value != 0.0);
    let mut all: Vec<(usize, f32)> = numbers.collect();
    let order = |a: &(usize, f32), b: &(usize, f32)| b.1.abs().total_cmp(&a.1.abs()).then(a.0.cmp(&b.0));
    if n > 0 && n < all.len() {
        all.select_nth_unstable_by(n - 1, order);
    }
    all.truncate(n);
    all.sort_by(order);
    all
}

fn keep(found: &mut Vec<RankedNeuron>, n: usize) {
    let place = |active: &RankedNeuron| (active.layer, active.neuron);
    found.sort_by(|a, b| b.value.total_cmp(&a.value).then(place(a).cmp(&place(b))));
    found.truncate(n);
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn the_most_active_come_first() {
        let first = array![[0.5f32, 0.1, -4.0], [0.4, 0.4, 0.4]];
        let second = array![[f32::NAN, 3.0, 0.0], [0.5, -1.0, 0.5]];
        let layers = [first.view(), second.view()];
        let found = most_active(&layers, 0..3, Reduction::Max, 3);
        let places: Vec<_> = found
            .iter()
            .map(|a| (a.layer, a.neuron, a.position, a.value))
            .collect();
        assert_eq!(places, [(1, 0, 1, 3.0), (0, 0, 0, 0.5), (1, 1, 0, 0.5)]);
        let found = most_active(&layers, 0..3, Reduction::Mean, 2);
        assert_eq!((found[0].layer, found[0].neuron, found[0].value), (1, 0, 1.5));
        assert_eq!((found[1].layer, found[1].neuron), (0, 1));
        let found = most_active(&layers, 2..3, Reduction::Max, 1);
        assert_eq!((found[0].layer, found[0].neuron, found[0].position), (1, 1, 2));
        assert!(most_active(&layers, 5..9, Reduction::Max, 3).is_empty());
    }

    #[test]
    fn the_heaviest_are_signed() {
        let row = array![0.0f32, -3.0, 2.0, f32::NAN, 3.0];
        assert_eq!(heaviest(row.view(), 3), [(1, -3.0), (4, 3.0), (2, 2.0)]);
        assert!(heaviest(row.view(), 0).is_empty());
    }
}
