//! Steering vectors: the direction in which a place's values differ between texts that differ in one thing
//! (activation addition, 2308.10248; contrastive, 2312.06681).

use ecco_interpreter::{Progress, Watch, named};
use ecco_models::Model;
use ecco_models::run::{self, Input, Place};
use ndarray::{Array1, Array2, Axis};

use super::{as_in_passes, check, unit};
use crate::error::{Result, refuse};

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SteeringOptions {
    pub place: Place,
    pub layer: usize,
    pub at: TextPosition,
    /// Of length 1, instead of that of the difference.
    pub unit: bool,
}

named! {
/// What of a text is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TextPosition {
    #[default]
    Last = "last",
    /// The mean over all positions.
    Mean = "mean",
}
}

/// The mean of some texts' values less the mean of others'.
#[derive(Debug, Clone, PartialEq)]
pub struct Steering {
    pub options: SteeringOptions,
    pub vector: Vec<f32>,
    /// The length of the difference, and the mean length of what it is a difference of.
    pub norm: f64,
    pub typical: f64,
    /// How far each text's values reach along the direction, from halfway between the two means: above 0 on the side
    /// of the first texts. In units of half the distance of the means.
    pub projections: [Vec<f64>; 2],
}

/// The direction from `negative` to `positive` texts.
///
/// # Errors
/// [`Error::Option`](crate::Error::Option) for lists without a text, a place the model does not have or that is divided by heads, or texts
/// that do not differ there.
pub fn steering(
    model: &Model,
    positive: &[Input],
    negative: &[Input],
    options: &SteeringOptions,
    watch: &mut Watch,
) -> Result<Steering> {
    for (option, texts) in [("positive", positive), ("negative", negative)] {
        if texts.is_empty() {
            return Err(refuse(option, "[]", "name at least one text"));
        }
    }
    let sizes = run::probe(model)?;
    let place = options.place;
    if check::size(place, options.layer, &sizes)?.len() != 2 {
        let reason = "it is divided by heads: take a place of the residual stream, or neurons";
        return Err(refuse("site", place.name(), reason));
    }
    let total = positive.len() + negative.len();
    let mut done = 0;
    let mut each = |inputs: &[Input]| {
        let row = |input: &Input| {
            let progress = Progress {
                label: "reading texts".into(),
                done: done as u64,
                total: Some(total as u64),
                unit: "texts",
            };
            done += 1;
            match watch(&progress).is_break() {
                true => Err(ecco_models::Error::Interrupted.into()),
                false => of_text(model, input, options, watch),
            }
        };
        inputs.iter().map(row).collect::<Result<Vec<_>>>()
    };
    let (positive, negative) = (rows(each(positive)?), rows(each(negative)?));
    direction(options, &positive, &negative)
}

/// `[feature]`
fn of_text(
    model: &Model,
    input: &Input,
    options: &SteeringOptions,
    watch: &mut Watch,
) -> Result<Array1<f64>> {
    let SteeringOptions { place, layer, at, .. } = *options;
    let one = std::slice::from_ref(input);
    let records = run::record(model, one, &[place], Some(&[layer]), watch)?;
    let values = as_in_passes(place, records.array(place, Some(layer), 0)?).mapv(f64::from);
    let n = values.len_of(Axis(0));
    let row = match at {
        TextPosition::Last => values.index_axis_move(Axis(0), n - 1),
        TextPosition::Mean => values.sum_axis(Axis(0)) / n as f64,
    };
    Ok(row.iter().copied().collect())
}

fn rows(rows: Vec<Array1<f64>>) -> Array2<f64> {
    let width = rows.first().map_or(0, Array1::len);
    Array2::from_shape_fn((rows.len(), width), |(row, column)| rows[row][column])
}

fn direction(options: &SteeringOptions, positive: &Array2<f64>, negative: &Array2<f64>) -> Result<Steering> {
    let mean = |rows: &Array2<f64>| rows.sum_axis(Axis(0)) / rows.nrows() as f64;
    let (above, below) = (mean(positive), mean(negative));
    let difference = &above - &below;
    let norm = difference.dot(&difference).sqrt();
    if !(norm > 0.0 && norm.is_finite()) {
        let value = match negative.nrows() {
            1 => "1 text".to_owned(),
            n => format!("{n} texts"),
        };
        let reason = format!(
            "the mean does not differ from that of the positive texts in {} of layer {}",
            options.place.name(),
            options.layer
        );
        return Err(refuse("negative", value, reason));
    }
    let middle = (&above + &below) / 2.0;
    let reach = |rows: &Array2<f64>| -> Vec<f64> {
        let project =
            |row: ndarray::ArrayView1<f64>| 2.0 * (&row.to_owned() - &middle).dot(&difference) / norm.powi(2);
        rows.outer_iter().map(project).collect()
    };
    let lengths = positive.outer_iter().chain(negative.outer_iter());
    let lengths: Vec<f64> = lengths.map(|row| row.dot(&row).sqrt()).collect();
    let vector: Vec<f32> = difference.iter().map(|&x| x as f32).collect();
    Ok(Steering {
        options: *options,
        vector: if options.unit { unit(&vector) } else { vector },
        norm,
        typical: lengths.iter().sum::<f64>() / lengths.len() as f64,
        projections: [reach(positive), reach(negative)],
    })
}

impl Steering {
    /// A direction of length 1 that was found in another way, as long as the means of both groups are apart along it. `reach`
    /// is how far each text goes along it, `labels` whether it is one of the first group.
    pub fn along(
        options: SteeringOptions,
        direction: &[f64],
        reach: &[f64],
        labels: &[bool],
        typical: f64,
    ) -> Self {
        let of = |label: bool| {
            let texts = reach.iter().zip(labels).filter(move |(_, of)| **of == label);
            texts.map(|(reach, _)| *reach).collect::<Vec<f64>>()
        };
        let mean = |group: &[f64]| group.iter().sum::<f64>() / group.len() as f64;
        let groups = [of(true), of(false)];
        let ends = [mean(&groups[0]), mean(&groups[1])];
        let (middle, norm) = ((ends[0] + ends[1]) / 2.0, (ends[0] - ends[1]).abs());
        let length = if options.unit { 1.0 } else { norm };
        let places = |group: Vec<f64>| {
            group
                .into_iter()
                .map(|reach| 2.0 * (reach - middle) / norm)
                .collect()
        };
        Self {
            options,
            vector: direction.iter().map(|x| (x * length) as f32).collect(),
            norm,
            typical,
            projections: groups.map(places),
        }
    }

    /// How many of the texts are on their own side of the middle.
    pub fn n_apart(&self) -> usize {
        let [positive, negative] = &self.projections;
        let above = positive.iter().filter(|&&x| x > 0.0).count();
        above + negative.iter().filter(|&&x| x < 0.0).count()
    }
}
