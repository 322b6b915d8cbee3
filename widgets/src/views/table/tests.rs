use super::TableCell::{Nothing, Number, Text, Truth, Whole};
use super::*;

fn table(n: usize) -> Table {
    let row = |at: usize| {
        let text = Text(format!("<b>row {at}</b>\u{202e}"));
        vec![text, Whole(at as i64), Number(0.125), Truth(at == 0), Nothing(())]
    };
    Table {
        columns: ["text", "n", "loss", "first", "none"].map(str::to_owned).to_vec(),
        n_columns: 5,
        n_rows: n,
        rows: (0..n).map(row).collect(),
    }
}

#[test]
fn a_console_has_aligned_columns() {
    let lines = [
        "table of 2 rows, 5 columns",
        "   text                n  loss   first  none",
        "0  <b>row 0</b>U+202E  0  0.125  true",
        "1  <b>row 1</b>U+202E  1  0.125  false",
    ];
    assert_eq!(table(2).text(), lines.join("\n"));
    assert!(table(25).text().ends_with("\n… 5 more rows"));
}

#[test]
fn a_page_is_complete_without_its_script() {
    let html = table(3).html().unwrap();
    for part in [
        "<th scope=\"row\">2</th><td><bdi>&lt;b&gt;row 2&lt;/b&gt;U+202E</bdi></td><td class=\"n\"><bdi>2</bdi></td>",
        "<td class=\"n\"><bdi>0.125</bdi></td><td><bdi>false</bdi></td><td><bdi></bdi></td>",
        "3 rows, 5 columns",
    ] {
        assert!(html.contains(part), "{part} is not in {html}");
    }
    assert!(!html.contains("<b>row") && !html.contains("without its script"));
    assert!(COMPONENT.js.contains("define(\"ecco-table\", \"table-1\""));
}

#[test]
fn a_long_one_says_what_is_left_out() {
    let long = Table {
        n_rows: 5000,
        n_columns: 7,
        ..table(MOST_STILL + 1)
    };
    let html = long.html().unwrap();
    for part in [
        "the first 201 of 5,000 rows are here",
        "the first 5 of 7 columns are here",
        "the page shows the first 200 rows",
    ] {
        assert!(html.contains(part), "{part}");
    }
    assert_eq!(html.matches("<th scope=\"row\">").count(), MOST_STILL);
    assert!(table(0).html().unwrap().contains("no rows to show"));
    assert!(Table::default().bundle().data.contains_key("text/html"));
}

#[test]
fn numbers_are_what_they_were_however_many() {
    let n = 40_000;
    let exact = |at: usize| 1.0 + (at as f64) / 65_536.0;
    let numbers = Table {
        columns: vec!["x".to_owned()],
        n_columns: 1,
        n_rows: n,
        rows: (0..n).map(|at| vec![Number(exact(at)); 9]).collect(),
    };
    let document = numbers.json().unwrap();
    // The shortest decimal that is the same 32-bit float, as in all documents; not in steps of the largest.
    let found = document["rows"][777][3].as_f64().unwrap();
    assert_eq!(found as f32, exact(777) as f32, "{found}");
    assert_eq!(document::packed(&numbers), document, "a page has the same");
    assert_eq!(document["type"], "table");
}

#[test]
fn whole_numbers_look_like_such() {
    let shown = [Number(2e7), Number(-0.0), Number(1e300), Whole(-3), Number(2.5)];
    assert_eq!(
        shown.each_ref().map(TableCell::text),
        ["20000000", "0", "1.000e300", "-3", "2.5"]
    );
}
