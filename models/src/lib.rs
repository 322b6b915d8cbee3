//! Transformer language models on libtorch.
//!
//! - [`model`]: [`load`], [`Model`], [`capture`]: where to start
//! - [`generation`]: [`generate`], token by token with a KV cache: greedy, sampled, or by beam search
//! - [`run`]: one pass over texts, with what the head says and every site by name
//! - [`site`]: [`Site`], [`Place`]: what there is inside, by name
//! - [`tap`]: [`Tap`], [`Capture`]: the one way to see or change what happens inside
//! - [`edit`]: [`Edit`], a change that a view on a model makes in every pass
//! - [`lens`]: maps from each layer's stream to the last one's, read and applied
//! - [`dictionary`]: sparse autoencoders and transcoders, read and put to work
//! - [`decoder`], [`encoder`], [`encoder_decoder`]: a [`stack`] of blocks of [`attention`] and [`mlp`] (in one family beside a [`convolution`], in others with a [`short_convolution`] a [`delta_net`] or a [`mamba`] in the place of attention: what these share is [`causal_convolution`] and [`recurrence`]), these of [`layers`]; [`rope`]: rotary positions
//! - [`backward`]: the decoder's batched vector–Jacobian products; [`rules`]: what stands for slopes in autograd
//! - [`families`], [`config`]: what differs between families, as data
//! - [`files`], [`weights`], [`hub`]: from a folder, the binary or the hub to tensors, each a [`weight`]; `gguf`: one file that is all of it
//! - `product`: all products with weights, `fused`: what is several operations of libtorch in one, both by `lanes` of the processor's;
//!   `below_autograd`: passes that are not differentiated
//! - [`adapter`]: what fine-tuning changed, computed beside the weights
//! - [`quantization`]: weights of few bits, read as numbers
//! - [`tokenizer`]: text to tokens and back
//! - [`chat`]: conversations as text
//! - `apart`: work of libraries on what strangers wrote, bounded in memory, depth and time
//! - [`libtorch`]: opened when the first tensor is made
//! - [`device`], [`placement`]: where a model goes, [`holders`]: who else is there; [`host`]: what crosses between there and here; [`cuda_graph`]: work that a GPU
//!   has recorded; [`guard`], [`error`]: memory, exceptions, errors

mod adapter;
mod apart;
pub mod attention;
pub mod backward;
mod below_autograd;
pub mod causal_convolution;
pub mod chat;
pub mod config;
pub mod convolution;
pub mod cuda_graph;
pub mod decoder;
pub mod delta_net;
pub mod device;
pub mod dictionary;
pub mod edit;
pub mod encoder;
pub mod encoder_decoder;
pub mod error;
pub mod families;
pub mod files;
mod fused;
pub mod generation;
mod gguf;
pub mod gpu;
pub mod guard;
pub mod holders;
pub mod host;
pub mod hub;
mod lanes;
pub mod layers;
pub mod lens;
pub mod libtorch;
pub mod mamba;
pub mod mlp;
pub mod model;
pub mod parallel;
pub mod placement;
pub mod product;
mod quantization;
pub mod recurrence;
pub mod rope;
pub mod rules;
pub mod run;
pub mod short_convolution;
pub mod site;
pub mod stack;
pub mod tap;
pub mod tokenizer;
pub mod weight;
pub mod weights;

pub use chat::{Chat, ChatOptions, Prompt, TokenSequence};
pub use config::Config;
pub use edit::{Edit, Edits};
pub use error::Error;
pub use generation::{Draft, EarlyStopping, Finish, GenerateOptions, Generation, generate};
pub use model::{Aside, LoadOptions, Model, capture, load};
pub use rules::Rule;
pub use site::{Place, Site};
pub use tap::{Capture, Tap};
pub use tokenizer::{Token, Tokenizer};
pub use weights::WeightCard;
