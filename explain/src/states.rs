//! What a site holds of many texts: of each at some of its positions, or the mean over all, by layer.
//!
//! Texts about equally long pass side by side. Of each pass only what is asked for is kept, and it crosses to the host once,
//! so that memory is that of the result beside one batch.

use std::cell::RefCell;
use std::ops::ControlFlow;

use ecco_interpreter::{Progress, Watch};
use ecco_models::device::ensure_room;
use ecco_models::guard::guard;
use ecco_models::host::{self, bring};
use ecco_models::run::{self, Input, Place};
use ecco_models::tap::{NoTap, ReportTap, Tap};
use ecco_models::{Model, Site};
use ndarray::{Array3, Axis, s};
use tch::{Device, Kind, Tensor};

use crate::error::{Result, refuse};
use crate::sites::at_layers;

/// What of a text is kept.
#[derive(Debug, Clone, PartialEq)]
pub enum Positions {
    /// The mean over all.
    Mean,
    /// Counted from the start or, where negative, from the end: −1 is the last.
    Each(Vec<i64>),
}

/// A layer's values over texts.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerStates {
    /// None where the site is no layer's.
    pub layer: Option<usize>,
    /// (text, position, feature); heads lie one after the other.
    pub values: Array3<f32>,
}

impl Positions {
    /// How many there are of each text.
    pub fn n(&self) -> usize {
        match self {
            Self::Mean => 1,
            Self::Each(all) => all.len(),
        }
    }

    /// The places in a text of so many tokens.
    fn of_text(&self, text: usize, length: usize) -> Result<Vec<usize>> {
        let Self::Each(all) = self else {
            return Ok((0..length).collect());
        };
        let place = |&position: &i64| {
            let at = match position < 0 {
                true => position.checked_add_unsigned(length as u64),
                false => Some(position),
            };
            let at = at.and_then(|at| usize::try_from(at).ok());
            at.filter(|at| *at < length)
                .ok_or_else(|| refuse("at", position, format!("text {text} has {length} tokens")))
        };
        all.iter().map(place).collect()
    }
}

/// The values of a place at these layers, or at all that have it, in order.
///
/// # Errors
/// A place that the model does not have or that is between positions; layers and positions that are not there; no room;
/// `watch`'s interruption.
pub fn states(
    model: &Model,
    inputs: &[Input],
    place: Place,
    layers: Option<&[usize]>,
    positions: &Positions,
    watch: &mut Watch,
) -> Result<Vec<LayerStates>> {
    let places = checked(model, place, layers)?;
    let length = |input: &Input| length(input, place);
    let each = inputs.iter().enumerate();
    let each = each.map(|(text, input)| positions.of_text(text, length(input)));
    let each: Vec<Vec<usize>> = each.collect::<Result<_>>()?;
    let numbers = |(_, width): &(usize, usize)| inputs.len() * positions.n() * width;
    let numbers: usize = places.iter().map(numbers).sum();
    let what = format!("{} of {} texts", place.name(), inputs.len());
    // As they are kept, and once more while they are used.
    ensure_room(Device::Cpu, 2 * (numbers * size_of::<f32>()) as u64, &what)?;
    let empty = |(layer, width): &(usize, usize)| LayerStates {
        layer: (place.axes()[0] == "layer").then_some(*layer),
        values: Array3::zeros((inputs.len(), positions.n(), *width)),
    };
    let mut found: Vec<LayerStates> = places.iter().map(empty).collect();
    in_batches(model, inputs, place, watch, |batch, together, read| {
        let rows: Vec<&[usize]> = batch.iter().map(|&text| each[text].as_slice()).collect();
        let longest = together.iter().map(&length).max().unwrap_or(0);
        let mut tap = Gather {
            place,
            layers: places.iter().map(|(layer, _)| *layer).collect(),
            chosen: Chosen::new(positions, &rows, longest),
            found: Vec::new(),
        };
        read(&mut tap)?;
        tap.bring_to(&mut found, batch)
    })?;
    Ok(found)
}

/// Texts side by side: `each` gets the places of a batch among them, its texts, and what passes these by a tap.
///
/// # Errors
/// As of `each`; `watch`'s interruption.
pub(crate) fn in_batches(
    model: &Model,
    inputs: &[Input],
    place: Place,
    watch: &mut Watch,
    mut each: impl FnMut(&[usize], &[Input], &mut dyn FnMut(&mut dyn Tap) -> Result<()>) -> Result<()>,
) -> Result<()> {
    let mut done = 0;
    for batch in run::batches(model, inputs) {
        let together: Vec<Input> = batch.iter().map(|&text| inputs[text].clone()).collect();
        let progress = Progress {
            label: "reading texts".into(),
            done,
            total: Some(inputs.len() as u64),
            unit: "texts",
        };
        each(&batch, &together, &mut |tap| {
            Ok(guard(|| {
                pass(model, &together, tap, place.encoder, &mut || watch(&progress))
            })?)
        })?;
        done += batch.len() as u64;
    }
    Ok(())
}

/// Tokens that stand at a place.
pub(crate) fn length(input: &Input, place: Place) -> usize {
    match place.encoder {
        true => input.ids.len(),
        false => input.spoken().len(),
    }
}

/// The layers that have the place, as they are asked for, and how many numbers each has at a position.
///
/// # Errors
/// As of [`states`].
pub(crate) fn checked(model: &Model, place: Place, layers: Option<&[usize]>) -> Result<Vec<(usize, usize)>> {
    let sizes = sizes(model, place, layers)?.into_iter();
    Ok(sizes.map(|(layer, size)| (layer, width(&size))).collect())
}

/// Numbers at a position of a value of this size: `[position, number]`, or with heads before.
pub(crate) fn width(size: &[usize]) -> usize {
    match size {
        [heads, _, width] => heads * width,
        [_, width] => *width,
        _ => 0,
    }
}

/// What [`checked`] gives, with the size of each layer's value in a text of one token: `[position, number]`, or with heads before.
///
/// # Errors
/// As of [`states`].
pub(crate) fn sizes(
    model: &Model,
    place: Place,
    layers: Option<&[usize]>,
) -> Result<Vec<(usize, Vec<usize>)>> {
    if place.axes().contains(&"key") {
        let reason =
            "it is between two positions, not at one: take a place such as residual_after or mlp_inner";
        return Err(refuse("site", place.name(), reason));
    }
    let sizes = run::probe(model)?;
    let there = sizes.layers(place);
    if there.is_empty() {
        let site = place.name();
        return Err(ecco_models::Error::NoSite { site, layer: None }.into());
    }
    if let Some(wrong) = layers.and_then(|layers| layers.iter().find(|layer| !there.contains(layer))) {
        return Err(refuse("layers", wrong, at_layers(place, &there)));
    }
    let mut wanted = layers.map_or(there.clone(), <[usize]>::to_vec);
    wanted.sort_unstable();
    wanted.dedup();
    if wanted.is_empty() {
        return Err(refuse("layers", "[]", "name at least one"));
    }
    // All of them are there.
    let sized = |layer: usize| Some((layer, sizes.size(place, layer)?));
    Ok(wanted.into_iter().filter_map(sized).collect())
}

/// One pass, which is asked about before each layer.
pub(crate) fn pass(
    model: &Model,
    inputs: &[Input],
    tap: &mut dyn Tap,
    of_encoder: bool,
    ask: &mut dyn FnMut() -> ControlFlow<()>,
) -> ecco_models::error::Result<()> {
    let ask = RefCell::new(ask);
    let mut report = |_: usize| (ask.borrow_mut())();
    let mut also = |_: usize| (ask.borrow_mut())();
    let mut looking = ReportTap {
        tap: Seeing(tap),
        report: &mut report,
    };
    let mut other = ReportTap {
        tap: NoTap,
        report: &mut also,
    };
    let _ = match of_encoder {
        true => run::states(model, inputs, &mut other, &mut looking)?,
        false => run::states(model, inputs, &mut looking, &mut other)?,
    };
    Ok(())
}

/// A tap that is somebody else's.
struct Seeing<'a>(&'a mut dyn Tap);

impl Tap for Seeing<'_> {
    fn wants(&self, site: Site, layer: usize) -> bool {
        self.0.wants(site, layer)
    }

    fn visit(&mut self, site: Site, layer: usize, value: Tensor) -> Tensor {
        self.0.visit(site, layer, value)
    }
}

/// `[text, position, feature]` of a site's value, whose heads lie one after the other then.
pub(crate) fn by_position(value: &Tensor) -> Tensor {
    match value.dim() {
        4 => value.transpose(1, 2).flatten(2, 3),
        _ => value.shallow_clone(),
    }
}

/// How the positions of a batch's texts are taken.
enum Chosen {
    /// `[text, position]`: where they are.
    Rows(Tensor),
    /// `[text, 1, position]`: each one's part of the mean.
    Shares(Tensor),
}

impl Chosen {
    fn new(positions: &Positions, rows: &[&[usize]], longest: usize) -> Self {
        let n_texts = rows.len() as i64;
        match positions {
            Positions::Each(all) => {
                let index: Vec<i64> = rows.concat().into_iter().map(|at| at as i64).collect();
                Self::Rows(host::tensor(&index, Device::Cpu).reshape([n_texts, all.len() as i64]))
            }
            Positions::Mean => {
                let share = |row: &&[usize]| {
                    let of = 1.0 / row.len() as f64;
                    let n = row.len();
                    (0..longest).map(move |at| if at < n { of } else { 0.0 })
                };
                let shares: Vec<f64> = rows.iter().flat_map(share).collect();
                Self::Shares(host::tensor(&shares, Device::Cpu).reshape([n_texts, 1, longest as i64]))
            }
        }
    }

    /// `[text, position, feature]`
    fn of(&self, values: &Tensor) -> Tensor {
        match self {
            Self::Rows(index) => {
                let index = bring(index, (Kind::Int64, values.device())).unsqueeze(-1);
                values.gather(1, &index.expand([-1, -1, values.size()[2]], false), false)
            }
            Self::Shares(shares) => {
                let kind = match values.kind() {
                    Kind::Double => Kind::Double,
                    _ => Kind::Float,
                };
                bring(shares, (kind, values.device())).matmul(&values.to_kind(kind))
            }
        }
    }
}

/// Keeps what is chosen of each layer.
struct Gather {
    place: Place,
    layers: Vec<usize>,
    chosen: Chosen,
    found: Vec<Tensor>,
}

impl Tap for Gather {
    fn wants(&self, site: Site, layer: usize) -> bool {
        site == self.place.site && self.layers.contains(&layer)
    }

    fn visit(&mut self, site: Site, layer: usize, value: Tensor) -> Tensor {
        if self.wants(site, layer) {
            self.found.push(self.chosen.of(&by_position(&value)));
        }
        value
    }
}

impl Gather {
    /// In one crossing to the rows of these texts.
    fn bring_to(&self, all: &mut [LayerStates], texts: &[usize]) -> Result<()> {
        let Some(first) = self.found.first() else {
            return Ok(());
        };
        let device = first.device();
        let flat = |x: &Tensor| bring(&x.reshape([-1]), (Kind::Float, device));
        let flat: Vec<Tensor> = self.found.iter().map(flat).collect();
        let numbers = guard(|| Ok(host::array(&Tensor::cat(&flat, 0))))?;
        let mut numbers = numbers.iter().copied();
        for of_layer in all {
            for &text in texts {
                let mut row = of_layer.values.index_axis_mut(Axis(0), text);
                row.slice_mut(s![.., ..])
                    .iter_mut()
                    .for_each(|value| *value = numbers.next().unwrap_or(f32::NAN));
            }
        }
        Ok(())
    }
}
