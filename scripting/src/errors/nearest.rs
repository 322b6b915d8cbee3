//! The name someone probably meant.

use strsim::osa_distance;

/// Bytes of a name that is compared.
const LONGEST: usize = 200;

/// The candidate nearest to `name`, if one is near enough to be meant.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // A text that got here by mistake: comparing takes the product of the lengths.
    if name.len() > LONGEST {
        return None;
    }
    let lower = name.to_lowercase();
    let limit = match name.chars().count() {
        0..=2 => 1,
        3..=5 => 2,
        n => n / 3 + 1,
    };
    candidates
        .into_iter()
        .filter(|candidate| *candidate != name)
        .map(|candidate| (osa_distance(&lower, &candidate.to_lowercase()), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_meant() {
        let names = ["generate", "max_length", "temperature", "top_k", "top_p"];
        assert_eq!(nearest("generat", names), Some("generate"));
        assert_eq!(nearest("temprature", names), Some("temperature"));
        assert_eq!(nearest("Top_K", names), Some("top_k"));
        assert_eq!(nearest("xyzzy", names), None);
    }
}
