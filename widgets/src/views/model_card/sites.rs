//! A model's sites in the order in which a pass comes by them, as a diagram: the stream, and beside it what reads it and adds to it.
//! Each opens with its shape and the call that reads it; no script is needed.

use maud::{Markup, html};
use schemars::JsonSchema;
use serde::Serialize;

use crate::kit::visible;

/// A place inside a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ModelSite {
    /// As `run.at` takes it: "mlp_inner".
    pub name: String,
    /// `(layer 6, head 12, query, key)`
    pub axes: String,
}

/// What stands together.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Stream,
    /// Attention, or what mixes positions in its place.
    Attention,
    Mlp,
    /// Of no layer.
    Ending,
}

const OF_ENCODER: &str = "encoder_";

impl ModelSite {
    fn is_of_encoder(&self) -> bool {
        self.name.starts_with(OF_ENCODER)
    }

    fn has_layers(&self) -> bool {
        self.axes.starts_with("(layer")
    }

    fn part(&self) -> Part {
        let name = self.name.strip_prefix(OF_ENCODER).unwrap_or(&self.name);
        match name {
            _ if !self.has_layers() => Part::Ending,
            _ if name.starts_with("residual") => Part::Stream,
            _ if name.starts_with("mlp") || name.starts_with("expert") => Part::Mlp,
            _ => Part::Attention,
        }
    }

    /// `run.at("mlp_inner", 0)`
    fn call(&self) -> String {
        let layer = if self.has_layers() { ", 0" } else { "" };
        format!("lm.run(\"…\").at(\"{}\"{layer})", self.name)
    }
}

impl Part {
    fn title(self) -> &'static str {
        match self {
            Self::Stream => "stream",
            Self::Attention => "attention",
            Self::Mlp => "MLP",
            Self::Ending => "end",
        }
    }
}

pub(super) fn diagram(sites: &[ModelSite]) -> Markup {
    html! {
        @for stack in sites.chunk_by(|one, other| one.is_of_encoder() == other.is_of_encoder()) {
            div class="sites" {
                @if stack[0].is_of_encoder() { b { "encoder" } }
                @for part in stack.chunk_by(|one, other| one.part() == other.part()) {
                    @let what = part[0].part();
                    div class=[matches!(what, Part::Attention | Part::Mlp).then_some("beside")] {
                        small { (what.title()) } " "
                        @for site in part {
                            details {
                                summary { (visible::plain(&site.name, false)) } " "
                                span { (visible::plain(&site.axes, false)) " " code { (visible::plain(&site.call(), false)) } }
                            }
                            " "
                        }
                    }
                }
            }
        }
    }
}
