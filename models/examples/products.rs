//! Rates of products by weights beside libtorch's own: GFLOP/s, and GB/s of weights.
//!
//! `cargo run --release -p ecco-models --example products`

use std::time::Instant;

use tch::{Device, Kind, Tensor};

fn best(mut work: impl FnMut()) -> f64 {
    let mut best = f64::INFINITY;
    for _ in 0..15 {
        let start = Instant::now();
        work();
        best = best.min(start.elapsed().as_secs_f64());
    }
    best
}

fn main() {
    let _guard = tch::no_grad_guard();
    let float = (Kind::Float, Device::Cpu);
    for threads in [1, 2] {
        tch::set_num_threads(threads);
        println!("{threads} thread(s), {:?}", ecco_models::product::backends());
        for (rows, inputs, outputs) in [
            (1, 768, 3072),
            (1, 3072, 768),
            (1, 768, 50257),
            (4, 768, 3072),
            (8, 768, 50257),
            (42, 768, 3072),
            (420, 768, 3072),
            (930, 768, 3072),
        ] {
            for (layout, weight) in [
                ("[out, in]", Tensor::randn([outputs, inputs], float).tr()),
                ("[in, out]", Tensor::randn([inputs, outputs], float)),
            ] {
                let x = Tensor::randn([rows, inputs], float);
                let theirs = best(|| drop(x.mm(&weight)));
                let ours = best(|| drop(ecco_models::product::linear(&x, &weight, None)));
                let work = |seconds: f64| {
                    (
                        2.0 * (rows * inputs * outputs) as f64 / seconds / 1e9,
                        4.0 * (inputs * outputs) as f64 / seconds / 1e9,
                    )
                };
                let ((a, b), (c, d)) = (work(ours), work(theirs));
                println!(
                    "{rows:4} x {inputs} x {outputs} {layout}: {a:6.0} GFLOP/s {b:5.1} GB/s, libtorch {c:6.0} GFLOP/s {d:5.1} GB/s"
                );
                if weight.stride()[0] == 1 && rows <= 8 {
                    let half = weight.to_kind(Kind::BFloat16);
                    let ours = best(|| drop(ecco_models::product::linear(&x, &half, None)));
                    println!("      in bfloat16: {:.1} GB/s", work(ours).1 / 2.0);
                }
            }
        }
    }
}
