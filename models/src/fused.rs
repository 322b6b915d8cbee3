//! Steps of a pass that are several operations of libtorch, in one walk over memory: float32 on the processor that is not
//! differentiated. `None` for all else, which libtorch does.
//!
//! Of a pass over one token the time is that of calling operations, where it is not that of reading weights; of one over many each
//! operation reads and writes the whole stream.

mod norms;

use std::marker::PhantomData;
use std::slice;

use tch::{Device, Kind, Tensor};

use crate::host::lent;
use crate::lanes::{Lanes, Width, Work};
use crate::parallel;

pub(crate) use norms::{layer_norm, root_mean_square};

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

/// The largest number and its place, the first of equals; where one is no number, that is the largest.
pub(crate) fn largest(x: &Tensor) -> Option<(f32, usize)> {
    if !is_plain(x) || x.numel() == 0 {
        return None;
    }
    let x = x.contiguous();
    let numbers = lent(&x);
    let largest = Width::widest().run(Largest(numbers));
    let is_it = |x: &f32| *x == largest || x.is_nan();
    let place = numbers.iter().position(is_it)?;
    Some((numbers[place], place))
}

/// The largest of all that are numbers, and no number where one is none.
struct Largest<'a>(&'a [f32]);

impl Work for Largest<'_> {
    type Result = f32;

    #[inline(always)]
    unsafe fn by<L: Lanes>(self) -> f32 {
        const SIDE_BY_SIDE: usize = 32;
        let (mut largest, mut sums) = ([f32::NEG_INFINITY; SIDE_BY_SIDE], [0.0_f32; SIDE_BY_SIDE]);
        let (blocks, rest) = self.0.as_chunks::<SIDE_BY_SIDE>();
        for block in blocks {
            for (place, &x) in block.iter().enumerate() {
                largest[place] = if x > largest[place] { x } else { largest[place] };
                // It stays zero unless something is no number.
                sums[place] += if x.is_nan() { x } else { 0.0 };
            }
        }
        let all = largest.into_iter().chain(rest.iter().copied());
        let is_known = !sums.iter().chain(rest).any(|x| x.is_nan());
        if is_known {
            all.fold(f32::NEG_INFINITY, f32::max)
        } else {
            f32::NAN
        }
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
        for score in self.scores.iter_mut() {
            *score = (f64::from(*score) / sum) as f32;
        }
        const SIDE_BY_SIDE: usize = 4;
        let (shares, values, length) = (&*self.scores, &self.values, self.mixed.len());
        let mut place = 0;
        // SAFETY: the caller promises the lanes; what is read and written is within a row.
        unsafe {
            while place + SIDE_BY_SIDE * L::N <= length {
                mix::<L, SIDE_BY_SIDE>(shares, values, place, self.mixed);
                place += SIDE_BY_SIDE * L::N;
            }
            while place + L::N <= length {
                mix::<L, 1>(shares, values, place, self.mixed);
                place += L::N;
            }
        }
        for (place, mixed) in self.mixed.iter_mut().enumerate().skip(place) {
            let of = |(index, share): (usize, &f32)| {
                // SAFETY: a value that there is.
                share * unsafe { values.row(index, length) }[place]
            };
            *mixed = shares.iter().enumerate().map(of).sum();
        }
    }
}

/// Numbers of the mixture from a place on, `K` lanes of them, whose sums stay in registers.
///
/// # Safety
/// The processor has the lanes; values and the mixture are that long, and there is a value for each share.
#[inline(always)]
unsafe fn mix<L: Lanes, const K: usize>(shares: &[f32], values: &Rows, place: usize, mixed: &mut [f32]) {
    // SAFETY: as the caller promises.
    unsafe {
        let mut sums = [L::all(0.0); K];
        for (index, share) in shares.iter().enumerate() {
            let value = values.row(index, mixed.len()).as_ptr().add(place);
            let share = L::all(*share);
            for (lane, sum) in sums.iter_mut().enumerate() {
                *sum = L::load(value.add(lane * L::N)).times_plus(share, *sum);
            }
        }
        for (lane, sum) in sums.into_iter().enumerate() {
            sum.store(mixed.as_mut_ptr().add(place + lane * L::N));
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

#[cfg(test)]
mod tests;
