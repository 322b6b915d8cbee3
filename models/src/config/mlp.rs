//! The MLP of a layer as data.

use super::NormConfig;

#[derive(Debug, Clone, PartialEq)]
pub enum Mlp {
    /// down(act(up x)).
    Plain {
        bias: bool,
    },
    /// down(norm(act(up x))), with biases.
    Normed {
        norm: NormConfig,
    },
    /// down(act(gate x) · up x) (2002.05202); `joined` when gate and up are one matrix.
    Gated {
        bias: bool,
        joined: bool,
    },
    Experts(Experts),
}

/// In the named layers experts of which a router chooses a few (1701.06538); elsewhere one MLP of `dense_size` neurons.
#[derive(Debug, Clone, PartialEq)]
pub struct Experts {
    pub n_experts: usize,
    pub n_chosen: usize,
    /// What a router's numbers become.
    pub rating: Rating,
    /// Those that are chosen are of few groups.
    pub groups: Option<ExpertGroups>,
    /// The chosen ones' weights are made to sum to 1.
    pub normalised: bool,
    /// Factor on the weights.
    pub scale: f64,
    /// There are numbers by expert that count when they are chosen, and not in their weights (2408.15664): with how many
    /// dimensions they are stored.
    pub choice_bias: Option<usize>,
    pub layers: Vec<bool>,
    pub dense_size: usize,
    /// down(act(gate x) · up x), and not down(act(up x)): all experts and the MLPs of other layers.
    pub gated: bool,
    /// The chosen experts read and write vectors of so many numbers, which matrices make of what the layer reads, and the stream of
    /// their sum.
    pub latent: Option<usize>,
    /// One more that every token goes through.
    pub shared: Option<SharedExpert>,
    pub storage: ExpertStorage,
    /// Router and experts have biases.
    pub bias: bool,
    /// up x is cut off at this number, either way, and 1 is added.
    pub up_limit: Option<f64>,
    /// The shared expert, the chosen ones and the router have weights of their own on what they read, the first two norms on what
    /// they write, and each expert a factor on its weight.
    pub apart: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rating {
    /// Of all experts together.
    Softmax,
    /// Of each by itself (2412.19437).
    Sigmoid,
    /// Of the two chosen ones a softmax each, over those that are nearly as good (2409.12136): by how much they may be
    /// behind, over twice the larger score.
    Mixer { closeness: f64 },
}

/// Experts that stand side by side are a group, and few groups are chosen first (2405.04434).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExpertGroups {
    pub n_groups: usize,
    pub n_chosen: usize,
    pub rating: GroupRating,
}

/// What a group is chosen by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupRating {
    /// Its best expert.
    Best,
    /// The sum of its two best.
    BestTwo,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SharedExpert {
    /// Its neurons.
    pub size: usize,
    /// Its output is multiplied with a sigmoid of the token.
    pub gated: bool,
}

/// How the weights of experts are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExpertStorage {
    Each,
    /// One tensor of gates beside ups, `[expert, 2 neuron, hidden]`, and one of downs, `[expert, hidden, neuron]`.
    Stacked,
    /// The same with the last two axes swapped, and gates and ups in turn.
    StackedInTurn,
}

impl Experts {
    /// In all layers, stored one by one, with nothing besides.
    pub fn new(n_experts: usize, n_chosen: usize, n_layers: usize) -> Self {
        Self {
            n_experts,
            n_chosen,
            rating: Rating::Softmax,
            groups: None,
            normalised: true,
            scale: 1.0,
            choice_bias: None,
            layers: vec![true; n_layers],
            dense_size: 0,
            gated: true,
            latent: None,
            shared: None,
            storage: ExpertStorage::Each,
            bias: false,
            up_limit: None,
            apart: false,
        }
    }
}

/// The MLP's non-linearity.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Activation {
    /// x Φ(x) (1606.08415).
    Gelu,
    /// Its approximation by tanh.
    GeluTanh,
    Relu,
    /// relu(x)² (2109.08668).
    SquaredRelu,
    Silu,
    Tanh,
    /// x · softmax(x) over all neurons (SoLU, transformer-circuits.pub/2022/solu): the only one that mixes them.
    SoftmaxLinear,
    /// With numbers that each layer has learned.
    Xielu(Xielu),
    /// y σ(αy) of y = min(x, limit).
    LimitedSilu {
        alpha: f64,
        limit: f64,
    },
}

/// xIELU (2411.13010): αₚx² + βx above 0, αₙ(exp(min(x, ε)) − 1 − x) + βx below.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Xielu {
    pub positive: f64,
    pub negative: f64,
    pub beta: f64,
    pub epsilon: f64,
}

impl Xielu {
    /// Before anything was learned.
    pub const START: Self = Self {
        positive: 0.8,
        negative: 0.8,
        beta: 0.5,
        epsilon: -1e-6,
    };
}

// By Hugging Face's names.
ecco_interpreter::named! {
    pub Activation {
        Gelu = "gelu" | "gelu_python",
        GeluTanh = "gelu_new" | "gelu_pytorch_tanh" | "gelu_fast",
        Relu = "relu",
        SquaredRelu = "relu2",
        Silu = "silu" | "swish",
        Tanh = "tanh",
        .. = "xielu",
    }
}
