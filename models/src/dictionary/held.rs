//! Features in a pass by the frozen rule ([`Rule::Frozen`](crate::Rule)): which are active, and by what the input is divided, stay
//! as they were. Activations are affine in what is read then, whatever the dictionary's own rule.

use tch::{Kind, Tensor};

use super::{ActivationRule, Dictionary, Preparation};

/// Features at positions where they are active.
pub struct Held {
    /// Activations, and what of them is constant: `[2, active]`.
    pub values: Tensor,
    /// What each writes for a unit of its activation, by layer from its own on: `[active, output]`.
    pub directions: Vec<Tensor>,
    /// What stands whatever the features: the bias, and what goes by them: `[2, position, output]`.
    pub rest: Tensor,
}

impl Dictionary {
    /// Of what a transcoder reads, `[2, position, input]`, whose second half has constants alone; `positions` and `features`,
    /// `[active]`, say what is active where.
    pub fn held(&self, x: &Tensor, positions: &Tensor, features: &Tensor) -> Held {
        let prepared = match self.preparation {
            Preparation::BeforeGain { centred, epsilon } => {
                let x = match centred {
                    true => x - x.mean_dim(-1, true, None::<Kind>),
                    false => x.shallow_clone(),
                };
                let own = x.narrow(0, 0, 1).detach().square();
                let square = own.mean_dim(-1, true, None::<Kind>);
                x * (square + epsilon).rsqrt()
            }
            // What norms what it reads undoes that where it writes: it is no transcoder.
            Preparation::Plain | Preparation::LayerNorm | Preparation::ConstantNorm => x.shallow_clone(),
        };
        let input = match &self.input_bias {
            Some(bias) => &prepared - bias,
            None => prepared.shallow_clone(),
        };
        let readers = self.encoder.index_select(1, features).tr(); // [active, input]
        let rows = input.index_select(1, positions); // [2, active, input]
        let product = (rows * readers).sum_dim_intlist(-1, false, None::<Kind>);
        let of = |x: &Tensor| x.index_select(0, features);
        let values = match self.rule {
            ActivationRule::Gated => product * of(&self.levels[0]) + of(&self.levels[1]),
            ActivationRule::Relu | ActivationRule::JumpRelu | ActivationRule::TopK(_) => {
                product + of(&self.bias)
            }
        };
        let size = [x.size()[0], x.size()[1], self.n_outputs() as i64];
        let bias = self.output_bias.expand(size, false);
        Held {
            values,
            directions: self.layers().map(|layer| of(self.decoder_at(layer))).collect(),
            rest: match &self.skip {
                Some(skip) => bias + prepared.matmul(skip),
                None => bias,
            },
        }
    }
}
