//! Outputs of several texts: a list, and a table with a row for each.

use std::cell::RefCell;
use std::rc::Rc;

use ecco_interpreter::Progress;
use ecco_models::Token;
use ecco_scripting::result::Show;
use ecco_scripting::result::rich::Plain;
use ecco_scripting::table::Table;
use ecco_scripting::{ErrorKind, Registry, RhaiResult, ScriptError, members};
use ecco_widgets::Explorable;
use rhai::{Array, Dynamic, FuncRegistration, INT};

use super::generation::Generation;
use crate::models::model::Model;

/// What is said where several texts are interrupted.
pub(super) const KEPT: &str = "the texts that are done are in `lm.last_outputs`";

/// In the order of the texts. Clones share everything.
#[derive(Clone)]
pub(crate) struct Outputs(Rc<[Generation]>);

/// What `lm.last_outputs` gives: kept with the model's handle.
#[derive(Default)]
struct LastOutputs(RefCell<Option<Outputs>>);

/// Outputs that come in any order.
pub(super) struct Parts(Vec<Option<Generation>>);

impl Parts {
    pub(super) fn new(n: usize) -> Self {
        Self(vec![None; n])
    }

    pub(super) fn put(&mut self, at: usize, output: Generation) {
        self.0[at] = Some(output);
    }

    /// How many are there.
    pub(super) fn n(&self) -> u64 {
        self.0.iter().flatten().count() as u64
    }

    /// Those that are there, in order, which the model's handle keeps.
    pub(super) fn keep(self, lm: &Model) -> Outputs {
        let outputs = Outputs(self.0.into_iter().flatten().collect());
        lm.kept::<LastOutputs>().0.replace(Some(outputs.clone()));
        outputs
    }
}

pub(super) fn progress(label: &'static str, done: u64, total: u64) -> Progress {
    Progress {
        label: label.into(),
        done,
        total: Some(total),
        unit: "texts",
    }
}

pub(super) fn register(registry: &mut Registry) {
    registry.engine.register_iterator::<Outputs>();
    FuncRegistration::new_index_getter()
        .with_purity(true)
        .with_comments(["/// One of the outputs; negative numbers count from the last."])
        .with_params_info(["outputs: &mut Outputs", "index: INT", "Generation"])
        .register_into_engine(
            registry.engine,
            |outputs: &mut Outputs, index: INT| -> RhaiResult<Generation> { Ok(outputs.at(index)?) },
        );
    members! { registry, [Outputs];
        /// A table with a row for each text, in their order: what was given and what was written, how many tokens these are,
        /// and why it ended (`finish`); of texts that were scored how probable they are: the sum of the natural logarithms, and
        /// the perplexity of a token.
        ///
        /// Example:
        /// ```rhai
        /// lm.score(texts).table.filter(|row| row.perplexity > 100)
        /// ```
        get table(outputs: &Outputs) -> Table { outputs.table() }

        /// How many there are.
        fn len(outputs: &Outputs) -> INT { Ok(outputs.all().len() as INT) }

        /// The outputs as an array.
        ///
        /// Example:
        /// ```rhai
        /// outputs.to_array().map(|output| output.tokens.len())
        /// ```
        fn to_array(outputs: &Outputs) -> Array { Ok(outputs.all().iter().cloned().map(Dynamic::from).collect()) }

        fn to_string(outputs: &Outputs) -> String { Ok(outputs.view()?.text()) }

        fn to_debug(outputs: &Outputs) -> String { Ok(outputs.line()) }
    }
    members! { registry, [Model];
        /// The outputs of the last `generate` or `score` of several texts, also when that was interrupted: those that were
        /// done by then.
        get last_outputs(lm: &Model) -> Outputs {
            lm.kept::<LastOutputs>().0.borrow().clone().ok_or_else(|| {
                ScriptError::new(ErrorKind::Value, "this model has not been given several texts yet")
                    .with_hint("lm.generate([\"one text\", \"another\"], #{generate: 20})")
            })
        }
    }
}

impl Outputs {
    pub(crate) fn all(&self) -> &[Generation] {
        &self.0
    }

    fn at(&self, index: INT) -> Result<Generation, ScriptError> {
        let n = self.0.len();
        let place = if index < 0 {
            index.saturating_add(n as INT)
        } else {
            index
        };
        let found = usize::try_from(place).ok().and_then(|place| self.0.get(place));
        found.cloned().ok_or_else(|| {
            ScriptError::new(
                ErrorKind::Index,
                format!("there is no output {index}: the list has {n}"),
            )
        })
    }

    fn table(&self) -> Result<Table, ScriptError> {
        match self.0.iter().all(Generation::is_given) && !self.0.is_empty() {
            true => self.scored(),
            false => self.written(),
        }
    }

    fn written(&self) -> Result<Table, ScriptError> {
        let column = |of: &dyn Fn(&Generation) -> Dynamic| self.0.iter().map(of).collect::<Vec<_>>();
        let count = |n: usize| Dynamic::from_int(n as INT);
        let (given, made): (Vec<Dynamic>, Vec<Dynamic>) = self.parts().into_iter().unzip();
        Table::new(vec![
            ("text".to_owned(), given),
            ("generated".to_owned(), made),
            (
                "n_input_tokens".to_owned(),
                column(&|output| count(output.n_input())),
            ),
            (
                "n_generated_tokens".to_owned(),
                column(&|output| count(output.tokens().len() - output.n_input())),
            ),
            ("finish".to_owned(), column(&|output| output.finish().into())),
        ])
    }

    fn scored(&self) -> Result<Table, ScriptError> {
        let (mut n_tokens, mut sums, mut perplexities) = (Vec::new(), Vec::new(), Vec::new());
        for output in self.0.iter() {
            let scores = output.scores()?;
            let sum: f64 = scores.iter().map(|score| score.log_probability).sum();
            n_tokens.push(Dynamic::from_int(scores.len() as INT));
            sums.push(Dynamic::from_float(sum));
            perplexities.push(Dynamic::from_float((-sum / scores.len() as f64).exp()));
        }
        // The first token of a text without a prompt is nobody's context.
        let is_whole = |output: &Generation| output.n_input() == 1 && !output.is_pair();
        let mut columns = match self.0.iter().all(is_whole) {
            true => {
                let texts = self
                    .0
                    .iter()
                    .map(|output| Dynamic::from(text_of(output.tokens())));
                vec![("text".to_owned(), texts.collect())]
            }
            false => {
                let (given, scored): (Vec<Dynamic>, Vec<Dynamic>) = self.parts().into_iter().unzip();
                vec![("context".to_owned(), given), ("text".to_owned(), scored)]
            }
        };
        columns.extend([
            ("n_tokens".to_owned(), n_tokens),
            ("log_probability".to_owned(), sums),
            ("perplexity".to_owned(), perplexities),
        ]);
        Table::new(columns)
    }

    /// Of each text what was given, and what follows: also when the model is gone.
    fn parts(&self) -> Vec<(Dynamic, Dynamic)> {
        let parts = |output: &Generation| {
            let (given, made) = output.tokens().split_at(output.n_input());
            (Dynamic::from(text_of(given)), Dynamic::from(text_of(made)))
        };
        self.0.iter().map(parts).collect()
    }
}

/// A character that several tokens share stands in each of them.
fn text_of(tokens: &[Token]) -> String {
    let begins = |token: &&Token| token.part.is_none_or(|(part, _)| part == 1);
    tokens
        .iter()
        .filter(begins)
        .map(|token| token.text.as_str())
        .collect()
}

impl Show for Outputs {
    fn view(&self) -> Result<Box<dyn Explorable>, ScriptError> {
        Ok(match self.0.is_empty() {
            true => Box::new(Plain(self.line())),
            false => Box::new(self.table()?.shown()),
        })
    }

    fn line(&self) -> String {
        format!("{} outputs", self.0.len())
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        vec![("length", format!("{} outputs", self.0.len()))]
    }
}

impl IntoIterator for Outputs {
    type Item = Generation;
    type IntoIter = std::vec::IntoIter<Generation>;

    fn into_iter(self) -> Self::IntoIter {
        let all: Vec<Generation> = self.0.iter().cloned().collect();
        all.into_iter()
    }
}
