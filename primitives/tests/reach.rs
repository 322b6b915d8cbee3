//! What scripts can reach.

use ecco_interpreter::Interrupt;
use ecco_scripting::assist::catalog::EntryKind;

/// Everything that is no method of a value, so that a new release of Rhai cannot add a way out unseen.
const FREE_FUNCTIONS: &str = "E PI abs acos acosh asin asinh atan atanh bits blob ceiling clear_output cos cosh debug \
         display elapsed eprint exit exp floor format fraction get_bit get_bits get_fn_metadata_list help html \
         hypot input int is_even is_finite is_infinite is_nan is_odd is_zero ln log markdown max min parse_json \
         password print range round sign sin sinh sleep sqrt svg tan tanh timestamp to_binary to_debug \
         to_degrees to_float to_hex to_int to_lower to_octal to_radians to_string to_upper \
         ecco::arange ecco::cca ecco::cka ecco::cluster ecco::concat ecco::corpus ecco::crossings ecco::devices ecco::diff ecco::einsum ecco::eye \
         ecco::from_pretrained ecco::ica ecco::live ecco::load ecco::models ecco::nmf ecco::ones ecco::pca ecco::probe ecco::project ecco::pwcca ecco::rand \
         ecco::randn ecco::read ecco::similarity ecco::stack ecco::svcca ecco::table ecco::tensor \
         ecco::tour ecco::zeros";

#[test]
fn scripts_reach_nothing_but_these() {
    let session = ecco_primitives::session(Interrupt::default());
    let catalog = session.catalog();
    let free = catalog
        .entries()
        .filter(|entry| entry.kind == EntryKind::Function);
    let mut names: Vec<String> = free.map(|entry| entry.full_name()).collect();
    names.dedup();
    assert_eq!(names.join(" "), FREE_FUNCTIONS);
    let is_place = |name: &str| {
        // A direction is no directory.
        let words = ["path", "file", "folder", "url", "host", "command"];
        words.iter().any(|word| name.contains(word)) || name.split('_').any(|word| word == "dir")
    };
    let is_result = |of: &str| catalog.members_of(of).any(|entry| entry.name == "to_json");
    let mut places: Vec<String> = catalog
        .entries()
        .filter(|entry| entry.params.iter().any(|param| is_place(&param.name)) || is_place(&entry.name))
        .map(|entry| match entry.receiver() {
            Some(of) if is_result(of) => format!("result.{}", entry.name),
            _ => entry.full_name(),
        })
        .collect();
    places.sort();
    places.dedup();
    assert_eq!(
        places,
        [
            "Dictionary.save",
            "Model.corpus",
            "Model.dictionaries",
            "Model.dictionary",
            "Model.load_lens",
            "Table.save",
            "Tensor.save",
            "ecco::from_pretrained",
            "ecco::load",
            "ecco::read",
            "result.save"
        ]
    );
}
