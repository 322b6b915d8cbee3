//! Which texts are left out together.

use super::ProbeOptions;
use crate::error::{Result, refuse};
use crate::random::RandomState;

/// How many texts have the label that fewer have.
pub fn rarer(labels: &[bool]) -> usize {
    let n_true = labels.iter().filter(|label| **label).count();
    n_true.min(labels.len() - n_true)
}

/// Of each text the fold that it is left out with.
pub(super) fn folds(labels: &[bool], options: &ProbeOptions) -> Result<Vec<usize>> {
    let mut random = RandomState::new(options.seed as u32);
    let mut folds = vec![0; labels.len()];
    let Some(groups) = &options.groups else {
        // Each label is dealt out for itself, so that folds have shares like the whole.
        let mut next = 0;
        for label in [false, true] {
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
        let learned = || labels.iter().zip(&folds).filter(|(_, of)| **of != fold);
        let n_true = learned().filter(|(label, _)| **label).count();
        if *size == 0 || n_true == 0 || n_true == learned().count() {
            let reason = format!(
                "with {} folds, one of them is empty or leaves texts of one label only to learn from: name more groups, or \
                 fewer folds",
                options.folds
            );
            return Err(refuse("groups", format!("{n_groups} names"), reason));
        }
    }
    Ok(folds)
}
