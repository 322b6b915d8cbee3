//! A few rows times a matrix of float32.
//!
//! The matrix is read once, from front to back, as fast as memory gives it; all rows are multiplied with what was read. Where an
//! output's weights lie side by side its sums stay in registers; where an input's do, several inputs are added to all outputs
//! at a time. The arithmetic is on arrays of lanes, compiled for AVX-512, for AVX2 with FMA, and for any processor.

use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::slice;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use tch::{Kind, Tensor};

/// Rows that it takes.
pub(super) const MOST: i64 = 8;

const LANES: usize = 16;
type Lanes = [f32; LANES];

/// A thread's outputs of each row; of those that there are not, none.
type Rows<'a> = [&'a mut [f32]; MOST as usize];

/// Inputs that are added to the outputs at a time.
const INPUTS: usize = 8;
/// Numbers of the matrix that a thread is worth starting for.
const PER_THREAD: usize = 1 << 16;

// `glue/product.cpp`
unsafe extern "C" {
    fn ecco_parallel(
        n: i64,
        grain: i64,
        context: *mut c_void,
        each: unsafe extern "C" fn(*mut c_void, i64, i64),
    );
}

/// What lies side by side in a matrix, `[in, out]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// The weights of an input.
    ByInput,
    /// Those of an output.
    ByOutput,
}

impl Layout {
    /// Rows that it is worth for: the sums of more would not stay in registers.
    pub(super) fn most_rows(self) -> i64 {
        match self {
            Self::ByInput => 4,
            Self::ByOutput => MOST,
        }
    }
}

/// How a matrix lies; `None` for one whose numbers lie apart.
pub(super) fn layout(weight: &Tensor) -> Option<Layout> {
    let (size, stride) = (weight.size(), weight.stride());
    if stride[1] == 1 && stride[0] >= size[1] {
        return Some(Layout::ByInput);
    }
    (stride[0] == 1 && stride[1] >= size[0]).then_some(Layout::ByOutput)
}

/// x W + b of x, `[row, in]`, at most [`MOST`] rows, and W, `[in, out]`, that has a [`layout`].
pub(super) fn multiply(width: Width, x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Tensor {
    let (size, stride) = (weight.size(), weight.stride());
    let by_output = layout(weight) == Some(Layout::ByOutput);
    let (line, between) = (size[usize::from(!by_output)], stride[usize::from(by_output)]);
    let n_lines = size[usize::from(by_output)];
    // SAFETY: what the tensor's sizes and strides say; it lives to the end of this function.
    let numbers = unsafe { numbers(weight, ((n_lines - 1) * between + line) as usize) };
    let lines = Lines {
        numbers,
        between: between as usize,
    };
    let weight = match by_output {
        true => Weight::ByOutput(lines),
        false => Weight::ByInput(lines),
    };
    run(width, x, &weight, size[1] as usize, bias)
}

/// The same where the weights of an output, `[in]`, are made when they are needed: of outputs from 0 to `n_outputs`.
pub(super) fn multiply_made(
    x: &Tensor,
    n_outputs: usize,
    make: &(dyn Fn(usize, &mut [f32]) + Sync),
    bias: Option<&Tensor>,
) -> Tensor {
    run(Width::widest(), x, &Weight::Made(make), n_outputs, bias)
}

fn run(width: Width, x: &Tensor, weight: &Weight, n_outputs: usize, bias: Option<&Tensor>) -> Tensor {
    let (x, bias) = (x.contiguous(), bias.map(Tensor::contiguous));
    let size = x.size();
    let (n_rows, n_inputs) = (size[0] as usize, size[1] as usize);
    let product = Tensor::empty([size[0], n_outputs as i64], (Kind::Float, x.device()));
    // SAFETY: what the tensors' sizes say; they live to the end of this function.
    let mut job = unsafe {
        Job {
            x: numbers(&x, n_rows * n_inputs),
            weight,
            n_inputs,
            n_outputs,
            bias: bias.as_ref().map(|bias| numbers(bias, n_outputs)),
            product: product.data_ptr().cast(),
            width,
            failed: AtomicBool::new(false),
        }
    };
    let grain = (PER_THREAD / n_inputs).max(1).next_multiple_of(LANES);
    // SAFETY: the job lives as long as the call; what it is called with are ranges of outputs, each once.
    unsafe { ecco_parallel(n_outputs as i64, grain as i64, (&raw mut job).cast(), part) };
    assert!(
        !job.failed.into_inner(),
        "weights that are made for a product could not be made"
    );
    product
}

/// # Safety
/// The tensor is of float32 on the processor, has so many numbers side by side, and outlives them.
unsafe fn numbers<'a>(tensor: &Tensor, n: usize) -> &'a [f32] {
    // SAFETY: as the caller promises.
    unsafe { slice::from_raw_parts(tensor.data_ptr().cast(), n) }
}

/// A matrix, as it is read.
enum Weight<'a> {
    /// An output's weights lie side by side.
    ByOutput(Lines<'a>),
    /// An input's do.
    ByInput(Lines<'a>),
    /// An output's are made.
    Made(&'a (dyn Fn(usize, &mut [f32]) + Sync)),
}

struct Lines<'a> {
    numbers: &'a [f32],
    /// From one line to the next.
    between: usize,
}

struct Job<'a> {
    /// (row, input)
    x: &'a [f32],
    weight: &'a Weight<'a>,
    n_inputs: usize,
    n_outputs: usize,
    bias: Option<&'a [f32]>,
    /// (row, output)
    product: *mut f32,
    width: Width,
    /// Whether a part has panicked.
    failed: AtomicBool,
}

unsafe extern "C" fn part(job: *mut c_void, from: i64, to: i64) {
    // SAFETY: `run`'s job, which threads only read.
    let job = unsafe { &*job.cast::<Job>() };
    // A panic cannot go on through libtorch.
    let done = catch_unwind(AssertUnwindSafe(|| job.part(from as usize, to as usize)));
    if done.is_err() {
        job.failed.store(true, Ordering::Relaxed);
    }
}

/// Instructions that the arithmetic is compiled for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Width {
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    Any,
}

impl Width {
    /// Those that this processor has, the widest first.
    pub(super) fn all() -> Vec<Self> {
        let mut all = Vec::new();
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("fma") {
            if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vl") {
                all.push(Self::Avx512);
            }
            if is_x86_feature_detected!("avx2") {
                all.push(Self::Avx2);
            }
        }
        all.push(Self::Any);
        all
    }

    pub(super) fn widest() -> Self {
        static WIDEST: OnceLock<Width> = OnceLock::new();
        *WIDEST.get_or_init(|| Self::all()[0])
    }
}

impl Job<'_> {
    /// The outputs from one on, before another, of every row. No two calls are of the same.
    fn part(&self, from: usize, to: usize) {
        let n_rows = self.x.len() / self.n_inputs;
        let mut rows: Rows = std::array::from_fn(|row| match row < n_rows {
            // SAFETY: each thread has outputs of its own, of every row.
            true => unsafe {
                slice::from_raw_parts_mut(self.product.add(row * self.n_outputs + from), to - from)
            },
            false => &mut [],
        });
        for row in &mut rows[..n_rows] {
            match self.bias {
                Some(bias) => row.copy_from_slice(&bias[from..to]),
                None => row.fill(0.0),
            }
        }
        match n_rows {
            1 => self.add::<1, 4>(from, &mut rows),
            2 => self.add::<2, 4>(from, &mut rows),
            3 => self.add::<3, 2>(from, &mut rows),
            4 => self.add::<4, 2>(from, &mut rows),
            5 => self.add::<5, 1>(from, &mut rows),
            6 => self.add::<6, 1>(from, &mut rows),
            7 => self.add::<7, 1>(from, &mut rows),
            _ => self.add::<8, 1>(from, &mut rows),
        }
    }

    /// Adds x W to the outputs from `from` on of each of `ROWS` rows, `OUTPUTS` at a time.
    fn add<const ROWS: usize, const OUTPUTS: usize>(&self, from: usize, rows: &mut Rows) {
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx512f,avx512vl,fma")]
        fn avx512<const ROWS: usize, const OUTPUTS: usize>(job: &Job, from: usize, rows: &mut Rows) {
            job.add_lanes::<ROWS, OUTPUTS, true>(from, rows);
        }
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx2,fma")]
        fn avx2<const ROWS: usize, const OUTPUTS: usize>(job: &Job, from: usize, rows: &mut Rows) {
            job.add_lanes::<ROWS, OUTPUTS, true>(from, rows);
        }
        match self.width {
            // SAFETY: the processor has what the function is compiled for: `Width::all` asked.
            #[cfg(target_arch = "x86_64")]
            Width::Avx512 => unsafe { avx512::<ROWS, OUTPUTS>(self, from, rows) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Width::Avx2 => unsafe { avx2::<ROWS, OUTPUTS>(self, from, rows) },
            Width::Any => {
                const FUSED: bool = cfg!(target_arch = "aarch64"); // elsewhere a fused operation may be a library call
                self.add_lanes::<ROWS, OUTPUTS, FUSED>(from, rows);
            }
        }
    }

    #[inline(always)]
    fn add_lanes<const ROWS: usize, const OUTPUTS: usize, const FUSED: bool>(
        &self,
        from: usize,
        rows: &mut Rows,
    ) {
        let x: [&[f32]; ROWS] = std::array::from_fn(|row| &self.x[row * self.n_inputs..][..self.n_inputs]);
        let n_outputs = rows[0].len();
        if let Weight::ByInput(lines) = self.weight {
            let line = |input: usize| &lines.numbers[input * lines.between + from..][..n_outputs];
            let whole = self.n_inputs - self.n_inputs % INPUTS;
            for input in (0..whole).step_by(INPUTS) {
                let shares = x.map(|x| std::array::from_fn(|next| x[input + next]));
                let lines = std::array::from_fn(|next| line(input + next));
                add_lines::<ROWS, INPUTS, FUSED>(rows, shares, &lines);
            }
            for input in whole..self.n_inputs {
                let lines = [line(input)];
                add_lines::<ROWS, 1, FUSED>(rows, x.map(|x| [x[input]]), &lines);
            }
            return;
        }
        let mut made = vec![
            0.0;
            if self.is_made() {
                OUTPUTS * self.n_inputs
            } else {
                0
            }
        ];
        for output in (0..n_outputs).step_by(OUTPUTS) {
            let n = OUTPUTS.min(n_outputs - output);
            if let Weight::Made(make) = self.weight {
                let lines = made.chunks_exact_mut(self.n_inputs).take(n).enumerate();
                lines.for_each(|(next, line)| make(from + output + next, line));
            }
            let line = |next: usize| match self.weight {
                Weight::ByOutput(lines) => {
                    &lines.numbers[(from + output + next) * lines.between..][..self.n_inputs]
                }
                _ => &made[next * self.n_inputs..][..self.n_inputs],
            };
            // Behind the last output it stands once more.
            let sums = dots::<ROWS, OUTPUTS, FUSED>(&x, std::array::from_fn(|next| line(next.min(n - 1))));
            for (row, sums) in rows.iter_mut().zip(sums) {
                let into = row[output..][..n].iter_mut();
                into.zip(sums).for_each(|(into, sum)| *into += sum);
            }
        }
    }

    fn is_made(&self) -> bool {
        matches!(self.weight, Weight::Made(_))
    }
}

/// Each row of x times each line.
#[inline(always)]
fn dots<const ROWS: usize, const OUTPUTS: usize, const FUSED: bool>(
    x: &[&[f32]; ROWS],
    lines: [&[f32]; OUTPUTS],
) -> [[f32; OUTPUTS]; ROWS] {
    let (blocks, rest) = (lines[0].len() / LANES, lines[0].len() % LANES);
    let x_blocks: [&[Lanes]; ROWS] = std::array::from_fn(|row| &x[row].as_chunks().0[..blocks]);
    let line_blocks: [&[Lanes]; OUTPUTS] =
        std::array::from_fn(|output| &lines[output].as_chunks().0[..blocks]);
    let mut sums = [[[0.0_f32; LANES]; OUTPUTS]; ROWS];
    for block in 0..blocks {
        for output in 0..OUTPUTS {
            let weights = line_blocks[output][block];
            for row in 0..ROWS {
                let x = x_blocks[row][block];
                for lane in 0..LANES {
                    sums[row][output][lane] =
                        multiply_add::<FUSED>(x[lane], weights[lane], sums[row][output][lane]);
                }
            }
        }
    }
    std::array::from_fn(|row| {
        std::array::from_fn(|output| {
            let start = blocks * LANES;
            let pairs = x[row][start..].iter().zip(&lines[output][start..][..rest]);
            let rest: f32 = pairs.map(|(x, weight)| x * weight).sum();
            folded(sums[row][output]) + rest
        })
    })
}

/// The lanes' sum, by halves.
#[inline(always)]
fn folded(lanes: Lanes) -> f32 {
    let eight: [f32; 8] = std::array::from_fn(|lane| lanes[lane] + lanes[lane + 8]);
    let four: [f32; 4] = std::array::from_fn(|lane| eight[lane] + eight[lane + 4]);
    (four[0] + four[2]) + (four[1] + four[3])
}

/// Adds some lines to each row, each line times the row's share of it.
#[inline(always)]
fn add_lines<const ROWS: usize, const N: usize, const FUSED: bool>(
    rows: &mut Rows,
    shares: [[f32; N]; ROWS],
    lines: &[&[f32]; N],
) {
    let n_blocks = lines[0].len() / LANES;
    let line_blocks: [&[Lanes]; N] = std::array::from_fn(|line| &lines[line].as_chunks().0[..n_blocks]);
    for block in 0..n_blocks {
        let mut sums: [Lanes; ROWS] = std::array::from_fn(|row| rows[row].as_chunks().0[block]);
        for (line, blocks) in line_blocks.iter().enumerate() {
            let weights = blocks[block];
            for row in 0..ROWS {
                for lane in 0..LANES {
                    sums[row][lane] =
                        multiply_add::<FUSED>(shares[row][line], weights[lane], sums[row][lane]);
                }
            }
        }
        for row in 0..ROWS {
            rows[row].as_chunks_mut().0[block] = sums[row];
        }
    }
    for place in n_blocks * LANES..lines[0].len() {
        for (row, shares) in rows.iter_mut().zip(shares) {
            for line in 0..N {
                row[place] += shares[line] * lines[line][place];
            }
        }
    }
}

#[inline(always)]
fn multiply_add<const FUSED: bool>(a: f32, b: f32, sum: f32) -> f32 {
    match FUSED {
        true => a.mul_add(b, sum),
        false => a * b + sum,
    }
}
