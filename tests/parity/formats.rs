//! The table of formats in `docs/formats.md`: what is read, and how far its logits are from a reference's.

use ecco_interpreter::unwatched;
use ecco_models::{LoadOptions, Model};
use ecco_tests::{check_table, fixtures, largest_difference, model};

use crate::{adapters, families, gguf, quantized};

#[test]
fn the_table_of_formats_is_fresh() {
    let rows: Vec<(String, f64)> = [safetensors(), pytorch(), few_bits(), blocks(), tuned()]
        .into_iter()
        .flatten()
        .collect();
    check_table(
        "formats.md",
        "| format | cases | against | largest difference |",
        &rows,
    );
}

fn row(
    format: &str,
    cases: &str,
    against: &str,
    differences: impl IntoIterator<Item = f64>,
) -> (String, f64) {
    let largest = differences.into_iter().fold(0.0, f64::max);
    (format!("| {format} | {cases} | {against}"), largest)
}

/// One of each way of reading.
const MODELS: [&str; 3] = ["llama", "bert", "t5"];

fn safetensors() -> Vec<(String, f64)> {
    let of = |name: &str, stored: &str| families::difference(&model(stored, "float32"), name);
    let float32 = MODELS.map(|name| format!("families/{name}"));
    vec![
        row(
            "safetensors, float32",
            &MODELS.join(", "),
            "transformers",
            float32.iter().map(|name| of(name, name)),
        ),
        row(
            "safetensors, bfloat16",
            "gpt2",
            "transformers",
            [of("gpt2-tiny-bf16", "gpt2-tiny-bf16")],
        ),
    ]
}

fn pytorch() -> Vec<(String, f64)> {
    let difference = |name: &&str| {
        let folder = std::env::temp_dir().join(format!("ecco-formats-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let family = format!("families/{name}");
        for file in ["config.json", "tokenizer.json"] {
            std::fs::copy(fixtures().join(&family).join(file), folder.join(file)).unwrap();
        }
        let from = fixtures().join(format!("pytorch/{name}.bin"));
        std::fs::copy(from, folder.join("pytorch_model.bin")).unwrap();
        let options = LoadOptions {
            dtype: Some("float32".into()),
            device: Some("cpu".into()),
            ..LoadOptions::default()
        };
        let model = Model::open(&folder, &options, &mut unwatched);
        std::fs::remove_dir_all(&folder).unwrap();
        families::difference(&model.unwrap(), &family)
    };
    let each = MODELS.iter().map(difference);
    vec![row("PyTorch's `.bin`", &MODELS.join(", "), "transformers", each)]
}

fn few_bits() -> Vec<(String, f64)> {
    let names = [
        ("bitsandbytes int8", "bnb-int8"),
        ("bitsandbytes nf4", "bnb-nf4-gpt2"),
        ("GPTQ", "gptq"),
        ("GPTQ of transposed layers", "gptq-gpt2"),
        ("AWQ", "awq"),
        ("FP8 in blocks", "fp8"),
        ("compressed-tensors, packed", "compressed"),
        ("MXFP4", "mxfp4"),
    ];
    let cases = quantized::cases();
    assert_eq!(cases.len(), names.len());
    let against = "transformers with the library's numbers";
    let each = names.map(|(format, name)| {
        let [found, expected] = quantized::logits(name, &cases[name]);
        row(format, name, against, [largest_difference(&found, &expected)])
    });
    each.into()
}

fn blocks() -> Vec<(String, f64)> {
    let cases = gguf::cases();
    let of = |dtype: &str| {
        let each = cases.iter();
        each.map(|(name, case)| gguf::difference(name, case, dtype))
            .collect::<Vec<_>>()
    };
    let (count, against) = (
        format!("{} models", cases.len()),
        "transformers with `gguf`'s numbers",
    );
    vec![
        row("GGUF", &count, against, of("float32")),
        row("GGUF, `dtype: \"stored\"`", &count, against, of("stored")),
    ]
}

fn tuned() -> Vec<(String, f64)> {
    let cases = adapters::cases();
    let count = format!("{} adapters", cases.len());
    let each = cases.iter().map(|(name, said)| adapters::difference(name, said));
    vec![row("LoRA", &count, "PEFT", each)]
}
