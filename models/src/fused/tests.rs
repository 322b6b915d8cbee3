// Tests read tensors as is shortest.
#![allow(clippy::disallowed_methods)]

use super::*;

const PLACE: (Kind, Device) = (Kind::Float, Device::Cpu);

fn noise(size: &[i64]) -> Tensor {
    Tensor::randn(size, PLACE)
}

fn assert_close(found: &Tensor, expected: &Tensor, what: &str) {
    assert_eq!(found.size(), expected.size(), "{what}");
    let off = (found.to_kind(Kind::Double) - expected)
        .abs()
        .max()
        .double_value(&[]);
    // Some roundings of the largest.
    let largest = expected.abs().max().double_value(&[]).max(1.0);
    assert!(off < 2e-6 * largest, "{what}: {off} of {largest}");
}

#[test]
fn the_root_mean_square_is_libtorchs() {
    for size in [[3, 576], [2, 70], [1, 3]] {
        let (x, weight) = (noise(&size), noise(&size[1..]));
        for more in [0.0, 1.0] {
            let wide = x.to_kind(Kind::Double);
            let mean = wide.square().mean_dim(-1, true, None::<Kind>) + 1e-5;
            let expected = &wide * mean.rsqrt() * (&weight + f64::from(more));
            let found = root_mean_square(&x, &weight, more, 1e-5).expect("it is plain");
            assert_close(&found, &expected, &format!("{size:?} + {more}"));
            // As a part of another.
            let part = Tensor::cat(&[&x, &x], -1).narrow(-1, size[1], size[1]);
            let found = root_mean_square(&part, &weight, more, 1e-5).expect("it is plain");
            assert_close(&found, &expected, "a part");
        }
    }
}

#[test]
fn the_layer_norm_is_libtorchs() {
    for size in [[3, 576], [2, 70], [1, 3]] {
        let [weight, bias] = [noise(&size[1..]), noise(&size[1..])];
        // Far from its mean, where a sum of squares alone would lose it.
        let x = noise(&size) + 100.0;
        let wide = |x: &Tensor| x.to_kind(Kind::Double);
        let expected = wide(&x).layer_norm([size[1]], Some(wide(&weight)), Some(wide(&bias)), 1e-5, false);
        let own = |x: &Tensor| layer_norm(x, Some(&weight), Some(&bias), 1e-5);
        let found = own(&x).expect("it is plain");
        assert_close(&found, &expected, &format!("{size:?}"));
        // As a part of another.
        let part = Tensor::cat(&[&x, &x], -1).narrow(-1, size[1], size[1]);
        assert_close(&own(&part).expect("it is plain"), &wide(&found), "a part");
        assert!(own(&x.copy().set_requires_grad(true)).is_none());
    }
}

#[test]
fn the_largest_is_the_first_of_equals_and_what_is_no_number() {
    for n in [1, 5, 32, 100] {
        for place in [0, n / 2, n - 1] {
            let of = |values: &[f32]| largest(&Tensor::from_slice(values)).expect("it is plain");
            let mut values = vec![-1.0; n];
            values[place..].fill(2.0);
            assert_eq!(of(&values), (2.0, place));
            values[place] = f32::INFINITY;
            assert_eq!(of(&values), (f32::INFINITY, place));
            values[place] = f32::NAN;
            let (value, found) = of(&values);
            assert!(
                value.is_nan() && found == place,
                "{n}, {place}: {value} at {found}"
            );
            values.fill(f32::NEG_INFINITY);
            assert_eq!(of(&values), (f32::NEG_INFINITY, 0));
        }
    }
    assert_eq!(largest(&noise(&[0])), None);
    assert_eq!(largest(&noise(&[2]).to_kind(Kind::Double)), None);
}

#[test]
fn turns_are_rotations() {
    let x = noise(&[2, 5, 3, 20]).transpose(1, 2); // [text, head, position, dim]
    for (start, half) in [(0, 10), (4, 6), (4, 8), (0, 3)] {
        let angles = noise(&[5, half]);
        let turns = [&angles.cos(), &angles.sin()];
        for neighbours in [false, true] {
            let found = turn(&x, turns, start, neighbours).expect("it is plain");
            let turned = x.narrow(-1, start, 2 * half).to_kind(Kind::Double);
            let pairs = match neighbours {
                true => turned.unflatten(-1, [half, 2]),
                false => turned.unflatten(-1, [2, half]).transpose(-1, -2),
            };
            let rotated = pairs.to_kind(Kind::Float).contiguous().view_as_complex()
                * Tensor::complex(turns[0], turns[1]);
            let rotated = rotated.view_as_real();
            let rotated = match neighbours {
                true => rotated.flatten(-2, -1),
                false => rotated.transpose(-1, -2).flatten(-2, -1),
            };
            let expected = x.to_kind(Kind::Double).copy();
            expected.narrow(-1, start, 2 * half).copy_(&rotated);
            assert_close(&found, &expected, &format!("{start}, {half}, {neighbours}"));
        }
    }
}

#[test]
fn one_query_sees_what_libtorch_lets_it_see() {
    for (n_groups, per_group, n_keys) in [(3, 3, 17), (1, 4, 1), (2, 1, 400)] {
        let query = noise(&[2, n_groups * per_group, 1, 20]);
        // Rooms that are longer than what is seen.
        let (keys, values) = (noise(&[2, n_groups, 500, 20]), noise(&[2, n_groups, 500, 12]));
        let (keys, values) = (keys.narrow(2, 0, n_keys), values.narrow(2, 0, n_keys));
        let wide = |x: &Tensor| x.to_kind(Kind::Double);
        let many = |x: &Tensor| wide(x).repeat_interleave_self_int(per_group, 1, None);
        let scores = wide(&query).matmul(&many(&keys).transpose(-1, -2)) * 0.3;
        let expected = scores.softmax(-1, None::<Kind>).matmul(&many(&values));
        let found = one_query(&query, &keys, &values, 0.3).expect("it is plain");
        assert_close(
            &found,
            &expected,
            &format!("{n_groups} × {per_group}, {n_keys} keys"),
        );
    }
}

#[test]
fn what_is_differentiated_or_of_another_type_is_left_to_libtorch() {
    let (x, weight) = (noise(&[2, 8]), noise(&[8]));
    let with_gradient = x.copy().set_requires_grad(true);
    assert!(root_mean_square(&with_gradient, &weight, 0.0, 1e-5).is_none());
    assert!(root_mean_square(&x.to_kind(Kind::Double), &weight, 0.0, 1e-5).is_none());
    let heads = noise(&[1, 2, 3, 8]);
    let turns = [&noise(&[3, 4]), &noise(&[3, 4])];
    assert!(turn(&heads.copy().set_requires_grad(true), turns, 0, false).is_none());
    assert!(turn(&heads.to_kind(Kind::BFloat16), turns, 0, false).is_none());
    let query = heads.narrow(2, 0, 1);
    assert!(one_query(&heads, &heads, &heads, 1.0).is_none());
    assert!(one_query(&query, &heads.copy().set_requires_grad(true), &heads, 1.0).is_none());
}
