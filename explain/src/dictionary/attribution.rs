//! What an answer owes to features: a_f (W_dec\[f\] · ∂f/∂x), with what the dictionary leaves out and what it always adds beside
//! them, so that all of it sums to x · ∂f/∂x (Marks et al. 2024, 2403.19647).

use std::cell::RefCell;
use std::rc::Rc;

use ecco_interpreter::Watch;
use ecco_models::dictionary::reading::check;
use ecco_models::dictionary::{Dictionary, FeatureChange, FeatureEdit, flat};
use ecco_models::guard::guard;
use ecco_models::host::{self, bring};
use ecco_models::run::{self, Input};
use ecco_models::{Model, Rule};
use tch::{Kind, Tensor};

use super::{by_rows, places_read, rows_at_once, sparse_pairs};
use crate::attribution::work::{Work, WorkTap};
use crate::attribution::{Completeness, Objective, Target};
use crate::error::Result;
use crate::sites::ensure_room_for;
use crate::sites::pass::{Change, Look, Start, pass};

/// An answer by what stood at the place that a dictionary writes.
#[derive(Debug, Clone, PartialEq)]
pub struct FeatureAttribution {
    /// The answer itself.
    pub answer: f64,
    /// By position the contributions of features that are active there, largest first, by what they write in their layer.
    pub contributions: Vec<Vec<(u32, f64)>>,
    /// Of a cross-layer transcoder the same by what they write in all layers behind: by position.
    pub later: Vec<Vec<(u32, f64)>>,
    /// And by layer below, and position, what features of these contribute by what they write here.
    pub earlier: Vec<Vec<f64>>,
    /// By position that of the error, x − x̂.
    pub error: Vec<f64>,
    /// By position that of what stands whatever the features: the bias, a mean that is taken off, a skip connection.
    pub rest: Vec<f64>,
    /// By position x · ∂f/∂x, which the others but `later` sum to.
    pub whole: Vec<f64>,
    /// Of the features that were asked for what the answer loses when they are taken out at all positions, the error kept.
    pub measured: Vec<(u32, f64)>,
}

impl FeatureAttribution {
    /// By feature the sum over positions, and the layers that it writes in, largest first: what taking it out is predicted to do.
    pub fn totals(&self) -> Vec<(u32, f64)> {
        let each = self.contributions.iter().chain(&self.later).flatten();
        sums(each.copied().collect())
    }

    /// Of features that are active at a position what they contribute, largest first; `None` where there is no such position.
    pub fn at(&self, position: usize) -> Option<Vec<(u32, f64)>> {
        let own = self.contributions.get(position)?;
        let later = self.later.get(position).into_iter().flatten();
        Some(sums(own.iter().chain(later).copied().collect()))
    }

    /// What features, error and rest sum to at the place that is written.
    pub fn sum(&self) -> f64 {
        let features = self.contributions.iter().flatten().map(|(_, value)| value);
        let earlier = self.earlier.iter().flatten();
        features.chain(earlier).chain(&self.error).chain(&self.rest).sum()
    }

    /// Whether that is x · ∂f/∂x.
    pub fn completeness(&self) -> Completeness {
        Completeness::of_sum(self.sum(), self.whole.iter().sum())
    }
}

/// By feature, largest first.
fn sums(mut all: Vec<(u32, f64)>) -> Vec<(u32, f64)> {
    all.sort_by_key(|(feature, _)| *feature);
    let sums = all.chunk_by(|one, other| one.0 == other.0);
    let mut sums: Vec<(u32, f64)> = sums
        .map(|of_one| (of_one[0].0, of_one.iter().map(|(_, value)| value).sum()))
        .collect();
    sums.sort_by(|one, other| other.1.abs().total_cmp(&one.1.abs()).then(one.0.cmp(&other.0)));
    sums
}

/// One pass and one back, and a pass for each of the `n_measured` features that contribute most.
///
/// # Errors
/// For a target that the model does not say of this text; no room.
pub fn attribute_features(
    model: &Model,
    input: &Input,
    dictionary: &Rc<Dictionary>,
    target: &Target,
    n_measured: usize,
    watch: &mut Watch,
) -> Result<FeatureAttribution> {
    check(dictionary, model)?;
    let explained = Objective::new(model, input, std::slice::from_ref(target))?;
    ensure_room_for(&explained, 1, "contributions of features")?;
    let total = 1 + n_measured as u64;
    let mut work = Work::new(watch, "contributions of features".into(), "passes", total);
    Ok(guard(|| {
        let (answer, rows) = at_the_text(model, input, dictionary, target, &mut work)?;
        work.advance(1)?;
        let mut found = parts(dictionary, &rows)?;
        found.answer = answer;
        let top: Vec<u32> = found
            .totals()
            .iter()
            .take(n_measured)
            .map(|total| total.0)
            .collect();
        for feature in top {
            let change = FeatureChange::Scale(0.0);
            let edits = model.edits(FeatureEdit::edits(dictionary, &[feature as usize], change, None))?;
            let edited = model.edited(&edits);
            let states = run::forward(&edited, input, &mut WorkTap(&mut work))?;
            let without = host::number(&target.of_states(&edited, &states, Rule::Gradient)?);
            found.measured.push((feature, answer - without));
            work.advance(1)?;
        }
        Ok(found)
    })?)
}

/// What a dictionary's part of a text is made of: `[position, number]`.
struct Rows {
    /// By layer whose features write there, its own last.
    reads: Vec<Tensor>,
    value: Tensor,
    /// In each layer that its features write in.
    gradients: Vec<Tensor>,
}

/// The answer, and what is read and written there.
fn at_the_text(
    model: &Model,
    input: &Input,
    dictionary: &Dictionary,
    target: &Target,
    work: &mut Work,
) -> ecco_models::error::Result<(f64, Rows)> {
    let writes = dictionary.writes;
    let places = places_read(dictionary);
    let read: Vec<RefCell<Option<Tensor>>> = places.iter().map(|_| RefCell::new(None)).collect();
    let keep: Vec<_> = read
        .iter()
        .map(|read| {
            |x: &Tensor| {
                *read.borrow_mut() = Some(x.detach());
                x.shallow_clone()
            }
        })
        .collect();
    let changes: Vec<Change> = places
        .iter()
        .zip(&keep)
        .map(|(spot, make)| Change {
            place: spot.place,
            layer: spot.layer,
            make,
        })
        .collect();
    let answer = |states: &Tensor| target.of_states(model, states, Rule::Gradient);
    let layers: Vec<usize> = dictionary.layers().collect();
    let look = Look {
        answer: &answer,
        place: writes.place,
        layers: Some(&layers),
        rule: Rule::Gradient,
    };
    let start = Start::Texts(std::slice::from_ref(input));
    let (answers, seen) = pass(model, start, &look, &changes, work)?;
    let no_site = || ecco_models::Error::NoSite {
        site: writes.place.name(),
        layer: Some(writes.layer),
    };
    let rows = |x: &Tensor| bring(&flat(x).get(0), dictionary.place());
    let of = |layer: usize| seen.iter().find(|seen| seen.layer == layer).ok_or_else(no_site);
    let value = rows(&of(writes.layer)?.value);
    let gradients = layers.iter().map(|layer| Ok(rows(&of(*layer)?.gradient)));
    let gradients = gradients.collect::<ecco_models::error::Result<_>>()?;
    let reads = read
        .iter()
        .map(|read| Ok(rows(&read.take().ok_or_else(no_site)?)));
    let rows = Rows {
        reads: reads.collect::<ecco_models::error::Result<_>>()?,
        value,
        gradients,
    };
    Ok((host::number(&answers), rows))
}

/// All but the answer.
fn parts(dictionary: &Dictionary, rows: &Rows) -> ecco_models::error::Result<FeatureAttribution> {
    let n_earlier = dictionary.earlier().len();
    let mut found = FeatureAttribution {
        answer: f64::NAN,
        contributions: Vec::new(),
        later: Vec::new(),
        earlier: vec![Vec::new(); n_earlier],
        error: Vec::new(),
        rest: Vec::new(),
        whole: Vec::new(),
        measured: Vec::new(),
    };
    let own = dictionary.writes.layer;
    let all: Vec<Tensor> = rows
        .reads
        .iter()
        .chain([&rows.value])
        .chain(&rows.gradients)
        .map(Tensor::shallow_clone)
        .collect();
    for some in by_rows(&all, rows_at_once(dictionary)) {
        let (reads, some) = some.split_at(n_earlier + 1);
        let (y, slopes) = (&some[0], &some[1..]);
        let code = dictionary.encode(&reads[n_earlier]);
        let owed = dictionary.contributions(own, &code, &slopes[0]); // [position, feature]
        found.contributions.extend(sparse_pairs(&owed)?);
        let behind = slopes.iter().zip(dictionary.layers()).skip(1);
        let behind = behind.map(|(slope, layer)| dictionary.contributions(layer, &code, slope));
        if let Some(later) = behind.reduce(|all, one| all + one) {
            found.later.extend(sparse_pairs(&later)?);
        }
        let along = |x: &Tensor| {
            let product = x.to_kind(Kind::Double) * slopes[0].to_kind(Kind::Double);
            product.sum_dim_intlist(-1, false, Kind::Double)
        };
        let mut made = dictionary.decode(&code);
        for (at, (below, x)) in dictionary.earlier().iter().zip(reads).enumerate() {
            let written = below.writes_at(own, x);
            found.earlier[at].extend(host::numbers(&along(&written)));
            made += written;
        }
        let error = y - made;
        let rest = code.rest.expand_as(y);
        let [error, rest, whole] = host::numbers_of_each([&along(&error), &along(&rest), &along(y)]);
        found.error.extend(error);
        found.rest.extend(rest);
        found.whole.extend(whole);
    }
    Ok(found)
}
