//! The part of the style sheet that differs between light and dark pages: grounds, and the scales of `colour`.
//!
//! A painted element has its strength as `--s`; `paint.css` makes a flat colour of it from the variables here. A picture
//! of a scale moved behind the element would do the same, but is painted ten times as slowly where there is no GPU.

use std::fmt::Write;
use std::sync::LazyLock;

use super::colour::{self, DIVERGING, N_STOPS, SEQUENTIAL, Stop};

struct Theme {
    /// Of pages that say nothing of their own.
    ground: [u8; 3],
    text: &'static str,
    dim: &'static str,
    accent: &'static str,
    /// Of a box without colour: black or white, and its opacity.
    box_ink: u8,
    box_opacity: f32,
    rest: &'static str,
    sequential: [Stop; N_STOPS],
    diverging: [Stop; N_STOPS],
}

const LIGHT: Theme = Theme {
    ground: [255; 3],
    text: "#1f2328",
    dim: "#656d76",
    accent: "#1f6feb",
    box_ink: 0,
    box_opacity: 0.045,
    rest: "--ecco-line:rgb(0 0 0/.13);--ecco-wash:60%;--ecco-ink:#000;--ecco-good:#1a7f37;--ecco-warn:#9a6700;",
    sequential: SEQUENTIAL.light,
    diverging: DIVERGING.light,
};

const DARK: Theme = Theme {
    ground: [22, 24, 29],
    text: "#e6e8eb",
    dim: "#9aa3ad",
    accent: "#58a6ff",
    box_ink: 255,
    box_opacity: 0.075,
    rest: "--ecco-line:rgb(255 255 255/.17);--ecco-wash:55%;--ecco-ink:#fff;--ecco-good:#3fb950;--ecco-warn:#d29922;",
    sequential: SEQUENTIAL.dark,
    diverging: DIVERGING.dark,
};

const DARK_PAGES: &str = "body:is([data-jp-theme-light=false],[data-vscode-theme-kind*=dark],\
[data-vscode-theme-kind=vscode-high-contrast]) .ecco-root,:root:is([theme=dark],[data-theme=dark],[data-bs-theme=dark]) .ecco-root";
/// Colab's dark pages, which name no colours: nearly their own ground, as dark as text on colours needs it.
const COLAB: [u8; 3] = [0x34; 3];
/// Pages without a theme of their own, where the system's is dark.
const DARK_SYSTEM: &str = ":root:not([theme],[data-theme],[data-bs-theme]) \
body:not([data-jp-theme-light],[data-vscode-theme-kind]) .ecco-root";

/// Grounds and inks, for every view.
pub(crate) static GROUNDS: LazyLock<String> = LazyLock::new(|| {
    let ground = colour::hex(COLAB);
    css(Theme::grounds, |theme| theme.own_grounds() + &theme.boxes())
        + &format!("@media screen{{:root[theme=dark] .ecco-root{{--ecco-bg:{ground}}}}}")
});
/// The scales, for views that paint.
pub(crate) static SCALES: LazyLock<String> = LazyLock::new(|| css(Theme::scales, Theme::scales));

/// Variables of both themes; what is printed is light, on paper.
fn css(of: fn(&Theme) -> String, printed: fn(&Theme) -> String) -> String {
    let (light, dark) = (of(&LIGHT), of(&DARK));
    let print = printed(&LIGHT).replace(';', "!important;");
    format!(
        ".ecco-root{{{light}}}{DARK_PAGES}{{{dark}}}@media(prefers-color-scheme:dark){{{DARK_SYSTEM}{{{dark}}}}}\
@media print{{.ecco-root.ecco-root.ecco-root.ecco-root{{{print}}}}}"
    )
}

impl Theme {
    /// Those of the page, where it names them.
    fn grounds(&self) -> String {
        let ground = colour::hex(self.ground);
        let (text, dim, accent) = (self.text, self.dim, self.accent);
        format!(
            "--ecco-bg:var(--jp-layout-color0,var(--vscode-editor-background,{ground}));\
--ecco-fg:var(--jp-content-font-color1,var(--vscode-editor-foreground,{text}));\
--ecco-dim:var(--jp-content-font-color2,var(--vscode-descriptionForeground,{dim}));\
--ecco-accent:var(--jp-brand-color1,var(--vscode-focusBorder,{accent}));"
        ) + &self.boxes()
    }

    fn own_grounds(&self) -> String {
        let ground = colour::hex(self.ground);
        format!(
            "--ecco-bg:{ground};--ecco-fg:{};--ecco-dim:{};--ecco-accent:{};",
            self.text, self.dim, self.accent
        )
    }

    fn boxes(&self) -> String {
        let (ink, opacity) = (self.box_ink, self.box_opacity);
        format!("--ecco-box:rgb({ink} {ink} {ink}/{opacity});{}", self.rest)
    }

    /// `--k0` to `--k6`: the colours of shares, between them `--q1` to `--q5`, their places; `--d0` …, `--e1` …: of what has
    /// a sign. Beyond `--hi`, and before `--lo`, the ink turns.
    fn scales(&self) -> String {
        let mut css = match self.box_ink {
            0 => "--ink:0%;--turn:100%;",
            _ => "--ink:100%;--turn:-100%;",
        }
        .to_owned();
        for (stops, colours, places, turns) in [
            (&self.sequential, 'k', 'q', ["--lo", "--hi"]),
            (&self.diverging, 'd', 'e', ["--dlo", "--dhi"]),
        ] {
            for (i, (place, colour, opacity)) in stops.iter().enumerate() {
                let colour = match *opacity {
                    0.0 => "var(--ecco-box)".to_owned(),
                    1.0 => colour::hex(*colour),
                    opacity => format!("{}{:02x}", colour::hex(*colour), (opacity * 255.0).round() as u8),
                };
                let _ = write!(css, "--{colours}{i}:{colour};");
                if i > 0 && i + 1 < N_STOPS {
                    let _ = write!(css, "--{places}{i}:{place};");
                }
            }
            let [lowest, highest] = self.turns(stops);
            let _ = write!(css, "{}:{lowest:.3};{}:{highest:.3};", turns[0], turns[1]);
        }
        css
    }

    /// Between which places of a scale the ink that is read better is that of the boxes without colour.
    fn turns(&self, stops: &[Stop; N_STOPS]) -> [f32; 2] {
        const N: usize = 1000;
        let is_plain = |place: usize| {
            let is_bright = colour::luminance(self.painted(stops, place as f32 / N as f32)) >= colour::EQUAL;
            is_bright == (self.box_ink == 0)
        };
        let plain: Vec<usize> = (0..=N).filter(|&place| is_plain(place)).collect();
        let edge = |place: usize, outside: f32| match place {
            0 | N => outside,
            place => place as f32 / N as f32,
        };
        [edge(plain[0], -1.0), edge(plain[plain.len() - 1], 2.0)]
    }

    /// A colour of a scale as it is seen: a box lies between it and the page.
    fn painted(&self, stops: &[Stop; N_STOPS], place: f32) -> [u8; 3] {
        let boxed = stops.map(|(place, colour, opacity)| match opacity {
            0.0 => (place, [self.box_ink; 3], self.box_opacity),
            _ => (place, colour, opacity),
        });
        colour::at(&boxed, place, self.ground)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// On the grounds of JupyterLab, Notebook, VS Code, Colab and our own.
    #[test]
    fn text_is_readable_on_every_colour() {
        let dark = [DARK.ground, [0x11; 3], [0x1e; 3], [0x21; 3], COLAB];
        for (theme, grounds) in [(LIGHT, &[[255; 3]][..]), (DARK, &dark)] {
            for ground in grounds {
                let theme = Theme {
                    ground: *ground,
                    ..theme
                };
                for stops in [&theme.sequential, &theme.diverging] {
                    // The places at which the ink turns are those of the theme's own ground.
                    let own = if theme.box_ink == 0 { &LIGHT } else { &DARK };
                    let [lowest, highest] = own.turns(stops);
                    for i in 0..=1000 {
                        let place = i as f32 / 1000.0;
                        let is_plain = (lowest..=highest).contains(&place);
                        let ink = if is_plain == (theme.box_ink == 0) {
                            0.0
                        } else {
                            1.0f32
                        };
                        let ground = colour::luminance(theme.painted(stops, place));
                        let contrast = (ink.max(ground) + 0.05) / (ink.min(ground) + 0.05);
                        assert!(contrast >= 4.5, "{contrast} at {place} on {:?}", theme.ground);
                    }
                }
            }
        }
    }

    #[test]
    fn the_style_sheet_has_both_themes() {
        assert!(
            SCALES.contains("--k2:#7ad151cc;--q2:0.28;--k3:#35b779;")
                && SCALES.contains("--d3:var(--ecco-box);")
        );
        assert_eq!(SCALES.matches("--k6:#fde725;").count(), 2);
        assert_eq!(SCALES.matches("--k6:#440154!important;").count(), 1);
    }
}
