//! What stands before every weight's name and is no part of it: wrappers of training code leave such prefixes.

use super::stored::StoredWeight;
use crate::families::{Family, WeightName};

/// Wrappers by the prefix that they leave.
const WRAPPERS: [(&str, &str); 3] = [
    ("_orig_mod.", "torch.compile"),
    ("module.", "DataParallel"),
    ("base_model.model.", "PEFT"),
];

/// Takes off what all names begin with, where the family knows more of them without it; a sentence that says so.
pub(crate) fn take_prefix_off(stored: &mut [StoredWeight], family: &Family) -> Option<String> {
    let n_unknown = |cut: usize| {
        let is_unknown =
            |weight: &&StoredWeight| family.weight_name(&weight.name[cut..]) == WeightName::Unknown;
        stored.iter().filter(is_unknown).count()
    };
    let common = common_start(stored.iter().map(|weight| weight.name.as_str()));
    let cuts = common.match_indices('.').map(|(dot, _)| dot + 1);
    // Of several that help as much, the shortest: families know some prefixes by themselves.
    let best = cuts.map(|cut| (n_unknown(cut), cut)).min()?;
    if best.0 >= n_unknown(0) {
        return None;
    }
    let prefix = common[..best.1].to_owned();
    let file = stored.first()?.file.name.clone();
    for weight in stored {
        weight.name.drain(..best.1);
    }
    let wrapper = WRAPPERS.iter().find(|(left, _)| prefix.starts_with(left));
    let from = wrapper.map_or(String::new(), |(_, name)| format!(", as {name} leaves it"));
    Some(format!(
        "all weights of {file} have {prefix:?} before their names{from}: they are read without it"
    ))
}

/// What all of some names begin with.
pub(super) fn common_start<'a>(mut names: impl Iterator<Item = &'a str>) -> &'a str {
    let Some(first) = names.next() else {
        return "";
    };
    names.fold(first, |common, name| {
        let same = common.char_indices().zip(name.chars()).find(|((_, a), b)| a != b);
        let end = same.map_or(common.len().min(name.len()), |((at, _), _)| at);
        &common[..end]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_names_begin_with() {
        let start = |names: &[&'static str]| common_start(names.iter().copied());
        assert_eq!(start(&["module.h.0", "module.h.1"]), "module.h.");
        assert_eq!(start(&["module.h", "module"]), "module");
        assert_eq!(start(&["häuser", "hä"]), "hä");
        assert_eq!(start(&["ä", "ö"]), "");
        assert_eq!(start(&[]), "");
    }
}
