//! Texts that a model reads and writes: generating, running, scoring, conversations.

pub mod capture;
pub mod chat;
pub mod generate;
pub mod generation;
mod output;
pub mod passage;
pub mod run;
mod run_members;
pub mod score;
pub mod shown;
pub mod token;

use ecco_scripting::Registry;

use chat::Chat;
use generation::Generation;
use run::Run;

/// Makes the topic known to scripts.
pub fn register(registry: &mut Registry) {
    registry.value::<Chat>("Chat", "chat");
    registry.numbers::<Generation>("Generation", "output");
    registry.result::<Run>("Run", "run");
    chat::register(registry);
    run_members::register(registry);
    output::register(registry);
    score::register(registry);
}
