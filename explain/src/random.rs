//! numpy's random numbers, so that results can be those of scikit-learn.

use std::collections::BTreeSet;

use rand_mt::Mt;

/// `numpy.random.RandomState(seed)`, as far as needed: its streams are frozen for compatibility.
pub(crate) struct RandomState {
    twister: Mt,
    /// The polar method makes two numbers at a time; the other one waits here.
    spare: Option<f64>,
}

impl RandomState {
    pub(crate) fn new(seed: u32) -> Self {
        Self {
            twister: Mt::new(seed),
            spare: None,
        }
    }

    /// A standard normal number, by Marsaglia's polar method.
    pub(crate) fn normal(&mut self) -> f64 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        loop {
            let x1 = 2.0 * self.uniform() - 1.0;
            let x2 = 2.0 * self.uniform() - 1.0;
            let r2 = x1 * x1 + x2 * x2;
            if r2 < 1.0 && r2 != 0.0 {
                let f = (-2.0 * r2.ln() / r2).sqrt();
                self.spare = Some(f * x1);
                return f * x2;
            }
        }
    }

    /// Uniform in [0, 1) with 53 random bits.
    pub(crate) fn uniform(&mut self) -> f64 {
        let high = f64::from(self.twister.next_u32() >> 5); // 27 bits
        let low = f64::from(self.twister.next_u32() >> 6); // 26 bits
        (high * 67_108_864.0 + low) / 9_007_199_254_740_992.0
    }

    /// The numbers below `n` in random order (Fisher and Yates).
    pub(crate) fn shuffled(&mut self, n: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..n).collect();
        for last in (1..n).rev() {
            let other = (self.uniform() * (last + 1) as f64) as usize;
            order.swap(last, other.min(last));
        }
        order
    }

    /// `n` of the numbers below `of`, or all of them, each set as likely as any (Floyd), in order.
    pub(crate) fn chosen(&mut self, of: usize, n: usize) -> BTreeSet<usize> {
        let mut chosen = BTreeSet::new();
        for last in of.saturating_sub(n)..of {
            let one = (self.uniform() * (last + 1) as f64) as usize;
            if !chosen.insert(one.min(last)) {
                chosen.insert(last);
            }
        }
        chosen
    }
}

/// Places of `n` of the values, in order: half of them the strongest, the others drawn at random.
pub(crate) fn strongest_and_others(values: &[f64], n: usize, seed: u64) -> Vec<usize> {
    let mut places: Vec<usize> = (0..values.len()).collect();
    places.sort_by(|a, b| values[*b].abs().total_cmp(&values[*a].abs()));
    let others = places.split_off(n.div_ceil(2).min(places.len()));
    let order = RandomState::new(seed as u32).shuffled(others.len());
    places.extend(order.into_iter().map(|at| others[at]));
    places.truncate(n);
    places.sort_unstable();
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shuffling_keeps_every_number() {
        let mut order = RandomState::new(5).shuffled(100);
        assert_ne!(order[..10], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
        order.sort_unstable();
        assert!(order.iter().copied().eq(0..100));
        assert!(RandomState::new(5).shuffled(0).is_empty());
    }

    #[test]
    fn each_number_is_chosen_as_often() {
        let mut random = RandomState::new(3);
        let mut counts = [0; 12];
        for _ in 0..6_000 {
            let chosen = random.chosen(12, 4);
            assert_eq!(chosen.len(), 4);
            chosen.iter().for_each(|&at| counts[at] += 1);
        }
        // 2,000 of each, with a deviation of 37.
        assert!(counts.iter().all(|n| (1_850..2_150).contains(n)), "{counts:?}");
        assert!(random.chosen(3, 9).into_iter().eq(0..3));
        assert!(random.chosen(0, 9).is_empty());
    }

    /// `np.random.RandomState(seed).randn(3)`.
    #[test]
    fn normal_numbers_are_numpys() {
        for (seed, expected) in [
            (
                0,
                [
                    1.764_052_345_967_664,
                    0.400_157_208_367_223_3,
                    0.978_737_984_105_739_2,
                ],
            ),
            (
                u32::MAX,
                [
                    0.648_408_674_230_652_7,
                    0.669_323_530_633_816_1,
                    -1.080_543_722_747_449_3,
                ],
            ),
        ] {
            let mut random = RandomState::new(seed);
            for value in expected {
                assert!((random.normal() - value).abs() < 1e-15, "seed {seed}: {value}");
            }
        }
    }
}
