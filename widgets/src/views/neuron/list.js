define("ecco-top-neurons", "top-neurons-1", (view, data, host) => {
  const rows = [...view.querySelectorAll("tbody tr")];
  let held = null;
  function choose(i) {
    held = i;
    rows.forEach((row, k) => {
      row.classList.toggle("on", k === held);
      buttons[k].ariaPressed = k === held;
    });
    if (i === null) return hold(host, null);
    const { layer, neuron, position } = data.neurons[i];
    hold(host, { position, ...(data.site === "mlp_inner" && layer !== null && { part: { name: neuronName(layer, neuron), entries: [{ layer, neurons: [neuron] }] } }) });
  }
  const buttons = rows.map((row, i) => {
    const cell = row.cells[1], button = node("button", { type: "button", textContent: cell.textContent, ariaPressed: false, title: "Holds it; Escape lets go", onclick: () => choose(held === i ? null : i) });
    cell.replaceChildren(button);
    return button;
  });
  view.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || held === null) return;
    choose(null);
    event.stopPropagation();
  });
  saveMenu(view, host, data);
});
