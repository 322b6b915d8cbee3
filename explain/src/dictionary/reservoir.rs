//! States of texts in random order, as many of them at a time as fit.

use ecco_interpreter::Watch;
use ecco_models::dictionary::Spot;
use ecco_models::guard::guard;
use ecco_models::host::{self, bring};
use ecco_models::run::Input;
use ecco_models::tap::Tap;
use ecco_models::{Model, Site};
use tch::{Device, Kind, Tensor};

use crate::error::Result;
use crate::random::RandomState;
use crate::states::{by_position, in_batches, length};

/// Where states are read.
pub(super) struct States<'a> {
    pub model: &'a Model,
    pub spot: Spot,
    /// The first position of a text.
    pub from: usize,
    /// As what states are computed with, and where.
    pub place: (Kind, Device),
}

impl States<'_> {
    /// What stands there in texts, batch by batch: `[row, number]`.
    pub(super) fn read(
        &self,
        texts: &[Input],
        watch: &mut Watch,
        each: &mut dyn FnMut(Tensor) -> Result<()>,
    ) -> Result<()> {
        let Spot { place, layer } = self.spot;
        in_batches(self.model, texts, place, watch, |_, together, read| {
            let lengths: Vec<usize> = together.iter().map(|text| length(text, place)).collect();
            let longest = lengths.iter().copied().max().unwrap_or(0);
            let rows = lengths.iter().enumerate();
            let rows = rows.flat_map(|(at, n)| (self.from..*n).map(move |p| (at * longest + p) as i64));
            let mut tap = Rows {
                at: (place.site, layer),
                places: rows.collect(),
                found: None,
            };
            read(&mut tap)?;
            match tap.found {
                Some(rows) if rows.size()[0] > 0 => each(guard(|| Ok(bring(&rows, self.place)))?),
                _ => Ok(()),
            }
        })
    }
}

/// Keeps some rows of what stands at a site of a layer.
struct Rows {
    at: (Site, usize),
    /// Counted over texts side by side.
    places: Vec<i64>,
    found: Option<Tensor>,
}

impl Tap for Rows {
    fn wants(&self, site: Site, layer: usize) -> bool {
        self.at == (site, layer)
    }

    fn visit(&mut self, site: Site, layer: usize, value: Tensor) -> Tensor {
        if self.wants(site, layer) {
            let rows = host::index(&self.places, value.device());
            self.found = Some(by_position(&value).flatten(0, 1).index_select(0, &rows));
        }
        value
    }
}

/// States of some texts at a time, from which rows are drawn.
pub(super) struct Reservoir<'a> {
    pub states: States<'a>,
    texts: &'a [Input],
    pub random: RandomState,
    /// Texts that are still to be read before all begin again.
    order: Vec<usize>,
    most_rows: usize,
    /// Whether it has those of all texts.
    is_whole: bool,
    /// `[row, number]`
    pub rows: Tensor,
    /// Rows that are still to be drawn.
    left: Vec<usize>,
}

impl<'a> Reservoir<'a> {
    /// Of texts, that many rows at a time; nothing is read yet.
    pub(super) fn new(states: States<'a>, texts: &'a [Input], random: RandomState, most_rows: usize) -> Self {
        Self {
            states,
            texts,
            random,
            order: Vec::new(),
            most_rows,
            is_whole: false,
            rows: Tensor::new(),
            left: Vec::new(),
        }
    }

    /// So many rows, none of them twice: `[row, number]`.
    pub(super) fn next(&mut self, n: usize, watch: &mut Watch) -> Result<Tensor> {
        if self.left.len() < n {
            self.fill(watch)?;
        }
        let rows = self.left.split_off(self.left.len().saturating_sub(n));
        let rows: Vec<i64> = rows.into_iter().map(|row| row as i64).collect();
        Ok(guard(|| {
            Ok(self
                .rows
                .index_select(0, &host::index(&rows, self.states.place.1)))
        })?)
    }

    /// Reads other texts, where there are others, and has all rows drawn anew.
    pub(super) fn fill(&mut self, watch: &mut Watch) -> Result<()> {
        if !self.is_whole {
            let (mut some, mut n_rows) = (Vec::new(), 0);
            while n_rows < self.most_rows && some.len() < self.texts.len() {
                if self.order.is_empty() {
                    self.order = self.random.shuffled(self.texts.len());
                }
                let Some(at) = self.order.pop() else { break };
                let text = &self.texts[at];
                n_rows += length(text, self.states.spot.place).saturating_sub(self.states.from);
                some.push(text.clone());
            }
            self.is_whole = some.len() == self.texts.len();
            self.rows = Tensor::new();
            let mut found = Vec::new();
            self.states.read(&some, watch, &mut |rows| {
                found.push(rows);
                Ok(())
            })?;
            self.rows = guard(|| Ok(Tensor::cat(&found, 0)))?;
        }
        let n_rows = self.rows.size()[0] as usize;
        self.left = self.random.shuffled(n_rows);
        Ok(())
    }
}
