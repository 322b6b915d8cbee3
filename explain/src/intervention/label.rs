//! Interventions for people.

use std::ops::Range;

use super::check::features_name;
use super::{Change, Intervention, Part, Vector, length};

impl Intervention {
    /// `layer 2 mlp_inner, neurons 1, 5, at positions 3, 5–7: set to 0`
    pub fn label(&self) -> String {
        let mut label = match &self.layers {
            _ if self.place.axes()[0] != "layer" => self.place.name(),
            None => format!("every layer's {}", self.place.name()),
            Some(layers) => format!("{} {}", counted("layer", layers), self.place.name()),
        };
        match &self.part {
            Part::Whole => {}
            Part::Heads(heads) => label.push_str(&format!(", {}", counted("head", heads))),
            Part::Features(features) => {
                let name = features_name(self.place).trim_end_matches('s');
                label.push_str(&format!(", {}", counted(name, features)));
            }
            Part::Direction(_) => label.push_str(", along a direction"),
        }
        if let Some(ranges) = &self.positions {
            label.push_str(&format!(", at {}", positions(ranges)));
        }
        format!("{label}: {}", self.change.label())
    }
}

impl Change {
    fn label(&self) -> String {
        match self {
            Self::Ablate(to) => format!("set to {}", to.label()),
            Self::Scale(factor) => format!("× {factor}"),
            Self::Add { what, factor } => match what {
                Vector::Number(number) => format!("+ {}", number * factor),
                Vector::Values(values) => {
                    format!("+ {factor} × a vector of length {:.3}", length(values))
                }
            },
            Self::Patch(_) => "as in another run".into(),
            Self::Swap(swap) => swap.label(),
            Self::Features(features) => features.label(),
        }
    }
}

/// `layer 2`, `neurons 1, 5 and 40 others`.
pub(super) fn counted(name: &str, values: &[usize]) -> String {
    const MOST: usize = 6;
    let plural = if values.len() == 1 || name == "hidden" {
        ""
    } else {
        "s"
    };
    let shown: Vec<String> = values.iter().take(MOST).map(usize::to_string).collect();
    let more = match values.len().saturating_sub(MOST) {
        0 => String::new(),
        n => format!(" and {n} more"),
    };
    format!("{name}{plural} {}{more}", shown.join(", "))
}

fn positions(ranges: &[Range<usize>]) -> String {
    let is_one = ranges.len() == 1 && ranges[0].len() == 1;
    let range = |range: &Range<usize>| match (range.len(), range.end) {
        (1, _) => range.start.to_string(),
        (_, usize::MAX) => format!("{} and later", range.start),
        _ => format!("{}–{}", range.start, range.end - 1),
    };
    let ranges: Vec<String> = ranges
        .iter()
        .filter(|range| !range.is_empty())
        .map(range)
        .collect();
    let plural = if is_one { "" } else { "s" };
    format!("position{plural} {}", ranges.join(", "))
}
