//! Activation patching: which part of a pass carries what makes two texts differ (2202.05262, 2211.00593).
//!
//! The corrupted text is read again and again, each time with one part's values put in from the pass over the clean
//! text; how much of the clean answer comes back says how much of the difference went through that part.

use std::ops::ControlFlow;

use ecco_interpreter::{Progress, Watch, named};
use ecco_models::guard::guard;
use ecco_models::host;
use ecco_models::rules::Rule;
use ecco_models::run::{self, Input, Place};
use ecco_models::tap::{Capture, NoTap, ReportTap, Tap};
use ecco_models::{Model, Site};
use ndarray::Array2;
use tch::{Kind, Tensor};

use super::check;
use crate::attribution::Target;
use crate::error::{Error, Result, refuse};

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PatchOptions {
    pub place: Place,
    pub by: PatchAxis,
    /// The answer that is watched.
    pub target: Target,
}

named! {
/// What is patched at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PatchAxis {
    /// All of one position.
    #[default]
    Position = "position",
    /// One head at all positions.
    Head = "head",
}
}

/// By layer and position, or layer and head.
#[derive(Debug, Clone, PartialEq)]
pub struct PatchMap {
    pub options: PatchOptions,
    /// The layers, in order: the rows.
    pub layers: Vec<usize>,
    /// The answer with that part patched.
    pub patched: Array2<f64>,
    /// The answers to the two texts as they are.
    pub clean: f64,
    pub corrupted: f64,
}

impl PatchMap {
    /// How much of the clean answer comes back: 0 as corrupted, 1 as clean.
    pub fn restored(&self) -> Array2<f64> {
        let whole = self.clean - self.corrupted;
        self.patched.mapv(|patched| (patched - self.corrupted) / whole)
    }
}

/// Patches every position or head of every layer, many in one batch.
///
/// # Errors
/// [`Error::Lengths`] for texts of unequal length; [`Error::Option`] for a place, token or position that is not there,
/// and for texts with the same answer.
pub fn patch_map(
    model: &Model,
    clean: &Input,
    corrupted: &Input,
    options: &PatchOptions,
    watch: &mut Watch,
) -> Result<PatchMap> {
    for input in [clean, corrupted] {
        input.check(model)?;
        options.target.check(model, input)?;
    }
    check_lengths(model, clean, corrupted)?;
    let n_columns = n_columns(model, corrupted, options)?;
    guard(|| {
        let answer = |states: &Tensor| answer(model, states, &options.target);
        let mut work = Work {
            watch,
            done: 0,
            total: 0,
        };
        let (states, clean) = read_clean(model, clean, options.place, &mut work)?;
        let layers = clean.layers(options.place.site);
        work.total = (layers.len() * n_columns) as u64;
        let (known, states_before) = one_pass(model, corrupted, &mut work)?;
        let mut answers = vec![answer(&states)?, answer(&states_before)?];
        for cells in batches(&layers, n_columns, rows_at_once(model, corrupted)) {
            let mut tap = Patch {
                options,
                cells: &cells,
                clean: &clean,
                work: &mut work,
            };
            let states = match options.place.encoder {
                // Up to the patched layer nothing differs.
                false => run::resume(model, &known, cells[0].layer, cells.len(), &mut tap)?,
                true => {
                    let inputs = vec![corrupted.clone(); cells.len()];
                    run::states(model, &inputs, &mut NoTap, &mut tap)?
                }
            };
            answers.push(answer(&states)?);
            work.done += cells.len() as u64;
        }
        let shape = (layers.len(), n_columns);
        let mut answers = host::numbers(&Tensor::cat(&answers, 0));
        let patched = answers.split_off(2);
        let patched = Array2::from_shape_vec(shape, patched).map_err(|error| ecco_models::Error::Torch {
            message: error.to_string(),
        })?;
        Ok(PatchMap {
            options: *options,
            layers,
            patched,
            clean: answers[0],
            corrupted: answers[1],
        })
    })
    .map_err(Error::from)
    .and_then(|map| ensure_difference(map, model))
}

/// Both texts get the same answer: nothing can come back.
fn ensure_difference(map: PatchMap, model: &Model) -> Result<PatchMap> {
    if !(map.clean.is_finite() && map.corrupted.is_finite()) {
        let model = model.name().to_owned();
        return Err(ecco_models::Error::NoNumbers { model }.into());
    }
    let (gap, size) = (map.clean - map.corrupted, map.clean.abs() + map.corrupted.abs());
    match gap.abs() > 1e-6 * size {
        true => Ok(map),
        false => {
            let value = format!("{:.4} for both texts", map.clean);
            let reason = "the texts have to differ in it, or nothing can be restored";
            Err(refuse("target", value, reason))
        }
    }
}

fn check_lengths(model: &Model, clean: &Input, corrupted: &Input) -> Result<()> {
    let words = |ids: &[u32]| {
        let tokens = model.tokenizer().tokens(ids).into_iter();
        tokens.map(|token| token.text).collect::<Vec<_>>()
    };
    for (one, other) in [(&clean.ids, &corrupted.ids), (&clean.target, &corrupted.target)] {
        if one.len() != other.len() {
            return Err(Error::Lengths {
                clean: words(one),
                corrupted: words(other),
            });
        }
    }
    Ok(())
}

/// How many positions or heads a layer has.
fn n_columns(model: &Model, input: &Input, options: &PatchOptions) -> Result<usize> {
    let place = options.place;
    let not_mapped = |reason: &str| refuse("site", place.name(), reason);
    if place.axes().contains(&"query") || place.axes()[0] != "layer" {
        return Err(not_mapped(
            "expected a place of each layer that is no attention pattern",
        ));
    }
    let sizes = run::probe(model)?;
    let layer = sizes.layers(place).first().copied();
    let size = layer.and_then(|layer| sizes.size(place, layer));
    let size = size.ok_or_else(|| check::no_site(place, None))?;
    match options.by {
        PatchAxis::Head if size.len() != 3 => Err(not_mapped("it is not divided by heads; head_outputs is")),
        PatchAxis::Head => Ok(size[0]),
        PatchAxis::Position if place.encoder => Ok(input.ids.len()),
        PatchAxis::Position => Ok(input.spoken().len()),
    }
}

/// By row of a batch: `[row]`, in double precision.
fn answer(model: &Model, states: &Tensor, target: &Target) -> ecco_models::error::Result<Tensor> {
    let states = match target.row(model) {
        Some(row) => states.narrow(1, row as i64, 1),
        None => states.shallow_clone(),
    };
    let mut logits = run::said(model, &states)?.to_kind(Kind::Double);
    if target.row(model).is_some() {
        logits = logits.select(1, 0);
    }
    Ok(target.value(&logits, model.config(), Rule::Gradient))
}

/// How many patched texts are read side by side: enough for large products, little enough for 256 MB.
fn rows_at_once(model: &Model, input: &Input) -> usize {
    let config = model.config();
    let n = input.ids.len() + input.target.len();
    let per_position = 8 * config.hidden_size + 3 * config.intermediate_size + config.n_heads * n;
    let bytes = n * per_position * size_of::<f32>();
    ((256 << 20) / bytes.max(1)).min(4096 / n.max(1)).max(1)
}

struct Work<'a, 'b> {
    watch: &'a mut Watch<'b>,
    done: u64,
    total: u64,
}

impl Work<'_, '_> {
    fn report(&mut self) -> ControlFlow<()> {
        (self.watch)(&Progress {
            label: "patching".into(),
            done: self.done,
            total: Some(self.total).filter(|&total| total > 0),
            unit: "patches",
        })
    }
}

/// The clean text's states and its values at the place.
fn read_clean(
    model: &Model,
    input: &Input,
    place: Place,
    work: &mut Work,
) -> ecco_models::error::Result<(Tensor, Capture)> {
    let mut capture = ReportTap {
        tap: Capture::new(&[place.site], None),
        report: &mut |_| work.report(),
    };
    let inputs = std::slice::from_ref(input);
    let states = match place.encoder {
        false => run::states(model, inputs, &mut capture, &mut NoTap)?,
        true => run::states(model, inputs, &mut NoTap, &mut capture)?,
    };
    Ok((states, capture.tap))
}

fn one_pass(
    model: &Model,
    input: &Input,
    work: &mut Work,
) -> ecco_models::error::Result<(run::Known, Tensor)> {
    let mut own = ReportTap {
        tap: NoTap,
        report: &mut |_| work.report(),
    };
    run::known(model, input, &mut own)
}

/// All cells in order, at most so many at once, each time of one layer.
fn batches(layers: &[usize], n_columns: usize, most: usize) -> Vec<Vec<Cell>> {
    let of_layer = |&layer: &usize| {
        let cells: Vec<Cell> = (0..n_columns).map(|column| Cell { layer, column }).collect();
        cells.chunks(most).map(<[Cell]>::to_vec).collect::<Vec<_>>()
    };
    layers.iter().flat_map(of_layer).collect()
}

/// What is patched in one row of a batch.
#[derive(Clone, Copy)]
struct Cell {
    layer: usize,
    /// Position or head.
    column: usize,
}

/// Patches another part in every row.
struct Patch<'a, 'b, 'c> {
    options: &'a PatchOptions,
    /// By row.
    cells: &'a [Cell],
    clean: &'a Capture,
    work: &'a mut Work<'b, 'c>,
}

impl Tap for Patch<'_, '_, '_> {
    fn wants(&self, site: Site, layer: usize) -> bool {
        site == self.options.place.site && self.cells.iter().any(|cell| cell.layer == layer)
    }

    fn visit(&mut self, site: Site, layer: usize, value: Tensor) -> Tensor {
        if !self.wants(site, layer) {
            return value;
        }
        let of_layer = self
            .cells
            .iter()
            .enumerate()
            .filter(|(_, cell)| cell.layer == layer);
        let (rows, columns): (Vec<i64>, Vec<i64>) = of_layer
            .map(|(row, cell)| (row as i64, cell.column as i64))
            .unzip();
        let index = |values: &[i64]| host::index(values, value.device());
        let (rows, columns) = (index(&rows), index(&columns));
        // [row, position or head, ..]: with heads, positions stand behind them.
        let by_position = self.options.by == PatchAxis::Position && value.dim() == 4;
        let turned = |x: &Tensor| match by_position {
            true => x.transpose(1, 2),
            false => x.shallow_clone(),
        };
        let clean = turned(self.clean.tensor(site, layer))
            .get(0)
            .index_select(0, &columns);
        let patched = turned(&value).index_put(&[Some(&rows), Some(&columns)], &clean, false);
        turned(&patched)
    }

    fn proceed(&mut self, _: usize) -> ControlFlow<()> {
        self.work.report()
    }
}
