//! The one place that multiplies by weights.
//!
//! On the processor three ways are there, and the shape decides. A few rows read each weight once and are bound by
//! memory: [`few_rows`] reads it as fast as memory gives it, where MKL's products reach half of that. More rows are bound
//! by arithmetic: libtorch's own products (MKL) and oneDNN's, which the same libtorch brings, differ by processor: MKL
//! does not use AVX-512 on those of AMD. Which is faster is measured once a process, in some milliseconds, for each kind of
//! shape; `ECCO_PRODUCTS=mkl` or `onednn` fixes it. On a GPU, and where autograd records, it is libtorch.

mod few_rows;
mod lanes;

use std::sync::OnceLock;
use std::time::Instant;

use tch::{Device, Kind, Tensor};

/// Who multiplies many rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    /// libtorch's `mm`, which is MKL where it has it.
    Mkl,
    OneDnn,
}

/// x W + b: x is `[.., in]`, `weight` `[in, out]` of any strides, `bias` `[out]`.
pub fn linear(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Tensor {
    let size = x.size();
    let (inputs, outputs) = (size[size.len() - 1], weight.size()[1]);
    let rows = x.reshape([-1, inputs]);
    let product = match is_ours(&rows, weight) {
        true => on_the_processor(&rows, weight, bias),
        false => by_libtorch(&rows, weight, bias),
    };
    product.reshape([&size[..size.len() - 1], &[outputs]].concat())
}

/// Whether there is a choice: plain numbers in memory that nobody differentiates.
fn is_ours(rows: &Tensor, weight: &Tensor) -> bool {
    rows.device() == Device::Cpu
        && rows.kind() == Kind::Float
        && matches!(weight.kind(), Kind::Float | Kind::BFloat16)
        && !(rows.requires_grad() || weight.requires_grad())
        && rows.numel() > 0
        && weight.numel() > 0
}

fn on_the_processor(rows: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Tensor {
    if rows.size()[0] <= few_rows::MOST
        && let Some(product) = few_rows::product(rows, weight, bias)
    {
        return product;
    }
    let weight = weight.to_kind(Kind::Float);
    match backend(rows.size()[0]) {
        Backend::Mkl => by_libtorch(rows, &weight, bias),
        Backend::OneDnn => by_onednn(rows, &weight, bias).unwrap_or_else(|| by_libtorch(rows, &weight, bias)),
    }
}

fn by_libtorch(rows: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Tensor {
    match bias {
        Some(bias) => bias.addmm(rows, weight),
        None => rows.mm(weight),
    }
}

unsafe extern "C" {
    fn ecco_product_onednn(
        x: *const torch_sys::C_tensor,
        weight: *const torch_sys::C_tensor,
        bias: *const torch_sys::C_tensor,
    ) -> *mut torch_sys::C_tensor;
}

/// `None` where libtorch has no oneDNN.
fn by_onednn(rows: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Option<Tensor> {
    let weight = weight.tr();
    let bias = bias.map_or(std::ptr::null(), Tensor::as_ptr);
    // SAFETY: three tensors that live until it returns; what it gives is a new one, or null.
    unsafe {
        let product = ecco_product_onednn(rows.as_ptr(), weight.as_ptr(), bias);
        (!product.is_null()).then(|| Tensor::from_ptr(product))
    }
}

/// Kinds of shapes that are measured: up to 64 rows, up to 256, and more.
const BORDERS: [i64; 2] = [64, 256];

/// Who multiplies so many rows.
fn backend(rows: i64) -> Backend {
    static CHOSEN: [OnceLock<Backend>; BORDERS.len() + 1] = [const { OnceLock::new() }; BORDERS.len() + 1];
    let kind = BORDERS.iter().filter(|&&border| rows > border).count();
    *CHOSEN[kind].get_or_init(|| {
        let asked = std::env::var("ECCO_PRODUCTS").ok();
        match asked.as_deref() {
            Some("mkl") => Backend::Mkl,
            Some("onednn") => Backend::OneDnn,
            _ => measure(BORDERS.get(kind).copied().unwrap_or(512)),
        }
    })
}

/// The faster of the two at a middling product. oneDNN has to be clearly ahead, so that chance does not choose.
fn measure(rows: i64) -> Backend {
    let options = (Kind::Float, Device::Cpu);
    let (x, weight) = (
        Tensor::ones([rows, 768], options),
        Tensor::ones([768, 768], options),
    );
    let seconds = |multiply: &dyn Fn() -> Option<Tensor>| {
        let mut best = f64::INFINITY;
        for _ in 0..3 {
            let start = Instant::now();
            drop(multiply()?);
            best = best.min(start.elapsed().as_secs_f64());
        }
        Some(best)
    };
    let mkl = seconds(&|| Some(by_libtorch(&x, &weight, None)));
    let onednn = seconds(&|| by_onednn(&x, &weight, None));
    match (mkl, onednn) {
        (Some(mkl), Some(onednn)) if onednn * 1.15 < mkl => Backend::OneDnn,
        _ => Backend::Mkl,
    }
}

/// Who multiplies few, some and many rows on this machine, for people; measures what was not needed yet.
pub fn backends() -> [(&'static str, Backend); BORDERS.len() + 1] {
    ["up to 64 rows", "up to 256 rows", "more rows"]
        .into_iter()
        .zip([BORDERS[0], BORDERS[1], BORDERS[1] + 1])
        .map(|(name, rows)| (name, backend(rows)))
        .collect::<Vec<_>>()
        .try_into()
        .expect("as many as there are kinds")
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLOAT: (Kind, Device) = (Kind::Float, Device::Cpu);

    fn check(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, got: &Tensor, what: &str) {
        let wide = |x: &Tensor| x.to_kind(Kind::Double);
        let mut expected = wide(x).matmul(&wide(weight));
        let mut scale = f64::try_from(wide(x).abs().matmul(&wide(weight).abs()).max()).unwrap();
        if let Some(bias) = bias {
            expected += wide(bias);
            scale += f64::try_from(wide(bias).abs().max()).unwrap();
        }
        let error = f64::try_from((wide(got) - expected).abs().max()).unwrap();
        assert!(error <= 1e-6 * scale, "{what}: {error:e} of {scale:e}");
    }

    /// Weights as files have them: by output, by input, and a part of a larger one.
    fn layouts(inputs: i64, outputs: i64, kind: Kind) -> Vec<(&'static str, Tensor)> {
        let random = |size: [i64; 2]| Tensor::randn(size, FLOAT).to_kind(kind);
        vec![
            ("by output", random([outputs, inputs]).tr()),
            ("by input", random([inputs, outputs])),
            (
                "part of outputs",
                random([inputs, outputs + 5]).narrow(1, 3, outputs),
            ),
            (
                "part of inputs",
                random([outputs + 2, inputs + 7])
                    .narrow(0, 1, outputs)
                    .narrow(1, 2, inputs)
                    .tr(),
            ),
        ]
    }

    #[test]
    fn every_way_gives_the_same_product() {
        tch::manual_seed(1);
        for (inputs, outputs) in [(1, 1), (3, 5), (16, 16), (67, 33), (128, 259), (770, 515)] {
            for kind in [Kind::Float, Kind::BFloat16] {
                for (layout, weight) in layouts(inputs, outputs, kind) {
                    let bias = Tensor::randn([outputs], FLOAT);
                    for rows in 1..=few_rows::MOST + 1 {
                        let x = Tensor::randn([rows, inputs], FLOAT);
                        for bias in [None, Some(&bias)] {
                            let what = format!("{rows} x {inputs} x {outputs}, {layout}, {kind:?}");
                            check(&x, &weight, bias, &linear(&x, &weight, bias), &what);
                            for set in lanes::Set::all() {
                                if rows <= few_rows::MOST {
                                    let got = few_rows::product_with(set, &x, &weight, bias)
                                        .expect("a layout of ours");
                                    check(&x, &weight, bias, &got, &format!("{what}, {set:?}"));
                                }
                            }
                            if kind == Kind::Float {
                                let got = by_onednn(&x, &weight, bias).expect("this libtorch has oneDNN");
                                check(&x, &weight, bias, &got, &format!("{what}, oneDNN"));
                            }
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn what_autograd_records_is_differentiated() {
        let x = Tensor::randn([2, 3], FLOAT).set_requires_grad(true);
        let weight = Tensor::randn([3, 4], FLOAT);
        linear(&x, &weight, None).sum(Kind::Float).backward();
        let expected = weight
            .sum_dim_intlist(1, false, None::<Kind>)
            .expand([2, 3], false);
        assert!(f64::try_from((x.grad() - expected).abs().max()).unwrap() < 1e-6);
    }

    #[test]
    fn axes_before_the_last_stay() {
        let (x, weight) = (Tensor::randn([2, 5, 3], FLOAT), Tensor::randn([3, 4], FLOAT));
        assert_eq!(linear(&x, &weight, None).size(), [2, 5, 4]);
        assert_eq!(
            linear(&Tensor::zeros([0, 3], FLOAT), &weight, None).size(),
            [0, 4]
        );
    }
}
