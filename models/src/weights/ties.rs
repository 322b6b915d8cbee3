//! Matrices that are one by config.json, whatever the file has: decided as transformers decides it
//! (`PreTrainedModel.tie_weights`).

use super::Weights;

impl Weights {
    /// Makes one of a matrix and what is tied to it. Whichever of the names the file has stands for those it lacks;
    /// equal ones are dropped. What differs stays apart, as it is stored: where config.json is `trusted` to say
    /// otherwise, that is noted.
    pub(crate) fn tie(&mut self, source: &str, targets: &[&str], trusted: bool) {
        if !self.has(source) {
            let first = targets.iter().find(|target| self.tensors.contains_key(**target));
            if let Some(stored) = first.and_then(|target| self.tensors.remove(*target)) {
                self.tensors.insert(source.to_owned(), stored);
            }
        }
        for target in targets {
            let Some(own) = self.tensors.get(*target) else {
                continue;
            };
            let shared = self.tensors.get(source).map(|stored| &stored.weight);
            match shared.or_else(|| self.taken.get(source)) {
                Some(shared) if shared.is_same(&own.weight) => {
                    self.tensors.remove(*target);
                }
                Some(_) if trusted => {
                    let (file, name) = (&own.file, &own.name);
                    self.notices.push(format!(
                        "config.json ties {name} to {}, but {file} has two matrices that differ: each is used as it \
                         is stored. `\"tie_word_embeddings\": false` in config.json says so",
                        self.family.name_in_file(source)
                    ));
                }
                _ => {}
            }
        }
    }
}
