//! Attribution patching: what [`patch_map`](super::patching::patch_map) would find, estimated for all parts at once by
//! gradients (Nanda 2023; Syed et al. 2023, 2310.10348; Kramár et al. 2024, 2403.00745).
//!
//! With a the value at a site over the corrupted text, a′ over the clean one and f the answer, patching a part changes f by
//! about Σ (a′ − a) ∂f/∂a. One slope is a poor guide where f bends; with steps the way from one text to the other is
//! followed, Σₖ (aₖ₊₁ − aₖ) (∂f/∂aₖ + ∂f/∂aₖ₊₁) / 2 at values of texts in between (conductance: Dhamdhere et al. 2018,
//! 1805.12233), and all of a layer's stream then makes all of the difference.

use ecco_interpreter::Watch;
use ecco_models::guard::guard;
use ecco_models::run::{self, Input, Place, Records};
use ecco_models::tap::{Capture, ReportTap};
use ecco_models::{Model, Rule, Site, host};
use ndarray::Array2;
use tch::{Kind, Tensor};

use super::alignment::Alignment;
use super::patching::{Cell, Pair, PatchOptions, ensure_difference, parts, patched_parts};
use crate::agreement::pearson;
use crate::attribution::work::Work;
use crate::attribution::{Completeness, Objective};
use crate::error::{Result, refuse};
use crate::random::strongest_and_others;
use crate::sites::pass::{Change, Look, Seen, Start, pass};
use crate::sites::{check_steps, ensure_room_for};

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EstimateOptions {
    pub patch: PatchOptions,
    /// On the way from the corrupted text to the clean one; 0: the slopes at the corrupted text.
    pub n_steps: usize,
    /// Parts that are patched indeed, to compare: half of them the strongest, the others drawn at random.
    pub n_measured: usize,
    pub seed: u64,
}

/// By layer and position, head or neuron.
pub struct Estimate {
    pub options: EstimateOptions,
    /// The layers, in order: the rows.
    pub layers: Vec<usize>,
    /// By how much the answer changes with that part patched, as estimated.
    pub changes: Array2<f64>,
    /// The same number by number, as the site's own values are recorded: [`Records::array`].
    pub elements: Records,
    /// The answers to the two texts as they are.
    pub clean: f64,
    pub corrupted: f64,
    pub measured: Vec<Measured>,
    /// By layer, where all parts together should make all of the difference.
    pub completeness: Vec<Option<Completeness>>,
}

/// A part that was patched.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measured {
    /// Row and column of the table.
    pub at: (usize, usize),
    /// By how much the answer changes.
    pub change: f64,
}

impl Estimate {
    /// As shares of the difference: 0 as corrupted, 1 as clean.
    pub fn restored(&self) -> Array2<f64> {
        &self.changes / (self.clean - self.corrupted)
    }

    /// Pearson's, between what was estimated and what was measured. `None` where either does not vary.
    pub fn correlation(&self) -> Option<f64> {
        let pairs = self.measured.iter().map(|one| (self.changes[one.at], one.change));
        let (estimated, measured): (Vec<f64>, Vec<f64>) = pairs.unzip();
        Some(pearson(&estimated, &measured)).filter(|found| found.is_finite())
    }
}

/// Estimates every part of every layer by one pass over each text and one pass back; with steps by one more of each a step.
///
/// # Errors
/// As [`patch_map`](super::patching::patch_map).
pub fn attribution_patching(
    model: &Model,
    clean: &Input,
    corrupted: &Input,
    options: &EstimateOptions,
    watch: &mut Watch,
) -> Result<Estimate> {
    estimate(model, [clean, corrupted], options, None, watch)
}

/// The same of texts that may be unequally long, where positions of the one stand for positions of the other: what
/// [`patch_map_aligned`](super::patching::patch_map_aligned) would find. What is not aligned changes nothing.
///
/// # Errors
/// As there; for steps, since there is no text between two of unequal length.
pub fn attribution_patching_aligned(
    model: &Model,
    clean: &Input,
    corrupted: &Input,
    options: &EstimateOptions,
    alignment: &Alignment,
    watch: &mut Watch,
) -> Result<Estimate> {
    if options.n_steps > 0 {
        let reason = "between texts that are aligned there is no way along which each is a text: leave it at 0, gradients at the \
                      corrupted one";
        return Err(refuse("n_steps", options.n_steps, reason));
    }
    estimate(model, [clean, corrupted], options, Some(alignment), watch)
}

fn estimate(
    model: &Model,
    [clean, corrupted]: [&Input; 2],
    options: &EstimateOptions,
    alignment: Option<&Alignment>,
    watch: &mut Watch,
) -> Result<Estimate> {
    check_steps(options.n_steps)?;
    let (layers, n_parts) = parts(model, clean, corrupted, &options.patch, alignment)?;
    let is_patched = patched_parts(&options.patch, alignment, corrupted, n_parts);
    let explained = Objective::new(
        model,
        corrupted,
        std::slice::from_ref(&options.patch.answer.target()),
    )?;
    let at_once = (explained.rows_at_once() as usize).clamp(2, options.n_steps.max(1) + 1);
    ensure_room_for(&explained, at_once, "attribution patching")?;
    let cells = (0..layers.len() * n_parts).filter(|at| is_patched(at % n_parts));
    let cells: Vec<(usize, usize)> = cells.map(|at| (at / n_parts, at % n_parts)).collect();
    let n_measured = options.n_measured.min(cells.len());
    let total = (n_measured + options.n_steps + 1) as u64;
    let work = &mut Work::new(watch, "attribution patching".into(), "passes", total);
    let found = guard(|| {
        let pair = Pair::read(
            [model, model],
            [clean, corrupted],
            &options.patch,
            alignment,
            work,
        )?;
        let elements = match options.n_steps {
            0 => at_the_corrupted(model, corrupted, &pair, options, work)?,
            _ => on_the_way(model, [clean, corrupted], &pair, options, at_once, work)?,
        };
        let (changes, clean, unpatched) = summed(&elements, &pair, options, n_parts);
        let values: Vec<f64> = cells.iter().map(|&at| changes[at]).collect();
        let places: Vec<(usize, usize)> = strongest_and_others(&values, n_measured, options.seed)
            .into_iter()
            .map(|at| cells[at])
            .collect();
        let measured = measured(&pair, &places, &layers, unpatched, work)?;
        let by_layer = layers.iter().copied().zip(elements).collect();
        Ok(Estimate {
            options: *options,
            completeness: completeness(model, options, &changes, clean - unpatched),
            elements: Records::of_place(options.patch.place, by_layer, corrupted),
            layers,
            changes,
            clean,
            corrupted: unpatched,
            measured,
        })
    })?;
    ensure_difference(model, found.clean, found.corrupted)?;
    Ok(found)
}

/// The table of changes (layer, part), and the answers to the clean and the corrupted text.
fn summed(
    elements: &[Tensor],
    pair: &Pair,
    options: &EstimateOptions,
    n_parts: usize,
) -> (Array2<f64>, f64, f64) {
    let sums: Vec<Tensor> = elements.iter().map(|x| options.patch.by.sums(x)).collect();
    let ends = [&pair.clean, &pair.corrupted].into_iter();
    let mut numbers = host::numbers_of_all(&ends.chain(&sums).collect::<Vec<_>>());
    let rows = numbers.split_off(2);
    let changes = Array2::from_shape_fn((rows.len(), n_parts), |(row, part)| rows[row][part]);
    (changes, numbers[0][0], numbers[1][0])
}

/// All of the stream before or after a layer is all that the answer is made of, in models of one stack.
fn completeness(
    model: &Model,
    options: &EstimateOptions,
    changes: &Array2<f64>,
    gap: f64,
) -> Vec<Option<Completeness>> {
    let is_whole = matches!(
        options.patch.place.site,
        Site::ResidualBefore | Site::ResidualAfter
    );
    // Where layers read more than the stream, it does not make all of the difference.
    let config = model.config();
    let promised = is_whole && options.n_steps > 0 && config.encoder.is_none() && !config.reads_beside();
    let of_row = |row: ndarray::ArrayView1<f64>| promised.then(|| Completeness::of_sum(row.sum(), gap));
    changes.outer_iter().map(of_row).collect()
}

fn look<'a>(
    options: &EstimateOptions,
    answer: &'a dyn Fn(&Tensor) -> ecco_models::error::Result<Tensor>,
) -> Look<'a> {
    Look {
        answer,
        place: options.patch.place,
        layers: None,
        rule: Rule::Gradient,
    }
}

fn wide(x: &Tensor) -> Tensor {
    x.to_kind(Kind::Double)
}

/// (clean − corrupted) · the gradient at the corrupted text, by layer: `[1, …]` in double precision.
fn at_the_corrupted(
    model: &Model,
    corrupted: &Input,
    pair: &Pair,
    options: &EstimateOptions,
    work: &mut Work,
) -> ecco_models::error::Result<Vec<Tensor>> {
    let start = Start::Texts(std::slice::from_ref(corrupted));
    let answer = |states: &Tensor| pair.measure.of_states(states);
    let (_, seen) = pass(model, start, &look(options, &answer), &[], work)?;
    work.advance(1)?;
    let of_layer = |seen: &Seen| {
        let clean = wide(&pair.values[&seen.layer]);
        (clean - wide(&seen.value)) * wide(&seen.gradient)
    };
    Ok(seen.iter().map(of_layer).collect())
}

/// The same along the way between the texts: the stream before the first layer goes evenly from one to the other.
fn on_the_way(
    model: &Model,
    [clean, corrupted]: [&Input; 2],
    pair: &Pair,
    options: &EstimateOptions,
    at_once: usize,
    work: &mut Work,
) -> ecco_models::error::Result<Vec<Tensor>> {
    let streams = first_streams(model, clean, work)?;
    let answer = |states: &Tensor| pair.measure.of_states(states);
    let look = look(options, &answer);
    let mut sums: Option<Vec<Tensor>> = None;
    let mut start = 0;
    while start < options.n_steps {
        // Each batch begins where the one before ended.
        let end = (start + at_once - 1).min(options.n_steps);
        let shares = (start..=end).map(|step| step as f64 / options.n_steps as f64);
        let shares: Vec<f64> = shares.collect();
        let between = |x: &Tensor, clean: &Tensor| {
            let shares = host::tensor(&shares, x.device()).reshape([-1, 1, 1]);
            x + (clean - x) * shares.to_kind(x.kind())
        };
        let own = |x: &Tensor| between(x, &streams[0].1);
        let read = |x: &Tensor| between(x, &streams[streams.len() - 1].1);
        let make: [&dyn Fn(&Tensor) -> Tensor; 2] = [&own, &read];
        let changes = streams.iter().zip(make).map(|((place, _), make)| Change {
            place: *place,
            layer: 0,
            make,
        });
        let changes: Vec<Change> = changes.collect();
        let inputs = vec![corrupted.clone(); shares.len()];
        let (_, seen) = pass(model, Start::Texts(&inputs), &look, &changes, work)?;
        let parts = seen.iter().map(along);
        sums = Some(match sums {
            None => parts.collect(),
            Some(sums) => sums
                .into_iter()
                .zip(parts)
                .map(|(sum, part)| sum + part)
                .collect(),
        });
        work.advance((end - start) as u64)?;
        start = end;
    }
    Ok(sums.unwrap_or_default())
}

/// Σₖ (aₖ₊₁ − aₖ) (gₖ + gₖ₊₁) / 2 over the rows: `[1, …]` in double precision.
fn along(seen: &Seen) -> Tensor {
    let (value, gradient) = (wide(&seen.value), wide(&seen.gradient));
    let n = value.size()[0] - 1;
    let difference = value.narrow(0, 1, n) - value.narrow(0, 0, n);
    let middle = (gradient.narrow(0, 1, n) + gradient.narrow(0, 0, n)) / 2.0;
    (difference * middle).sum_dim_intlist(0, true, Kind::Double)
}

/// The stream before the first layer, `[1, position, hidden]`, of each stack.
fn first_streams(
    model: &Model,
    input: &Input,
    work: &mut Work,
) -> ecco_models::error::Result<Vec<(Place, Tensor)>> {
    let site = Site::ResidualBefore;
    let capture = || Capture::new(&[site], Some(&[0]));
    let mut own = ReportTap {
        tap: capture(),
        report: &mut |_| work.report(),
    };
    let mut encoder = capture();
    let _ = run::states(model, std::slice::from_ref(input), &mut own, &mut encoder)?;
    let of = |capture: &Capture, encoder| {
        let place = Place { site, encoder };
        (place, capture.tensor(site, 0).shallow_clone())
    };
    let mut streams = vec![of(&own.tap, false)];
    if model.config().encoder.is_some() {
        streams.push(of(&encoder, true));
    }
    Ok(streams)
}

fn measured(
    pair: &Pair,
    places: &[(usize, usize)],
    layers: &[usize],
    unpatched: f64,
    work: &mut Work,
) -> ecco_models::error::Result<Vec<Measured>> {
    if places.is_empty() {
        return Ok(vec![]);
    }
    let cell = |&(row, part): &(usize, usize)| Cell {
        layer: layers[row],
        part,
    };
    let cells: Vec<Cell> = places.iter().map(cell).collect();
    let answers = host::numbers(&Tensor::cat(&pair.patched(&cells, work)?, 0));
    let each = places.iter().zip(answers);
    let measured = each.map(|(&at, answer)| Measured {
        at,
        change: answer - unpatched,
    });
    Ok(measured.collect())
}
