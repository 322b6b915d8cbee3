//! A result for each of several texts: a list that computes what is missing when it is shown or read, and keeps what is
//! done when that is interrupted. `long` has a row for each of their numbers.

mod long;

use std::cell::{OnceCell, RefCell};
use std::collections::HashMap;
use std::ops::Range;
use std::rc::Rc;

use ecco_interpreter::Progress;
use ecco_models::run::{Input, batches};
use ecco_scripting::result::{Explanation, Room, Show, known};
use ecco_scripting::session::each;
use ecco_scripting::table::{self, Table};
use ecco_scripting::tensor::Tensor;
use ecco_scripting::tensor::work::Work;
use ecco_scripting::{ErrorKind, Registry, RhaiResult, ScriptError, members};
use ecco_widgets::{Explorable, ResultRow, TableCell};
use rhai::{Array, Dynamic, FuncRegistration, INT};

use long::Long;

use super::generation::Generation;
use super::outputs::Outputs;
use super::passage::Passage;
use super::run::of_text;
use crate::models::model::Model;

/// A result that there can be a list of, one for each text.
pub(crate) trait OfText: Explanation + Clone + 'static {
    /// What one is called.
    const NAME: &'static str;

    /// A few numbers that say the most, by name. What was not computed yet is computed here.
    fn figures(&self) -> Result<Vec<(String, Dynamic)>, ScriptError>;
}

/// Clones share everything.
#[derive(Clone)]
pub(crate) struct Results(Rc<Inner>);

struct Inner {
    model: Model,
    texts: Vec<String>,
    kind: Kind,
    /// Those that are made.
    values: Vec<OnceCell<Dynamic>>,
    /// Makes those of some texts.
    make: Box<Make>,
    /// Texts whose results are made together, and of each text where it is among these.
    groups: Vec<Vec<usize>>,
    group_of: Vec<usize>,
    /// Of those that are computed.
    figures: RefCell<Vec<Option<Figures>>>,
}

type Make = dyn Fn(&[usize]) -> Result<Vec<Dynamic>, ScriptError>;
type Figures = Vec<(String, Dynamic)>;

/// What can be done with a result whose type is forgotten.
#[derive(Clone, Copy)]
struct Kind {
    name: &'static str,
    figures: fn(&Dynamic) -> Result<Figures, ScriptError>,
    numbers: fn(&Dynamic, usize, &mut Long, &Work) -> Result<(), ScriptError>,
}

impl Kind {
    fn of<T: OfText>() -> Self {
        Self {
            name: T::NAME,
            figures: |value| read::<T>(value)?.figures(),
            numbers: |value, text, long, work| long.add(text, &read::<T>(value)?, work),
        }
    }
}

fn read<T: Clone + 'static>(value: &Dynamic) -> Result<T, ScriptError> {
    let value = value.read_lock::<T>().map(|value| value.clone());
    value.ok_or_else(|| ScriptError::new(ErrorKind::Internal, "a list of something else"))
}

/// Pages and documents in a page: so many, and so many bytes of each.
const MOST_WHOLE: usize = 200;
const MOST_BYTES: usize = 4 << 20;
/// What is said where a list is interrupted.
const KEPT: &str = "what is done is kept: show or read the list again, and it goes on from there";

fn empty() -> ScriptError {
    ScriptError::new(ErrorKind::Value, "the list of texts is empty")
        .with_hint("give some: [\"one text\", \"another\"]")
}

impl Results {
    /// Made of each text by itself, when it is asked for; of a list that is not empty.
    ///
    /// # Errors
    /// An empty list.
    pub(crate) fn new<T: OfText, S: 'static>(
        model: &Model,
        texts: Vec<(String, S)>,
        make: impl Fn(&S) -> Result<T, ScriptError> + 'static,
    ) -> Result<Self, ScriptError> {
        let (texts, sources): (Vec<String>, Vec<S>) = texts.into_iter().unzip();
        let groups = (0..texts.len()).map(|at| vec![at]).collect();
        Self::of_groups(model, texts, groups, move |group| {
            group.iter().map(|&at| make(&sources[at])).collect()
        })
    }

    /// Made of `step` texts together, one behind the other.
    ///
    /// # Errors
    /// An empty list.
    pub(crate) fn of_parts<T: OfText>(
        model: &Model,
        texts: Vec<String>,
        step: usize,
        make: impl Fn(Range<usize>) -> Result<Vec<T>, ScriptError> + 'static,
    ) -> Result<Self, ScriptError> {
        let all: Vec<usize> = (0..texts.len()).collect();
        let groups = all.chunks(step).map(<[usize]>::to_vec).collect();
        Self::of_groups(model, texts, groups, move |group| {
            make(group[0]..group[0] + group.len())
        })
    }

    /// Made of the texts of a group together; each is in one group.
    ///
    /// # Errors
    /// An empty list.
    fn of_groups<T: OfText>(
        model: &Model,
        texts: Vec<String>,
        groups: Vec<Vec<usize>>,
        make: impl Fn(&[usize]) -> Result<Vec<T>, ScriptError> + 'static,
    ) -> Result<Self, ScriptError> {
        if texts.is_empty() {
            return Err(empty());
        }
        let mut group_of = vec![0; texts.len()];
        for (number, group) in groups.iter().enumerate() {
            group.iter().for_each(|&at| group_of[at] = number);
        }
        let make = move |group: &[usize]| Ok(make(group)?.into_iter().map(Dynamic::from).collect());
        Ok(Self(Rc::new(Inner {
            model: model.plain(),
            kind: Kind::of::<T>(),
            values: texts.iter().map(|_| OnceCell::new()).collect(),
            figures: RefCell::new(vec![None; texts.len()]),
            make: Box::new(make),
            groups,
            group_of,
            texts,
        })))
    }

    /// The same of outputs that are about equally long together: those that a model reads side by side.
    pub(crate) fn of_outputs_together<T: OfText>(
        outputs: &Outputs,
        make: impl Fn(&[Passage]) -> Result<Vec<T>, ScriptError> + 'static,
    ) -> Result<Self, ScriptError> {
        let text = |output: &Generation| (output.text().to_owned(), output.passage());
        Self::of_passages(outputs.all().iter().map(text).collect(), make)
    }

    /// The same of texts of a model; an error where there are none.
    pub(crate) fn of_passages<T: OfText>(
        texts: Vec<(String, Passage)>,
        make: impl Fn(&[Passage]) -> Result<Vec<T>, ScriptError> + 'static,
    ) -> Result<Self, ScriptError> {
        let (texts, passages): (Vec<String>, Vec<Passage>) = texts.into_iter().unzip();
        let first = passages.first().ok_or_else(empty)?;
        let model = first.model().clone();
        let inputs: Vec<Input> = passages.iter().map(|passage| passage.input().clone()).collect();
        let groups = batches(&*model.loaded()?, &inputs);
        Self::of_groups(&model, texts, groups, move |group| {
            let some: Vec<Passage> = group.iter().map(|&at| passages[at].clone()).collect();
            make(&some)
        })
    }

    /// Something of each result, where they are of that type.
    ///
    /// # Errors
    /// Results of another type.
    pub(crate) fn then<T: OfText, U: OfText>(
        &self,
        make: impl Fn(&T) -> Result<U, ScriptError> + 'static,
    ) -> Result<Self, ScriptError> {
        let list = self.clone();
        if self.0.kind.name != T::NAME {
            let message = format!(
                "this is a list of {} results, and it takes one of {} results",
                self.0.kind.name,
                T::NAME
            );
            return Err(ScriptError::new(ErrorKind::Type, message));
        }
        let texts = self.0.texts.iter().cloned().zip(0..).collect();
        Self::new(&self.0.model, texts, move |at| {
            make(&read::<T>(list.value(*at)?)?)
        })
    }

    /// One of them, made with its group if it is not there yet.
    fn value(&self, at: usize) -> Result<&Dynamic, ScriptError> {
        let Inner {
            values,
            make,
            groups,
            group_of,
            ..
        } = &*self.0;
        if let Some(value) = values[at].get() {
            return Ok(value);
        }
        let group = groups[group_of[at]].as_slice();
        let (made, places) = match make(group) {
            // Which of the texts it is about is learnt from those by themselves.
            Err(error) if error.kind != ErrorKind::Interrupt && group.len() > 1 => (make(&[at])?, &[at][..]),
            made => (made?, group),
        };
        for (made, &place) in made.into_iter().zip(places) {
            let _ = values[place].set(made);
        }
        values[at]
            .get()
            .ok_or_else(|| ScriptError::new(ErrorKind::Internal, "a text without a result"))
    }

    /// Computes what is not computed yet, under one display.
    fn figures(&self) -> Result<Vec<Figures>, ScriptError> {
        let inner = &*self.0;
        let missing = |figures: &[Option<Figures>]| {
            let of = figures
                .iter()
                .enumerate()
                .filter(|(_, figures)| figures.is_none());
            let mut of: Vec<usize> = of.map(|(at, _)| at).collect();
            // Those that are made together one after the other.
            of.sort_by_key(|&at| inner.group_of[at]);
            of
        };
        let missing = missing(&inner.figures.borrow());
        if !missing.is_empty() {
            let state = inner.model.state()?;
            let progress = Progress {
                label: inner.kind.name.into(),
                done: (inner.texts.len() - missing.len()) as u64,
                total: Some(inner.texts.len() as u64),
                unit: "texts",
            };
            let ended = each(&state, inner.model.verbose, progress, &missing, |at| {
                let figures = (inner.kind.figures)(self.value(at)?)?;
                inner.figures.borrow_mut()[at] = Some(figures);
                Ok(())
            });
            ended.map_err(|(at, error): (usize, ScriptError)| match error.kind {
                ErrorKind::Interrupt => error.with_hint(KEPT),
                _ => of_text(error, at),
            })?;
        }
        Ok(inner
            .figures
            .borrow()
            .iter()
            .cloned()
            .map(Option::unwrap_or_default)
            .collect())
    }

    /// The names of all figures, in the order in which they come up, and those of each text in that order.
    fn columns(&self) -> Result<(Vec<String>, Vec<Vec<Dynamic>>), ScriptError> {
        let figures = self.figures()?;
        let (mut names, mut places) = (Vec::new(), HashMap::new());
        for (name, _) in figures.iter().flatten() {
            if !places.contains_key(name) {
                places.insert(name.clone(), names.len());
                names.push(name.clone());
            }
        }
        let row = |figures: Figures| {
            let mut row = vec![Dynamic::UNIT; names.len()];
            figures
                .into_iter()
                .for_each(|(name, value)| row[places[&name]] = value);
            row
        };
        let rows = figures.into_iter().map(row).collect();
        Ok((names, rows))
    }

    fn table(&self) -> Result<Table, ScriptError> {
        let (names, rows) = self.columns()?;
        let texts = self.0.texts.iter().map(|text| text.clone().into()).collect();
        let column = |(at, name): (usize, String)| {
            let values = rows.iter().map(|row| row[at].clone()).collect();
            (name, values)
        };
        let figures = names.into_iter().enumerate().map(column);
        Table::new([("text".to_owned(), texts)].into_iter().chain(figures).collect())
    }

    /// A row for each number.
    fn numbers(&self, work: &Work) -> Result<Table, ScriptError> {
        self.figures()?;
        let mut long = Long::default();
        for at in 0..self.0.texts.len() {
            work.check()?;
            (self.0.kind.numbers)(self.value(at)?, at, &mut long, work)?;
        }
        long.table()
    }

    fn view(&self) -> Result<ecco_widgets::Results, ScriptError> {
        let (columns, rows) = self.columns()?;
        let (mut shown, mut bytes) = (Vec::new(), 0);
        for (at, figures) in rows.iter().enumerate() {
            let mut row = ResultRow {
                text: self.0.texts[at].clone(),
                figures: figures.iter().map(table::cell).collect::<Vec<TableCell>>(),
                ..ResultRow::default()
            };
            if at < MOST_WHOLE && bytes < MOST_BYTES {
                self.0.model.state()?.check_interrupt()?;
                let value = self.value(at)?;
                row.page = known::page(value).transpose()?.flatten();
                row.result = known::json(value).transpose()?.flatten();
                bytes += row.page.as_ref().map_or(0, String::len);
            }
            shown.push(row);
        }
        Ok(ecco_widgets::Results {
            model: Some(self.0.model.card().name.clone()),
            about: self.0.kind.name.to_owned(),
            columns,
            rows: shown,
        })
    }

    fn at(&self, index: INT) -> Result<Dynamic, ScriptError> {
        let n = self.0.texts.len();
        let place = match index < 0 {
            true => index.saturating_add(n as INT),
            false => index,
        };
        let place = usize::try_from(place).ok().filter(|place| *place < n);
        let place = place.ok_or_else(|| {
            ScriptError::new(
                ErrorKind::Index,
                format!("there is no result {index}: the list has {n}"),
            )
        })?;
        self.value(place).cloned().map_err(|error| of_text(error, place))
    }

    /// Nothing behind the last.
    pub(super) fn get(&self, at: usize) -> Result<Option<Dynamic>, ScriptError> {
        (at < self.0.texts.len()).then(|| self.at(at as INT)).transpose()
    }

    fn array(&self) -> Result<Array, ScriptError> {
        (0..self.0.texts.len() as INT).map(|at| self.at(at)).collect()
    }
}

pub(super) fn register(registry: &mut Registry) {
    registry.engine.register_iterator::<Results>();
    FuncRegistration::new_index_getter()
        .with_purity(true)
        .with_comments(["/// The result of one of the texts; negative numbers count from the last."])
        .with_params_info(["results: &mut Results", "index: INT", "Dynamic"])
        .register_into_engine(
            registry.engine,
            |results: &mut Results, index: INT| -> RhaiResult<Dynamic> { Ok(results.at(index)?) },
        );
    members! { registry, [Results];
        /// A table with a row for each text and what says the most of its result: of saliencies the target, its value, the
        /// token with the largest score and how far off completeness is; of lenses after which layer the most probable tokens
        /// stay; of candidates the first one and its probability; of measurements and comparisons their figures.
        ///
        /// Example:
        /// ```rhai
        /// lm.attribute(texts).table.sort("value", #{descending: true})
        /// ```
        get table(results: &Results) -> Table { results.table() }

        /// A table with a row for each of the main numbers of each result, as a file of csv has them of one: the number of its
        /// text, its place along each axis, what that is called and, of tokens, whether it was `given` or `written`, and its `value`. What
        /// is alike in several texts is then a group.
        ///
        /// Example:
        /// ```rhai
        /// outputs.saliency().numbers().group(["position_label", "position_role"], #{mean: "value", interval: "value"})
        /// ```
        fn numbers(state, results: &Results) -> Table {
            results.numbers(&Work::new(state))
        }

        /// How many texts they are of.
        fn len(results: &Results) -> INT { Ok(results.0.texts.len() as INT) }
    }
}

impl Show for Results {
    fn view(&self) -> Result<Box<dyn Explorable>, ScriptError> {
        Ok(Box::new(self.view()?))
    }

    fn line(&self) -> String {
        format!("{} of {} texts", self.0.kind.name, self.0.texts.len())
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        vec![("length", format!("{} results", self.0.texts.len()))]
    }
}

impl Explanation for Results {
    /// Each has its own.
    fn tensors(&self) -> Result<Vec<(&'static str, Tensor)>, ScriptError> {
        Ok(Vec::new())
    }

    /// The results themselves.
    fn to_array(&self, _: Room) -> Result<Array, ScriptError> {
        self.array()
    }
}

impl IntoIterator for Results {
    type Item = Dynamic;
    type IntoIter = Box<dyn Iterator<Item = Dynamic>>;

    /// What cannot be made ends the list: an index says why.
    fn into_iter(self) -> Self::IntoIter {
        Box::new((0..self.0.texts.len() as INT).map_while(move |at| self.at(at).ok()))
    }
}
