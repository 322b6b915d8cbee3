import { asked, stir, talk } from "./talk.js";

// The way from views to the kernel for hosts of Jupyter's widgets: what anywidget runs of the model that `ecco::live()` opens.
// The model lives as long as its kernel, whether its view is on the page or not.
export default {
  initialize({ model, signal }) {
    const session = model.get("session") + "-", views = talk((message) => model.send(message));
    let isOver = false;
    function end() {
      if (isOver) return;
      isOver = true;
      document.removeEventListener("ecco:ask", take);
      views.end();
      stir();
    }
    function take(event) {
      const question = asked(event);
      // Other sessions' views ask in vain here; their own may have a model too.
      if (!question?.view.dataset.live.startsWith(session)) return;
      event.preventDefault();
      try {
        views.ask(question);
      } catch {
        end(); // the connection is gone
      }
    }
    document.addEventListener("ecco:ask", take);
    model.on("msg:custom", (message) => views.hear(message));
    // Said where the kernel has ended or was started again; once it is there it comes for nothing else.
    model.on("comm_live_update", end);
    signal?.addEventListener("abort", end);
    stir();
    return end;
  },
  render({ model, el }) {
    el.textContent = model.get("says");
  },
};
