//! Where the answer to a question stands in a text, by logits of its start and of its end: as transformers' pipeline finds
//! it, without widening it to whole words.

use super::{Prediction, Run};
use crate::error::Result;
use crate::model::Model;
use crate::tap::to_array;

/// The most tokens of an answer.
const LONGEST: usize = 15;

/// The best spans of a text. An answer is within the second of two texts; in one text alone anywhere but at tokens that
/// stand for no text.
pub(super) fn of(model: &Model, run: &Run, text: usize, top_k: usize) -> Result<Vec<Prediction>> {
    let input = &run.inputs()[text];
    let may_be_in = |position: usize| match &input.second {
        Some(second) => second.contains(&position),
        None => !model.tokenizer.is_special(input.ids[position]),
    };
    let places: Vec<usize> = (0..input.ids.len()).filter(|&at| may_be_in(at)).collect();
    // The first token, where what has no answer points to, takes its share of the probability.
    let counted: Vec<usize> = match places.first() {
        Some(0) | None => places.clone(),
        Some(_) => [&[0], places.as_slice()].concat(),
    };
    let logits = to_array(&run.head(model, text)?)?; // (position, 2)
    let probabilities = |label: usize| {
        let logits = |at: &usize| f64::from(logits[[*at, label]]);
        let largest = counted.iter().map(logits).fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = counted.iter().map(|at| (logits(at) - largest).exp()).sum();
        let each = places.iter().map(|at| (logits(at) - largest).exp() / sum);
        each.collect::<Vec<f64>>()
    };
    let best = best_spans(&places, &probabilities(0), &probabilities(1), top_k);
    let span = |(start, end, score): (usize, usize, f64)| Prediction::Span {
        start,
        end,
        score: score as f32,
        text: model.tokenizer.decode(&input.ids[start..=end]).trim().to_owned(),
    };
    Ok(best.into_iter().map(span).collect())
}

/// Spans of up to [`LONGEST`] tokens from the best on: first token, last token, score.
fn best_spans(places: &[usize], starts: &[f64], ends: &[f64], top_k: usize) -> Vec<(usize, usize, f64)> {
    let mut all = Vec::new();
    for (one, &start) in places.iter().enumerate() {
        let within = places[one..].iter().zip(&ends[one..]);
        let within = within.take_while(|&(&end, _)| end < start + LONGEST);
        all.extend(within.map(|(&end, of_end)| (start, end, starts[one] * of_end)));
    }
    let order = |one: &(usize, usize, f64), other: &(usize, usize, f64)| other.2.total_cmp(&one.2);
    if all.len() > top_k {
        all.select_nth_unstable_by(top_k, order);
        all.truncate(top_k);
    }
    all.sort_by(order);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_start_before_they_end_and_are_short() {
        let places: Vec<usize> = (3..33).collect();
        let (mut starts, mut ends) = (vec![0.01; 30], vec![0.01; 30]);
        (starts[10], ends[2], ends[29], ends[12]) = (0.9, 0.9, 0.5, 0.1);
        let best = best_spans(&places, &starts, &ends, 2);
        assert_eq!(
            (best[0].0, best[0].1),
            (13, 15),
            "the likeliest ends are before it, or too far away"
        );
        assert!((best[0].2 - 0.09).abs() < 1e-12);
        assert_eq!(best.len(), 2);
        assert!(best_spans(&[], &[], &[], 5).is_empty());
        let (longest, _) = (best_spans(&places, &starts, &ends, 1000), ());
        assert_eq!(
            longest.iter().map(|(start, end, _)| end - start + 1).max(),
            Some(LONGEST)
        );
    }
}
