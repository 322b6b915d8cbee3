define("ecco-similarity", "similarity-1", (view, data, host) => {
  const table = view.querySelector("table"), readout = view.querySelector(".readout");
  const cells = [...table.tBodies[0].rows].map((row) => [...row.querySelectorAll("td")]);
  const heads = [...table.tHead.rows[0].cells].slice(1), sides = [...table.tBodies[0].rows].map((row) => row.cells[0]);
  const places = new Map(cells.flatMap((row, i) => row.map((cell, j) => [cell, [i, j]])));
  for (const cell of places.keys()) {
    cell.style.removeProperty("background-color"); // inline colours are for pages without styles
    cell.style.removeProperty("color");
  }
  saveMenu(view, host, "similarity", { json: ["application/json", () => JSON.stringify(data)] });
  if (!places.size) return;
  const hint = readout.textContent;
  let cursor = [0, 0], held = false, preview = null, inside = false;

  function update() {
    const at = preview ?? (held || inside ? cursor : null);
    for (const [cell, [i, j]] of places) {
      cell.classList.toggle("on", at?.[0] === i && at[1] === j);
      cell.classList.toggle("held", held && cursor[0] === i && cursor[1] === j);
      cell.setAttribute("aria-selected", held && cursor[0] === i && cursor[1] === j);
      cell.tabIndex = cursor[0] === i && cursor[1] === j ? 0 : -1;
    }
    heads.forEach((head, j) => head.classList.toggle("on", at?.[1] === j));
    sides.forEach((side, i) => side.classList.toggle("on", at?.[0] === i));
    if (!at) return void (readout.textContent = hint);
    const [i, j] = at, value = data.values[i][j], bold = (text) => node("bdi", { textContent: text });
    readout.replaceChildren(bold(data.rows[0] + " " + data.rows[1][i]), " and ", bold(data.columns[0] + " " + data.columns[1][j]), ": ",
      value === null ? "no similarity" : short(value));
  }

  const under = (event) => places.get(event.target.closest("td"));
  table.addEventListener("pointerover", (event) => {
    if (held || event.pointerType === "touch") return;
    preview = under(event) ?? null;
    update();
  });
  table.addEventListener("pointerleave", () => {
    preview = null;
    update();
  });
  table.addEventListener("click", (event) => {
    const to = under(event);
    if (!to) return;
    held = !(held && to[0] === cursor[0] && to[1] === cursor[1]);
    cursor = to;
    preview = null;
    update();
    cells[to[0]][to[1]].focus();
  });
  table.addEventListener("focusin", () => {
    inside = true;
    update();
  });
  table.addEventListener("focusout", (event) => {
    inside = table.contains(event.relatedTarget);
    update();
  });
  table.addEventListener("keydown", (event) => {
    const [i, j] = cursor, last = [cells.length - 1, heads.length - 1];
    const to = { ArrowLeft: [i, j - 1], ArrowRight: [i, j + 1], ArrowUp: [i - 1, j], ArrowDown: [i + 1, j], Home: [i, 0], End: [i, last[1]] }[event.key];
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (to) {
      cursor = to.map((value, axis) => Math.min(Math.max(value, 0), last[axis]));
      preview = null;
      update();
      cells[cursor[0]][cursor[1]].focus();
    } else if (event.key === "Enter" && !event.shiftKey || event.key === " ") {
      held = !held;
      update();
    } else if (event.key === "Escape" && held) {
      held = false;
      update();
    } else return;
    event.preventDefault();
    event.stopPropagation(); // the notebook has its own meaning for these keys
  });
  table.setAttribute("role", "grid");
  table.setAttribute("aria-label", data.title + ". Arrow keys move, Enter holds a cell, Escape releases it.");
  for (const cell of places.keys()) cell.setAttribute("role", "gridcell");
  readout.setAttribute("role", "status");
  update();
});
