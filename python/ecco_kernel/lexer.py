"""Rhai for Pygments: colours in nbconvert's pages, in Jupyter's console and in documentation."""

from pygments.lexer import RegexLexer, bygroups, include, words
from pygments.token import Comment, Keyword, Name, Number, Operator, Punctuation, String, Whitespace

KEYWORDS = """
    as break catch const continue do else export fn for if import in let loop private return static switch throw try
    until while
""".split()
FUNCTIONS = "Fn call curry debug eval is_def_fn is_def_var is_shared print type_of".split()
ESCAPE = r'\\(?:[\\"\'`tnr]|x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8})'


class RhaiLexer(RegexLexer):
    """https://rhai.rs/book/"""

    name = "Rhai"
    aliases = ["rhai"]
    filenames = ["*.rhai"]
    mimetypes = ["text/x-rhai"]
    url = "https://rhai.rs"

    tokens = {
        "root": [
            (r"\A#!.*$", Comment.Hashbang),
            include("code"),
            (r"\}", Punctuation),
        ],
        "code": [
            (r"\s+", Whitespace),
            (r"//[/!][^\n]*", String.Doc),
            (r"//[^\n]*", Comment.Single),
            (r"/\*", Comment.Multiline, "comment"),
            (r'(#+)"(?:.|\n)*?"\1', String),
            (r'"', String, "string"),
            (r"`", String.Backtick, "template"),
            (rf"'(?:{ESCAPE}|[^'\\\n])'", String.Char),
            (r"0[xX][0-9a-fA-F_]+", Number.Hex),
            (r"0[oO][0-7_]+", Number.Oct),
            (r"0[bB][01_]+", Number.Bin),
            # `1..3` is a range, and `1.len()` a call.
            (r"\d[\d_]*(?:\.\d[\d_]*(?:[eE][+-]?\d+)?|[eE][+-]?\d+|\.(?![\w.]))", Number.Float),
            (r"\d[\d_]*", Number.Integer),
            (r"(fn)(\s+)(\w+)", bygroups(Keyword, Whitespace, Name.Function)),
            (words(KEYWORDS, prefix=r"\b", suffix=r"\b"), Keyword),
            (r"(?:true|false)\b", Keyword.Constant),
            (r"(?:this|global)\b", Name.Builtin.Pseudo),
            (words(FUNCTIONS, prefix=r"(?<!\.)\b", suffix=r"\b(?=\s*\()"), Name.Builtin),
            (r"([^\W\d]\w*)(::)", bygroups(Name.Namespace, Punctuation)),
            (r"[^\W\d]\w*(?=\s*!?\()", Name.Function),
            (r"[^\W\d]\w*", Name),
            (r"#?\{", Punctuation, "block"),
            (r"\.\.=?|=>|\?\?=?|\?\.|\?\[|\*\*=?|<<=?|>>=?|&&|\|\||[-+*/%&|^<>=!]=?|[?~@$]", Operator),
            # `…` is no Rhai: documentation writes it for what it leaves out.
            (r"[()\[\],;:.…]", Punctuation),
        ],
        # Braces are counted, so that an interpolation ends with its own.
        "block": [(r"\}", Punctuation, "#pop"), include("code")],
        "interpolation": [(r"\}", String.Interpol, "#pop"), include("code")],
        "comment": [
            (r"[^*/]+", Comment.Multiline),
            (r"/\*", Comment.Multiline, "#push"),
            (r"\*/", Comment.Multiline, "#pop"),
            (r"[*/]", Comment.Multiline),
        ],
        "string": [
            (r'""', String.Escape),
            (r'"', String, "#pop"),
            (ESCAPE, String.Escape),
            (r"\\\n", String.Escape),
            (r'[^"\\\n]+', String),
        ],
        "template": [
            (r"``", String.Escape),
            (r"`", String.Backtick, "#pop"),
            (r"\$\{", String.Interpol, "interpolation"),
            (r"[^`$]+|\$", String.Backtick),
        ],
    }
