use super::*;

/// Tokens of whole characters.
fn tokens(pieces: &[&str]) -> Vec<Token> {
    let mut end = 0;
    pieces
        .iter()
        .map(|piece| {
            let start = end;
            end += piece.chars().count();
            token(piece, start..end)
        })
        .collect()
}

fn token(text: &str, span: Range<usize>) -> Token {
    Token {
        id: 0,
        text: text.into(),
        part: None,
        span,
    }
}

fn texts(tokens: &[Token], by: &Grouping) -> Vec<String> {
    let groups = group(&[tokens], by).unwrap();
    assert_eq!(groups.first().map(|group| group.tokens.start), Some(0));
    assert_eq!(groups.last().map(|group| group.tokens.end), Some(tokens.len()));
    assert!(
        groups
            .windows(2)
            .all(|pair| pair[0].tokens.end == pair[1].tokens.start)
    );
    groups.into_iter().map(|group| group.text).collect()
}

#[test]
fn subwords_become_words_with_the_space_before_them() {
    let tokens = tokens(&[
        "The", " coun", "tries", " of", " the", " E", "U", " can", "'t", "),", " 3", ".", "5",
    ]);
    assert_eq!(
        texts(&tokens, &Grouping::Words),
        ["The", " countries", " of", " the", " EU", " can't", "),", " 3.5"]
    );
}

#[test]
fn line_breaks_are_no_words() {
    let tokens = tokens(&["are", ":", "\n", "1", ".", " Aus", "tria", "\n\n", "  ", "x"]);
    assert_eq!(
        texts(&tokens, &Grouping::Words),
        ["are", ":", "\n", "1", ".", " Austria", "\n\n", "  x"]
    );
    assert_eq!(
        texts(&tokens, &Grouping::Lines),
        ["are:\n", "1. Austria\n\n", "  x"]
    );
}

#[test]
fn an_emoji_over_tokens_is_one_group() {
    // " 👩" in three tokens, the first with the space; then a family joined by U+200D.
    let tokens = [
        token("a", 0..1),
        token(" 👩", 1..3),
        token("👩", 2..3),
        token("👩", 2..3),
        token(" 👩\u{200D}", 3..6),
        token("👧", 6..7),
        token("👧", 6..7),
        token("!", 7..8),
    ];
    let groups = group(&[&tokens], &Grouping::Words).unwrap();
    let found: Vec<_> = groups
        .iter()
        .map(|group| (group.tokens.clone(), group.text.as_str()))
        .collect();
    assert_eq!(
        found,
        [(0..1, "a"), (1..4, " 👩"), (4..7, " 👩\u{200D}👧"), (7..8, "!")]
    );
}

#[test]
fn other_scripts_and_bytes_that_are_no_character() {
    assert_eq!(
        texts(&tokens(&["Où", " ?", " l", "'", "été"]), &Grouping::Words),
        ["Où", " ?", " l'été"]
    );
    let broken = [token("a", 0..1), token("<0xF0>", 1..2), token("<0x9F>", 1..2)];
    assert_eq!(texts(&broken, &Grouping::Words).concat(), "a\u{FFFD}");
    assert!(group(&[], &Grouping::Words).unwrap().is_empty());
    // A token without characters goes with the one at its place.
    let special = [token("", 0..0), token("x", 0..1), token("", 1..1)];
    assert_eq!(texts(&special, &Grouping::Words), ["x"]);
}

#[test]
fn sentences() {
    let tokens = tokens(&["It", " is", " 3.5", ".", " Yes", "?", " No", "!"]);
    assert_eq!(
        texts(&tokens, &Grouping::Sentences),
        ["It is 3.5.", " Yes?", " No!"]
    );
}

#[test]
fn given_spans_and_what_is_between() {
    let tokens = tokens(&["ab", "cd", "ef", "gh"]);
    let by = |spans: &[Range<usize>]| Grouping::Characters(spans.to_vec());
    // The span has most of "cd" and half of "ef", which stays with the first of equals.
    assert_eq!(texts(&tokens, &by(&[2..5])), ["ab", "cdef", "gh"]);
    assert_eq!(texts(&tokens, &by(&[4..8, 0..2])), ["ab", "cd", "efgh"]);
    let by = Grouping::Tokens(vec![1..3]);
    assert_eq!(texts(&tokens, &by), ["ab", "cdef", "gh"]);
}

#[test]
fn spans_that_are_none_are_refused() {
    let tokens = tokens(&["ab", "cd"]);
    let refused = |by: Grouping| group(&[&tokens], &by).unwrap_err().to_string();
    assert_eq!(
        refused(Grouping::Characters(vec![2..9])),
        "the span 2..9 of characters: the text has 4 characters: spans lie between 0 and 4"
    );
    assert_eq!(
        refused(Grouping::Tokens(vec![1..1])),
        "the span 1..1 of tokens: its end must be beyond its start"
    );
    assert_eq!(
        refused(Grouping::Tokens(vec![0..2, 1..2])),
        "the span 1..2 of tokens: it overlaps 0..2"
    );
    assert!(refused(Grouping::Characters(vec![1..2])).contains("no token has most"));
}

#[test]
fn groups_do_not_reach_over_the_end_of_a_text() {
    let (read, written) = (tokens(&["un", "e"]), tokens(&["for", "et"]));
    let groups = group(&[&read, &written], &Grouping::Words).unwrap();
    let found: Vec<_> = groups.iter().map(|group| group.tokens.clone()).collect();
    assert_eq!(found, [0..2, 2..4]);
}

#[test]
fn sums_over_groups_keep_a_rows_sum() {
    let tokens = tokens(&["ab", "cd", " e", "f", "\n", "g"]);
    let groups = group(&[&tokens], &Grouping::Words).unwrap();
    let row = [0.5f32, -0.25, 1.0, 2.0, -4.0];
    assert_eq!(combine(&row, &groups, Combine::Sum), [0.25, 3.0, -4.0]);
    assert_eq!(combine(&row, &groups, Combine::Mean), [0.125, 1.5, -4.0]);
    assert_eq!(combine(&row[..3], &groups, Combine::Largest), [0.5, 1.0]);
}
