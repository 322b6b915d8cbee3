//! A few rows times a matrix: what decoding does with every weight of a model. Each weight is read once, in the order in
//! which it lies, by all of libtorch's threads; float32 and bfloat16, sums in float32.

#![allow(
    unsafe_op_in_unsafe_fn,
    reason = "in kernels all is under the contract of the function"
)]

use std::ffi::c_void;

use tch::{Kind, Tensor};

use super::lanes::{Lanes, Set};

/// A weight that was read serves so many rows at once.
pub(super) const MOST: i64 = 8;

/// Bytes of weights that are worth a thread of their own.
const GRAIN: usize = 1 << 16;

/// Threads share no cache line of the product: it has so many numbers.
const LINE: usize = 16;

/// rows · weight + bias in float32; `None` where neither axis of the weight is contiguous.
pub(super) fn product(rows: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Option<Tensor> {
    product_with(Set::best(), rows, weight, bias)
}

/// The same by the given instructions, which the machine has to have.
pub(super) fn product_with(
    set: Set,
    rows: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
) -> Option<Tensor> {
    let rows = rows.contiguous();
    let (n_rows, outputs) = (rows.size()[0], weight.size()[1]);
    let product = match bias {
        Some(bias) => bias.to_kind(Kind::Float).repeat([n_rows, 1]),
        None => Tensor::zeros([n_rows, outputs], (Kind::Float, rows.device())),
    };
    let job = Job::new(set, &rows, weight, &product)?;
    let width = if weight.kind() == Kind::Float { 4 } else { 2 };
    let grain = GRAIN.div_ceil(job.inputs * width).next_multiple_of(LINE);
    let data = (&raw const job).cast_mut().cast::<c_void>();
    // SAFETY: it returns when all parts are done; a part reads the job and writes outputs of its own alone.
    unsafe { ecco_product_parallel(outputs, grain as i64, part, data) };
    Some(product)
}

unsafe extern "C" {
    /// In `glue/product.cpp`.
    fn ecco_product_parallel(
        n: i64,
        grain: i64,
        part: unsafe extern "C" fn(*mut c_void, i64, i64),
        data: *mut c_void,
    );
}

/// # Safety
/// `data` is a [`Job`], and nobody else writes these outputs.
unsafe extern "C" fn part(data: *mut c_void, from: i64, to: i64) {
    let job = &*data.cast::<Job>();
    (job.run)(job, from as usize, to as usize);
}

/// What is multiplied, as threads see it. All pointers outlive the product.
struct Job {
    /// `[row, in]`
    rows: *const f32,
    weight: *const c_void,
    /// `[row, out]`, where the bias stands already.
    product: *mut f32,
    n_rows: usize,
    inputs: usize,
    outputs: usize,
    /// From one output's weights to the next one's, or from one input's where those lie together.
    step: usize,
    run: unsafe fn(&Job, usize, usize),
}

impl Job {
    fn new(set: Set, rows: &Tensor, weight: &Tensor, product: &Tensor) -> Option<Self> {
        let (size, stride) = (weight.size(), weight.stride());
        let by_output = stride[0] == 1 || size[0] == 1;
        if !by_output && stride[1] != 1 && size[1] != 1 {
            return None;
        }
        let is_float = weight.kind() == Kind::Float;
        Some(Self {
            rows: rows.data_ptr().cast(),
            weight: weight.data_ptr(),
            product: product.data_ptr().cast(),
            n_rows: usize::try_from(rows.size()[0]).ok()?,
            inputs: usize::try_from(size[0]).ok()?,
            outputs: usize::try_from(size[1]).ok()?,
            step: usize::try_from(stride[usize::from(by_output)]).ok()?,
            run: kernel(set, by_output, is_float),
        })
    }

    unsafe fn row(&self, row: usize) -> *const f32 {
        self.rows.add(row * self.inputs)
    }
}

/// The kernel over one set of instructions.
macro_rules! compiled {
    ($(#[$feature:meta])* $lanes:ty, $by_output:expr, $is_float:expr) => {{
        $(#[$feature])*
        unsafe fn dots_float(job: &Job, from: usize, to: usize) {
            dots::<$lanes, f32>(job, from, to)
        }
        $(#[$feature])*
        unsafe fn dots_bf16(job: &Job, from: usize, to: usize) {
            dots::<$lanes, u16>(job, from, to)
        }
        $(#[$feature])*
        unsafe fn sums_float(job: &Job, from: usize, to: usize) {
            sums::<$lanes, f32>(job, from, to)
        }
        $(#[$feature])*
        unsafe fn sums_bf16(job: &Job, from: usize, to: usize) {
            sums::<$lanes, u16>(job, from, to)
        }
        match ($by_output, $is_float) {
            (true, true) => dots_float,
            (true, false) => dots_bf16,
            (false, true) => sums_float,
            (false, false) => sums_bf16,
        }
    }};
}

fn kernel(set: Set, by_output: bool, is_float: bool) -> unsafe fn(&Job, usize, usize) {
    #[cfg(target_arch = "x86_64")]
    use std::arch::x86_64::{__m256, __m512};
    match set {
        #[cfg(target_arch = "x86_64")]
        Set::Avx512 => compiled!(
            #[target_feature(enable = "avx512f")]
            __m512,
            by_output,
            is_float
        ),
        #[cfg(target_arch = "x86_64")]
        Set::Avx2 => compiled!(
            #[target_feature(enable = "avx2,fma")]
            __m256,
            by_output,
            is_float
        ),
        Set::Portable => compiled!([f32; 4], by_output, is_float),
    }
}

/// Numbers that weights are stored in.
trait Stored: Copy {
    unsafe fn load<L: Lanes>(from: *const Self) -> L;
    unsafe fn wide(self) -> f32;
}

impl Stored for f32 {
    #[inline(always)]
    unsafe fn load<L: Lanes>(from: *const Self) -> L {
        L::load(from)
    }
    #[inline(always)]
    unsafe fn wide(self) -> f32 {
        self
    }
}

/// bfloat16
impl Stored for u16 {
    #[inline(always)]
    unsafe fn load<L: Lanes>(from: *const Self) -> L {
        L::load_bf16(from)
    }
    #[inline(always)]
    unsafe fn wide(self) -> f32 {
        f32::from_bits(u32::from(self) << 16)
    }
}

/// Weights lie by output: each is a dot product with its row of weights. Four outputs at once, so that memory is read at
/// four places.
#[inline(always)]
unsafe fn dots<L: Lanes, W: Stored>(job: &Job, from: usize, to: usize) {
    let mut row = 0;
    while row < job.n_rows {
        row += match job.n_rows - row {
            1 => dots_of::<L, W, 1>(job, row, from, to),
            2 | 3 => dots_of::<L, W, 2>(job, row, from, to),
            _ => dots_of::<L, W, 4>(job, row, from, to),
        };
    }
}

/// Gives how many rows it did.
#[inline(always)]
unsafe fn dots_of<L: Lanes, W: Stored, const R: usize>(
    job: &Job,
    row: usize,
    from: usize,
    to: usize,
) -> usize {
    let mut output = from;
    while output + 4 <= to {
        dot::<L, W, R, 4>(job, row, output);
        output += 4;
    }
    while output < to {
        dot::<L, W, R, 1>(job, row, output);
        output += 1;
    }
    R
}

#[inline(always)]
unsafe fn dot<L: Lanes, W: Stored, const R: usize, const J: usize>(job: &Job, row: usize, output: usize) {
    let weight = job.weight.cast::<W>().add(output * job.step);
    let whole = job.inputs - job.inputs % L::N;
    let mut sums = [[L::zero(); J]; R];
    let mut at = 0;
    while at < whole {
        let weights: [L; J] = std::array::from_fn(|j| W::load(weight.add(j * job.step + at)));
        for (r, sums) in sums.iter_mut().enumerate() {
            let x = L::load(job.row(row + r).add(at));
            for (sum, &weight) in sums.iter_mut().zip(&weights) {
                *sum = x.times_plus(weight, *sum);
            }
        }
        at += L::N;
    }
    for (r, sums) in sums.iter().enumerate() {
        for (j, sum) in sums.iter().enumerate() {
            let mut sum = sum.sum();
            for at in whole..job.inputs {
                sum += *job.row(row + r).add(at) * weight.add(j * job.step + at).read_unaligned().wide();
            }
            *job.product.add((row + r) * job.outputs + output + j) += sum;
        }
    }
}

/// Inputs whose weights are added to the outputs at once.
const INPUTS: usize = 8;

/// Weights lie by input: each input's row of weights is added to all outputs, times the input.
#[inline(always)]
unsafe fn sums<L: Lanes, W: Stored>(job: &Job, from: usize, to: usize) {
    let mut input = 0;
    while input + INPUTS <= job.inputs {
        add::<L, W, INPUTS>(job, input, from, to);
        input += INPUTS;
    }
    while input < job.inputs {
        add::<L, W, 1>(job, input, from, to);
        input += 1;
    }
}

#[inline(always)]
unsafe fn add<L: Lanes, W: Stored, const I: usize>(job: &Job, input: usize, from: usize, to: usize) {
    let weight = job.weight.cast::<W>().add(input * job.step);
    let whole = to - (to - from) % L::N;
    let mut output = from;
    while output < whole {
        let weights: [L; I] = std::array::from_fn(|i| W::load(weight.add(i * job.step + output)));
        for row in 0..job.n_rows {
            let (x, product) = (
                job.row(row).add(input),
                job.product.add(row * job.outputs + output),
            );
            let mut sum = L::load(product);
            for (i, weight) in weights.iter().enumerate() {
                sum = weight.times_plus(L::splat(*x.add(i)), sum);
            }
            sum.store(product);
        }
        output += L::N;
    }
    for output in whole..to {
        for row in 0..job.n_rows {
            let x = job.row(row).add(input);
            let product = job.product.add(row * job.outputs + output);
            for i in 0..I {
                *product += *x.add(i) * weight.add(i * job.step + output).read_unaligned().wide();
            }
        }
    }
}
