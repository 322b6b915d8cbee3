//! The second half of a layer: neurons.

use tch::{Kind, Tensor};

use crate::config::{Activation, Config, Mlp as MlpConfig};
use crate::error::Result;
use crate::host;
use crate::layers::Linear;
use crate::rules::Rule;
use crate::tap::{Site, Tap};
use crate::weights::Weights;

/// A layer's neurons.
pub struct Mlp {
    pub activation: Activation,
    pub shape: Shape,
}

pub enum Shape {
    /// down(act(up x)).
    Plain {
        up: Linear,
        down: Linear,
    },
    Gated(Gated),
    Experts(Experts),
}

/// Several of which a router chooses a few for each token (1701.06538).
pub struct Experts {
    pub router: Linear,
    pub experts: Vec<Gated>,
    pub n_chosen: i64,
    /// The chosen ones' weights are made to sum to 1.
    pub normalised: bool,
}

/// down(act(gate x) · up x) (2002.05202).
pub struct Gated {
    pub input: GatedInput,
    pub down: Linear,
}

pub enum GatedInput {
    Separate {
        gate: Linear,
        up: Linear,
    },
    /// Gate and up side by side.
    Joined(Linear),
}

impl Mlp {
    pub fn load(config: &Config, layer: usize, weights: &mut Weights) -> Result<Self> {
        let (hidden, inner) = (config.hidden_size, config.intermediate_size);
        let name = config.name_in_layer(layer, "mlp");
        let shape = match &config.mlp {
            MlpConfig::Plain { bias } => Shape::Plain {
                up: Linear::load(weights, &format!("{name}.up"), hidden, inner, *bias)?,
                down: Linear::load(weights, &format!("{name}.down"), inner, hidden, *bias)?,
            },
            MlpConfig::Gated { bias, joined } => {
                Shape::Gated(Gated::load(weights, &name, hidden, inner, *bias, *joined)?)
            }
            MlpConfig::Experts {
                layers, dense_size, ..
            } if !layers[layer] => {
                Shape::Gated(Gated::load(weights, &name, hidden, *dense_size, false, false)?)
            }
            MlpConfig::Experts {
                n_experts,
                n_chosen,
                normalised,
                ..
            } => Shape::Experts(Experts {
                router: Linear::load(weights, &format!("{name}.router"), hidden, *n_experts, false)?,
                experts: (0..*n_experts)
                    .map(|expert| {
                        Gated::load(
                            weights,
                            &format!("{name}.experts.{expert}"),
                            hidden,
                            inner,
                            false,
                            false,
                        )
                    })
                    .collect::<Result<_>>()?,
                n_chosen: *n_chosen as i64,
                normalised: *normalised,
            }),
        };
        Ok(Self {
            activation: config.activation,
            shape,
        })
    }

    pub fn forward(&self, x: &Tensor, layer: usize, tap: &mut dyn Tap) -> Tensor {
        match &self.shape {
            Shape::Plain { up, down } => {
                let pre = tap.visit(Site::MlpPre, layer, up.forward(x));
                let inner = tap.activate(self.activation, &pre);
                down.forward(&tap.visit(Site::MlpInner, layer, inner))
            }
            Shape::Gated(gated) => {
                let (gate, up) = gated.input(x);
                let gate = tap.visit(Site::MlpPre, layer, gate);
                let up = tap.visit(Site::MlpUp, layer, up);
                let inner = tap.rule().product(&tap.activate(self.activation, &gate), &up);
                gated.down.forward(&tap.visit(Site::MlpInner, layer, inner))
            }
            Shape::Experts(experts) if tap.rule() == Rule::Rescale => self.mix_all(experts, x, layer, tap),
            Shape::Experts(experts) => self.mix(experts, x, layer, tap),
        }
    }

    /// Each token goes through the few experts that the router rates highest, and their outputs are added,
    /// weighted by its softmax (1701.06538).
    fn mix(&self, experts: &Experts, x: &Tensor, layer: usize, tap: &mut dyn Tap) -> Tensor {
        let Experts {
            router,
            experts,
            n_chosen,
            normalised,
        } = experts;
        let hidden = x.size()[x.dim() - 1];
        let tokens = x.reshape([-1, hidden]);
        let rule = tap.rule();
        let (weights, chosen) = route(router, &tokens, *n_chosen, *normalised, rule);
        let places = routes(&chosen, experts.len());
        let seen = tap.wants(Site::MlpInner, layer).then(|| {
            let inner =
                |(index, expert): (usize, &Gated)| self.expert_inner(expert, &tokens, &places[index].0, tap);
            let inners: Vec<Tensor> = experts.iter().enumerate().map(inner).collect();
            let size = [&x.size()[..x.dim() - 1], &[-1]].concat();
            let inners = tap.visit(Site::MlpInner, layer, Tensor::cat(&inners, -1).reshape(size));
            inners.flatten(0, -2).chunk(experts.len() as i64, -1) // by expert: [token, neuron]
        });
        let mut sum = tokens.zeros_like();
        for (index, expert) in experts.iter().enumerate() {
            let (token, rank) = &places[index];
            if token.numel() == 0 {
                continue;
            }
            let inner = match &seen {
                Some(inners) => inners[index].index_select(0, token),
                None => self.inner(expert, &tokens.index_select(0, token), tap),
            };
            let weight = weights.index(&[Some(token), Some(rank)]).unsqueeze(-1);
            sum = sum.index_add(0, token, &(expert.down.forward(&inner) * weight));
        }
        sum.reshape(x.size())
    }

    /// How much of each neuron's activation goes along `direction`, `[hidden]`, in what the MLP makes of one token's
    /// `x`, `[hidden]`: `[neuron]`, as [`Site::MlpInner`] has them.
    pub fn neurons_along(&self, x: &Tensor, direction: &Tensor) -> Tensor {
        let along = |down: &Linear| down.along(direction);
        match &self.shape {
            Shape::Plain { down, .. } | Shape::Gated(Gated { down, .. }) => along(down),
            Shape::Experts(Experts {
                router,
                experts,
                n_chosen,
                normalised,
            }) => {
                let (weights, chosen) =
                    route(router, &x.unsqueeze(0), *n_chosen, *normalised, Rule::Gradient);
                let none = Tensor::zeros([1, experts.len() as i64], (x.kind(), x.device()));
                let weights = none.scatter_add(1, &chosen, &weights).squeeze_dim(0); // [expert]
                let each = experts.iter().enumerate();
                let each: Vec<Tensor> = each
                    .map(|(index, expert)| along(&expert.down) * weights.get(index as i64))
                    .collect();
                Tensor::cat(&each, 0)
            }
        }
    }

    /// What each of some neurons adds to the MLP's output by 1 of activation, `[neuron, hidden]`: rows of its second
    /// projection. Neurons are numbered as [`Site::MlpInner`] has them; of experts without the router's weight.
    pub fn neuron_writes(&self, neurons: &[usize]) -> Tensor {
        let write = |&neuron: &usize| {
            let (down, at) = self.down_of(neuron);
            let (kind, device) = down.place();
            let one = Tensor::zeros([1, down.inputs()], (kind, device));
            let one = one.index_fill(1, &host::index(&[at as i64], device), 1.0);
            down.linear(&one)
        };
        Tensor::cat(&neurons.iter().map(write).collect::<Vec<_>>(), 0)
    }

    /// Sums of the same by weights, `[sum, neuron]` to `[sum, hidden]`.
    pub fn sums_write(&self, by: &Tensor) -> Tensor {
        match &self.shape {
            Shape::Plain { down, .. } | Shape::Gated(Gated { down, .. }) => down.linear(by),
            Shape::Experts(experts) => {
                let parts = by.split(experts.experts[0].down.inputs(), -1);
                let each = experts.experts.iter().zip(&parts);
                let each: Vec<Tensor> = each.map(|(expert, part)| expert.down.linear(part)).collect();
                Tensor::stack(&each, 0).sum_dim_intlist(0, false, None::<Kind>)
            }
        }
    }

    /// How many neurons there are, those of all experts side by side.
    pub fn n_neurons(&self) -> usize {
        match &self.shape {
            Shape::Plain { down, .. } | Shape::Gated(Gated { down, .. }) => down.inputs() as usize,
            Shape::Experts(experts) => experts.experts.iter().map(|e| e.down.inputs() as usize).sum(),
        }
    }

    /// The projection that a neuron goes through, and the neuron's number there.
    fn down_of(&self, neuron: usize) -> (&Linear, usize) {
        match &self.shape {
            Shape::Plain { down, .. } | Shape::Gated(Gated { down, .. }) => (down, neuron),
            Shape::Experts(experts) => {
                let size = experts.experts[0].down.inputs() as usize;
                (&experts.experts[neuron / size].down, neuron % size)
            }
        }
    }

    /// What the MLP adds whatever its neurons do.
    pub fn output_bias(&self) -> Option<&Tensor> {
        match &self.shape {
            Shape::Plain { down, .. } | Shape::Gated(Gated { down, .. }) => down.bias.as_ref(),
            Shape::Experts(_) => None,
        }
    }

    /// The same through all experts at all tokens: the two halves of a batch may go through different ones.
    fn mix_all(&self, experts: &Experts, x: &Tensor, layer: usize, tap: &mut dyn Tap) -> Tensor {
        let Experts {
            router,
            experts,
            n_chosen,
            normalised,
        } = experts;
        let rule = tap.rule();
        let rated = rule.softmax(&router.forward(x).to_kind(wide(x.kind()))); // [batch, position, expert]
        let chosen = rated.detach().topk(*n_chosen, -1, true, false).1;
        let mask = rated.detach().zeros_like().scatter_value(-1, &chosen, 1.0);
        let mut weights = rule.chosen(&rated, &mask);
        if *normalised {
            weights = rule.over_sum(&weights);
        }
        let weights = weights.to_kind(x.kind());
        let inners: Vec<Tensor> = experts.iter().map(|expert| self.inner(expert, x, tap)).collect();
        let inners = match tap.wants(Site::MlpInner, layer) {
            true => tap
                .visit(Site::MlpInner, layer, Tensor::cat(&inners, -1))
                .chunk(experts.len() as i64, -1),
            false => inners,
        };
        let each = experts.iter().zip(inners).enumerate();
        let outputs = each.map(|(index, (expert, inner))| {
            let weight = weights.narrow(-1, index as i64, 1);
            rule.product(&weight, &expert.down.forward(&inner))
        });
        outputs
            .reduce(|sum, output| sum + output)
            .unwrap_or_else(|| x.zeros_like())
    }

    fn inner(&self, expert: &Gated, x: &Tensor, tap: &mut dyn Tap) -> Tensor {
        let (gate, up) = expert.input(x);
        tap.rule().product(&tap.activate(self.activation, &gate), &up)
    }

    /// An expert's neurons at all tokens, 0 at those that do not go through it.
    fn expert_inner(&self, expert: &Gated, tokens: &Tensor, chosen: &Tensor, tap: &mut dyn Tap) -> Tensor {
        let inner = self.inner(expert, &tokens.index_select(0, chosen), tap);
        let size = [tokens.size()[0], inner.size()[1]];
        Tensor::zeros(size, (inner.kind(), inner.device())).index_copy(0, chosen, &inner)
    }
}

/// Which experts each token, `[token, hidden]`, goes through, and with what weights: both `[token, rank]`.
fn route(router: &Linear, tokens: &Tensor, n_chosen: i64, normalised: bool, rule: Rule) -> (Tensor, Tensor) {
    let rated = router.forward(tokens).softmax(-1, wide(tokens.kind())); // [token, expert]
    let (mut weights, chosen) = rule.held(&rated).topk(n_chosen, -1, true, false);
    if normalised {
        weights = &weights / weights.sum_dim_intlist(-1, true, None::<Kind>);
    }
    (weights.to_kind(tokens.kind()), chosen)
}

/// By expert the tokens that go through it, in their order, and as which of their experts. How many these are decides
/// which products there are, so the counts cross to the host, once a layer.
fn routes(chosen: &Tensor, n_experts: usize) -> Vec<(Tensor, Tensor)> {
    let n_chosen = chosen.size()[1];
    let flat = chosen.flatten(0, -1); // [(token, rank)]
    let (_, order) = flat.sort_stable(true, 0, false);
    let numbers = Tensor::arange(n_experts as i64, (Kind::Int64, flat.device()));
    let counts = flat
        .unsqueeze(1)
        .eq_tensor(&numbers)
        .sum_dim_intlist(0, false, Kind::Int64);
    let mut start = 0;
    let part = |count: i64| {
        start += count;
        let places = order.narrow(0, start - count, count);
        (
            places.divide_scalar_mode(n_chosen, "floor"),
            places.remainder(n_chosen),
        )
    };
    host::ids(&counts).into_iter().map(part).collect()
}

/// Single precision at least.
fn wide(kind: Kind) -> Kind {
    if kind == Kind::Double { kind } else { Kind::Float }
}

impl Gated {
    fn load(
        weights: &mut Weights,
        name: &str,
        hidden: usize,
        inner: usize,
        bias: bool,
        joined: bool,
    ) -> Result<Self> {
        let mut linear = |part: &str, inputs, outputs| {
            Linear::load(weights, &format!("{name}.{part}"), inputs, outputs, bias)
        };
        let input = match joined {
            true => GatedInput::Joined(linear("gate_up", hidden, 2 * inner)?),
            false => GatedInput::Separate {
                gate: linear("gate", hidden, inner)?,
                up: linear("up", hidden, inner)?,
            },
        };
        Ok(Self {
            input,
            down: linear("down", inner, hidden)?,
        })
    }

    /// gate x and up x.
    pub fn input(&self, x: &Tensor) -> (Tensor, Tensor) {
        match &self.input {
            GatedInput::Separate { gate, up } => (gate.forward(x), up.forward(x)),
            GatedInput::Joined(both) => {
                let both = both.forward(x);
                let inner = both.size()[both.dim() - 1] / 2;
                (both.narrow(-1, 0, inner), both.narrow(-1, inner, inner))
            }
        }
    }

    /// Cotangents of gate x and up x to that of x.
    pub fn input_backward(&self, gate: &Tensor, up: &Tensor) -> Tensor {
        match &self.input {
            GatedInput::Separate {
                gate: to_gate,
                up: to_up,
            } => to_gate.backward(gate) + to_up.backward(up),
            GatedInput::Joined(both) => both.backward(&Tensor::cat(&[gate, up], -1)),
        }
    }
}
