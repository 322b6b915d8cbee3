//! The most probable tokens at every position: `top_k`.

use std::cell::OnceCell;
use std::rc::Rc;

use ecco_explain::lens::{Question, Reading, lens};
use ecco_scripting::result::{Explanation, Show};
use ecco_scripting::tensor::Tensor;
use ecco_scripting::{Registry, ScriptError, members, options};
use ecco_widgets::Explorable;
use ecco_widgets::TopKPosition;
use ndarray::{ArrayD, IxDyn};

use crate::text::generation::Generation;
use crate::text::passage::Passage;
use crate::text::reading;
use crate::text::run::Run;
use crate::text::shown::shown_one;

options! {
    /// What `top_k` can be told.
    pub struct TopKOptions {
        /// how many tokens at each position
        k: usize [1..] = 5,
    }
}

/// Computed when it is first shown or read. Clones share it.
#[derive(Clone)]
pub(super) struct TopK {
    passage: Passage,
    k: usize,
    readings: Rc<OnceCell<Vec<Reading>>>,
}

impl TopK {
    /// By predicted position.
    fn readings(&self) -> Result<&[Reading], ScriptError> {
        if let Some(readings) = self.readings.get() {
            return Ok(readings);
        }
        let passage = &self.passage;
        let loaded = passage.model().loaded()?;
        let rows = passage.predicted().map(|at| passage.predicted_at(at));
        let standing = passage
            .predicted()
            .map(|at| passage.token(at).iter().map(|token| token.id).collect());
        let question = Question {
            rows: rows.collect::<Result<_, _>>()?,
            depths: vec![passage.model().card().n_layers],
            top_k: self.k,
            watch: standing.collect(),
            raw: false,
        };
        let found = passage.watched(|watch| lens(&loaded, passage.input(), &question, watch))??;
        let last = found.readings.into_iter().next_back().unwrap_or_default();
        reading::about_numbers(
            passage.model(),
            !last.iter().any(|reading| reading.entropy.is_nan()),
        )?;
        Ok(self.readings.get_or_init(|| last))
    }
}

impl Show for TopK {
    fn view(&self) -> Result<Box<dyn Explorable>, ScriptError> {
        let (passage, loaded) = (&self.passage, self.passage.model().loaded()?);
        let named = |id: u32| shown_one(&loaded.tokenizer().tokens(&[id])[0]);
        let row = |(position, reading): (usize, &Reading)| TopKPosition {
            position,
            token: passage.token(position).map(shown_one),
            rank: reading.watched.first().map(|own| own.rank),
            probability: reading.watched.first().map(|own| own.probability),
            top: reading
                .top
                .iter()
                .map(|(id, probability)| (named(*id), *probability))
                .collect(),
        };
        Ok(Box::new(ecco_widgets::TopK {
            model: Some(passage.model().card().name.clone()),
            k: self.k,
            positions: passage.predicted().zip(self.readings()?).map(row).collect(),
        }))
    }

    fn line(&self) -> String {
        format!(
            "the {} most probable tokens at each position of {}",
            self.k,
            self.passage.phrase()
        )
    }
}

impl Explanation for TopK {
    fn tensors(&self) -> Result<Vec<(&'static str, Tensor)>, ScriptError> {
        let readings = self.readings()?;
        let shape = IxDyn(&[
            readings.len(),
            readings.first().map_or(0, |reading| reading.top.len()),
        ]);
        let tensor = |of: fn(&(u32, f32)) -> f32| {
            let values = ArrayD::from_shape_fn(shape.clone(), |at| of(&readings[at[0]].top[at[1]]));
            Tensor::new(values, &["position", "candidate"])
        };
        Ok(vec![
            ("probabilities", tensor(|top| top.1)),
            ("token_ids", tensor(|top| top.0 as f32)),
        ])
    }
}

pub(super) fn register(registry: &mut Registry) {
    registry.result::<TopK>("TopK", "top");
    members! { registry, [Generation, Run];
        /// The most probable tokens at every position of the text, and how probable the one is that stands there. Numbers
        /// are tensors (position, candidate), from the first predicted position on.
        ///
        /// Example:
        /// ```rhai
        /// lm.run("The capital of France is").top_k(#{k: 3})
        /// ```
        fn top_k(passage: Passage; options: TopKOptions) -> TopK {
            Ok(TopK { passage, k: options.k, readings: Rc::default() })
        }
    }
}
