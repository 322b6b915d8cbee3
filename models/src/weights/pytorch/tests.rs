//! Files that PyTorch wrote, against safetensors of the same tensors; and no file at all that panics.

use std::collections::BTreeMap;
use std::path::PathBuf;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use safetensors::SafeTensors;
use tch::{Device, Kind};

use super::*;
use crate::guard::guard;

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../tests/fixtures/pytorch")
        .join(name)
}

fn bytes(name: &str) -> Vec<u8> {
    std::fs::read(fixture(name)).expect("the fixture is there")
}

#[test]
fn tensors_of_every_layout_and_type_are_those_of_safetensors() {
    let expected = bytes("tensors.safetensors");
    let expected = SafeTensors::deserialize(&expected).expect("safetensors");
    for name in ["tensors.bin", "tensors-4.bin", "nested.ckpt"] {
        let file = WeightFile::open(&fixture(name)).expect("it opens");
        let found = weights(&file).expect("it is read");
        assert_eq!(found.len(), expected.len(), "{name}");
        for weight in found {
            let view = expected.tensor(&weight.name).expect("the same names");
            assert_eq!(weight.shape, view.shape(), "{}", weight.name);
            let Some(kind) = weight.kind() else {
                let StoredData::Numbers { dtype, bytes, .. } = weight.data else {
                    panic!("{} is encoded", weight.name)
                };
                assert_eq!((dtype, bytes), (view.dtype(), view.data()), "{}", weight.name);
                continue;
            };
            let tensor = guard(|| weight.tensor((kind, Device::Cpu))).expect("numbers");
            assert!(tensor.is_contiguous(), "{}", weight.name);
            let mut found = vec![0; tensor.numel() * kind.elt_size_in_bytes()];
            let same_bits = match kind {
                Kind::Double => Kind::Int64,
                Kind::Float => Kind::Int,
                _ => Kind::Int16,
            };
            tensor
                .view_dtype(same_bits)
                .copy_data_u8(&mut found, tensor.numel());
            assert_eq!(found, view.data(), "{}", weight.name);
        }
    }
}

#[test]
fn what_lies_row_by_row_is_not_copied() {
    let file = WeightFile::open(&fixture("tensors.bin")).expect("it opens");
    let weights = weights(&file).expect("it is read");
    let place = |name: &str| {
        let weight = weights
            .iter()
            .find(|weight| weight.name == name)
            .expect("its name");
        let tensor = guard(|| weight.tensor((Kind::Float, Device::Cpu))).expect("numbers");
        let start = tensor.data_ptr() as usize;
        file.bytes
            .as_slice()
            .as_ptr_range()
            .contains(&(start as *const u8))
            .then_some(start)
    };
    let whole = place("shared.whole").expect("a view of the file");
    assert_eq!(place("shared.again"), Some(whole));
    assert_eq!(place("shared.rows"), Some(whole + 2 * 8 * 4));
    assert_eq!(place("transposed"), None);
}

#[test]
fn what_asks_to_be_run_is_refused_by_its_name() {
    for (name, asked) in [
        ("namespace.pt", "argparse.Namespace"),
        ("print.pt", "__builtin__.print"),
    ] {
        let file = WeightFile::open(&fixture(name)).expect("it opens");
        let error = weights(&file).err().expect("it is refused");
        assert!(
            matches!(&error, Error::Pickle { name, .. } if name == asked),
            "{error}"
        );
    }
}

fn replaced(bytes: &[u8], old: &str, new: &str) -> Vec<u8> {
    replaced_bytes(bytes, old.as_bytes(), new.as_bytes())
}

/// Bytes in the place of others of the same length.
fn replaced_bytes(bytes: &[u8], old: &[u8], new: &[u8]) -> Vec<u8> {
    assert_eq!(old.len(), new.len());
    let found: Vec<usize> = (0..bytes.len() - old.len())
        .filter(|&at| bytes[at..].starts_with(old))
        .collect();
    assert!(!found.is_empty(), "{old:?}");
    let mut changed = bytes.to_vec();
    for at in found {
        changed[at..at + old.len()].copy_from_slice(new);
    }
    changed
}

fn reason(bytes: &[u8]) -> String {
    match read(bytes).expect_err("it is damaged") {
        Fault::Damaged(reason) => reason,
        Fault::Refused(name) => format!("asks for {name}"),
    }
}

#[test]
fn what_is_damaged_is_said() {
    let whole = bytes("llama.bin");
    let old_and_new = |old: &str, new: &str| reason(&replaced(&whole, old, new));
    let cut = "it ends before its directory of entries";
    assert_eq!(reason(&whole[..whole.len() * 2 / 3]), cut);
    assert_eq!(reason(&whole[..whole.len() - 1]), cut);
    assert_eq!(reason(&[]), cut);
    assert_eq!(old_and_new("data.pkl", "data.pkx"), "it has no data.pkl");
    assert_eq!(old_and_new("little", "bigend"), "its numbers are bigend-endian");
    assert_eq!(
        old_and_new("tensor_v2", "tensor_v9"),
        "asks for torch._utils._rebuild_tensor_v9"
    );
    assert!(
        old_and_new("llama/data/3", "llama/data/x").ends_with("is in the storage \"3\", which is not there")
    );
    let line_more = old_and_new("FloatStorage", "HalfStorage\n");
    assert!(
        line_more.starts_with("opcode 0x0a is none that weights need"),
        "{line_more}"
    );
    // The rows of matrices, 384, without their strides.
    let rows = |rows: [u8; 2]| {
        let size = |[low, high]: [u8; 2]| [b'M', low, high, b'K', 16, 0x86];
        reason(&replaced_bytes(&whole, &size([0x80, 1]), &size(rows)))
    };
    assert_eq!(
        rows([0x81, 1]),
        "lm_head.weight reaches beyond the storage \"0\": shape [385, 16], strides [1, 384], from 0"
    );
    assert_eq!(
        rows([0xFF, 0x7F]),
        "lm_head.weight has shape [32767, 16], which is more than the file has"
    );
    let mut compressed = whole.clone();
    let entry = (0..whole.len())
        .find(|&at| whole[at..].starts_with(b"PK\x01\x02"))
        .expect("an entry");
    compressed[entry + 10] = 8;
    assert_eq!(reason(&compressed), "llama/data.pkl is compressed or encrypted");
}

/// Files that are nearly right: parts changed, left out, doubled, put elsewhere.
fn mutated(random: &mut StdRng, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = seeds.choose(random).expect("seeds").clone();
    for _ in 0..random.random_range(1..6) {
        if bytes.is_empty() {
            break;
        }
        let at = random.random_range(0..bytes.len());
        let length = random.random_range(1..9).min(bytes.len() - at);
        match random.random_range(0..6) {
            0 => bytes[at] = random.random(),
            1 => {
                bytes[at] = *b"(}])tasuecqhjrXKMJNGQRb.\x85\x86\x87\x81\x93\x94"
                    .choose(random)
                    .expect("codes")
            }
            2 => drop(bytes.drain(at..at + length)),
            3 => bytes[at..at + length].fill(*[0, 0xFF].choose(random).expect("fillings")),
            4 => {
                let part = bytes[at..at + length].to_vec();
                let to = random.random_range(0..=bytes.len());
                bytes.splice(to..to, part);
            }
            _ => bytes.truncate(at),
        }
    }
    bytes
}

/// Inputs without a panic, of pickles and of whole files; `ECCO_FUZZ` says how many, where it is to be more.
#[test]
fn no_bytes_make_it_panic() {
    let n: u64 = std::env::var("ECCO_FUZZ").map_or(100_000, |n| n.parse().expect("a number"));
    let files: Vec<Vec<u8>> = [
        "tensors.bin",
        "tensors-4.bin",
        "nested.ckpt",
        "print.pt",
        "namespace.pt",
    ]
    .map(bytes)
    .into();
    let pickles: Vec<Vec<u8>> = files
        .iter()
        .map(|file| {
            main_pickle(&archive::entries(file).expect("an archive"))
                .expect("a pickle")
                .1
                .to_vec()
        })
        .collect();
    let mut random = StdRng::seed_from_u64(1);
    let mut outcomes = BTreeMap::new();
    for i in 0..n {
        let outcome = match i % 4 {
            0 => match read(&mutated(&mut random, &files)) {
                Ok(_) => "a file that is read",
                Err(Fault::Damaged(_)) => "a damaged file",
                Err(Fault::Refused(_)) => "a refused file",
            },
            _ => match pickle::read(&mutated(&mut random, &pickles)) {
                Ok((value, built)) if state(value, &built).is_some() => "a pickle with tensors",
                Ok(_) => "a pickle without tensors",
                Err(Fault::Damaged(_)) => "a damaged pickle",
                Err(Fault::Refused(_)) => "a refused pickle",
            },
        };
        *outcomes.entry(outcome).or_insert(0_u64) += 1;
    }
    println!("{outcomes:?}");
    // All ways are gone.
    assert_eq!(outcomes.len(), 7, "{outcomes:?}");
}
