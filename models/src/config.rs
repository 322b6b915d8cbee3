//! A model as data: what a family's `config.json` is mapped to. Enums are named for what they do.

mod file;
mod head;
mod mamba;
mod mixer;
mod mlp;
mod positions;
mod special;
mod widths;

pub use file::ConfigFile;
pub use head::Head;
pub use mamba::{Mamba, MambaKind};
pub use mixer::{CHUNK, Carried, Convolution, DeltaNet, Kept, Mixer, ShortConvolution};
pub use mlp::{
    Activation, ExpertGroups, ExpertStorage, Experts, GroupRating, Mlp, Rating, SharedExpert, Xielu,
};
pub use positions::{Disentangled, Positions, Sines};
pub use widths::HeadSizes;

/// Everything a [`Stack`](crate::stack::Stack) and its head have to know, whatever the family.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Hugging Face's name of the family.
    pub model_type: String,
    pub vocab_size: usize,
    /// The most tokens the model was made for.
    pub context_length: usize,
    pub hidden_size: usize,
    pub n_layers: usize,
    pub n_heads: usize,
    /// Heads of keys and values; each serves `n_heads / n_kv_heads` heads of queries (2305.13245).
    pub n_kv_heads: usize,
    pub head_dim: usize,
    /// Numbers of each head's value; `head_dim` in most models.
    pub value_dim: usize,
    /// By layer, where they differ; see [`Config::heads`].
    pub heads: Vec<HeadSizes>,
    /// Neurons of each MLP; of each expert, where there are experts.
    pub intermediate_size: usize,
    /// Neurons of each layer's MLP, where they differ; see [`Config::neurons`].
    pub neurons: Vec<usize>,
    pub activation: Activation,
    pub embedding: Embedding,
    pub positions: Positions,
    pub norm: NormConfig,
    pub residual: Residual,
    pub attention: AttentionConfig,
    /// By layer; attention in all of them without.
    pub mixers: Vec<Mixer>,
    pub mlp: Mlp,
    /// By layer, whether it has one; all of them without.
    pub mlps: Vec<bool>,
    /// Neighbours are mixed beside the first layer.
    pub convolution: Option<Convolution>,
    pub head: Head,
    pub task: Task,
    /// The number of layers that have weights of their own, where others repeat them.
    pub n_stored_layers: usize,
    /// The encoder whose states the layers of this decoder attend to, too.
    pub encoder: Option<Box<Config>>,
    /// What the canonical names of its weights start with: an encoder has the same beside its decoder.
    pub scope: &'static str,
}

impl Config {
    /// The most tokens that can be read: `None` where positions are told by distances, or turned, which knows no end.
    /// Longer texts than [`Self::context_length`] are then read, though not what the model was trained on.
    pub fn length_limit(&self) -> Option<usize> {
        self.positions.are_counted().then_some(self.context_length)
    }

    /// The canonical name of a part of a layer. Layers may repeat the weights of others.
    pub fn name_in_layer(&self, layer: usize, part: &str) -> String {
        let stored = layer * self.n_stored_layers / self.n_layers;
        format!("{}layers.{stored}.{part}", self.scope)
    }

    /// The canonical name of a token embedding that is not shared with another stack.
    pub fn embedding_name(&self) -> String {
        let side = if self.scope.is_empty() {
            "decoder."
        } else {
            self.scope
        };
        format!("{side}token_embedding.weight")
    }

    /// The canonical name of what is there once.
    pub fn name(&self, part: &str) -> String {
        format!("{}{part}", self.scope)
    }
}

/// From token ids to the residual stream.
#[derive(Debug, Clone, PartialEq)]
pub struct Embedding {
    /// Width of the embedding, projected to `hidden_size` where it is another.
    pub size: usize,
    pub projected: InnerProjection,
    /// Factor on the embeddings.
    pub scale: f64,
    /// Kinds of segments that have vectors of their own; 0 for none.
    pub n_segments: usize,
    /// A norm on the sum.
    pub norm: bool,
    /// Numbers that each layer reads of a second embedding, a part for each layer; 0 without.
    pub own: usize,
}

/// Where an embedding of another width than the stream's is projected to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InnerProjection {
    BeforePositions,
    /// After positions and norm, with a bias.
    Last,
}

impl Embedding {
    /// Tokens' vectors as they are.
    pub fn plain(size: usize) -> Self {
        Self {
            size,
            projected: InnerProjection::BeforePositions,
            scale: 1.0,
            n_segments: 0,
            norm: false,
            own: 0,
        }
    }
}

/// How the residual stream is normalised.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NormConfig {
    pub kind: NormKind,
    pub epsilon: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NormKind {
    /// Layer normalisation (1607.06450), with or without a bias.
    Layer { bias: bool },
    /// The same with a bias and weights that are stored less 1.
    LayerFromOne,
    /// The same without weights.
    Plain,
    /// Root mean square (1910.07467); `from_one` when the weights are stored less 1.
    Rms { from_one: bool },
    /// The same without weights.
    BareRms,
}

impl NormKind {
    /// Whether nothing is subtracted.
    pub fn is_rms(self) -> bool {
        matches!(self, Self::Rms { .. } | Self::BareRms)
    }
}

/// Where norms stand around a layer's two branches, attention and MLP, and how these are joined.
#[derive(Debug, Clone, PartialEq)]
pub struct Residual {
    /// Norms before each branch: of both, of the attention alone when the MLP shares its output, or none.
    pub before: PreNorm,
    /// Norms on each branch's output.
    pub after_branch: bool,
    /// Norms on the stream, after each branch is added.
    pub after_sum: bool,
    /// Both branches read the layer's input and are added together.
    pub parallel: bool,
    /// The first layer has no norm before its attention.
    pub bare_start: bool,
    /// A norm between the last layer and the head.
    pub final_norm: bool,
    /// Branches are added to what they read, normalised, instead of to the stream.
    pub from_norms: bool,
    /// Factor on each branch.
    pub scale: f64,
    /// Each layer's output is multiplied with a number of its own.
    pub scaled_layers: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PreNorm {
    Both,
    Shared,
    None,
}

impl Residual {
    /// x + attention(norm(x)), then x + mlp(norm(x)): most models.
    pub const PRE: Self = Self {
        before: PreNorm::Both,
        after_branch: false,
        after_sum: false,
        parallel: false,
        bare_start: false,
        final_norm: true,
        from_norms: false,
        scale: 1.0,
        scaled_layers: false,
    };
    /// x + attention(n) + mlp(n) with n = norm(x).
    pub const PARALLEL: Self = Self {
        before: PreNorm::Shared,
        parallel: true,
        ..Self::PRE
    };
}

#[derive(Debug, Clone, PartialEq)]
pub struct AttentionConfig {
    /// Weights are stored head by head: queries, keys and values `[head, hidden, head_dim]`, the output
    /// `[head, head_dim, hidden]`.
    pub by_head: bool,
    /// A position sees none after it.
    pub causal: bool,
    /// The factor on query · key, by layer.
    pub scales: Vec<f64>,
    /// Of which earlier layer it reads the keys and values, by layer; its own without. See [`Config::source`].
    pub sources: Vec<Option<usize>>,
    /// How many tokens back a query sees (and forward, where it sees those), itself included, by layer; all
    /// without.
    pub windows: Vec<Option<usize>>,
    /// Scores s become c tanh(s / c).
    pub soft_cap: Option<f64>,
    pub projection: Projection,
    pub qkv_bias: bool,
    pub output_bias: bool,
    pub qk_norm: QkNorm,
    /// Each head's value is divided by its root mean square.
    pub value_norm: bool,
    /// Queries, keys and values are cut off at this number, either way.
    pub clip: Option<f64>,
    /// Each head has a score of its own for seeing nothing (2309.17453): rows of patterns sum to less than 1.
    pub sinks: bool,
}

/// How the weights of queries, keys and values are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Projection {
    /// Three matrices.
    Separate,
    /// The same, where that of queries has of each head its query and then a gate: of its sigmoid what the head mixes is
    /// multiplied with.
    Gated,
    /// One: all queries, all keys, all values.
    Joined,
    /// One: for each head of keys its queries, the key, the value.
    Grouped,
    /// One, in parts: of each the queries, the values and the keys of its share of the heads.
    Sharded { parts: usize },
    /// Several, by way of short vectors.
    Latent(Latent),
}

/// Multi-head latent attention (2405.04434): keys and values are made of a short vector, and so may queries be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Latent {
    /// Numbers of the vector that queries are made of; none where they are made of the stream.
    pub query_rank: Option<usize>,
    /// Of that which keys and values are made of.
    pub rank: usize,
    /// The last numbers of a key, which are made of the stream and those of all heads.
    pub shared: usize,
}

/// Norms on queries and keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QkNorm {
    None,
    /// On each head, with the same weights for all.
    Head,
    /// On each head, with weights of its own; `joined` when they are one matrix.
    EachHead {
        joined: bool,
    },
    /// On all heads together.
    Whole,
    /// As [`QkNorm::Head`], behind the turn.
    TurnedHead,
}

/// What a model was trained to say.
#[derive(Debug, Clone, PartialEq)]
pub enum Task {
    /// The token that follows.
    NextToken,
    /// The token behind a mask: a layer before the head.
    MaskedToken(Dense),
    /// Labels, of the whole text or of each token.
    Label(Label),
    /// Nothing: states only.
    States,
}

impl Task {
    /// The classifier, of a model that says labels.
    pub fn label(&self) -> Option<&Label> {
        match self {
            Self::Label(label) => Some(label),
            _ => None,
        }
    }

    /// What the labels are called; none of a model that says tokens or nothing.
    pub fn names(&self) -> &[String] {
        self.label().map_or(&[], |label| &label.names)
    }

    /// Whether a label is said of the whole text, and not of each token.
    pub fn is_of_text(&self) -> bool {
        self.label().is_some_and(|label| label.of != LabelOf::Token)
    }

    /// What the head's numbers mean.
    pub fn reading(&self) -> Reading {
        self.label().map_or(Reading::OneOf, |label| label.reading)
    }
}

/// A layer between the stack and the last projection.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Dense {
    pub activation: Activation,
    pub bias: bool,
    /// A norm follows.
    pub norm: bool,
}

impl Dense {
    pub fn with(activation: Activation) -> Self {
        Self {
            activation,
            bias: true,
            norm: false,
        }
    }

    pub fn and_norm(self) -> Self {
        Self { norm: true, ..self }
    }
}

/// A classifier.
#[derive(Debug, Clone, PartialEq)]
pub struct Label {
    pub of: LabelOf,
    /// A layer before the last projection, and where its weights are.
    pub dense: Option<(&'static str, Dense)>,
    /// Where the last projection's weights are.
    pub output: &'static str,
    pub names: Vec<String>,
    pub reading: Reading,
}

/// What labels are said of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LabelOf {
    /// The text, by its first token's state.
    First,
    /// The text, by the mean of its tokens' states.
    Mean,
    /// Each token, by its state.
    Token,
}

/// What a head's numbers mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// One of the labels, or tokens of the vocabulary, is the case.
    OneOf,
    /// Each label is the case or not.
    Each,
    /// Each is a value, which has no probability.
    Value,
    /// Each label is at one of the tokens: where an answer starts, and where it ends.
    Place,
}
