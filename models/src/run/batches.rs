//! Which texts go through a model together.

use super::Input;
use crate::config::{Config, Positions};
use crate::rope::Scaling;

/// Positions that are computed side by side: more are no faster, and take more memory at once.
const MOST_POSITIONS: usize = 4096;
/// Texts go together where padding adds no more than this share to them, or where there is little of it all.
const MOST_PADDING: f64 = 0.25;
const FEW_POSITIONS: usize = 256;

/// Batches of inputs about equally long, as many in each as are worth it.
pub fn of(config: &Config, inputs: &[Input]) -> Vec<Vec<usize>> {
    let depends_on_length = |config: &Config| match &config.positions {
        Positions::Rotary { ropes, .. } => ropes
            .iter()
            .any(|rope| matches!(rope.scaling, Scaling::Dynamic { .. } | Scaling::LongRope { .. })),
        _ => false,
    };
    let lengths = |index: &usize| [inputs[*index].ids.len(), inputs[*index].target.len()];
    let mut order: Vec<usize> = (0..inputs.len()).collect();
    order.sort_by_key(lengths);
    let mut batches: Vec<Vec<usize>> = Vec::new();
    for index in order {
        let fits = batches.last().is_some_and(|batch| {
            let together = || batch.iter().chain([&index]).map(lengths);
            let longest = |side: usize| together().map(|lengths| lengths[side]).max().unwrap_or(0);
            let padded = (longest(0) + longest(1)) * (batch.len() + 1);
            let real: usize = together().flatten().sum();
            let is_dense = padded <= FEW_POSITIONS || padded as f64 <= (1.0 + MOST_PADDING) * real as f64;
            let alike = lengths(&index) == lengths(&batch[0]);
            padded <= MOST_POSITIONS
                && is_dense
                // Where positions are turned by the length of the whole, padding would change them.
                && (alike || !depends_on_length(config))
        });
        match batches.last_mut() {
            Some(batch) if fits => batch.push(index),
            _ => batches.push(vec![index]),
        }
    }
    batches.iter_mut().for_each(|batch| batch.sort_unstable());
    batches.sort_unstable();
    batches
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ConfigFile;

    #[test]
    fn batches_are_of_texts_about_equally_long() {
        let text = r#"{"model_type": "gpt2", "n_embd": 8, "n_layer": 1, "n_head": 2, "n_positions": 9000, "vocab_size": 9}"#;
        let file = ConfigFile::parse(text.as_bytes()).unwrap();
        let config = (crate::families::find(&file).unwrap().config)(&file).unwrap();
        let input = |n: usize| Input {
            ids: vec![0; n],
            ..Input::default()
        };
        let of = |lengths: &[usize]| {
            let inputs: Vec<Input> = lengths.iter().map(|&n| input(n)).collect();
            super::of(&config, &inputs)
        };
        // Few positions in all: together, whatever their lengths.
        assert_eq!(of(&[30, 1, 9]), [vec![0, 1, 2]]);
        // A long one alone, whose length the short ones would have to have.
        assert_eq!(of(&[5, 2000, 6, 7]), [vec![0, 2, 3], vec![1]]);
        assert_eq!(of(&[900, 1000, 950, 800]), [vec![0, 1, 2, 3]]);
        assert_eq!(of(&[5000, 5000]), [vec![0], vec![1]]);
        // A thousand of any length: every one once, and little padding.
        let lengths: Vec<usize> = (0..1000).map(|i| 1 + (i * 7919) % 1500).collect();
        let batches = of(&lengths);
        let mut all: Vec<usize> = batches.iter().flatten().copied().collect();
        all.sort_unstable();
        assert_eq!(all, (0..1000).collect::<Vec<_>>());
        let padded: usize = batches
            .iter()
            .map(|batch| batch.len() * batch.iter().map(|&i| lengths[i]).max().unwrap())
            .sum();
        let real: usize = lengths.iter().sum();
        assert!(padded as f64 <= 1.25 * real as f64, "{padded} of {real}");
        assert!(batches.len() < 400, "{}", batches.len());
    }
}
