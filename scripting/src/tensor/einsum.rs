//! Sums of products over axes that are named: `"layer position hidden, hidden out -> layer position out"`.

use super::Tensor;
use super::along;
use super::axes::{axis_name, mismatch};
use super::product::batched;
use super::work::Work;
use crate::errors::{ErrorKind, ScriptError};

/// A tensor with a label for each axis.
struct Operand {
    tensor: Tensor,
    labels: Vec<String>,
}

const EXAMPLE: &str =
    "one name for each axis: \"position hidden, hidden out -> position out\", or letters: \"ij,jk->ik\"";

/// The sum over all labels that the result has not.
///
/// # Errors
/// A pattern that does not fit, lengths that differ with both shapes, no room, an interrupt.
pub(crate) fn einsum(pattern: &str, tensors: &[Tensor], work: &Work) -> Result<Tensor, ScriptError> {
    let (operands, result) = read(pattern, tensors)?;
    check_lengths(&operands)?;
    let missing = result
        .iter()
        .find(|label| !operands.iter().any(|operand| operand.labels.contains(label)));
    if let Some(label) = missing {
        return Err(wrong(format!("no tensor has the axis {label:?} of the result")));
    }
    if (1..result.len()).any(|at| result[..at].contains(&result[at])) {
        return Err(wrong("an axis is twice in the result".to_owned()));
    }
    let mut left: Vec<Operand> = operands
        .into_iter()
        .map(|operand| diagonal(operand, work))
        .collect::<Result<_, _>>()?;
    let mut whole = left.remove(0);
    while !left.is_empty() {
        let next = left.remove(0);
        let is_kept = |label: &String| {
            result.contains(label) || left.iter().any(|operand| operand.labels.contains(label))
        };
        whole = contracted(whole, next, &is_kept, work)?;
    }
    let whole = summed(whole, &|label| result.contains(label), work)?;
    let order: Vec<usize> = result.iter().filter_map(|label| place(&whole, label)).collect();
    Ok(whole.tensor.permuted(&order))
}

fn wrong(message: String) -> ScriptError {
    ScriptError::new(ErrorKind::Value, message).with_hint(EXAMPLE)
}

fn place(operand: &Operand, label: &String) -> Option<usize> {
    operand.labels.iter().position(|of| of == label)
}

/// Tensors with their labels, and those of the result.
fn read(pattern: &str, tensors: &[Tensor]) -> Result<(Vec<Operand>, Vec<String>), ScriptError> {
    let Some((inputs, result)) = pattern.split_once("->") else {
        return Err(wrong(format!(
            "{pattern:?} has no -> before the axes of the result"
        )));
    };
    let terms: Vec<&str> = inputs.split(',').map(str::trim).collect();
    if tensors.is_empty() || terms.len() != tensors.len() {
        let message = format!(
            "{pattern:?} is about {} tensors, given are {}",
            terms.len(),
            tensors.len()
        );
        return Err(wrong(message));
    }
    let words = |term: &str| -> Vec<String> { term.split_whitespace().map(str::to_owned).collect() };
    let letters = |term: &str| -> Vec<String> {
        term.chars()
            .filter(|c| !c.is_whitespace())
            .map(String::from)
            .collect()
    };
    let fits = |read: &dyn Fn(&str) -> Vec<String>| {
        terms
            .iter()
            .zip(tensors)
            .all(|(term, tensor)| read(term).len() == tensor.shape().len())
    };
    // Of vectors "i,j->ij" reads either way, but only letters make sense of its result.
    let known = |label: &String| terms.iter().any(|term| words(term).contains(label));
    let is_words = fits(&words) && (!fits(&letters) || words(result).iter().all(known));
    if !is_words && !fits(&letters) {
        let shapes: Vec<String> = tensors.iter().map(Tensor::shape_text).collect();
        return Err(wrong(format!(
            "{pattern:?} does not fit {}",
            shapes.join(" and ")
        )));
    }
    let labels = |term: &str| if is_words { words(term) } else { letters(term) };
    let mut operands = Vec::new();
    for (term, tensor) in terms.iter().zip(tensors) {
        let (labels, mut tensor) = (labels(term), tensor.clone());
        if is_words {
            tensor.axes = labels
                .iter()
                .map(|label| axis_name(label))
                .collect::<Result<_, _>>()?;
        }
        operands.push(Operand { tensor, labels });
    }
    Ok((operands, labels(result.trim())))
}

fn check_lengths(operands: &[Operand]) -> Result<(), ScriptError> {
    for (at, operand) in operands.iter().enumerate() {
        for (label, len) in operand.labels.iter().zip(operand.tensor.shape()) {
            for other in &operands[..=at] {
                let lengths = other.labels.iter().zip(other.tensor.shape());
                if lengths.filter(|(of, _)| *of == label).any(|(_, of)| of != len) {
                    return Err(mismatch(&other.tensor, &operand.tensor)
                        .with_hint(format!("the lengths of {label:?} differ")));
                }
            }
        }
    }
    Ok(())
}

/// A label that a tensor has twice stands for its diagonal.
fn diagonal(operand: Operand, work: &Work) -> Result<Operand, ScriptError> {
    let twice = (1..operand.labels.len()).find_map(|second| {
        let first = operand.labels[..second]
            .iter()
            .position(|label| *label == operand.labels[second]);
        first.map(|first| (first, second))
    });
    let Some((first, second)) = twice else {
        return Ok(operand);
    };
    let len = operand.tensor.shape()[first] as i64;
    let mut labels = operand.labels;
    labels.remove(second);
    if len == 0 {
        let tensor = operand.tensor;
        let axes = tensor.axes.clone();
        let mut shape = tensor.shape().to_vec();
        shape.remove(second);
        let names: Vec<&'static str> = (0..axes.len())
            .filter(|axis| *axis != second)
            .map(|axis| axes[axis])
            .collect();
        let tensor = Tensor::of(tensor.reshaped(&shape, work)?.data, &names);
        return diagonal(Operand { tensor, labels }, work);
    }
    let entry = |at: i64| operand.tensor.index(second, at)?.index(first, at);
    let entries = (0..len).map(entry).collect::<Result<Vec<_>, _>>()?;
    let name = operand.tensor.axes[first];
    let stacked = super::shaping::stacked(&entries, &rhai::Dynamic::from_int(first as i64), work)?;
    let mut tensor = stacked;
    tensor.axes[first] = name;
    diagonal(Operand { tensor, labels }, work)
}

/// Without the axes that are not kept.
fn summed(operand: Operand, is_kept: &dyn Fn(&String) -> bool, work: &Work) -> Result<Operand, ScriptError> {
    let (kept, gone): (Vec<usize>, Vec<usize>) =
        (0..operand.labels.len()).partition(|axis| is_kept(&operand.labels[*axis]));
    Ok(Operand {
        tensor: operand.tensor.reduced(&gone, work, along::sum)?,
        labels: kept.iter().map(|axis| operand.labels[*axis].clone()).collect(),
    })
}

/// Two tensors as one: labels of both that are not kept are summed over, as a product of matrices.
fn contracted(
    a: Operand,
    b: Operand,
    is_kept: &dyn Fn(&String) -> bool,
    work: &Work,
) -> Result<Operand, ScriptError> {
    let of_both = |label: &&String| b.labels.contains(label);
    let shared: Vec<String> = a.labels.iter().filter(of_both).cloned().collect();
    let stays = |label: &String| shared.contains(label) || is_kept(label);
    let (a, b) = (summed(a, &stays, work)?, summed(b, &stays, work)?);
    let (batch, inner): (Vec<String>, Vec<String>) = shared.iter().cloned().partition(|label| is_kept(label));
    let own = |operand: &Operand| -> Vec<String> {
        let is_own = |label: &&String| !batch.contains(label) && !inner.contains(label);
        operand.labels.iter().filter(is_own).cloned().collect()
    };
    let (rows, columns) = (own(&a), own(&b));
    let (left, names_a) = grouped(&a, [&batch, &rows, &inner], work)?;
    let (right, names_b) = grouped(&b, [&batch, &inner, &columns], work)?;
    let product = batched(&left, &right, work)?;
    let lengths = |operand: &Operand, labels: &[String]| -> Vec<usize> {
        let of = |label: &String| place(operand, label).map_or(1, |axis| operand.tensor.shape()[axis]);
        labels.iter().map(of).collect()
    };
    let shape = [lengths(&a, &batch), lengths(&a, &rows), lengths(&b, &columns)].concat();
    let names = [
        &names_a[..batch.len() + rows.len()],
        &names_b[batch.len() + inner.len()..],
    ]
    .concat();
    let product = product.reshaped(&shape, work)?;
    Ok(Operand {
        tensor: Tensor::of(product.data, &names),
        labels: [batch, rows, columns].concat(),
    })
}

/// Three axes, each of several, and the names of all.
fn grouped(
    operand: &Operand,
    groups: [&Vec<String>; 3],
    work: &Work,
) -> Result<(Tensor, Vec<&'static str>), ScriptError> {
    let places = |labels: &Vec<String>| -> Vec<usize> {
        labels.iter().filter_map(|label| place(operand, label)).collect()
    };
    let order: Vec<usize> = groups.iter().flat_map(|labels| places(labels)).collect();
    let turned = operand.tensor.permuted(&order);
    let mut lengths = turned.shape().iter().copied();
    let shape = groups.map(|labels| lengths.by_ref().take(labels.len()).product());
    let names = turned.axes.clone();
    let data = turned.reshaped(&shape, work)?.data;
    Ok((Tensor::of(data, &[]), names))
}
