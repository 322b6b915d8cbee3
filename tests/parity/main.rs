//! Numbers against transformers and captum, on tiny seeded models; and the identities that must hold.

mod adapters;
mod attribution;
mod attribution_options;
mod attribution_rules;
mod chats;
mod direct;
mod explanations;
mod explanations_families;
mod faithfulness;
mod families;
mod generation;
mod gpt2;
mod interventions;
mod lens;
mod placement;
mod quantized;
mod recovery;
mod runs;
mod score;
mod sites;
mod tokenizers;
