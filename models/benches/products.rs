//! Products with weights, each beside what the machine can do at most: bytes a second of reading memory, operations a second of
//! multiplying and adding in registers. `cargo bench -p ecco-models` prints both; shapes are distilgpt2's and SmolLM2's.
//!
//! `OMP_NUM_THREADS=1` for one thread; `ECCO_MATMUL=libtorch` for what libtorch does by itself.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ecco_models::weight::Weight;
use tch::{Device, Kind, Tensor};

const PLACE: (Kind, Device) = (Kind::Float, Device::Cpu);
/// Bytes of weights that a benchmark goes through in turns, as a model's layers are: more than caches hold.
const APART: i64 = 256 << 20;
/// Multiplications and additions, two operations each, for each number in a register.
const FUSED: usize = 1 << 10;

/// Matrices of one shape, `[in, out]`, that together are larger than the caches.
fn matrices(size: [i64; 2], is_by_output: bool, kind: Kind) -> Vec<Weight> {
    let bytes = size[0] * size[1] * kind.elt_size_in_bytes() as i64;
    let one = || match is_by_output {
        true => Tensor::rand([size[1], size[0]], PLACE).to_kind(kind).tr(),
        false => Tensor::rand(size, PLACE).to_kind(kind),
    };
    (0..(APART / bytes).max(1)).map(|_| Weight::from(one())).collect()
}

fn limits(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("limits");
    let numbers = vec![1.0_f32; APART as usize / 4];
    group.throughput(Throughput::Bytes(APART as u64));
    group.bench_function("read memory, one thread", |bencher| {
        bencher.iter(|| sum(black_box(&numbers)));
    });
    group.throughput(Throughput::Elements((2 * FUSED * SUMS) as u64));
    group.bench_function("multiply and add in registers, one thread", |bencher| {
        bencher.iter(|| multiplied(black_box(1.000_1)));
    });
    group.finish();
}

/// Numbers that are summed side by side, in as many registers as there are.
const SUMS: usize = 16 * 16;

/// Compiled for what the processor has, as the products are.
macro_rules! widest {
    ($name:ident, $inner:ident, $given:ty, $result:ty) => {
        fn $name(given: $given) -> $result {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512vl,fma")]
                fn avx512(given: $given) -> $result {
                    $inner(given)
                }
                #[target_feature(enable = "avx2,fma")]
                fn avx2(given: $given) -> $result {
                    $inner(given)
                }
                if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vl") {
                    // SAFETY: the processor has it.
                    return unsafe { avx512(given) };
                }
                if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                    // SAFETY: the processor has it.
                    return unsafe { avx2(given) };
                }
            }
            $inner(given)
        }
    };
}

widest!(sum, sum_of, &[f32], f32);
widest!(multiplied, multiplied_by, f32, f32);

#[inline(always)]
fn sum_of(numbers: &[f32]) -> f32 {
    let mut sums = [0.0_f32; SUMS];
    for block in numbers.as_chunks::<SUMS>().0 {
        for (sum, number) in sums.iter_mut().zip(block) {
            *sum += number;
        }
    }
    sums.iter().sum()
}

#[inline(always)]
fn multiplied_by(by: f32) -> f32 {
    let mut sums = [by; SUMS];
    for _ in 0..FUSED {
        for sum in &mut sums {
            *sum = sum.mul_add(by, by);
        }
    }
    sums.iter().sum()
}

/// A product with each of the matrices in turn, as passes through layers are.
fn product(
    criterion: &mut Criterion,
    group: &str,
    name: &str,
    n_rows: i64,
    weights: &[Weight],
    throughput: Throughput,
) {
    let mut group = criterion.benchmark_group(group);
    group.throughput(throughput);
    group.warm_up_time(Duration::from_millis(500));
    group.measurement_time(Duration::from_secs(2));
    let x = Tensor::rand([n_rows, weights[0].size()[0]], (weights[0].kind(), Device::Cpu));
    let mut next = 0;
    group.bench_function(name, |bencher| {
        bencher.iter(|| {
            next = (next + 1) % weights.len();
            weights[next].affine(&x, None)
        });
    });
    group.finish();
}

fn few_rows(criterion: &mut Criterion) {
    let _no_grad = tch::no_grad_guard();
    for (shape, size, is_by_output) in [
        ("768 × 3072 by input", [768, 3072], false),
        ("3072 × 768 by input", [3072, 768], false),
        ("768 × 2304 by input", [768, 2304], false),
        ("768 × 768 by input", [768, 768], false),
        ("768 × 50257 by output", [768, 50_257], true),
        ("576 × 1536 by output", [576, 1536], true),
    ] {
        let weights = matrices(size, is_by_output, Kind::Float);
        let bytes = (size[0] * size[1] * 4) as u64;
        for n_rows in [1, 4, 8] {
            let name = format!("{n_rows} × {shape}");
            product(
                criterion,
                "few rows",
                &name,
                n_rows,
                &weights,
                Throughput::Bytes(bytes),
            );
        }
    }
}

fn many_rows(criterion: &mut Criterion) {
    let _no_grad = tch::no_grad_guard();
    for (size, is_by_output) in [([768, 3072], false), ([3072, 768], false), ([576, 1536], true)] {
        let weights = matrices(size, is_by_output, Kind::Float);
        for n_rows in [16, 42, 420, 930] {
            let name = format!("{n_rows} × {} × {}", size[0], size[1]);
            let operations = (2 * n_rows * size[0] * size[1]) as u64;
            product(
                criterion,
                "many rows",
                &name,
                n_rows,
                &weights,
                Throughput::Elements(operations),
            );
        }
    }
}

criterion_group!(benches, limits, few_rows, many_rows);
criterion_main!(benches);
