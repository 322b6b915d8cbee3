// Rhai for CodeMirror 6: colours, brackets, comments and indentation. What is coloured as what is as in python/ecco_kernel/lexer.py.
const KEYWORDS = new Set(
  ("as break catch const continue do else export fn for if import in let loop private return static switch throw try until " +
    "while").split(" "),
);
const FUNCTIONS = new Set("Fn call curry debug eval is_def_fn is_def_var is_shared print type_of".split(" "));
const ESCAPE = /^\\(?:[\\"'`tnr]|x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8})/;
const NUMBER =
  /^(?:0[xX][0-9a-fA-F_]+|0[oO][0-7_]+|0[bB][01_]+|\d[\d_]*(?:\.\d[\d_]*(?:[eE][+-]?\d+)?|[eE][+-]?\d+|\.(?![\w.]))?)/;
const NAME = /^[\p{L}_][\p{L}\p{N}_]*/u;
const OPERATOR = /^(?:\.\.=?|=>|\?\?=?|\?\.|\*\*=?|<<=?|>>=?|&&|\|\||[-+*/%&|^<>=!]=?|[?~@$])/;
const CLOSES = { "(": ")", "[": "]", "{": "}", "#{": "}", "${": "}" };

// The state: `inside` is a stack of what is open, and `open` of brackets with the indentation of their lines.
function string(stream, state, top) {
  if (stream.match(ESCAPE)) return "string.special";
  if (stream.match('""')) return "string.special";
  if (stream.eat('"')) {
    state.inside.pop();
    return "string";
  }
  if (stream.eat("\\")) {
    // A line that ends so goes on in the next.
    top.goesOn = stream.eol();
    return "string";
  }
  stream.match(/^[^"\\]+/);
  return "string";
}

function template(stream, state) {
  if (stream.match("``")) return "string.special";
  if (stream.eat("`")) {
    state.inside.pop();
    return "string";
  }
  if (stream.match("${")) {
    enter(stream, state, "${");
    state.inside.push({ kind: "code", depth: state.open.length });
    return "punctuation";
  }
  if (!stream.match(/^(?:[^`$]|\$(?!\{))+/)) stream.next();
  return "string";
}

function comment(stream, state, top) {
  while (!stream.eol()) {
    if (stream.match("/*")) top.depth += 1;
    else if (stream.match("*/")) {
      top.depth -= 1;
      if (!top.depth) {
        state.inside.pop();
        break;
      }
    } else stream.next();
  }
  return "comment";
}

// `#"…"#`, with as many signs at its end.
function raw(stream, state, top) {
  const at = stream.string.indexOf(top.end, stream.pos);
  if (at < 0) stream.skipToEnd();
  else {
    stream.pos = at + top.end.length;
    state.inside.pop();
  }
  return "string";
}

const enter = (stream, state, bracket) =>
  state.open.push({ close: CLOSES[bracket], indent: stream.indentation() });

function code(stream, state) {
  const afterDot = state.afterDot;
  state.afterDot = false;
  if (stream.eatSpace()) {
    state.afterDot = afterDot;
    return null;
  }
  if (stream.match("//")) {
    stream.skipToEnd();
    return "comment";
  }
  const open = (kind, more, style) => (state.inside.push({ kind, ...more }), style);
  if (stream.match("/*")) return open("comment", { depth: 1 }, "comment");
  const signs = stream.match(/^(#+)"/);
  if (signs) return open("raw", { end: `"${signs[1]}` }, "string");
  if (stream.eat('"')) return open("string", {}, "string");
  if (stream.eat("`")) return open("template", {}, "string");
  if (stream.match(/^'(?:\\(?:[\\"'`tnr]|x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8})|[^'\\])'/u)) return "string";
  if (stream.match(NUMBER)) return "number";
  const name = stream.match(NAME)?.[0];
  if (name) return named(stream, state, name, afterDot);
  const bracket = stream.match(/^(?:#\{|[{([])/)?.[0];
  if (bracket) {
    enter(stream, state, bracket);
    return "bracket";
  }
  if (stream.match(/^[})\]]/)) {
    const top = state.inside.at(-1), isTop = top?.kind === "code" && top.depth === state.open.length;
    if (state.open.at(-1)?.close === stream.current()) state.open.pop();
    if (!isTop) return "bracket";
    state.inside.pop();
    return "punctuation";
  }
  if (stream.match("..")) return "operator";
  if (stream.eat(".")) {
    state.afterDot = true;
    return "operator";
  }
  if (stream.match(OPERATOR)) return "operator";
  stream.next();
  return "punctuation";
}

function named(stream, state, name, afterDot) {
  const afterFn = state.afterFn;
  state.afterFn = name === "fn";
  if (afterFn) return "variableName.definition";
  if (afterDot) return stream.match(/^\s*!?\(/, false) ? "propertyName.function" : "propertyName";
  if (KEYWORDS.has(name)) return "keyword";
  if (name === "true" || name === "false") return "bool";
  if (name === "this" || name === "global") return "self";
  if (stream.match("::", false)) return "namespace";
  if (!stream.match(/^\s*!?\(/, false)) return "variableName";
  return FUNCTIONS.has(name) ? "variableName.standard" : "variableName.function";
}

const KINDS = { code, string, template, comment, raw };

export const parser = {
  name: "rhai",
  startState: () => ({ inside: [], open: [], afterDot: false, afterFn: false }),
  copyState: (state) => ({ ...state, inside: state.inside.map((it) => ({ ...it })), open: [...state.open] }),
  token(stream, state) {
    const top = state.inside.at(-1);
    // A text in quotes ends with its line, unless a backslash takes it over.
    if (stream.sol() && top?.kind === "string") {
      if (!top.goesOn) state.inside.pop();
      top.goesOn = false;
    }
    const now = state.inside.at(-1);
    return KINDS[now?.kind ?? "code"](stream, state, now);
  },
  indent(state, textAfter, context) {
    const kind = state.inside.at(-1)?.kind ?? "code";
    if (kind !== "code") return null;
    const top = state.open.at(-1), goesOn = /^\??\.[^.]/.test(textAfter) ? context.unit : 0;
    if (!top) return goesOn;
    return top.indent + (textAfter.startsWith(top.close) ? 0 : context.unit + goesOn);
  },
  languageData: {
    commentTokens: { line: "//", block: { open: "/*", close: "*/" } },
    closeBrackets: { brackets: ["(", "[", "{", "'", '"', "`"] },
    indentOnInput: /^\s*[})\]]$/,
  },
};

// A plugin for JupyterLab 4 and Notebook 7; `shared` brings one of the modules that they share with extensions.
export async function plugin(shared) {
  const [{ IEditorLanguageRegistry }, { StreamLanguage, LanguageSupport }] = await Promise.all([
    shared("@jupyterlab/codemirror"),
    shared("@codemirror/language"),
  ]);
  return {
    id: "ecco-kernel-live:rhai",
    autoStart: true,
    requires: [IEditorLanguageRegistry],
    activate(_, languages) {
      languages.addLanguage({
        name: "rhai",
        displayName: "Rhai",
        mime: "text/x-rhai",
        extensions: ["rhai"],
        load: async () => new LanguageSupport(StreamLanguage.define(parser)),
      });
    },
  };
}
