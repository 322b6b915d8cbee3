//! Numbers against transformers and captum, on tiny seeded models; and the identities that must hold.

// Tests read tensors as is shortest.
#![allow(clippy::disallowed_methods)]

mod adapters;
mod attribution;
mod attribution_options;
mod attribution_rules;
mod beside;
mod chats;
mod circuits;
mod compiled;
mod concept;
mod corpus;
mod crossings;
mod dictionaries;
mod dictionary_sets;
mod dictionary_training;
mod diff;
mod direct;
mod edges;
mod explanations;
mod explanations_families;
mod faithfulness;
mod families;
mod feature_graphs;
mod formats;
mod generation;
mod gguf;
mod gpt2;
mod heads;
mod interventions;
mod lens;
mod lenses;
mod many;
mod mixers;
mod parts;
mod placement;
mod probes;
mod quantized;
mod recorded;
mod recovery;
mod runs;
mod score;
mod sites;
mod steps;
mod stored;
mod tokenizers;
