//! What is kept of a layer's neurons while texts pass, in tensors where the layer is.

use std::borrow::Cow;

use ecco_models::host::{self, bring};
use ecco_models::run::Place;
use ndarray::Array2;
use tch::{Device, Kind, Tensor};

use super::found::LayerNeurons;
use super::pieces::Piece;
use super::sample::Sample;
use super::{BINS, CorpusOptions, Sign};

/// What is to be known of the pieces that pass together.
pub(super) struct Batch {
    /// `[piece, position, 1]`: what does not count, padding too.
    left_out: Tensor,
    /// `[piece, 1]`: their numbers.
    numbers: Tensor,
    /// Which of them are in the sample, and where there.
    rows: Tensor,
    slots: Tensor,
    /// Tokens that were drawn, in all pieces one after the other as long as the longest, and where they are kept.
    tokens: Tensor,
    token_slots: Tensor,
    n_counted: usize,
}

impl Batch {
    pub(super) fn new(batch: &[usize], all: &[Piece], sample: &Sample, place: Place) -> Self {
        let counted = batch.iter().map(|&at| all[at].counted_in(place.encoder));
        let counted: Vec<Cow<[bool]>> = counted.collect();
        let longest = counted.iter().map(|of| of.len()).max().unwrap_or(0);
        let left_out: Vec<bool> = counted
            .iter()
            .flat_map(|of| (0..longest).map(|at| !of.get(at).copied().unwrap_or(false)))
            .collect();
        let numbers: Vec<i32> = batch.iter().map(|&at| at as i32).collect();
        let places = batch.iter().enumerate();
        let places =
            places.filter_map(|(row, at)| Some((row as i64, sample.pieces.binary_search(at).ok()? as i64)));
        let (rows, slots): (Vec<i64>, Vec<i64>) = places.unzip();
        let tokens = batch.iter().enumerate().flat_map(|(row, &piece)| {
            let place = move |(slot, position)| ((row * longest + position) as i64, slot as i64);
            sample.tokens_of(piece).map(place)
        });
        let (tokens, token_slots): (Vec<i64>, Vec<i64>) = tokens.unzip();
        let n = batch.len() as i64;
        let cpu = Device::Cpu;
        Self {
            n_counted: left_out.iter().filter(|out| !**out).count(),
            left_out: host::tensor(&left_out, cpu).reshape([n, longest as i64, 1]),
            numbers: host::tensor(&numbers, cpu).unsqueeze(1),
            rows: host::tensor(&rows, cpu),
            slots: host::tensor(&slots, cpu),
            tokens: host::tensor(&tokens, cpu),
            token_slots: host::tensor(&token_slots, cpu),
        }
    }
}

/// One layer's neurons.
pub(super) struct Running {
    pub(super) layer: Option<usize>,
    sign: Sign,
    /// Passes that it has taken in, and tokens that were counted in them.
    pub(super) n_passes: usize,
    pub(super) n_tokens: usize,
    /// `[neuron]`
    sum: Tensor,
    squares: Tensor,
    active: Tensor,
    /// The strongest places, by how strong: `[place, neuron]`.
    keys: Tensor,
    values: Tensor,
    pieces: Tensor,
    positions: Tensor,
    /// `[neuron, 1]`: a histogram goes from −range to range, a power of 2 that grows.
    range: Tensor,
    /// `[neuron, bin]`, the last one of what does not count.
    counts: Tensor,
    /// The strongest place in each piece of the sample, NaN before it was read: `[piece, neuron]`.
    sampled: Tensor,
    sampled_positions: Tensor,
    /// The values at the tokens that were drawn, NaN before they were read: `[token, neuron]`.
    drawn: Tensor,
}

/// Something that is kept of each layer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field {
    pub name: &'static str,
    /// Along which neurons are.
    pub axis: usize,
    /// Its numbers need 64 bits in a file: whole ones beyond 2²⁴, and sums.
    pub is_exact: bool,
}

pub(super) const FIELDS: [Field; 12] = [
    field("sum", 0, true),
    field("squares", 0, true),
    field("active", 0, true),
    field("keys", 1, false),
    field("values", 1, false),
    field("pieces", 1, true),
    field("positions", 1, false),
    field("range", 0, false),
    field("counts", 0, true),
    field("sampled", 1, false),
    field("sampled_positions", 1, false),
    field("drawn", 1, false),
];

const fn field(name: &'static str, axis: usize, is_exact: bool) -> Field {
    Field { name, axis, is_exact }
}

const BINS_I: i64 = BINS as i64;
/// Smaller ranges are of no use.
const LEAST_RANGE: f64 = 1.0 / (1u64 << 30) as f64;

impl Running {
    /// Of `n` neurons, whose values are on the device.
    pub(super) fn new(
        layer: Option<usize>,
        (n, device): (i64, Device),
        options: &CorpusOptions,
        sample: &Sample,
    ) -> Self {
        let (top, n_sample) = (options.top as i64, sample.pieces.len() as i64);
        let of = |size: &[i64], value: f64, kind: Kind| Tensor::full(size, value, (kind, device));
        Self {
            layer,
            sign: options.sign,
            n_passes: 0,
            n_tokens: 0,
            sum: of(&[n], 0.0, Kind::Double),
            squares: of(&[n], 0.0, Kind::Double),
            active: of(&[n], 0.0, Kind::Int64),
            keys: of(&[top, n], f64::NEG_INFINITY, Kind::Float),
            values: of(&[top, n], f64::NAN, Kind::Float),
            pieces: of(&[top, n], -1.0, Kind::Int),
            positions: of(&[top, n], -1.0, Kind::Int),
            range: of(&[n, 1], LEAST_RANGE, Kind::Float),
            counts: of(&[n, BINS_I + 1], 0.0, Kind::Int64),
            sampled: of(&[n_sample, n], f64::NAN, Kind::Float),
            sampled_positions: of(&[n_sample, n], -1.0, Kind::Int),
            drawn: of(&[sample.tokens.len() as i64, n], f64::NAN, Kind::Float),
        }
    }

    /// Takes in the values of a batch, `[piece, position, neuron]`.
    pub(super) fn add(&mut self, values: &Tensor, batch: &Batch) {
        let device = values.device();
        if self.sum.device() != device {
            // What was stored is read to the host.
            self.fields()
                .for_each(|(_, tensor)| *tensor = bring(tensor, (tensor.kind(), device)));
        }
        let left_out = bring(&batch.left_out, (Kind::Bool, values.device()));
        let values = values.to_kind(Kind::Float);
        self.add_strongest(&values, &left_out, batch);
        let index = |x: &Tensor| bring(x, (Kind::Int64, device));
        let drawn = values.flatten(0, 1).index_select(0, &index(&batch.tokens)); // [token, neuron]
        let _ = self.drawn.index_copy_(0, &index(&batch.token_slots), &drawn);
        let values = values.masked_fill(&left_out, 0.0);
        self.n_passes += 1;
        self.n_tokens += batch.n_counted;
        let over = [0i64, 1].as_slice();
        self.sum += values.sum_dim_intlist(over, false, Kind::Double);
        self.squares += values.square().sum_dim_intlist(over, false, Kind::Double);
        self.active += values.gt(0.0).sum_dim_intlist(over, false, Kind::Int64);
        self.add_counts(&values, &left_out);
    }

    fn add_strongest(&mut self, values: &Tensor, left_out: &Tensor, batch: &Batch) {
        let keys = match self.sign {
            Sign::Positive => values.shallow_clone(),
            Sign::Negative => values.neg(),
            Sign::Both => values.abs(),
        };
        // What is no number is no place.
        let none = values.isnan().logical_or(left_out);
        let (keys, positions) = keys.masked_fill(&none, f64::NEG_INFINITY).max_dim(1, true); // [piece, 1, neuron]
        let best = values.gather(1, &positions, false).squeeze_dim(1); // [piece, neuron]
        let (keys, positions) = (keys.squeeze_dim(1), positions.squeeze_dim(1).to_kind(Kind::Int));
        let device = values.device();
        let index = |x: &Tensor| bring(x, (Kind::Int64, device));
        let (rows, slots) = (index(&batch.rows), index(&batch.slots));
        let is_place = keys.isfinite();
        let known = best.where_self(&is_place, &Tensor::full_like(&best, f64::NAN));
        let _ = self.sampled.index_copy_(0, &slots, &known.index_select(0, &rows));
        let _ = self
            .sampled_positions
            .index_copy_(0, &slots, &positions.index_select(0, &rows));
        let numbers = bring(&batch.numbers, (Kind::Int, device)).expand_as(&positions);
        let together = |kept: &Tensor, new: &Tensor| Tensor::cat(&[kept, new], 0);
        let top = self.keys.size()[0];
        let (strongest, order) = together(&self.keys, &keys).topk(top, 0, true, true);
        let taken = |kept: &Tensor, new: &Tensor| together(kept, new).gather(0, &order, false);
        // In place: what is kept and lies anew after each pass would leave holes between what the passes make, and memory grow.
        for (kept, new) in [
            (&mut self.values, &best),
            (&mut self.pieces, &numbers),
            (&mut self.positions, &positions),
        ] {
            kept.copy_(&taken(kept, new));
        }
        self.keys.copy_(&strongest);
    }

    /// Counts values in bins. Where one is beyond the range, the range doubles as often as it must, and bins come together:
    /// their edges are multiples of the new width, so that each goes into one whole.
    fn add_counts(&mut self, values: &Tensor, left_out: &Tensor) {
        let half = BINS as f64 / 2.0;
        let largest = values.abs().amax([0i64, 1], false).unsqueeze(1); // [neuron, 1]
        let needed = largest.log2().ceil().exp2();
        // What is no number leaves it as it is.
        let range = self.range.fmax(&needed.nan_to_num(0.0, None::<f64>, None::<f64>));
        let middles = Tensor::arange(BINS_I, (Kind::Float, values.device())) + 0.5 - half; // [bin]
        let moved = (middles * (&self.range / &range) + half)
            .floor()
            .to_kind(Kind::Int64); // [neuron, bin]
        let moved = moved.clamp(0, BINS_I - 1);
        let last = self.counts.narrow(1, 0, BINS_I);
        let counts = self.counts.zeros_like().scatter_add(1, &moved, &last);
        // Whole before the middle is added: what is a little below 0 stays below it.
        let bins = (values / range.reshape([1, 1, -1]) * half).floor() + half;
        let bins = bins
            .nan_to_num(0.0, None::<f64>, None::<f64>)
            .clamp(0.0, BINS as f64 - 1.0);
        let bins = bins.to_kind(Kind::Int64).masked_fill(left_out, BINS_I); // [piece, position, neuron]
        let bins = bins.flatten(0, 1).tr(); // [neuron, place]
        let ones = Tensor::ones([1, 1], (Kind::Int64, values.device())).expand_as(&bins);
        self.counts.copy_(&counts.scatter_add(1, &bins, &ones));
        self.range.copy_(&range);
    }

    /// All that is kept, in the order of [`FIELDS`].
    pub(super) fn fields(&mut self) -> impl Iterator<Item = (Field, &mut Tensor)> {
        let tensors = [
            &mut self.sum,
            &mut self.squares,
            &mut self.active,
            &mut self.keys,
            &mut self.values,
            &mut self.pieces,
            &mut self.positions,
            &mut self.range,
            &mut self.counts,
            &mut self.sampled,
            &mut self.sampled_positions,
            &mut self.drawn,
        ];
        FIELDS.into_iter().zip(tensors)
    }

    pub(super) fn n_neurons(&self) -> usize {
        self.sum.size()[0] as usize
    }

    /// Pieces and positions that are kept, −1 where there are none; `sample` are the pieces of the sample.
    pub(super) fn places(&self, sample: &[usize]) -> Vec<(i64, i64)> {
        let [pieces, positions] = [&self.pieces, &self.positions].map(host::ids);
        let n = self.n_neurons();
        let of_sample = sample
            .iter()
            .flat_map(|&piece| std::iter::repeat_n(piece as i64, n));
        let of_sample = of_sample.zip(host::ids(&self.sampled_positions));
        let of_sample = of_sample.filter(|(_, position)| *position != -1);
        pieces.into_iter().zip(positions).chain(of_sample).collect()
    }

    /// The sum of each neuron's values.
    pub(super) fn sums(&self) -> Vec<f64> {
        host::numbers(&self.sum)
    }

    /// To the host, in one crossing.
    pub(super) fn finish(self) -> LayerNeurons {
        let counts = self.counts.narrow(1, 0, BINS_I);
        let strongest = [&self.values, &self.pieces, &self.positions].map(Tensor::tr);
        let sample = [&self.sampled, &self.sampled_positions, &self.drawn].map(Tensor::tr);
        let all = [&self.sum, &self.squares, &self.active, &self.range, &counts];
        let all: Vec<&Tensor> = all.into_iter().chain(&strongest).chain(&sample).collect();
        let n = self.sum.size()[0] as usize;
        let mut numbers = host::numbers_of_all(&all).into_iter();
        let mut next = || numbers.next().unwrap_or_default();
        let [sum, squares, active, range] = std::array::from_fn(|_| next());
        let mut table = || {
            let values = next();
            let width = values.len() / n.max(1);
            // As many rows as neurons.
            Array2::from_shape_vec((n, width), values).unwrap_or_default()
        };
        let (counts, values, pieces, positions) = (table(), table(), table(), table());
        let (sampled, sampled_positions, drawn) = (table(), table(), table());
        let count = self.n_tokens as f64;
        let mean: Vec<f64> = sum.iter().map(|sum| sum / count).collect();
        let deviation = |(squares, mean): (&f64, &f64)| (squares / count - mean * mean).max(0.0).sqrt();
        let place = |x: Array2<f64>| x.mapv(|number| number as i32);
        LayerNeurons {
            layer: self.layer,
            n_tokens: self.n_tokens,
            deviation: squares.iter().zip(&mean).map(deviation).collect(),
            mean,
            active: active.iter().map(|active| active / count).collect(),
            values: values.mapv(|value| value as f32),
            pieces: place(pieces),
            positions: place(positions),
            range,
            counts: counts.mapv(|count| count as u64),
            sampled: sampled.mapv(|value| value as f32),
            sampled_positions: place(sampled_positions),
            drawn: drawn.mapv(|value| value as f32),
        }
    }
}
