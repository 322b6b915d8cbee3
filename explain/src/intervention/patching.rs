//! Activation patching: which part of a pass carries what makes two texts differ (2202.05262, 2211.00593).
//!
//! The corrupted text is read again and again, each time with one part's values put in from the pass over the clean
//! text; how much of the clean answer comes back says how much of the difference went through that part.

use std::collections::HashMap;
use std::ops::ControlFlow;

use ecco_interpreter::Watch;
use ecco_models::guard::guard;
use ecco_models::host;
use ecco_models::run::{self, Input, Known, Place};
use ecco_models::tap::{Capture, NoTap, ReportTap, Tap};
use ecco_models::{Model, Site};
use ndarray::Array2;
use tch::Tensor;

use super::alignment::Alignment;
use super::answer::{Answer, Measure};
use super::check;
use crate::attribution::work::{Work, WorkTap};
use crate::error::{Error, Result, refuse};
use crate::sites::SiteAxis;

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PatchOptions {
    pub place: Place,
    /// What is patched at once.
    pub by: SiteAxis,
    /// What is watched.
    pub answer: Answer,
}

/// By layer and part: position, head, head and position, or neuron.
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

/// Patches every part of every layer, many in one batch.
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
    patch_map_between([model, model], [clean, corrupted], options, None, watch)
}

/// The same of texts that may be unequally long, where positions of the one stand for positions of the other. What is not aligned
/// is not patched.
///
/// # Errors
/// As [`patch_map`]; for an alignment of positions that there are not, and at patterns.
pub fn patch_map_aligned(
    model: &Model,
    clean: &Input,
    corrupted: &Input,
    options: &PatchOptions,
    alignment: &Alignment,
    watch: &mut Watch,
) -> Result<PatchMap> {
    patch_map_between(
        [model, model],
        [clean, corrupted],
        options,
        Some(alignment),
        watch,
    )
}

/// The same where one model reads the clean text, and another of the same kind the corrupted one.
pub(super) fn patch_map_between(
    [clean_model, model]: [&Model; 2],
    [clean, corrupted]: [&Input; 2],
    options: &PatchOptions,
    alignment: Option<&Alignment>,
    watch: &mut Watch,
) -> Result<PatchMap> {
    let (layers, n_parts) = parts(model, clean, corrupted, options, alignment)?;
    let is_patched = patched_parts(options, alignment, corrupted, n_parts);
    let map = guard(|| {
        let of_layer = |&layer: &usize| {
            let parts = (0..n_parts).filter(|&part| is_patched(part));
            parts.map(move |part| Cell { layer, part })
        };
        let cells: Vec<Cell> = layers.iter().flat_map(of_layer).collect();
        let work = &mut Work::new(watch, "patching".into(), "patches", cells.len() as u64);
        let texts = [clean, corrupted];
        let pair = Pair::read([clean_model, model], texts, options, alignment, work)?;
        let mut answers = vec![pair.clean.shallow_clone(), pair.corrupted.shallow_clone()];
        answers.extend(pair.patched(&cells, work)?);
        let answers = host::numbers(&Tensor::cat(&answers, 0));
        // What is not patched is as it was.
        let mut patched = Array2::from_elem((layers.len(), n_parts), answers[1]);
        let columns = (0..n_parts).filter(|&part| is_patched(part));
        let columns: Vec<usize> = columns.collect();
        for (at, answer) in answers[2..].iter().enumerate() {
            patched[[at / columns.len(), columns[at % columns.len()]]] = *answer;
        }
        Ok(PatchMap {
            options: *options,
            layers,
            patched,
            clean: answers[0],
            corrupted: answers[1],
        })
    })?;
    ensure_difference(model, map.clean, map.corrupted)?;
    Ok(map)
}

/// Whether a part is patched: of what stands at positions only those that are aligned.
pub(super) fn patched_parts(
    options: &PatchOptions,
    alignment: Option<&Alignment>,
    corrupted: &Input,
    n_parts: usize,
) -> impl Fn(usize) -> bool + use<> {
    let n = match options.by {
        SiteAxis::Position => n_parts,
        SiteAxis::HeadPosition => corrupted.ids.len(),
        SiteAxis::Head | SiteAxis::Neuron => 0,
    };
    let alignment = alignment.filter(|alignment| n > 0 && alignment.is_of(options.place, corrupted));
    let aligned = alignment.map(|alignment| {
        let mut aligned = vec![false; n];
        alignment.pairs.iter().for_each(|pair| aligned[pair.1] = true);
        aligned
    });
    move |part| aligned.as_ref().is_none_or(|aligned| aligned[part % n])
}

/// The layers that have the place, and how many parts each has.
///
/// # Errors
/// As [`patch_map`].
pub(super) fn parts(
    model: &Model,
    clean: &Input,
    corrupted: &Input,
    options: &PatchOptions,
    alignment: Option<&Alignment>,
) -> Result<(Vec<usize>, usize)> {
    let of_clean = alignment.map_or(options.answer, |alignment| alignment.clean);
    for (input, answer) in [(clean, of_clean), (corrupted, options.answer)] {
        input.check(model)?;
        answer.check(model, input)?;
    }
    let place = options.place;
    match alignment {
        Some(alignment) => alignment.check(clean, corrupted, place)?,
        None => check_lengths(model, clean, corrupted)?,
    }
    let n = match place.encoder {
        true => corrupted.ids.len(),
        false => corrupted.spoken().len(),
    };
    let sizes = run::probe(model)?;
    let layers = sizes.layers(place);
    let of_layer = |&layer: &usize| {
        let size = sizes
            .size(place, layer)
            .ok_or_else(|| check::no_site(place, Some(layer)))?;
        options.by.n_parts(place, &size, n)
    };
    let each: Vec<usize> = layers.iter().map(of_layer).collect::<Result<_>>()?;
    match each.first() {
        None => Err(check::no_site(place, None)),
        Some(first) if each.iter().any(|n| n != first) => {
            Err(ecco_models::Error::Widths { site: place.name() }.into())
        }
        Some(&first) => Ok((layers, first)),
    }
}

/// What is known of both texts, for passes over the corrupted one with parts of the clean one.
pub(super) struct Pair<'m> {
    model: &'m Model,
    input: &'m Input,
    options: &'m PatchOptions,
    pub measure: Measure<'m>,
    /// The answers, `[1]` each.
    pub clean: Tensor,
    pub corrupted: Tensor,
    /// What is put in at the place, by layer.
    pub values: HashMap<usize, Tensor>,
    /// The pass over the corrupted text, where others can go on from it.
    known: Option<Known>,
}

impl<'m> Pair<'m> {
    /// The first model reads the clean text.
    pub(super) fn read(
        [clean_model, model]: [&'m Model; 2],
        [clean, corrupted]: [&'m Input; 2],
        options: &'m PatchOptions,
        alignment: Option<&Alignment>,
        work: &mut Work,
    ) -> ecco_models::error::Result<Self> {
        let place = options.place;
        let (states, values) = read_clean(clean_model, clean, place, work)?;
        let by_layer = |layer| (layer, values.tensor(place.site, layer).shallow_clone());
        let mut values: HashMap<usize, Tensor> =
            values.layers(place.site).into_iter().map(by_layer).collect();
        if let Some(alignment) = alignment.filter(|alignment| alignment.is_of(place, corrupted)) {
            let (_, own) = read_clean(model, corrupted, place, work)?;
            for (&layer, value) in &mut values {
                *value = alignment.merged(value, own.tensor(place.site, layer));
            }
        }
        let (known, states_before) = run::known(model, corrupted, &mut WorkTap(work))?;
        // What is changed before a layer would be changed once more where a pass goes on from there.
        let goes_on = !place.encoder && !model.stack().is_edited();
        let of_clean = alignment.map_or(options.answer, |alignment| alignment.clean);
        let asked = |answer| Measure::new(model, answer, of_clean, &states);
        let measure = asked(options.answer)?;
        Ok(Self {
            model,
            input: corrupted,
            options,
            clean: asked(of_clean)?.of_states(&states)?,
            corrupted: measure.of_states(&states_before)?,
            measure,
            values,
            known: Some(known).filter(|_| goes_on),
        })
    }

    /// The answers with each of the cells patched, `[cell]` in all, in their order; those of a layer stand together.
    pub(super) fn patched(&self, cells: &[Cell], work: &mut Work) -> ecco_models::error::Result<Vec<Tensor>> {
        let at_once = rows_at_once(self.model, self.input);
        let mut answers = Vec::new();
        for cells in cells.chunk_by(|one, other| one.layer == other.layer) {
            for cells in cells.chunks(at_once) {
                let mut tap = Patch {
                    options: self.options,
                    cells,
                    clean: &self.values,
                    work: &mut *work,
                };
                let states = match &self.known {
                    // Up to the patched layer nothing differs.
                    Some(known) => run::resume(self.model, known, cells[0].layer, cells.len(), &mut tap)?,
                    None => {
                        let inputs = vec![self.input.clone(); cells.len()];
                        match self.options.place.encoder {
                            true => run::states(self.model, &inputs, &mut NoTap, &mut tap)?,
                            false => run::states(self.model, &inputs, &mut tap, &mut NoTap)?,
                        }
                    }
                };
                answers.push(self.measure.of_states(&states)?);
                work.done += cells.len() as u64;
            }
        }
        Ok(answers)
    }
}

/// Both texts get the same answer: nothing can come back.
pub(crate) fn ensure_difference(model: &Model, clean: f64, corrupted: f64) -> Result<()> {
    if !(clean.is_finite() && corrupted.is_finite()) {
        let model = model.name().to_owned();
        return Err(ecco_models::Error::NoNumbers { model }.into());
    }
    match (clean - corrupted).abs() > 1e-6 * (clean.abs() + corrupted.abs()) {
        true => Ok(()),
        false => {
            let value = format!("{clean:.4} for both texts");
            let reason = "the texts have to differ in it, or nothing can be restored";
            Err(refuse("target", value, reason))
        }
    }
}

/// # Errors
/// [`Error::Lengths`] for texts of unequal length.
pub fn check_lengths(model: &Model, clean: &Input, corrupted: &Input) -> Result<()> {
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

/// How many patched texts are read side by side: enough for large products, little enough for 256 MB.
fn rows_at_once(model: &Model, input: &Input) -> usize {
    let config = model.config();
    let n = input.ids.len() + input.target.len();
    let per_position = 8 * config.hidden_size + 3 * config.intermediate_size + config.n_heads * n;
    let per_position = per_position + config.work_of_mixers();
    let bytes = n * per_position * size_of::<f32>();
    ((256 << 20) / bytes.max(1)).min(4096 / n.max(1)).max(1)
}

/// The clean text's states and its values at the place.
pub(super) fn read_clean(
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

/// What is patched in one row of a batch.
#[derive(Clone, Copy)]
pub(super) struct Cell {
    pub layer: usize,
    /// Position, head, head and position, or neuron.
    pub part: usize,
}

/// Patches another part in every row.
struct Patch<'a, 'b, 'c> {
    options: &'a PatchOptions,
    /// By row.
    cells: &'a [Cell],
    /// By layer.
    clean: &'a HashMap<usize, Tensor>,
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
        let (rows, parts): (Vec<i64>, Vec<i64>) =
            of_layer.map(|(row, cell)| (row as i64, cell.part as i64)).unzip();
        let index = |values: &[i64]| host::index(values, value.device());
        let (rows, parts) = (index(&rows), index(&parts));
        let by = self.options.by;
        let clean = by.parted(&self.clean[&layer]).get(0); // [part, ..]
        let clean = clean.index_select(0, &parts);
        let patched = by
            .parted(&value)
            .index_put(&[Some(&rows), Some(&parts)], &clean, false);
        by.joined(&patched, &value.size())
    }

    fn proceed(&mut self, _: usize) -> ControlFlow<()> {
        self.work.report()
    }
}
