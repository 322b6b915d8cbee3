//! Models of GPT-2's kind whose weights are written by hand: what reads what, and where it is written.

use std::path::Path;

use ecco_interpreter::unwatched;
use ecco_models::{LoadOptions, Model};
use ndarray::Array2;
use safetensors::tensor::{Dtype, TensorView};

/// Words, and positions.
pub(super) const N: usize = 20;
/// Where in the stream they stand: a position's word, the word before it, a word that was found, another that was, the word that is
/// said, the position, and what no one needs.
const WORD: usize = 0;
const BEFORE: usize = N;
const FOUND: usize = 2 * N;
const NOT: usize = 3 * N;
const SAID: usize = 4 * N;
const POSITION: usize = 5 * N;
const OTHER: usize = 6 * N;
const HIDDEN: usize = 144;
pub(super) const HEADS: usize = 4;
const HEAD_DIM: usize = HIDDEN / HEADS;
const INNER: usize = 8;

/// Names, in the texts that have some.
pub(super) const N_NAMES: usize = 8;
/// The word that ends these texts.
pub(super) const END: u32 = 19;

/// An entry of a matrix: row, column, number.
type Entry = (usize, usize, f32);

/// What a head's query, key or value reads: of each of the first `n` words, or positions, at a place, with a factor.
fn read(from: usize, n: usize, factor: f32) -> Vec<Entry> {
    (0..n).map(|i| (from + i, i, factor)).collect()
}

/// A query of the position before.
fn read_before(from: usize, factor: f32) -> Vec<Entry> {
    (1..N).map(|i| (from + i, i - 1, factor)).collect()
}

/// A query of one word for all names.
fn ask_names(word: u32, factor: f32) -> Vec<Entry> {
    (0..N_NAMES).map(|i| (WORD + word as usize, i, factor)).collect()
}

/// Query, key and value of a head, and where with which factor it writes.
struct Head {
    reads: [Vec<Entry>; 3],
    writes: (usize, f32),
}

/// At work, for nothing.
fn idle() -> Head {
    Head {
        reads: [
            read(POSITION, N, 0.3),
            read(POSITION, N, 0.3),
            read(OTHER, N, 1.0),
        ],
        writes: (OTHER, 0.3),
    }
}

/// The word before each position, where later heads find it.
fn previous() -> Head {
    Head {
        reads: [
            read_before(POSITION, 0.9),
            read(POSITION, N, 1.0),
            read(WORD, N, 1.0),
        ],
        writes: (BEFORE, 0.14),
    }
}

/// A layer: its heads that do something, and what its MLP reads and writes.
struct Layer {
    head: Head,
    mlp: [Vec<Entry>; 2],
}

impl Layer {
    /// Whose MLP is at work for nothing.
    fn of(head: Head) -> Self {
        let inner = |factor| (0..INNER).map(move |i| (OTHER + i, i, factor));
        let write = inner(0.2).map(|(row, column, factor)| (column, row, factor));
        Self {
            head,
            mlp: [inner(0.5).collect(), write.collect()],
        }
    }

    fn weights(self) -> [(&'static str, Array2<f32>); 4] {
        let mut reads = Array2::zeros((HIDDEN, 3 * HIDDEN));
        let mut writes = Array2::zeros((HIDDEN, HIDDEN));
        for (
            head,
            Head {
                reads: three,
                writes: (to, factor),
            },
        ) in [self.head, idle()].into_iter().enumerate()
        {
            for (which, entries) in three.into_iter().enumerate() {
                for (row, column, factor) in entries {
                    reads[(row, which * HIDDEN + head * HEAD_DIM + column)] += factor;
                }
            }
            for i in 0..N {
                writes[(head * HEAD_DIM + i, to + i)] = factor;
            }
        }
        let [read, write] = self.mlp;
        [
            ("attn.c_attn", reads),
            ("attn.c_proj", writes),
            ("mlp.c_fc", matrix(HIDDEN, INNER, read)),
            ("mlp.c_proj", matrix(INNER, HIDDEN, write)),
        ]
    }
}

fn matrix(rows: usize, columns: usize, entries: impl IntoIterator<Item = Entry>) -> Array2<f32> {
    let mut matrix = Array2::zeros((rows, columns));
    for (row, column, number) in entries {
        matrix[(row, column)] = number;
    }
    matrix
}

/// `s3 s10 s1 s8 … s10` is followed by `s1`: head 0 of the first layer writes the word before; head 0 of the second looks for the word
/// that stands at the end among those, and says the word that it finds there.
pub(super) fn induction(folder: &Path) -> Model {
    let says = Head {
        reads: [read(WORD, N, 1.5), read(BEFORE, N, 1.0), read(WORD, N, 1.0)],
        writes: (SAID, 0.2),
    };
    written(folder, vec![Layer::of(previous()), Layer::of(says)])
}

/// Of two names one of which stands twice the other is said: where a word stands before which stands what stood before another position,
/// that is found; the end asks where a name was found, and of the names takes the one that this is not.
pub(super) fn identification(folder: &Path) -> Model {
    let again = Head {
        reads: [read(WORD, N, 1.5), read(BEFORE, N, 1.0), read(BEFORE, N, 1.0)],
        writes: (FOUND, 0.3),
    };
    let inhibits = Head {
        reads: [
            ask_names(END, 8.0),
            read(FOUND, N_NAMES, 1.0),
            read(FOUND, N, 1.0),
        ],
        writes: (NOT, 0.3),
    };
    let moves = Head {
        reads: [
            [ask_names(END, 4.0), read(NOT, N_NAMES, -6.0)].concat(),
            read(WORD, N_NAMES, 1.0),
            read(WORD, N, 1.0),
        ],
        writes: (SAID, 0.5),
    };
    written(folder, [previous(), again, inhibits, moves].map(Layer::of).into())
}

/// What is known of a name: a neuron of the first layer for each name writes it; the end asks for the name, and says what stands there.
pub(super) fn lookup(folder: &Path) -> Model {
    let mut knows = Layer::of(idle());
    knows.mlp = [
        (0..N_NAMES).map(|name| (WORD + name, name, 1.0)).collect(),
        (0..N_NAMES)
            .map(|name| (name, FOUND + fact(name as u32) as usize, 0.14))
            .collect(),
    ];
    let says = Head {
        reads: [ask_names(END, 2.0), read(WORD, N_NAMES, 1.0), read(FOUND, N, 1.0)],
        writes: (SAID, 0.3),
    };
    written(folder, vec![knows, Layer::of(says)])
}

/// What is known of a name.
pub(super) fn fact(name: u32) -> u32 {
    8 + (3 * name + 1) % N_NAMES as u32
}

fn written(folder: &Path, layers: Vec<Layer>) -> Model {
    let config = serde_json::json!({
        "model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "vocab_size": N, "n_positions": N, "n_embd": HIDDEN,
        "n_layer": layers.len(), "n_head": HEADS, "n_inner": INNER, "activation_function": "gelu", "layer_norm_epsilon": 1e-5,
        "tie_word_embeddings": false, "bos_token_id": null, "eos_token_id": null,
    });
    let words: serde_json::Map<_, _> = (0..N).map(|i| (format!("s{i}"), i.into())).collect();
    let tokenizer = serde_json::json!({
        "version": "1.0", "added_tokens": [], "pre_tokenizer": {"type": "WhitespaceSplit"},
        "model": {"type": "WordLevel", "vocab": words, "unk_token": "s0"},
    });
    let one = |at: usize, factor: f32| matrix(N, HIDDEN, (0..N).map(|i| (i, at + i, factor)));
    let mut all = vec![
        ("transformer.wte.weight".to_owned(), one(WORD, 1.0)),
        ("transformer.wpe.weight".to_owned(), one(POSITION, 1.0)),
        ("lm_head.weight".to_owned(), one(SAID, 2.0)),
    ];
    let mut norms = vec!["ln_f".to_owned()];
    for (layer, of) in layers.into_iter().enumerate() {
        norms.extend(["ln_1", "ln_2"].map(|norm| format!("h.{layer}.{norm}")));
        for (name, weight) in of.weights() {
            let bias = Array2::zeros((1, weight.ncols()));
            all.push((format!("transformer.h.{layer}.{name}.weight"), weight));
            all.push((format!("transformer.h.{layer}.{name}.bias"), bias));
        }
    }
    for norm in norms {
        all.push((format!("transformer.{norm}.weight"), Array2::ones((1, HIDDEN))));
        all.push((format!("transformer.{norm}.bias"), Array2::zeros((1, HIDDEN))));
    }
    let bytes: Vec<Vec<u8>> = all
        .iter()
        .map(|(_, weight)| weight.iter().flat_map(|x| x.to_le_bytes()).collect())
        .collect();
    let view = |((name, weight), bytes): (&(String, Array2<f32>), &'static [u8])| {
        let is_vector = name.ends_with("bias") || name.contains("ln_");
        let shape = if is_vector {
            vec![weight.ncols()]
        } else {
            weight.shape().to_vec()
        };
        (name.clone(), TensorView::new(Dtype::F32, shape, bytes).unwrap())
    };
    // The views borrow; the test ends with the process.
    let bytes: &'static [Vec<u8>] = Box::leak(bytes.into_boxed_slice());
    let views: Vec<_> = all
        .iter()
        .zip(bytes.iter().map(Vec::as_slice))
        .map(view)
        .collect();
    safetensors::serialize_to_file(views, None, &folder.join("model.safetensors")).unwrap();
    for (name, value) in [("config.json", config), ("tokenizer.json", tokenizer)] {
        std::fs::write(folder.join(name), value.to_string()).unwrap();
    }
    let options = LoadOptions {
        dtype: Some("float64".into()),
        device: Some("cpu".into()),
        ..LoadOptions::default()
    };
    Model::open(folder, &options, &mut unwatched).unwrap()
}
