//! Random orders of sources, measured for all targets at once.
//!
//! The sources of a target are the first of all. So an order of all sources is one of each target's too, with the others
//! passed over, as random as one of its own; and where k of all sources are taken, each target loses the first so many of its own
//! order. A pass that leaves out or keeps the first k therefore says something of every target that sees another number of
//! sources gone, and few targets need a pass of their own.

use std::collections::BTreeSet;

use ndarray::{Array2, ArrayView2};
use rand_mt::Mt64;

use super::{FaithfulnessOptions, Measurement, counts, ends, kept_row, mean_of, measure, stacked};

/// The passes over random orders.
pub(super) struct Chance {
    /// Which sources each keeps, `(pass, source)`: all, none, then of each order the sets of [`Taken`], left out and kept.
    pub kept: Array2<bool>,
    n_sources: Vec<usize>,
    orders: Vec<Taken>,
}

/// How many of an order's first sources passes take, in ascending order, and for each target and number of its own (see
/// [`counts`]) the place of it in there.
struct Taken {
    n_sets: usize,
    place: Vec<Vec<usize>>,
}

impl Chance {
    /// Orders for targets with so many sources each.
    pub(super) fn new(n_sources: &[usize], options: &FaithfulnessOptions) -> Self {
        let n = n_sources.iter().copied().max().unwrap_or(0);
        let mut random = Mt64::new(options.seed);
        let mut kept = ends(n);
        let orders = (0..options.n_random).map(|_| {
            let order = shuffled(n, &mut random);
            // After how many of all the target's own number is reached.
            let taken_of = |&n: &usize| {
                let own: Vec<usize> = (0..order.len()).filter(|&place| order[place] < n).collect();
                let counts = counts(n, options).into_iter();
                counts.map(|count| own[count - 1] + 1).collect::<Vec<usize>>()
            };
            let of_each: Vec<Vec<usize>> = n_sources.iter().map(taken_of).collect();
            let sets: BTreeSet<usize> = of_each.iter().flatten().copied().collect();
            for top in [false, true] {
                kept.extend(sets.iter().map(|&taken| kept_row(n, &order[..taken], top)));
            }
            let sets: Vec<usize> = sets.into_iter().collect();
            let place = |taken: &usize| sets.partition_point(|other| other < taken);
            Taken {
                n_sets: sets.len(),
                place: of_each
                    .iter()
                    .map(|taken| taken.iter().map(place).collect())
                    .collect(),
            }
        });
        let orders = orders.collect();
        Self {
            kept: stacked(n, &kept),
            n_sources: n_sources.to_vec(),
            orders,
        }
    }

    /// The mean over the orders for each target, from F of each pass and target, `(pass, target)`.
    pub(super) fn measured(
        &self,
        values: ArrayView2<f64>,
        options: &FaithfulnessOptions,
    ) -> Vec<Measurement> {
        let of_target = |(target, &n): (usize, &usize)| {
            let values = values.column(target);
            let mut first = 2;
            let of_orders = self.orders.iter().map(|order| {
                let (without, only) = (first, first + order.n_sets);
                first = only + order.n_sets;
                measure(n, options, (values[0], values[1]), |count| {
                    let place = order.place[target][count];
                    (values[without + place], values[only + place])
                })
            });
            mean_of(&of_orders.collect::<Vec<_>>())
        };
        self.n_sources.iter().enumerate().map(of_target).collect()
    }
}

/// Fisher and Yates' shuffle.
fn shuffled(n: usize, random: &mut Mt64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..n).collect();
    for last in (1..n).rev() {
        order.swap(last, (random.next_u64() % (last as u64 + 1)) as usize);
    }
    order
}
