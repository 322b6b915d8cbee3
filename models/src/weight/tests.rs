// Tests read tensors as is shortest.
#![allow(clippy::disallowed_methods)]

use super::*;

const PLACE: (Kind, Device) = (Kind::Float, Device::Cpu);

/// A matrix of more numbers than are decoded at a time, as numbers and as rows that are made when they are used.
fn both(turned: bool) -> (Weight, Weight) {
    let size = [5_000, 1_200];
    let number = |row: usize, column: usize| ((row * 31 + column * 17) % 101) as f32 / 101.0 - 0.5;
    let rows = Rows {
        size,
        n_bytes: 9_000_000,
        bf16: None,
        read: Box::new(move |row, numbers| {
            for (column, out) in numbers.iter_mut().enumerate() {
                *out = number(row, column);
            }
        }),
    };
    let all: Vec<f32> = (0..size[0] * size[1])
        .map(|place| number(place / size[1], place % size[1]))
        .collect();
    let numbers = Tensor::from_slice(&all).view([size[0] as i64, size[1] as i64]);
    let numbers = if turned { numbers.tr() } else { numbers };
    let stored = StoredMatrix::new(rows, turned, PLACE);
    (Weight::Numbers(numbers), Weight::Stored(stored))
}

fn noise(size: &[i64]) -> Tensor {
    tch::manual_seed(7);
    Tensor::randn(size, PLACE)
}

fn assert_near(found: &Tensor, expected: &Tensor) {
    assert_eq!(found.size(), expected.size());
    let largest = (found - expected).abs().max().double_value(&[]);
    // Sums of thousands of products.
    let scale = expected.abs().max().double_value(&[]);
    assert!(largest < 1e-5 * scale, "{largest} of {scale}");
}

#[test]
fn a_matrix_goes_through_its_buffer_part_by_part() {
    let _no_grad = tch::no_grad_guard();
    for turned in [true, false] {
        let (numbers, stored) = both(turned);
        let size = numbers.size();
        assert_eq!((stored.size(), stored.numel()), (size.clone(), 6_000_000));
        assert!(stored.is_same(&numbers) && numbers.is_same(&stored) && stored.is_same(&stored));
        assert!(stored.tensor().equal(&numbers.tensor()));
        assert!(stored.tr().tensor().equal(&numbers.tr().tensor()));
        let (x, bias) = (noise(&[3, size[0]]), noise(&[size[1]]));
        for bias in [None, Some(&bias)] {
            assert_near(&stored.affine(&x, bias), &numbers.affine(&x, bias));
        }
        let cotangent = noise(&[2, 3, size[1]]);
        assert_near(&stored.back(&cotangent), &numbers.back(&cotangent));
        let direction = noise(&[size[1]]);
        assert_near(&stored.along(&direction), &numbers.along(&direction));
        let (some, of_numbers) = (stored.outputs(900, 250), numbers.outputs(900, 250));
        assert_near(&some.affine(&x, None), &of_numbers.affine(&x, None));
        assert!(some.tensor().equal(&of_numbers.tensor()));
        assert_near(&stored.mean_row(), &numbers.mean_row());
    }
    let (numbers, stored) = both(false);
    let index = Tensor::from_slice(&[4_999_i64, 0, 7, 7]);
    assert!(stored.rows(&index).equal(&numbers.rows(&index)));
    assert_eq!(
        (stored.n_bytes(), stored.tr().outputs(0, 2_500).n_bytes()),
        (9_000_000, 4_500_000)
    );
}

#[test]
fn another_number_makes_another_matrix() {
    let (numbers, stored) = both(false);
    let last = Tensor::from_slice(&[4_999_i64]);
    let other = numbers.tensor().index_fill(0, &last, 9.0);
    assert!(!stored.is_same(&other.into()));
}

/// The buffer has other numbers by the time of the way back.
#[test]
fn gradients_go_through_a_matrix_that_is_not_kept() {
    let (numbers, stored) = both(true);
    let gradient = |weight: &Weight, affine: &dyn Fn(&Weight, &Tensor, Option<&Tensor>) -> Tensor| {
        tch::with_grad(|| {
            let x = noise(&[4, 1_200]).set_requires_grad(true);
            let y = affine(weight, &(&x * 2.0), Some(&noise(&[5_000])));
            let z = affine(&weight.tr(), &y.tanh(), None);
            // Twice, as the methods do that ask one pass for several targets.
            let once = Tensor::run_backward(&[z.select(0, 1).sum(Kind::Float)], &[&x], true, false).remove(0);
            let again = Tensor::run_backward(&[z.square().sum(Kind::Float)], &[&x], false, false).remove(0);
            (z.detach(), once, again)
        })
    };
    let (found, expected) = (
        gradient(&stored, &Weight::affine),
        gradient(&numbers, &Weight::affine),
    );
    let near = |found: &Tensor, expected: &Tensor| {
        let largest = (found - expected).abs().max().double_value(&[]);
        let scale = expected.abs().max().double_value(&[]);
        assert!(scale > 0.1 && largest < 1e-5 * scale, "{largest} of {scale}");
    };
    near(&found.0, &expected.0);
    near(&found.1, &expected.1);
    near(&found.2, &expected.2);
    // Where the product of numbers in memory is none that autograd knows.
    let tied = gradient(&numbers, &super::gradient::product);
    near(&tied.0, &expected.0);
    near(&tied.1, &expected.1);
    near(&tied.2, &expected.2);
    // Without gradients nothing is tied.
    let x = noise(&[1, 1_200]).set_requires_grad(true);
    assert!(!tch::no_grad(|| stored.affine(&x, None)).requires_grad());
}
