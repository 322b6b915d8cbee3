//! Which experts a token goes through, and with what weights (1701.06538).

use tch::{Kind, Tensor};

use crate::config::{ExpertGroups, Experts, GroupRating, Rating};
use crate::error::Result;
use crate::layers::{Linear, sigmoid_slope};
use crate::rules::Rule;
use crate::weights::Weights;

pub(super) struct Router {
    linear: Linear,
    rating: Rating,
    /// What counts in the choice and not in the weights, `[expert]` or `[1, expert]`.
    choice_bias: Option<Tensor>,
    groups: Option<ExpertGroups>,
    n_chosen: i64,
    /// The chosen ones' weights are made to sum to 1.
    normalised: bool,
    /// Factor on the weights.
    scale: f64,
    /// Factors on the numbers that it reads, `[hidden]`, and on each expert's weight, `[expert]`.
    scales: Option<[Tensor; 2]>,
}

impl Router {
    pub(super) fn load(hidden: usize, of: &Experts, name: &str, weights: &mut Weights) -> Result<Self> {
        let linear = Linear::load(weights, &format!("{name}.router"), hidden, of.n_experts, of.bias)?;
        let choice_bias = match of.choice_bias {
            Some(dimensions) => {
                let shape = [vec![1; dimensions - 1], vec![of.n_experts]].concat();
                Some(weights.take(&format!("{name}.choice_bias"), &shape)?)
            }
            None => None,
        };
        let scales = match of.apart {
            true => {
                let input = weights.take(&format!("{name}.router_scale"), &[hidden])?;
                let of_experts = weights.take(&format!("{name}.expert_scale"), &[of.n_experts])?;
                // What is missing is said when all of it is known.
                let input = match input.defined() {
                    true => input * (hidden as f64).powf(-0.5),
                    false => input,
                };
                Some([input, of_experts])
            }
            false => None,
        };
        Ok(Self {
            linear,
            rating: of.rating,
            choice_bias,
            groups: of.groups,
            n_chosen: of.n_chosen as i64,
            normalised: of.normalised,
            scale: of.scale,
            scales,
        })
    }

    /// Which experts each token, `[token, hidden]`, goes through, and with what weights: both `[token, rank]`.
    pub(super) fn route(&self, tokens: &Tensor, rule: Rule) -> (Tensor, Tensor) {
        let scores = rule.held(&self.scores(tokens)); // [token, expert]
        let (weights, chosen) = match self.rating {
            Rating::Mixer { closeness } => {
                let each = one_by_one(&scores, closeness).map(|(compared, chosen)| {
                    let weight = compared.softmax(-1, None::<Kind>).gather(-1, &chosen, false);
                    (weight, chosen)
                });
                let [(weight, first), (next, second)] = each;
                (
                    Tensor::cat(&[weight, next], -1),
                    Tensor::cat(&[first, second], -1),
                )
            }
            _ => {
                let rated = self.rate(&scores, Rule::Gradient);
                let chosen = self.choose(&rated);
                (rated.gather(-1, &chosen, false), chosen)
            }
        };
        let weights = match self.normalised {
            true => &weights / weights.sum_dim_intlist(-1, true, None::<Kind>),
            false => weights,
        };
        let weights = match &self.scales {
            Some([_, of_experts]) => {
                weights
                    * of_experts
                        .index_select(0, &chosen.flatten(0, -1))
                        .view_as(&chosen)
            }
            None => weights * self.scale,
        };
        (weights.to_kind(tokens.kind()), chosen)
    }

    /// The weights of all experts, 0 where they are not chosen, `[.., expert]`, differentiated by a rule that compares two
    /// halves, which may choose different ones.
    pub(super) fn weights(&self, x: &Tensor, rule: Rule) -> Tensor {
        let scores = self.scores(x);
        let of = |rated: &Tensor, chosen: &Tensor| {
            let mask = rated.detach().zeros_like().scatter_value(-1, chosen, 1.0);
            rule.chosen(rated, &mask)
        };
        let weights = match self.rating {
            Rating::Mixer { closeness } => {
                // What is compared may be others in the other half, too.
                let rated = rule.softmax(&scores);
                let [first, second] = one_by_one(&scores, closeness).map(|(compared, chosen)| {
                    let near = compared.isfinite().to_kind(rated.kind());
                    of(&rule.over_sum(&rule.chosen(&rated, &near)), &chosen)
                });
                first + second
            }
            _ => {
                let rated = self.rate(&scores, rule);
                let chosen = self.choose(&rated.detach());
                of(&rated, &chosen)
            }
        };
        let weights = match self.normalised {
            true => rule.over_sum(&weights),
            false => weights,
        };
        match &self.scales {
            Some([_, of_experts]) => weights * of_experts,
            None => weights * self.scale,
        }
    }

    /// In single precision at least.
    fn scores(&self, x: &Tensor) -> Tensor {
        let kind = if x.kind() == Kind::Double {
            Kind::Double
        } else {
            Kind::Float
        };
        let scores = match &self.scales {
            Some([input, _]) => self.linear.forward(&(x * input)),
            None => self.linear.forward(x),
        };
        scores.to_kind(kind)
    }

    fn rate(&self, scores: &Tensor, rule: Rule) -> Tensor {
        match self.rating {
            Rating::Sigmoid => rule.elementwise(scores, Tensor::sigmoid, sigmoid_slope),
            _ => rule.softmax(scores),
        }
    }

    /// The experts that are rated highest, `[.., rank]`.
    fn choose(&self, rated: &Tensor) -> Tensor {
        let rated = match &self.choice_bias {
            Some(bias) => rated + bias,
            None => rated.shallow_clone(),
        };
        let rated = match self.groups {
            Some(groups) => of_best_groups(&rated, groups),
            None => rated,
        };
        rated.topk(self.n_chosen, -1, true, false).1
    }
}

/// Experts `[.., expert]` of the groups that are rated highest; the others' numbers are the lowest there are.
fn of_best_groups(rated: &Tensor, groups: ExpertGroups) -> Tensor {
    let by_group = rated.unflatten(-1, [groups.n_groups as i64, -1]); // [.., group, expert of it]
    let of_group = match groups.rating {
        GroupRating::Best => by_group.amax([-1], false),
        GroupRating::BestTwo => {
            let best = by_group.topk(2, -1, true, false).0;
            best.sum_dim_intlist(-1, false, None::<Kind>)
        }
    };
    let chosen = of_group.topk(groups.n_chosen as i64, -1, true, false).1;
    let others = of_group.ones_like().scatter_value(-1, &chosen, 0.0);
    let others = others.to_kind(Kind::Bool).unsqueeze(-1);
    by_group.masked_fill(&others, f64::NEG_INFINITY).flatten(-2, -1)
}

/// SparseMixer's two choices (2409.12136), the second without the first: of each the scores that it is compared with, those
/// further away than `closeness` of the best being −∞, `[.., expert]`, and which it is, `[.., 1]`.
fn one_by_one(scores: &Tensor, closeness: f64) -> [(Tensor, Tensor); 2] {
    let choose = |left: &Tensor| {
        let (best, chosen) = left.detach().max_dim(-1, true);
        let scale = scores.detach().abs().maximum(&best);
        let far = ((&best - scores.detach()) / scale).gt(2.0 * closeness);
        (left.masked_fill(&far, f64::NEG_INFINITY), chosen)
    };
    let first = choose(scores);
    let left = scores.scatter_value(-1, &first.1, f64::NEG_INFINITY);
    let second = choose(&left);
    [first, second]
}
