"use strict";
// The way from the views of the Ecco kernel to the kernel of the notebook that shows them, for JupyterLab 4 and Notebook 7.
// A module as webpack's federation wants it, written by hand: it shares nothing. docs/live.md has the events, and what goes over
// the comm. Beside it stand two modules that are imported from here: Rhai for the editor, and what a selected text can be asked.
(() => {
  const HERE = document.currentScript?.src;
  const TARGET = "ecco.live", LARGEST = 1 << 16;
  const GONE = new Set(["restarting", "autorestarting", "terminating", "dead"]);

  function activate(app) {
    // The comm of each connection to a kernel, and the views that wait for an answer on it.
    const talks = new WeakMap(), mute = new WeakMap(), watched = new WeakSet(), names = new WeakMap();
    let named = 0;

    // The main areas' widget that shows an element: a notebook, a console, or a view of a notebook's output.
    function shower(element) {
      for (const widget of app.shell.widgets("main")) if (widget.node.contains(element)) return widget;
      return null;
    }
    const contextOf = (widget) => widget?.sessionContext ?? widget?.content?._notebook?.sessionContext ?? null;

    // Views whose channel has come or gone ask anew.
    function stir(root = document) {
      for (const view of root.querySelectorAll("[data-live]")) view.dispatchEvent(new CustomEvent("ecco:channel"));
    }

    function watch(context, root) {
      if (watched.has(context)) return;
      watched.add(context);
      context.kernelChanged.connect(() => stir());
      context.statusChanged.connect((_, status) => {
        const kernel = context.session?.kernel;
        if (GONE.has(status) && kernel) drop(kernel);
        // Every kernel says so once: when it has started, or was found again.
        if (status === "idle" && kernel && context.eccoStirred !== kernel) {
          context.eccoStirred = kernel;
          stir(root);
        }
        if (!GONE.has(status)) return;
        context.eccoStirred = null;
        // One that comes back may do so unheard.
        for (const seconds of [3, 8, 20, 45]) setTimeout(stir, 1000 * seconds, root);
      });
    }

    function drop(kernel) {
      const talk = talks.get(kernel);
      talks.delete(kernel);
      if (talk) for (const [view, asks] of talk.waiting) for (const ask of asks) answer(view, { ask, closed: true });
      stir();
    }

    const answer = (view, detail) => view.dispatchEvent(new CustomEvent("ecco:answer", { detail }));

    function open(kernel) {
      const comm = kernel.createComm(TARGET), talk = { comm, waiting: new Map(), views: new Map() };
      talks.set(kernel, talk);
      comm.onMsg = ({ content: { data } }) => {
        talk.heard = true;
        const view = talk.views.get(data.view);
        if (!view || !talk.waiting.get(view)?.delete(data.ask)) return;
        answer(view, data);
      };
      // A kernel that knows no such target closes it at once, and those who have asked leave it alone. Views that come later ask
      // again: Python's kernel learns it from `%load_ext ecco_kernel`.
      comm.onClose = () => {
        if (!talk.heard) for (const view of talk.waiting.keys()) mute.set(view, kernel);
        if (talks.get(kernel) === talk) drop(kernel);
      };
      comm.open({});
      return talk;
    }

    document.addEventListener("ecco:ask", (event) => {
      const view = event.composedPath()[0], { ask, question } = event.detail ?? {};
      // What is no question would close the comm for all.
      const isMap = typeof question === "object" && question !== null && !Array.isArray(question);
      if (!view?.dataset?.live || !Number.isSafeInteger(ask) || ask < 0 || !isMap) return;
      const widget = shower(view), context = contextOf(widget), kernel = context?.session?.kernel;
      if (context) watch(context, widget.node);
      if (!kernel || mute.get(view) === kernel || GONE.has(kernel.status) || JSON.stringify(question).length > LARGEST) return;
      event.preventDefault();
      const talk = talks.get(kernel) ?? open(kernel);
      if (!names.has(view)) names.set(view, "v" + ++named);
      const name = names.get(view);
      talk.views.set(name, view);
      if (!talk.waiting.has(view)) talk.waiting.set(view, new Set());
      talk.waiting.get(view).add(ask);
      talk.comm.send({ view: name, ask, question });
    });

    // The cell that has made a view, again.
    document.addEventListener("ecco:run", (event) => {
      const view = event.composedPath()[0], notebook = shower(view)?.content;
      const at = notebook?.widgets?.findIndex?.((cell) => cell.node.contains(view)) ?? -1;
      if (at < 0) return;
      notebook.activeCellIndex = at;
      app.commands.execute("notebook:run-cell");
    });
    stir();
  }

  const plugin = { id: "ecco-kernel-live:plugin", autoStart: true, activate };
  let scope = {};
  // A module that the front end shares with its extensions: of each there is one version.
  async function shared(name) {
    const [version] = Object.values(scope[name] ?? {});
    if (!version) throw new Error(`${name} is not shared`);
    return (await version.get())();
  }

  // What is beside it does not keep the views' channel from coming.
  async function besides() {
    const [{ plugin: rhai }, { plugin: selection }] = await Promise.all(
      ["rhai.js", "selection.js"].map((name) => import(new URL(name, HERE))),
    );
    return [await rhai(shared), selection];
  }

  (window._JUPYTERLAB ??= {})["ecco-kernel-live"] = {
    init: (given) => { scope = given; },
    get: async () => {
      const more = await besides().catch((error) => (console.warn("Ecco:", error), []));
      return () => ({ __esModule: true, default: [plugin, ...more] });
    },
  };
})();
