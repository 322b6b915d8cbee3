//! Texts that a model reads and writes, one or many: generating, running, scoring, conversations.

pub(crate) mod capture;
pub(crate) mod chat;
mod closures;
pub(crate) mod generate;
pub(crate) mod generation;
mod output;
pub(crate) mod outputs;
pub(crate) mod passage;
pub(crate) mod reading;
pub(crate) mod results;
mod roles;
pub(crate) mod run;
mod run_members;
pub(crate) mod score;
pub(crate) mod shown;
pub(crate) mod token;
pub(crate) mod vocabulary;

use ecco_scripting::Registry;
use rhai::Dynamic;

use chat::Chat;
use generation::Generation;
use outputs::Outputs;
use results::Results;
use run::Run;

/// Makes the topic known to scripts.
pub(crate) fn register(registry: &mut Registry) {
    registry.value::<Chat>("Chat", "chat");
    registry.numbers::<Generation>("Generation", "output");
    registry.value::<Outputs>("Outputs", "outputs");
    registry.result::<Run>("Run", "run");
    registry.result::<Results>("Results", "results");
    chat::register(registry);
    generate::register(registry);
    run_members::register(registry);
    output::register(registry);
    outputs::register(registry);
    results::register(registry);
    closures::register::<Outputs>(registry.engine, "Outputs", |outputs, at| {
        Ok(outputs.all().get(at).cloned().map(Dynamic::from))
    });
    closures::register::<Results>(registry.engine, "Results", Results::get);
    score::register(registry);
    vocabulary::register(registry);
}
