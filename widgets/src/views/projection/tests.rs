use super::*;

fn map() -> Projection {
    Projection {
        model: Some("demo".to_owned()),
        method: "PCA".to_owned(),
        states: "residual_after of layer 3".to_owned(),
        shares: vec![0.5, 0.25],
        x: vec![-1.0, 1.0, 0.0, 3.0],
        y: vec![0.0, 0.5, -0.5, f32::NAN],
        names: [" Paris", "</script><b>", "\n", "x"].map(str::to_owned).into(),
        texts: vec![0, 0, 1, 1],
        labels: vec![1, 0, 1, 1],
        label_names: vec!["<i>city</i>".to_owned(), "other".to_owned()],
        clusters: vec![0, 1, 0, 0],
    }
}

#[test]
fn a_console_has_the_points_where_they_are() {
    let text = map().text();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines[0],
        "Map of states · PCA · residual_after of layer 3 · 4 points"
    );
    assert_eq!(lines[1], "1 of 4 have no place: a number is missing");
    assert_eq!(lines[2], "across: component 1 · 50% of the variance");
    assert_eq!(lines[4], "0 <i>city</i> (1), 1 other (3)");
    // The first is at the left in the middle, the second at the right and above, the third between them and below.
    let at = |sign: &str, nth: usize| {
        let all: Vec<(usize, usize)> = lines[5..]
            .iter()
            .enumerate()
            .flat_map(|(row, line)| line.match_indices(sign).map(move |(column, _)| (row, column)))
            .collect();
        all[nth]
    };
    let (left, below, right) = (at("1", 0), at("1", 1), at("0", 0));
    assert!(right.0 < left.0 && left.0 < below.0, "{text}");
    assert!(left.1 < below.1 && below.1 < right.1, "{text}");
}

#[test]
fn one_scale_serves_both_axes() {
    let picture = map().svg().unwrap();
    // 564 pixels of 600 across, so 282 to a unit, and half a unit is as far up or down.
    let frame = picture::Frame::of(&map()).unwrap();
    let (first, second) = (frame.at(-1.0, 0.0), frame.at(1.0, 0.5));
    assert_eq!((second.0 - first.0, first.1 - second.1), (564.0, 141.0));
    assert!(picture.contains("<title>·Paris</title>"), "{picture}");
    for page in [picture, map().html().unwrap()] {
        assert!(
            !page.contains("<b>\"")
                && !page.contains("</script><b>")
                && !page.contains("=\"NaN")
                && !page.contains("MNaN"),
            "{page}"
        );
        assert!(page.contains("&lt;i&gt;city&lt;/i&gt;"), "{page}");
    }
    assert!(map().bundle().data.contains_key("application/pdf"));
}

#[test]
fn ways_to_colour_are_those_that_are_there() {
    let by = |map: &Projection| map.colourings().iter().map(|way| way.by).collect::<Vec<_>>();
    assert_eq!(by(&map()), ["label", "cluster", "text"]);
    let of_one = Projection {
        labels: vec![],
        texts: vec![0; 4],
        ..map()
    };
    assert_eq!(by(&of_one), ["cluster"]);
    assert_eq!(map().colourings()[0].counts, [1, 3]);
    let plain = Projection {
        clusters: vec![],
        ..of_one
    };
    assert!(by(&plain).is_empty() && plain.svg().is_some());
}

#[test]
fn very_many_points_are_drawn_in_part() {
    let n = 12_000;
    let many = Projection {
        x: (0..n).map(|at| at as f32).collect(),
        y: vec![1.0; n],
        ..Projection::default()
    };
    assert_eq!(many.drawn().len(), MOST_POINTS);
    assert!(
        many.text().contains("5,000 of 12,000 points are drawn"),
        "{}",
        many.text()
    );
    assert_eq!(many.json().unwrap()["x"].as_array().unwrap().len(), n);
}

#[test]
fn nothing_and_what_does_not_fit_do_not_panic() {
    let none = Projection::default();
    assert!(none.svg().is_none() && none.html().unwrap().contains("no points to show"));
    assert!(none.bundle().data.contains_key("text/plain"));
    let odd = Projection {
        labels: vec![usize::MAX, 0, 70, 1],
        clusters: vec![1 << 40; 4],
        names: vec![],
        ..map()
    };
    assert!(odd.html().is_some() && odd.svg().is_some() && !odd.text().is_empty());
    let one = Projection {
        x: vec![2.0],
        y: vec![2.0],
        ..Projection::default()
    };
    assert!(one.svg().unwrap().contains("cx=\"300.0\" cy=\"80.0\""));
}
