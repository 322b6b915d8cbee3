//! A matrix as its file has it.
//!
//! Its rows are decoded into a buffer that is used again and again, on all cores, and multiplied with from there. What
//! is too large for the buffer goes through it part by part.

use std::ops::Deref;
use std::sync::Arc;

use tch::{Device, Kind, Tensor};

use super::Weight;
use crate::host::{self, bring};
use crate::product;

/// Makes the numbers of a row.
type ReadRow = dyn Fn(usize, &mut [f32]) + Send + Sync;

/// Rows of a file that become numbers.
pub(crate) struct Rows {
    /// Rows and columns.
    pub size: [usize; 2],
    /// That they take in the file.
    pub n_bytes: u64,
    pub read: Box<ReadRow>,
    /// Where the rows are bfloat16 that lie one behind the other: these, little-endian. Few rows are multiplied with them as they are.
    pub bf16: Option<Box<Bytes>>,
}

pub(crate) type Bytes = dyn Deref<Target = [u8]> + Send + Sync;

/// Numbers that are decoded at a time: 16 MB, which some caches hold.
const PART: usize = 1 << 22;
/// Numbers that a thread is worth starting for.
const PER_THREAD: usize = 1 << 17;

thread_local! {
    static BUFFER: std::cell::RefCell<Vec<f32>> = const { std::cell::RefCell::new(Vec::new()) };
}

impl Rows {
    /// The rows from `first` on that fill `numbers`.
    fn fill(&self, first: usize, numbers: &mut [f32]) {
        let n_columns = self.size[1];
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let n_threads = cores.min(numbers.len() / PER_THREAD).max(1);
        let per_thread = (numbers.len() / n_columns).div_ceil(n_threads).max(1);
        let fill = |first: usize, numbers: &mut [f32]| {
            for (row, numbers) in numbers.chunks_exact_mut(n_columns).enumerate() {
                (self.read)(first + row, numbers);
            }
        };
        std::thread::scope(|scope| {
            let mut shares = numbers.chunks_mut(per_thread * n_columns).enumerate();
            // This thread has the first.
            let own = shares.next();
            for (index, share) in shares {
                let fill = &fill;
                scope.spawn(move || fill(first + index * per_thread, share));
            }
            if let Some((_, share)) = own {
                fill(first, share);
            }
        });
    }

    /// Decodes some rows, a part at a time, and calls with the first row of each part and its numbers.
    pub(crate) fn parts<E>(
        &self,
        rows: std::ops::Range<usize>,
        mut each: impl FnMut(usize, &[f32]) -> Result<(), E>,
    ) -> Result<(), E> {
        let n_columns = self.size[1];
        let per_part = (PART / n_columns.max(1)).max(1);
        let mut buffer = BUFFER.take();
        let mut done = Ok(());
        for first in rows.clone().step_by(per_part) {
            let n = per_part.min(rows.end - first) * n_columns;
            if buffer.len() < n {
                buffer.resize(n, 0.0);
            }
            self.fill(first, &mut buffer[..n]);
            done = each(first, &buffer[..n]);
            if done.is_err() {
                break;
            }
        }
        BUFFER.set(buffer);
        done
    }
}

/// Some rows of a matrix as its file has it.
#[derive(Clone)]
pub struct StoredMatrix {
    rows: Arc<Rows>,
    first: usize,
    n_rows: usize,
    /// Its axes are `[column, row]`.
    turned: bool,
    /// In memory it would lie column by column: products round as they do there.
    by_column: bool,
    /// What it computes with, and where.
    place: (Kind, Device),
}

impl StoredMatrix {
    /// With `turned` the family has the file's rows as columns: its axes are `[column, row]`.
    pub(crate) fn new(rows: Rows, turned: bool, place: (Kind, Device)) -> Self {
        Self {
            first: 0,
            n_rows: rows.size[0],
            rows: Arc::new(rows),
            turned,
            by_column: turned,
            place,
        }
    }

    pub(super) fn size(&self) -> [i64; 2] {
        let size = [self.n_rows as i64, self.rows.size[1] as i64];
        match self.turned {
            true => [size[1], size[0]],
            false => size,
        }
    }

    pub(super) fn place(&self) -> (Kind, Device) {
        self.place
    }

    pub(super) fn n_bytes(&self) -> u64 {
        self.rows.n_bytes * self.n_rows as u64 / self.rows.size[0].max(1) as u64
    }

    pub(super) fn tr(&self) -> Self {
        Self {
            turned: !self.turned,
            ..self.clone()
        }
    }

    /// Some outputs of `[in, out]`, where these are its rows.
    pub(super) fn outputs(&self, start: i64, length: i64) -> Option<Self> {
        self.turned.then(|| Self {
            first: self.first + start as usize,
            n_rows: length as usize,
            ..self.clone()
        })
    }

    /// All its numbers.
    pub(super) fn tensor(&self) -> Tensor {
        let all = Tensor::empty([self.n_rows as i64, self.rows.size[1] as i64], self.place);
        self.each(|start, numbers| all.narrow(0, start, numbers.size()[0]).copy_(numbers));
        match self.turned {
            true => all.tr(),
            false => all,
        }
    }

    /// Rows by their numbers, `[number, column]`.
    pub(super) fn rows_at(&self, rows: &[i64]) -> Tensor {
        let n_columns = self.rows.size[1];
        let mut numbers = vec![0.0_f32; rows.len() * n_columns];
        for (&row, numbers) in rows.iter().zip(numbers.chunks_exact_mut(n_columns)) {
            // What an index beyond the end gives elsewhere, too.
            let row = usize::try_from(row).ok().filter(|&row| row < self.n_rows);
            let row = row.expect("token ids are checked against the vocabulary");
            (self.rows.read)(self.first + row, numbers);
        }
        let found = host::tensor(&numbers, self.place.1).view([rows.len() as i64, n_columns as i64]);
        bring(&found, self.place)
    }

    /// x W + b of x, `[.., in]`, and W as its axes are; with a bias x has two axes.
    pub(super) fn product(&self, x: &Tensor, bias: Option<&Tensor>) -> Tensor {
        if let Some(product) = self.product_of_few(x, bias) {
            return product;
        }
        if !self.turned {
            let product = self.over_rows(x);
            return bias.map_or(product.shallow_clone(), |bias| product + bias);
        }
        let make = |output: usize, numbers: &mut [f32]| (self.rows.read)(self.first + output, numbers);
        if let Some(product) = product::multiply_made(x, self.n_rows, &make, bias) {
            return product;
        }
        let mut parts = Vec::new();
        self.each(|start, numbers| {
            let weight = numbers.tr(); // [in, some outputs]
            let bias = bias.map(|bias| bias.narrow(0, start, numbers.size()[0]));
            parts.push(product::multiply(x, &weight, bias.as_ref()));
        });
        match parts.len() {
            1 => parts.remove(0),
            _ => Tensor::cat(&parts, -1),
        }
    }

    /// The same where few rows are multiplied with numbers as the file has them.
    pub(super) fn product_of_few(&self, x: &Tensor, bias: Option<&Tensor>) -> Option<Tensor> {
        let row = 2 * self.rows.size[1];
        let bytes = &self.rows.bf16.as_ref()?[self.first * row..][..self.n_rows * row];
        product::multiply_bf16(x, bytes, self.turned, bias)
    }

    /// From `[.., row]` to `[.., column]`.
    fn over_rows(&self, x: &Tensor) -> Tensor {
        let mut sum: Option<Tensor> = None;
        self.each(|start, numbers| {
            let part = product::multiply(&x.narrow(-1, start, numbers.size()[0]), numbers, None);
            sum = Some(match sum.take() {
                Some(sum) => sum + part,
                None => part,
            });
        });
        let size = [&x.size()[..x.dim() - 1], &[self.rows.size[1] as i64]].concat();
        sum.unwrap_or_else(|| Tensor::zeros(size, self.place))
    }

    pub(super) fn is_same(&self, other: &Weight) -> bool {
        if let Weight::Stored(other) = other
            && Arc::ptr_eq(&self.rows, &other.rows)
            && (self.first, self.turned) == (other.first, other.turned)
        {
            return true;
        }
        let other = bring(&other.tensor(), self.place);
        let other = if self.turned { other.tr() } else { other };
        let mut is_same = true;
        self.each(|start, numbers| {
            is_same = is_same && host::same(numbers, &other.narrow(0, start, numbers.size()[0]));
        });
        is_same
    }

    /// Calls with the first row of each part and its numbers, `[row, column]`, which are gone afterwards.
    fn each(&self, mut each: impl FnMut(i64, &Tensor)) {
        let n_columns = self.rows.size[1];
        let rows = self.first..self.first + self.n_rows;
        let done: Result<(), std::convert::Infallible> = self.rows.parts(rows, |first, numbers| {
            let size = [(numbers.len() / n_columns) as i64, n_columns as i64];
            // SAFETY: the numbers fill the shape, and outlive the tensor, which is only lent.
            let part = unsafe {
                let data = numbers.as_ptr().cast();
                Tensor::from_blob(data, &size, &[size[1], 1], Kind::Float, Device::Cpu)
            };
            let part = match self.by_column {
                true => part.tr().contiguous().tr(),
                false => part,
            };
            each((first - self.first) as i64, &bring(&part, self.place));
            Ok(())
        });
        let Ok(()) = done;
    }
}
