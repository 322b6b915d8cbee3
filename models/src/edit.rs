//! Changes to what happens inside a model: ablation, scaling, steering, patching.
//!
//! An [`Edit`] says what becomes of a site of one layer. [`Model::edited`](crate::Model::edited) gives a view on the
//! same weights whose every pass makes its edits: what generates, records or differentiates through such a model sees
//! the changed values, and needs to know nothing about them. They are made by a [`Tap`] around the caller's own, so
//! the caller sees what came of them.

use std::collections::HashMap;
use std::ops::{ControlFlow, Range};
use std::rc::Rc;

use tch::{Device, Kind, Tensor};

use crate::config::Activation;
use crate::dictionary::{FeatureEdit, Seen};
use crate::host::{self, bring};
use crate::rules::Rule;
use crate::site::{Place, Site};
use crate::tap::{Reader, Tap};

/// One change, at a site of one layer. Tensors have the axes of the site without the batch.
pub struct Edit {
    pub place: Place,
    pub layer: usize,
    pub part: Part,
    /// Counted from the start of the sequence, whether a cache holds its beginning or not. `None`: all.
    pub positions: Option<Vec<Range<usize>>>,
    pub change: Change,
}

/// What of a site is changed.
pub enum Part {
    Whole,
    /// These of the last axis: neurons, or numbers of the stream.
    Features(Vec<i64>),
    /// These of a site's heads.
    Heads(Vec<i64>),
    /// The component along this vector of length 1: `[feature]`, or of all heads together `[head, 1, feature]`.
    Direction(Tensor),
}

/// What becomes of it. The tensors of `Become`, `Add` and `Patch` have the part's features or heads only.
pub enum Change {
    /// This number everywhere.
    Set(f64),
    /// These values at every position: `[feature]` or `[head, 1, feature]`.
    Become(Tensor),
    Scale(f64),
    /// Added at every position: `[feature]` or `[head, 1, feature]`.
    Add(Tensor),
    /// The values of the same positions of another pass: `[.., position, feature]`.
    Patch(Tensor),
    /// `write` is added as many times as the value has of `read`, both `[feature]`.
    RankOne {
        read: Tensor,
        write: Tensor,
    },
    /// What some of a dictionary's features write.
    Features(Rc<FeatureEdit>),
    /// Nothing: the value is what features that write further on are read from.
    Read(Rc<Seen>),
}

/// The edits of one stack.
pub(crate) type StackEdits = HashMap<(Site, usize), Vec<Rc<PlacedEdit>>>;

/// An edit whose tensors are where its layer is.
pub(crate) struct PlacedEdit {
    edit: Edit,
    /// Which entries of an axis its part is; `None` for all.
    index: Option<(i64, Tensor)>,
}

/// Edits of a whole model, each where its layer is.
#[derive(Clone)]
pub struct Edits {
    pub(crate) own: Rc<StackEdits>,
    pub(crate) encoder: Rc<StackEdits>,
}

impl Edits {
    /// `spot` says as which type and where a model computes a site of a layer. Edits of one site and layer are made in
    /// the given order.
    pub fn new(edits: Vec<Edit>, spot: impl Fn(Place, usize) -> (Kind, Device)) -> Self {
        let (mut own, mut encoder) = (StackEdits::new(), StackEdits::new());
        for edit in edits {
            let stack = if edit.place.encoder {
                &mut encoder
            } else {
                &mut own
            };
            let key = (edit.place.site, edit.layer);
            let (kind, device) = spot(edit.place, edit.layer);
            stack.entry(key).or_default().push(Rc::new(edit.on(kind, device)));
        }
        Self {
            own: Rc::new(own),
            encoder: Rc::new(encoder),
        }
    }

    /// These, and then those.
    pub fn followed_by(&self, others: &Self) -> Self {
        let joined = |one: &StackEdits, other: &StackEdits| {
            let mut all = one.clone();
            for (key, edits) in other {
                all.entry(*key).or_default().extend(edits.iter().cloned());
            }
            Rc::new(all)
        };
        Self {
            own: joined(&self.own, &others.own),
            encoder: joined(&self.encoder, &others.encoder),
        }
    }
}

impl Edit {
    fn on(self, kind: Kind, device: Device) -> PlacedEdit {
        let place = |x: Tensor| bring(&x, (kind, device));
        let part = match self.part {
            Part::Direction(direction) => Part::Direction(place(direction)),
            part => part,
        };
        let change = match self.change {
            Change::Become(values) => Change::Become(place(values)),
            Change::Add(vector) => Change::Add(place(vector)),
            Change::Patch(values) => Change::Patch(place(values)),
            Change::RankOne { read, write } => Change::RankOne {
                read: place(read),
                write: place(write),
            },
            change => change,
        };
        let index = match &part {
            Part::Features(index) => Some((-1, host::index(index, device))),
            Part::Heads(index) => Some((1, host::index(index, device))),
            Part::Whole | Part::Direction(_) => None,
        };
        let edit = Self { part, change, ..self };
        PlacedEdit { edit, index }
    }
}

impl PlacedEdit {
    /// The value with the change in it; `start` is the position of its first row. Nothing is written in place, since
    /// the value may be the caller's or a view of another.
    fn apply(&self, value: Tensor, start: i64) -> Tensor {
        if let Change::Read(seen) = &self.edit.change {
            seen.keep(&value);
            return value;
        }
        let n_rows = value.size()[value.dim() - 2];
        let rows = match self.edit.rows(start, n_rows) {
            Some(rows) if rows.is_empty() => return value,
            rows => rows,
        };
        let at = rows.as_ref().map(|rows| (-2, host::index(rows, value.device())));
        let changed = within(&value, at.as_ref(), |part| {
            within(part, self.index.as_ref(), |part| {
                self.edit.changed(part, rows.as_deref(), start)
            })
        });
        laid_out_as(&value, changed)
    }
}

impl Edit {
    /// Which rows of a pass are changed; `None` for all.
    fn rows(&self, start: i64, n_rows: i64) -> Option<Vec<i64>> {
        let n_known = match &self.change {
            Change::Patch(values) => values.size()[values.dim() - 2],
            _ => i64::MAX,
        };
        let everywhere = 0..usize::MAX;
        let ranges = match &self.positions {
            Some(ranges) => ranges.as_slice(),
            None if n_known >= start + n_rows => return None,
            None => std::slice::from_ref(&everywhere),
        };
        let is_in = |position: i64| ranges.iter().any(|range| range.contains(&(position as usize)));
        let of_pass = start..(start + n_rows).min(n_known);
        let rows = of_pass.filter(|&position| is_in(position));
        Some(rows.map(|position| position - start).collect())
    }

    /// `part` are the rows `rows` of a pass from `start` on.
    fn changed(&self, part: &Tensor, rows: Option<&[i64]>, start: i64) -> Tensor {
        if let Part::Direction(direction) = &self.part {
            return part + self.along(direction, part, rows, start) * direction;
        }
        match &self.change {
            Change::Set(number) => part.full_like(*number),
            Change::Become(values) => values.expand_as(part),
            Change::Scale(factor) => part * *factor,
            Change::Add(vector) => part + vector,
            Change::Patch(values) => at_rows(values, part, rows, start).expand_as(part),
            Change::RankOne { read, write } => part + length(part, read) * write,
            Change::Features(features) => features.changed(part, rows),
            Change::Read(_) => part.shallow_clone(),
        }
    }

    /// How much is added along a direction, `[.., position, 1]`: nothing at all where nothing changes.
    fn along(&self, direction: &Tensor, part: &Tensor, rows: Option<&[i64]>, start: i64) -> Tensor {
        let length = |x: &Tensor| length(x, direction);
        match &self.change {
            Change::Set(number) => -length(part) + *number,
            Change::Scale(factor) => length(part) * (*factor - 1.0),
            Change::Add(vector) => length(vector),
            Change::Become(values) => length(&(values - part)),
            Change::Patch(values) => length(&(at_rows(values, part, rows, start) - part)),
            Change::RankOne { read, write } => self::length(part, read) * length(write),
            Change::Features(features) => length(&(features.changed(part, rows) - part)),
            Change::Read(_) => length(&part.zeros_like()),
        }
    }
}

/// How much of a vector there is, `[.., position, 1]`: of one over heads, in all of them together.
fn length(x: &Tensor, direction: &Tensor) -> Tensor {
    let axes: &[i64] = if direction.dim() == 3 { &[-3, -1] } else { &[-1] };
    (x * direction).sum_dim_intlist(axes, true, None::<Kind>)
}

/// `f` of the entries of an axis, put back among the others.
fn within(x: &Tensor, entries: Option<&(i64, Tensor)>, f: impl FnOnce(&Tensor) -> Tensor) -> Tensor {
    let Some((axis, index)) = entries else { return f(x) };
    x.index_copy(*axis, index, &f(&x.index_select(*axis, index)))
}

/// The values in the order in memory of those they stand for: rounding of what follows may depend on it, and what was
/// not changed must not change.
fn laid_out_as(value: &Tensor, changed: Tensor) -> Tensor {
    let (size, stride) = (value.size(), value.stride());
    let is_shared = size.iter().zip(&stride).any(|(&n, &stride)| n > 1 && stride == 0);
    if is_shared || changed.stride() == stride {
        return changed;
    }
    let mut laid_out = Tensor::empty_strided(&size, &stride, (changed.kind(), changed.device()));
    laid_out.copy_(&changed);
    laid_out
}

/// The rows of another pass's values that go to `rows` of a pass from `start` on. Patterns are as wide as their pass:
/// what a causal one does not have yet or any more is 0.
fn at_rows(values: &Tensor, part: &Tensor, rows: Option<&[i64]>, start: i64) -> Tensor {
    let values = match rows {
        None => values.narrow(-2, start, part.size()[part.dim() - 2]),
        Some(rows) => {
            let rows: Vec<i64> = rows.iter().map(|row| row + start).collect();
            values.index_select(-2, &host::index(&rows, values.device()))
        }
    };
    let (width, wanted) = (values.size()[values.dim() - 1], part.size()[part.dim() - 1]);
    match width < wanted {
        true => values.constant_pad_nd([0, wanted - width]),
        false => values.narrow(-1, 0, wanted),
    }
}

/// A tap whose values are edited before it sees them.
pub(crate) struct EditTap<'a> {
    pub edits: &'a StackEdits,
    /// The position of the pass's first row.
    pub start: i64,
    pub tap: &'a mut dyn Tap,
}

impl Tap for EditTap<'_> {
    fn wants(&self, site: Site, layer: usize) -> bool {
        self.edits.contains_key(&(site, layer)) || self.tap.wants(site, layer)
    }

    fn visit(&mut self, site: Site, layer: usize, mut value: Tensor) -> Tensor {
        for edit in self.edits.get(&(site, layer)).into_iter().flatten() {
            value = edit.apply(value, self.start);
        }
        self.tap.visit(site, layer, value)
    }

    fn read(&mut self, reader: Reader, layer: usize, stream: &Tensor) -> Option<Tensor> {
        self.tap.read(reader, layer, stream)
    }

    fn rule(&self) -> Rule {
        self.tap.rule()
    }

    fn activate(&mut self, activation: Activation, x: &Tensor) -> Tensor {
        self.tap.activate(activation, x)
    }

    fn proceed(&mut self, layer: usize) -> ControlFlow<()> {
        self.tap.proceed(layer)
    }
}
