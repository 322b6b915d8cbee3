//! Texts that a model reads and writes: generating, running, scoring, conversations.

pub mod capture;
pub mod chat;
pub mod chat_functions;
pub mod generate;
pub mod generation;
pub mod output;
pub mod passage;
pub mod run;
mod run_members;
pub mod score;
pub mod shown;
pub mod token;

use ecco_scripting::Registry;
use rhai::exported_module;

use chat::Chat;
use generation::Generation;
use run::Run;

/// Makes the topic known to scripts.
pub fn register(registry: &mut Registry) {
    registry.value::<Chat>("Chat", "chat");
    registry.numbers::<Generation>("Generation", "output");
    registry.result::<Run>("Run", "run");
    registry.table(&generate::GENERATE_OPTIONS);
    registry.table(&chat_functions::CHAT_OPTIONS);
    registry.module(exported_module!(chat_functions::functions));
    registry.module(exported_module!(generate::functions));
    run_members::register(registry);
    registry.module(exported_module!(output::functions));
    registry.module(exported_module!(score::functions));
}
