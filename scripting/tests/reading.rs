//! `ecco::read`: what files hold, and files that lie about it.

#[allow(dead_code)]
mod common;

use std::path::{Path, PathBuf};

use common::Notebook;
use ecco_scripting::{Registry, STACK_BYTES};
use serde_json::Value;

fn register(_: &mut Registry) {}

const ARRAYS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/arrays");

/// Runs `test` with a notebook in a folder with these files.
fn with_files(files: &[(&str, &[u8])], test: impl FnOnce(&mut Notebook, &Path) + Send) {
    let outer = tempfile::tempdir().expect("a folder");
    let folder: PathBuf = outer.path().join("notebook");
    std::fs::create_dir(&folder).expect("a folder");
    std::fs::write(outer.path().join("secret.txt"), "secret").expect("a file");
    for (name, bytes) in files {
        std::fs::write(folder.join(name), bytes).expect("a file");
    }
    on_stack(|| test(&mut Notebook::in_folder(&folder), &folder));
}

/// A session's thread that may look at what the test has.
fn on_stack(work: impl FnOnce() + Send) {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(STACK_BYTES);
        let thread = thread.spawn_scoped(scope, work).expect("a thread");
        if let Err(panic) = thread.join() {
            std::panic::resume_unwind(panic);
        }
    });
}

/// The error of reading a file, with its kind.
fn refusal(notebook: &mut Notebook, name: &str) -> String {
    match notebook.run(&format!("ecco::read({name:?})")).result {
        Err(error) => format!("{}: {}", error.name, error.value),
        Ok(bundle) => panic!("{name} was read: {bundle:?}"),
    }
}

#[test]
fn texts_are_what_their_marks_say() {
    let utf16 = |big: bool| -> Vec<u8> {
        let units = "\u{feff}zwei\nDörfer 🏘".encode_utf16();
        units
            .flat_map(|unit| {
                if big {
                    unit.to_be_bytes()
                } else {
                    unit.to_le_bytes()
                }
            })
            .collect()
    };
    let utf32 = |big: bool| -> Vec<u8> {
        let units = "\u{feff}zwei\nDörfer 🏘".chars().map(u32::from);
        units
            .flat_map(|unit| {
                if big {
                    unit.to_be_bytes()
                } else {
                    unit.to_le_bytes()
                }
            })
            .collect()
    };
    let marked = [b"\xef\xbb\xbf".as_slice(), "zwei\nDörfer 🏘".as_bytes()].concat();
    let files: [(&str, &[u8]); 6] = [
        ("plain.txt", "zwei\nDörfer 🏘".as_bytes()),
        ("marked.TXT", &marked),
        ("little16.txt", &utf16(false)),
        ("big16.md", &utf16(true)),
        ("little32.txt", &utf32(false)),
        ("big32.txt", &utf32(true)),
    ];
    with_files(&files, |notebook, _| {
        for (name, _) in files {
            assert_eq!(
                notebook.text(&format!("ecco::read({name:?}) == \"zwei\\nDörfer 🏘\"")),
                "true",
                "{name}"
            );
            let lines = notebook.text(&format!("ecco::read({name:?}, #{{lines: true}})"));
            assert_eq!(lines, "[\"zwei\", \"Dörfer 🏘\"]", "{name}");
        }
    });
}

#[test]
fn what_is_no_text_says_where() {
    let files: [(&str, &[u8]); 4] = [
        ("latin.txt", b"caf\xe9"),
        ("odd.txt", b"\xff\xfea\0b"),
        ("half.txt", b"\xff\xfe\x3c\xd8a\0"),
        ("beyond.txt", b"\xff\xfe\0\0\0\0\x11\0"),
    ];
    with_files(&files, |notebook, _| {
        for (name, said) in [
            ("latin.txt", "no text in UTF-8: 0xe9 at byte 3"),
            ("odd.txt", "no text in UTF-16: the file's end at byte 5"),
            ("half.txt", "no text in UTF-16: 0x3c at byte 2"),
            ("beyond.txt", "no text in UTF-32: 0x00 at byte 4"),
        ] {
            let error = refusal(notebook, name);
            assert!(
                error.starts_with("ValueError: cannot read") && error.contains(said),
                "{error}"
            );
        }
    });
}

#[test]
fn json_is_values() {
    let deep = "[".repeat(100_000);
    let files: [(&str, &[u8]); 6] = [
        ("one.json", br#"{"a": [1, 2.5, null], "b": "<b>x</b>"}"#),
        ("rows.jsonl", b"\xef\xbb\xbf{\"n\": 1}\n\n{\"n\": 2}\r\n"),
        ("cut.json", b"{\"a\": [1, 2"),
        ("cut.jsonl", b"{\"n\": 1}\n{\"n\": "),
        ("deep.json", deep.as_bytes()),
        ("none.json", b""),
    ];
    with_files(&files, |notebook, _| {
        assert_eq!(notebook.text("ecco::read(\"one.json\").a"), "[1, 2.5, ()]");
        assert_eq!(
            notebook.text("ecco::read(\"rows.jsonl\").map(|row| row.n)"),
            "[1, 2]"
        );
        assert!(refusal(notebook, "cut.json").contains("EOF"));
        assert!(refusal(notebook, "cut.jsonl").contains("line 2"));
        assert!(refusal(notebook, "deep.json").contains("recursion limit"));
        assert!(refusal(notebook, "none.json").starts_with("ValueError"));
    });
}

#[test]
fn arrays_are_numpys_and_safetensors() {
    let values = std::fs::read_to_string(format!("{ARRAYS}/values.json")).expect("the fixture is there");
    let values: Value = serde_json::from_str(&values).expect("JSON");
    on_stack(|| {
        let mut notebook = Notebook::in_folder(ARRAYS);
        for (name, expected) in values.as_object().expect("files") {
            let code = match expected {
                Value::Object(_) => format!(
                    "let all = ecco::read({name:?}); for n in all.keys() {{ all[n] = all[n].to_array(); }} all"
                ),
                Value::Number(_) => format!("ecco::read({name:?})"),
                _ => format!("ecco::read({name:?}).to_array()"),
            };
            let run = format!(
                "let wanted = parse_json(`{expected}`);\nlet read = {{ {code} }};\nfn plain(x) {{ if type_of(x) == \"array\" {{ x.map(|y| plain(y)) }} else {{ x * 1.0 }} }}\n\
                 if type_of(read) == \"map\" {{ let same = read.len() == wanted.len(); for n in read.keys() {{ same = same && plain(read[n]) == plain(wanted[n]); }} same }} else {{ plain(read) == plain(wanted) }}"
            );
            assert_eq!(notebook.text(&run), "true", "{name}");
        }
        assert_eq!(notebook.text("ecco::read(\"cube_f8.npy\").dtype"), "\"float64\"");
        assert_eq!(notebook.text("ecco::read(\"cube_f2.npy\").dtype"), "\"float32\"");
        assert_eq!(notebook.text("ecco::read(\"empty.npy\").shape"), "[0, 3]");
        assert!(refusal(&mut notebook, "names.npy").contains("no plain number"));
    });
}

/// Every beginning of a good file, and every byte of its head exchanged: an error or a tensor, and the session lives.
#[test]
fn damaged_arrays_are_errors() {
    let npy = std::fs::read(format!("{ARRAYS}/cube_f4.npy")).expect("there");
    let tensors = std::fs::read(format!("{ARRAYS}/all.safetensors")).expect("there");
    with_files(&[], |notebook, folder| {
        for (name, whole) in [("x.npy", &npy), ("x.safetensors", &tensors)] {
            for len in (0..whole.len()).step_by(7) {
                std::fs::write(folder.join(name), &whole[..len]).expect("a file");
                assert!(refusal(notebook, name).starts_with("ValueError"), "{name} {len}");
            }
            for at in 0..whole.len().min(300) {
                let mut other = whole.clone();
                other[at] ^= 0x15;
                std::fs::write(folder.join(name), &other).expect("a file");
                if let Err(error) = notebook.run(&format!("let x = ecco::read({name:?});")).result {
                    assert!(
                        ["ValueError", "MemoryError"].contains(&error.name.as_str()),
                        "{name} {at}: {error:?}"
                    );
                }
            }
        }
        assert_eq!(notebook.text("1 + 1"), "2");
    });
}

fn npy(header: &str) -> Vec<u8> {
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes
}

#[test]
fn absurd_sizes_are_refused_before_anything_is_taken() {
    let with_shape = |shape: &str| {
        npy(&format!(
            "{{'descr': '<f4', 'fortran_order': False, 'shape': ({shape}), }}\n"
        ))
    };
    let large = with_shape("1000000000000,");
    let overflow = with_shape("4294967296, 4294967296, 4294967296");
    let no_length = with_shape("0, 18446744073709551615, 18446744073709551615");
    let axes = with_shape(&"1, ".repeat(100));
    let negative = with_shape("-1, 2");
    let header = [(1u64 << 62).to_le_bytes().as_slice(), b"{}"].concat();
    let files: [(&str, &[u8]); 7] = [
        ("large.npy", &large),
        ("overflow.npy", &overflow),
        ("no_length.npy", &no_length),
        ("axes.npy", &axes),
        ("negative.npy", &negative),
        ("header.safetensors", &header),
        ("empty.safetensors", b""),
    ];
    with_files(&files, |notebook, folder| {
        for (name, _) in files {
            let error = refusal(notebook, name);
            assert!(
                error.starts_with("ValueError") || error.starts_with("MemoryError"),
                "{name}: {error}"
            );
        }
        // A file of nothing, as large as the disk pretends.
        let sparse = std::fs::File::create(folder.join("sparse.txt")).expect("a file");
        sparse.set_len(5 << 30).expect("sparse");
        assert!(refusal(notebook, "sparse.txt").contains("at most 4 GB are read"));
    });
}

#[test]
fn only_the_notebooks_folder_is_read() {
    with_files(&[("a.txt", b"a"), ("a.xyz", b"a")], |notebook, folder| {
        std::os::unix::fs::symlink("../secret.txt", folder.join("link.txt")).expect("a link");
        std::os::unix::fs::symlink("a.txt", folder.join("inside.txt")).expect("a link");
        std::fs::create_dir(folder.join("folder.txt")).expect("a folder");
        assert_eq!(notebook.text("ecco::read(\"inside.txt\")"), "\"a\"");
        for name in [
            "../secret.txt",
            "/etc/hostname.txt",
            "link.txt",
            "x/../../secret.txt",
        ] {
            let error = refusal(notebook, name);
            assert!(
                error.contains("outside of the notebook's folder") || error.contains("No such file"),
                "{error}"
            );
            assert!(!error.contains("secret\""), "{error}");
        }
        assert!(refusal(notebook, "none.txt").starts_with("FileNotFoundError"));
        assert!(refusal(notebook, "folder.txt").contains("no regular file"));
        assert!(refusal(notebook, "a.xyz").contains("does not say how to read it"));
        assert!(refusal(notebook, "").starts_with("ValueError"));
    });
}

#[test]
fn what_is_saved_is_read_again() {
    with_files(&[], |notebook, _| {
        let same = "let t = ecco::tensor([[1, 2.5], [3, 0.1]], #{axes: [\"layer\", \"hidden\"], dtype: \"float64\"});\n\
                    t.save(\"t.npy\"); t.save(\"t.safetensors\");\n\
                    let back = ecco::read(\"t.safetensors\").tensor;\n\
                    [ecco::read(\"t.npy\") == t, back == t, back.axes, back.dtype]";
        assert_eq!(
            notebook.text(same),
            "[true, true, [\"layer\", \"hidden\"], \"float64\"]"
        );
    });
}

#[test]
fn reading_can_be_interrupted() {
    let lines = "a line of text\n".repeat(3_000_000);
    with_files(&[("long.txt", lines.as_bytes())], |notebook, _| {
        let interrupt = notebook.interrupt.clone();
        let timer = std::thread::spawn(move || {
            std::thread::sleep(std::time::Duration::from_millis(20));
            interrupt.request();
        });
        let ended = notebook
            .run("loop { ecco::read(\"long.txt\", #{lines: true}); }")
            .result;
        timer.join().expect("it waits");
        notebook.interrupt.clear();
        assert_eq!(ended.expect_err("interrupted").name, "KeyboardInterrupt");
    });
}
