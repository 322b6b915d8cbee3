//! Matrices in panels of 16 columns, and the loops over them.
//!
//! A panel stores its 16 columns row after row, so that a row of a panel is one cache line and the loops run
//! over lanes of neighbouring columns. Rows and columns are padded with zeros, which stay zero in every
//! update. The loops are written over fixed-size arrays; the compiler makes vector instructions of them,
//! wider ones in the copy for processors with AVX2 and FMA.

use ndarray::{Array2, ArrayView2};

/// Columns of a panel.
const LANES: usize = 16;
/// Lanes of one sum.
const HALF: usize = LANES / 2;
/// Components updated from one load of X; component counts are padded to it.
const GROUP: usize = 4;
/// Panels updated together: neighbouring chains of sums that do not wait for each other.
const PAIR: usize = 2;
/// Panels between an update and the sums over it: 100 positions' fill half of a usual second-level cache.
pub(super) const BLOCK: usize = 8;

type Lanes = [f32; LANES];
/// Sums of products of two rows of one matrix with four of another, in lanes.
type Tile = [[[f32; HALF]; GROUP]; 2];

/// A matrix in panels.
pub(super) struct Panels {
    /// `[panel][row][lane]`, rows padded to a multiple of `GROUP`, panels to one of `PAIR`.
    data: Vec<Lanes>,
    shape: (usize, usize),
}

impl Panels {
    pub(super) fn pack(matrix: ArrayView2<f32>) -> Self {
        let (rows, columns) = matrix.dim();
        let padded_rows = rows.next_multiple_of(GROUP);
        let n_panels = columns.div_ceil(LANES).next_multiple_of(PAIR);
        let mut data = vec![[0.0; LANES]; n_panels * padded_rows];
        for (row, values) in matrix.rows().into_iter().enumerate() {
            for (column, &value) in values.iter().enumerate() {
                data[column / LANES * padded_rows + row][column % LANES] = value;
            }
        }
        Self {
            data,
            shape: (rows, columns),
        }
    }

    pub(super) fn unpack(&self) -> Array2<f32> {
        let rows = self.rows();
        Array2::from_shape_fn(self.shape, |(row, column)| {
            self.data[column / LANES * rows + row][column % LANES]
        })
    }

    /// Rows, padding included.
    pub(super) fn rows(&self) -> usize {
        self.shape.0.next_multiple_of(GROUP)
    }

    pub(super) fn n_panels(&self) -> usize {
        self.data.len() / self.rows()
    }

    /// The panels in groups of `n_panels`.
    pub(super) fn shares(&self, n_panels: usize) -> impl Iterator<Item = &[Lanes]> {
        self.data.chunks(n_panels * self.rows())
    }

    pub(super) fn shares_mut(&mut self, n_panels: usize) -> impl Iterator<Item = &mut [Lanes]> {
        let rows = self.rows();
        self.data.chunks_mut(n_panels * rows)
    }
}

/// What an update of H needs of W.
pub(super) struct Update {
    /// W in groups of four components, `[group][position]`.
    w: Vec<[f32; GROUP]>,
    /// Wᵀ·W, `[component][component]`, without padding.
    gram: Array2<f32>,
}

impl Update {
    pub(super) fn new(w: ArrayView2<f32>) -> Self {
        let (positions, components) = w.dim();
        let padded = positions.next_multiple_of(GROUP);
        let mut groups = vec![[0.0; GROUP]; components.div_ceil(GROUP) * padded];
        for ((position, component), &value) in w.indexed_iter() {
            groups[component / GROUP * padded + position][component % GROUP] = value;
        }
        let w = w.mapv(f64::from);
        Self {
            w: groups,
            gram: w.t().dot(&w).mapv(|value| value as f32),
        }
    }
}

/// Sums over columns, kept in lanes until they are read.
pub(super) struct Sums {
    /// X·Hᵀ, tiles `[pair of positions][group of components]`.
    xh: Vec<Tile>,
    /// H·Hᵀ, tiles `[pair of components][group of components]`.
    hh: Vec<Tile>,
    n_groups: usize,
    /// Sum of the absolute projected gradients of H.
    pub(super) violation: f64,
}

impl Sums {
    pub(super) fn zero(positions: usize, components: usize) -> Self {
        let n_groups = components / GROUP;
        let tiles = |rows: usize| vec![Tile::default(); rows / 2 * n_groups];
        Self {
            xh: tiles(positions),
            hh: tiles(components),
            n_groups,
            violation: 0.0,
        }
    }

    /// (X·Hᵀ)\[position, component\]
    pub(super) fn xh(&self, position: usize, component: usize) -> f64 {
        entry(&self.xh, self.n_groups, position, component)
    }

    /// (H·Hᵀ)\[t, r\]
    pub(super) fn hh(&self, t: usize, r: usize) -> f64 {
        entry(&self.hh, self.n_groups, t, r)
    }

    pub(super) fn add(&mut self, other: &Sums) {
        let add = |into: &mut [Tile], from: &[Tile]| {
            let from = from.as_flattened().as_flattened().as_flattened();
            let into = into.as_flattened_mut().as_flattened_mut().as_flattened_mut();
            into.iter_mut().zip(from).for_each(|(into, from)| *into += from);
        };
        add(&mut self.xh, &other.xh);
        add(&mut self.hh, &other.hh);
        self.violation += other.violation;
    }
}

fn entry(tiles: &[Tile], n_groups: usize, row: usize, component: usize) -> f64 {
    let tile = &tiles[row / 2 * n_groups + component / GROUP];
    tile[row % 2][component % GROUP]
        .iter()
        .map(|&lane| f64::from(lane))
        .sum()
}

/// Over some panels: H updated (where there is an update), its sums taken.
/// `positions` and `components` are the padded numbers of rows of X and H.
pub(super) fn pass(
    x: &[Lanes],
    h: &mut [Lanes],
    positions: usize,
    components: usize,
    update: Option<&Update>,
) -> Sums {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx2,fma")]
        fn wide(
            x: &[Lanes],
            h: &mut [Lanes],
            positions: usize,
            components: usize,
            update: Option<&Update>,
        ) -> Sums {
            pass_blocks::<true>(x, h, positions, components, update)
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            // SAFETY: the processor has what the function is compiled for, as just asked.
            return unsafe { wide(x, h, positions, components, update) };
        }
    }
    const FUSED: bool = cfg!(target_arch = "aarch64"); // elsewhere a fused operation may be a library call
    pass_blocks::<FUSED>(x, h, positions, components, update)
}

#[inline(always)]
fn pass_blocks<const FUSED: bool>(
    x: &[Lanes],
    h: &mut [Lanes],
    positions: usize,
    components: usize,
    update: Option<&Update>,
) -> Sums {
    let mut sums = Sums::zero(positions, components);
    let mut products = vec![[0.0; LANES]; PAIR * components];
    let blocks = x.chunks(BLOCK * positions).zip(h.chunks_mut(BLOCK * components));
    for (x, h) in blocks {
        if let Some(update) = update {
            let pairs = x
                .chunks_exact(PAIR * positions)
                .zip(h.chunks_exact_mut(PAIR * components));
            for (x, h) in pairs {
                let panels = x
                    .chunks_exact(positions)
                    .zip(products.chunks_exact_mut(components));
                panels.for_each(|(x, products)| project::<FUSED>(x, &update.w, products));
                sums.violation += f64::from(update_pair::<FUSED>(h, &products, &update.gram));
            }
        }
        accumulate::<FUSED>(x, positions, h, components, &mut sums.xh);
        accumulate::<FUSED>(h, components, h, components, &mut sums.hh);
    }
    sums
}

/// products = Wᵀ·x for one panel: `x` by position, `products` by component.
#[inline(always)]
fn project<const FUSED: bool>(x: &[Lanes], w: &[[f32; GROUP]], products: &mut [Lanes]) {
    let groups = w.chunks_exact(x.len()).zip(products.as_chunks_mut::<GROUP>().0);
    for (w, products) in groups {
        let mut sums = [[0.0; LANES]; GROUP];
        for (x, w) in x.iter().zip(w) {
            for t in 0..GROUP {
                for lane in 0..LANES {
                    sums[t][lane] = multiply_add::<FUSED>(w[t], x[lane], sums[t][lane]);
                }
            }
        }
        *products = sums;
    }
}

/// One sweep over the columns of two panels of H, given Wᵀ·X of them and Wᵀ·W: per component, in order, the
/// exact minimum along its coordinate, cut at 0. Answers the sum of the absolute projected gradients.
#[inline(always)]
fn update_pair<const FUSED: bool>(h: &mut [Lanes], products: &[Lanes], gram: &Array2<f32>) -> f32 {
    let components = h.len() / PAIR;
    let (h0, h1) = h.split_at_mut(components);
    let (products0, products1) = products.split_at(components);
    let mut violation = [[0.0; LANES]; PAIR];
    for (t, row) in gram.outer_iter().enumerate() {
        let mut gradient = [[0.0; LANES]; PAIR];
        for ((&g, h0), h1) in row.iter().zip(&*h0).zip(&*h1) {
            for lane in 0..LANES {
                gradient[0][lane] = multiply_add::<FUSED>(g, h0[lane], gradient[0][lane]);
                gradient[1][lane] = multiply_add::<FUSED>(g, h1[lane], gradient[1][lane]);
            }
        }
        let inverse = if row[t] < super::DEAD { 0.0 } else { 1.0 / row[t] };
        let panels = [(&mut h0[t], &products0[t]), (&mut h1[t], &products1[t])];
        for (p, (h, products)) in panels.into_iter().enumerate() {
            for lane in 0..LANES {
                let gradient = gradient[p][lane] - products[lane];
                let falls = if gradient < 0.0 { gradient } else { 0.0 };
                violation[p][lane] += (if h[lane] == 0.0 { falls } else { gradient }).abs();
                let minimum = h[lane] - gradient * inverse;
                h[lane] = if minimum > 0.0 { minimum } else { 0.0 };
            }
        }
    }
    violation.as_flattened().iter().sum()
}

/// tiles += a·bᵀ over the columns of the given panels; `a` has `rows` rows, `b` has `components`.
#[inline(always)]
fn accumulate<const FUSED: bool>(
    a: &[Lanes],
    rows: usize,
    b: &[Lanes],
    components: usize,
    tiles: &mut [Tile],
) {
    let n_groups = components / GROUP;
    for (pair, tiles) in tiles.chunks_exact_mut(n_groups).enumerate() {
        for (group, tile) in tiles.iter_mut().enumerate() {
            let mut sums = *tile;
            for (a, b) in a.chunks_exact(rows).zip(b.chunks_exact(components)) {
                let a = &a.as_chunks::<2>().0[pair];
                let b = &b.as_chunks::<GROUP>().0[group];
                add_products::<FUSED>(a, b, 0, &mut sums);
                add_products::<FUSED>(a, b, HALF, &mut sums);
            }
            *tile = sums;
        }
    }
}

/// sums += the products of each row of `a` with each of `b`, in the lanes from `first` on.
#[inline(always)]
fn add_products<const FUSED: bool>(a: &[Lanes; 2], b: &[Lanes; GROUP], first: usize, sums: &mut Tile) {
    for i in 0..2 {
        for t in 0..GROUP {
            for lane in 0..HALF {
                sums[i][t][lane] =
                    multiply_add::<FUSED>(a[i][first + lane], b[t][first + lane], sums[i][t][lane]);
            }
        }
    }
}

#[inline(always)]
fn multiply_add<const FUSED: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FUSED { a.mul_add(b, c) } else { a * b + c }
}
