//! The ways between a device and the host: there are no others.
//!
//! What crosses waits for all that a GPU still has to do, so results cross and nothing else, several of them together.
//! Crossings are counted where the model is on the processor too: tests hold the work that scripts ask for against
//! bounds. Clippy's list of disallowed methods keeps other code from reading tensors in its own way.
//!
//! libtorch's exceptions arrive as panics here; see [`crate::guard`].

// Here is where they are allowed.
#![allow(clippy::disallowed_methods)]

use std::cell::{Cell, RefCell};

use ndarray::{Array2, ArrayD, Ix2, IxDyn};
use tch::kind::Element;
use tch::{Device, Kind, Tensor};

/// What numbers of a type are computed in where rounding would add up: single precision at least.
pub fn wide(kind: Kind) -> Kind {
    match kind {
        Kind::Double => kind,
        _ => Kind::Float,
    }
}

/// Brings a tensor to the weights that it is to meet; costs nothing where it is there already. From layer to layer, not to the host.
pub fn bring(x: &Tensor, (kind, device): (Kind, Device)) -> Tensor {
    x.to_device(device).to_kind(kind)
}

/// How often a thread has waited for data to cross, and how many bytes that were.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Crossings {
    pub to_host: u64,
    pub bytes_to_host: u64,
    pub to_device: u64,
    pub bytes_to_device: u64,
}

thread_local! {
    static CROSSINGS: Cell<Crossings> = const {
        Cell::new(Crossings { to_host: 0, bytes_to_host: 0, to_device: 0, bytes_to_device: 0 })
    };
}

/// Those of this thread so far.
pub fn crossings() -> Crossings {
    CROSSINGS.get()
}

impl Crossings {
    /// What has crossed since an earlier count.
    pub fn since(self, earlier: Self) -> Self {
        Self {
            to_host: self.to_host - earlier.to_host,
            bytes_to_host: self.bytes_to_host - earlier.bytes_to_host,
            to_device: self.to_device - earlier.to_device,
            bytes_to_device: self.bytes_to_device - earlier.bytes_to_device,
        }
    }
}

fn bytes(x: &Tensor) -> u64 {
    (x.numel() * x.kind().elt_size_in_bytes()) as u64
}

fn to_host(x: &Tensor) -> Tensor {
    count_to_host(bytes(x));
    x.to_device(Device::Cpu)
}

fn read<T: Element + Copy + Default>(x: &Tensor) -> Vec<T> {
    // As it is stored, which is often narrower, and only then as it is wanted.
    let x = to_host(x).to_kind(T::KIND).contiguous();
    let mut values = vec![T::default(); x.numel()];
    x.copy_data(&mut values, x.numel());
    values
}

/// The numbers of a tensor of float32 on the processor that has them side by side, as they lie there.
///
/// # Panics
/// On any other tensor.
pub fn lent(x: &Tensor) -> &[f32] {
    assert!(x.kind() == Kind::Float && x.device() == Device::Cpu && x.is_contiguous());
    // SAFETY: so many numbers are there, for as long as the tensor is; who has it changes none of them meanwhile.
    unsafe { std::slice::from_raw_parts(x.data_ptr().cast(), x.numel()) }
}

/// A tensor's numbers in their order.
pub fn numbers(x: &Tensor) -> Vec<f64> {
    read(x)
}

/// A tensor's whole numbers in their order: token ids, places, counts.
pub fn ids(x: &Tensor) -> Vec<i64> {
    read(x)
}

/// The number of a tensor that has one.
pub fn number(x: &Tensor) -> f64 {
    numbers(x).first().copied().unwrap_or(f64::NAN)
}

/// A tensor as f32, with its shape.
pub fn array(x: &Tensor) -> ArrayD<f32> {
    let shape: Vec<usize> = x.size().iter().map(|&size| size as usize).collect();
    // There are as many numbers as the shape has places.
    ArrayD::from_shape_vec(shape, read(x)).unwrap_or_else(|_| ArrayD::zeros(IxDyn(&[0])))
}

/// A tensor of two axes as f32.
pub fn matrix(x: &Tensor) -> Array2<f32> {
    let array = array(x).into_dimensionality::<Ix2>();
    array.unwrap_or_else(|_| Array2::zeros((0, 0)))
}

/// The numbers of several tensors, of any types and devices, in one crossing. Whole numbers are exact up to 2⁵³.
pub fn numbers_of_each<const N: usize>(all: [&Tensor; N]) -> [Vec<f64>; N] {
    let mut each = numbers_of_all(&all).into_iter();
    std::array::from_fn(|_| each.next().unwrap_or_default())
}

/// The same of any number of tensors.
pub fn numbers_of_all(all: &[&Tensor]) -> Vec<Vec<f64>> {
    let Some(first) = all.first() else {
        return Vec::new();
    };
    let kind = match all.iter().all(|x| x.kind() == first.kind()) {
        true => first.kind(),
        false => Kind::Double,
    };
    // Together on a GPU where any is on one: from there they cross once.
    let mut devices = all.iter().map(|x| x.device());
    let device = devices
        .find(|&device| device != Device::Cpu)
        .unwrap_or(Device::Cpu);
    let flat = all.iter().map(|x| bring(&x.reshape([-1]), (kind, device)));
    let flat: Vec<Tensor> = flat.collect();
    let mut values = numbers(&Tensor::cat(&flat, 0)).into_iter();
    all.iter()
        .map(|x| values.by_ref().take(x.numel()).collect())
        .collect()
}

/// Whether two tensors have the same numbers.
pub fn same(a: &Tensor, b: &Tensor) -> bool {
    count_to_host(1);
    a.equal(b)
}

/// What goes in one crossing of [`tensors`]: the device has room for a second time as much.
const PARCEL_BYTES: u64 = 64 << 20;

/// Tensors as they are, in the host's memory. Those of a type and device cross together.
pub fn tensors(all: &[&Tensor]) -> Vec<Tensor> {
    let mut brought: Vec<Option<Tensor>> = all.iter().map(|_| None).collect();
    for parcel in parcels(all) {
        let there = all[parcel[0]].device() == Device::Cpu;
        if there || parcel.len() == 1 {
            // On the host already: they stay views of what they are views of, and count as one.
            let _ = there.then(|| count_to_host(parcel.iter().map(|&at| bytes(all[at])).sum()));
            for &at in &parcel {
                let is = || all[at].shallow_clone();
                brought[at] = Some(if there { is() } else { to_host(all[at]) });
            }
            continue;
        }
        let parts: Vec<&Tensor> = parcel.iter().map(|&at| all[at]).collect();
        for (&at, tensor) in parcel.iter().zip(unpacked(&to_host(&packed(&parts)), &parts)) {
            brought[at] = Some(tensor);
        }
    }
    brought.into_iter().flatten().collect()
}

fn count_to_host(bytes: u64) {
    let mut counted = CROSSINGS.get();
    counted.to_host += 1;
    counted.bytes_to_host += bytes;
    CROSSINGS.set(counted);
}

/// Which tensors go together, by place.
fn parcels(all: &[&Tensor]) -> Vec<Vec<usize>> {
    let mut parcels: Vec<(Vec<usize>, u64)> = Vec::new();
    for (at, tensor) in all.iter().enumerate() {
        let place = |x: &Tensor| (x.kind(), x.device());
        let fits = |(parcel, filled): &&mut (Vec<usize>, u64)| {
            place(all[parcel[0]]) == place(tensor) && *filled + bytes(tensor) <= PARCEL_BYTES
        };
        match parcels.iter_mut().find(fits) {
            Some((parcel, filled)) => {
                parcel.push(at);
                *filled += bytes(tensor);
            }
            None => parcels.push((vec![at], bytes(tensor))),
        }
    }
    parcels.into_iter().map(|(parcel, _)| parcel).collect()
}

/// One row of the numbers of all.
fn packed(all: &[&Tensor]) -> Tensor {
    let flat: Vec<Tensor> = all.iter().map(|x| x.reshape([-1])).collect();
    Tensor::cat(&flat, 0)
}

/// Views of such a row, in the shapes of those that it was made of.
fn unpacked(row: &Tensor, all: &[&Tensor]) -> Vec<Tensor> {
    let mut start = 0;
    let part = |x: &&Tensor| {
        let n = x.numel() as i64;
        start += n;
        row.narrow(0, start - n, n).view_as(x)
    };
    all.iter().map(part).collect()
}

/// Numbers of the host's on a device: `[number]`.
pub fn tensor<T: Element>(values: &[T], device: Device) -> Tensor {
    let x = Tensor::from_slice(values);
    let mut counted = CROSSINGS.get();
    counted.to_device += 1;
    counted.bytes_to_device += bytes(&x);
    CROSSINGS.set(counted);
    x.to_device(device)
}

/// Whole numbers on a device, `[number]`. Runs of them, which are most of what is asked for, are counted up there and
/// do not cross.
pub fn index(values: &[i64], device: Device) -> Tensor {
    let runs: Vec<&[i64]> = values.chunk_by(|a, b| a + 1 == *b).collect();
    let counted = |run: &&[i64]| {
        let first = run.first().copied().unwrap_or(0);
        Tensor::arange_start(first, first + run.len() as i64, (Kind::Int64, device))
    };
    match runs.as_slice() {
        [] => Tensor::empty([0], (Kind::Int64, device)),
        [run] => counted(run),
        runs if runs.len() <= MOST_RUNS => Tensor::cat(&runs.iter().map(counted).collect::<Vec<_>>(), 0),
        _ => tensor(values, device),
    }
}

/// Beyond so many runs, one crossing is the shorter way.
const MOST_RUNS: usize = 4;

/// Numbers that are the same in pass after pass, brought to a device once.
#[derive(Default)]
pub struct Constants(RefCell<Vec<(Vec<u32>, Device, Tensor)>>);

impl Constants {
    /// `[number]`.
    pub fn get(&self, values: &[f32], device: Device) -> Tensor {
        let bits: Vec<u32> = values.iter().map(|value| value.to_bits()).collect();
        let mut known = self.0.borrow_mut();
        if let Some((.., tensor)) = known.iter().find(|(of, at, _)| *of == bits && *at == device) {
            return tensor.shallow_clone();
        }
        let made = tensor(values, device);
        if known.len() == MOST_CONSTANTS {
            // Some depend on a text's length; the oldest go.
            let _ = known.remove(0);
        }
        known.push((bits, device, made.shallow_clone()));
        made
    }
}

/// A model has a few, on each of its devices.
const MOST_CONSTANTS: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    const CPU: (Kind, Device) = (Kind::Float, Device::Cpu);

    #[test]
    fn several_tensors_cross_at_once() {
        let whole = Tensor::arange(6, (Kind::Int64, Device::Cpu)).reshape([2, 3]);
        let half = Tensor::full([2], 0.5, (Kind::BFloat16, Device::Cpu));
        let before = crossings();
        let [a, b, none] = numbers_of_each([&whole.tr(), &half, &Tensor::zeros([0], CPU)]);
        assert_eq!((a, b), (vec![0.0, 3.0, 1.0, 4.0, 2.0, 5.0], vec![0.5, 0.5]));
        assert!(none.is_empty() && numbers_of_all(&[]).is_empty());
        let crossed = crossings().since(before);
        assert_eq!((crossed.to_host, crossed.bytes_to_host), (1, 8 * 8));
        assert_eq!(array(&whole).shape(), [2, 3]);
        assert_eq!((number(&half.get(0)), ids(&whole.get(1))), (0.5, vec![3, 4, 5]));
    }

    #[test]
    fn a_parcel_comes_apart_as_it_was_put_together() {
        let a = Tensor::arange(12, CPU).reshape([3, 4]);
        let b = Tensor::arange(4, CPU).reshape([1, 2, 2]).transpose(-2, -1);
        let all = [&a.tr(), &b, &Tensor::zeros([0, 3], CPU)];
        for (found, expected) in unpacked(&packed(&all), &all).iter().zip(all) {
            assert!(found.size() == expected.size() && found.allclose(expected, 0.0, 0.0, false));
        }
    }

    #[test]
    fn parcels_are_of_one_type_and_not_too_large() {
        let small = Tensor::zeros([4], CPU);
        let half = Tensor::zeros([4], (Kind::Half, Device::Cpu));
        let large = Tensor::zeros([1], CPU).expand([(PARCEL_BYTES / 4) as i64 - 4], false);
        let all = [&small, &half, &large, &small, &half];
        assert_eq!(parcels(&all), [vec![0, 2], vec![1, 4], vec![3]]);
        let before = crossings();
        assert_eq!(tensors(&all).len(), 5);
        assert_eq!(crossings().since(before).to_host, 3);
    }

    #[test]
    fn an_index_in_runs_does_not_cross() {
        let before = crossings();
        for values in [vec![], vec![7], vec![0, 1, 2], vec![0, 1, 4, 9, 10]] {
            assert_eq!(ids(&index(&values, Device::Cpu)), values);
        }
        assert_eq!(crossings().since(before).to_device, 0);
        let scattered = [1, 3, 5, 7, 9];
        assert_eq!(ids(&index(&scattered, Device::Cpu)), scattered);
        assert_eq!(crossings().since(before).to_device, 1);
    }

    #[test]
    fn constants_cross_once_and_are_not_kept_without_end() {
        let constants = Constants::default();
        let before = crossings();
        let twice = [
            constants.get(&[1.0, 2.0], Device::Cpu),
            constants.get(&[1.0, 2.0], Device::Cpu),
        ];
        assert_eq!(twice.map(|x| numbers(&x)), [[1.0, 2.0], [1.0, 2.0]]);
        assert_eq!(crossings().since(before).to_device, 1);
        for i in 0..100 {
            let _ = constants.get(&[i as f32], Device::Cpu);
        }
        assert_eq!(constants.0.borrow().len(), MOST_CONSTANTS);
    }
}
