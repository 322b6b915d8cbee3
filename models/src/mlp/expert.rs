//! One of several MLPs.

use tch::Tensor;

use super::{Gated, GatedInput};
use crate::config::{ExpertStorage, Experts};
use crate::error::Result;
use crate::layers::Linear;
use crate::weight::Weight;
use crate::weights::Weights;

/// down(act(gate x) · up x), or down(act(up x)).
pub enum Expert {
    Gated(Gated),
    Plain { up: Linear, down: Linear },
}

impl Expert {
    pub(super) fn load(
        weights: &mut Weights,
        name: &str,
        [hidden, inner]: [usize; 2],
        [gated, bias]: [bool; 2],
    ) -> Result<Self> {
        if gated {
            return Ok(Self::Gated(Gated::load(
                weights, name, hidden, inner, bias, false,
            )?));
        }
        Ok(Self::Plain {
            up: Linear::load(weights, &format!("{name}.up"), hidden, inner, bias)?,
            down: Linear::load(weights, &format!("{name}.down"), inner, hidden, bias)?,
        })
    }

    pub fn down(&self) -> &Linear {
        match self {
            Self::Gated(Gated { down, .. }) | Self::Plain { down, .. } => down,
        }
    }
}

/// Experts that are stored together: views on one tensor.
pub(super) fn stacked(
    weights: &mut Weights,
    name: &str,
    [hidden, inner]: [usize; 2],
    of: &Experts,
) -> Result<Vec<Expert>> {
    let (n, in_turn) = (of.n_experts, of.storage == ExpertStorage::StackedInTurn);
    let mut linears = |part: &str, inputs: usize, outputs: usize| -> Result<Vec<Linear>> {
        let shape = match in_turn {
            true => [n, inputs, outputs],
            false => [n, outputs, inputs],
        };
        let all = weights.take(&format!("{name}.{part}.weight"), &shape)?;
        let bias = match of.bias {
            true => Some(weights.take(&format!("{name}.{part}.bias"), &[n, outputs])?),
            false => None,
        };
        let one = |expert: i64| {
            let of_expert = |all: &Tensor| match all.defined() {
                true => all.get(expert),
                false => all.shallow_clone(),
            };
            let weight = Weight::from(of_expert(&all));
            let weight = if in_turn { weight } else { weight.tr() };
            Linear::new(weight, bias.as_ref().map(of_expert), None)
        };
        Ok((0..n as i64).map(one).collect())
    };
    let inputs = match of.gated {
        true => linears("gate_up", hidden, 2 * inner)?,
        false => linears("up", hidden, inner)?,
    };
    let downs = linears("down", inner, hidden)?;
    let expert = |(up, down)| match (of.gated, in_turn) {
        (false, _) => Expert::Plain { up, down },
        (true, true) => Expert::Gated(Gated {
            input: GatedInput::InTurn(up),
            down,
        }),
        (true, false) => Expert::Gated(Gated {
            input: GatedInput::Joined(up),
            down,
        }),
    };
    Ok(inputs.into_iter().zip(downs).map(expert).collect())
}
