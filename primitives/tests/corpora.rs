//! Corpora that are kept in a file: what an interrupt or a killed kernel leaves is gone on from, in another session, and what
//! comes is what one that was never interrupted has.

#[allow(dead_code)]
#[path = "../../scripting/tests/common/mod.rs"]
mod common;

use std::path::Path;
use std::time::Duration;

use common::{Notebook, interrupted, on_session_thread};
use ecco_primitives::register;

const TEXTS: &str = r#"
let lm = ecco::from_pretrained("demo");
let texts = [];
for n in 0..600 { texts.push("The " + n + " countries are:\n1. Austria\n" + n + ". Belgium and " + (n * 7 % 13) + " more of them."); }
let options = #{layers: [0, 2], top: 3, sample: 5};
"#;

/// All that a corpus has.
const ALL: &str = r#"
fn all(corpus) {
    [corpus.n_tokens, corpus.to_array(), corpus.rank(#{n: 2000}).to_array(), corpus.neuron(2, 7).to_json(), corpus.neuron(0, 1).to_json()]
}
all(corpus).to_string()
"#;

fn notebook(folder: &Path) -> Notebook {
    let mut notebook = Notebook::in_folder(folder.to_owned());
    notebook.run(TEXTS).result.expect("the demo model runs");
    notebook
}

fn whole(folder: &Path) -> String {
    let mut notebook = notebook(folder);
    notebook
        .run("let corpus = lm.corpus(texts, options);")
        .result
        .expect("read");
    notebook.text(ALL)
}

const KEPT: &str =
    "options.file = \"kept.safetensors\"; options.save_every = 0.0; let corpus = lm.corpus(texts, options);";

#[test]
fn what_an_interrupt_or_a_kill_leaves_is_gone_on_from() {
    on_session_thread(|| {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("kept.safetensors");
        let expected = whole(folder.path());

        // A copy of the file while it is written is what is there when the kernel is killed.
        let mut first = notebook(folder.path());
        let (interrupt, from, to) = (
            first.interrupt.clone(),
            path.clone(),
            folder.path().join("killed.safetensors"),
        );
        let killer = std::thread::spawn(move || {
            // What is written before anything is read has the texts alone.
            let size = |path: &Path| std::fs::metadata(path).map_or(0, |file| file.len());
            while size(&from) < 1_000_000 {
                std::thread::sleep(Duration::from_millis(5));
            }
            std::fs::copy(&from, &to).expect("copied");
            interrupt.request();
        });
        let error = first.error(KEPT);
        killer.join().expect("it ends");
        assert_eq!(error.name, "KeyboardInterrupt");
        assert!(
            common::plain(&error).contains("in \"kept.safetensors\": the same call goes on from there"),
            "{}",
            common::plain(&error)
        );
        let part = first.text("let part = lm.last_corpus; [part.is_whole, part.n_tokens > 0]");
        assert_eq!(part, "[false, true]");
        let size = std::fs::metadata(&path).expect("there").len();
        assert!(size > 1_000_000, "{size}");
        let n_tokens: usize = first.text("part.n_tokens").parse().expect("a number");
        drop(first);

        for file in ["kept", "killed"] {
            let mut next = notebook(folder.path());
            let loaded = format!("ecco::load(\"{file}.safetensors\", lm)");
            assert_eq!(next.text(&format!("{loaded}.is_whole")), "false");
            let so_far: usize = next
                .text(&format!("{loaded}.n_tokens"))
                .parse()
                .expect("a number");
            assert!(so_far > 0 && so_far <= n_tokens, "{so_far} of {n_tokens}");
            next.run(&KEPT.replace("kept.", &format!("{file}.")))
                .result
                .expect("it goes on");
            assert_eq!(next.text("corpus.is_whole"), "true");
            assert!(next.text(ALL) == expected, "{file}: another corpus");
            // Loaded, it is the same, without its texts.
            let mut last = Notebook::in_folder(folder.path().to_owned());
            last.run("let lm = ecco::from_pretrained(\"demo\");")
                .result
                .expect("loaded");
            last.run(&format!("let corpus = {loaded};"))
                .result
                .expect("loaded");
            assert!(
                last.text(ALL) == expected,
                "{file}: another corpus when it is loaded"
            );
        }
    });
}

#[test]
fn an_interrupt_at_any_time_keeps_what_was_read() {
    on_session_thread(|| {
        let folder = tempfile::tempdir().expect("a folder");
        let mut notebook = notebook(folder.path());
        // When the first progress shows.
        let (_, traceback) = interrupted(&mut notebook, KEPT);
        assert!(traceback.contains("goes on from there"), "{traceback}");
        notebook.run(KEPT).result.expect("it goes on");
        let corpus = notebook.text(ALL);
        assert!(corpus == whole(folder.path()), "another corpus");
        // What is whole is not read again.
        let start = std::time::Instant::now();
        notebook.run(KEPT).result.expect("it is there");
        assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
        assert!(notebook.text(ALL) == corpus);
    });
}

#[test]
fn texts_of_a_file_are_those_of_a_list() {
    on_session_thread(|| {
        let folder = tempfile::tempdir().expect("a folder");
        let expected = whole(folder.path());
        let mut notebook = notebook(folder.path());
        notebook
            .run("let table = ecco::table(#{text: texts, n: texts.map(|text| text.len())});")
            .result
            .expect("made");
        for ending in ["csv", "tsv", "jsonl", "parquet"] {
            notebook
                .run(&format!(
                    "table.save(\"texts.{ending}\"); let corpus = lm.corpus(\"texts.{ending}\", options);"
                ))
                .result
                .expect(ending);
            assert!(notebook.text(ALL) == expected, "{ending}: another corpus");
        }
        let error = notebook.error("lm.corpus(\"texts.csv\", #{column: \"txt\"})");
        let said = common::plain(&error);
        assert!(
            said.contains("there is no column \"txt\"") && said.contains("did you mean"),
            "{said}"
        );
        let error = notebook.error("lm.corpus(\"../texts.csv\")");
        assert!(
            error.value.contains("outside of the notebook's folder"),
            "{}",
            error.value
        );
        assert_eq!(
            notebook.error("lm.corpus(\"none.csv\")").name,
            "FileNotFoundError"
        );
    });
}

#[test]
fn a_file_of_something_else_is_refused() {
    on_session_thread(|| {
        let folder = tempfile::tempdir().expect("a folder");
        let mut notebook = notebook(folder.path());
        notebook
            .run("let few = [\"The countries are\", \"1. Austria\"]; let asked = #{layers: [1], top: 2, file: \"kept.safetensors\"};")
            .result
            .expect("named");
        notebook.run("lm.corpus(few, asked);").result.expect("read");
        let kept = std::fs::read(folder.path().join("kept.safetensors")).expect("written");
        let mut said = |code: &str| {
            let error = notebook.error(code);
            assert_eq!(error.name, "ValueError", "{code}: {}", error.value);
            error.value
        };
        for (code, expected) in [
            (
                "lm.corpus([\"The countries are\", \"2. Austria\"], asked)",
                "it is of other texts",
            ),
            (
                "lm.corpus([\"1. Austria\"], asked)",
                "it is of other texts: of 2, and now there are 1",
            ),
            (
                "let other = asked; other.top = 3; lm.corpus(few, other)",
                "its top is 2, and now 3",
            ),
            (
                "other = asked; other.layers = [2]; lm.corpus(few, other)",
                "its layers is [1], and now [2]",
            ),
            (
                "other = asked; other.sign = \"both\"; lm.corpus(few, other)",
                "its sign is \"positive\", and now \"both\"",
            ),
            (
                "other = asked; other.by = \"head\"; other.site = \"head_outputs\"; lm.corpus(few, other)",
                "its site is",
            ),
            (
                "lm.intervene(#{ablate: [#{layer: 0, site: \"mlp_output\"}]}).corpus(few, asked)",
                "then the model was changed by []",
            ),
            (
                "other = asked; other.file = \"../kept.safetensors\"; lm.corpus(few, other)",
                "outside of the notebook's folder",
            ),
            (
                "other = asked; other.file = \"kept.json\"; lm.corpus(few, other)",
                "a corpus is kept in a .safetensors file",
            ),
            (
                "other = asked; other.save_every = -1.0; lm.corpus(few, other)",
                "save_every is -1",
            ),
            (
                "other = asked; other.memory = 1; other.top = 10000; lm.corpus(few, other)",
                "memory is 1",
            ),
        ] {
            let found = said(code);
            assert!(found.contains(expected), "{code}: {found}");
        }
        // Vectors that are called alike are told apart by what they do.
        let steered = |sign: &str| {
            format!(
                "lm.intervene(#{{add: [#{{vector: {sign}ecco::randn([192], #{{seed: 1}}), layer: 0, site: \"residual_after\"}}]}}).corpus(few, #{{layers: [1], file: \"steered.safetensors\"}})"
            )
        };
        notebook.run(&steered("")).result.expect("read");
        let error = notebook.error(&steered("-"));
        assert!(
            error
                .value
                .contains("in its first text there are other values than now"),
            "{}",
            error.value
        );

        // Cut off, with other bytes, or of something else: said, and left as it is.
        let damaged = folder.path().join("damaged.safetensors");
        let mut n_refused = 0;
        for n in [0, 7, 8, 100, kept.len() / 2, kept.len() - 1] {
            std::fs::write(&damaged, &kept[..n]).expect("written");
            let error =
                notebook.error("other = asked; other.file = \"damaged.safetensors\"; lm.corpus(few, other)");
            assert!(error.value.contains("damaged.safetensors"), "{}", error.value);
            assert_eq!(std::fs::read(&damaged).expect("there").len(), n);
            n_refused += 1;
        }
        assert_eq!(n_refused, 6);
        notebook
            .run("lm.run(\"a\").logits.save(\"damaged.safetensors\")")
            .result
            .expect("saved");
        let error = notebook.error("lm.corpus(few, other)");
        assert!(
            error.value.contains("it has tensors that are of no corpus"),
            "{}",
            error.value
        );
        notebook
            .run("lm.attribute(\"a b\").save(\"damaged.safetensors\")")
            .result
            .expect("saved");
        let error = notebook.error("lm.corpus(few, other)");
        assert!(
            error.value.contains("it is a result of the type \"saliency\""),
            "{}",
            error.value
        );
        // Numbers that are others: nothing of it ends the session.
        for at in (kept.len() / 3..kept.len()).step_by(kept.len() / 40) {
            let mut other = kept.clone();
            other[at..(at + 8).min(kept.len())]
                .iter_mut()
                .for_each(|byte| *byte = 0x7e);
            std::fs::write(&damaged, &other).expect("written");
            for code in [
                "lm.corpus(few, other)",
                "ecco::load(\"damaged.safetensors\", lm).neuron(1, 3)",
            ] {
                if let Err(error) = notebook.run(code).result {
                    assert_eq!(error.name, "ValueError", "{}", error.value);
                }
            }
        }
        assert_eq!(notebook.text("1 + 1"), "2");
    });
}
