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
    let files: [(&str, &[u8]); 7] = [
        ("one.json", br#"{"a": [1, 2.5, null], "b": "<b>x</b>"}"#),
        (
            "floats.json",
            b"[0.23624253806407702, 0.9391473750957757, 1e-7, 5e-324]",
        ),
        ("rows.jsonl", b"\xef\xbb\xbf{\"n\": 1}\n\n{\"n\": 2}\r\n"),
        ("cut.json", b"{\"a\": [1, 2"),
        ("cut.jsonl", b"{\"n\": 1}\n{\"n\": "),
        ("deep.json", deep.as_bytes()),
        ("none.json", b""),
    ];
    with_files(&files, |notebook, _| {
        assert_eq!(notebook.text("ecco::read(\"one.json\").a"), "[1, 2.5, ()]");
        // To the last digit.
        let floats = "ecco::read(\"floats.json\") == [0.23624253806407702, 0.9391473750957757, 1e-7, 5e-324]";
        assert_eq!(notebook.text(floats), "true");
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
    let packed = std::fs::read(format!("{ARRAYS}/packed.npz")).expect("there");
    with_files(&[], |notebook, folder| {
        for (name, whole) in [("x.npy", &npy), ("x.safetensors", &tensors), ("x.npz", &packed)] {
            for len in (0..whole.len()).step_by(7) {
                std::fs::write(folder.join(name), &whole[..len]).expect("a file");
                assert!(refusal(notebook, name).starts_with("ValueError"), "{name} {len}");
            }
            // Of an archive, that is its end.
            let head = match name {
                "x.npz" => whole.len() - 300..whole.len(),
                _ => 0..whole.len().min(300),
            };
            for at in head {
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

/// An entry of an archive: its name, method, bytes, and what is said of their size and sum.
struct Entry<'a> {
    name: &'a str,
    method: u16,
    packed: &'a [u8],
    size: u32,
    sum: u32,
}

impl<'a> Entry<'a> {
    fn deflated(name: &'a str, packed: &'a [u8], size: u32) -> Self {
        let (method, sum) = (8, 0);
        Self {
            name,
            method,
            packed,
            size,
            sum,
        }
    }
}

/// An archive with the contents of its first entry once, to which `n` lines of its directory point.
fn archive(entry: &Entry, n: u16) -> Vec<u8> {
    let name = entry.name.as_bytes();
    let sizes = [entry.sum, entry.packed.len() as u32, entry.size]
        .map(u32::to_le_bytes)
        .concat();
    let lengths = [name.len() as u16, 0].map(u16::to_le_bytes).concat();
    let head = [
        &20_u16.to_le_bytes()[..],
        &[0; 2],
        &entry.method.to_le_bytes(),
        &[0; 4],
    ]
    .concat();
    let mut bytes = [b"PK\x03\x04", &head[..], &sizes, &lengths, name, entry.packed].concat();
    let start = bytes.len() as u32;
    for _ in 0..n {
        bytes.extend(
            [
                b"PK\x01\x02\x14\0",
                &head[..],
                &sizes,
                &lengths,
                &[0; 10],
                &[0; 4],
                name,
            ]
            .concat(),
        );
    }
    let length = bytes.len() as u32 - start;
    let counts = [0, 0, n, n].map(u16::to_le_bytes).concat();
    let places = [length, start].map(u32::to_le_bytes).concat();
    bytes.extend([b"PK\x05\x06", &counts[..], &places, &[0; 2]].concat());
    bytes
}

#[test]
fn archives_that_lie_are_errors() {
    use std::io::Write;
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(&vec![0; 100 << 20]).expect("packed");
    let bomb = encoder.finish().expect("packed");
    let million = 1 << 20;
    let zip_64 = [
        &archive(&Entry::deflated("a.npy", &bomb[..9], 9), 1)[..],
        b"PK\x06\x06",
        &[0xff; 52],
        b"PK\x06\x07",
        &[0; 16],
        b"PK\x05\x06",
        &[0xff; 16],
        &[0; 2],
    ];
    let files: [(&str, Vec<u8>, &str); 9] = [
        (
            "more.npz",
            archive(&Entry::deflated("a.npy", &bomb, 1000), 1),
            "it has not the 1000 bytes",
        ),
        (
            "less.npz",
            archive(&Entry::deflated("a.npy", &bomb[..50], million), 1),
            "damaged, or was cut off",
        ),
        (
            "many.npz",
            archive(&Entry::deflated("a.npy", &bomb, 100 << 20), 50),
            "array \"a\": its bytes are not those",
        ),
        (
            "huge.npz",
            archive(&Entry::deflated("a.npy", &bomb, u32::MAX - 1), 2),
            "",
        ),
        (
            "sum.npz",
            archive(
                &Entry {
                    method: 0,
                    ..Entry::deflated("<b>.npy", b"abc", 3)
                },
                1,
            ),
            "array \"<b>\": its bytes are not",
        ),
        (
            "method.npz",
            archive(
                &Entry {
                    method: 12,
                    ..Entry::deflated("a.npy", b"abc", 3)
                },
                1,
            ),
            "another method",
        ),
        (
            "wide.npz",
            zip_64.concat(),
            "no archive of numpy's, or was cut off",
        ),
        (
            "text.npz",
            b"no archive at all, but a text that is long enough".to_vec(),
            "no archive of numpy's",
        ),
        ("none.npz", Vec::new(), "no archive of numpy's"),
    ];
    with_files(&[], |notebook, folder| {
        for (name, bytes, said) in &files {
            std::fs::write(folder.join(name), bytes).expect("a file");
            let start = std::time::Instant::now();
            let error = refusal(notebook, name);
            assert!(
                error.starts_with("ValueError") || error.starts_with("MemoryError"),
                "{name}: {error}"
            );
            assert!(error.contains(said), "{name}: {error}");
            assert!(
                start.elapsed() < std::time::Duration::from_secs(120),
                "{name}: {:?}",
                start.elapsed()
            );
        }
        // A sum that is right, and a name that comes twice.
        let numbers = std::fs::read(format!("{ARRAYS}/number.npy")).expect("there");
        let mut sum = flate2::Crc::new();
        sum.update(&numbers);
        let entry = Entry {
            method: 0,
            sum: sum.sum(),
            ..Entry::deflated("n.npy", &numbers, numbers.len() as u32)
        };
        std::fs::write(folder.join("good.npz"), archive(&entry, 1)).expect("a file");
        assert_eq!(notebook.text("ecco::read(\"good.npz\")"), "#{n: 2.5}");
        std::fs::write(folder.join("twice.npz"), archive(&entry, 2)).expect("a file");
        assert!(refusal(notebook, "twice.npz").contains("two arrays are called \"n\""));
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
