//! Several MLPs of which a router chooses a few for each token (1701.06538).

use tch::{Kind, Tensor};

use super::ends::Ends;
use super::expert::{Expert, stacked};
use super::router::Router;
use crate::attention::clip_slope;
use crate::config::{Activation, Config, ExpertStorage, Experts as ExpertsConfig, SharedExpert};
use crate::error::Result;
use crate::host;
use crate::layers::{Linear, sigmoid_slope};
use crate::rules::Rule;
use crate::tap::{NoTap, Site, Tap};
use crate::weights::Weights;

pub struct Experts {
    router: Router,
    experts: Vec<Expert>,
    shared: Option<Shared>,
    /// What stands around the chosen experts, and around the shared one.
    of_chosen: Ends,
    of_shared: Ends,
    activation: Activation,
    /// up x is cut off there, and 1 added.
    up_limit: Option<f64>,
}

/// An expert that every token goes through.
struct Shared {
    expert: Expert,
    /// A sigmoid of it is the expert's weight, which else is 1.
    gate: Option<Linear>,
}

impl Experts {
    pub fn load(config: &Config, of: &ExpertsConfig, name: &str, weights: &mut Weights) -> Result<Self> {
        let (hidden, inner) = (config.hidden_size, config.intermediate_size);
        let size = [of.latent.unwrap_or(hidden), inner];
        let router = Router::load(hidden, of, name, weights)?;
        let name_of_experts = format!("{name}.experts");
        // Some families' files have them either way.
        let is_stacked =
            ["gate_up", "up"].map(|part| weights.has(&format!("{name_of_experts}.{part}.weight")));
        let one = |expert: usize| {
            let name = format!("{name_of_experts}.{expert}");
            Expert::load(weights, &name, size, [of.gated, of.bias])
        };
        let experts = match of.storage {
            ExpertStorage::Each if is_stacked == [false; 2] => {
                (0..of.n_experts).map(one).collect::<Result<_>>()?
            }
            _ => stacked(weights, &name_of_experts, size, of)?,
        };
        let [of_chosen, of_shared] = Ends::load(config, of, name, weights)?;
        let shared = match of.shared {
            Some(shared) => Some(Shared::load(weights, name, hidden, (of, shared))?),
            None => None,
        };
        Ok(Self {
            router,
            experts,
            shared,
            of_chosen,
            of_shared,
            activation: config.activation,
            up_limit: of.up_limit,
        })
    }

    pub fn forward(&self, x: &Tensor, layer: usize, tap: &mut dyn Tap) -> Tensor {
        match tap.rule() {
            Rule::Rescale => self.mix_all(x, layer, tap),
            _ => self.mix(x, layer, tap),
        }
    }

    /// All experts, the shared one last.
    pub fn each(&self) -> impl Iterator<Item = &Expert> {
        let shared = self.shared.iter().map(|shared| &shared.expert);
        self.experts.iter().chain(shared)
    }

    /// How many neurons each has.
    pub fn sizes(&self) -> Vec<i64> {
        self.each().map(|expert| expert.down().inputs()).collect()
    }

    /// The number of a neuron's expert, the expert, and the neuron's number there.
    pub fn of_neuron(&self, mut neuron: usize) -> (usize, &Expert, usize) {
        for (index, expert) in self.each().enumerate() {
            match expert.down().inputs() as usize {
                size if neuron >= size => neuron -= size,
                _ => return (index, expert, neuron),
            }
        }
        (0, &self.experts[0], neuron)
    }

    /// The linear part of what an expert's output comes to in the stream.
    pub fn written(&self, index: usize, output: &Tensor) -> Tensor {
        self.ends(index).linear(output)
    }

    fn ends(&self, index: usize) -> &Ends {
        if index < self.experts.len() {
            &self.of_chosen
        } else {
            &self.of_shared
        }
    }

    /// How much of each neuron's activation goes along `direction`, `[hidden]`, in what becomes of one token's `x`, `[hidden]`:
    /// `[neuron]`.
    pub fn along(&self, x: &Tensor, direction: &Tensor) -> Tensor {
        let tokens = x.unsqueeze(0);
        let weights = self.weights(&tokens).squeeze_dim(0); // [expert]
        let made = |of_shared: usize| {
            let routed = self.router.route(&tokens, Rule::Gradient);
            let sums = self.sums(&tokens, routed, None, &mut NoTap);
            sums[of_shared]
                .as_ref()
                .map_or_else(|| x.zeros_like(), |sum| sum.squeeze_dim(0))
        };
        let directions = [
            self.of_chosen.back(|| made(0), direction),
            self.of_shared.back(|| made(1), direction),
        ];
        let along = |(index, expert): (usize, &Expert)| {
            let direction = &directions[usize::from(index >= self.experts.len())];
            expert.down().along(direction) * weights.get(index as i64)
        };
        Tensor::cat(&self.each().enumerate().map(along).collect::<Vec<_>>(), 0)
    }

    /// The weights of all experts for tokens `[token, hidden]`, 0 where they are not chosen: `[token, expert]`.
    pub fn weights(&self, tokens: &Tensor) -> Tensor {
        let (weights, chosen) = self.router.route(tokens, Rule::Gradient);
        let weights = self.of_all(&weights, &chosen);
        match &self.shared {
            Some(shared) => {
                let weight = shared.weight(tokens, Rule::Gradient);
                let one = || Tensor::ones([tokens.size()[0], 1], (tokens.kind(), tokens.device()));
                let weight = weight.unwrap_or_else(one);
                Tensor::cat(&[weights, weight], 1)
            }
            None => weights,
        }
    }

    /// From the chosen ones' weights, `[token, rank]`, to `[token, expert]`.
    fn of_all(&self, weights: &Tensor, chosen: &Tensor) -> Tensor {
        let size = [weights.size()[0], self.experts.len() as i64];
        Tensor::zeros(size, (weights.kind(), weights.device())).scatter_add(1, chosen, weights)
    }

    /// What stands at the router's site in the place of these weights of tokens `x`, `[.., hidden]`, and for whom: a
    /// token can be sent to other experts there, or to none. Both `[token, rank]`.
    fn seen(
        &self,
        (weights, chosen): (Tensor, Tensor),
        x: &Tensor,
        layer: usize,
        tap: &mut dyn Tap,
    ) -> (Tensor, Tensor) {
        let all = self.of_all(&weights, &chosen);
        let size = [&x.size()[..x.dim() - 1], &[-1]].concat();
        let seen = tap.visit(Site::ExpertWeights, layer, all.reshape(size));
        let is_same = seen.data_ptr() == all.data_ptr();
        // By the frozen rule the router's choice is given, whatever stands there.
        let seen = tap.rule().held(&seen.flatten(0, -2));
        let chosen = match is_same {
            true => chosen,
            // How many decides the shapes of what follows, so it crosses to the host.
            false => {
                let counts = seen.ne(0.0).sum_dim_intlist(-1, false, Kind::Int64);
                let most = host::ids(&counts.max().reshape([1]))[0].max(1);
                seen.abs().topk(most, -1, true, false).1
            }
        };
        (seen.gather(-1, &chosen, false), chosen)
    }

    /// What biases add for one token's `x`, `[hidden]`.
    pub fn bias(&self, x: &Tensor) -> Option<Tensor> {
        let biases = self.experts.iter().map(|expert| expert.down().bias.as_ref());
        let biases = Tensor::stack(&biases.collect::<Option<Vec<_>>>()?, 0); // [expert, hidden]
        let weights = self.weights(&x.unsqueeze(0)).narrow(1, 0, biases.size()[0]);
        Some(weights.matmul(&biases).squeeze_dim(0))
    }

    /// Each token goes through the few experts that the router rates highest, and their outputs are added,
    /// weighted by its softmax (1701.06538).
    fn mix(&self, x: &Tensor, layer: usize, tap: &mut dyn Tap) -> Tensor {
        let hidden = x.size()[x.dim() - 1];
        let tokens = x.reshape([-1, hidden]);
        let rule = tap.rule();
        let routed = self.router.route(&tokens, rule);
        let (weights, chosen) = match tap.wants(Site::ExpertWeights, layer) {
            true => self.seen(routed, x, layer, tap),
            false => routed,
        };
        let seen = tap.wants(Site::MlpInner, layer).then_some((layer, x.size()));
        let [chosen, shared] = self.sums(&tokens, (weights, chosen), seen, tap);
        let sum = self
            .of_chosen
            .write(&chosen.expect("the sum of the chosen"), rule);
        let sum = match shared {
            Some(shared) => sum + self.of_shared.write(&shared, rule),
            None => sum,
        };
        sum.reshape(x.size())
    }

    /// Of tokens `[token, hidden]` what the chosen experts come to and what the shared one does, before what stands behind them:
    /// `[token, hidden]`. `seen` is at which layer a tap sees the neurons, and the size of what the layer reads.
    fn sums(
        &self,
        tokens: &Tensor,
        (weights, chosen): (Tensor, Tensor),
        seen: Option<(usize, Vec<i64>)>,
        tap: &mut dyn Tap,
    ) -> [Option<Tensor>; 2] {
        let rule = tap.rule();
        let places = routes(&chosen, self.experts.len());
        let (to_chosen, to_shared) = (
            self.of_chosen.read(tokens, rule),
            self.of_shared.read(tokens, rule),
        );
        let seen = seen.map(|(layer, mut size)| {
            let each = self.experts.iter().zip(&places);
            let mut inners: Vec<Tensor> = each
                .map(|(expert, (token, _))| self.inner_of_chosen(expert, &to_chosen, token, tap))
                .collect();
            let shared = self.shared.as_ref();
            inners.extend(shared.map(|shared| self.inner(&shared.expert, &to_shared, tap)));
            *size.last_mut().expect("an axis of numbers") = -1;
            let inners = tap.visit(Site::MlpInner, layer, Tensor::cat(&inners, -1).reshape(size));
            inners.flatten(0, -2).split_with_sizes(self.sizes(), -1) // by expert: [token, neuron]
        });
        let mut sum = to_chosen.zeros_like();
        for (index, expert) in self.experts.iter().enumerate() {
            let (token, rank) = &places[index];
            if token.numel() == 0 {
                continue;
            }
            let inner = match &seen {
                Some(inners) => inners[index].index_select(0, token),
                None => self.inner(expert, &to_chosen.index_select(0, token), tap),
            };
            let weight = weights.index(&[Some(token), Some(rank)]).unsqueeze(-1);
            sum = sum.index_add(0, token, &(expert.down().forward(&inner) * weight));
        }
        let shared = self.shared.as_ref().map(|shared| {
            let inner = match &seen {
                Some(inners) => inners[self.experts.len()].shallow_clone(),
                None => self.inner(&shared.expert, &to_shared, tap),
            };
            shared.weighted(shared.expert.down().forward(&inner), tokens, rule)
        });
        [Some(sum), shared]
    }

    /// The same through all experts at all tokens: the two halves of a batch may go through different ones.
    fn mix_all(&self, x: &Tensor, layer: usize, tap: &mut dyn Tap) -> Tensor {
        let rule = tap.rule();
        let weights = self.router.weights(x, rule).to_kind(x.kind()); // [batch, position, expert]
        let weights = tap.visit(Site::ExpertWeights, layer, weights);
        let read = [self.of_chosen.read(x, rule), self.of_shared.read(x, rule)];
        let each = self.each().enumerate();
        let inners: Vec<Tensor> = each
            .map(|(index, expert)| self.inner(expert, &read[usize::from(index >= self.experts.len())], tap))
            .collect();
        let inners = match tap.wants(Site::MlpInner, layer) {
            true => tap
                .visit(Site::MlpInner, layer, Tensor::cat(&inners, -1))
                .split_with_sizes(self.sizes(), -1),
            false => inners,
        };
        let mut sum = read[0].zeros_like();
        for (index, (expert, inner)) in self.experts.iter().zip(&inners).enumerate() {
            let weight = weights.narrow(-1, index as i64, 1);
            sum = sum.g_add(&rule.product(&weight, &expert.down().forward(inner)));
        }
        let sum = self.of_chosen.write(&sum, rule);
        match (&self.shared, inners.last()) {
            (Some(shared), Some(inner)) => {
                let shared = shared.weighted(shared.expert.down().forward(inner), x, rule);
                sum + self.of_shared.write(&shared, rule)
            }
            _ => sum,
        }
    }

    fn inner(&self, expert: &Expert, x: &Tensor, tap: &mut dyn Tap) -> Tensor {
        let gated = match expert {
            Expert::Gated(gated) => gated,
            Expert::Plain { up, .. } => return tap.activate(self.activation, &up.forward(x)),
        };
        let (gate, up) = gated.input(x);
        let rule = tap.rule();
        let up = match self.up_limit {
            Some(limit) => rule.elementwise(&up, |x| x.clamp(-limit, limit), |x| clip_slope(x, limit)) + 1.0,
            None => up,
        };
        rule.product(&tap.activate(self.activation, &gate), &up)
    }

    /// An expert's neurons at all tokens, 0 at those that do not go through it.
    fn inner_of_chosen(
        &self,
        expert: &Expert,
        tokens: &Tensor,
        chosen: &Tensor,
        tap: &mut dyn Tap,
    ) -> Tensor {
        let inner = self.inner(expert, &tokens.index_select(0, chosen), tap);
        let size = [tokens.size()[0], inner.size()[1]];
        Tensor::zeros(size, (inner.kind(), inner.device())).index_copy(0, chosen, &inner)
    }
}

impl Shared {
    fn load(
        weights: &mut Weights,
        name: &str,
        hidden: usize,
        (all, of): (&ExpertsConfig, SharedExpert),
    ) -> Result<Self> {
        // One that stands apart has the names of an MLP without others beside it.
        let own = match all.apart {
            true => name.to_owned(),
            false => format!("{name}.shared"),
        };
        Ok(Self {
            expert: Expert::load(weights, &own, [hidden, of.size], [all.gated, false])?,
            gate: match of.gated {
                true => Some(Linear::load(
                    weights,
                    &format!("{name}.shared_gate"),
                    hidden,
                    1,
                    false,
                )?),
                false => None,
            },
        })
    }

    /// `[.., 1]`
    fn weight(&self, x: &Tensor, rule: Rule) -> Option<Tensor> {
        let gate = self.gate.as_ref()?.forward(x);
        Some(match rule {
            Rule::Frozen => rule.held(&gate.sigmoid()),
            _ => rule.elementwise(&gate, Tensor::sigmoid, sigmoid_slope),
        })
    }

    fn weighted(&self, output: Tensor, x: &Tensor, rule: Rule) -> Tensor {
        match self.weight(x, rule) {
            Some(weight) => rule.product(&weight, &output),
            None => output,
        }
    }
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
