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

use super::{rows_at_once, sparse_pairs};
use crate::attribution::work::{Work, WorkTap};
use crate::attribution::{Completeness, Objective, Target};
use crate::error::Result;
use crate::sites::ensure_room_for;
use crate::sites::pass::{Change, Look, Seen, Start, pass};

/// An answer by what stood at the place that a dictionary writes.
#[derive(Debug, Clone, PartialEq)]
pub struct FeatureAttribution {
    /// The answer itself.
    pub answer: f64,
    /// By position the contributions of features that are active there, largest first.
    pub contributions: Vec<Vec<(u32, f64)>>,
    /// By position that of the error, x − x̂.
    pub error: Vec<f64>,
    /// By position that of what stands whatever the features: the bias, a mean that is taken off, a skip connection.
    pub rest: Vec<f64>,
    /// By position x · ∂f/∂x, which the others sum to.
    pub whole: Vec<f64>,
    /// Of the features that were asked for what the answer loses when they are taken out at all positions, the error kept.
    pub measured: Vec<(u32, f64)>,
}

impl FeatureAttribution {
    /// By feature the sum over positions, largest first.
    pub fn totals(&self) -> Vec<(u32, f64)> {
        let mut all: Vec<(u32, f64)> = self.contributions.iter().flatten().copied().collect();
        all.sort_by_key(|(feature, _)| *feature);
        let sums = all.chunk_by(|one, other| one.0 == other.0);
        let mut sums: Vec<(u32, f64)> = sums
            .map(|of_one| (of_one[0].0, of_one.iter().map(|(_, value)| value).sum()))
            .collect();
        sums.sort_by(|one, other| other.1.abs().total_cmp(&one.1.abs()).then(one.0.cmp(&other.0)));
        sums
    }

    /// What features, error and rest sum to.
    pub fn sum(&self) -> f64 {
        let features = self.contributions.iter().flatten().map(|(_, value)| value);
        features.chain(&self.error).chain(&self.rest).sum()
    }

    /// Whether that is x · ∂f/∂x.
    pub fn completeness(&self) -> Completeness {
        Completeness::of_sum(self.sum(), self.whole.iter().sum())
    }
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
        let (answer, [read, value, gradient]) = at_the_text(model, input, dictionary, target, &mut work)?;
        work.advance(1)?;
        let mut found = parts(dictionary, [&read, &value, &gradient])?;
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

/// The answer; what is read, what stands where it is written, and the gradient there: `[position, number]`.
fn at_the_text(
    model: &Model,
    input: &Input,
    dictionary: &Dictionary,
    target: &Target,
    work: &mut Work,
) -> ecco_models::error::Result<(f64, [Tensor; 3])> {
    let (reads, writes) = (dictionary.reads, dictionary.writes);
    let read: RefCell<Option<Tensor>> = RefCell::new(None);
    let keep = |x: &Tensor| {
        *read.borrow_mut() = Some(x.detach());
        x.shallow_clone()
    };
    let change = Change {
        place: reads.place,
        layer: reads.layer,
        make: &keep,
    };
    let answer = |states: &Tensor| target.of_states(model, states, Rule::Gradient);
    let look = Look {
        answer: &answer,
        place: writes.place,
        layers: Some(&[writes.layer]),
        rule: Rule::Gradient,
    };
    let start = Start::Texts(std::slice::from_ref(input));
    let (answers, mut seen) = pass(model, start, &look, &[change], work)?;
    let no_site = || ecco_models::Error::NoSite {
        site: writes.place.name(),
        layer: Some(writes.layer),
    };
    let Seen { value, gradient, .. } = seen.pop().ok_or_else(no_site)?;
    let read = read.take().ok_or_else(no_site)?;
    let rows = |x: &Tensor| bring(&flat(x).get(0), dictionary.place());
    Ok((
        host::number(&answers),
        [rows(&read), rows(&value), rows(&gradient)],
    ))
}

/// All but the answer.
fn parts(
    dictionary: &Dictionary,
    [read, value, gradient]: [&Tensor; 3],
) -> ecco_models::error::Result<FeatureAttribution> {
    let mut found = FeatureAttribution {
        answer: f64::NAN,
        contributions: Vec::new(),
        error: Vec::new(),
        rest: Vec::new(),
        whole: Vec::new(),
        measured: Vec::new(),
    };
    let n = rows_at_once(dictionary);
    let chunks = read.split(n, 0).into_iter();
    for ((x, y), slope) in chunks.zip(value.split(n, 0)).zip(gradient.split(n, 0)) {
        let code = dictionary.encode(&x);
        let owed = dictionary.contributions(&code, &slope); // [position, feature]
        found.contributions.extend(sparse_pairs(&owed)?);
        let along = |x: &Tensor| {
            let product = x.to_kind(Kind::Double) * slope.to_kind(Kind::Double);
            product.sum_dim_intlist(-1, false, Kind::Double)
        };
        let error = &y - dictionary.decode(&code);
        let rest = code.rest.expand_as(&y);
        let [error, rest, whole] = host::numbers_of_each([&along(&error), &along(&rest), &along(&y)]);
        found.error.extend(error);
        found.rest.extend(rest);
        found.whole.extend(whole);
    }
    Ok(found)
}
