//! Products with weights: the one place that multiplies with them.
//!
//! In one of three ways, which give the same numbers but for rounding:
//! - [`few_rows`]: own kernels for up to eight rows, as decoding has them, where they are faster than libtorch's: the time is that
//!   of reading the matrix once
//! - oneDNN, which is part of libtorch, for more rows of float32 on a processor where it is faster: libtorch's own choice, MKL, leaves
//!   half of an AMD processor's width unused
//! - libtorch's `mm` for all else: other types, other devices, small matrices
//!
//! The environment's `ECCO_MATMUL` may say `libtorch` or `onednn`, which is then not measured.

mod few_rows;
#[cfg(test)]
mod tests;

use std::sync::OnceLock;
use std::time::Duration;

use few_rows::Layout;
use tch::{Device, Kind, Tensor};
use torch_sys::C_tensor;

use crate::lanes::Width;

/// Numbers of a matrix from which on many rows are worth asking how they are multiplied.
const LARGE: i64 = 1 << 16;
/// Those from which on few rows are not left to libtorch, whose call takes longer than the work.
const LARGE_FOR_FEW: i64 = 1 << 9;
/// Products of two numbers from which on oneDNN is worth making a kernel for the shape, which takes it a millisecond.
const MANY: i64 = 1 << 22;
/// Rows that are worth the copy of a matrix that is a part of another: oneDNN multiplies with such a one a hundred times as long.
const WORTH_A_COPY: i64 = 128;
/// What oneDNN must save to be taken, so that chance does not choose where both are as fast.
const FASTER: f64 = 0.92;
/// What own kernels may take longer: those that are measured find the matrix in a cache, where MKL's are at their best.
const AS_FAST: f64 = 1.2;

// `glue/product.cpp`
unsafe extern "C" {
    fn ecco_onednn_linear(
        x: *const C_tensor,
        weight: *const C_tensor,
        bias: *const C_tensor,
    ) -> *mut C_tensor;
}

/// What multiplies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    FewRows(Width),
    OneDnn,
    Torch,
}

impl Way {
    fn of(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Self {
        Self::chosen(choice(), x, weight, bias)
    }

    fn chosen(choice: Choice, x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Self {
        if choice == Choice::Torch {
            return Self::Torch;
        }
        let plain = |x: &Tensor| x.kind() == Kind::Float && x.device() == Device::Cpu;
        let n_numbers = weight.numel() as i64;
        let n_rows = x.numel() as i64 / weight.size()[0].max(1);
        let large = if n_rows <= few_rows::MOST {
            LARGE_FOR_FEW
        } else {
            LARGE
        };
        if n_numbers < large
            || !plain(x)
            || !plain(weight)
            || !bias.is_none_or(|bias| plain(bias) && bias.dim() == 1)
        {
            return Self::Torch;
        }
        match n_rows {
            0 => Self::Torch,
            1..=few_rows::MOST if let Some(width) = few_rows_way(choice, n_rows, weight) => {
                Self::FewRows(width)
            }
            _ if n_rows * n_numbers >= MANY && (n_rows >= WORTH_A_COPY || is_dense(weight)) => {
                match backend(choice) {
                    Backend::OneDnn => Self::OneDnn,
                    Backend::Mkl => Self::Torch,
                }
            }
            _ => Self::Torch,
        }
    }

    /// Without gradients.
    fn multiply(self, x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Tensor {
        let ours = match self {
            Self::FewRows(width) => Some(few_rows::multiply(width, x, weight, bias)),
            Self::OneDnn => one_dnn(x, weight, bias),
            Self::Torch => None,
        };
        ours.unwrap_or_else(|| match bias {
            Some(bias) => bias.addmm(x, weight),
            None => x.mm(weight),
        })
    }
}

/// Whether [`multiply`] does more than call libtorch, which autograd knows the way back of.
pub(crate) fn is_ours(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> bool {
    Way::of(x, weight, bias) != Way::Torch
}

/// x W + b of x, `[.., in]`, and W, `[in, out]`, by an own kernel for few rows; `None` where there is none for them, or a gradient is
/// to be kept.
pub(crate) fn multiply_few_rows(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Option<Tensor> {
    match Way::of(x, weight, bias) {
        Way::FewRows(width) if !x.requires_grad() => Some(few_rows::multiply(width, x, weight, bias)),
        _ => None,
    }
}

/// x W + b of x, `[.., in]`, and W, `[in, out]`. Autograd sees it only where it [is not ours](is_ours).
pub(crate) fn multiply(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Tensor {
    let size = x.size();
    let rows = x.reshape([-1, weight.size()[0]]);
    let product = Way::of(&rows, weight, bias).multiply(&rows, weight, bias);
    match size.len() {
        2 => product,
        n => product.reshape([&size[..n - 1], &[weight.size()[1]]].concat()),
    }
}

/// The same of few rows and a matrix of float32 whose outputs' weights, `[in]`, are made when they are needed; `None` where it is
/// better made as a whole.
pub(crate) fn multiply_made(
    x: &Tensor,
    n_outputs: usize,
    make: &(dyn Fn(usize, &mut [f32]) + Sync),
    bias: Option<&Tensor>,
) -> Option<Tensor> {
    let multiply = |rows: &Tensor| Some(few_rows::multiply_made(rows, n_outputs, make, bias));
    multiply_few(x, n_outputs, few_rows::MOST, multiply)
}

/// The same of a matrix of little-endian bfloat16, an output's weights side by side or an input's.
pub(crate) fn multiply_bf16(
    x: &Tensor,
    weights: &[u8],
    is_by_output: bool,
    bias: Option<&Tensor>,
) -> Option<Tensor> {
    let layout = match is_by_output {
        true => Layout::ByOutput,
        false => Layout::ByInput,
    };
    let n_inputs = *x.size().last()? as usize;
    let width = few_rows_width(choice(), layout).unwrap_or_else(Width::widest);
    let multiply = |rows: &Tensor| few_rows::multiply_bf16(width, rows, weights, layout, bias);
    multiply_few(x, weights.len() / 2 / n_inputs, layout.most_rows(), multiply)
}

/// By a kernel for at most so many rows of float32, `[.., in]`, where it may be used and is worth it; nothing is differentiated.
fn multiply_few(
    x: &Tensor,
    n_outputs: usize,
    most_rows: i64,
    multiply: impl FnOnce(&Tensor) -> Option<Tensor>,
) -> Option<Tensor> {
    let n_inputs = *x.size().last()?;
    let is_plain = x.kind() == Kind::Float && x.device() == Device::Cpu && !x.requires_grad();
    let is_large = n_inputs * n_outputs as i64 >= LARGE;
    let n_rows = x.numel() as i64 / n_inputs.max(1);
    if choice() == Choice::Torch || !is_plain || !is_large || !(1..=most_rows).contains(&n_rows) {
        return None;
    }
    multiply(x)
}

/// Whether a matrix has all that lies between its first number and its last.
fn is_dense(weight: &Tensor) -> bool {
    let (size, stride) = (weight.size(), weight.stride());
    stride == [size[1], 1] || stride == [1, size[0]]
}

fn one_dnn(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Option<Tensor> {
    let (x, weight) = (x.contiguous(), weight.tr());
    let weight = match is_dense(&weight) {
        true => weight,
        false => weight.contiguous(),
    };
    let bias = bias.map_or(std::ptr::null(), Tensor::as_ptr);
    // SAFETY: tensors for as long as the call takes; exceptions end there.
    let product = unsafe { ecco_onednn_linear(x.as_ptr(), weight.as_ptr(), bias) };
    // SAFETY: a tensor that is now ours, if there is one.
    (!product.is_null()).then(|| unsafe { Tensor::from_ptr(product) })
}

/// What multiplies with large matrices of float32 on this processor, of few rows and of many. It is measured with the first
/// product, or now.
pub fn chosen() -> [&'static str; 2] {
    let choice = choice();
    let few = [Layout::ByInput, Layout::ByOutput].map(|layout| few_rows_width(choice, layout).is_some());
    let few = match few {
        [true, true] => "own",
        [false, false] => "libtorch",
        _ => "own and libtorch",
    };
    let many = match backend(choice) {
        Backend::Mkl => "libtorch",
        Backend::OneDnn => "oneDNN",
    };
    [few, many]
}

/// The same in words.
pub fn said() -> String {
    let [few, many] = chosen();
    format!("{few} (few rows), {many} (many rows)")
}

/// What multiplies large matrices of float32 on the processor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Backend {
    /// What libtorch takes by itself.
    Mkl,
    OneDnn,
}

/// What `ECCO_MATMUL` asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Choice {
    /// libtorch's ways alone.
    Torch,
    /// As without the variable: own kernels for few rows; for more the backend that is the faster one here, by a measurement of
    /// some milliseconds.
    Fastest,
    /// Own kernels for few rows, oneDNN for more.
    OneDnn,
}

fn choice() -> Choice {
    static CHOICE: OnceLock<Choice> = OnceLock::new();
    *CHOICE.get_or_init(|| match std::env::var("ECCO_MATMUL").as_deref() {
        Ok("libtorch") => Choice::Torch,
        Ok("onednn") => Choice::OneDnn,
        _ => Choice::Fastest,
    })
}

/// The backend for many rows, of this process.
fn backend(choice: Choice) -> Backend {
    static FASTEST: OnceLock<Backend> = OnceLock::new();
    match choice {
        Choice::Torch => Backend::Mkl,
        Choice::OneDnn => Backend::OneDnn,
        Choice::Fastest => *FASTEST.get_or_init(fastest),
    }
}

/// Which of the own kernels multiplies this few rows, if one does.
fn few_rows_way(choice: Choice, n_rows: i64, weight: &Tensor) -> Option<Width> {
    let layout = few_rows::layout(weight)?;
    match (n_rows <= layout.most_rows(), weight.numel() as i64 >= LARGE) {
        (true, true) => few_rows_width(choice, layout),
        // What a cache holds, where the call is what takes time.
        (true, false) => Some(Width::widest()),
        (false, _) => None,
    }
}

fn few_rows_width(choice: Choice, layout: Layout) -> Option<Width> {
    static FASTEST: OnceLock<[Option<Width>; 2]> = OnceLock::new();
    match choice {
        Choice::Torch => None,
        Choice::OneDnn => Some(Width::widest()),
        Choice::Fastest => {
            FASTEST.get_or_init(|| [Layout::ByInput, Layout::ByOutput].map(fastest_width))[layout as usize]
        }
    }
}

fn fastest_width(layout: Layout) -> Option<Width> {
    let _no_grad = tch::no_grad_guard();
    let place = (Kind::Float, Device::Cpu);
    // Larger than what a core keeps for itself, as weights are that follow each other.
    let (x, weight) = (Tensor::ones([1, 768], place), Tensor::ones([768, 2_304], place));
    let weight = match layout {
        Layout::ByInput => weight,
        Layout::ByOutput => weight.reshape([2_304, 768]).tr(),
    };
    let ways: Vec<Way> = Width::all()
        .into_iter()
        .map(Way::FewRows)
        .chain([Way::Torch])
        .collect();
    let times = best_times(&ways, |way| drop(way.multiply(&x, &weight, None)));
    let torch = times[times.len() - 1].mul_f64(AS_FAST);
    let of_widths = Width::all().into_iter().zip(times);
    let fastest = of_widths.min_by_key(|(_, time)| *time);
    fastest.filter(|(_, time)| *time < torch).map(|(width, _)| width)
}

/// oneDNN on a processor whose width MKL does not use, for whatever product and however busy the machine is; elsewhere what is faster now.
fn fastest() -> Backend {
    let _no_grad = tch::no_grad_guard();
    let place = (Kind::Float, Device::Cpu);
    let (x, weight) = (Tensor::ones([96, 768], place), Tensor::ones([768, 768], place));
    if one_dnn(&x, &weight, None).is_none() {
        return Backend::Mkl;
    }
    if is_wide_amd() {
        return Backend::OneDnn;
    }
    let times = best_times(&[Way::Torch, Way::OneDnn], |way| {
        drop(way.multiply(&x, &weight, None))
    });
    match times[1] < times[0].mul_f64(FASTER) {
        true => Backend::OneDnn,
        false => Backend::Mkl,
    }
}

/// Whether MKL leaves half of the processor's registers unused: AVX-512 on one that is not Intel's.
fn is_wide_amd() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        let maker = std::arch::x86_64::__cpuid(0);
        let maker = [maker.ebx, maker.edx, maker.ecx].map(u32::to_le_bytes);
        maker.as_flattened() == b"AuthenticAMD" && is_x86_feature_detected!("avx512f")
    }
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// The shortest of some times of this thread's that each way takes, in turns: what others run meanwhile does not choose.
fn best_times(ways: &[Way], mut work: impl FnMut(Way)) -> Vec<Duration> {
    let mut times = vec![Duration::MAX; ways.len()];
    for _ in 0..9 {
        for (time, &way) in times.iter_mut().zip(ways) {
            let start = thread_time();
            work(way);
            *time = thread_time().saturating_sub(start).min(*time);
        }
    }
    times
}

/// Processor time that this thread has had.
fn thread_time() -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the time is written to, and is ours.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
