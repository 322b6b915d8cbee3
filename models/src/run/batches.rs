//! Which texts go through a model together.

use tch::Device;

use super::Input;
use crate::config::{Config, Positions};
use crate::rope::Scaling;

/// Positions that are computed side by side: more are no faster, and take more memory at once.
const MOST_POSITIONS: usize = 4096;
/// A pass over fewer positions is hardly faster.
const FEW_POSITIONS: usize = 256;
/// Positions that a pass costs besides: all weights are read for it, and all operations called.
const PASS: usize = 32;
const PASS_OF_GPU: usize = 1024;

/// Batches of inputs about equally long: of all ways to cut them, in the order of their lengths, the one that costs least, where a
/// pass costs its positions, padding too, and as much as some more.
pub(super) fn of(config: &Config, device: Device, inputs: &[Input]) -> Vec<Vec<usize>> {
    let depends_on_length = match &config.positions {
        Positions::Rotary { ropes, .. } => ropes
            .iter()
            .any(|rope| matches!(rope.scaling, Scaling::Dynamic { .. } | Scaling::LongRope { .. })),
        _ => false,
    };
    let of_pass = if device.is_cuda() { PASS_OF_GPU } else { PASS };
    let lengths = |index: usize| [inputs[index].ids.len(), inputs[index].target.len()];
    let mut order: Vec<usize> = (0..inputs.len()).collect();
    order.sort_by_key(|&index| lengths(index));
    // Of the first texts: the least cost, and where the last batch of that begins.
    let mut best = vec![(0, 0)];
    for end in 1..=order.len() {
        let mut longest = [0, 0];
        let mut least = (usize::MAX, end - 1);
        for start in (0..end).rev() {
            let here = lengths(order[start]);
            longest = [longest[0].max(here[0]), longest[1].max(here[1])];
            let padded = longest.iter().sum::<usize>() * (end - start);
            // Where positions are turned by the length of the whole, padding would change them.
            let is_other = depends_on_length && here != lengths(order[end - 1]);
            if end - start > 1 && (padded > MOST_POSITIONS || is_other) {
                break;
            }
            let cost = best[start].0 + padded.max(FEW_POSITIONS) + of_pass;
            if cost < least.0 {
                least = (cost, start);
            }
        }
        best.push(least);
    }
    let mut batches = Vec::new();
    let mut end = order.len();
    while end > 0 {
        let start = best[end].1;
        batches.push(order[start..end].to_vec());
        end = start;
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
        let on = |device: Device, lengths: &[usize]| {
            let inputs: Vec<Input> = lengths.iter().map(|&n| input(n)).collect();
            super::of(&config, device, &inputs)
        };
        let of = |lengths: &[usize]| on(Device::Cpu, lengths);
        // Few positions in all: together, whatever their lengths.
        assert_eq!(of(&[30, 1, 9]), [vec![0, 1, 2]]);
        // A long one alone, whose length the short ones would have to have.
        assert_eq!(of(&[5, 2000, 6, 7]), [vec![0, 2, 3], vec![1]]);
        assert_eq!(of(&[900, 1000, 920, 800]), [vec![0, 2], vec![1], vec![3]]);
        assert_eq!(on(Device::Cuda(0), &[900, 1000, 920, 800]), [vec![0, 1, 2, 3]]);
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
        assert!(padded as f64 <= 1.02 * real as f64, "{padded} of {real}");
        assert!(batches.len() < 400, "{}", batches.len());
    }
}
