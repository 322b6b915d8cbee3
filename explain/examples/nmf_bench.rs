//! Times one factorization: `nmf_bench FILE.safetensors N_COMPONENTS MAX_ITER`, the file holding a float32
//! `x` (position, neuron). Prints seconds, sweeps and error as JSON. Driven by `bench/nmf.py`.

use std::error::Error;
use std::time::Instant;

use ecco_explain::nmf::{NmfOptions, factorize};
use ecco_interpreter::unwatched;
use ndarray::Array2;
use safetensors::SafeTensors;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [file, n_components, max_iter] = arguments.as_slice() else {
        return Err("usage: nmf_bench FILE.safetensors N_COMPONENTS MAX_ITER".into());
    };
    let bytes = std::fs::read(file)?;
    let tensors = SafeTensors::deserialize(&bytes)?;
    let tensor = tensors.tensor("x")?;
    let &[positions, neurons] = tensor.shape() else {
        return Err("x is not a matrix".into());
    };
    let values = tensor
        .data()
        .as_chunks::<4>()
        .0
        .iter()
        .map(|bytes| f32::from_le_bytes(*bytes))
        .collect();
    let x: Array2<f32> = Array2::from_shape_vec((positions, neurons), values)?;

    let options = NmfOptions {
        n_components: n_components.parse()?,
        max_iter: max_iter.parse()?,
        ..Default::default()
    };
    let start = Instant::now();
    let nmf = factorize(x.view(), &options, &mut unwatched)?;
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "{{\"seconds\": {seconds}, \"n_iter\": {}, \"error\": {}}}",
        nmf.n_iter, nmf.error
    );
    Ok(())
}
