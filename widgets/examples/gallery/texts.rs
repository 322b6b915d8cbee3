//! The texts that views are about, and numbers without a pattern.

use ecco_widgets::Token;

pub(crate) const N_INPUT: usize = 23;

pub(crate) fn token(text: &str) -> Token {
    let id = text
        .bytes()
        .fold(7u32, |hash, byte| hash.wrapping_mul(31).wrapping_add(byte.into()))
        % 50257;
    Token {
        text: text.to_owned(),
        id,
        part: None,
    }
}

/// The list of countries of the README, as GPT-2 splits it.
pub(crate) fn eu() -> Vec<Token> {
    let text = "The| countries| of| the| European| Union| are|:|\n|1|.| Austria|\n|2|.| Belgium|\n|3|.| Bulgaria|\n|4|.\
                | Croatia|\n|5|.| Cyprus|\n|6|.| Czech| Republic|\n|7|.| Denmark|\n|8|.| Estonia|\n|9";
    text.split('|').map(token).collect()
}

pub(crate) fn hostile() -> Vec<Token> {
    let texts = [
        "</script><script>window.hacked=1</script>",
        "<img src=x onerror=window.hacked=2>",
        "]]>",
        "<!--",
        "\" onmouseover=\"window.hacked=3",
        "'&amp;&lt;",
        "\u{202e}evil",
        " שלום",
        "\0\u{1b}[31m\u{7}",
        "\u{301}",
        "\u{200d}",
        "\u{2028}",
        "\t\r\n",
        "   ",
        "",
        "${window.hacked=4}",
        "</ecco-saliency></div></style>",
        "-".repeat(300).leak(),
    ];
    let mut tokens: Vec<Token> = texts.into_iter().map(token).collect();
    for (text, parts) in [("م", 2), ("👩", 4)] {
        tokens.extend((1..=parts).map(|part| Token {
            part: Some((part, parts)),
            ..token(text)
        }));
    }
    tokens
}

pub(crate) fn words(n: usize) -> Vec<Token> {
    let eu = eu();
    (0..n).map(|i| eu[i % eu.len()].clone()).collect()
}

pub(crate) fn read(text: &str) -> Vec<Token> {
    text.split('|').map(token).collect()
}

/// A number in 0..1 that depends on its arguments alone.
pub(crate) fn noise(a: usize, b: usize) -> f32 {
    let mut x =
        (a as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (b as u64).wrapping_mul(0xc2b2_ae3d_27d4_eb4f);
    x ^= x >> 29;
    x = x.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (x >> 40) as f32 / (1u64 << 24) as f32
}

pub(crate) fn kind(token: &Token) -> usize {
    match token.text.trim_matches(' ') {
        "\n" => 0,
        "." | ":" => 1,
        text if text.parse::<u32>().is_ok() => 2,
        text if token.text.starts_with(' ') && text.starts_with(char::is_uppercase) => 3,
        _ => 4,
    }
}
