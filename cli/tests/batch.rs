//! `ecco-kernel batch`: one script for many texts, whatever happens on the way.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

const PROGRAM: &str = env!("CARGO_BIN_EXE_ecco-kernel");

/// A folder with a script and an input.
struct Study {
    folder: tempfile::TempDir,
}

impl Study {
    fn new(script: &str, input: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("study.rhai"), script).unwrap();
        std::fs::write(folder.path().join("texts.jsonl"), input).unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, output: &str, options: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command
            .args([
                "batch",
                "study.rhai",
                "--input",
                "texts.jsonl",
                "--output",
                output,
            ])
            .args(options)
            .current_dir(self.folder.path())
            .stdin(Stdio::null());
        command
    }

    fn run(&self, output: &str, options: &[&str]) -> (String, Option<i32>) {
        told(&self.command(output, options).output().unwrap())
    }

    fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    fn manifest(&self, output: &str) -> Value {
        serde_json::from_str(&self.text(&format!("{output}/manifest.json"))).unwrap()
    }
}

fn told(output: &Output) -> (String, Option<i32>) {
    (
        String::from_utf8(output.stderr.clone()).unwrap(),
        output.status.code(),
    )
}

fn texts(n: usize) -> String {
    let words = ["the", "keys", "to", "a", "cabinet", "are", "on", "table"];
    let text = |at: usize| {
        (0..3 + at * 7 % 11)
            .map(|word| words[(at * at + word * 3) % 8])
            .collect::<Vec<_>>()
    };
    (0..n)
        .map(|at| format!("{}\n", json!({"id": at, "text": text(at).join(" ")})))
        .collect()
}

const SCORES: &str = "let lm = ecco::from_pretrained(\"demo\");\n\
    // %% each batch\n\
    let scores = lm.score(rows.map(|row| row.text)).table;\n\
    scores.with_column(\"id\", rows.map(|row| row.id)).select([\"id\", \"log_probability\"])";

#[test]
fn every_row_has_a_line_in_order_and_who_computes_it_changes_no_byte() {
    let study = Study::new(SCORES, &texts(100));
    let (said, status) = study.run("one", &["--batch", "8", "--threads", "1"]);
    assert_eq!(status, Some(0), "{said}");
    assert!(said.contains("100 results in one/results.jsonl"), "{said}");
    let results = study.text("one/results.jsonl");
    for (at, line) in results.lines().enumerate() {
        let result: Value = serde_json::from_str(line).unwrap();
        assert_eq!((&result["row"], &result["id"]), (&json!(at), &json!(at)));
        assert!(result["log_probability"].as_f64().unwrap() < 0.0);
    }
    assert_eq!(results.lines().count(), 100);
    let (said, status) = study.run("two", &["--batch", "8", "--threads", "1", "--workers", "3"]);
    assert_eq!(status, Some(0), "{said}");
    assert_eq!(study.text("two/results.jsonl"), results);
    assert_eq!(study.text("two/passed_over.jsonl"), "");
    // Of another number of rows together the numbers are the same to the tolerance.
    study.run("three", &["--batch", "3"]);
    for (one, other) in results.lines().zip(study.text("three/results.jsonl").lines()) {
        let number = |line: &str| {
            let value: Value = serde_json::from_str(line).unwrap();
            value["log_probability"].as_f64().unwrap()
        };
        assert!((number(one) - number(other)).abs() < 1e-4, "{one} {other}");
    }
    let manifest = study.manifest("one");
    assert_eq!(manifest["is_finished"], true);
    assert_eq!(manifest["rows"], json!({"results": 100, "passed_over": 0}));
    assert_eq!(manifest["models"][0]["name"], "demo");
    assert_eq!(manifest["models"][0]["digest"].as_str().unwrap().len(), 64);
    assert_eq!(manifest["options"]["batch"], 8);
}

#[test]
fn rows_that_cannot_be_done_are_told_and_passed_over() {
    let input =
        "{\"text\": \"the keys\"}\n{\"text\": 5}\n\n{broken\n[1]\n{\"text\": \"a dog\"}\n\"\\ud800\"\n";
    let script = "let lm = ecco::from_pretrained(\"demo\");\n// %% each batch\nlm.score(rows.map(|row| row.text)).table";
    let study = Study::new(script, input);
    let (said, status) = study.run("out", &[]);
    assert_eq!(status, Some(3), "{said}");
    assert!(said.contains("row 1 is passed over: TypeError"), "{said}");
    let rows: Vec<Value> = study
        .text("out/results.jsonl")
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["row"].clone())
        .collect();
    assert_eq!(rows, [0, 4]);
    let passed_over: Vec<Value> = study
        .text("out/passed_over.jsonl")
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let places: Vec<_> = passed_over
        .iter()
        .map(|row| (row["row"].clone(), row["line"].clone()))
        .collect();
    assert_eq!(
        places,
        [(1, 2), (2, 4), (3, 5), (5, 7)].map(|(row, line)| (json!(row), json!(line)))
    );
    assert!(
        passed_over[1]["error"]
            .as_str()
            .unwrap()
            .starts_with("this is no JSON")
    );
    assert_eq!(
        study.manifest("out")["rows"],
        json!({"results": 2, "passed_over": 4})
    );
    // Said once more, it is done: the same end.
    let (said, status) = study.run("out", &[]);
    assert_eq!(status, Some(3));
    assert!(said.contains("all is done"), "{said}");
}

#[test]
fn a_row_knows_nothing_of_the_rows_before_it() {
    let script = "let seen = 0;\nfn twice(x) { 2 * x }\n// %% each row\nlet mine = row.x;\n#{mine: twice(mine), has_before: is_def_var(\"before\")}\n";
    let study = Study::new(script, "{\"x\": 1}\n{\"x\": 2}\n");
    let (said, status) = study.run("out", &[]);
    assert_eq!(status, Some(0), "{said}");
    let expected =
        "{\"row\":0,\"has_before\":false,\"mine\":2}\n{\"row\":1,\"has_before\":false,\"mine\":4}\n";
    assert_eq!(study.text("out/results.jsonl"), expected);
    // What is drawn without a seed is the same each time, and another for another row.
    let script = "let lm = ecco::from_pretrained(\"demo\", #{verbose: false});\n// %% each row\n\
        lm.generate(\"the dog\", #{generate: 8, do_sample: true, temperature: 3.0}).text";
    let study = Study::new(script, "1\n2\n3\n");
    study.run("a", &[]);
    study.run("b", &["--workers", "2"]);
    study.run("c", &["--seed", "7"]);
    let lines = |name: &str| {
        study
            .text(name)
            .lines()
            .map(|line| line[8..].to_owned())
            .collect::<Vec<_>>()
    };
    let a = lines("a/results.jsonl");
    assert_eq!(a, lines("b/results.jsonl"));
    assert!(a != lines("c/results.jsonl") && a[0] != a[1], "{a:?}");
}

#[test]
fn what_is_killed_at_any_moment_goes_on_and_ends_with_the_same_bytes() {
    let script = "let lm = ecco::from_pretrained(\"demo\");\n// %% each row\n\
        if row.id % 50 == 7 { throw \"not this one\" }\n#{id: row.id, p: lm.score(row.text).perplexity}";
    let study = Study::new(script, &texts(1_500));
    let options = ["--batch", "4", "--threads", "1"];
    assert_eq!(study.run("whole", &options).1, Some(3));
    let mut kills = 0;
    for n in 0.. {
        let mut child = study
            .command("cut", &options)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let until = Instant::now() + Duration::from_millis(700 + 173 * n % 1_100);
        while Instant::now() < until && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(5));
        }
        if let Some(status) = child.try_wait().unwrap() {
            assert_eq!(status.code(), Some(3));
            break;
        }
        kill(&mut child);
        kills += 1;
        assert!(kills < 300, "it gets nowhere");
    }
    assert!(kills > 1, "it was never killed");
    for file in ["results.jsonl", "passed_over.jsonl"] {
        let [whole, cut] = ["whole", "cut"].map(|folder| study.text(&format!("{folder}/{file}")));
        assert_eq!(whole, cut);
    }
    assert_eq!(study.text("cut/results.jsonl").lines().count(), 1_470);
}

fn kill(child: &mut Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_worker_that_is_killed_costs_nothing_and_a_row_that_kills_it_is_passed_over() {
    let script = "let lm = ecco::from_pretrained(\"demo\");\n// %% each batch\nlm.score(rows.map(|row| row.text)).table";
    let study = Study::new(script, &texts(3_000));
    let options = ["--batch", "16", "--threads", "1", "--workers", "2"];
    let child = study
        .command("out", &options)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // As soon as something is done.
    let results = study.path("out/manifest.json");
    let begun = || std::fs::read_to_string(&results).is_ok_and(|text| !text.contains("\"results\": 0"));
    wait_until(begun);
    let worker = worker_of(child.id());
    // SAFETY: a process of this test.
    unsafe { libc::kill(worker, libc::SIGKILL) };
    let (said, status) = told(&child.wait_with_output().unwrap());
    assert_eq!(status, Some(0), "{said}");
    assert!(said.contains("a worker was killed"), "{said}");
    study.run("alone", &["--batch", "16", "--threads", "1"]);
    assert_eq!(study.text("out/results.jsonl"), study.text("alone/results.jsonl"));

    // One that ends whenever it is to be given the third row, as one would that the system kills for its memory.
    let study = Study::new("// %% each batch\nrows", "1\n2\n3\n4\n");
    // What it was given before is answered first.
    let deadly = "while read -r line; do case $line in *'\"value\":3'*) sleep 0.5; exit;; esac; printf '%s\\n' \"$line\"; done";
    std::fs::write(study.path("deadly.sh"), deadly).unwrap();
    let through = format!("sh deadly.sh | '{PROGRAM}' batch-worker");
    let (said, status) = study.run("out", &["--through", &through]);
    assert_eq!(status, Some(3), "{said}");
    let results = study.text("out/results.jsonl");
    assert_eq!(
        results,
        "{\"row\":0,\"value\":1}\n{\"row\":1,\"value\":2}\n{\"row\":3,\"value\":4}\n"
    );
    let passed_over = study.text("out/passed_over.jsonl");
    assert!(
        passed_over.contains("\"row\":2") && passed_over.contains("the worker that had the row"),
        "{passed_over}"
    );
    // One that never gets ready is not started for ever.
    let (said, status) = study.run("never", &["--through", "false"]);
    assert!(
        status == Some(1) && said.contains("without anything done"),
        "{said}"
    );
}

/// A process that another has started.
fn worker_of(parent: u32) -> i32 {
    let tasks = std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap();
    tasks.split_whitespace().next().unwrap().parse().unwrap()
}

fn wait_until(mut is_true: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_true() {
        assert!(start.elapsed() < Duration::from_secs(60), "it does not begin");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn results_of_something_else_are_not_gone_on_with() {
    let study = Study::new("// %% each row\nrow", "1\n2\n");
    assert_eq!(study.run("out", &[]).1, Some(0));
    let refused = |options: &[&str], expected: &str| {
        let (said, status) = study.run("out", options);
        assert_eq!(status, Some(1), "{said}");
        assert!(said.contains(expected) && said.contains("--output"), "{said}");
    };
    refused(&["--batch", "7"], "another choice of options: --batch 32");
    std::fs::write(study.path("texts.jsonl"), "1\n3\n").unwrap();
    refused(&[], "another input");
    std::fs::write(study.path("texts.jsonl"), "1\n2\n").unwrap();
    std::fs::write(study.path("study.rhai"), "// %% each row\nrow + 1").unwrap();
    refused(&[], "another script");
    assert_eq!(
        study.text("out/results.jsonl"),
        "{\"row\":0,\"value\":1}\n{\"row\":1,\"value\":2}\n"
    );
    // A folder that holds something else, and one that another batch has.
    let (said, status) = study.run(".", &[]);
    assert!(
        status == Some(1) && said.contains("holds something else"),
        "{said}"
    );
}

#[test]
fn what_the_script_reads_and_imports_is_part_of_it() {
    let script = "import \"before\" as b;\nlet bias = ecco::read(\"bias.json\");\n\
        // %% each row\nimport \"each\" as e;\nb::double(row) + bias + e::ONE";
    let study = Study::new(script, "1\n2\n");
    let write = |name: &str, text: &str| std::fs::write(study.path(name), text).unwrap();
    write("before.rhai", "fn double(x) { 2 * x }");
    write("each.rhai", "export const ONE = 1;");
    write("bias.json", "10");
    assert_eq!(study.run("out", &[]).1, Some(0));
    assert_eq!(
        study.text("out/results.jsonl"),
        "{\"row\":0,\"value\":13}\n{\"row\":1,\"value\":15}\n"
    );
    let manifest: serde_json::Value = serde_json::from_str(&study.text("out/manifest.json")).unwrap();
    let files: Vec<&String> = manifest["files"].as_object().unwrap().keys().collect();
    assert_eq!(files, ["before", "bias.json", "each"]);
    // As after a kill before the second row.
    let end = serde_json::json!(study.text("out/results.jsonl").find('\n').unwrap() + 1);
    let mut half = manifest.clone();
    half["is_finished"] = false.into();
    half["rows"]["results"] = 1.into();
    half["results_bytes"] = end;
    half["position"] = serde_json::json!({"offset": 2, "row": 1, "line": 1});
    for (name, text) in [
        ("before.rhai", "fn double(x) { 3 * x }"),
        ("bias.json", "11"),
        ("each.rhai", "export const ONE = 0;"),
    ] {
        let before = study.text(name);
        write("out/manifest.json", &half.to_string());
        write(name, text);
        let (said, status) = study.run("out", &[]);
        let named = name.trim_end_matches(".rhai");
        assert!(
            status == Some(1) && said.contains(&format!("another {named}: ")),
            "{said}"
        );
        write(name, &before);
    }
    assert_eq!(study.run("out", &[]).1, Some(0));
    assert_eq!(study.text("out/results.jsonl").lines().count(), 2);
}

#[test]
fn another_model_is_not_gone_on_with() {
    let script = "let lm = ecco::from_pretrained(\"model\");\n// %% each row\nlm.score(row.text).perplexity";
    let study = Study::new(script, &texts(600));
    copy_demo(&study.path("model"));
    let mut child = study
        .command("out", &["--batch", "2"])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait_until(|| {
        std::fs::read_to_string(study.path("out/manifest.json"))
            .is_ok_and(|text| !text.contains("\"results\": 0"))
    });
    kill(&mut child);
    let config = study.text("model/config.json");
    std::fs::write(study.path("model/config.json"), config + " ").unwrap();
    let (said, status) = study.run("out", &["--batch", "2"]);
    assert!(status == Some(1) && said.contains("of other models"), "{said}");
}

fn copy_demo(folder: &Path) {
    std::fs::create_dir(folder).unwrap();
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("../demo/model");
    for file in std::fs::read_dir(demo).unwrap() {
        let path = file.unwrap().path();
        std::fs::copy(&path, folder.join(path.file_name().unwrap())).unwrap();
    }
}

#[test]
fn what_is_wrong_is_said_before_anything_is_done() {
    let study = Study::new("row", "1\n");
    let (said, status) = study.run("out", &[]);
    assert!(status == Some(1) && said.contains("// %% each row"), "{said}");
    assert!(!study.path("out").exists());
    let study = Study::new("let x = nothing;\n// %% each row\nrow", "1\n");
    let (said, status) = study.run("out", &[]);
    assert!(
        status == Some(1) && said.contains("there is no variable `nothing`"),
        "{said}"
    );
    assert!(said.contains("study.rhai, line 1"), "{said}");
    // A script that is wrong for every row does not go on for hours.
    let study = Study::new("// %% each row\nrow.x.y", &"{}\n".repeat(5_000));
    let (said, status) = study.run("out", &[]);
    assert!(
        status == Some(1) && said.contains("not one of the first"),
        "{said}"
    );
    let (said, status) = study.run("out", &["--keep-going"]);
    assert_eq!(status, Some(3), "{said}");
    assert_eq!(study.manifest("out")["rows"]["passed_over"], 5_000);
    for (name, expected) in [
        ("nothing.jsonl", "could not open"),
        ("texts.csv", "is no input"),
        ("study.rhai", "is no input"),
    ] {
        let output = Command::new(PROGRAM)
            .args(["batch", "study.rhai", "--output", "other", "--input", name])
            .current_dir(study.folder.path())
            .output();
        let (said, status) = told(&output.unwrap());
        assert!(status == Some(1) && said.contains(expected), "{said}");
    }
}

#[test]
fn memory_does_not_grow_with_the_input() {
    let study = Study::new("// %% each row\nrow.text.len()", "");
    // 100 MB of rows, none of which is kept.
    let line = format!("{}\n", json!({"text": "x".repeat(100_000)}));
    std::fs::write(study.path("texts.jsonl"), line.repeat(1_000)).unwrap();
    let child = study.command("out", &[]).stderr(Stdio::piped()).spawn().unwrap();
    let mut most = 0;
    let id = child.id();
    let peak = || {
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok())
    };
    let results = study.path("out/manifest.json");
    while let Some(now) = peak().filter(|now| *now > 0) {
        most = now.max(most);
        if std::fs::read_to_string(&results).is_ok_and(|text| text.contains("\"is_finished\": true")) {
            break;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let (said, status) = told(&child.wait_with_output().unwrap());
    assert_eq!(status, Some(0), "{said}");
    assert!(most > 0 && most < 200_000, "{most} kB");
}

#[test]
fn ctrl_c_keeps_what_is_done() {
    let script = "let lm = ecco::from_pretrained(\"demo\");\n// %% each row\nlm.score(row.text).perplexity";
    let study = Study::new(script, &texts(2_000));
    let child = study.command("out", &[]).stderr(Stdio::piped()).spawn().unwrap();
    wait_until(|| {
        std::fs::read_to_string(study.path("out/manifest.json"))
            .is_ok_and(|text| !text.contains("\"results\": 0"))
    });
    // SAFETY: a process of this test.
    unsafe { libc::kill(child.id() as i32, libc::SIGINT) };
    let (said, status) = told(&child.wait_with_output().unwrap());
    assert!(
        status == Some(130) && said.contains("goes on from here"),
        "{said}"
    );
    let done = study.text("out/results.jsonl").lines().count();
    assert_eq!(study.manifest("out")["rows"]["results"], done);
    let (said, status) = study.run("out", &[]);
    assert!(
        status == Some(0) && said.contains(&format!("going on behind row {}", done - 1)),
        "{said}"
    );
    assert_eq!(study.text("out/results.jsonl").lines().count(), 2_000);
}

#[test]
fn parquet_comes_in_and_goes_out() {
    let study = Study::new(
        "// %% each row\n#{id: row.id, n: row.text.len(), words: row.text.split(\" \")}",
        &texts(5_000),
    );
    let (said, status) = study.run("lines", &[]);
    assert_eq!(status, Some(0), "{said}");
    let (said, status) = study.run("table", &["--to", "parquet"]);
    assert!(
        status == Some(0) && said.contains("5000 results in table/results.parquet"),
        "{said}"
    );
    assert!(!study.path("table/results.jsonl").exists());
    // The table as an input: a row each, with the fields that the lines have.
    std::fs::write(
        study.path("again.rhai"),
        "// %% each row\nlet n = row.remove(\"row\");\nrow",
    )
    .unwrap();
    let again = |rows: &str| {
        let mut command = Command::new(PROGRAM);
        command
            .args([
                "batch",
                "again.rhai",
                "--input",
                "table/results.parquet",
                "--output",
                rows,
            ])
            .current_dir(study.folder.path())
            .stdin(Stdio::null());
        command
    };
    let (said, status) = told(&again("back").output().unwrap());
    assert_eq!(status, Some(0), "{said}");
    assert_eq!(
        study.text("back/results.jsonl"),
        study.text("lines/results.jsonl")
    );
    let mut child = again("cut").stderr(Stdio::null()).spawn().unwrap();
    wait_until(|| {
        std::fs::read_to_string(study.path("cut/manifest.json"))
            .is_ok_and(|text| !text.contains("\"row\": 0"))
    });
    kill(&mut child);
    assert_eq!(told(&again("cut").output().unwrap()).1, Some(0));
    assert_eq!(study.text("cut/results.jsonl"), study.text("lines/results.jsonl"));
    std::fs::write(study.path("table/results.parquet"), "PAR1").unwrap();
    let (said, status) = told(&again("damaged").output().unwrap());
    assert!(
        status == Some(1) && said.contains("table/results.parquet"),
        "{said}"
    );
}
