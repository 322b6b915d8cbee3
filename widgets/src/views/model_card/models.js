define("ecco-models", "models-1", (view, data, host) => {
  const rows = () => csv([["model", "type", "parameters", "device", "dtype", "bytes"], ...data.models.map((model) =>
    [model.name, model.model_type, model.n_parameters, model.device, model.dtype, model.memory_bytes])]);
  // Seen where a kernel answers.
  const done = node("div", { className: "done" });
  done.setAttribute("role", "status");
  view.querySelector("thead tr")?.append(node("td", { className: "unload" }));
  view.querySelectorAll("tbody tr").forEach((row, k) => {
    const button = node("button", { type: "button", textContent: "Unload", ariaLabel: "Unload " + data.models[k].name, title: "Frees its memory, as lm.unload() does" });
    button.onclick = async () => {
      button.disabled = true;
      const line = await host.eccoTalk.act({ next: "unload", arguments: [k] });
      if (line === null) return void (button.disabled = false);
      row.classList.add("gone");
      button.replaceWith("unloaded");
      done.replaceChildren("By ", copier(line));
    };
    row.append(node("td", { className: "unload" }, button));
  });
  view.querySelector(".wide")?.after(done);
  saveMenu(view, host, data, { csv: ["text/csv", rows] });
});
