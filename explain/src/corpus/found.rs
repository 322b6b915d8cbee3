//! What a pass over texts has found of every neuron, on the host.

use ecco_models::run::Place;
use ndarray::Array2;

use super::pieces::Pieces;
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
    /// Pieces of the sample, in order.
    pub sample: Vec<usize>,
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
