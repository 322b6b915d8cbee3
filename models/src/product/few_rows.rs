//! A few rows of float32 times a matrix of float32 or bfloat16.
//!
//! The matrix is read once, from front to back, as fast as memory gives it; all rows are multiplied with what was read. Where an
//! output's weights lie side by side its sums stay in registers; where an input's do, several inputs are added to all outputs
//! at a time. The arithmetic is on arrays of lanes, compiled for AVX-512, for AVX2 with FMA, and for any processor.

mod word;

use std::slice;
use std::sync::OnceLock;

use tch::{Kind, Tensor};

use crate::parallel;
use word::{Upper, Uppers, Word, words};

/// Rows that it takes.
pub(super) const MOST: i64 = 8;

const LANES: usize = 16;
type Lanes = [f32; LANES];

/// A thread's outputs of each row; of those that there are not, none.
type Rows<'a> = [&'a mut [f32]; MOST as usize];

/// Numbers of the matrix that a thread is worth starting for.
const PER_THREAD: usize = 1 << 16;

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

/// The same with all numbers of a matrix as bfloat16, an output's weights side by side or an input's; `None` where they lie at
/// addresses that the processor does not read numbers from.
pub(super) fn multiply_bf16(
    width: Width,
    x: &Tensor,
    weights: &[u8],
    layout: Layout,
    bias: Option<&Tensor>,
) -> Option<Tensor> {
    let n_inputs = x.size()[1] as usize;
    let n_outputs = weights.len() / 2 / n_inputs;
    match layout {
        Layout::ByOutput if n_inputs.is_multiple_of(2) => {
            let (numbers, between) = (words::<Uppers>(weights)?, n_inputs / 2);
            let weight = Weight::ByOutput(Lines { numbers, between });
            Some(run(width, x, &weight, n_outputs, bias))
        }
        Layout::ByOutput => None,
        Layout::ByInput => {
            let (numbers, between) = (words::<Upper>(weights)?, n_outputs);
            let weight = Weight::ByInput(Lines { numbers, between });
            Some(run(width, x, &weight, n_outputs, bias))
        }
    }
}

/// The same where the weights of an output, `[in]`, are made when they are needed: of outputs from 0 to `n_outputs`.
pub(super) fn multiply_made(
    x: &Tensor,
    n_outputs: usize,
    make: &(dyn Fn(usize, &mut [f32]) + Sync),
    bias: Option<&Tensor>,
) -> Tensor {
    run(Width::widest(), x, &Weight::<f32>::Made(make), n_outputs, bias)
}

fn run<W: Word>(
    width: Width,
    x: &Tensor,
    weight: &Weight<W>,
    n_outputs: usize,
    bias: Option<&Tensor>,
) -> Tensor {
    let size = x.size();
    let (n_rows, n_inputs) = (size[0] as usize, size[1] as usize);
    // Inputs that the first numbers of words are for, then those of the second.
    let x = match W::N {
        1 => x.contiguous(),
        n => x.unflatten(1, [-1, n as i64]).transpose(1, 2).contiguous(),
    };
    let bias = bias.map(Tensor::contiguous);
    let product = Tensor::empty([size[0], n_outputs as i64], (Kind::Float, x.device()));
    // SAFETY: what the tensors' sizes say; they live to the end of this function.
    let job = unsafe {
        Job {
            x: numbers(&x, n_rows * n_inputs),
            weight,
            n_inputs,
            n_outputs,
            bias: bias.as_ref().map(|bias| numbers(bias, n_outputs)),
            product: Product(product.data_ptr().cast()),
            width,
        }
    };
    let grain = (PER_THREAD / n_inputs).max(1).next_multiple_of(LANES);
    parallel::ranges(n_outputs, grain, &|outputs| job.part(outputs.start, outputs.end));
    product
}

/// # Safety
/// The tensor is of float32 on the processor, has so many numbers side by side, and outlives them.
unsafe fn numbers<'a>(tensor: &Tensor, n: usize) -> &'a [f32] {
    // SAFETY: as the caller promises.
    unsafe { slice::from_raw_parts(tensor.data_ptr().cast(), n) }
}

/// A matrix, as it is read.
enum Weight<'a, W> {
    /// An output's weights lie side by side.
    ByOutput(Lines<'a, W>),
    /// An input's do.
    ByInput(Lines<'a, W>),
    /// An output's are made.
    Made(&'a (dyn Fn(usize, &mut [f32]) + Sync)),
}

struct Lines<'a, W> {
    numbers: &'a [W],
    /// From one line to the next.
    between: usize,
}

struct Job<'a, W> {
    /// (row, which of a word's numbers, word)
    x: &'a [f32],
    weight: &'a Weight<'a, W>,
    n_inputs: usize,
    n_outputs: usize,
    bias: Option<&'a [f32]>,
    /// (row, output)
    product: Product,
    width: Width,
}

/// What threads write to, each to outputs of its own.
struct Product(*mut f32);

// SAFETY: no two threads have the same outputs, see `Job::part`.
unsafe impl Sync for Product {}

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

impl<W: Word> Job<'_, W> {
    /// The outputs from one on, before another, of every row. No two calls are of the same.
    fn part(&self, from: usize, to: usize) {
        let n_rows = self.x.len() / self.n_inputs;
        let mut rows: Rows = std::array::from_fn(|row| match row < n_rows {
            // SAFETY: each thread has outputs of its own, of every row.
            true => unsafe {
                slice::from_raw_parts_mut(self.product.0.add(row * self.n_outputs + from), to - from)
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
            1 => self.add::<1, 4, 12>(from, &mut rows),
            2 => self.add::<2, 2, 12>(from, &mut rows),
            3 => self.add::<3, 2, 8>(from, &mut rows),
            4 => self.add::<4, 2, 8>(from, &mut rows),
            5 => self.add::<5, 2, 1>(from, &mut rows),
            6 => self.add::<6, 2, 1>(from, &mut rows),
            7 => self.add::<7, 2, 1>(from, &mut rows),
            _ => self.add::<8, 2, 1>(from, &mut rows),
        }
    }

    /// Adds x W to the outputs from `from` on of each of `ROWS` rows: of an output's weights `SUMS` blocks are summed side by side,
    /// of inputs' so many lines. One output after the other reads memory from front to back, which it does fastest.
    fn add<const ROWS: usize, const SUMS: usize, const INPUTS: usize>(&self, from: usize, rows: &mut Rows) {
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx512f,avx512vl,fma")]
        fn avx512<const ROWS: usize, const SUMS: usize, const INPUTS: usize, W: Word>(
            job: &Job<W>,
            from: usize,
            rows: &mut Rows,
        ) {
            job.add_lanes::<ROWS, SUMS, INPUTS, true>(from, rows);
        }
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx2,fma")]
        fn avx2<const ROWS: usize, const SUMS: usize, const INPUTS: usize, W: Word>(
            job: &Job<W>,
            from: usize,
            rows: &mut Rows,
        ) {
            job.add_lanes::<ROWS, SUMS, INPUTS, true>(from, rows);
        }
        match self.width {
            // SAFETY: the processor has what the function is compiled for: `Width::all` asked.
            #[cfg(target_arch = "x86_64")]
            Width::Avx512 => unsafe { avx512::<ROWS, SUMS, INPUTS, W>(self, from, rows) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Width::Avx2 => unsafe { avx2::<ROWS, SUMS, INPUTS, W>(self, from, rows) },
            Width::Any => {
                const FUSED: bool = cfg!(target_arch = "aarch64"); // elsewhere a fused operation may be a library call
                self.add_lanes::<ROWS, SUMS, INPUTS, FUSED>(from, rows);
            }
        }
    }

    #[inline(always)]
    fn add_lanes<const ROWS: usize, const SUMS: usize, const INPUTS: usize, const FUSED: bool>(
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
                add_lines::<ROWS, INPUTS, FUSED, W>(rows, shares, &lines);
            }
            for input in whole..self.n_inputs {
                let lines = [line(input)];
                add_lines::<ROWS, 1, FUSED, W>(rows, x.map(|x| [x[input]]), &lines);
            }
            return;
        }
        let mut made = vec![0.0; if self.is_made() { self.n_inputs } else { 0 }];
        for output in 0..n_outputs {
            let sums = match self.weight {
                Weight::Made(make) => {
                    make(from + output, &mut made);
                    dots::<ROWS, SUMS, FUSED, f32>(&x, &made)
                }
                Weight::ByOutput(lines) | Weight::ByInput(lines) => {
                    let line = &lines.numbers[(from + output) * lines.between..];
                    dots::<ROWS, SUMS, FUSED, W>(&x, &line[..self.n_inputs / W::N])
                }
            };
            for (row, sum) in rows.iter_mut().zip(sums) {
                row[output] += sum;
            }
        }
    }

    fn is_made(&self) -> bool {
        matches!(self.weight, Weight::Made(_))
    }
}

/// Each row of x times a line of words; a row has its numbers for the words' first numbers, then those for their second.
#[inline(always)]
fn dots<const ROWS: usize, const SUMS: usize, const FUSED: bool, W: Word>(
    x: &[&[f32]; ROWS],
    line: &[W],
) -> [f32; ROWS] {
    let (blocks, rest) = line.as_chunks::<LANES>();
    let x_blocks: [[&[Lanes]; 2]; ROWS] = std::array::from_fn(|row| {
        std::array::from_fn(|which| match which < W::N {
            true => &x[row][which * line.len()..].as_chunks().0[..blocks.len()],
            false => &[][..],
        })
    });
    let mut sums = [[[0.0_f32; LANES]; SUMS]; ROWS];
    // Loops whose lengths are known keep the sums in registers.
    let at_once = SUMS / W::N;
    let whole = blocks.len() - blocks.len() % at_once;
    for block in (0..whole).step_by(at_once) {
        for next in 0..at_once {
            add_block::<ROWS, SUMS, FUSED, W>(&mut sums, next, &x_blocks, blocks, block + next);
        }
    }
    for block in whole..blocks.len() {
        add_block::<ROWS, SUMS, FUSED, W>(&mut sums, 0, &x_blocks, blocks, block);
    }
    std::array::from_fn(|row| {
        let mut lanes = sums[row][0];
        for sum in &sums[row][1..] {
            for lane in 0..LANES {
                lanes[lane] += sum[lane];
            }
        }
        if rest.is_empty() {
            return folded(lanes);
        }
        let behind = |which: usize| &x[row][which * line.len() + blocks.len() * LANES..];
        let products = (0..W::N).flat_map(|which| {
            let pairs = rest.iter().zip(behind(which));
            pairs.map(move |(word, x)| word.number(which) * x)
        });
        folded(lanes) + products.sum::<f32>()
    })
}

/// Adds a block of words to the sums that are `next` words on.
#[inline(always)]
fn add_block<const ROWS: usize, const SUMS: usize, const FUSED: bool, W: Word>(
    sums: &mut [[Lanes; SUMS]; ROWS],
    next: usize,
    x_blocks: &[[&[Lanes]; 2]; ROWS],
    blocks: &[[W; LANES]],
    block: usize,
) {
    for which in 0..W::N {
        let weights: Lanes = blocks[block].map(|word| word.number(which));
        for row in 0..ROWS {
            let x = x_blocks[row][which][block];
            let sum = &mut sums[row][next * W::N + which];
            for lane in 0..LANES {
                sum[lane] = multiply_add::<FUSED>(x[lane], weights[lane], sum[lane]);
            }
        }
    }
}

/// The lanes' sum, by halves.
#[inline(always)]
fn folded(lanes: Lanes) -> f32 {
    let (mut eight, mut four) = ([0.0; 8], [0.0; 4]);
    for lane in 0..8 {
        eight[lane] = lanes[lane] + lanes[lane + 8];
    }
    for lane in 0..4 {
        four[lane] = eight[lane] + eight[lane + 4];
    }
    (four[0] + four[2]) + (four[1] + four[3])
}

/// Adds some lines to each row, each line times the row's share of it.
#[inline(always)]
fn add_lines<const ROWS: usize, const LINES: usize, const FUSED: bool, W: Word>(
    rows: &mut Rows,
    shares: [[f32; LINES]; ROWS],
    lines: &[&[W]; LINES],
) {
    let n_blocks = lines[0].len() / LANES;
    let line_blocks: [&[[W; LANES]]; LINES] =
        std::array::from_fn(|line| &lines[line].as_chunks().0[..n_blocks]);
    for block in 0..n_blocks {
        let mut sums: [Lanes; ROWS] = std::array::from_fn(|row| rows[row].as_chunks().0[block]);
        for (line, blocks) in line_blocks.iter().enumerate() {
            let weights: Lanes = blocks[block].map(|word| word.number(0));
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
            for line in 0..LINES {
                row[place] += shares[line] * lines[line][place].number(0);
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
