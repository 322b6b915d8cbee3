//! What is registered from outside: a toy with a result, members, functions and options of every kind.

#[allow(dead_code)]
mod common;

use common::{Notebook, on_session_thread, plain};
use ecco_interpreter::{Interpreter, named};
use ecco_scripting::options::{Choice, OneOrMany, OptionSet, Word};
use ecco_scripting::result::{Explanation, Show};
use ecco_scripting::tensor::Tensor;
use ecco_scripting::{Registry, ScriptError, functions, members, options};
use ecco_widgets::Explorable;

/// Numbers with a name.
#[derive(Clone)]
struct Series {
    name: &'static str,
    values: Vec<f32>,
}

impl Show for Series {
    fn view(&self) -> Result<Box<dyn Explorable>, ScriptError> {
        Ok(Box::new(self.clone()))
    }

    fn line(&self) -> String {
        format!("{} {:?}", self.name, self.values)
    }
}

impl Explanation for Series {
    fn tensors(&self) -> Result<Vec<(&'static str, Tensor)>, ScriptError> {
        let values = ndarray::ArrayD::from_shape_vec(vec![self.values.len()], self.values.clone());
        Ok(vec![(
            self.name,
            Tensor::new(values.unwrap_or_default(), &["step"]),
        )])
    }
}

impl Explorable for Series {
    fn text(&self) -> String {
        self.line()
    }

    fn json(&self) -> Option<serde_json::Value> {
        Some(serde_json::json!({"type": "series", "version": 1, "values": self.values}))
    }
}

/// What members are said of: made from a series.
struct Sum(f32);

impl From<&Series> for Sum {
    fn from(series: &Series) -> Self {
        Self(series.values.iter().sum())
    }
}

named! {
    #[derive(Debug, Clone, Copy, PartialEq)]
    enum Shape {
        Round = "round" | "circle",
        Square = "square",
    }
}

options! {
    /// What several can be told.
    struct Common {
        /// which shape
        shape: Choice<Shape> = Choice(Shape::Round),
    }
}

options! {
    /// What `scaled` can be told.
    struct Scale {
        /// how many times
        times: usize [1..] = 2,
        /// what is added
        /// at the end
        plus: f64 = 0.5,
        ..common: Common,
        /// which of them
        only: Option<Vec<usize>> = "all",
        /// tokens
        words: Option<OneOrMany<Word>> = "none",
        /// a name or several
        names: OneOrMany<Choice<Shape>> = OneOrMany(vec![]),
        /// whether
        loud: bool = false,
    }
}

fn register(registry: &mut Registry) {
    registry.result::<Series>("Series", "series");
    members! { registry, [Series];
        /// The sum, scaled.
        ///
        /// Example:
        /// ```rhai
        /// series.scaled(#{times: 3})
        /// ```
        fn scaled(sum: Sum; options: Scale) -> f64 {
            let n_words = options.words.map_or(0, |words| words.0.len());
            let shape = match options.common.shape.0 {
                Shape::Round => 0.0,
                Shape::Square => 100.0,
            };
            let loud = if options.loud { 1000.0 } else { 0.0 };
            Ok(f64::from(sum.0) * options.times as f64 + options.plus + n_words as f64 + shape + loud)
        }

        /// How many there are.
        get n(series: &Series) -> i64 { Ok(series.values.len() as i64) }

        /// They themselves.
        get numbers(series: &Series) -> Tensor { Ok(series.tensors()?.swap_remove(0).1) }

        /// Refuses.
        fn fails(_series: &Series, how: &str) -> i64 {
            Err(ScriptError::new(ecco_scripting::ErrorKind::Value, format!("no {how}")).with_hint("give up"))
        }
    }
    functions! { registry, "toy";
        /// A series of that many numbers.
        fn series(state, n: i64; options: Common) -> Series {
            state.check_interrupt()?;
            let name = if options.shape.0 == Shape::Round { "round" } else { "square" };
            Ok(Series { name, values: (0..n).map(|n| n as f32).collect() })
        }
    }
}

fn on_toy(check: impl FnOnce(&mut Notebook) + Send + 'static) {
    on_session_thread(|| {
        let mut notebook = Notebook::new();
        notebook
            .run("let series = toy::series(4);")
            .result
            .expect("it is made");
        check(&mut notebook);
    });
}

#[test]
fn members_take_options_or_none() {
    on_toy(|n| {
        assert_eq!(n.text("series.scaled()"), "12.5");
        assert_eq!(n.text("series.scaled(#{times: 3, plus: 1})"), "19.0");
        assert_eq!(
            n.text("series.scaled(#{shape: \"square\", words: [\"a\", 7], loud: true})"),
            "1114.5"
        );
        assert_eq!(n.text("series.scaled(#{shape: \"circle\", times: ()})"), "12.5");
        assert_eq!(n.text("series.n"), "4");
        assert_eq!(
            n.text("toy::series(2, #{shape: \"square\"})"),
            "square [0.0, 1.0]"
        );
        assert_eq!(
            n.text("const fixed = toy::series(2); fixed.n + fixed.scaled()"),
            "4.5"
        );
    });
}

#[test]
fn results_are_numbers_and_json_and_lines() {
    on_toy(|n| {
        assert_eq!(n.text("series"), "round [0.0, 1.0, 2.0, 3.0]");
        assert_eq!(n.text("series.to_array()"), "[0.0, 1.0, 2.0, 3.0]");
        assert_eq!(n.text("[series]"), "[round [0.0, 1.0, 2.0, 3.0]]");
        assert_eq!(
            n.text("parse_json(series.to_json()).values"),
            "[0.0, 1.0, 2.0, 3.0]"
        );
    });
}

#[test]
fn wrong_options_are_told_in_the_rows_words() {
    on_toy(|n| {
        for (code, message, hint) in [
            (
                "series.scaled(#{time: 3})",
                "Series.scaled has no option `time`",
                "did you mean `times`?",
            ),
            (
                "series.scaled(#{times: 0})",
                "option `times` takes a whole number of at least 1; got 0 (int)",
                "",
            ),
            (
                "series.scaled(#{plus: \"a\"})",
                "option `plus` takes a number; got \"a\" (string)",
                "",
            ),
            (
                "series.scaled(#{shape: \"rond\"})",
                "option `shape` takes one of \"round\" (\"circle\"), \"square\"; got \"rond\" (string)",
                "did you mean `round`?",
            ),
            (
                "series.scaled(#{only: [0, -1]})",
                "option `only` takes an array of whole numbers; got [0, -1] (array)",
                "",
            ),
            (
                "toy::series(2, #{xyzzy: 1})",
                "toy::series has no option `xyzzy`",
                "its options are shape",
            ),
            ("series.fails(\"way\")", "no way", "give up"),
        ] {
            let error = n.error(code);
            assert_eq!(error.value, message, "{code}");
            assert!(plain(&error).contains(hint), "{code}\n{}", plain(&error));
            // It points at the call, or at the option.
            assert!(plain(&error).contains('^'), "{code}\n{}", plain(&error));
        }
    });
}

#[test]
fn rows_say_defaults_and_bounds() {
    let rows: Vec<(&str, &str, &str)> = Scale::rows()
        .iter()
        .map(|row| (row.name, row.default, row.doc))
        .collect();
    assert_eq!(
        rows,
        [
            ("times", "2", "how many times"),
            ("plus", "0.5", "what is added at the end"),
            ("shape", "\"round\"", "which shape"),
            ("only", "all", "which of them"),
            ("words", "none", "tokens"),
            ("names", "", "a name or several"),
            ("loud", "false", "whether"),
        ]
    );
}

#[test]
fn what_is_registered_is_completed_and_documented() {
    on_toy(|n| {
        let mut names = |code: &str| -> Vec<String> {
            let completions = n.session.complete(code, code.chars().count());
            completions.matches.into_iter().map(|item| item.text).collect()
        };
        assert_eq!(names("series.sca"), ["scaled"]);
        assert_eq!(names("toy::"), ["series"]);
        assert_eq!(names("series.scaled(#{ti"), ["times"]);
        assert_eq!(names("toy::series(2, #{shape: \"sq"), ["square"]);
        let page = n.page("help(\"Series.scaled\")");
        assert!(page.contains("series.scaled([options: map]) -> float"), "{page}");
        assert!(
            page.contains("times  a whole number of at least 1; default: 2"),
            "{page}"
        );
    });
}

#[test]
fn a_map_as_json_holds_what_its_values_hold() {
    on_toy(|n| {
        let code =
            "#{a: series.numbers, b: [series, 2, 0.1, 0.0/0.0], c: (), d: 'x', e: [blob(2, 7)]}.to_json()";
        let shown = n.text(&format!("print({code}); {code}"));
        let text: String = serde_json::from_str(&shown).expect("a string");
        let found: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(found["a"]["type"], "tensor");
        assert_eq!(found["a"]["shape"], serde_json::json!([4]));
        assert_eq!(found["a"]["data"], serde_json::json!([0.0, 1.0, 2.0, 3.0]));
        assert_eq!(found["b"][0]["type"], "series");
        assert_eq!(
            found["b"].as_array().map(|items| &items[1..]),
            Some(&[2.into(), 0.1.into(), serde_json::Value::Null][..])
        );
        assert_eq!(
            (&found["c"], &found["d"]),
            (&serde_json::Value::Null, &"x".into())
        );
        assert_eq!(found["e"], serde_json::json!([[7, 7]]));
    });
}
