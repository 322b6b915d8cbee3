//! States that are carried from position to position: linear attention with decays, with or without the delta rule.

use tch::{Kind, Tensor};

use crate::attention::LayerMemory;
use crate::config::CHUNK;
use crate::guard::heed_interrupt;
use crate::host;
use crate::rules::Rule;
use crate::tap::{Site, Tap};

/// S = decay · S₋₁ + k uᵀ, of which a position reads Sᵀ q. u is the position's value v; by the delta rule (2406.06484) with a rate β
/// it is β (v − (decay · S₋₁)ᵀ k), what the state does not have of it yet.
///
/// All are in single precision at least.
pub struct Recurrence {
    /// q and k, `[batch, head, position, key]`, or with one head for all.
    pub query: Tensor,
    pub key: Tensor,
    /// v, `[batch, head, position, value]`.
    pub value: Tensor,
    /// Logarithms of decays, of a head, `[batch, head, position, 1]`, or of each number of its keys.
    pub log_decay: Tensor,
    /// β, `[batch, head, position, 1]`.
    pub rate: Option<Tensor>,
}

impl Recurrence {
    /// What is read at each position, `[batch, head, position, value]`, behind what a memory has kept as its second state, in the
    /// model's type.
    pub fn forward(
        self,
        kind: Kind,
        memory: Option<&LayerMemory>,
        layer: usize,
        rule: Rule,
        tap: &mut dyn Tap,
    ) -> Tensor {
        let recurrence = self.held(rule);
        let start = memory.and_then(|memory| memory.state(1));
        let start = start.unwrap_or_else(|| recurrence.nothing());
        let (outputs, state) = match recurrence.has_chunks(rule) {
            true => recurrence.by_chunks(&start),
            false => recurrence.one_by_one(&start, rule, &mut |_| ()),
        };
        let outputs = match tap.wants(Site::RecurrentState, layer) {
            true => recurrence
                .other_states(&start, kind, layer, rule, tap)
                .map_or(outputs, |states| recurrence.read(&states, rule)),
            false => outputs,
        };
        // Not before: the state at the start is in the same place.
        if let Some(memory) = memory {
            memory.keep(1, &state);
        }
        tap.visit(Site::RecurrentOutput, layer, outputs.to_kind(kind))
    }

    /// The states that a tap puts in the place of those that positions read, or whose gradient is taken:
    /// `[batch, head, position, key · value]`. What is carried on stays. `None` where it only looks: that must not move what
    /// follows, not even by rounding.
    fn other_states(
        &self,
        start: &Tensor,
        kind: Kind,
        layer: usize,
        rule: Rule,
        tap: &mut dyn Tap,
    ) -> Option<Tensor> {
        let mut states = Vec::new();
        let _ = self.one_by_one(start, rule, &mut |state| states.push(state.flatten(2, 3)));
        let own = Tensor::stack(&states, 2).to_kind(kind);
        let seen = tap.visit(Site::RecurrentState, layer, own.shallow_clone());
        let is_own = || seen.data_ptr() == own.data_ptr() || host::same(&seen, &own);
        (seen.requires_grad() || !is_own()).then_some(seen)
    }

    /// Sᵀ q of states `[batch, head, position, key · value]`.
    fn read(&self, states: &Tensor, rule: Rule) -> Tensor {
        let states = states
            .to_kind(self.query.kind())
            .unflatten(-1, [self.query.size()[3], -1]);
        rule.matmul(&self.query.unsqueeze(-2), &states).squeeze_dim(-2)
    }

    /// Where a rule holds what is not linear, the state is linear in the values.
    fn held(self, rule: Rule) -> Self {
        Self {
            query: rule.held(&self.query),
            key: rule.held(&self.key),
            log_decay: rule.held(&self.log_decay),
            rate: self.rate.as_ref().map(|rate| rule.held(rate)),
            value: self.value,
        }
    }

    /// The state before the first position, `[batch, head, key, value]`.
    fn nothing(&self) -> Tensor {
        let size = self.value.size();
        let size = [size[0], size[1], self.key.size()[3], size[3]];
        Tensor::zeros(size, (self.value.kind(), self.value.device()))
    }

    /// Decays of each number of a key do not go into products of positions, and by the rescale rule each step counts.
    fn has_chunks(&self, rule: Rule) -> bool {
        self.value.size()[2] > 1 && self.log_decay.size()[3] == 1 && rule != Rule::Rescale
    }

    /// One position after the other; `see` is shown each state `[batch, head, key, value]`. Gives what is read and the last
    /// state.
    fn one_by_one(&self, start: &Tensor, rule: Rule, see: &mut dyn FnMut(&Tensor)) -> (Tensor, Tensor) {
        let mut state = start.shallow_clone();
        let read = (0..self.value.size()[2]).map(|position| {
            heed_interrupt();
            let at = |x: &Tensor| x.narrow(2, position, 1);
            let (key, value) = (at(&self.key), at(&self.value));
            let decay = rule.exp(&at(&self.log_decay)).transpose(-2, -1);
            let decayed = rule.product(&decay, &state);
            let written = match &self.rate {
                Some(rate) => rule.product(&at(rate), &(value - rule.matmul(&key, &decayed))),
                None => value,
            };
            state = decayed + rule.matmul(&key.transpose(-2, -1), &written);
            see(&state);
            rule.matmul(&at(&self.query), &state)
        });
        let read: Vec<Tensor> = read.collect();
        (Tensor::cat(&read, 2), state)
    }

    /// Some positions at once (2412.06464): within a part all that was written before is a triangular product, which by the
    /// delta rule is solved for what is written.
    fn by_chunks(&self, start: &Tensor) -> (Tensor, Tensor) {
        let n = self.value.size()[2];
        let mut state = start.shallow_clone();
        let mut read = Vec::new();
        for first in (0..n).step_by(CHUNK) {
            heed_interrupt();
            let part = |x: &Tensor| x.narrow(2, first, (CHUNK as i64).min(n - first));
            let (query, key, value) = (part(&self.query), part(&self.key), part(&self.value));
            let log = part(&self.log_decay).cumsum(2, None::<Kind>); // [batch, head, position, 1]
            let upper =
                Tensor::ones([value.size()[2], value.size()[2]], (Kind::Bool, value.device())).triu(1);
            let between = (&log - log.transpose(-2, -1))
                .masked_fill(&upper, f64::NEG_INFINITY)
                .exp();
            let since = log.exp();
            let written = match &self.rate {
                Some(rate) => {
                    let rate = part(rate);
                    let rated = &key * &rate;
                    let system = rated.matmul(&key.transpose(-2, -1)) * &between;
                    let there = (rated * &since).matmul(&state);
                    system.linalg_solve_triangular(&(value * rate - there), false, true, true)
                }
                None => value,
            };
            let within = query.matmul(&key.transpose(-2, -1)) * &between;
            read.push((&query * &since).matmul(&state) + within.matmul(&written));
            let last = log.narrow(2, log.size()[2] - 1, 1);
            let until = key * (&last - &log).exp();
            state = state * last.exp() + until.transpose(-2, -1).matmul(&written);
        }
        (Tensor::cat(&read, 2), state)
    }
}
