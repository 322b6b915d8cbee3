//! How long each method of attribution takes on the model inside the binary: 20 targets behind 30 tokens.
//!
//!     cargo run --release -p ecco-explain --example methods_bench

use std::time::Instant;

use ecco_explain::{AttributionOptions, FaithfulnessOptions, Method, Target, attribute, faithfulness};
use ecco_interpreter::unwatched;
use ecco_models::run::Input;
use ecco_models::{LoadOptions, load};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let model = load("demo", &LoadOptions::default(), &mut unwatched)?;
    let text = "The countries of the European Union are:\n1. Austria\n2. Belgium\n3. Bulgaria\n4. Croatia\n";
    let mut ids = model.tokenizer().encode(&text.repeat(3))?;
    ids.truncate(50);
    let input = Input::of(&model, ids, Vec::new())?;
    let targets = Target::written(&input, 30);
    println!("{} tokens, {} targets", input.ids.len(), targets.len());
    for method in Method::ALL {
        let options = AttributionOptions {
            n_samples: Some(500),
            ..AttributionOptions::with(*method)
        };
        let start = Instant::now();
        let found = attribute(&model, &input, &targets, &options, &mut unwatched)?;
        println!("{:22} {:7.2} s", method.name(), start.elapsed().as_secs_f64());
        if *method == Method::Occlusion {
            let start = Instant::now();
            let measured = faithfulness(
                &model,
                &input,
                &targets,
                &found,
                &FaithfulnessOptions::default(),
                None,
                &mut unwatched,
            )?;
            println!("faithfulness           {:7.2} s", start.elapsed().as_secs_f64());
            println!("{:?}\n{:?}", measured.figures(), measured.random());
        }
    }
    Ok(())
}
