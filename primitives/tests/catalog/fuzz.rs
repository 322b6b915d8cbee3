//! Calls of the documented signatures with extreme values, drawn from a seed: the session lives, and each error says
//! what is wrong. `ECCO_FUZZ_CALLS` and `ECCO_FUZZ_SEED` ask for more, or for others.

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use ecco_scripting::assist::catalog::{Entry, Param};
use ecco_scripting::options::{OptionKind, OptionSpec};

use crate::calls::{self, VALUES};
use crate::common::{Notebook, on_session_thread, plain};
use crate::{alone, models};

/// After this long a call is interrupted, and then has a second.
const PATIENCE: Duration = Duration::from_millis(1500);
/// Of a machine that does something else too.
const AT_MOST: Duration = Duration::from_secs(10);

const EXTREME: &str = r#"
let kept = 42;
let huge = ""; huge.pad(3000000, "ab c1,");
let raw = blob(100000, 255);
let me = [0, 0]; let into_me = || me; me[0] = into_me; me[1] = into_me;
let map_of_me = #{}; let of_map = || map_of_me; map_of_me.f = of_map;
let nest = []; for i in 0..10000 { nest = [take(nest)]; }
let maps = #{}; for i in 0..10000 { maps = #{a: take(maps)}; }
let closures = |x| x; for i in 0..2000 { let before = closures; closures = |x| before.call(x); }
let gone = other; gone.unload();
"#;

const INTS: &[&str] = &[
    "0",
    "1",
    "-1",
    "2",
    "7",
    "1000000000000",
    "4294967296",
    "9223372036854775807",
    "(-9223372036854775807 - 1)",
];
const FLOATS: &[&str] = &[
    "0.0",
    "-1.5",
    "0.5",
    "(0.0/0.0)",
    "(1.0/0.0)",
    "(-1.0/0.0)",
    "1e308",
    "-1e308",
    "5e-324",
];
const STRINGS: &[&str] = &[
    "\"\"",
    "\"ab cd\"",
    "huge",
    "\"\\u0000\\u202e\\u2028\"",
    "\"../../etc\"",
    "\"a\\u0301\\u{1f469}\"",
    "\"<b>&\"",
    "\"mlp_inner\"",
    "\"demo\"",
    "\" \"",
];
const ARRAYS: &[&str] = &[
    "[]",
    "[[]]",
    "[()]",
    "[1, 2]",
    "[\"ab\", \"cd\"]",
    "[(0.0/0.0)]",
    "[9223372036854775807]",
    "[-1]",
    "me",
    "nest",
    "[output, output]",
    "[run]",
    "[#{}]",
    "[0..3]",
    "[[0, 2]]",
    "[gone]",
    "[huge, huge]",
    "[|x| x]",
];
const MAPS: &[&str] = &[
    "#{}",
    "#{a: 1}",
    "maps",
    "map_of_me",
    "#{layer: 9223372036854775807}",
    "#{\"\": ()}",
    "#{ablate: [#{layer: 0, head: 0}]}",
    "#{add: [#{site: \"mlp_output\", number: 1e308}]}",
    "#{scale: [#{layer: 0, head: 1, factor: (0.0/0.0)}]}",
    "#{ablate: me}",
    "#{patch: [#{from: gone}]}",
];
const OTHERS: &[&str] = &[
    "()",
    "true",
    "'c'",
    "raw",
    "|x| x",
    "|a, b| a < b",
    "closures",
    "into_me",
    "Fn(\"print\")",
    "0..5",
    "timestamp()",
    "(-9223372036854775807 - 1)..9223372036854775807",
    "gone",
    "gone_output",
    "lm",
    "edited",
];

#[test]
fn calls_with_extreme_values_are_errors_that_say_what_is_wrong() {
    let _alone = alone();
    let number = |name: &str, usual: u64| {
        std::env::var(name)
            .ok()
            .and_then(|n| n.parse().ok())
            .unwrap_or(usual)
    };
    let (n_calls, seed) = (number("ECCO_FUZZ_CALLS", 500), number("ECCO_FUZZ_SEED", 1));
    on_session_thread(move || {
        let (folder, other) = (
            models::changed("gpt2-tiny", |_, _| ()),
            models::changed("gpt2-tiny", |_, numbers| numbers.values[0] += 0.5),
        );
        let mut notebook = Notebook::in_folder(folder.path());
        calls::define(&mut notebook, folder.path(), "ab cd ef ab");
        let other = format!(
            "let other = ecco::from_pretrained(\"{}\", #{{verbose: false}}); let gone_output = other.score(\"ab cd\"); \
             let edited = lm.intervene(#{{scale: [#{{layer: 0, site: \"mlp_output\", factor: 1e30}}]}});",
            other.path().display()
        );
        notebook.run(&other).result.expect("another model");
        notebook.run(EXTREME).result.expect("values");
        let entries = calls::entries(notebook.session.catalog());
        let mut draw = Draw(seed);
        let mut report = Report::default();
        for _ in 0..n_calls {
            let code = draw.call(&entries);
            report.take(&mut notebook, &code);
        }
        println!("{report:?}");
        assert!(report.faults.is_empty(), "{}", report.faults.join("\n\n"));
        let alive = notebook.text("lm.generate(\"ab\", #{generate: 2}).tokens.len() > 2");
        assert_eq!(alive, "true");
    });
}

/// What came of the calls.
#[derive(Debug, Default)]
struct Report {
    values: usize,
    errors: std::collections::BTreeMap<String, usize>,
    faults: Vec<String>,
}

impl Report {
    fn take(&mut self, notebook: &mut Notebook, code: &str) {
        // Should it end the process, this says by what.
        let last = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("last-call.rhai");
        std::fs::write(last, code).expect("room");
        let interrupt = notebook.interrupt.clone();
        let (done, is_done) = channel::<()>();
        let timer = std::thread::spawn(move || match is_done.recv_timeout(PATIENCE) {
            Err(RecvTimeoutError::Timeout) => {
                interrupt.request();
                Some(Instant::now())
            }
            _ => None,
        });
        let ended = notebook.run(code).result;
        let at = Instant::now();
        let _ = done.send(());
        let asked = timer.join().expect("it waits");
        notebook.interrupt.clear();
        let waited = asked.map_or(Duration::ZERO, |asked| at.saturating_duration_since(asked));
        if waited > AT_MOST {
            self.faults
                .push(format!("{code}\nanswered {waited:.1?} after the interrupt"));
        }
        match ended {
            Ok(bundle) => {
                self.values += 1;
                let text = bundle
                    .map(|bundle| format!("{:?}", bundle.data))
                    .unwrap_or_default();
                if text.contains("NaN%") || text.contains("width:NaN") {
                    self.faults
                        .push(format!("{code}\nshows a share of what is no number"));
                }
            }
            Err(error) => {
                *self.errors.entry(error.name.clone()).or_default() += 1;
                let text = plain(&error);
                let known = error.name.ends_with("Error") || error.name == "KeyboardInterrupt";
                if !known
                    || error.name == "InternalError"
                    || text.contains("unexpectedly")
                    || text.len() > 100_000
                {
                    let short: String = text.chars().take(600).collect();
                    self.faults.push(format!("{code}\n{short}"));
                }
            }
        }
        let kept = notebook.run("kept").result.ok().flatten();
        if kept.as_ref().and_then(|bundle| bundle.text()) != Some("42") {
            self.faults
                .push(format!("{code}\nthe session has lost its variables"));
        }
    }
}

/// Random choices: SplitMix64.
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    fn of<'a>(&mut self, list: &[&'a str]) -> &'a str {
        list[self.below(list.len())]
    }

    fn call(&mut self, entries: &[Entry]) -> String {
        loop {
            let entry = &entries[self.below(entries.len())];
            // These take away what later calls need.
            if entry.name == "unload" {
                continue;
            }
            let params = calls::before_options(entry);
            let mut arguments: Vec<String> = params
                .iter()
                .enumerate()
                .map(|(at, param)| self.argument(entry, at, param))
                .collect();
            if let Some(options) = entry.options {
                arguments.push(self.options(options));
            }
            // The receiver stays what it is, whatever the call does to it.
            if entry.receiver().is_some() {
                let of = std::mem::replace(&mut arguments[0], "of".into());
                return format!("let of = {of}; {}", calls::written(entry, &arguments));
            }
            return calls::written(entry, &arguments);
        }
    }

    fn argument(&mut self, entry: &Entry, at: usize, param: &Param) -> String {
        let is_receiver = at == 0 && entry.receiver().is_some();
        // A receiver of another type is another function.
        if !is_receiver && self.below(4) == 0 {
            return self.anything();
        }
        match param.of.as_str() {
            "string" => self.of(STRINGS).into(),
            "int" => self.of(INTS).into(),
            "float" => self.of(FLOATS).into(),
            "float | int" => self
                .of(&["0.0", "1e308", "(0.0/0.0)", "-1", "9223372036854775807"])
                .into(),
            "array" => self.of(ARRAYS).into(),
            "map" => self.of(MAPS).into(),
            "blob" => "raw".into(),
            "bool" => "true".into(),
            "char" => "'c'".into(),
            "any" => self.anything(),
            of if of.contains("range") => self.of(&["0..5", "0..9223372036854775807", "5..=-1"]).into(),
            of => calls::variable_of(of).map_or_else(|| self.anything(), str::to_owned),
        }
    }

    fn anything(&mut self) -> String {
        let variables: Vec<&str> = VALUES.iter().map(|(_, variable, _)| *variable).collect();
        let lists = [
            INTS,
            FLOATS,
            STRINGS,
            ARRAYS,
            MAPS,
            OTHERS,
            OTHERS,
            variables.as_slice(),
        ];
        let list = lists[self.below(lists.len())];
        self.of(list).into()
    }

    fn options(&mut self, options: &[OptionSpec]) -> String {
        let n = self.below(3) + 1;
        let mut names: Vec<&OptionSpec> = (0..n).map(|_| &options[self.below(options.len())]).collect();
        names.sort_by_key(|option| option.name);
        names.dedup_by_key(|option| option.name);
        let mut pairs: Vec<String> = names
            .into_iter()
            .map(|option| format!("{}: {}", option.name, self.option(option)))
            .collect();
        if self.below(20) == 0 {
            pairs.push("no_such_option: 1".into());
        }
        format!("#{{{}}}", pairs.join(", "))
    }

    fn option(&mut self, option: &OptionSpec) -> String {
        if self.below(4) == 0 {
            return self.anything();
        }
        let names = option.kind.names();
        match option.kind {
            OptionKind::Bool => self.of(&["true", "false"]).into(),
            _ if !names.is_empty() && self.below(4) > 0 => format!("\"{}\"", self.of(names)),
            OptionKind::Int(_) | OptionKind::CountOr(_) => self.of(INTS).into(),
            OptionKind::Float => self.of(FLOATS).into(),
            OptionKind::Text | OptionKind::Such(_) => self.of(STRINGS).into(),
            OptionKind::Token | OptionKind::Tokens => self
                .of(&["\" ab\"", "0", "-1", "9223372036854775807", "\"\"", "huge"])
                .into(),
            OptionKind::Map | OptionKind::Maps | OptionKind::Any(_) => self.of(MAPS).into(),
            OptionKind::IntOrInts => self
                .of(&["0", "[0, 1]", "[-1]", "[9223372036854775807]", "me"])
                .into(),
            OptionKind::Targets => self
                .of(&[
                    "\"a\"",
                    "0",
                    "[\"a\", \"b\"]",
                    "#{target: \"a\", contrast: \"b\"}",
                    "me",
                    "maps",
                ])
                .into(),
            _ => self.of(ARRAYS).into(),
        }
    }
}
