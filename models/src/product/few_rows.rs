//! A few rows of float32 times a matrix of float32 or bfloat16.
//!
//! The matrix is read once, from front to back, as fast as memory gives it; all rows are multiplied with what was read. Where an
//! output's weights lie side by side its sums stay in registers; where an input's do, several inputs are added to all outputs
//! at a time. Both are by [`lanes`](crate::lanes).

mod word;

use std::slice;

use tch::{Kind, Tensor};

use crate::lanes::{Lanes, Width, Work};
use crate::parallel;
use word::{Upper, Uppers, Word, words};

/// Rows that it takes.
pub(super) const MOST: i64 = 8;

/// A thread's outputs of each row; of those that there are not, none.
type Rows<'a> = [&'a mut [f32]; MOST as usize];

/// Numbers that memory gives at once: threads share none.
const LINE: usize = 16;

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

/// x W + b of x, `[.., in]`, at most [`MOST`] rows, and W, `[in, out]`, that has a [`layout`].
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
    let n_inputs = *x.size().last()? as usize;
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
    let mut size = x.size();
    let n_inputs = size.pop().unwrap_or(1) as usize;
    let n_rows = size.iter().product::<i64>() as usize;
    let x = match W::N {
        1 => x.contiguous(),
        n => apart(&x.contiguous(), n_inputs, n),
    };
    let bias = bias.map(Tensor::contiguous);
    size.push(n_outputs as i64);
    let product = Tensor::empty(&size, (Kind::Float, x.device()));
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
    let grain = (PER_THREAD / n_inputs).max(1).next_multiple_of(LINE);
    parallel::ranges(n_outputs, grain, &|outputs| job.part(outputs.start, outputs.end));
    product
}

/// Inputs, `[.., in]`, that the first of `n` numbers of words are for, then those of the second.
fn apart(x: &Tensor, n_inputs: usize, n: usize) -> Tensor {
    let laid = Tensor::empty_like(x);
    let length = x.numel();
    // SAFETY: both are float32 on the processor and have so many numbers side by side; the second is ours.
    let (x, to) = unsafe {
        (
            numbers(x, length),
            slice::from_raw_parts_mut(laid.data_ptr().cast(), length),
        )
    };
    for (row, to) in x.chunks(n_inputs).zip(to.chunks_mut(n_inputs)) {
        for (which, to) in to.chunks_mut(n_inputs / n).enumerate() {
            for (to, x) in to.iter_mut().zip(row[which..].iter().step_by(n)) {
                *to = *x;
            }
        }
    }
    laid
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
            1 => self.width.run(Part::<1, 4, 12, W>(self, from, &mut rows)),
            2 => self.width.run(Part::<2, 2, 12, W>(self, from, &mut rows)),
            3 => self.width.run(Part::<3, 2, 8, W>(self, from, &mut rows)),
            4 => self.width.run(Part::<4, 2, 8, W>(self, from, &mut rows)),
            5 => self.width.run(Part::<5, 2, 1, W>(self, from, &mut rows)),
            6 => self.width.run(Part::<6, 2, 1, W>(self, from, &mut rows)),
            7 => self.width.run(Part::<7, 2, 1, W>(self, from, &mut rows)),
            _ => self.width.run(Part::<8, 2, 1, W>(self, from, &mut rows)),
        }
    }

    fn is_made(&self) -> bool {
        matches!(self.weight, Weight::Made(_))
    }
}

/// A job's part of the outputs from the number on, of `ROWS` rows: of an output's weights `SUMS` blocks are summed side by side,
/// of inputs' so many lines. One output after the other reads memory from front to back, which it does fastest.
struct Part<'a, const ROWS: usize, const SUMS: usize, const INPUTS: usize, W>(
    &'a Job<'a, W>,
    usize,
    &'a mut Rows<'a>,
);

impl<const ROWS: usize, const SUMS: usize, const INPUTS: usize, W: Word> Work
    for Part<'_, ROWS, SUMS, INPUTS, W>
{
    type Result = ();

    /// Adds x W to the rows.
    #[inline(always)]
    unsafe fn by<L: Lanes>(self) {
        let Self(job, from, rows) = self;
        let n_inputs = job.n_inputs;
        let x: [&[f32]; ROWS] = std::array::from_fn(|row| &job.x[row * n_inputs..][..n_inputs]);
        let n_outputs = rows[0].len();
        if let Weight::ByInput(lines) = job.weight {
            let line = |input: usize| &lines.numbers[input * lines.between + from..][..n_outputs];
            let whole = n_inputs - n_inputs % INPUTS;
            for input in (0..whole).step_by(INPUTS) {
                let shares = x.map(|x| std::array::from_fn(|next| x[input + next]));
                let lines = std::array::from_fn(|next| line(input + next));
                // SAFETY: as the caller promises.
                unsafe { add_lines::<ROWS, INPUTS, L, W>(rows, shares, &lines) };
            }
            for input in whole..n_inputs {
                let lines = [line(input)];
                // SAFETY: the same.
                unsafe { add_lines::<ROWS, 1, L, W>(rows, x.map(|x| [x[input]]), &lines) };
            }
            return;
        }
        let mut made = vec![0.0; if job.is_made() { n_inputs } else { 0 }];
        for output in 0..n_outputs {
            let sums = match job.weight {
                Weight::Made(make) => {
                    make(from + output, &mut made);
                    // SAFETY: as the caller promises.
                    unsafe { dots::<ROWS, SUMS, L, f32>(&x, &made) }
                }
                Weight::ByOutput(lines) | Weight::ByInput(lines) => {
                    let line = &lines.numbers[(from + output) * lines.between..];
                    // SAFETY: as the caller promises.
                    unsafe { dots::<ROWS, SUMS, L, W>(&x, &line[..n_inputs / W::N]) }
                }
            };
            for (row, sum) in rows.iter_mut().zip(sums) {
                row[output] += sum;
            }
        }
    }
}

/// Each row of x times a line of words; a row has its numbers for the words' first numbers, then those for their second.
///
/// # Safety
/// The processor has the lanes.
#[inline(always)]
unsafe fn dots<const ROWS: usize, const SUMS: usize, L: Lanes, W: Word>(
    x: &[&[f32]; ROWS],
    line: &[W],
) -> [f32; ROWS] {
    for x in x {
        assert_eq!(x.len(), W::N * line.len());
    }
    let at_once = SUMS / W::N;
    let n_blocks = line.len() / L::N;
    let whole = n_blocks - n_blocks % at_once;
    // SAFETY: rows and line have so many numbers, and the caller promises the lanes.
    unsafe {
        // Loops whose lengths are known keep the sums in registers.
        let mut sums = [[L::all(0.0); SUMS]; ROWS];
        for block in (0..whole).step_by(at_once) {
            for next in 0..at_once {
                add_block::<ROWS, SUMS, L, W>(&mut sums, next, x, line, block + next);
            }
        }
        for block in whole..n_blocks {
            add_block::<ROWS, SUMS, L, W>(&mut sums, 0, x, line, block);
        }
        let mut found = [0.0; ROWS];
        for row in 0..ROWS {
            let mut sum = sums[row][0];
            for next in &sums[row][1..] {
                sum = sum.plus(*next);
            }
            found[row] = sum.sum();
            for word in n_blocks * L::N..line.len() {
                for which in 0..W::N {
                    found[row] += x[row][which * line.len() + word] * line[word].number(which);
                }
            }
        }
        found
    }
}

/// Adds a block of words to the sums that are `next` words on.
///
/// # Safety
/// The processor has the lanes, and each row as many numbers as the line.
#[inline(always)]
unsafe fn add_block<const ROWS: usize, const SUMS: usize, L: Lanes, W: Word>(
    sums: &mut [[L; SUMS]; ROWS],
    next: usize,
    x: &[&[f32]; ROWS],
    line: &[W],
    block: usize,
) {
    // SAFETY: as the caller promises.
    unsafe {
        let weights = W::load::<L>(line.as_ptr().add(block * L::N));
        for which in 0..W::N {
            for row in 0..ROWS {
                let x = L::load(x[row].as_ptr().add(which * line.len() + block * L::N));
                let sum = &mut sums[row][next * W::N + which];
                *sum = x.times_plus(weights[which], *sum);
            }
        }
    }
}

/// Adds some lines to each row, each line times the row's share of it.
///
/// # Safety
/// The processor has the lanes.
#[inline(always)]
unsafe fn add_lines<const ROWS: usize, const LINES: usize, L: Lanes, W: Word>(
    rows: &mut Rows,
    shares: [[f32; LINES]; ROWS],
    lines: &[&[W]; LINES],
) {
    let length = rows[0].len();
    for row in &rows[..ROWS] {
        assert_eq!(row.len(), length);
    }
    for line in lines {
        assert_eq!(line.len(), length);
    }
    let whole = length - length % L::N;
    // SAFETY: rows and lines have so many numbers, and the caller promises the lanes.
    unsafe {
        for place in (0..whole).step_by(L::N) {
            let mut sums = [L::all(0.0); ROWS];
            for row in 0..ROWS {
                sums[row] = L::load(rows[row].as_ptr().add(place));
            }
            for line in 0..LINES {
                let [weights, _] = W::load::<L>(lines[line].as_ptr().add(place));
                for row in 0..ROWS {
                    sums[row] = weights.times_plus(L::all(shares[row][line]), sums[row]);
                }
            }
            for row in 0..ROWS {
                sums[row].store(rows[row].as_mut_ptr().add(place));
            }
        }
    }
    for place in whole..length {
        for row in 0..ROWS {
            for line in 0..LINES {
                rows[row][place] += shares[row][line] * lines[line][place].number(0);
            }
        }
    }
}
