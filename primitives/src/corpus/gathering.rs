//! `lm.corpus`: texts of a list or of a table's column, read once.

use std::cell::RefCell;

use ecco_explain::corpus::{CorpusOptions, Sign, corpus, pieces};
use ecco_models::Site;
use ecco_scripting::options::Choice;
use ecco_scripting::result::show;
use ecco_scripting::session::watched;
use ecco_scripting::table::Table;
use ecco_scripting::{ErrorKind, Registry, ScriptError, members, options};
use rhai::{Array, Dynamic};

use super::result::Corpus;
use crate::models::model::Model;
use crate::text::capture::{NeuronSite, place_in};
use crate::text::run::of_text;

options! {
    /// What `lm.corpus` can be told.
    pub struct GatherOptions {
        /// where neurons are looked at: one of lm.sites() with a value at each position
        site: Option<NeuronSite> = "\"mlp_inner\"",
        /// these layers, counted from 0
        layers: Option<Vec<usize>> = "all layers",
        /// how many of the strongest places of each neuron are kept, one of a text
        top: usize [1..] = 20,
        /// which values are strong: the largest, the lowest, or those furthest from 0
        sign: Choice<Sign> = Choice(Sign::Positive),
        /// longer texts are read in pieces of so many tokens
        max_tokens: Option<usize> [1..] = "256, or as many as the model reads",
        /// how many texts are drawn for what neurons do where they are not strongest
        sample: usize = 100,
        /// which texts are drawn
        seed: u64 = 0,
        /// the column that has the texts, of a table
        column: Option<String> = "\"text\"",
    }
}

/// Tokens of a piece where nothing is said.
const USUAL: usize = 256;
/// Places of each neuron, and texts of the sample, at most.
const MOST_KEPT: usize = 10_000;
/// What is said where it is interrupted.
const KEPT: &str = "what was read by then is in `lm.last_corpus`";

/// What `lm.last_corpus` gives: kept with the model's handle.
#[derive(Default)]
struct LastCorpus(RefCell<Option<Corpus>>);

pub(super) fn register(registry: &mut Registry) {
    members! { registry, [Model];
        /// Reads many texts once and keeps, for every neuron, the strongest places with what stands around them, the share of
        /// tokens where it is above 0, mean, deviation and a histogram. What is kept does not grow with the texts, which may
        /// be a list or a column of a table; one that stands there twice is read once.
        ///
        /// Example:
        /// ```rhai
        /// let corpus = lm.corpus(ecco::read("texts.csv"), #{column: "text", layers: [4, 5]});
        /// corpus.rank(#{by: "selectivity"})
        /// corpus.neuron(4, 117)
        /// ```
        volatile fn corpus(lm: &Model, texts: Array; options: GatherOptions) -> Corpus {
            match options.column {
                None => gathered(lm, &texts, options),
                Some(column) => {
                    let message = format!("option `column` is {column:?}: a list of texts has no columns");
                    Err(ScriptError::new(ErrorKind::Option, message).pointing_at("column"))
                }
            }
        }

        volatile fn corpus(lm: &Model, table: Table; options: GatherOptions) -> Corpus {
            let name = options.column.as_deref().unwrap_or("text");
            let column = table.column(name).map_err(|error| error.pointing_at("column"))?;
            gathered(lm, &column.values, options)
        }

        /// What the last `lm.corpus` has read, also when it was interrupted.
        get last_corpus(lm: &Model) -> Corpus {
            lm.kept::<LastCorpus>().0.borrow().clone().ok_or_else(|| {
                ScriptError::new(ErrorKind::Value, "this model has read no corpus yet")
                    .with_hint("lm.corpus([\"one text\", \"another\"])")
            })
        }
    }
}

fn gathered(lm: &Model, texts: &[Dynamic], options: GatherOptions) -> Result<Corpus, ScriptError> {
    let (loaded, state) = (lm.loaded()?, lm.state()?);
    for (name, number) in [("top", options.top), ("sample", options.sample)] {
        if number > MOST_KEPT {
            let message = format!("{name} is {number}: at most {MOST_KEPT} are kept");
            return Err(ScriptError::new(ErrorKind::Value, message).pointing_at(name));
        }
    }
    let site = options.site.as_ref().map(|site| site.0.as_str());
    let place = place_in(lm, site, Site::MlpInner)?;
    let mut ids = Vec::new();
    for (at, text) in texts.iter().enumerate() {
        state.check_interrupt()?;
        let Ok(text) = text.as_immutable_string_ref() else {
            return show::expected("a list of strings", text);
        };
        ids.push(
            loaded
                .ids(text.as_str())
                .map_err(|error| of_text(error.into(), at))?,
        );
    }
    let config = loaded.config().encoder.as_deref().unwrap_or(loaded.config());
    let max_tokens = options.max_tokens.unwrap_or(USUAL.min(config.context_length));
    let pieces = pieces(&loaded, &ids, max_tokens)?;
    let settings = CorpusOptions {
        place,
        layers: options.layers,
        top: options.top,
        sign: options.sign.0,
        n_sample: options.sample,
        seed: options.seed,
    };
    let found = watched(&state, lm.verbose, |watch| {
        corpus(&loaded, pieces, &settings, watch)
    })?;
    let found = Corpus::new(lm, found);
    lm.kept::<LastCorpus>().0.replace(Some(found.clone()));
    state.check_interrupt().map_err(|error| error.with_hint(KEPT))?;
    Ok(found)
}
