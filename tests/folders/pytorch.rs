//! Damaged PyTorch files: each is an error that names the file and what is wrong in it, and takes no memory.

use ecco_interpreter::unwatched;
use ecco_models::load;
use ecco_tests::fixtures;

use crate::folder::{Folder, fault};
use crate::{MOST, one_at_a_time, open};

/// Damages a file; gives what the error must contain.
type Damage = fn(&mut Vec<u8>) -> &'static str;

/// Where a text is first.
fn find(bytes: &[u8], text: &[u8]) -> usize {
    let found = (0..bytes.len() - text.len()).find(|&at| bytes[at..].starts_with(text));
    found.expect("it is there")
}

/// Puts a text in the place of the first that is equally long.
fn put(bytes: &mut [u8], old: &[u8], new: &[u8]) {
    let at = find(bytes, old);
    bytes[at..at + new.len()].copy_from_slice(new);
}

const ENTRY: &[u8] = b"PK\x01\x02";
const END: &[u8] = b"PK\x05\x06";
const CUT: &str = "it ends before its directory of entries";

const DAMAGES: &[(&str, Damage)] = &[
    ("nothing", |bytes| {
        bytes.clear();
        CUT
    }),
    ("a third cut off", |bytes| {
        bytes.truncate(bytes.len() * 2 / 3);
        CUT
    }),
    ("the last byte cut off", |bytes| {
        bytes.pop();
        CUT
    }),
    ("a third of the directory cut out", |bytes| {
        let start = find(bytes, ENTRY);
        bytes.drain(start..start + 300);
        "there is no entry of its directory at byte"
    }),
    ("more entries than there are", |bytes| {
        let end = find(bytes, END);
        bytes[end + 10..end + 12].copy_from_slice(&60_000_u16.to_le_bytes());
        "there is no entry of its directory at byte"
    }),
    ("a directory beyond the end", |bytes| {
        let end = find(bytes, END);
        bytes[end + 16..end + 20].copy_from_slice(&0x7FFF_FFFF_u32.to_le_bytes());
        "there is no entry of its directory at byte 2147483647"
    }),
    (
        "a directory with numbers of 64 bits that are not there",
        |bytes| {
            let end = find(bytes, END);
            put(bytes, b"PK\x06\x07", b"PK\x06\x08");
            bytes[end + 16..end + 20].fill(0xFF);
            CUT
        },
    ),
    ("an entry of absurd size", |bytes| {
        let entry = find(bytes, ENTRY);
        bytes[entry + 20..entry + 28].copy_from_slice(&[0xF0; 8]);
        "data.pkl has 4042322160 bytes, beyond the end"
    }),
    ("an entry elsewhere", |bytes| {
        let entry = find(bytes, ENTRY);
        bytes[entry + 42..entry + 46].copy_from_slice(&77_u32.to_le_bytes());
        "data.pkl does not start at byte 77"
    }),
    ("a compressed entry", |bytes| {
        let entry = find(bytes, ENTRY);
        bytes[entry + 10] = 8;
        "data.pkl is compressed or encrypted"
    }),
    ("an opcode that weights do not need", |bytes| {
        put(bytes, b"ccollections", b"icollections");
        "opcode 0x69 is none that weights need"
    }),
    ("a pickle that ends too early", |bytes| {
        put(bytes, b"X\x09\0\0\0_metadata", b"X\xFF\xFF\xFF\xFF_metadata");
        "it ends too early"
    }),
    ("a function that is not given", |bytes| {
        put(bytes, b"collections\nOrderedDict", b"collections\nUserDictXXX");
        "asks for collections.UserDictXXX to be run"
    }),
];

/// What is of one file alone.
const OF_LLAMA: &[(&str, Damage)] = &[
    ("a storage of another length", |bytes| {
        put(bytes, b"cpuq\x07M\0\x18", b"cpuq\x07M\0\x19");
        "lm_head.weight is in the storage \"0\", which should have 6400 numbers of 4 bytes and has 24576 bytes"
    }),
    ("NaN", |bytes| {
        let local = find(bytes, b"PK\x03\x04");
        let storage = find(&bytes[local..], b"/data/0") + local + 7;
        // Numbers start where the filling behind the name ends.
        let start = (storage + 1).next_multiple_of(64);
        bytes[start..start + 4].copy_from_slice(&f32::NAN.to_le_bytes());
        "holds NaN at flat index 0"
    }),
];

#[test]
fn every_damage_is_told() {
    let _alone = one_at_a_time();
    let damages = DAMAGES.iter().chain(OF_LLAMA);
    let failed = untold("llama", ["pytorch/llama.bin", "pytorch_model.bin"], damages);
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// The same of a file that TransformerLens' people publish, and what asks to be run.
#[test]
fn every_damage_of_a_hooked_transformers_file_is_told() {
    let _alone = one_at_a_time();
    let runs: (&str, Damage) = ("a pickle that asks to be run", |bytes| {
        *bytes = std::fs::read(fixtures().join("pytorch/print.pt")).expect("the fixture");
        "asks for __builtin__.print to be run"
    });
    let damages = DAMAGES.iter().chain([&runs]);
    let failed = untold(
        "transformer_lens-attention",
        ["pytorch/hooked.pth", "model_final.pth"],
        damages,
    );
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// What is not told as it should be of damages to a fixture that stands for a family's weights under a name.
fn untold<'a>(
    family: &str,
    [fixture, name]: [&str; 2],
    damages: impl Iterator<Item = &'a (&'static str, Damage)>,
) -> Vec<String> {
    let whole = std::fs::read(fixtures().join(fixture)).expect("the fixture");
    // Once for what libtorch sets up.
    open(&Folder::copy(family)).expect("undamaged");
    let mut failed = Vec::new();
    for (damage_name, damage) in damages {
        let folder = Folder::copy(family);
        folder.remove("model.safetensors");
        let mut bytes = whole.clone();
        let expected = damage(&mut bytes);
        folder.write(name, bytes);
        // A file of another name is asked for by its path.
        let path = match name {
            "pytorch_model.bin" => folder.path().to_owned(),
            name => folder.path().join(name),
        };
        let path = path.display().to_string();
        let fault = fault(&[name, expected], MOST, || {
            load(&path, &Default::default(), &mut unwatched).map(drop)
        });
        failed.extend(fault.map(|what| format!("{damage_name}: {what}")));
    }
    failed
}
