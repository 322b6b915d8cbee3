//! Input saliency: computed when it is first shown or read, once for the same targets and options.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use ecco_explain::{
    Aggregation, Attribution, AttributionOptions, Combine, Completeness, Faithfulness, Group, Grouping,
    Quantity, combine, group,
};
use ecco_widgets::saliency::{
    Check, CheckNote, Completeness as ShownCompleteness, Target as NamedTarget, Targets as ShownTargets,
};
use ecco_widgets::{Explorable, SaliencyStyle, Scale, Unit};
use ndarray::{ArrayD, IxDyn};
use rhai::Array;

use crate::attribution::computed::{self, Computed};
use crate::attribution::targets::{Selection, Targets};
use crate::live::Asking;
use crate::text::passage::Passage;
use crate::text::shown::shown;
use ecco_scripting::errors::ScriptError;
use ecco_scripting::live::Live;
use ecco_scripting::result::numbers::short;
use ecco_scripting::result::{Explanation, Room, Show, ragged};
use ecco_scripting::tensor::Tensor;

#[derive(Clone)]
pub(super) struct Saliency {
    pub passage: Passage,
    pub selection: Selection,
    pub options: AttributionOptions,
    pub scoring: Scoring,
    pub style: SaliencyStyle,
    /// Positions whose contribution is left out.
    pub ignored: Rc<Vec<usize>>,
    pub asked: Asking,
}

/// What has one score.
#[derive(Clone, Default)]
pub(super) struct Scoring {
    pub unit: Unit,
    pub grouping: Option<Grouping>,
    pub combine: Combine,
}

/// Rows for people: of tokens or groups, without what is ignored.
struct Rows {
    groups: Option<Vec<Group>>,
    scores: Vec<Vec<f32>>,
}

impl Saliency {
    pub(super) fn targets(&self) -> Result<Rc<Targets>, ScriptError> {
        self.selection.targets(&self.passage)
    }

    pub(super) fn computed(&self) -> Result<Computed, ScriptError> {
        computed::attribution(&self.passage, &self.targets()?.list, &self.options)
    }

    pub(super) fn attribution(&self) -> Result<Rc<Attribution>, ScriptError> {
        Ok(self.computed()?.attribution)
    }

    /// What is explained: "probability".
    pub(super) fn of(&self) -> Result<Quantity, ScriptError> {
        let targets = self.targets()?;
        Ok(targets.list.first().map(|target| target.of).unwrap_or_default())
    }

    fn measured(&self) -> Result<Option<Rc<Faithfulness>>, ScriptError> {
        Ok(computed::latest_faithfulness(
            &self.passage,
            &self.targets()?.list,
            &self.options,
        ))
    }

    pub(super) fn scale(&self) -> Scale {
        match self.options.aggregation.is_signed() {
            true => Scale::Signed,
            false => Scale::Shares,
        }
    }

    /// Shares of each row, or contributions with their sign in units of what is explained; of groups where these are
    /// wanted.
    fn rows(&self) -> Result<Rows, ScriptError> {
        let attribution = self.attribution()?;
        let mut scores = match self.options.aggregation {
            Aggregation::Sum => contributions(&attribution),
            _ => attribution.scores.clone(),
        };
        for row in &mut scores {
            self.ignore(row);
        }
        let groups = self.groups()?;
        if let Some(groups) = &groups {
            scores = scores
                .iter()
                .map(|row| grouped(row, groups, self.scoring.combine))
                .collect();
        }
        Ok(Rows { groups, scores })
    }

    /// Shares are brought to a sum of 1 again.
    fn ignore(&self, row: &mut [f32]) {
        if self.ignored.is_empty() {
            return;
        }
        for &position in self.ignored.iter() {
            if let Some(score) = row.get_mut(position) {
                *score = 0.0;
            }
        }
        let sum: f32 = row.iter().map(|score| score.abs()).sum();
        if self.scale() == Scale::Shares && sum > 0.0 {
            row.iter_mut().for_each(|score| *score /= sum);
        }
    }

    /// A row for each target: of tokens or groups, without what is ignored.
    pub(super) fn scores(&self) -> Result<Vec<Vec<f32>>, ScriptError> {
        Ok(self.rows()?.scores)
    }

    /// What the token or group of a number is called.
    pub(super) fn unit_name(&self, at: usize) -> Result<String, ScriptError> {
        let name = match self.groups()? {
            Some(groups) => groups.get(at).map(|group| group.text.clone()),
            None => self.passage.tokens().get(at).map(|token| token.text.clone()),
        };
        Ok(name.unwrap_or_default())
    }

    /// The groups that have one score, where these are not tokens.
    pub(super) fn groups(&self) -> Result<Option<Vec<Group>>, ScriptError> {
        let grouping = self.scoring.grouping.as_ref();
        grouping.map(|grouping| self.grouped(grouping)).transpose()
    }

    fn grouped(&self, grouping: &Grouping) -> Result<Vec<Group>, ScriptError> {
        let (read, written) = self.passage.tokens().split_at(self.passage.n_input());
        Ok(match self.passage.is_pair() {
            true => group(&[read, written], grouping)?,
            false => group(&[self.passage.tokens()], grouping)?,
        })
    }

    /// The first tokens of words, lines and sentences, over which a page sums.
    fn units(&self) -> Result<BTreeMap<String, Vec<usize>>, ScriptError> {
        let all = [
            ("word", Grouping::Words),
            ("line", Grouping::Lines),
            ("sentence", Grouping::Sentences),
        ];
        let firsts = |grouping| -> Result<Vec<usize>, ScriptError> {
            let groups = self.grouped(grouping)?;
            Ok(groups.iter().map(|group| group.tokens.start).collect())
        };
        let units = all
            .iter()
            .map(|(name, grouping)| Ok(((*name).to_owned(), firsts(grouping)?)));
        units.collect()
    }

    pub(super) fn view(&self) -> Result<ecco_widgets::Saliency, ScriptError> {
        let (targets, attribution, rows) = (self.targets()?, self.attribution()?, self.rows()?);
        let passage = &self.passage;
        let Self { options, scoring, .. } = self;
        let baseline = options.baseline.name();
        let mut view = ecco_widgets::Saliency {
            model: Some(passage.model().card().name.clone()),
            tokens: shown(passage.tokens()),
            unit: scoring.unit,
            n_input: passage.n_input(),
            is_pair: passage.is_pair(),
            style: self.style,
            method: options.method.label().to_owned(),
            of: quantity_text(self.of()?).to_owned(),
            targets: match &targets.named {
                None => ShownTargets::Written,
                Some(named) => ShownTargets::Named(named.clone()),
            },
            values: attribution.values.iter().map(|&value| value as f32).collect(),
            scale: self.scale(),
            scores: rows.scores,
            aggregation: Some(options.aggregation.name().to_owned()),
            baseline: options.method.has_baseline().then(|| baseline.to_owned()),
            contributions: contributions(&attribution),
            completeness: attribution
                .completeness
                .iter()
                .map(|of| of.map(completeness))
                .collect(),
            spans: vec![],
            pieces: vec![],
            reach: vec![],
            units: BTreeMap::new(),
            checks: self.checks(&attribution)?,
        };
        match rows.groups {
            Some(groups) => {
                view.reach = attribution.signed.iter().map(Vec::len).collect();
                self.regroup(&mut view, &groups);
            }
            None => view.units = self.units()?,
        }
        Ok(view)
    }

    /// Boxes become groups, and so do contributions; what was written is named above them.
    fn regroup(&self, view: &mut ecco_widgets::Saliency, groups: &[Group]) {
        let holds = |position: usize| groups.iter().position(|group| group.tokens.contains(&position));
        let named = match &view.targets {
            ShownTargets::Named(named) => named.clone(),
            ShownTargets::Written => written_names(&self.passage),
        };
        let placed = named.into_iter().map(|target| NamedTarget {
            position: target
                .position
                .map(|position| holds(position).unwrap_or(groups.len())),
            token: target.position,
            ..target
        });
        view.targets = ShownTargets::Named(placed.collect());
        view.n_input = holds(view.n_input).unwrap_or(groups.len());
        view.spans = groups
            .iter()
            .map(|group| (group.tokens.start, group.tokens.end))
            .collect();
        for row in &mut view.contributions {
            *row = grouped(row, groups, self.scoring.combine);
        }
        view.pieces = std::mem::take(&mut view.tokens);
        view.tokens = groups.iter().map(|group| unit_token(&group.text)).collect();
    }

    fn checks(&self, attribution: &Attribution) -> Result<Vec<Check>, ScriptError> {
        let mut checks = Vec::new();
        let complete: Option<Vec<CheckNote>> = attribution
            .completeness
            .iter()
            .map(|c| c.map(completeness_note))
            .collect();
        if let Some(notes) = complete.filter(|notes| !notes.is_empty()) {
            checks.push(Check {
                name: "completeness".into(),
                notes,
            });
        }
        if let Some(measured) = self.measured()? {
            let (found, random) = (measured.figures(), measured.random());
            let figure = |name: &str, value: f64, random: Option<f64>| match random {
                Some(random) => format!("{name} {} (random {})", short(value), short(random)),
                None => format!("{name} {}", short(value)),
            };
            let text = [
                figure(
                    "comprehensiveness",
                    found.comprehensiveness,
                    random.map(|r| r.comprehensiveness),
                ),
                figure("sufficiency", found.sufficiency, random.map(|r| r.sufficiency)),
            ];
            let is_good = random.map(|random| {
                found.comprehensiveness > random.comprehensiveness && found.sufficiency < random.sufficiency
            });
            checks.push(Check::of_all("faithfulness", text.join(", "), is_good));
        }
        Ok(checks)
    }

    /// (generated token, position), or (target, unit): zero where a row ends.
    pub(super) fn tensor(&self) -> Result<Tensor, ScriptError> {
        Ok(Tensor::new(padded(&self.rows()?.scores), &self.axes()?))
    }

    /// With their sign, in units of what is explained, before shares are made of them.
    pub(super) fn contributions(&self) -> Result<Tensor, ScriptError> {
        let rows = contributions(&*self.attribution()?);
        let targets = self.axes()?[0];
        Ok(Tensor::new(padded(&rows), &[targets, "position"]))
    }

    fn axes(&self) -> Result<[&'static str; 2], ScriptError> {
        let targets = match self.targets()?.named {
            None => "generated",
            Some(_) => "target",
        };
        let units = match self.scoring.unit {
            Unit::Token => "position",
            Unit::Word => "word",
            Unit::Line => "line",
            Unit::Sentence => "sentence",
            Unit::Span => "span",
        };
        Ok([targets, units])
    }

    /// Each target's name, as lists and tables have it.
    pub(super) fn target_names(&self) -> Result<Vec<NamedTarget>, ScriptError> {
        Ok(match &self.targets()?.named {
            Some(named) => named.clone(),
            None => written_names(&self.passage),
        })
    }
}

fn unit_token(text: &str) -> ecco_widgets::Token {
    ecco_widgets::Token {
        text: text.to_owned(),
        id: 0,
        part: None,
    }
}

/// The written tokens as named targets.
pub(super) fn written_names(passage: &Passage) -> Vec<NamedTarget> {
    let written = shown(passage.tokens())
        .into_iter()
        .enumerate()
        .skip(passage.n_input());
    let named = written.map(|(position, token)| NamedTarget {
        name: token,
        contrast: None,
        position: Some(position),
        token: None,
    });
    named.collect()
}

fn grouped(row: &[f32], groups: &[Group], by: Combine) -> Vec<f32> {
    combine(row, groups, by)
        .into_iter()
        .map(|score| score as f32)
        .collect()
}

fn completeness(found: Completeness) -> ShownCompleteness {
    ShownCompleteness {
        promised: found.promised,
        error: found.error,
        relative: found.relative,
    }
}

/// Rows of signed sums.
fn contributions(attribution: &Attribution) -> Vec<Vec<f32>> {
    let row = |row: &Vec<f64>| row.iter().map(|&value| value as f32).collect();
    attribution.signed.iter().map(row).collect()
}

fn padded(rows: &[Vec<f32>]) -> ArrayD<f32> {
    let width = rows.iter().map(Vec::len).max().unwrap_or(0);
    let mut all = ArrayD::zeros(IxDyn(&[rows.len(), width]));
    for (row, values) in rows.iter().enumerate() {
        for (column, &value) in values.iter().enumerate() {
            all[[row, column]] = value;
        }
    }
    all
}

/// Up to this part of what was promised, or this much of a probability, contributions count as complete: rounding of
/// single precision stays far below, a path with too few steps does not.
const COMPLETE: f64 = 0.02;

fn completeness_note(found: Completeness) -> CheckNote {
    // Of an error that is nothing but rounding only the order tells something, and is the same everywhere.
    let error = match found.error.abs() {
        0.0 => "0".to_owned(),
        error if found.relative.abs() < 1e-4 => format!("less than 1e{}", error.log10().ceil()),
        _ => short(found.error),
    };
    let text = format!("off by {error} of {}", short(found.promised));
    CheckNote {
        text,
        is_good: Some(found.relative < COMPLETE || found.error < 1e-6),
        off: found.relative,
    }
}

/// For people: "log-probability".
pub(super) fn quantity_text(of: Quantity) -> &'static str {
    match of {
        Quantity::LogProbability => "log-probability",
        other => other.name(),
    }
}

impl Show for Saliency {
    fn view(&self) -> Result<Box<dyn Explorable>, ScriptError> {
        Ok(Box::new(self.view()?))
    }

    fn live(&self) -> Option<Rc<dyn Live>> {
        self.asked.live(&self.passage)
    }

    fn line(&self) -> String {
        format!(
            "saliency ({}) of {}",
            self.options.method.label(),
            self.passage.phrase()
        )
    }
}

impl Explanation for Saliency {
    fn tensors(&self) -> Result<Vec<(&'static str, Tensor)>, ScriptError> {
        let values: Vec<f32> = self
            .attribution()?
            .values
            .iter()
            .map(|&value| value as f32)
            .collect();
        let values = ArrayD::from_shape_vec(IxDyn(&[values.len()]), values).unwrap_or_default();
        let targets = self.axes()?[0];
        Ok(vec![
            ("scores", self.tensor()?),
            ("contributions", self.contributions()?),
            ("values", Tensor::new(values, &[targets])),
        ])
    }

    fn labels(&self, axis: &str) -> Option<Vec<String>> {
        let tokens = || self.passage.tokens().iter().map(|token| token.text.clone());
        match axis {
            "generated" => Some(tokens().skip(self.passage.n_input()).collect()),
            "target" => Some(self.target_names().ok()?.iter().map(NamedTarget::line).collect()),
            "position" => Some(tokens().collect()),
            _ => Some(self.groups().ok()??.into_iter().map(|group| group.text).collect()),
        }
    }

    fn roles(&self, axis: &str) -> Option<Vec<Arc<str>>> {
        let groups = self.groups().ok()?;
        (!["generated", "target"].contains(&axis)).then(|| self.passage.roles(groups.as_deref()))
    }

    /// A row for each target, as long as what it depends on.
    fn to_array(&self, _: Room) -> Result<Array, ScriptError> {
        Ok(ragged(&self.rows()?.scores))
    }
}
