use super::*;

fn candidate(rank: usize, text: &str, probability: f32, is_chosen: bool) -> Candidate {
    let token = Token {
        text: text.to_owned(),
        id: 7,
        part: None,
    };
    Candidate {
        rank,
        label: CandidateLabel::Token(token),
        probability,
        is_chosen,
    }
}

#[test]
fn the_taken_one_is_marked_also_far_down() {
    let view = Candidates {
        model: None,
        places: vec![CandidatePlace {
            position: Some(5),
            before: vec![],
            rows: vec![candidate(1, " a", 0.5, false), candidate(2, "<b>", 0.25, false)],
            chosen: Some(candidate(1200, "c", 0.0001, true)),
        }],
    };
    assert_eq!(
        view.text(),
        "position 5\n   1   50%  ·a\n   2   25%  <b>\n1200    0%  c  ◂"
    );
    let html = view.html().unwrap();
    assert!(html.contains("1,200") && html.contains("class=\"taken\"") && !html.contains("<b>2"));
    assert_eq!(view.json().unwrap()["places"][0]["candidates"][2]["rank"], 1200);
    let none = Candidates {
        model: None,
        places: vec![],
    };
    assert!(none.html().unwrap().contains("nothing is predicted"));
}
