//! How long a corpus takes: every neuron over random texts of 20 to 200 tokens, and what memory that needs.
//!
//!     cargo run --release -p ecco-explain --example corpus_bench -- FOLDER TOKENS

use std::time::Instant;

use ecco_explain::algebra::random;
use ecco_explain::corpus::{CorpusOptions, Sign, Units, corpus, pieces};
use ecco_interpreter::unwatched;
use ecco_models::run::Place;
use ecco_models::{LoadOptions, Site, load};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().unwrap_or_else(|| "demo".to_owned());
    let n_tokens: usize = arguments.next().map_or(Ok(100_000), |n| n.parse())?;
    let model = load(&name, &LoadOptions::default(), &mut unwatched)?;
    let mut next = random(0, false);
    let mut below = |n: usize| (next() * n as f64) as usize;
    let tokenizer = model.tokenizer();
    let ordinary: Vec<u32> = (0..model.config().vocab_size as u32)
        .filter(|id| tokenizer.has(*id) && !tokenizer.is_special(*id))
        .collect();
    let (mut texts, mut n) = (Vec::new(), 0);
    while n < n_tokens {
        let length = (20 + below(181)).min(n_tokens - n);
        texts.push((0..length).map(|_| ordinary[below(ordinary.len())]).collect());
        n += length;
    }
    let options = CorpusOptions {
        units: Units::Numbers,
        place: Place::of(Site::MlpInner),
        layers: None,
        top: 20,
        sign: Sign::Positive,
        n_sample: 100,
        n_tokens: 500,
        seed: 0,
        memory: None,
    };
    // Weights are read from their file when they are first needed.
    let first = pieces(&model, &texts[..1], 256)?;
    corpus(&model, first, &options, &mut unwatched)?;
    let (before, start) = (peak_bytes(), Instant::now());
    let found = corpus(&model, pieces(&model, &texts, 256)?, &options, &mut unwatched)?;
    let neurons: usize = found.layers.iter().map(|layer| layer.n_neurons()).sum();
    println!(
        "{} tokens of {} texts, {neurons} neurons: {:.1} s, {} MB beside the model",
        found.n_tokens,
        texts.len(),
        start.elapsed().as_secs_f64(),
        (peak_bytes() - before) >> 20
    );
    Ok(())
}

/// The most memory that the process has had, where the system tells.
fn peak_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kilobytes.unwrap_or(0) << 10
}
