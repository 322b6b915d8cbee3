//! Steps of a pass that are several operations of libtorch, in one walk over memory: float32 on the processor that is not
//! differentiated. `None` for all else, which libtorch does.
//!
//! Of a pass over one token the time is that of calling operations, where it is not that of reading weights; of one over many each
//! operation reads and writes the whole stream.

use std::marker::PhantomData;
use std::slice;

use tch::{Device, Kind, Tensor};

use crate::host::lent;
use crate::lanes::{Lanes, Width, Work};
use crate::parallel;

/// Numbers that a thread is worth starting for.
const PER_THREAD: usize = 1 << 15;

/// Whether a tensor is what these steps are for.
fn is_plain(x: &Tensor) -> bool {
    x.kind() == Kind::Float && x.device() == Device::Cpu && !x.requires_grad()
}

/// Where threads write, each numbers of its own.
struct Target(*mut f32);

// SAFETY: no two threads have the same rows, see those who write.
unsafe impl Sync for Target {}

impl Target {
    fn of(x: &Tensor) -> Self {
        Self(x.data_ptr().cast())
    }

    /// # Safety
    /// There are so many, which nobody else has.
    #[allow(clippy::mut_from_ref)] // What the safety says.
    unsafe fn part(&self, from: usize, length: usize) -> &mut [f32] {
        // SAFETY: as the caller promises.
        unsafe { slice::from_raw_parts_mut(self.0.add(from), length) }
    }
}

/// x / √(mean x² + ε) · (w + more) over the last axis, `w` of its length. Squares are summed in double precision.
pub(crate) fn root_mean_square(x: &Tensor, weight: &Tensor, more: f32, epsilon: f64) -> Option<Tensor> {
    let n = *x.size().last()? as usize;
    if !is_plain(x) || !is_plain(weight) || weight.dim() != 1 || weight.numel() != n || x.numel() == 0 {
        return None;
    }
    let (x, weight) = (x.contiguous(), weight.contiguous());
    let y = x.empty_like();
    let (from, weight, to) = (lent(&x), lent(&weight), Target::of(&y));
    parallel::ranges(from.len() / n, (PER_THREAD / n).max(1), &|rows| {
        for row in rows {
            // SAFETY: each row is one thread's.
            let to = unsafe { to.part(row * n, n) };
            let from = &from[row * n..][..n];
            let square = Width::widest().run(Squares(from));
            let inverse = (1.0 / (square / n as f64 + epsilon).sqrt()) as f32;
            for ((to, x), weight) in to.iter_mut().zip(from).zip(weight) {
                *to = x * inverse * (weight + more);
            }
        }
    });
    Some(y)
}

/// Σ x², in pieces that are summed in double precision.
struct Squares<'a>(&'a [f32]);

impl Work for Squares<'_> {
    type Result = f64;

    #[inline(always)]
    unsafe fn by<L: Lanes>(self) -> f64 {
        const PIECE: usize = 64;
        let (pieces, rest) = self.0.as_chunks::<PIECE>();
        let mut sum = 0.0;
        for piece in pieces {
            // SAFETY: the caller promises the lanes, of which a piece has a whole number.
            unsafe {
                let mut squares = L::all(0.0);
                for place in (0..PIECE).step_by(L::N) {
                    let x = L::load(piece.as_ptr().add(place));
                    squares = x.times_plus(x, squares);
                }
                sum += f64::from(squares.sum());
            }
        }
        sum + f64::from(rest.iter().map(|x| x * x).sum::<f32>())
    }
}

/// Of x, `[batch, head, position, head_dim]`, in any order of memory but with a head's numbers side by side: those from `start` on turned
/// by pairs, `[position, half]` each, of which the second stands `half` numbers behind the first or, with `neighbours`, one.
pub(crate) fn turn(
    x: &Tensor,
    [cosines, sines]: [&Tensor; 2],
    start: i64,
    neighbours: bool,
) -> Option<Tensor> {
    let [batch, n_heads, n_positions, dim]: [i64; 4] = x.size()[..].try_into().ok()?;
    let strides = strides(x)?;
    let [_, half]: [i64; 2] = cosines.size()[..].try_into().ok()?;
    let fits = cosines.size() == [n_positions, half] && sines.size() == cosines.size();
    if !fits || ![x, cosines, sines].into_iter().all(is_plain) || x.numel() == 0 {
        return None;
    }
    let (cosines, sines) = (cosines.contiguous(), sines.contiguous());
    let y = Tensor::empty([batch, n_heads, n_positions, dim], (Kind::Float, Device::Cpu));
    let [n_heads, n_positions, dim, half, start] =
        [n_heads, n_positions, dim, half, start].map(|n| n as usize);
    let (cosines, sines) = (lent(&cosines), lent(&sines));
    let (from, to) = (Source::of(x), Target::of(&y));
    let n_rows = y.numel() / dim;
    parallel::ranges(n_rows, (PER_THREAD / dim).max(1), &|rows| {
        for row in rows {
            let place = [
                row / n_positions / n_heads,
                row / n_positions % n_heads,
                row % n_positions,
            ];
            let offset: usize = place
                .iter()
                .zip(strides)
                .map(|(place, stride)| place * stride)
                .sum();
            // SAFETY: a row that there is; each is written by one thread.
            let (x, to) = unsafe { (from.rows(offset, 0).row(0, dim), to.part(row * dim, dim)) };
            to[..start].copy_from_slice(&x[..start]);
            to[start + 2 * half..].copy_from_slice(&x[start + 2 * half..]);
            let of_position = place[2] * half;
            let turns = cosines[of_position..][..half]
                .iter()
                .zip(&sines[of_position..][..half]);
            let (x, to) = (&x[start..][..2 * half], &mut to[start..][..2 * half]);
            match neighbours {
                true => {
                    for ((to, x), (cosine, sine)) in
                        to.as_chunks_mut().0.iter_mut().zip(x.as_chunks().0).zip(turns)
                    {
                        let [first, second] = *x;
                        *to = [first * cosine - second * sine, second * cosine + first * sine];
                    }
                }
                false => {
                    let ((x, behind), (to, to_behind)) = (x.split_at(half), to.split_at_mut(half));
                    let pairs = x.iter().zip(behind).zip(turns);
                    for ((to, to_behind), ((first, second), (cosine, sine))) in
                        to.iter_mut().zip(to_behind).zip(pairs)
                    {
                        *to = first * cosine - second * sine;
                        *to_behind = second * cosine + first * sine;
                    }
                }
            }
        }
    });
    Some(y)
}

/// Where threads read.
struct Source(*const f32);

// SAFETY: it is only read.
unsafe impl Sync for Source {}

impl Source {
    fn of(x: &Tensor) -> Self {
        Self(x.data_ptr().cast_const().cast())
    }

    /// Rows that lie so far from each other.
    ///
    /// # Safety
    /// They are there, as long as they are used.
    unsafe fn rows(&self, from: usize, between: usize) -> Rows<'_> {
        Rows {
            // SAFETY: as the caller promises.
            first: unsafe { self.0.add(from) },
            between,
            source: PhantomData,
        }
    }
}

struct Rows<'a> {
    first: *const f32,
    between: usize,
    source: PhantomData<&'a Source>,
}

impl<'a> Rows<'a> {
    /// # Safety
    /// There is such a row, of such a length.
    #[inline(always)]
    unsafe fn row(&self, index: usize, length: usize) -> &'a [f32] {
        // SAFETY: as the caller promises.
        unsafe { slice::from_raw_parts(self.first.add(index * self.between), length) }
    }
}

/// softmax(scale · q kᵀ) v of one query, `[batch, head, 1, head_dim]`, that sees all keys, `[batch, kv head, key, head_dim]`, and their
/// values, `[batch, kv head, key, value_dim]`: `[batch, head, 1, value_dim]`. Keys and values may be parts of rooms that are longer.
pub(crate) fn one_query(query: &Tensor, key: &Tensor, value: &Tensor, scale: f64) -> Option<Tensor> {
    let [batch, n_heads, 1, dim] = query.size()[..] else {
        return None;
    };
    let [n_batch, n_groups, n_keys, key_dim] = key.size()[..] else {
        return None;
    };
    let value_dim = *value.size().last()?;
    let fits = batch == n_batch && dim == key_dim && n_groups > 0 && n_heads % n_groups == 0 && n_keys > 0;
    let (keys, values) = (strides(key)?, strides(value)?);
    if !fits || value.size()[..3] != key.size()[..3] || ![query, key, value].into_iter().all(is_plain) {
        return None;
    }
    let query = query.contiguous();
    let mixed = Tensor::empty([batch, n_heads, 1, value_dim], (Kind::Float, Device::Cpu));
    let (queries, to) = (lent(&query), Target::of(&mixed));
    let (key, value) = (Source::of(key), Source::of(value));
    let [n_heads, n_groups, n_keys, dim, value_dim] =
        [n_heads, n_groups, n_keys, dim, value_dim].map(|n| n as usize);
    let per_group = n_heads / n_groups;
    parallel::ranges(
        queries.len() / dim,
        (PER_THREAD / n_keys / dim).max(1),
        &|heads| {
            let mut scores = vec![0.0; n_keys];
            for head in heads {
                let (text, group) = (head / n_heads, head % n_heads / per_group);
                // SAFETY: what sizes and strides say is there; each head's mixture is one thread's.
                Width::widest().run(unsafe {
                    Head {
                        query: &queries[head * dim..][..dim],
                        keys: key.rows(text * keys[0] + group * keys[1], keys[2]),
                        values: value.rows(text * values[0] + group * values[1], values[2]),
                        scale: scale as f32,
                        scores: &mut scores,
                        mixed: to.part(head * value_dim, value_dim),
                    }
                });
            }
        },
    );
    Some(mixed)
}

/// From one to the next of texts, heads and positions, of heads whose numbers lie side by side.
fn strides(x: &Tensor) -> Option<[usize; 3]> {
    match x.stride()[..] {
        [of_text, of_head, of_position, 1] => Some([of_text, of_head, of_position].map(|n| n as usize)),
        _ => None,
    }
}

/// One head's query and what it sees.
struct Head<'a> {
    query: &'a [f32],
    keys: Rows<'a>,
    values: Rows<'a>,
    scale: f32,
    /// By key, for what is made on the way.
    scores: &'a mut [f32],
    mixed: &'a mut [f32],
}

impl Work for Head<'_> {
    type Result = ();

    #[inline(always)]
    unsafe fn by<L: Lanes>(self) {
        let mut largest = f32::NEG_INFINITY;
        for (index, score) in self.scores.iter_mut().enumerate() {
            // SAFETY: a key that there is, and the caller promises the lanes.
            *score = unsafe { dot::<L>(self.query, self.keys.row(index, self.query.len())) } * self.scale;
            largest = largest.max(*score);
        }
        let mut sum = 0.0;
        for score in self.scores.iter_mut() {
            *score = (*score - largest).exp();
            sum += f64::from(*score);
        }
        self.mixed.fill(0.0);
        for (index, share) in self.scores.iter().enumerate() {
            let share = (f64::from(*share) / sum) as f32;
            // SAFETY: as above.
            unsafe { add::<L>(self.mixed, self.values.row(index, self.mixed.len()), share) };
        }
    }
}

/// # Safety
/// The processor has the lanes.
#[inline(always)]
unsafe fn dot<L: Lanes>(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    let whole = a.len() - a.len() % L::N;
    // SAFETY: both have so many numbers, and the caller promises the lanes.
    let sum = unsafe {
        // Side by side, so that one does not wait for the other.
        let mut sums = [L::all(0.0); 2];
        for place in (0..whole).step_by(L::N) {
            let product =
                |sum| L::load(a.as_ptr().add(place)).times_plus(L::load(b.as_ptr().add(place)), sum);
            sums = [sums[1], product(sums[0])];
        }
        sums[0].plus(sums[1]).sum()
    };
    sum + a[whole..]
        .iter()
        .zip(&b[whole..])
        .map(|(a, b)| a * b)
        .sum::<f32>()
}

/// Adds so much of the second vector to the first.
///
/// # Safety
/// The processor has the lanes.
#[inline(always)]
unsafe fn add<L: Lanes>(to: &mut [f32], x: &[f32], factor: f32) {
    assert_eq!(to.len(), x.len());
    let whole = to.len() - to.len() % L::N;
    // SAFETY: both have so many numbers, and the caller promises the lanes.
    unsafe {
        let factor = L::all(factor);
        for place in (0..whole).step_by(L::N) {
            let sum = L::load(to.as_ptr().add(place));
            let sum = L::load(x.as_ptr().add(place)).times_plus(factor, sum);
            sum.store(to.as_mut_ptr().add(place));
        }
    }
    for (to, x) in to[whole..].iter_mut().zip(&x[whole..]) {
        *to += x * factor;
    }
}

#[cfg(test)]
mod tests;
