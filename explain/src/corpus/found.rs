//! What a pass over texts has found of every neuron, on the host.

use ecco_models::run::Place;
use ndarray::{Array2, ArrayView1};

use super::pieces::Pieces;
use super::sample::Sample;
use super::{BINS, Sign, Units};

/// Every neuron of some layers over many texts.
#[derive(Debug, Clone, PartialEq)]
pub struct Corpus {
    pub place: Place,
    pub units: Units,
    pub sign: Sign,
    /// As far as one of them was looked at.
    pub layers: Vec<LayerNeurons>,
    pub pieces: Pieces,
    pub sample: Sample,
    /// Pieces and tokens that were read.
    pub n_read: usize,
    pub n_tokens: usize,
    /// Whether that were all.
    pub is_whole: bool,
}

/// The neurons of a layer.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerNeurons {
    /// None where the site is no layer's.
    pub layer: Option<usize>,
    /// Tokens that were counted.
    pub n_tokens: usize,
    /// By neuron, over all tokens: the mean, the deviation, and the share of tokens where it is above 0.
    pub mean: Vec<f64>,
    pub deviation: Vec<f64>,
    pub active: Vec<f64>,
    /// The strongest places, one a piece, the strongest first: values, pieces and positions in them (neuron, place). Where
    /// there are not as many, the piece is negative.
    pub values: Array2<f32>,
    pub pieces: Array2<i32>,
    pub positions: Array2<i32>,
    /// Histograms go from −range to range.
    pub range: Vec<f64>,
    /// (neuron, bin)
    pub counts: Array2<u64>,
    /// The strongest place in each piece of the sample, NaN where that was not read: (neuron, piece).
    pub sampled: Array2<f32>,
    pub sampled_positions: Array2<i32>,
    /// The values at the tokens of the sample, NaN where they were not read: (neuron, token).
    pub drawn: Array2<f32>,
}

/// Where a neuron is strong.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NeuronPlace {
    pub piece: usize,
    pub position: usize,
    pub value: f32,
}

impl LayerNeurons {
    pub fn n_neurons(&self) -> usize {
        self.mean.len()
    }

    /// A neuron's strongest places, the strongest first.
    pub fn strongest(&self, neuron: usize) -> Vec<NeuronPlace> {
        let rows = self.values.row(neuron);
        let places = self
            .pieces
            .row(neuron)
            .into_iter()
            .zip(self.positions.row(neuron));
        let places = rows
            .iter()
            .zip(places)
            .filter_map(|(&value, (&piece, &position))| {
                let (piece, position) = (usize::try_from(piece).ok()?, usize::try_from(position).ok()?);
                value.is_finite().then_some(NeuronPlace {
                    piece,
                    position,
                    value,
                })
            });
        places.collect()
    }

    /// The largest of the strongest; NaN where there is none.
    pub fn peak(&self, neuron: usize) -> f64 {
        self.strongest(neuron)
            .first()
            .map_or(f64::NAN, |place| place.value.into())
    }

    /// Values below which these shares of the tokens of the sample are, between two of them in proportion (numpy's "linear"); NaN
    /// where none was read.
    pub fn quantiles(&self, neuron: usize, shares: &[f64]) -> Vec<f64> {
        quantiles(self.drawn.row(neuron), shares)
    }

    /// How alike two neurons' values are at the tokens of the sample: Pearson's correlation; NaN where one is always the same.
    pub fn correlation(&self, neuron: usize, other: (&Self, usize)) -> f64 {
        correlation(self.drawn.row(neuron), other.0.drawn.row(other.1))
    }

    /// Of the texts of the sample, in the order of a neuron's strongest value in each, those at these shares of the way from
    /// the weakest, 0, to the strongest, 1.
    pub fn at_quantiles(
        &self,
        neuron: usize,
        sample: &[usize],
        shares: &[f64],
        sign: Sign,
    ) -> Vec<NeuronPlace> {
        let values = self.sampled.row(neuron);
        let positions = self.sampled_positions.row(neuron);
        let places = values.iter().zip(positions).zip(sample);
        let mut places: Vec<NeuronPlace> = places
            .filter(|((value, _), _)| value.is_finite())
            .filter_map(|((&value, &position), &piece)| {
                let position = usize::try_from(position).ok()?;
                Some(NeuronPlace {
                    piece,
                    position,
                    value,
                })
            })
            .collect();
        let key = |place: &NeuronPlace| match sign {
            Sign::Positive => place.value,
            Sign::Negative => -place.value,
            Sign::Both => place.value.abs(),
        };
        places.sort_by(|a, b| key(a).total_cmp(&key(b)));
        let at = |share: &f64| {
            let last = places.len().checked_sub(1)?;
            places.get((share * last as f64).round() as usize).copied()
        };
        shares.iter().filter_map(at).collect()
    }

    /// The histogram between the outermost bins that have something: where it begins and ends, and how many tokens are in
    /// each bin.
    pub fn histogram(&self, neuron: usize) -> (f64, f64, Vec<u64>) {
        let row = self.counts.row(neuron);
        let first = row.iter().position(|count| *count > 0).unwrap_or(0);
        let last = row.iter().rposition(|count| *count > 0).unwrap_or(0);
        let width = 2.0 * self.range[neuron] / BINS as f64;
        let edge = |bin: usize| bin as f64 * width - self.range[neuron];
        let counts = row.iter().skip(first).take(last + 1 - first);
        (edge(first), edge(last + 1), counts.copied().collect())
    }

    /// How far the strongest value is from the mean, in deviations: large for a neuron that is silent but for few places. NaN
    /// where its value is always the same.
    pub fn selectivity(&self, neuron: usize) -> f64 {
        match self.deviation[neuron] > 0.0 {
            true => (self.peak(neuron) - self.mean[neuron]).abs() / self.deviation[neuron],
            false => f64::NAN,
        }
    }
}

impl Corpus {
    /// The neurons of a layer; of a site that is no layer's, of layer 0.
    pub fn layer(&self, layer: usize) -> Option<&LayerNeurons> {
        self.layers.iter().find(|of| of.layer.unwrap_or(0) == layer)
    }

    /// The token at a place.
    pub fn token(&self, place: &NeuronPlace) -> Option<u32> {
        self.ids(place.piece).get(place.position).copied()
    }

    /// What the stack of the site reads of a piece.
    pub fn ids(&self, piece: usize) -> &[u32] {
        let input = self.pieces.all.get(piece).map(|piece| &piece.input);
        input.map_or(&[], |input| match self.place.encoder {
            true => &input.ids,
            false => input.spoken(),
        })
    }
}

fn quantiles(values: ArrayView1<f32>, shares: &[f64]) -> Vec<f64> {
    let values = values.iter().filter(|value| value.is_finite());
    let mut values: Vec<f64> = values.map(|&value| value.into()).collect();
    values.sort_by(f64::total_cmp);
    let at = |share: &f64| {
        let Some(last) = values.len().checked_sub(1) else {
            return f64::NAN;
        };
        let place = share.clamp(0.0, 1.0) * last as f64;
        let below = values[place.floor() as usize];
        below + (values[place.ceil() as usize] - below) * place.fract()
    };
    shares.iter().map(at).collect()
}

fn correlation(one: ArrayView1<f32>, other: ArrayView1<f32>) -> f64 {
    let both = || {
        let both = one.iter().zip(other).map(|(&a, &b)| (f64::from(a), f64::from(b)));
        both.filter(|(a, b)| a.is_finite() && b.is_finite())
    };
    let [n, a, b] = both().fold([0.0; 3], |[n, a, b], (x, y)| [n + 1.0, a + x, b + y]);
    let products = both().fold([0.0; 3], |[aa, ab, bb], (x, y)| {
        let (x, y) = (x - a / n, y - b / n);
        [aa + x * x, ab + x * y, bb + y * y]
    });
    products[1] / (products[0] * products[2]).sqrt()
}

#[cfg(test)]
mod tests {
    use ndarray::aview1;

    use super::*;

    /// `numpy.quantile` and `numpy.corrcoef` of what is finite.
    #[test]
    fn quantiles_and_correlations_are_numpys() {
        let values = [3.0, f32::NAN, 1.0, 2.0, 10.0];
        let found = quantiles(aview1(&values), &[0.0, 0.1, 0.25, 0.5, 0.9, 1.0]);
        for (found, expected) in found.iter().zip([1.0, 1.3, 1.75, 2.5, 7.9, 10.0]) {
            assert!((found - expected).abs() < 1e-12, "{found}, expected {expected}");
        }
        assert!(quantiles(aview1(&[f32::NAN]), &[0.5])[0].is_nan());
        let other = [1.0, 7.0, 0.0, 2.0, 4.0];
        let found = correlation(aview1(&values), aview1(&other));
        assert!((found - 0.908_373_743_094_139_2).abs() < 1e-12, "{found}");
        assert!(correlation(aview1(&values), aview1(&[2.0; 5])).is_nan());
    }
}
