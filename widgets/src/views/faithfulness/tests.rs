use super::*;

fn measured(name: &str, from: f32) -> Measurement {
    let token = Token {
        text: name.to_owned(),
        id: 5,
        part: None,
    };
    Measurement {
        target: Target {
            name: token,
            contrast: None,
            position: Some(3),
            token: None,
        },
        deletion: vec![from, 0.1, 0.0],
        insertion: vec![0.0, 0.3, from],
        random: Some((vec![from, 0.2, 0.0], vec![0.0, 0.1, from])),
    }
}

fn figure(name: &str, value: f64, random: f64, more_is_better: bool) -> Figure {
    Figure {
        name: name.into(),
        value,
        random: Some(random),
        more_is_better,
        about: "of the probability".into(),
    }
}

fn faithfulness() -> Faithfulness {
    Faithfulness {
        method: "gradient × input".into(),
        of: "probability".into(),
        steps: vec![0.0, 0.5, 1.0],
        targets: vec![measured(" a", 0.5), measured(" <b>", 0.3)],
        figures: vec![
            figure("comprehensiveness", 0.31, 0.12, true),
            figure("sufficiency", 0.2, 0.1, false),
        ],
        ..Faithfulness::default()
    }
}

#[test]
fn a_console_has_the_figures_and_a_verdict() {
    let expected = "faithfulness · gradient × input · probability of 2 targets\n\
                        comprehensiveness: 0.31, random 0.12: better\n\
                        sufficiency: 0.2, random 0.1: no better";
    assert_eq!(faithfulness().text(), expected);
}

#[test]
fn the_mean_is_drawn_without_a_script() {
    let view = faithfulness();
    assert_eq!(view.mean().found[0], [0.4, 0.1, 0.0]);
    assert_eq!(view.mean().random.unwrap()[1], [0.0, 0.1, 0.4]);
    let html = view.html().unwrap();
    assert_eq!(html.matches("<path class=\"found\"").count(), 2, "{html}");
    assert_eq!(html.matches("<path class=\"random\"").count(), 2);
    assert!(html.contains("⚠ <span>no better</span>") && html.contains("✓ <span>better"));
    assert!(html.contains("·</i>&lt;b&gt;"), "{html}");
    assert!(
        COMPONENT
            .js
            .contains("define(\"ecco-faithfulness\", \"faithfulness-3\"")
    );
}

#[test]
fn bad_input_is_said() {
    let mut view = faithfulness();
    view.targets[0].deletion.pop();
    view.targets[1].insertion[1] = f32::NAN;
    assert!(view.text().contains("⚠ 1 curves do not have 3 points"));
    assert!(view.html().is_some() && view.svg().is_some());
    view.targets.clear();
    assert!(view.text().contains("there is no target"));
    assert!(view.html().is_some() && view.svg().is_none());
}

#[test]
fn pictures_stand_alone() {
    let svg = faithfulness().svg().unwrap();
    assert!(svg.contains("<title>Faithfulness") && svg.contains("fill=\"#fff\""));
    assert!(!svg.contains("var(--"));
}
