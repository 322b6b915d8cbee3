//! Several prompts. Those with equally many tokens are written on with side by side: nothing is padded, so that each becomes the
//! text that it becomes alone, for every kind of model.

use std::mem::take;
use std::ops::ControlFlow;

use tch::Tensor;

use super::bounds::check_room;
use super::sampling::Sampler;
use super::writer::Writer;
use super::{Finish, GenerateOptions, Generation, Job};
use crate::chat::Prompt;
use crate::error::{Error, Result};
use crate::guard::guard;
use crate::host;
use crate::model::Model;

/// Texts side by side at most: more are hardly faster, and take more memory at once.
const MOST: usize = 32;

/// What [`generate`](super::generate) makes of each of some prompts. `on_text` is given each text as soon as it is there, with the
/// place of its prompt; `on_step` is asked with each token whether to go on. Drawn tokens are those of each prompt alone, too:
/// every text has its own random numbers, from the seed where there is one.
///
/// # Errors
/// As of [`generate`](super::generate), with the place of the prompt that it is about: what no text can be made of is refused
/// before any is. [`Error::Interrupted`] where the work is to stop; texts that are there by then were given.
pub fn generate_each(
    model: &Model,
    prompts: &[Prompt],
    options: &GenerateOptions,
    on_step: &mut dyn FnMut() -> ControlFlow<()>,
    on_text: &mut dyn FnMut(usize, Generation),
) -> std::result::Result<(), (usize, Error)> {
    let mut jobs = Vec::new();
    for (at, prompt) in prompts.iter().enumerate() {
        jobs.push(Job::new(model, *prompt, options).map_err(|error| (at, error))?);
    }
    let mut order: Vec<usize> = (0..jobs.len()).collect();
    let alike = |at: &usize| (jobs[*at].input.len(), jobs[*at].max_length);
    order.sort_by_key(alike);
    for group in order.chunk_by(|a, b| alike(a) == alike(b)) {
        let mut left = group;
        while let Some(first) = left.first() {
            let n = n_together(&jobs[*first], options, left.len()).map_err(|error| (*first, error))?;
            let (now, later) = left.split_at(n);
            let together: Vec<&Job> = now.iter().map(|at| &jobs[*at]).collect();
            let texts = written(&together, options, on_step).map_err(|error| (*first, error))?;
            now.iter().zip(texts).for_each(|(at, text)| on_text(*at, text));
            left = later;
        }
    }
    Ok(())
}

/// How many of `n` alike there is room for at once; beams are several texts already, and recorded steps are for one.
fn n_together(job: &Job, options: &GenerateOptions, n: usize) -> Result<usize> {
    if job.beams.n_beams > 1 || options.cuda_graph == Some(true) {
        return check_room(job.model, job.max_length, job.beams.n_beams).map(|()| 1);
    }
    let mut n = n.min(MOST);
    loop {
        match check_room(job.model, job.max_length, n) {
            Err(_) if n > 1 => n /= 2,
            checked => return checked.map(|()| n),
        }
    }
}

fn written(
    jobs: &[&Job],
    options: &GenerateOptions,
    on_step: &mut dyn FnMut() -> ControlFlow<()>,
) -> Result<Vec<Generation>> {
    let sampler = |job: &&Job| Sampler::new(&job.model.generation, options);
    let mut samplers: Vec<Sampler> = jobs.iter().map(sampler).collect::<Result<_>>()?;
    if let [job] = jobs {
        let text = job.write(options, samplers.remove(0), None, &mut |_| on_step())?;
        return match text.finish {
            Finish::Interrupted => Err(Error::Interrupted),
            _ => Ok(vec![text]),
        };
    }
    let texts = guard(|| side_by_side(jobs, &mut samplers, on_step))?;
    jobs[0].model.ensure_unchanged()?;
    let each = jobs.iter().zip(texts).zip(&samplers);
    Ok(each
        .map(|((job, (ids, finish)), sampler)| job.generation(&ids, finish, sampler))
        .collect())
}

/// The tokens of each, the context included, and why it ends. A text that has ended leaves the others.
fn side_by_side(
    jobs: &[&Job],
    samplers: &mut [Sampler],
    on_step: &mut dyn FnMut() -> ControlFlow<()>,
) -> Result<Vec<(Vec<u32>, Finish)>> {
    let context = |job: &&Job| (job.context.clone(), Finish::Length);
    let mut ended: Vec<(Vec<u32>, Finish)> = jobs.iter().map(context).collect();
    if jobs[0].context.len() >= jobs[0].max_length {
        return Ok(ended);
    }
    let inputs: Vec<&[u32]> = jobs.iter().map(|job| job.input.as_slice()).collect();
    let mut writer = Writer::of_several(jobs[0].model, &inputs, jobs[0].max_length)?;
    // Which text each of the sequences is.
    let mut running: Vec<usize> = (0..jobs.len()).collect();
    let mut sequences: Vec<Vec<u32>> = jobs.iter().map(|job| job.context.clone()).collect();
    let mut logits = writer.begin_all(&sequences)?; // [sequence, vocabulary]
    loop {
        if on_step().is_break() {
            return Err(Error::Interrupted);
        }
        let mut places = chosen(jobs, &running, &sequences, &logits, samplers)?;
        let mut rows = Vec::new();
        for (row, id) in host::ids(&places).into_iter().enumerate() {
            let id = u32::try_from(id).map_err(|_| jobs[running[row]].no_numbers())?;
            sequences[row].push(id);
            match jobs[running[row]].finish(&sequences[row]) {
                Some(finish) => ended[running[row]] = (take(&mut sequences[row]), finish),
                None => rows.push(row as i64),
            }
        }
        if rows.is_empty() {
            return Ok(ended);
        }
        if rows.len() < running.len() {
            writer.select(&rows);
            places = places.index_select(0, &host::index(&rows, places.device()));
            running = rows.iter().map(|row| running[*row as usize]).collect();
            sequences.retain(|sequence| !sequence.is_empty());
        }
        logits = writer.go_on_from(&sequences, &places)?;
    }
}

/// The next token of each of the sequences, `[sequence]`; -1 where there is nothing to choose by.
fn chosen(
    jobs: &[&Job],
    running: &[usize],
    sequences: &[Vec<u32>],
    logits: &Tensor,
    samplers: &mut [Sampler],
) -> Result<Tensor> {
    let mut places = Vec::new();
    for (row, (&text, sequence)) in running.iter().zip(sequences).enumerate() {
        let own = logits.narrow(0, row as i64, 1); // [1, vocabulary]
        let scores = jobs[text].processors.apply(std::slice::from_ref(sequence), own);
        places.push(samplers[text].place(&scores));
    }
    let places = Tensor::cat(&places, 0);
    let is_known = logits.amax([-1], false).isfinite();
    Ok(places.where_self(&is_known, &places.full_like(-1)))
}
