//! What tells a model's files from all others.

use sha2::{Digest, Sha256};

use super::ModelFiles;

impl ModelFiles {
    /// SHA-256 of all that the files say: of each its name, its length and its bytes. Of a GGUF file only itself: the rest is
    /// made of it. Reads all weights, at a gigabyte or two a second.
    pub(crate) fn digest(&self) -> String {
        let mut sha = Sha256::new();
        let mut add = |name: &str, bytes: &[u8]| {
            for part in [name.as_bytes(), bytes] {
                sha.update((part.len() as u64).to_le_bytes());
                sha.update(part);
            }
        };
        if self.gguf_name().is_none() {
            add("config.json", &self.config);
            add(
                "generation_config.json",
                self.generation_config.as_deref().unwrap_or_default(),
            );
            let small = self.tokenizer.files.iter();
            small.for_each(|(name, bytes)| add(name, bytes));
            self.tokenizer
                .templates
                .iter()
                .for_each(|(name, bytes)| add(name, bytes));
        }
        for file in &self.weights {
            add(&file.name, file.bytes.as_slice());
        }
        sha.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_another_one_when_a_byte_is() {
        let demo = ModelFiles::demo();
        assert_eq!(demo.digest(), ModelFiles::demo().digest());
        let mut changed = ModelFiles::demo();
        changed.config.push(b' ');
        assert_ne!(demo.digest(), changed.digest());
        assert_eq!(demo.digest().len(), 64);
    }
}
