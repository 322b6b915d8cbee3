use crate::result::Show;
use ndarray::{ArrayD, IxDyn};

use super::*;

fn example() -> Tensor {
    let data = ArrayD::from_shape_fn(IxDyn(&[2, 3]), |at| (at[0] * 3 + at[1]) as f32 / 2.0);
    // As sites come: a view in another order than memory's.
    Tensor::new(data.permuted_axes(IxDyn(&[1, 0])), &["neuron", "position"])
}

fn saved(path: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a folder");
    save(&example(), folder.path(), path, &|| Ok(())).expect(path);
    let names: Vec<_> = std::fs::read_dir(folder.path()).expect("readable").collect();
    assert_eq!(names.len(), 1, "something stays beside the file");
    std::fs::read(folder.path().join(path)).expect("it was written")
}

#[test]
fn npy_files() {
    let bytes = saved("t.npy");
    assert_eq!(&bytes[..8], b"\x93NUMPY\x01\x00");
    let length = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    assert_eq!((10 + length) % 64, 0);
    let header = std::str::from_utf8(&bytes[10..10 + length]).expect("text");
    assert!(
        header.starts_with("{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2,), }")
            && header.ends_with(" \n"),
        "{header}"
    );
    let values = bytes[10 + length..].chunks_exact(4);
    let values: Vec<f32> = values
        .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
        .collect();
    assert_eq!(values, [0.0, 1.5, 0.5, 2.0, 1.0, 2.5]);
}

#[test]
fn safetensors_files() {
    let bytes = saved("t.safetensors");
    let file = safetensors::SafeTensors::deserialize(&bytes).expect("valid");
    let tensor = file.tensor("tensor").expect("the tensor");
    assert_eq!((tensor.shape(), tensor.dtype()), (&[3, 2][..], Dtype::F32));
    assert_eq!(tensor.data()[4..8], 1.5f32.to_le_bytes());
    assert!(String::from_utf8_lossy(&bytes).contains("neuron,position"));
}

#[test]
fn json_files() {
    let parsed: serde_json::Value = serde_json::from_slice(&saved("t.json")).expect("valid");
    assert_eq!(
        parsed,
        json!({
            "type": "tensor", "version": 1, "name": "tensor", "shape": [3, 2], "axes": ["neuron", "position"],
            "dtype": "float32", "min": 0.0, "max": 2.5, "mean": 1.25, "preview": [0.0, 1.5, 0.5, 2.0, 1.0, 2.5],
            "n_nan": 0, "n_infinite": 0, "histogram": parsed["histogram"],
            "cells": {"places": [[0, 1, 2], [0, 1]], "deepest": 2.5},
            "data": [[0.0, 1.5], [0.5, 2.0], [1.0, 2.5]]
        })
    );
    let counts = parsed["histogram"]["counts"].as_array().unwrap();
    assert_eq!(
        (counts.len(), &counts[0], &counts[47]),
        (48, &1.into(), &1.into())
    );
    assert_eq!(
        Some(parsed),
        example().view().unwrap().json(),
        "as a cell's output has it"
    );
    // Two shortest decimals are as near to this one.
    let tie = Tensor::new(ArrayD::from_elem(IxDyn(&[1]), 133.0 / 512.0), &[]);
    let mut text = Vec::new();
    json(&tie, &mut text).expect("written");
    assert_eq!(
        serde_json::from_slice::<serde_json::Value>(&text).ok(),
        tie.view().unwrap().json()
    );
    let mut text = Vec::new();
    let odd = Tensor::new(ArrayD::from_elem(IxDyn(&[1]), f32::NAN), &[]);
    json(&odd, &mut text).expect("written");
    assert!(text.ends_with(b",\"data\":[null]}"));
}

#[test]
fn csv_files_have_a_row_for_each_value() {
    let mut text = Vec::new();
    let labels = |axis: &str| (axis == "position").then(|| vec!["a, \"b\"".to_owned(), "\n".to_owned()]);
    csv(&example(), &labels, &mut text).expect("written");
    let text = String::from_utf8(text).expect("text");
    let start = "neuron,position,position_label,value\r\n0,0,\"a, \"\"b\"\"\",0\r\n0,1,\"\n\",1.5\r\n";
    assert!(text.starts_with(start), "{text}");
    assert_eq!(text.matches("\r\n").count(), 7);
}

#[test]
fn no_cell_of_a_table_is_a_formula() {
    for formula in [
        "=cmd|\" /C calc\"!A0",
        "+1",
        "-1",
        "@SUM(A1)",
        "\t=1",
        "\r=1",
        "＝1",
    ] {
        assert_eq!(cell(formula), format!("\"'{}\"", formula.replace('"', "\"\"")));
    }
    assert_eq!(
        cell(" =1"),
        "\" =1\"",
        "a space before it makes it a text already"
    );
    assert_eq!(cell("a=b"), "\"a=b\"");
}

#[test]
fn an_interrupt_ends_saving_and_leaves_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("t.csv"), "old").expect("a file");
    let large = Tensor::new(ArrayD::zeros(IxDyn(&[300, 1000])), &["position", "neuron"]);
    for ending in ["csv", "json", "npy", "safetensors"] {
        let asked = std::cell::Cell::new(0);
        let check = || {
            asked.set(asked.get() + 1);
            match asked.get() {
                ..4 => Ok(()),
                _ => Err(ScriptError::interrupted()),
            }
        };
        let path = format!("t.{ending}");
        let error = save(&large, folder.path(), &path, &check).expect_err(ending);
        assert_eq!(error.kind, ErrorKind::Interrupt, "{ending}: {}", error.message);
        assert_eq!(asked.get(), 4, "{ending}: asked again");
    }
    let left: Vec<_> = std::fs::read_dir(folder.path()).expect("readable").collect();
    assert_eq!(left.len(), 1, "{left:?}");
    assert_eq!(std::fs::read(folder.path().join("t.csv")).expect("there"), b"old");
}

#[test]
#[cfg(unix)]
fn nothing_is_written_outside_of_the_folder() {
    let outer = tempfile::tempdir().expect("a folder");
    let folder = outer.path().join("notebook");
    std::fs::create_dir_all(folder.join("below")).expect("a folder");
    std::os::unix::fs::symlink(outer.path(), folder.join("out")).expect("a link");
    let precious = outer.path().join("precious.npy");
    std::fs::write(&precious, "precious").expect("a file");
    std::os::unix::fs::symlink(&precious, folder.join("link.npy")).expect("a link");
    let absolute = precious.to_string_lossy().into_owned();
    for path in [
        "../precious.npy",
        "out/precious.npy",
        "below/../../precious.npy",
        &absolute,
        "",
    ] {
        let error = save(&example(), &folder, path, &|| Ok(())).expect_err(path);
        assert_eq!(error.kind, ErrorKind::Value, "{path}: {}", error.message);
    }
    // A link at the file's own place is replaced, not followed.
    save(&example(), &folder, "link.npy", &|| Ok(())).expect("a file");
    save(&example(), &folder, "below/t.npy", &|| Ok(())).expect("a file below");
    save(&example(), &folder, "below/t.npy", &|| Ok(())).expect("a file in the place of another");
    assert_eq!(std::fs::read(&precious).expect("it is there"), b"precious");
    assert!(
        !std::fs::symlink_metadata(folder.join("link.npy"))
            .expect("a file")
            .is_symlink()
    );
    let error = save(&example(), &folder, "nowhere/t.npy", &|| Ok(())).expect_err("no such folder");
    assert_eq!(error.kind, ErrorKind::File);
    assert_eq!(
        save(&example(), &folder, "t.bin", &|| Ok(()))
            .expect_err("an ending")
            .kind,
        ErrorKind::Value
    );
}
