//! `lm.concept`: whether answers rise along what some texts have in common (TCAV).

use ecco_explain::concept::{ConceptOptions, ConceptScores, concept_scores};
use ecco_explain::states::Positions;
use ecco_models::Site;
use ecco_models::run::Input;
use ecco_scripting::session::watched;
use ecco_scripting::table::Table;
use ecco_scripting::{ErrorKind, Registry, ScriptError, members, options};
use rhai::{Array, Dynamic, INT};

use super::options::ProbeAt;
use crate::attribution::one_target::{OneTargetOptions, one_target};
use crate::models::model::Model;
use crate::text::capture::{ActivationSite, place_in};
use crate::text::chat::TextOrChat;
use crate::text::passage::Passage;
use crate::text::reading;
use crate::text::run::of_text;

options! {
    /// What `concept` can be told.
    pub struct TcavOptions {
        ..of_target: OneTargetOptions,
        /// where the texts are looked at: one of lm.sites() with a vector at each position
        site: Option<ActivationSite> = "\"residual_after\"",
        /// these layers, counted from 0
        layers: Option<Vec<usize>> = "all layers",
        /// at which token: "last", "mean" or a position
        at: ProbeAt = ProbeAt::default(),
        /// how often texts are drawn that directions are learned from
        splits: usize [2..] = 20,
        /// weight of the penalty of large coefficients
        l2: f64 = 1.0,
        /// which are drawn
        seed: u64 = 0,
    }
}

fn concept(
    lm: &Model,
    concept: &Array,
    others: &Array,
    texts: &Array,
    options: &TcavOptions,
) -> Result<Table, ScriptError> {
    let (loaded, state) = (lm.loaded()?, lm.state()?);
    if matches!(&options.at.0, Positions::Each(at) if at.len() > 1) {
        let message = "a concept is looked for at one position";
        return Err(ScriptError::new(ErrorKind::Value, message).pointing_at("at"));
    }
    let site = options.site.as_ref().map(|site| site.0.as_str());
    let place = place_in(lm, site, Site::ResidualAfter)?;
    let read = |texts: &Array| -> Result<Vec<Input>, ScriptError> {
        let mut inputs = Vec::new();
        for (index, text) in TextOrChat::all(lm, texts)?.iter().enumerate() {
            state.check_interrupt()?;
            let input = reading::input(lm, text.prompt(), None);
            inputs.push(input.map_err(|error| of_text(error, index))?);
        }
        Ok(inputs)
    };
    let (concept, others) = (read(concept)?, read(others)?);
    let mut explained = Vec::new();
    for (index, input) in read(texts)?.into_iter().enumerate() {
        state.check_interrupt()?;
        let passage = Passage::of_text(lm, input)?;
        let target = one_target(&passage, &options.of_target);
        let (target, _) = target.map_err(|error| of_text(error, index))?;
        explained.push((passage.input().clone(), target));
    }
    let settings = ConceptOptions {
        place,
        layers: options.layers.clone(),
        at: options.at.0.clone(),
        n_splits: options.splits,
        l2: options.l2,
        seed: options.seed,
    };
    let found = watched(&state, lm.verbose, |watch| {
        concept_scores(&loaded, &concept, &others, &explained, &settings, watch)
    })?;
    table(&found)
}

fn table(found: &[ConceptScores]) -> Result<Table, ScriptError> {
    let column = |name: &str, of: &dyn Fn(&ConceptScores) -> Dynamic| {
        (name.to_owned(), found.iter().map(of).collect::<Vec<Dynamic>>())
    };
    let float = Dynamic::from_float;
    let mean = |of: &[f64]| of.iter().sum::<f64>() / of.len() as f64;
    let spread = |of: &[f64]| {
        let middle = mean(of);
        mean(&of.iter().map(|x| (x - middle).powi(2)).collect::<Vec<f64>>()).sqrt()
    };
    Table::new(vec![
        column("layer", &|of| Dynamic::from_int(of.layer as INT)),
        column("score", &|of| float(mean(&of.scores))),
        column("spread", &|of| float(spread(&of.scores))),
        column("random", &|of| float(mean(&of.random))),
        column("random_spread", &|of| float(spread(&of.random))),
        column("p", &|of| float(of.p)),
        column("accuracy", &|of| float(of.accuracy)),
        column("derivative", &|of| float(mean(&of.derivatives))),
    ])
}

pub(super) fn register(registry: &mut Registry) {
    members! { registry, [Model];
        /// Whether an answer rises as states move towards what the texts of a concept have in common (TCAV, Kim et al. 2018): a
        /// table with a row for each layer. `score` is the share of `texts` in which the derivative of the answer along the
        /// concept's direction is above 0, and its `spread` over the directions, each learned from other draws of the
        /// concept's texts and of `others`; `random` the same along directions that tell others from others; `p` the
        /// probability that means so far apart come by chance; `accuracy` that of the directions on texts left out, and
        /// `derivative` the mean one.
        ///
        /// Example:
        /// ```rhai
        /// let capitals = ["It is Paris", "It is Rome", "It is Oslo", "It is Cairo"];
        /// let others = ["It is red", "It is late", "It is me", "It is over", "It is cold", "It is fun", "It is big", "It is ice"];
        /// lm.concept(capitals, others, ["The capital of France is", "She lives in"], #{target: " Paris"})
        /// ```
        volatile fn concept(lm: &Model, concept: Array, others: Array, texts: Array; options: TcavOptions) -> Table {
            self::concept(lm, &concept, &others, &texts, &options)
        }
    }
}
