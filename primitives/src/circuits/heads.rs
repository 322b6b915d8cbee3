//! `lm.head_scores`: what every head does.

use std::rc::Rc;

use ecco_explain::heads::{HeadOptions, HeadScore, head_scores};
use ecco_widgets::{Explorable, Heads};
use ndarray::Array2;
use rhai::{Array, Dynamic, FLOAT, INT, Map};

use crate::models::model::Model;
use ecco_scripting::options::Choice;
use ecco_scripting::result::{Explanation, Show};
use ecco_scripting::session::watched;
use ecco_scripting::tensor::Tensor;
use ecco_scripting::{ErrorKind, Registry, ScriptError, members, options};

options! {
    /// What `head_scores` can be told.
    pub struct HeadScoreOptions {
        /// how many random tokens stand twice
        n: Option<usize> = "50, or as many as the model can read twice",
        /// how many texts are averaged
        texts: usize [1..] = 4,
        /// which random tokens
        seed: u64 = 0,
        /// the score that heads are sorted by at first
        by: Choice<HeadScore> = Choice(HeadScore::Induction),
    }
}

/// Scores of every head of a model.
#[derive(Clone)]
pub(crate) struct HeadScores {
    model: Rc<str>,
    by: HeadScore,
    found: Rc<ecco_explain::heads::HeadScores>,
}

/// Texts that are averaged at most.
const MOST_TEXTS: usize = 1000;

impl HeadScores {
    fn new(lm: &Model, options: &HeadScoreOptions) -> Result<Self, ScriptError> {
        let (loaded, state) = (lm.loaded()?, lm.state()?);
        if options.texts > MOST_TEXTS {
            let message = format!("texts is {}: at most {MOST_TEXTS} are averaged", options.texts);
            return Err(ScriptError::new(ErrorKind::Value, message).pointing_at("texts"));
        }
        let settings = HeadOptions {
            n: options.n,
            n_texts: options.texts,
            seed: options.seed,
        };
        let found = watched(&state, lm.verbose, |watch| head_scores(&loaded, &settings, watch))?;
        Ok(Self {
            model: lm.card().name.as_str().into(),
            by: options.by.0,
            found: Rc::new(found),
        })
    }

    fn table(&self, score: HeadScore) -> Result<&Array2<f64>, ScriptError> {
        let found = self.found.scores.iter().find(|(each, _)| *each == score);
        found.map(|(_, table)| table).ok_or_else(|| {
            let message = format!("{} is not defined for this model", score.name());
            let names: Vec<&str> = self.found.scores.iter().map(|(score, _)| score.name()).collect();
            ScriptError::new(ErrorKind::Value, message).with_hint(format!("it has {}", names.join(", ")))
        })
    }

    fn named(&self, name: &str) -> Result<HeadScore, ScriptError> {
        HeadScore::parse(name).ok_or_else(|| {
            ScriptError::new(ErrorKind::Value, format!("there is no score {name:?}"))
                .with_hint(format!("there are {}", HeadScore::ALL_NAMES.join(", ")))
        })
    }

    /// The heads with the largest score, as maps.
    fn top(&self, score: &str, n: INT) -> Result<Array, ScriptError> {
        let n = usize::try_from(n)
            .ok()
            .filter(|&n| n > 0)
            .ok_or_else(|| ScriptError::new(ErrorKind::Value, format!("n is {n}: ask for at least 1")))?;
        let table = self.table(self.named(score)?)?;
        let mut heads: Vec<((usize, usize), f64)> =
            table.indexed_iter().map(|(at, &value)| (at, value)).collect();
        heads.retain(|(_, value)| value.is_finite());
        heads.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        let map = |((layer, head), value): ((usize, usize), f64)| {
            Dynamic::from_map(Map::from([
                ("layer".into(), Dynamic::from_int(layer as INT)),
                ("head".into(), Dynamic::from_int(head as INT)),
                ("score".into(), Dynamic::from_float(value as FLOAT)),
            ]))
        };
        Ok(heads.into_iter().take(n).map(map).collect())
    }

    fn about(&self) -> String {
        let found = &self.found;
        let texts = if found.n_texts == 1 {
            "1 text".to_owned()
        } else {
            format!("{} texts", found.n_texts)
        };
        let of = if found.encoder { " of the encoder" } else { "" };
        format!("{} random tokens twice, {texts}{of}", found.n)
    }
}

impl Show for HeadScores {
    fn view(&self) -> Result<Box<dyn Explorable>, ScriptError> {
        let rows = |table: &Array2<f64>| {
            let row = |row: ndarray::ArrayView1<f64>| row.iter().map(|&x| x as f32).collect();
            table.outer_iter().map(row).collect()
        };
        Ok(Box::new(Heads {
            model: Some(self.model.to_string()),
            about: self.about(),
            scores: self
                .found
                .scores
                .iter()
                .map(|(score, _)| score.name().to_owned())
                .collect(),
            by: self.by.name().to_owned(),
            values: self.found.scores.iter().map(|(_, table)| rows(table)).collect(),
        }))
    }

    fn line(&self) -> String {
        let (n_layers, n_heads) = self.found.scores.first().map_or((0, 0), |(_, table)| table.dim());
        format!("scores of {n_layers} layers × {n_heads} heads ({})", self.about())
    }
}

impl Explanation for HeadScores {
    fn tensors(&self) -> Result<Vec<(&'static str, Tensor)>, ScriptError> {
        let mut all: Vec<(&'static str, Tensor)> = Vec::new();
        for (score, table) in &self.found.scores {
            all.push((score.name(), tensor(table)));
        }
        all.sort_by_key(|(name, _)| *name != self.by.name());
        Ok(all)
    }
}

fn tensor(table: &Array2<f64>) -> Tensor {
    Tensor::new(table.mapv(|x| x as f32).into_dyn(), &["layer", "head"])
}

pub(super) fn register(registry: &mut Registry) {
    members! { registry, [Model];
        /// What every head does: where it looks on random tokens that stand twice (`induction`, `duplicate`, `previous`,
        /// `self`, `first`, `entropy`, `relative_entropy`, `distance`), and what its weights say without any text: `copying`
        /// (1: writes the token it looks at) and `matching` (1: looks for tokens like the one that is read). Of an
        /// encoder–decoder the heads of its encoder.
        ///
        /// Example:
        /// ```rhai
        /// let heads = lm.head_scores(#{by: "previous"});
        /// heads.top("induction", 3)
        /// ```
        volatile fn head_scores(lm: &Model; options: HeadScoreOptions) -> HeadScores {
            HeadScores::new(lm, &options)
        }
    }
    members! { registry, [HeadScores];
        /// One score of all heads: a tensor (layer, head).
        fn score(heads: &HeadScores, name: &str) -> Tensor { Ok(tensor(heads.table(heads.named(name)?)?)) }

        /// The `n` heads with the largest score, as maps with `layer`, `head` and `score`.
        ///
        /// Example:
        /// ```rhai
        /// heads.top("duplicate", 5)
        /// ```
        fn top(heads: &HeadScores, name: &str, n: INT) -> Array { heads.top(name, n) }

        /// The names of the scores that this model has.
        get names(heads: &HeadScores) -> Array {
            Ok(heads.found.scores.iter().map(|(score, _)| score.name().into()).collect())
        }
    }
}
