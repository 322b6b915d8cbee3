//! Numbers against transformers and captum, on tiny seeded models; and the identities that must hold.

mod attribution;
mod attribution_rules;
mod chats;
mod explanations;
mod families;
mod generation;
mod gpt2;
mod placement;
mod runs;
mod sites;
mod tokenizers;
