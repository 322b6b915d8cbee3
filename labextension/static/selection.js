// What a text that is selected in a notebook of Ecco can be asked: entries of the context menu, each of which puts a cell below.
const ASKS = [
  { name: "score", label: "Score This Text" },
  { name: "attribute", label: "Attribute This Text" },
];
const LONGEST = 20_000;
// A model that a cell has named; the last one counts.
const MODEL = /\blet\s+(\w+)\s*=\s*ecco::from_pretrained\s*\(/g;
const RANK = 0;

// A text as a literal of Rhai, which knows fewer escapes than JSON.
const literal = (text) =>
  JSON.stringify(text).replace(/\\([bf])/g, (_, letter) => (letter === "b" ? "\\x08" : "\\x0c"));

function selection() {
  let chosen = document.getSelection();
  // Views keep theirs in a shadow root.
  const inside = chosen?.anchorNode?.shadowRoot ?? chosen?.anchorNode?.childNodes?.[chosen.anchorOffset]?.shadowRoot;
  if (inside?.getSelection && !chosen.toString()) chosen = inside.getSelection() ?? chosen;
  const text = chosen?.toString() ?? "";
  return { text: text.slice(0, LONGEST), node: chosen?.anchorNode ?? null };
}

// The notebook that shows a node, if its kernel's language is Rhai, and the number of the cell.
function place(app, node) {
  for (const widget of app.shell.widgets("main")) {
    if (!node || !widget.node.contains(node)) continue;
    const notebook = widget.content, language = notebook?.model?.metadata?.kernelspec?.language ?? notebook?.model?.defaultKernelLanguage;
    const at = notebook?.widgets?.findIndex?.((cell) => cell.node.contains(node)) ?? -1;
    return at >= 0 && language === "rhai" ? { notebook, at } : null;
  }
  return null;
}

function model(notebook, at) {
  const cells = notebook.widgets.slice(0, at + 1).map((cell) => cell.model.sharedModel.getSource());
  return [...cells.join("\n").matchAll(MODEL)].at(-1)?.[1] ?? "lm";
}

export const plugin = {
  id: "ecco-kernel-live:selection",
  autoStart: true,
  activate(app) {
    for (const [rank, { name, label }] of ASKS.entries()) {
      const command = `ecco:${name}-selection`;
      const found = () => {
        const { text, node } = selection();
        return text.trim() ? { text, ...place(app, node) } : {};
      };
      app.commands.addCommand(command, {
        label,
        isVisible: () => !!found().notebook,
        execute: async () => {
          const { text, notebook, at } = found();
          if (!notebook) return;
          const code = `${model(notebook, at)}.${name}(${literal(text)})`;
          notebook.activeCellIndex = at;
          await app.commands.execute("notebook:insert-cell-below");
          notebook.activeCell.model.sharedModel.setSource(code);
        },
      });
      app.contextMenu.addItem({ command, selector: ".jp-Notebook", rank: RANK + rank });
    }
  },
};
