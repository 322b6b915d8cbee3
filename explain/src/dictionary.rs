//! What a dictionary says of a text: its features, how well they stand for what they are made of, and what an answer owes
//! to them.
//!
//! - [`encode`]: features that are active at each position, reconstruction and error
//! - [`loss_recovered`]: what the model loses with the reconstruction in the place of the value
//! - [`attribute_features`]: an answer by features, error and bias
//! - [`described`]: features by their weights
//! - [`mod@training`]: dictionaries that are trained on texts; [`autoencoder`]: a step of it; `reservoir`: what it reads

mod attribution;
pub mod autoencoder;
mod reservoir;
pub mod training;

use std::cell::RefCell;
use std::rc::Rc;

use ecco_interpreter::Watch;
use ecco_models::device::ensure_room;
use ecco_models::dictionary::reading::check;
use ecco_models::dictionary::{Dictionary, FeatureChange, FeatureEdit, Spot, flat};
use ecco_models::edit::{Change, Edit, Part};
use ecco_models::guard::guard;
use ecco_models::host::{self, bring, matrix};
use ecco_models::run::{self, Input};
use ecco_models::tap::{Capture, ReportTap};
use ecco_models::{Model, Place, Site};
use ndarray::{Array1, Array2, Axis, Ix1};
use tch::{Device, Kind, Tensor};

use crate::attribution::work::Work;
use crate::error::{Result, refuse};
use crate::score::score;

pub use attribution::{FeatureAttribution, attribute_features};

/// A text in features.
#[derive(Debug, Clone, PartialEq)]
pub struct Encoding {
    /// By position the features that are active there and their activations, strongest first.
    pub active: Vec<Vec<(u32, f32)>>,
    /// What the dictionary makes of the place that it writes, (position, number); of a cross-layer transcoder by the features of
    /// layers below, too.
    pub reconstruction: Array2<f32>,
    /// What stands there less that.
    pub error: Array2<f32>,
    /// By position the squared lengths of what stands there and of the error.
    pub squares: Vec<[f64; 2]>,
    pub quality: Quality,
}

/// How well a reconstruction stands for what it is made of, over positions from one on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Quality {
    pub n_positions: usize,
    /// 1 − Σ‖x − x̂‖² / Σ‖x − mean x‖²; no number where all positions are alike.
    pub explained: f64,
    /// Features that are active at a position, on average.
    pub l0: f64,
}

/// Encodings that are computed between two looks at the interrupt: 16 MB in float32.
const MOST_NUMBERS: i64 = 4 << 20;

/// The features of a text. `from`: the first position that quality is measured over.
///
/// # Errors
/// For a text that the model cannot take, and no room for what is active.
pub fn encode(
    model: &Model,
    input: &Input,
    dictionary: &Dictionary,
    from: usize,
    watch: &mut Watch,
) -> Result<Encoding> {
    input.check(model)?;
    check(dictionary, model)?;
    let mut work = Work::new(watch, "encoding".into(), "positions", 1);
    Ok(guard(|| {
        let (reads, own) = values(model, input, dictionary, &mut work)?; // [position, number]
        let (n, from) = (own.size()[0], (from as i64).min(own.size()[0] - 1));
        work.total = n as u64;
        let (mut active, mut made) = (Vec::new(), Vec::new());
        for x in by_rows(&reads, rows_at_once(dictionary)) {
            let (earlier, own) = x.split_at(x.len() - 1);
            let code = dictionary.encode(&own[0]);
            active.extend(sparse(&code.activations)?);
            let all = dictionary.decode(&code);
            made.push(match dictionary.written_by_earlier(earlier) {
                Some(earlier) => all + earlier,
                None => all,
            });
            work.advance(own[0].size()[0] as u64)?;
        }
        let made = Tensor::cat(&made, 0);
        let error = &own - &made;
        let square = |x: &Tensor| {
            x.to_kind(Kind::Double)
                .square()
                .sum_dim_intlist(-1, false, Kind::Double)
        };
        let counted = own.narrow(0, from, n - from).to_kind(Kind::Double);
        let varied = square(&(&counted - counted.mean_dim(0, true, Kind::Double))).sum(Kind::Double);
        let (of_own, of_error) = (square(&own), square(&error));
        let unexplained = of_error.narrow(0, from, n - from).sum(Kind::Double);
        let [varied, unexplained, of_own, of_error] =
            host::numbers_of_each([&varied, &unexplained, &of_own, &of_error]);
        let n_active: usize = active[from as usize..].iter().map(Vec::len).sum();
        let n_positions = (n - from) as usize;
        Ok(Encoding {
            reconstruction: matrix(&made),
            error: matrix(&error),
            squares: of_own
                .into_iter()
                .zip(of_error)
                .map(|(own, error)| [own, error])
                .collect(),
            quality: Quality {
                n_positions,
                explained: 1.0 - unexplained[0] / varied[0],
                l0: n_active as f64 / n_positions as f64,
            },
            active,
        })
    })?)
}

/// Rows that are encoded together.
pub(crate) fn rows_at_once(dictionary: &Dictionary) -> i64 {
    (MOST_NUMBERS / dictionary.n_features() as i64).max(1)
}

/// What is not 0 in `[row, feature]`, by row, largest first.
fn sparse(x: &Tensor) -> ecco_models::error::Result<Vec<Vec<(u32, f32)>>> {
    let found = sparse_pairs(x)?;
    let single = |row: Vec<(u32, f64)>| {
        row.into_iter()
            .map(|(feature, value)| (feature, value as f32))
            .collect()
    };
    Ok(found.into_iter().map(single).collect())
}

/// The same in double precision, by absolute values.
pub(crate) fn sparse_pairs(x: &Tensor) -> ecco_models::error::Result<Vec<Vec<(u32, f64)>>> {
    let counts = host::ids(&x.ne(0.0).sum_dim_intlist(-1, false, Kind::Int64)); // [row]
    let most = counts.iter().copied().max().unwrap_or(0);
    let needed = 3 * 16 * counts.len() as u64 * most as u64;
    ensure_room(
        Device::Cpu,
        needed,
        "features that are active at a text's positions",
    )?;
    let (_, index) = x.abs().topk(most, -1, true, true); // [row, most]
    let values = x.gather(-1, &index, false);
    let [index, values] = host::numbers_of_each([&index, &values]);
    let width = most as usize;
    let row = |(at, n): (usize, &i64)| {
        let of = at * width..at * width + *n as usize;
        let features = index[of.clone()].iter().map(|feature| *feature as u32);
        features.zip(values[of].iter().copied()).collect::<Vec<_>>()
    };
    let mut by_row: Vec<Vec<(u32, f64)>> = counts.iter().enumerate().map(row).collect();
    for row in &mut by_row {
        row.sort_by(|one, other| other.1.abs().total_cmp(&one.1.abs()).then(one.0.cmp(&other.0)));
    }
    Ok(by_row)
}

/// Tensors `[position, …]`, some positions of all at a time.
pub(crate) fn by_rows(all: &[Tensor], n_at_once: i64) -> Vec<Vec<Tensor>> {
    let n = all.first().map_or(0, |x| x.size()[0]);
    let starts = (0..n).step_by(n_at_once.max(1) as usize);
    let rows = |start: i64| {
        let n = n_at_once.min(n - start);
        all.iter().map(|x| x.narrow(0, start, n)).collect()
    };
    starts.map(rows).collect()
}

/// Where the layers of a cross-layer transcoder read whose features write where this one does, lowest first, itself last.
pub(crate) fn places_read(dictionary: &Dictionary) -> Vec<Spot> {
    let earlier = dictionary.earlier().iter().map(|below| below.reads);
    earlier.chain([dictionary.reads]).collect()
}

/// What a dictionary and those whose features write where it does read, its own last, and what stands where it writes:
/// `[position, number]`, as it computes with.
fn values(
    model: &Model,
    input: &Input,
    dictionary: &Dictionary,
    work: &mut Work,
) -> ecco_models::error::Result<(Vec<Tensor>, Tensor)> {
    let reads = places_read(dictionary);
    let layers: Vec<usize> = reads.iter().map(|spot| spot.layer).collect();
    let capture = |encoder: bool| {
        let spots = [dictionary.reads, dictionary.writes];
        let of_stack = spots.iter().filter(|spot| spot.place.encoder == encoder);
        let sites: Vec<Site> = of_stack.map(|spot| spot.place.site).collect();
        Capture::new(&sites, Some(&layers))
    };
    let work = RefCell::new(work);
    let mut report = |_: usize| work.borrow_mut().report();
    let mut of_encoder = |_: usize| work.borrow_mut().report();
    let mut own = ReportTap {
        tap: capture(false),
        report: &mut report,
    };
    let mut encoder = ReportTap {
        tap: capture(true),
        report: &mut of_encoder,
    };
    let _ = run::states(model, std::slice::from_ref(input), &mut own, &mut encoder)?;
    let seen = |spot: Spot| {
        let capture = if spot.place.encoder {
            &encoder.tap
        } else {
            &own.tap
        };
        let value = flat(capture.tensor(spot.place.site, spot.layer)).get(0);
        bring(&value, dictionary.place())
    };
    let own = seen(dictionary.writes);
    Ok((reads.into_iter().map(seen).collect(), own))
}

/// What the text costs the model, in nats a token: as it is, with the reconstruction in the value's place, and with 0 there.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LossRecovered {
    pub plain: f64,
    pub reconstructed: f64,
    pub ablated: f64,
}

impl LossRecovered {
    /// (ablated − reconstructed) / (ablated − plain): 1 where the reconstruction does as well as the value.
    pub fn share(&self) -> f64 {
        (self.ablated - self.reconstructed) / (self.ablated - self.plain)
    }
}

/// Three passes over a text of two tokens or more; the value is replaced from a position on.
///
/// # Errors
/// For a model that does not write from left to right, and a text that it cannot take.
pub fn loss_recovered(
    model: &Model,
    input: &Input,
    dictionary: &Rc<Dictionary>,
    from: usize,
    watch: &mut Watch,
) -> Result<LossRecovered> {
    check(dictionary, model)?;
    let mut loss = |model: &Model| -> Result<f64> {
        let scores = score(model, input, 1, watch)?;
        let sum: f64 = scores.iter().map(|score| score.log_probability).sum();
        Ok(-sum / scores.len() as f64)
    };
    let positions = Some(vec![from..usize::MAX]);
    let reconstructed = FeatureEdit::edits(dictionary, &[], FeatureChange::Reconstruct, positions.clone());
    let ablated = Edit {
        place: dictionary.writes.place,
        layer: dictionary.writes.layer,
        part: Part::Whole,
        positions,
        change: Change::Set(0.0),
    };
    let with = |edits: Vec<Edit>| Ok::<_, crate::Error>(model.edited(&model.edits(edits)?));
    Ok(LossRecovered {
        plain: loss(model)?,
        reconstructed: loss(&with(reconstructed)?)?,
        ablated: loss(&with(vec![ablated])?)?,
    })
}

/// Refuses what the dictionary does not have, and a feature that is named twice.
pub(crate) fn check_features(dictionary: &Dictionary, features: &[usize]) -> Result<()> {
    let n = dictionary.n_features();
    if let Some(feature) = features.iter().find(|&&feature| feature >= n) {
        let reason = format!("the dictionary has {n} features, numbered 0 to {}", n - 1);
        return Err(refuse("features", feature, reason));
    }
    let mut sorted = features.to_vec();
    sorted.sort_unstable();
    match sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(refuse("features", pair[0], "it is named twice")),
        None => Ok(()),
    }
}

/// A feature by its weights.
#[derive(Debug, Clone, PartialEq)]
pub struct FeatureWeights {
    /// What it writes for each unit of its activation, (layer, number): of a cross-layer transcoder in every layer from its own
    /// on, of others in one.
    pub writes: Array2<f32>,
    /// What it is read along.
    pub reads: Array1<f32>,
    pub bias: f64,
    /// Of a JumpReLU.
    pub threshold: Option<f64>,
}

impl FeatureWeights {
    /// What it writes in all layers together.
    pub fn writes_in_all(&self) -> Array1<f32> {
        self.writes.sum_axis(Axis(0))
    }
}

/// # Errors
/// A feature that the dictionary does not have.
pub fn described(dictionary: &Dictionary, feature: usize) -> Result<FeatureWeights> {
    check_features(dictionary, &[feature])?;
    Ok(guard(|| {
        let (reads, bias) = dictionary.readers(&[feature]);
        let row = |x: &Tensor| {
            let array = host::array(&x.get(0)).into_dimensionality::<Ix1>();
            array.unwrap_or_else(|_| Array1::zeros(0))
        };
        let writes: Vec<Tensor> = dictionary
            .layers()
            .map(|layer| dictionary.directions(layer, &[feature]).get(0))
            .collect();
        Ok(FeatureWeights {
            writes: matrix(&Tensor::stack(&writes, 0)),
            reads: row(&reads),
            bias: host::number(&bias),
            threshold: dictionary
                .thresholds(&[feature])
                .map(|threshold| host::number(&threshold)),
        })
    })?)
}

/// Whether what it writes is added to the residual stream, so that it can be read in the vocabulary.
pub fn writes_to_stream(dictionary: &Dictionary) -> bool {
    is_stream(dictionary.writes.place)
}

/// Whether what stands there is the decoder's residual stream, or is added to it.
pub fn is_stream(place: Place) -> bool {
    use Site::{AttentionOutput, MlpOutput, ResidualAfter, ResidualBefore, ResidualMid};
    let sites = [
        ResidualBefore,
        ResidualMid,
        ResidualAfter,
        AttentionOutput,
        MlpOutput,
    ];
    !place.encoder && sites.contains(&place.site)
}
