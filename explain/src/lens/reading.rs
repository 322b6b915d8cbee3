//! What logits say: the best tokens, ranks, entropy, and how far from the output.
//!
//! On a processor a row of float32 is read from its cache: once for the largest numbers, once for the sums of the softmax, once for
//! the divergence. Elsewhere, and of other types, libtorch reads all rows at a time.

use std::sync::OnceLock;

use ecco_models::{host, parallel};
use tch::{Device, Kind, Tensor};

#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// The most probable tokens with their probabilities, best first.
    pub top: Vec<(u32, f32)>,
    /// Of the watched tokens, in their order.
    pub watched: Vec<TokenTrack>,
    /// −Σ p ln p, in nats.
    pub entropy: f32,
    /// Σ q ln (q / p), in nats, with q what the output says: 0 at the output.
    pub divergence: f32,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TokenTrack {
    /// 1 is the most probable token; 0 where the probabilities are no numbers, and there is no rank.
    pub rank: u32,
    pub probability: f32,
}

/// Of the output, `[1, row, vocabulary]`: by libtorch's softmax, as everywhere else.
pub(super) fn read_output(output: &Tensor, watch: &[Vec<u32>], top_k: usize) -> Vec<Reading> {
    by_libtorch(output, output, watch, top_k).remove(0)
}

/// Of logits `[depth, row, vocabulary]`, by depth and row, beside those of the output, `[1, row, vocabulary]`.
pub(super) fn read(logits: &Tensor, output: &Tensor, watch: &[Vec<u32>], top_k: usize) -> Vec<Vec<Reading>> {
    let is_plain = |x: &Tensor| x.kind() == Kind::Float && x.device() == Device::Cpu;
    let rows = (is_plain(logits) && is_plain(output)).then(|| on_processor(logits, output, watch, top_k));
    rows.flatten()
        .unwrap_or_else(|| by_libtorch(logits, output, watch, top_k))
}

/// `None` where a row has what is no number, or infinite.
fn on_processor(
    logits: &Tensor,
    output: &Tensor,
    watch: &[Vec<u32>],
    top_k: usize,
) -> Option<Vec<Vec<Reading>>> {
    let (logits, output) = (logits.contiguous(), output.contiguous());
    let size = logits.size();
    let (n_depths, n_rows, vocabulary) = (size[0] as usize, size[1] as usize, size[2] as usize);
    let (all, outputs) = (host::lent(&logits), host::lent(&output));
    let readings: Vec<OnceLock<Option<Reading>>> = (0..n_depths * n_rows).map(|_| OnceLock::new()).collect();
    parallel::ranges(n_rows, 1, &|rows| {
        for row in rows {
            let output = &outputs[row * vocabulary..][..vocabulary];
            let output = Softmax::of(output, 0).map(|softmax| softmax.log_probabilities(output));
            for depth in 0..n_depths {
                let at = depth * n_rows + row;
                let logits = &all[at * vocabulary..][..vocabulary];
                let reading = output
                    .as_deref()
                    .and_then(|output| read_row(logits, output, &watch[row], top_k));
                let _ = readings[at].set(reading);
            }
        }
    });
    let mut readings = readings.into_iter().map(|reading| reading.into_inner().flatten());
    let mut of_depth = || readings.by_ref().take(n_rows).collect::<Option<Vec<Reading>>>();
    (0..n_depths).map(|_| of_depth()).collect()
}

/// `output`: log probabilities.
fn read_row(logits: &[f32], output: &[f32], watch: &[u32], top_k: usize) -> Option<Reading> {
    let softmax = Softmax::of(logits, top_k)?;
    let share = |logit: f32| (f64::from(logit - softmax.largest) - softmax.log_sum).exp() as f32;
    let track = |&id: &u32| {
        let own = logits[id as usize];
        TokenTrack {
            rank: 1 + logits.iter().map(|&other| u32::from(other > own)).sum::<u32>(),
            probability: share(own),
        }
    };
    let divergence = divergence(logits, output, &softmax) as f32;
    Some(Reading {
        top: softmax
            .best
            .iter()
            .map(|&(logit, id)| (id, share(logit)))
            .collect(),
        watched: watch.iter().map(track).collect(),
        entropy: (softmax.log_sum - softmax.weighted / softmax.log_sum.exp()) as f32,
        // Rounding leaves less than nothing where two are the same.
        divergence: divergence.max(0.0),
    })
}

/// Sums over a row of logits x with the largest m.
struct Softmax {
    /// m
    largest: f32,
    /// ln Σ exp(x − m)
    log_sum: f64,
    /// Σ (x − m) exp(x − m)
    weighted: f64,
    /// The largest logits with their ids, the first of equals first.
    best: Vec<(f32, u32)>,
}

/// Numbers whose sums are made in single precision before they are added to those in double precision.
const BLOCK: usize = 256;
const LANES: usize = 16;

impl Softmax {
    /// With the `k` largest; `None` where not all are finite.
    fn of(logits: &[f32], k: usize) -> Option<Self> {
        let mut best: Vec<(f32, u32)> = Vec::with_capacity(k + 1);
        let mut largest = f32::NEG_INFINITY;
        for (block, numbers) in logits.chunks(BLOCK).enumerate() {
            let (of_block, is_finite) = largest_of(numbers);
            if !is_finite {
                return None;
            }
            largest = largest.max(of_block);
            if k == 0 || best.len() == k && of_block <= best[k - 1].0 {
                continue;
            }
            for (place, &logit) in numbers.iter().enumerate() {
                if best.len() < k || logit > best[k - 1].0 {
                    let at = best.partition_point(|(other, _)| *other >= logit);
                    best.insert(at, (logit, (block * BLOCK + place) as u32));
                    best.truncate(k);
                }
            }
        }
        let (mut sum, mut weighted) = (0.0, 0.0);
        for numbers in logits.chunks(BLOCK) {
            let of_block = exponentials(numbers, largest);
            sum += f64::from(of_block.0);
            weighted += f64::from(of_block.1);
        }
        Some(Self {
            largest,
            log_sum: sum.ln(),
            weighted,
            best,
        })
    }

    fn log_probabilities(&self, logits: &[f32]) -> Vec<f32> {
        let log_sum = self.log_sum as f32;
        logits
            .iter()
            .map(|logit| (logit - self.largest) - log_sum)
            .collect()
    }
}

/// Σ q (ln q − ln p), where `output` is ln q.
fn divergence(logits: &[f32], output: &[f32], softmax: &Softmax) -> f64 {
    let blocks = logits.chunks(BLOCK).zip(output.chunks(BLOCK));
    let of_block = |(logits, output): (&[f32], &[f32])| {
        f64::from(divergence_of(
            logits,
            output,
            softmax.largest,
            softmax.log_sum as f32,
        ))
    };
    blocks.map(of_block).sum()
}

/// A function compiled for processors with AVX2, too, which is taken where there is one.
macro_rules! wide {
    ($(#[$about:meta])* fn $name:ident($($given:ident: $kind:ty),*) -> $result:ty $body:block) => {
        $(#[$about])*
        fn $name($($given: $kind),*) -> $result {
            #[inline(always)]
            fn same($($given: $kind),*) -> $result $body
            #[cfg(target_arch = "x86_64")]
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                #[target_feature(enable = "avx2,fma")]
                fn wide($($given: $kind),*) -> $result {
                    same($($given),*)
                }
                // SAFETY: the processor has what it is compiled for.
                return unsafe { wide($($given),*) };
            }
            same($($given),*)
        }
    };
}

wide! {
    /// The largest, and whether all are finite.
    fn largest_of(numbers: &[f32]) -> (f32, bool) {
        let (mut largest, mut nothing) = ([f32::NEG_INFINITY; LANES], [0.0_f32; LANES]);
        let (blocks, rest) = numbers.as_chunks::<LANES>();
        for block in blocks {
            for lane in 0..LANES {
                largest[lane] = if block[lane] > largest[lane] { block[lane] } else { largest[lane] };
                // No number for what is infinite or none.
                nothing[lane] += block[lane] * 0.0;
            }
        }
        let all = largest.iter().chain(rest).copied();
        let nothing = nothing.iter().copied().chain(rest.iter().map(|x| x * 0.0)).sum::<f32>();
        (all.fold(f32::NEG_INFINITY, f32::max), nothing == 0.0)
    }
}

wide! {
    /// Σ exp(x − m) and Σ (x − m) exp(x − m).
    fn exponentials(numbers: &[f32], largest: f32) -> (f32, f32) {
        let (mut sum, mut weighted) = ([0.0_f32; LANES], [0.0_f32; LANES]);
        let (blocks, rest) = numbers.as_chunks::<LANES>();
        for block in blocks {
            for lane in 0..LANES {
                let x = block[lane] - largest;
                let exponential = exp(x);
                sum[lane] += exponential;
                weighted[lane] += x * exponential;
            }
        }
        for (lane, number) in rest.iter().enumerate() {
            let x = number - largest;
            sum[lane] += exp(x);
            weighted[lane] += x * exp(x);
        }
        (sum.iter().sum(), weighted.iter().sum())
    }
}

wide! {
    /// Σ q (ln q − ((x − m) − ln Σ exp(x − m))) of a part of the vocabulary.
    fn divergence_of(logits: &[f32], output: &[f32], largest: f32, log_sum: f32) -> f32 {
        let mut sums = [0.0_f32; LANES];
        let (blocks, rest) = logits.as_chunks::<LANES>();
        let (of_output, rest_of_output) = output.as_chunks::<LANES>();
        for (logits, output) in blocks.iter().zip(of_output) {
            for lane in 0..LANES {
                let log_p = (logits[lane] - largest) - log_sum;
                sums[lane] += exp(output[lane]) * (output[lane] - log_p);
            }
        }
        for (lane, (logit, output)) in rest.iter().zip(rest_of_output).enumerate() {
            sums[lane] += exp(*output) * (output - ((logit - largest) - log_sum));
        }
        sums.iter().sum()
    }
}

/// eˣ of x ≤ 0, off by two units in the last place at most; 0 where it is less than the least normal number. The polynomial is the
/// Taylor series about the nearest power of two, whose remainder is below rounding.
#[inline(always)]
fn exp(x: f32) -> f32 {
    const ROUND: f32 = 12_582_912.0; // 1.5 · 2²³: what is added to it is rounded to whole numbers
    const LN2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4]; // the first has few bits, so that products with it are exact
    let power = x * std::f32::consts::LOG2_E + ROUND;
    let whole = power - ROUND;
    let r = x - whole * LN2[0] - whole * LN2[1];
    let series = [
        1.0 / 5_040.0,
        1.0 / 720.0,
        1.0 / 120.0,
        1.0 / 24.0,
        1.0 / 6.0,
        0.5,
        1.0,
        1.0,
    ];
    let mut sum = 0.0;
    for term in series {
        sum = sum * r + term;
    }
    // 2^whole, by its bits.
    let scale = f32::from_bits((power.to_bits() << 23).wrapping_add(127 << 23));
    if x < -87.0 { 0.0 } else { sum * scale }
}

fn by_libtorch(logits: &Tensor, output: &Tensor, watch: &[Vec<u32>], top_k: usize) -> Vec<Vec<Reading>> {
    let wide = match logits.kind() {
        Kind::Double => Kind::Double,
        _ => Kind::Float,
    };
    let (n_depths, n_rows, vocabulary) = (logits.size()[0], logits.size()[1], logits.size()[2]);
    let log_p = logits.log_softmax(-1, wide);
    let output = output.log_softmax(-1, wide);
    let p = logits.softmax(-1, wide);
    let sum = |x: Tensor| x.sum_dim_intlist(-1, false, None::<Kind>);
    let entropy = -sum(&p * &log_p);
    let divergence = sum(output.exp() * (&output - &log_p));
    let k = (top_k as i64).min(vocabulary);
    // By their logits: probabilities that round to 0 have no order.
    let (_, top_ids) = logits.topk(k, -1, true, true);
    let top = p.gather(-1, &top_ids, false);
    let (ranks, shares) = watched(logits, &p, watch); // [depth, row, column]
    let [entropy, divergence, top, top_ids, ranks, shares] =
        host::numbers_of_each([&entropy, &divergence, &top, &top_ids, &ranks, &shares]);
    let width = ranks.len() / (n_depths * n_rows).max(1) as usize;
    let mut readings = vec![Vec::new(); n_depths as usize];
    for (depth, of_depth) in readings.iter_mut().enumerate() {
        for (row, ids) in watch.iter().enumerate() {
            let flat = depth * n_rows as usize + row;
            let best = flat * k as usize..(flat + 1) * k as usize;
            let columns = flat * width..flat * width + ids.len();
            of_depth.push(Reading {
                top: best.map(|at| (top_ids[at] as u32, top[at] as f32)).collect(),
                watched: columns
                    .map(|at| TokenTrack {
                        rank: if shares[at].is_nan() { 0 } else { ranks[at] as u32 },
                        probability: shares[at] as f32,
                    })
                    .collect(),
                entropy: entropy[flat] as f32,
                // Rounding leaves less than nothing where two are the same.
                divergence: match divergence[flat] as f32 {
                    less if less < 0.0 => 0.0,
                    divergence => divergence,
                },
            });
        }
    }
    readings
}

/// Ranks and probabilities of each row's watched tokens, `[depth, row, column]`; a row with fewer has others behind them.
fn watched(logits: &Tensor, p: &Tensor, watch: &[Vec<u32>]) -> (Tensor, Tensor) {
    let (n_depths, n_rows) = (logits.size()[0], watch.len() as i64);
    let width = watch.iter().map(Vec::len).max().unwrap_or(0);
    let padded = |ids: &Vec<u32>| {
        let ids: Vec<i64> = ids.iter().map(|&id| i64::from(id)).collect();
        [ids.as_slice(), &vec![0; width - ids.len()]].concat()
    };
    let ids: Vec<i64> = watch.iter().flat_map(padded).collect();
    let ids = host::tensor(&ids, logits.device()).reshape([1, n_rows, width as i64]);
    let ids = ids.expand([n_depths, -1, -1], false);
    let own = logits.gather(-1, &ids, false);
    let rank = |column: i64| {
        let above = logits.gt_tensor(&own.narrow(-1, column, 1));
        above.sum_dim_intlist(-1, true, Kind::Int64) + 1
    };
    let ranks: Vec<Tensor> = (0..width as i64).map(rank).collect();
    let ranks = match ranks.is_empty() {
        true => ids.zeros_like(),
        false => Tensor::cat(&ranks, -1),
    };
    (ranks, p.gather(-1, &ids, false))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: (Kind, Device) = (Kind::Float, Device::Cpu);

    #[test]
    fn both_ways_say_the_same() {
        tch::manual_seed(3);
        for (vocabulary, spread) in [(7, 1.0), (1_000, 3.0), (5_003, 30.0)] {
            let logits = Tensor::randn([3, 4, vocabulary], PLACE) * spread;
            let output = Tensor::randn([1, 4, vocabulary], PLACE) * spread;
            let watch = vec![vec![0, 6], vec![], vec![3], vec![5, 1, 2]];
            for k in [0, 1, 5] {
                let ours = on_processor(&logits, &output, &watch, k).expect("finite");
                let theirs = by_libtorch(&logits, &output, &watch, k);
                for (ours, theirs) in ours.iter().flatten().zip(theirs.iter().flatten()) {
                    let near = |a: f32, b: f32| (a - b).abs() <= 3e-6 * (1.0 + b.abs());
                    assert!(near(ours.entropy, theirs.entropy), "{ours:?} {theirs:?}");
                    assert!(near(ours.divergence, theirs.divergence), "{ours:?} {theirs:?}");
                    let ids = |of: &Reading| of.top.iter().map(|(id, _)| *id).collect::<Vec<u32>>();
                    assert_eq!(ids(ours), ids(theirs));
                    let ranks = |of: &Reading| of.watched.iter().map(|of| of.rank).collect::<Vec<u32>>();
                    assert_eq!(ranks(ours), ranks(theirs));
                    let shares = |of: &Reading| {
                        let watched = of.watched.iter().map(|of| of.probability);
                        watched
                            .chain(of.top.iter().map(|(_, p)| *p))
                            .collect::<Vec<f32>>()
                    };
                    let pairs = shares(ours).into_iter().zip(shares(theirs));
                    pairs.for_each(|(a, b)| assert!((a - b).abs() <= 1e-6 * b + 1e-37, "{a} {b}"));
                }
            }
        }
    }

    #[test]
    fn what_is_no_number_is_left_to_libtorch() {
        let output = Tensor::zeros([1, 1, 40], PLACE);
        for odd in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let logits = Tensor::zeros([1, 1, 40], PLACE);
            let _ = logits.narrow(2, 17, 1).fill_(odd);
            assert!(on_processor(&logits, &output, &[vec![]], 1).is_none(), "{odd}");
            assert!(on_processor(&output, &logits, &[vec![]], 1).is_none(), "{odd}");
        }
    }

    #[test]
    fn the_exponential_is_exact_to_two_places() {
        for step in 0..870_000 {
            let x = -(step as f32) * 1e-4;
            let exact = f64::from(x).exp();
            let off = (f64::from(exp(x)) - exact).abs() / exact;
            assert!(off < 2.4e-7, "{x}: {off}");
        }
        assert_eq!((exp(-88.0), exp(-1e30), exp(0.0)), (0.0, 0.0, 1.0));
    }
}
