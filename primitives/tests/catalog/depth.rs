//! Changes of a model on top of each other.

use crate::common::{Notebook, on_session_thread};
use crate::{alone, calls, models};

#[test]
fn interventions_on_top_of_each_other_end_with_an_error() {
    let _alone = alone();
    on_session_thread(|| {
        let folder = models::changed("gpt2-tiny", |_, _| ());
        let mut notebook = Notebook::in_folder(folder.path());
        calls::define(&mut notebook, folder.path(), "ab cd ef");
        let chain = "let edited = lm; \
                     for i in 0..10000 { edited = edited.intervene(#{scale: [#{layer: 0, site: \"mlp_output\", factor: 1.0}]}); }";
        let error = notebook.error(chain);
        assert_eq!(error.name, "ValueError", "{}", error.value);
        assert!(error.value.contains("at most 1000"), "{}", error.value);
        assert_eq!(notebook.text("edited.interventions.len"), "1000");
        let same = "edited.score(text).ranks == lm.score(text).ranks";
        assert_eq!(notebook.text(same), "true");
        let many =
            "let list = []; list.pad(1001, #{layer: 0, site: \"mlp_output\"}); lm.intervene(#{ablate: list})";
        assert_eq!(notebook.error(many).name, "ValueError");
    });
}
