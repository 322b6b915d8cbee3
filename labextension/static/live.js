"use strict";
// The way from the views of the Ecco kernel to the kernel of the notebook that shows them, for JupyterLab 4 and Notebook 7.
// A module as webpack's federation wants it, written by hand: it shares nothing. Beside it stand modules that are imported from here:
// what goes over the comm (talk.js; docs/live.md has the events), Rhai for the editor, and what a selected text can be asked.
(() => {
  const HERE = document.currentScript?.src;
  const TARGET = "ecco.live";
  const GONE = new Set(["restarting", "autorestarting", "terminating", "dead"]);

  function activate(app, { asked, stir, talk }) {
    // The comm of each connection to a kernel, with the views that wait for an answer on it.
    const talks = new WeakMap(), mute = new WeakMap(), watched = new WeakSet();

    // The main areas' widget that shows an element: a notebook, a console, or a view of a notebook's output.
    function shower(element) {
      for (const widget of app.shell.widgets("main")) if (widget.node.contains(element)) return widget;
      return null;
    }
    const contextOf = (widget) => widget?.sessionContext ?? widget?.content?._notebook?.sessionContext ?? null;

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
      const open = talks.get(kernel);
      talks.delete(kernel);
      open?.end();
      stir();
    }

    function open(kernel) {
      const comm = kernel.createComm(TARGET), views = talk((message) => comm.send(message));
      talks.set(kernel, views);
      comm.onMsg = ({ content: { data } }) => views.hear(data);
      // A kernel that knows no such target closes it at once, and those who have asked leave it alone. Views that come later ask
      // again: Python's kernel learns it from `%load_ext ecco_kernel`.
      comm.onClose = () => {
        for (const view of views.unheard()) mute.set(view, kernel);
        if (talks.get(kernel) === views) drop(kernel);
      };
      comm.open({});
      return views;
    }

    document.addEventListener("ecco:ask", (event) => {
      const question = asked(event);
      if (!question) return;
      const { view } = question, widget = shower(view), context = contextOf(widget), kernel = context?.session?.kernel;
      if (context) watch(context, widget.node);
      if (!kernel || mute.get(view) === kernel || GONE.has(kernel.status)) return;
      event.preventDefault();
      (talks.get(kernel) ?? open(kernel)).ask(question);
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
      const views = await import(new URL("talk.js", HERE));
      const plugin = { id: "ecco-kernel-live:plugin", autoStart: true, activate: (app) => activate(app, views) };
      const more = await besides().catch((error) => (console.warn("Ecco:", error), []));
      return () => ({ __esModule: true, default: [plugin, ...more] });
    },
  };
})();
