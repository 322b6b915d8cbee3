use super::*;
use crate::kit::colour;

fn token(text: &str) -> Token {
    Token {
        text: text.to_owned(),
        id: 5,
        part: None,
    }
}

fn saliency(style: SaliencyStyle) -> Saliency {
    Saliency {
        tokens: ["a", " b", "c", "\n"].map(token).to_vec(),
        n_input: 2,
        style,
        method: "gradient × input".into(),
        scores: vec![vec![0.25, 0.75], vec![0.5, 0.125, 0.375]],
        ..Saliency::default()
    }
}

/// Why " d" and not "e" behind "a b", in signed numbers, and a label of the whole text.
fn named(style: SaliencyStyle) -> Saliency {
    let target = |name: &str, contrast: Option<&str>, position| Target {
        name: token(name),
        contrast: contrast.map(token),
        position,
        token: None,
    };
    let note = |text: &str, is_good| CheckNote {
        text: text.into(),
        is_good,
        off: 0.0,
    };
    Saliency {
        of: "logit".into(),
        targets: Targets::Named(vec![
            target(" d", Some("e"), Some(2)),
            target("positive", None, None),
        ]),
        values: vec![1.25, 0.5],
        scale: Scale::Signed,
        scores: vec![vec![0.5, -0.25], vec![-0.032, 0.0, 0.016, 0.002]],
        checks: vec![Check {
            name: "completeness".into(),
            notes: vec![note("error 3e-8", Some(true)), note("error 0.2", Some(false))],
        }],
        ..saliency(style)
    }
}

#[test]
fn a_check_names_the_worst_target_in_a_console_and_where_no_script_runs() {
    let note = |text: &str, off| CheckNote {
        text: text.into(),
        is_good: Some(off < 0.02),
        off,
    };
    let check = |offs: &[f64]| {
        let notes = offs
            .iter()
            .map(|&off| note(&format!("off by {off}"), off))
            .collect();
        Check {
            name: "completeness".into(),
            notes,
        }
    };
    let found = check(&[0.001, 0.05, 0.96, 0.4]);
    assert_eq!(found.line(), "⚠ completeness: off by 0.96 (the worst of 4)");
    let view = Saliency {
        checks: vec![found],
        ..named(SaliencyStyle::Minimal)
    };
    assert!(
        view.html()
            .unwrap()
            .contains("<em>off by 0.96 (the worst of 4)</em>")
    );
    assert_eq!(
        check(&[0.001, 0.015, 0.002]).line(),
        "✓ completeness: off by 0.015 (the worst of 3)"
    );
    assert_eq!(
        check(&[0.5, f64::NAN]).line(),
        "⚠ completeness: off by NaN (the worst of 2)"
    );
    assert_eq!(check(&[0.5]).line(), "⚠ completeness: off by 0.5");
}

#[test]
fn named_targets_are_said_with_their_sign_and_their_check() {
    let expected = "input saliency · gradient × input · logit · 2 targets\n\
                    ·d rather than e at 2 ← a₀ +0.50, ·b₁ −0.25\n\
                    positive ← a₀ −0.032, c₂ +0.016, \\n₃ +0.0020\n\
                    ⚠ completeness: error 0.2 (the worst of 2)";
    assert_eq!(named(SaliencyStyle::Minimal).text(), expected);
}

#[test]
fn signs_have_colours_and_the_place_of_a_target_is_marked() {
    let html = named(SaliencyStyle::Detailed).html().unwrap();
    let (less, more) = (
        colour::hex(colour::diverging(-0.5)),
        colour::hex(colour::diverging(1.0)),
    );
    for part in [
        format!("<span style=\"--s:1;background-color:{more};color:#fff\"><small>0</small> <bdi>a</bdi> <em>+0.50</em>"),
        format!("<span style=\"--s:-0.5;background-color:{less};color:#000\">"),
        "<span class=\"g at\"><small>2</small> <bdi>c</bdi> <em></em></span>".to_owned(),
        "<span class=\"on\"><bdi><i>·</i>d</bdi> <i>rather than</i> <bdi>e</bdi> <small>2</small> <em>1.25</em></span>".to_owned(),
        "<span class=\"bad\"><i>⚠</i> completeness <em>error 0.2 (the worst of 2)</em></span>".to_owned(),
    ] {
        assert!(html.contains(&part), "{part} is not in {html}");
    }
}

#[test]
fn named_targets_may_end_early_but_not_late() {
    let mut view = named(SaliencyStyle::Minimal);
    assert!(!view.html().unwrap().contains("class=\"note\""));
    view.scores[0] = vec![1.0; 5];
    view.scores.push(vec![]);
    let text = view.text();
    assert!(text.contains("⚠ 3 rows of scores for 2 targets"), "{text}");
    assert!(text.contains("row 0 has 5 values, not 4"), "{text}");
}

#[test]
fn pictures_of_signed_rows_have_both_colours() {
    let svg = named(SaliencyStyle::Minimal).svg().unwrap();
    for strength in [1.0, -0.5, -1.0, 0.5, 0.0625] {
        let fill = colour::hex(colour::diverging(strength));
        assert!(
            svg.contains(&format!("<path fill=\"{fill}\"")),
            "{strength}: {svg}"
        );
    }
    assert!(
        svg.contains("·d / e<tspan")
            && svg.contains("<title>Input saliency, gradient × input · logit</title>")
    );
}

#[test]
fn parts_of_a_pair_stand_apart() {
    let view = Saliency {
        is_pair: true,
        ..saliency(SaliencyStyle::Minimal)
    };
    let html = view.html().unwrap();
    let place = |part: &str| {
        html.find(part)
            .unwrap_or_else(|| panic!("{part} is not in {html}"))
    };
    assert!(
        place(">read</b>") < place("<small>0</small>") && place("<small>1</small>") < place(">written</b>")
    );
    assert!(place(">written</b>") < place("<span class=\"g on\"><small>2</small>"));
    assert!(!html.contains('▸'));
}

#[test]
fn units_have_no_ids() {
    let view = Saliency {
        unit: Unit::Word,
        ..named(SaliencyStyle::Minimal)
    };
    let html = view.html().unwrap();
    assert!(html.contains("\"unit\":\"word\"") && COMPONENT.js.contains("data.unit === \"token\""));
    assert_eq!(view.json().unwrap()["targets"][0]["contrast"]["text"], "e");
}

#[test]
fn a_console_names_the_sources() {
    let expected = "input saliency · gradient × input · 2 generated tokens\n\
                    2 c ← ·b₁ 75%, a₀ 25%\n\
                    3 \\n ← a₀ 50%, c₂ 38%, ·b₁ 12%";
    assert_eq!(saliency(SaliencyStyle::Minimal).text(), expected);
}

#[test]
fn the_first_row_is_painted_without_a_script() {
    let html = saliency(SaliencyStyle::Minimal).html().unwrap();
    let strongest = "<span style=\"--s:1;background-color:#440154;color:#fff\"><small>1</small> <bdi><i>·</i>b</bdi></span>";
    assert!(html.contains(strongest), "{html}");
    assert!(
        html.contains("<span style=\"--s:0.333;background-color:#77cf75;color:#000\"><small>0</small>"),
        "{html}"
    );
    assert!(
        html.contains("<span class=\"g on\"><small>2</small>")
            && html.contains("<span class=\"g\"><small>3</small>")
    );
}

#[test]
fn detailed_boxes_have_shares() {
    let html = saliency(SaliencyStyle::Detailed).html().unwrap();
    assert!(html.contains("<em>75%</em>") && html.contains("<em></em>"));
    assert!(!saliency(SaliencyStyle::Minimal).html().unwrap().contains("<em>"));
}

#[test]
fn a_page_brings_all_it_needs_once() {
    let html = saliency(SaliencyStyle::Minimal).html().unwrap();
    assert!(html.starts_with(
        "<ecco-saliency class=\"ecco-root mathjax_ignore tex2jax_ignore\" data-view=\"saliency-5\">"
    ));
    assert!(html.ends_with("</script></ecco-saliency>"));
    assert!(COMPONENT.js.contains("define(\"ecco-saliency\", \"saliency-5\""));
    assert_eq!(
        (html.matches("<style>").count(), html.matches("<script").count()),
        (1, 2)
    );
    assert!(!html.contains(" id=\""));
}

#[test]
fn bad_input_is_said_not_hidden() {
    let mut view = saliency(SaliencyStyle::Detailed);
    view.scores = vec![vec![f32::NAN, 1.0, 7.0, 7.0, 7.0, 7.0], vec![], vec![1.0]];
    let text = view.text();
    assert!(
        text.contains("⚠ 3 rows of scores for 2 generated tokens"),
        "{text}"
    );
    assert!(
        text.contains("⚠ 1 of 2 rows hold values that are not finite"),
        "{text}"
    );
    assert!(
        text.contains("⚠ 2 rows of unexpected length: row 0 has 6 values, not 2"),
        "{text}"
    );
    assert!(view.html().unwrap().contains("class=\"note\"") && view.svg().is_some());
    assert!(view.json().unwrap()["scores"][0][0].is_null());
}

#[test]
fn nothing_and_zeros_do_not_panic() {
    for (n, n_input, scores) in [
        (0, 0, vec![]),
        (4, 9, vec![vec![1.0]]),
        (1, 0, vec![vec![]]),
        (4, 2, vec![vec![0.0; 2]; 2]),
    ] {
        let tokens = vec![token("x"); n];
        let view = Saliency {
            tokens,
            n_input,
            scores,
            ..saliency(SaliencyStyle::Detailed)
        };
        let bundle = view.bundle();
        assert!(bundle.data.contains_key("text/html"), "{n} {n_input}");
    }
}

#[test]
fn the_picture_has_a_cell_for_each_share() {
    let svg = saliency(SaliencyStyle::Minimal).svg().unwrap();
    assert_eq!(svg.matches("h1v1h-1z").count(), 5);
    assert!(
        svg.contains("<path fill=\"#440154\" d=\"M1 0h1v1h-1zM0 1h1v1h-1z\">"),
        "{svg}"
    );
    assert!(svg.contains("<title>Input saliency, gradient × input</title>"));
}

#[test]
fn long_pictures_are_pooled() {
    let (n_input, n) = (900, 1000);
    let scores = (n_input..n)
        .map(|target| vec![1.0 / target as f32; target])
        .collect();
    let view = Saliency {
        tokens: vec![token("x"); n],
        n_input,
        scores,
        ..saliency(SaliencyStyle::Minimal)
    };
    let svg = view.svg().unwrap();
    assert!(
        svg.matches("h1v1h-1z").count() <= 120 * 60 && svg.len() < 120_000,
        "{} bytes",
        svg.len()
    );
}

#[test]
fn pictures_are_named_for_screen_readers() {
    let bundle = saliency(SaliencyStyle::Minimal).bundle();
    assert!(
        bundle.metadata["vscode_altText"]
            .as_str()
            .unwrap()
            .contains("2 generated tokens")
    );
}
