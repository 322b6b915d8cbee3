use super::*;

fn token(text: &str) -> Token {
    Token {
        text: text.to_owned(),
        id: 5,
        part: None,
    }
}

fn target(name: &str, position: usize) -> Target {
    Target {
        name: token(name),
        contrast: None,
        position: Some(position),
        token: None,
    }
}

fn compared(method: &str, is_referee: bool, scale: Scale, scores: Vec<Vec<f32>>) -> MethodRow {
    let correlation = if is_referee { "1" } else { "0.50" };
    MethodRow {
        method: method.into(),
        is_referee,
        scale,
        scores,
        figures: vec![
            ("rank correlation".into(), correlation.into()),
            ("comprehensiveness".into(), "0.3".into()),
            ("seconds".into(), "0.02".into()),
        ],
        ..MethodRow::default()
    }
}

fn comparison() -> Comparison {
    Comparison {
        tokens: ["a", " <b>", "c", "d"].map(token).to_vec(),
        n_input: 2,
        of: "probability".into(),
        targets: vec![target("c", 2), target("d", 3)],
        methods: vec![
            compared(
                "occlusion",
                true,
                Scale::Signed,
                vec![vec![0.4, -0.2], vec![0.1, 0.0, 0.2]],
            ),
            compared(
                "gradient × input",
                false,
                Scale::Shares,
                vec![vec![0.25, 0.75], vec![0.5, 0.2, 0.3]],
            ),
        ],
        random: [
            ("comprehensiveness".to_owned(), 0.05),
            ("log-odds".to_owned(), -0.1),
        ]
        .into(),
        ..Comparison::default()
    }
}

#[test]
fn a_console_has_the_table_and_the_sources() {
    let expected = "methods compared · 2 methods · probability of 2 targets\n\
                        occlusion (referee): rank correlation 1, comprehensiveness 0.3, seconds 0.02\n\
                        gradient × input: rank correlation 0.50, comprehensiveness 0.3, seconds 0.02\n\
                        random order: comprehensiveness 0.05\n\
                        c at 2 ←\n  occlusion: a₀ +0.40, ·<b>₁ −0.20\n  gradient × input: ·<b>₁ 75%, a₀ 25%\n\
                        d at 3 ←\n  occlusion: c₂ +0.20, a₀ +0.10\n  gradient × input: a₀ 50%, c₂ 30%, ·<b>₁ 20%";
    assert_eq!(comparison().text(), expected);
}

#[test]
fn the_first_target_is_painted_without_a_script() {
    let html = comparison().html().unwrap();
    let strongest = colour::hex(colour::diverging(1.0));
    let against = colour::hex(colour::diverging(-0.5));
    for part in [
        format!(
            "<i style=\"--s:1;background-color:{strongest}\"></i><i style=\"--s:-0.5;background-color:{against}\"></i>"
        ),
        "<th scope=\"row\">occlusion <small>referee</small></th><td>1</td>".to_owned(),
        "<small>·&lt;b&gt;₁ 75%, a₀ 25%</small>".to_owned(),
        "<tfoot><tr><th scope=\"row\">random order</th><td></td><td>0.05</td><td></td></tr></tfoot>"
            .to_owned(),
        "The strips of <b class=\"shown\">c at 2</b>".to_owned(),
    ] {
        assert!(html.contains(&part), "{part} is not in {html}");
    }
    assert!(
        !html.contains("<b>c")
            && COMPONENT
                .js
                .contains("define(\"ecco-comparison\", \"comparison-4\"")
    );
}

#[test]
fn bad_input_is_said() {
    let mut view = comparison();
    view.methods[0].scores.pop();
    view.methods[1].scores[0][1] = f32::NAN;
    let text = view.text();
    assert!(
        text.contains("⚠ occlusion: 1 rows of scores for 2 targets"),
        "{text}"
    );
    assert!(text.contains("⚠ gradient × input: 1 rows hold values"), "{text}");
    for view in [view, Comparison::default()] {
        assert!(view.bundle().data.contains_key("text/html"));
    }
}

#[test]
fn long_texts_are_pooled() {
    let mut view = comparison();
    view.tokens = vec![token("x"); 1000];
    for method in &mut view.methods {
        method.scores = vec![
            (0..900).map(|i| if i == 437 { -1.0 } else { 0.1 }).collect(),
            vec![],
        ];
    }
    assert_eq!((view.n_cells(), view.n_sources()), (MOST_CELLS, 900));
    let cells = view.methods[0].cells(0, MOST_CELLS, 900);
    assert_eq!(cells[437 * MOST_CELLS / 900], -1.0);
    assert!(view.html().unwrap().len() < 120_000 && view.svg().unwrap().len() < 120_000);
}

#[test]
fn the_picture_has_a_strip_for_each_method_and_target() {
    let svg = comparison().svg().unwrap();
    assert!(svg.contains("<title>Methods compared") && svg.contains("c at 2"));
    assert_eq!(svg.matches(">occlusion</text>").count(), 2);
}
