// What the views of a page ask, on one way to a kernel, whatever carries it: a comm of JupyterLab's extension (live.js), or a model
// of the widget protocol (widget.js). docs/live.md has the events, and what goes over the way.
const LARGEST = 1 << 16;
const names = new WeakMap();
let named = 0;

// Views whose channel has come or gone ask anew.
export function stir(root = document) {
  for (const view of root.querySelectorAll("[data-live]")) view.dispatchEvent(new CustomEvent("ecco:channel"));
}

// What an event asks, or null where another way has taken it, and where it is no question: that would close the way for all.
export function asked(event) {
  const view = event.composedPath()[0], { ask, question } = event.detail ?? {};
  const isMap = typeof question === "object" && question !== null && !Array.isArray(question);
  if (event.defaultPrevented || !view?.dataset?.live || !Number.isSafeInteger(ask) || ask < 0 || !isMap) return null;
  return JSON.stringify(question).length > LARGEST ? null : { view, ask, question };
}

const answer = (view, detail) => view.dispatchEvent(new CustomEvent("ecco:answer", { detail }));

// The views that wait for an answer; `send` takes a message for the kernel.
export function talk(send) {
  const waiting = new Map(), views = new Map();
  let isHeard = false;
  return {
    ask({ view, ask, question }) {
      if (!names.has(view)) names.set(view, "v" + ++named);
      const name = names.get(view);
      views.set(name, view);
      if (!waiting.has(view)) waiting.set(view, new Set());
      waiting.get(view).add(ask);
      send({ view: name, ask, question });
    },
    hear(data) {
      isHeard = true;
      const view = views.get(data.view);
      if (view && waiting.get(view)?.delete(data.ask)) answer(view, data);
    },
    // Those who have asked where nobody has ever answered.
    unheard: () => isHeard ? [] : [...waiting.keys()],
    end() {
      for (const [view, asks] of waiting) for (const ask of asks) answer(view, { ask, closed: true });
      waiting.clear();
    },
  };
}
