//! States as points of a plane: what is near lies near, each point with its token or text.

#[cfg(test)]
mod tests;

mod picture;

use maud::{Markup, html};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Explorable;
use crate::kit::document::Document;
use crate::kit::page::{Component, note};
use crate::kit::{Token, document, numbers, visible};

/// Rows of numbers, such as the states of tokens, as points of a plane.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Projection {
    /// The model's name, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// How the plane was found: "PCA", "t-SNE".
    pub method: String,
    /// What the rows are: "residual_after of layer 5".
    pub states: String,
    /// By axis its share of the variance; empty where the axes mean nothing.
    pub shares: Vec<f64>,
    /// By point, across.
    pub x: Vec<f32>,
    /// By point, up.
    pub y: Vec<f32>,
    /// By point, its token's text or another name.
    pub names: Vec<String>,
    /// By point, the number of its text; empty where it is of none. Points of a text follow each other as its tokens do.
    pub texts: Vec<usize>,
    /// By point, the number of its label among `label_names`; empty without labels.
    pub labels: Vec<usize>,
    /// What the labels are called.
    pub label_names: Vec<String>,
    /// By point, the number of its cluster; empty without clusters.
    pub clusters: Vec<usize>,
}

const COMPONENT: Component = Component {
    tag: "ecco-projection",
    view: "projection-1",
    css: include_str!("view.css"),
    js: include_str!("view.js"),
};
const TITLE: &str = "Map of states";
/// Points that are drawn at most; the data has all.
const MOST_POINTS: usize = 5000;
/// Groups that have a colour of their own and a place in the legend; the others are grey.
const MOST_GROUPS: usize = 12;
/// Size of the map in a console.
const COLUMNS: usize = 64;
const LINES: usize = 20;

/// A way to colour the points.
struct Colouring<'a> {
    /// "label"
    by: &'static str,
    /// By point.
    of: &'a [usize],
    names: Vec<String>,
    /// Points of each group.
    counts: Vec<usize>,
}

/// The group of each point in the way that comes first; all are of one group where there is none.
struct Groups<'a>(Option<&'a [usize]>);

impl Groups<'_> {
    fn of(&self, at: usize) -> usize {
        self.0.and_then(|of| of.get(at)).copied().unwrap_or(0)
    }
}

impl Projection {
    fn about(&self) -> String {
        let n = self.points();
        format!(
            "{} · {} · {} {}",
            visible::plain(&self.method, false),
            visible::plain(&self.states, false),
            numbers::count(n as u64),
            if n == 1 { "point" } else { "points" }
        )
    }

    fn points(&self) -> usize {
        self.x.len().min(self.y.len())
    }

    /// Those that are drawn: all, or some of them, as far apart as they can be.
    fn drawn(&self) -> Vec<usize> {
        let (n, most) = (self.points(), self.points().min(MOST_POINTS));
        let finite = |at: &usize| self.x[*at].is_finite() && self.y[*at].is_finite();
        (0..most).map(|i| i * n / most).filter(finite).collect()
    }

    fn name(&self, at: usize) -> String {
        let text = self.names.get(at).cloned().unwrap_or_default();
        visible::cut(
            &visible::label(&Token {
                text,
                id: 0,
                part: None,
            }),
            40,
        )
    }

    /// What axis 0 or 1 is: `component 1 · 34% of the variance`.
    fn axis(&self, axis: usize) -> Option<String> {
        let share = numbers::share(*self.shares.get(axis)?);
        Some(format!("component {} · {share} of the variance", axis + 1))
    }

    /// The ways to colour, the first one at first.
    fn colourings<'a>(&'a self) -> Vec<Colouring<'a>> {
        let n = self.points();
        let numbered = |what: &str, of: &[usize]| -> Vec<String> {
            let groups = of.iter().max().map_or(0, |last| last.saturating_add(1)).min(n);
            (0..groups).map(|number| format!("{what} {number}")).collect()
        };
        let way = |(by, of, names): (&'static str, &'a Vec<usize>, Vec<String>)| {
            // One text alone says nothing.
            let is_one = by == "text" && names.len() < 2;
            let mut counts = vec![0; names.len()];
            for &group in of {
                if let Some(count) = counts.get_mut(group) {
                    *count += 1;
                }
            }
            (n > 0 && of.len() == n && !is_one).then_some(Colouring {
                by,
                of,
                names,
                counts,
            })
        };
        [
            ("label", &self.labels, self.label_names.clone()),
            ("cluster", &self.clusters, numbered("cluster", &self.clusters)),
            ("text", &self.texts, numbered("text", &self.texts)),
        ]
        .into_iter()
        .filter_map(way)
        .collect()
    }

    fn groups(&self) -> Groups<'_> {
        Groups(self.colourings().first().map(|way| way.of))
    }

    fn notes(&self) -> Vec<String> {
        let (n, drawn) = (self.points(), self.drawn().len());
        let mut notes = Vec::new();
        if n == 0 {
            notes.push("no points to show".to_owned());
        }
        if n > MOST_POINTS {
            notes.push(format!(
                "{} of {} points are drawn; the data has all",
                numbers::count(MOST_POINTS as u64),
                numbers::count(n as u64)
            ));
        } else if drawn < n {
            notes.push(format!("{} of {n} have no place: a number is missing", n - drawn));
        }
        notes
    }

    fn legend(&self, way: &Colouring, is_first: bool) -> Markup {
        let n = way.names.len();
        html! {
            div class="key" data-by=(way.by) hidden[!is_first] {
                @for (group, name) in way.names.iter().enumerate().take(MOST_GROUPS) {
                    span style={ "--c:" (picture::fill(group)) } {
                        svg viewBox="-6 -6 12 12" width="12" height="12" aria-hidden="true" { (picture::mark(group, 0.0, 0.0, None)) }
                        bdi { (visible::cut(&visible::plain(name, false), 40)) } " "
                        small { (numbers::count(way.counts[group] as u64)) }
                    }
                    " "
                }
                @if n > MOST_GROUPS { em { "and " (n - MOST_GROUPS) " more" } }
            }
        }
    }

    /// The map in characters: where several points are, the group that most of them have; `#` beyond 36 groups.
    fn characters(&self) -> String {
        let Some(frame) = picture::Frame::of(self) else {
            return String::new();
        };
        let groups = self.groups();
        let mut cells = vec![vec![Vec::<usize>::new(); COLUMNS]; LINES];
        for at in self.drawn() {
            let (x, y) = frame.share(self.x[at], self.y[at]);
            let place = |share: f64, n: usize| ((share * n as f64) as usize).min(n - 1);
            cells[place(y, LINES)][place(x, COLUMNS)].push(groups.of(at));
        }
        let letter = |groups: &Vec<usize>| {
            let count = |group: usize| groups.iter().filter(|other| **other == group).count();
            let most = groups
                .iter()
                .copied()
                .max_by_key(|&group| (count(group), usize::MAX - group));
            most.map_or(' ', sign)
        };
        let line = |row: &Vec<Vec<usize>>| row.iter().map(letter).collect::<String>().trim_end().to_owned();
        cells.iter().map(line).collect::<Vec<_>>().join("\n")
    }
}

/// A group in a console.
fn sign(group: usize) -> char {
    let digit = u32::try_from(group)
        .ok()
        .and_then(|group| char::from_digit(group, 36));
    digit.unwrap_or('#')
}

impl Document for Projection {
    const TYPE: &'static str = "projection";
}

impl Explorable for Projection {
    fn text(&self) -> String {
        let mut text = format!("{TITLE} · {}", self.about());
        for line in self.notes() {
            text.push_str(&format!("\n{line}"));
        }
        let axes = [(0, "across"), (1, "up")];
        for (name, way) in axes
            .iter()
            .filter_map(|(axis, way)| Some((self.axis(*axis)?, way)))
        {
            text.push_str(&format!("\n{way}: {name}"));
        }
        if let Some(way) = self.colourings().first() {
            let group = |(group, name): (usize, &String)| {
                format!(
                    "{} {} ({})",
                    sign(group),
                    visible::cut(&visible::plain(name, false), 40),
                    way.counts[group]
                )
            };
            let groups: Vec<String> = way
                .names
                .iter()
                .enumerate()
                .take(MOST_GROUPS)
                .map(group)
                .collect();
            text.push_str(&format!("\n{}", groups.join(", ")));
        }
        format!("{text}\n{}", self.characters())
    }

    fn svg(&self) -> Option<String> {
        picture::alone(self)
    }

    fn html(&self) -> Option<String> {
        let labels = visible::exceptions(self.tokens().iter());
        let ways = self.colourings();
        let content = html! {
            div class="ecco projection" data-labels=(labels) {
                div class="head" { b { (TITLE) } " " span { (self.about()) } }
                @for text in self.notes() { (note(&text)) }
                @for (at, way) in ways.iter().enumerate() { (self.legend(way, at == 0)) }
                (picture::inside_page(self))
                div class="readout" aria-live="polite" {
                    span hidden { "Point at a point, or walk with the arrow keys: its token and those around it." }
                }
            }
        };
        Some(COMPONENT.render(&content, self))
    }

    fn json(&self) -> Option<Value> {
        document::json(self)
    }

    fn alt_text(&self) -> Option<String> {
        let ways = self.colourings();
        let groups = ways
            .first()
            .map_or_else(String::new, |way| format!(", coloured by {}", way.by));
        Some(format!("{TITLE}: {}{groups}", self.about()))
    }
}

impl Projection {
    /// The names as tokens have them.
    fn tokens(&self) -> Vec<Token> {
        let token = |name: &String| Token {
            text: name.clone(),
            id: 0,
            part: None,
        };
        self.names.iter().map(token).collect()
    }
}
