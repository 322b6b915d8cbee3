//! Which positions of two texts of unequal length stand for each other.

use ecco_models::run::{Input, Place};
use tch::Tensor;

use super::answer::Answer;
use crate::error::{Result, refuse};

/// Positions of the text that is read, and where the clean one is asked.
#[derive(Debug, Clone, PartialEq)]
pub struct Alignment {
    /// Clean position, corrupted position. Others are not patched.
    pub pairs: Vec<(usize, usize)>,
    /// The answer as it stands in the clean text.
    pub clean: Answer,
}

/// Cells of the table of common subsequences: of longer stretches none is sought.
const MOST_CELLS: usize = 16 << 20;

/// Aligned positions, rising. Tokens that both begin or end with are so, and what is left between, where it is as long in both; else the
/// longest common subsequence of what is left, and between its tokens stretches that are as long in both.
pub fn align(clean: &[u32], corrupted: &[u32]) -> Vec<(usize, usize)> {
    let same = |(one, other): &(&u32, &u32)| one == other;
    let before = clean.iter().zip(corrupted).take_while(same).count();
    let (rest, other) = (&clean[before..], &corrupted[before..]);
    let behind = rest.iter().rev().zip(other.iter().rev()).take_while(same).count();
    let (rest, other) = (&rest[..rest.len() - behind], &other[..other.len() - behind]);
    let mut pairs: Vec<(usize, usize)> = (0..before).map(|at| (at, at)).collect();
    let mut next = (before, before);
    let ends = (clean.len() - behind, corrupted.len() - behind);
    let common = if rest.len() == other.len() {
        vec![]
    } else {
        common(rest, other)
    };
    let fixed = common
        .into_iter()
        .map(|(one, other)| (before + one, before + other));
    for (one, other) in fixed.chain([ends]) {
        if one - next.0 == other - next.1 {
            pairs.extend((next.0..one).zip(next.1..other));
        }
        if (one, other) != ends {
            pairs.push((one, other));
        }
        next = (one + 1, other + 1);
    }
    pairs.extend((0..behind).map(|at| (ends.0 + at, ends.1 + at)));
    pairs
}

/// The longest common subsequence, the first of several.
fn common(one: &[u32], other: &[u32]) -> Vec<(usize, usize)> {
    let (n, m) = (one.len(), other.len());
    if n.saturating_mul(m) > MOST_CELLS {
        return vec![];
    }
    // How long that of the ends from (i, j) on is.
    let mut length = vec![0_u32; (n + 1) * (m + 1)];
    let cell = |i: usize, j: usize| i * (m + 1) + j;
    for i in (0..n).rev() {
        for j in (0..m).rev() {
            length[cell(i, j)] = match one[i] == other[j] {
                true => length[cell(i + 1, j + 1)] + 1,
                false => length[cell(i + 1, j)].max(length[cell(i, j + 1)]),
            };
        }
    }
    let (mut i, mut j, mut pairs) = (0, 0, Vec::new());
    while i < n && j < m {
        if one[i] == other[j] {
            pairs.push((i, j));
            (i, j) = (i + 1, j + 1);
        } else if length[cell(i + 1, j)] >= length[cell(i, j + 1)] {
            i += 1;
        } else {
            j += 1;
        }
    }
    pairs
}

impl Alignment {
    /// # Errors
    /// Positions that a text does not have or that stand in it twice; none; patterns, which are as wide as their text.
    pub(super) fn check(&self, clean: &Input, corrupted: &Input, place: Place) -> Result<()> {
        if place.axes().contains(&"query") {
            let reason = format!("{} is as wide as its text: patch head_outputs", place.name());
            return Err(refuse("align", "given", reason));
        }
        if self.pairs.is_empty() {
            let reason = "the texts have no tokens in common: name pairs of positions, clean and corrupted";
            return Err(refuse("align", "[]", reason));
        }
        let mut seen = vec![false; corrupted.ids.len()];
        for &(one, other) in &self.pairs {
            let pair = || format!("[{one}, {other}]");
            let counted = |n: usize| n.saturating_sub(1);
            if one >= clean.ids.len() || other >= seen.len() {
                let reason = format!(
                    "the clean text has positions 0 to {}, and the corrupted one 0 to {}",
                    counted(clean.ids.len()),
                    counted(seen.len())
                );
                return Err(refuse("align", pair(), reason));
            }
            if std::mem::replace(&mut seen[other], true) {
                let reason = format!("position {other} of the corrupted text is aligned twice");
                return Err(refuse("align", pair(), reason));
            }
        }
        Ok(())
    }

    /// Whether it is about the positions of a place: a decoder beside an encoder has its own.
    pub(super) fn is_of(&self, place: Place, input: &Input) -> bool {
        place.encoder || input.target.is_empty()
    }

    /// The corrupted text's values `[1, .., position, feature]`, at aligned positions those of the clean text.
    pub(super) fn merged(&self, clean: &Tensor, corrupted: &Tensor) -> Tensor {
        let index = |at: fn(&(usize, usize)) -> usize| {
            let index: Vec<i64> = self.pairs.iter().map(|pair| at(pair) as i64).collect();
            ecco_models::host::index(&index, corrupted.device())
        };
        let rows = clean.index_select(-2, &index(|pair| pair.0));
        corrupted.index_copy(-2, &index(|pair| pair.1), &rows)
    }
}

#[cfg(test)]
mod tests {
    use super::align;

    #[test]
    fn what_texts_have_in_common_is_aligned() {
        // As long: one with one, whatever stands there.
        assert_eq!(align(&[1, 2, 3], &[1, 9, 3]), [(0, 0), (1, 1), (2, 2)]);
        // One token for two: its place is left out.
        assert_eq!(align(&[1, 2, 3], &[1, 8, 9, 3]), [(0, 0), (2, 3)]);
        // Something common in between, with a stretch as long in both before it.
        assert_eq!(
            align(&[1, 2, 5, 6, 3], &[1, 8, 5, 7, 7, 3]),
            [(0, 0), (1, 1), (2, 2), (4, 5)]
        );
        // A token more at the beginning, at the end.
        assert_eq!(align(&[1, 2], &[0, 1, 2]), [(0, 1), (1, 2)]);
        assert_eq!(align(&[1, 2, 2], &[1, 2]), [(0, 0), (1, 1)]);
        assert_eq!(align(&[], &[1]), []);
        assert_eq!(align(&[1, 2], &[3]), []);
    }
}
