//! What the rows of a saliency belong to, and whether they can be trusted.

use maud::{Markup, html};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::kit::Token;
use crate::kit::{numbers, visible};

/// What the rows of a saliency belong to.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Targets {
    /// Row k belongs to token `n_input + k`, and has a value for each token before it.
    #[default]
    Written,
    /// Anything else: a label, another token than the one that stands there, one rather than another.
    Named(Vec<Target>),
}

/// What is explained: a token or label, perhaps rather than another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Target {
    /// The token or label.
    pub name: Token,
    /// The one that it is held against: why `name` and not this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contrast: Option<Token>,
    /// The box it stands in, or would stand in; may be one behind the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub position: Option<usize>,
    /// Where boxes are no tokens: the token that it stands at, or would stand at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<usize>,
}

impl Target {
    /// The token that it stands at, or would stand at.
    pub(crate) fn place(&self) -> Option<usize> {
        self.token.or(self.position)
    }

    /// `·Denmark / ·Iceland`
    pub(crate) fn names(&self) -> String {
        let names = [Some(&self.name), self.contrast.as_ref()];
        let names: Vec<String> = names.into_iter().flatten().map(visible::label).collect();
        names.join(" / ")
    }

    /// `·Denmark rather than ·Iceland at 12`
    pub fn line(&self) -> String {
        let mut line = visible::cut(&visible::label(&self.name), 24);
        if let Some(contrast) = &self.contrast {
            let contrast = visible::cut(&visible::label(contrast), 24);
            line.push_str(&format!(" rather than {contrast}"));
        }
        if let Some(position) = self.place() {
            line.push_str(&format!(" at {position}"));
        }
        line
    }

    pub(crate) fn html(&self) -> Markup {
        html! {
            (self.names_html())
            @if let Some(position) = self.place() { " " small { (position) } }
        }
    }

    /// Without its place.
    pub(crate) fn names_html(&self) -> Markup {
        html! {
            (visible::label_html(&self.name))
            @if let Some(contrast) = &self.contrast {
                " " i { "rather than" } " " (visible::label_html(contrast))
            }
        }
    }
}

/// How far a saliency can be trusted, in one respect.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Check {
    /// `completeness`
    pub name: String,
    /// One for each target, or one for all.
    pub notes: Vec<CheckNote>,
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CheckNote {
    /// For people.
    pub text: String,
    /// Whether it speaks for the scores; missing where it is only a number to know.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_good: Option<bool>,
    /// How far off it is, to tell which target is the worst; 0 where there is nothing to compare.
    #[serde(skip)]
    pub off: f64,
}

impl CheckNote {
    fn mark(&self) -> &'static str {
        match self.is_good {
            Some(true) => "✓",
            Some(false) => "⚠",
            None => "·",
        }
    }

    fn class(&self) -> &'static str {
        match self.is_good {
            Some(true) => "good",
            Some(false) => "bad",
            None => "",
        }
    }
}

impl Check {
    /// A check that holds for all targets together.
    pub fn of_all(name: &str, text: String, is_good: Option<bool>) -> Self {
        Self {
            name: name.to_owned(),
            notes: vec![CheckNote {
                text,
                is_good,
                off: 0.0,
            }],
        }
    }

    /// `✓ completeness: error 3e-8`, of the worst target.
    pub fn line(&self) -> String {
        match self.worst() {
            Some(note) => format!("{} {}: {}", note.mark(), self.name, self.worst_text(note)),
            None => self.name.clone(),
        }
    }

    /// Of the worst target: a page whose script may not run says no better of the others. The script says that of the
    /// target it shows.
    pub(super) fn html(&self) -> Markup {
        let note = self.worst();
        html! {
            span class=[note.map(CheckNote::class)] {
                i { (note.map_or("·", CheckNote::mark)) } " "
                (visible::plain(&self.name, false)) " "
                em { (note.map_or_else(String::new, |note| visible::plain(&self.worst_text(note), false))) }
            }
        }
    }

    /// The note that is bad, if any is, and the farthest off among those like it; of equals the first.
    fn worst(&self) -> Option<&CheckNote> {
        let goodness = |note: &CheckNote| match note.is_good {
            Some(false) => 0,
            None => 1,
            Some(true) => 2,
        };
        // What is no number is the farthest off.
        let off = |note: &CheckNote| {
            if note.off.is_nan() {
                f64::INFINITY
            } else {
                note.off
            }
        };
        self.notes
            .iter()
            .min_by(|a, b| goodness(a).cmp(&goodness(b)).then(off(b).total_cmp(&off(a))))
    }

    fn worst_text(&self, note: &CheckNote) -> String {
        match self.notes.len() {
            0 | 1 => note.text.clone(),
            n => format!("{} (the worst of {n})", note.text),
        }
    }
}

/// `2.42` of what is explained, or `42%` of a probability, where it is known.
pub(super) fn value(values: &[f32], k: usize, is_probability: bool) -> Option<String> {
    let value = f64::from(*values.get(k).filter(|value| value.is_finite())?);
    Some(match is_probability {
        true => numbers::fine_share(value),
        false => numbers::short(value),
    })
}
