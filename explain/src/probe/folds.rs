//! Which texts are left out together.

use super::ProbeOptions;
use crate::error::{Result, refuse};
use crate::random::RandomState;

/// How many classes there are: they are numbered from 0 on.
pub(super) fn n_classes(labels: &[usize]) -> usize {
    labels.iter().max().map_or(0, |last| last + 1)
}

/// How many texts have each class.
pub(super) fn counts(labels: &[usize]) -> Vec<usize> {
    let mut counts = vec![0; n_classes(labels)];
    labels.iter().for_each(|label| counts[*label] += 1);
    counts
}

/// How many texts have the class that fewest have; of one class alone, none have another.
pub fn rarer(labels: &[usize]) -> usize {
    let counts = counts(labels);
    match counts.len() {
        0 | 1 => 0,
        _ => counts.into_iter().min().unwrap_or(0),
    }
}

/// Of each text the fold that it is left out with.
pub(super) fn folds(labels: &[usize], options: &ProbeOptions) -> Result<Vec<usize>> {
    let mut random = RandomState::new(options.seed as u32);
    let mut folds = vec![0; labels.len()];
    let Some(groups) = &options.groups else {
        // Each label is dealt out for itself, so that folds have shares like the whole.
        let mut next = 0;
        for label in 0..n_classes(labels) {
            let texts: Vec<usize> = (0..labels.len()).filter(|&text| labels[text] == label).collect();
            for at in random.shuffled(texts.len()) {
                folds[texts[at]] = next % options.folds;
                next += 1;
            }
        }
        return Ok(folds);
    };
    if groups.len() != labels.len() {
        let reason = format!("expected one for each of the {} texts", labels.len());
        return Err(refuse("groups", format!("{} names", groups.len()), reason));
    }
    let n_groups = groups.iter().max().map_or(0, |most| most + 1);
    let mut sizes = vec![0; options.folds];
    for group in random.shuffled(n_groups) {
        let least = (0..options.folds).min_by_key(|&fold| sizes[fold]).unwrap_or(0);
        for (text, _) in groups.iter().enumerate().filter(|(_, of)| **of == group) {
            folds[text] = least;
            sizes[least] += 1;
        }
    }
    for (fold, size) in sizes.iter().enumerate() {
        let learned =
            |class: usize| (labels.iter().zip(&folds)).any(|(label, of)| *of != fold && *label == class);
        if *size == 0 || !(0..n_classes(labels)).all(learned) {
            let reason = format!(
                "with {} folds, one of them is empty or leaves no texts of a label to learn from: name more groups, or \
                 fewer folds",
                options.folds
            );
            return Err(refuse("groups", format!("{n_groups} names"), reason));
        }
    }
    Ok(folds)
}
