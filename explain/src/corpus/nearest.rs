//! What units write to the stream, and which of them write alike.

use ecco_interpreter::{Progress, Watch};
use ecco_models::dictionary::Dictionary;
use ecco_models::guard::guard;
use ecco_models::host;
use ecco_models::{Model, Site};
use tch::{Kind, Tensor};

use super::{Corpus, Units};
use crate::dictionary::{check_features, is_stream, writes_to_stream};
use crate::error::{Error, Result};
use crate::vocabulary::{MOST_ROWS, Written, rows};

impl Corpus {
    /// What some units of a layer write to the stream, or have there; nothing of what is not of the stream, and of heads, which
    /// write other things of other texts.
    ///
    /// # Errors
    /// Features that the dictionary does not have.
    pub fn written(&self, layer: Option<usize>, units: &[usize]) -> Result<Option<Written>> {
        let Some(layer) = layer.filter(|_| !self.place.encoder) else {
            return Ok(None);
        };
        Ok(match &self.units {
            Units::Numbers if self.place.site == Site::MlpInner => Some(Written::Neurons {
                layer,
                neurons: units.to_vec(),
            }),
            Units::Directions(all) if is_stream(self.place) => {
                let rows = units.iter().map(|&unit| all.row(unit).to_vec());
                Some(Written::Directions(rows.collect()))
            }
            of @ Units::Features(_) => match of.dictionary(layer) {
                Some(dictionary) if writes_to_stream(dictionary) => Some(of_features(dictionary, units)?),
                _ => None,
            },
            _ => None,
        })
    }
}

/// The sum of what each feature writes in all layers.
fn of_features(dictionary: &Dictionary, features: &[usize]) -> Result<Written> {
    check_features(dictionary, features)?;
    let rows = guard(|| {
        let each = dictionary
            .layers()
            .map(|layer| dictionary.directions(layer, features));
        let sum: Tensor = each.reduce(|sum, one| sum + one).expect("it writes somewhere");
        Ok(host::array(&sum))
    })?;
    let rows = rows.outer_iter().map(|row| row.iter().copied().collect());
    Ok(Written::Directions(rows.collect()))
}

/// How alike what one unit writes to the stream is to what each of the others writes: cosines, of each of the corpus's layers and
/// unit; nothing where units do not write to the stream of a decoder.
///
/// # Errors
/// `watch`'s interruption; a unit that is not there.
pub fn writing_cosines(
    model: &Model,
    corpus: &Corpus,
    (layer, unit): (Option<usize>, usize),
    watch: &mut Watch,
) -> Result<Option<Vec<Vec<f64>>>> {
    let Some(written) = corpus.written(layer, &[unit])? else {
        return Ok(None);
    };
    // Of other bodies nothing can be said.
    let Ok(own) = rows(model, &written) else {
        return Ok(None);
    };
    let total: usize = corpus.layers.iter().map(|of| of.n_neurons()).sum();
    let (mut all, mut done) = (Vec::new(), 0);
    for of in &corpus.layers {
        let units: Vec<usize> = (0..of.n_neurons()).collect();
        let mut cosines = Vec::new();
        for some in units.chunks(MOST_ROWS) {
            let progress = Progress {
                label: "comparing what is written".into(),
                done,
                total: Some(total as u64),
                unit: "units",
            };
            if watch(&progress).is_break() {
                return Err(Error::Model(ecco_models::Error::Interrupted));
            }
            done += some.len() as u64;
            let Some(written) = corpus.written(of.layer, some)? else {
                return Ok(None);
            };
            let rows = rows(model, &written)?;
            cosines.extend(guard(|| Ok(host::numbers(&cosine(&rows, &own))))?);
        }
        all.push(cosines);
    }
    Ok(Some(all))
}

/// `[row]` of `[row, hidden]` with `[1, hidden]`; NaN of what writes nothing.
fn cosine(rows: &Tensor, own: &Tensor) -> Tensor {
    let unit = |x: &Tensor| {
        let x = x.to_kind(Kind::Double);
        let lengths = x.norm_scalaropt_dim(2, [-1], true);
        x / lengths
    };
    unit(rows).matmul(&unit(own).tr()).squeeze_dim(1)
}
