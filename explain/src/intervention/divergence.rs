//! How far a model's predictions are from another's along one text, token by token.

use ecco_interpreter::{Progress, Watch};
use ecco_models::Model;
use ecco_models::config::Task;
use ecco_models::guard::guard;
use ecco_models::run::{self, Input};
use ecco_models::tap::{NoTap, ReportTap};
use tch::{Device, Kind, Tensor};

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
    let ids = input.spoken();
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
        let n_positions = match reference.config().task {
            Task::Label(_) => 1,
            _ => ids.len(),
        };
        for start in (0..n_positions).step_by(HEAD_ROWS) {
            let n = HEAD_ROWS.min(n_positions - start);
            let log_p = log_probabilities(reference, &states[0], start, n)?; // [position, token]
            let log_q = log_probabilities(changed, &states[1], start, n)?;
            let kl = (log_p.exp() * (&log_p - &log_q)).sum_dim_intlist(-1, false, None::<Kind>);
            // Rounding may leave a sum of equals a little below 0.
            all.kl.extend(numbers(&kl)?.into_iter().map(|kl| kl.max(0.0)));
            let next = ids.get(start + 1..).unwrap_or(&[]);
            all.reference.extend(predicted(&log_p, next)?);
            all.changed.extend(predicted(&log_q, next)?);
        }
        Ok(all)
    })?)
}

fn check(reference: &Model, changed: &Model) -> Result<()> {
    let (task, other) = (&reference.config().task, &changed.config().task);
    let says_same = match (task, other) {
        (Task::Label(one), Task::Label(other)) => one.names == other.names && !one.independent,
        (Task::NextToken, Task::NextToken) | (Task::MaskedToken(_), Task::MaskedToken(_)) => {
            reference.config().vocab_size == changed.config().vocab_size
        }
        _ => false,
    };
    match says_same {
        true => Ok(()),
        false => Err(refuse(
            "model",
            changed.name(),
            format!(
                "its predictions cannot be compared with those of {}: they have to be distributions over the same \
                 tokens or labels",
                reference.name()
            ),
        )),
    }
}

/// In double precision, since a small divergence is a sum of much larger terms: `[position, token]`.
fn log_probabilities(
    model: &Model,
    states: &Tensor,
    start: usize,
    n: usize,
) -> ecco_models::error::Result<Tensor> {
    let states = match model.config().task {
        Task::Label(_) => states.shallow_clone(),
        _ => states.narrow(1, start as i64, n as i64),
    };
    let logits = run::said(model, &states)?;
    let width = logits.size()[logits.dim() - 1];
    Ok(logits.reshape([-1, width]).log_softmax(-1, Kind::Double))
}

fn predicted(log_p: &Tensor, next: &[u32]) -> ecco_models::error::Result<Vec<Prediction>> {
    let (best, ids) = log_p.max_dim(-1, false);
    let (best, n) = (numbers(&best.exp())?, log_p.size()[0] as usize);
    let ids = numbers(&ids)?;
    let known = next.len().min(n);
    let index: Vec<i64> = next[..known].iter().map(|&id| i64::from(id)).collect();
    let of_next = match known {
        0 => vec![],
        _ => {
            let index = Tensor::from_slice(&index).to_device(log_p.device()).unsqueeze(1);
            let rows = log_p.narrow(0, 0, known as i64);
            numbers(&rows.gather(1, &index, false).squeeze_dim(1).exp())?
        }
    };
    let one = |at: usize| Prediction {
        id: ids[at] as u32,
        probability: best[at],
        of_next: of_next.get(at).copied(),
    };
    Ok((0..n).map(one).collect())
}

/// A row of numbers on the host.
pub(super) fn numbers(x: &Tensor) -> ecco_models::error::Result<Vec<f64>> {
    let x = x.to_device(Device::Cpu).to_kind(Kind::Double);
    Vec::<f64>::try_from(x).map_err(|error: tch::TchError| ecco_models::Error::Torch {
        message: error.to_string(),
    })
}
