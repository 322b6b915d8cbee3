//! Where a folder's weights lie: shards of several types, files that are left over, folders below, links as caches have
//! them. What loads has to be the same model; what does not says what was found.

use std::os::unix::fs::symlink;
use std::path::Path;

use ecco_interpreter::Diagnostic;
use serde_json::json;

use crate::folder::{Folder, Stored};
use crate::names::{assert_same, loaded, said};
use crate::{one_at_a_time, open};

/// Families with one stack, with joined projections, and with two.
const FAMILIES: [&str; 3] = ["llama", "bert", "marian"];

fn as_bfloat16(stored: &mut Stored) {
    // bfloat16 is the upper half of float32.
    let upper = stored.bytes.chunks_exact(4).flat_map(|word| [word[2], word[3]]);
    stored.bytes = upper.collect();
    stored.dtype = "BF16".into();
}

fn rounded(stored: &mut Stored) {
    for word in stored.bytes.chunks_exact_mut(4) {
        word[..2].fill(0);
    }
}

#[test]
fn shards_of_several_types_are_one_model() {
    let _alone = one_at_a_time();
    for family in FAMILIES {
        let folder = Folder::copy(family);
        // What bfloat16 holds without loss, so that the numbers are the same whatever the type.
        folder.edit(|tensors| tensors.values_mut().for_each(rounded));
        let expected = said(&loaded(&folder));
        let [_, mut second] = folder.shard();
        second.values_mut().for_each(as_bfloat16);
        folder.write_tensors("b.safetensors", &second);
        let n_bytes = |tensors: &std::collections::BTreeMap<String, Stored>| -> usize {
            tensors.values().map(|stored| stored.bytes.len()).sum()
        };
        let model = loaded(&folder);
        assert!(n_bytes(&second) > 0 && model.dtype() == "float32", "{family}");
        assert_same(&said(&model), &expected, family);
    }
}

#[test]
fn what_is_left_over_beside_the_weights_is_not_read() {
    let _alone = one_at_a_time();
    for family in FAMILIES {
        let folder = Folder::copy(family);
        let expected = said(&loaded(&folder));
        // One file goes before shards and their index, which are of an older save.
        let whole = folder.read("model.safetensors");
        let [first, _] = folder.shard();
        let index = folder.read("model.safetensors.index.json");
        folder.write("b.safetensors", "not whole");
        folder.write("pytorch_model.bin", "not whole");
        folder.write("model.safetensors", &whole);
        assert_same(&said(&loaded(&folder)), &expected, family);
        folder.write_index(json!({"a.weight": "gone.safetensors"}));
        assert_same(&said(&loaded(&folder)), &expected, family);
        // An index goes before what it does not name.
        folder.remove("model.safetensors");
        folder.shard_again(&whole, &index);
        folder.write_tensors("c.safetensors", &first);
        folder.write("model-00001-of-00009.safetensors", "not whole");
        folder.write("training_args.bin", "not whole");
        assert_same(&said(&loaded(&folder)), &expected, family);
    }
}

#[test]
fn an_index_that_names_files_that_are_not_there_says_which() {
    let _alone = one_at_a_time();
    let folder = Folder::copy("llama");
    folder.shard();
    folder.remove("b.safetensors");
    let error = open(&folder).err().expect("half is missing");
    assert!(error.to_string().contains("b.safetensors"), "{error}");
    assert_eq!(
        error.hint().expect("a hint"),
        "an index names it: copy or download it, too"
    );
}

#[test]
fn folders_below_are_not_searched_and_named() {
    let _alone = one_at_a_time();
    let folder = Folder::copy("llama");
    let expected = said(&loaded(&folder));
    let below = |name: &str, file: &str, bytes: &[u8]| {
        std::fs::create_dir_all(folder.path().join(name)).expect("a folder");
        std::fs::write(folder.path().join(name).join(file), bytes).expect("written");
    };
    below("original", "consolidated.00.pth", b"not whole");
    below("onnx", "model.onnx", b"not whole");
    assert_same(&said(&loaded(&folder)), &expected, "beside other formats");

    let whole = folder.read("model.safetensors");
    folder.remove("model.safetensors");
    let error = open(&folder).err().expect("no weights");
    assert_eq!(
        error.to_string(),
        format!(
            "{} has no weights that are read here, only onnx/model.onnx, original/consolidated.00.pth",
            folder.path().display()
        )
    );
    assert!(
        error
            .hint()
            .expect("a hint")
            .ends_with("copy or download model.safetensors, too")
    );

    folder.write("tf_model.h5", "");
    let error = open(&folder).err().expect("no weights").to_string();
    assert!(error.contains(", only tf_model.h5, onnx/model.onnx"), "{error}");

    below("checkpoint-500", "model.safetensors", &whole);
    below("checkpoint-500", "config.json", &folder.read("config.json"));
    below("checkpoint-500", "tokenizer.json", &folder.read("tokenizer.json"));
    let error = open(&folder).err().expect("no weights of its own");
    let inner = folder.path().join("checkpoint-500");
    assert_eq!(
        error.hint().expect("a hint"),
        format!("give the folder that is meant: {inner:?}")
    );
    let model = ecco_models::load(
        &inner.display().to_string(),
        &Default::default(),
        &mut ecco_interpreter::unwatched,
    );
    assert_same(&said(&model.expect("the way out works")), &expected, "below");
}

/// As the hub's cache has them, `snapshots/COMMIT/FILE` → `../../blobs/HASH`; from one folder to another; and chains.
#[test]
fn links_are_followed_wherever_they_lead() {
    let _alone = one_at_a_time();
    for family in FAMILIES {
        let folder = Folder::copy(family);
        let expected = said(&loaded(&folder));
        let elsewhere = Folder::copy(family);
        for (what, target) in [
            ("relative", "blobs/"),
            ("absolute", folder.path().to_str().expect("a path")),
            ("elsewhere", elsewhere.path().to_str().expect("a path")),
            ("chain", "links/"),
        ] {
            let snapshot = folder.path().join(format!("snapshots/{what}"));
            for made in [
                &snapshot,
                &folder.path().join("blobs"),
                &folder.path().join("links"),
            ] {
                std::fs::create_dir_all(made).expect("a folder");
            }
            for file in ["config.json", "tokenizer.json", "model.safetensors"] {
                std::fs::copy(folder.path().join(file), folder.path().join("blobs").join(file))
                    .expect("copied");
                let _ = symlink(format!("../blobs/{file}"), folder.path().join("links").join(file));
                let to = match Path::new(target).is_absolute() {
                    true => Path::new(target).join(file),
                    false => Path::new("../..").join(target).join(file),
                };
                symlink(to, snapshot.join(file)).expect("a link");
            }
            let model = ecco_models::load(
                &snapshot.display().to_string(),
                &Default::default(),
                &mut ecco_interpreter::unwatched,
            );
            let model = model.unwrap_or_else(|error| panic!("{family}, {what}: {error}"));
            assert_same(&said(&model), &expected, what);
        }
        // The folder itself may be one.
        let link = elsewhere.path().join("link");
        symlink(folder.path(), &link).expect("a link");
        let model = ecco_models::load(
            &link.display().to_string(),
            &Default::default(),
            &mut ecco_interpreter::unwatched,
        );
        assert_same(
            &said(&model.expect("it loads")),
            &expected,
            "a folder that is a link",
        );
    }
}

#[test]
fn links_that_lead_nowhere_say_where() {
    let _alone = one_at_a_time();
    let folder = Folder::copy("llama");
    folder.shard();
    folder.remove("b.safetensors");
    for target in ["../../blobs/gone", "/nowhere/gone", "b.safetensors"] {
        let link = folder.path().join("b.safetensors");
        let _ = std::fs::remove_file(&link);
        symlink(target, &link).expect("a link");
        let error = open(&folder).err().expect("half is missing");
        assert_eq!(
            error.to_string(),
            format!("{} is a link to {target}, which is not there", link.display())
        );
        assert!(error.hint().expect("a hint").contains("contents and not links"));
    }
}
