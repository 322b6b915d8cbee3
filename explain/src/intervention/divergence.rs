//! How far a model's predictions are from another's along one text, token by token.

use ecco_interpreter::{Progress, Watch};
use ecco_models::Model;
use ecco_models::config::{Reading, Task};
use ecco_models::guard::guard;
use ecco_models::host;
use ecco_models::run::{self, Input};
use ecco_models::tap::{NoTap, ReportTap};
use tch::{Kind, Tensor};

use crate::error::{Result, refuse};

/// By position of the text (of an encoder–decoder: of what was written), about what each of them predicts.
#[derive(Debug, Clone, PartialEq)]
pub struct Divergence {
    /// KL(reference ‖ changed) = Σ p ln(p / q) over the vocabulary, in nats.
    pub kl: Vec<f64>,
    pub reference: Vec<Prediction>,
    pub changed: Vec<Prediction>,
}

/// What a model predicts at a position.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Prediction {
    /// The most probable token (or label), and how probable it is.
    pub id: u32,
    pub probability: f64,
    /// How probable the token is that follows in the text, where one does.
    pub of_next: Option<f64>,
}

/// How many positions go through the heads together: some tensors as wide as the vocabulary each.
const HEAD_ROWS: usize = 64;

/// One pass of each model over the text; `reference` and `changed` may be views on one model.
///
/// # Errors
/// [`Error::Option`](crate::Error::Option) for models whose predictions are not about the same tokens or labels.
pub fn divergence(
    reference: &Model,
    changed: &Model,
    input: &Input,
    watch: &mut Watch,
) -> Result<Divergence> {
    check(reference, changed)?;
    let total = (reference.config().n_layers + changed.config().n_layers) as u64;
    let mut done = 0;
    let mut report = |_: usize| {
        done += 1;
        watch(&Progress {
            label: "comparing".into(),
            done: done - 1,
            total: Some(total),
            unit: "layers",
        })
    };
    // Labels are of what stands there, not of what follows.
    let ids = match reference.config().task {
        Task::Label(_) => &[],
        _ => input.spoken(),
    };
    Ok(guard(|| {
        let mut pass = |model: &Model| {
            let mut own = ReportTap {
                tap: NoTap,
                report: &mut report,
            };
            run::states(model, std::slice::from_ref(input), &mut own, &mut NoTap)
        };
        let states = [pass(reference)?, pass(changed)?];
        let mut all = Divergence {
            kl: Vec::new(),
            reference: Vec::new(),
            changed: Vec::new(),
        };
        let n_positions = n_positions(reference, &states[0]);
        for start in (0..n_positions).step_by(HEAD_ROWS) {
            let n = HEAD_ROWS.min(n_positions - start);
            let log_p = log_probabilities(reference, &states[0], start, n)?; // [position, token]
            let log_q = log_probabilities(changed, &states[1], start, n)?;
            let kl = (log_p.exp() * (&log_p - &log_q)).sum_dim_intlist(-1, false, None::<Kind>);
            let next = ids.get(start + 1..).unwrap_or(&[]);
            all.extend(&kl, [&log_p, &log_q].map(|log| predicted(log, next)));
        }
        Ok(all)
    })?)
}

fn check(reference: &Model, changed: &Model) -> Result<()> {
    let (task, other) = (&reference.config().task, &changed.config().task);
    let says_same = match (task, other) {
        (Task::Label(one), Task::Label(other)) => {
            one.names == other.names && one.of == other.of && one.reading == Reading::OneOf
        }
        (Task::NextToken, Task::NextToken) | (Task::MaskedToken(_), Task::MaskedToken(_)) => {
            reference.config().vocab_size == changed.config().vocab_size
        }
        _ => false,
    };
    if says_same {
        return Ok(());
    }
    let alike = match (task, other) {
        (Task::Label(one), Task::Label(other)) if one.reading == other.reading => why_not(one.reading),
        _ => None,
    };
    let reason = alike.unwrap_or("they have to be distributions over the same tokens or labels");
    let of = reference.name();
    let reason = format!("its predictions cannot be compared with those of {of}: {reason}");
    Err(refuse("model", changed.name(), reason))
}

/// Why there is no divergence of what is read so, even of two models of one kind.
fn why_not(reading: Reading) -> Option<&'static str> {
    match reading {
        Reading::OneOf => None,
        Reading::Each => Some(
            "each label is the case or not by itself, so that there is no one distribution over labels, but a probability for each",
        ),
        Reading::Value => Some("they are values, which have no probabilities"),
        Reading::Place => Some(
            "where an answer starts and where it ends are distributions over places of the text, one for all of it and not one at \
             each position",
        ),
    }
}

/// How many predictions there are of states, `[batch, position, size]`.
pub(crate) fn n_positions(model: &Model, states: &Tensor) -> usize {
    match model.config().task.is_of_text() {
        true => 1,
        false => states.size()[1] as usize,
    }
}

/// In double precision, since a small divergence is a sum of much larger terms: `[position, token]`.
pub(crate) fn log_probabilities(
    model: &Model,
    states: &Tensor,
    start: usize,
    n: usize,
) -> ecco_models::error::Result<Tensor> {
    let states = match model.config().task.is_of_text() {
        true => states.shallow_clone(),
        false => states.narrow(1, start as i64, n as i64),
    };
    let logits = run::said(model, &states)?;
    let width = logits.size()[logits.dim() - 1];
    Ok(logits.reshape([-1, width]).log_softmax(-1, Kind::Double))
}

/// What is predicted at each position, in three rows: the most probable token, how probable it is, and how probable the
/// one is that follows; as far as such are known, the others have 0.
fn predicted(log_p: &Tensor, next: &[u32]) -> Predicted {
    let (best, ids) = log_p.max_dim(-1, false);
    let n = log_p.size()[0];
    let n_next = next.len().min(n as usize);
    let mut index: Vec<i64> = next[..n_next].iter().map(|&id| i64::from(id)).collect();
    index.resize(n as usize, 0);
    let index = host::tensor(&index, log_p.device()).unsqueeze(1);
    let of_next = log_p.gather(1, &index, false).squeeze_dim(1).exp();
    Predicted {
        numbers: Tensor::stack(&[ids.to_kind(Kind::Double), best.exp(), of_next], 0),
        n_next,
    }
}

struct Predicted {
    numbers: Tensor, // [3, position]
    /// How many positions have a token that follows.
    n_next: usize,
}

impl Divergence {
    /// Adds what was found at some positions; one crossing.
    fn extend(&mut self, kl: &Tensor, predicted: [Predicted; 2]) {
        let [reference, changed] = &predicted;
        let [kl, of_reference, of_changed] =
            host::numbers_of_each([kl, &reference.numbers, &changed.numbers]);
        let n = kl.len();
        let one = |numbers: &[f64], n_next: usize, at: usize| Prediction {
            id: numbers[at] as u32,
            probability: numbers[n + at],
            of_next: (at < n_next).then(|| numbers[2 * n + at]),
        };
        // Rounding may leave a sum of equals a little below 0.
        self.kl
            .extend(kl.into_iter().map(|kl| if kl < 0.0 { 0.0 } else { kl }));
        self.reference
            .extend((0..n).map(|at| one(&of_reference, reference.n_next, at)));
        self.changed
            .extend((0..n).map(|at| one(&of_changed, changed.n_next, at)));
    }
}
