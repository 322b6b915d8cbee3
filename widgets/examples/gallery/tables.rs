//! Tables: a usual one, a long one, one of strangers' texts, one without rows.

use ecco_widgets::TableCell::{Nothing, Number, Text, Truth, Whole};
use ecco_widgets::{Explorable, Table, TableCell};

pub(crate) fn views() -> Vec<(&'static str, Box<dyn Explorable>)> {
    vec![
        ("table", Box::new(cities())),
        ("hostile-table", Box::new(hostile())),
        ("wide-table", Box::new(wide())),
        ("long-table", Box::new(long())),
        ("none-table", Box::new(table(&["text", "loss"], vec![]))),
    ]
}

fn table(columns: &[&str], rows: Vec<Vec<TableCell>>) -> Table {
    Table {
        columns: columns.iter().map(|name| (*name).to_owned()).collect(),
        n_columns: columns.len(),
        n_rows: rows.len(),
        rows,
    }
}

fn text(text: &str) -> TableCell {
    Text(text.to_owned())
}

fn cities() -> Table {
    let rows = [
        ("The capital of France is Paris.", "city", 12, 2.3456, true),
        ("The capital of Italy is Rome.", "city", 11, 1.25, true),
        (
            "The keys to the cabinet are on the table.",
            "agreement",
            10,
            3.75e-7,
            false,
        ),
        ("A river runs through it.", "other", 7, 4.0, false),
    ];
    let row = |(sentence, label, n, loss, is_capital)| {
        vec![
            text(sentence),
            text(label),
            Whole(n),
            Number(loss),
            Truth(is_capital),
        ]
    };
    let mut rows: Vec<Vec<TableCell>> = rows.into_iter().map(row).collect();
    rows.push(vec![
        text("Nothing is known of this."),
        Nothing(()),
        Whole(6),
        text("NaN"),
        Nothing(()),
    ]);
    table(&["text", "label", "n_tokens", "loss", "capital"], rows)
}

fn long() -> Table {
    let words = ["river", "city", "keys", "cabinet", "Paris", "number", "letter"];
    let row = |at: usize| {
        let noise = (at * 7919) % 100_003;
        let (one, other) = (words[noise % 7], words[noise / 7 % 7]);
        vec![
            Whole(at as i64),
            text(&format!("The {one} and the {other} number {noise}")),
            Number(noise as f64 / 1000.0),
        ]
    };
    Table {
        n_rows: 250_000,
        ..table(&["id", "text", "loss"], (0..100_000).map(row).collect())
    }
}

fn hostile() -> Table {
    let rows = vec![
        vec![
            text("<img src=x onerror=alert(1)>"),
            text("</script><script>alert(1)</script>"),
        ],
        vec![
            text("\u{202e}reversed\u{2066} \u{1b}[31m\0\u{2028}x"),
            text("line\nbreak\tand tab\r\n"),
        ],
        vec![text(&"long ".repeat(900)), text("=HYPERLINK(\"x\")")],
        vec![Number(1e300), Number(-0.0)],
        vec![Whole(-9_007_199_254_740_992), text("9223372036854775807")],
        vec![text(""), Nothing(())],
    ];
    table(&["<b>bold</b>", "\u{202e}turned"], rows)
}

fn wide() -> Table {
    let names: Vec<String> = (0..100).map(|at| format!("column_{at}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let row = |at: i64| {
        (0..100)
            .map(|column| Number(at as f64 + column as f64 / 100.0))
            .collect()
    };
    Table {
        n_columns: 3000,
        ..table(&names, (0..30).map(row).collect())
    }
}
