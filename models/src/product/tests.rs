// Tests read tensors as is shortest.
#![allow(clippy::disallowed_methods)]

use super::*;

const PLACE: (Kind, Device) = (Kind::Float, Device::Cpu);

fn noise(size: &[i64]) -> Tensor {
    Tensor::randn(size, PLACE)
}

/// Off the product in double precision at most by what rounding may make of sums of hundreds.
fn assert_right(found: &Tensor, x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, what: &str) {
    let double = |x: &Tensor| x.to_kind(Kind::Double);
    let expected = double(x).mm(&double(weight));
    let expected = bias.map_or(expected.shallow_clone(), |bias| expected + double(bias));
    assert_eq!(found.size(), expected.size(), "{what}");
    let off = (double(found) - &expected).abs().max().double_value(&[]);
    let allowed = 3e-6 * expected.abs().max().double_value(&[]);
    assert!(off < allowed, "{what}: {off} of {allowed}");
}

/// Matrices of odd sizes as they may lie in memory: by input, by output, and parts of both.
fn matrices() -> Vec<(&'static str, Tensor)> {
    let (n_inputs, n_outputs) = (301, 263);
    vec![
        ("by input", noise(&[n_inputs, n_outputs])),
        ("by output", noise(&[n_outputs, n_inputs]).tr()),
        (
            "some outputs, by input",
            noise(&[n_inputs, 400]).narrow(1, 100, n_outputs),
        ),
        (
            "some outputs, by output",
            noise(&[400, n_inputs]).tr().narrow(1, 100, n_outputs),
        ),
        (
            "some inputs, by output",
            noise(&[n_outputs, 500]).narrow(1, 3, n_inputs).tr(),
        ),
    ]
}

#[test]
fn every_way_gives_the_same_numbers() {
    tch::manual_seed(1);
    let _no_grad = tch::no_grad_guard();
    for (how, weight) in matrices() {
        assert!(few_rows::layout(&weight).is_some(), "{how}");
        for n_rows in 1..=9 {
            let (x, bias) = (noise(&[n_rows, weight.size()[0]]), noise(&[weight.size()[1]]));
            for bias in [None, Some(&bias)] {
                for width in Width::all().into_iter().filter(|_| n_rows <= few_rows::MOST) {
                    let what = format!("{width:?}, {how}, {n_rows} rows");
                    assert_right(
                        &few_rows::multiply(width, &x, &weight, bias),
                        &x,
                        &weight,
                        bias,
                        &what,
                    );
                }
                for way in [Way::OneDnn, Way::Torch] {
                    let what = format!("{way:?}, {how}, {n_rows} rows");
                    assert_right(&way.multiply(&x, &weight, bias), &x, &weight, bias, &what);
                }
            }
        }
    }
}

/// A matrix's numbers as bfloat16, and what those are, line by line.
fn bf16(matrix: &Tensor) -> (Vec<u8>, Tensor) {
    let numbers = matrix.to_kind(Kind::BFloat16).to_kind(Kind::Float).contiguous();
    let all = Vec::<f32>::try_from(numbers.flatten(0, -1)).expect("float32");
    let bytes = all
        .iter()
        .flat_map(|number| ((number.to_bits() >> 16) as u16).to_le_bytes());
    (bytes.collect(), numbers)
}

#[test]
fn numbers_of_sixteen_bits_are_multiplied_as_they_are() {
    tch::manual_seed(2);
    let _no_grad = tch::no_grad_guard();
    let (bytes, numbers) = bf16(&noise(&[263, 302]));
    for (layout, weight) in [
        (Layout::ByOutput, numbers.tr()),
        (Layout::ByInput, numbers.shallow_clone()),
    ] {
        for n_rows in 1..=layout.most_rows() {
            let (x, bias) = (noise(&[n_rows, weight.size()[0]]), noise(&[weight.size()[1]]));
            for width in Width::all() {
                let found = few_rows::multiply_bf16(width, &x, &bytes, layout, Some(&bias));
                let what = format!("{width:?}, {layout:?}, {n_rows} rows");
                assert_right(&found.expect("even addresses"), &x, &weight, Some(&bias), &what);
            }
        }
    }
    let at_odd_addresses = few_rows::multiply_bf16(
        Width::widest(),
        &noise(&[1, 302]),
        &bytes[1..bytes.len() - 1],
        Layout::ByInput,
        None,
    );
    assert!(at_odd_addresses.is_none());
}

#[test]
fn this_libtorch_has_both_backends() {
    let _no_grad = tch::no_grad_guard();
    let (x, weight) = (noise(&[9, 300]), noise(&[300, 300]));
    assert!(one_dnn(&x, &weight, None).is_some());
    assert!(
        one_dnn(&x, &noise(&[299, 300]), None).is_none(),
        "an exception is no answer"
    );
}

#[test]
fn few_rows_are_multiplied_on_all_threads() {
    tch::manual_seed(2);
    let _no_grad = tch::no_grad_guard();
    let n_threads = tch::get_num_threads();
    tch::set_num_threads(3);
    for weight in [noise(&[513, 1_031]), noise(&[1_031, 513]).tr()] {
        let x = noise(&[2, 513]);
        assert_right(
            &few_rows::multiply(Width::widest(), &x, &weight, None),
            &x,
            &weight,
            None,
            "threads",
        );
    }
    tch::set_num_threads(n_threads);
}

#[test]
fn large_products_are_ours_where_it_is_asked_for() {
    let way = |x: &Tensor, weight: &Tensor| Way::chosen(Choice::OneDnn, x, weight, None);
    let large = noise(&[300, 300]);
    let few = noise(&[1, 300]);
    assert_eq!(way(&few, &large), Way::FewRows(Width::widest()));
    assert_eq!(way(&noise(&[100, 300]), &large), Way::OneDnn);
    assert_eq!(Way::chosen(Choice::Torch, &few, &large, None), Way::Torch);
    assert_eq!(way(&noise(&[0, 300]), &large), Way::Torch);
    // A call takes longer than few rows of a small one; many rows are libtorch's.
    assert_eq!(
        way(&noise(&[1, 30]), &noise(&[30, 30])),
        Way::FewRows(Width::widest())
    );
    assert_eq!(way(&noise(&[9, 30]), &noise(&[30, 30])), Way::Torch);
    assert_eq!(way(&noise(&[1, 20]), &noise(&[20, 20])), Way::Torch);
    // oneDNN multiplies with a part of a matrix a hundred times as long.
    let part = noise(&[300, 900]).narrow(1, 300, 300);
    for part in [part.shallow_clone(), part.tr()] {
        assert_eq!(way(&noise(&[100, 300]), &part), Way::Torch);
        assert_eq!(way(&noise(&[200, 300]), &part), Way::OneDnn);
    }
    let double = |x: &Tensor| x.to_kind(Kind::Double);
    assert_eq!(way(&double(&few), &double(&large)), Way::Torch);
    let spread = noise(&[300, 600]).slice(1, 0, 600, 2);
    assert_eq!(way(&few, &spread), Way::Torch);
}
