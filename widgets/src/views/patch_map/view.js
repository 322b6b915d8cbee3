define("ecco-patch-map", "patch-map-2", (view, data, host) => {
  const table = view.querySelector("table"), readout = view.querySelector(".readout");
  const rows = table ? [...table.tBodies[0].rows].map((row) => [...row.querySelectorAll("td")]) : [];
  const heads = table ? [...table.tHead.rows[0].cells].slice(1) : [], width = heads.length, height = rows.length;
  if (!width || !height) return;
  // Of a large map the page has some of the columns.
  const shown = heads.map((head) => Number((head.querySelector("small") ?? head).textContent));
  const names = heads.map((head, i) => head.querySelector("bdi") ? cut(head.querySelector("bdi").textContent, 24) + " " + shown[i] : "head " + shown[i]);
  const value = (row, column) => unpack(data.restored[row] ?? []).values[shown[column]];
  const place = new Map(rows.flatMap((cells, row) => cells.map((cell, column) => [cell, [row, column]])));
  const exact = (x) => Number.isFinite(x) ? String(Number(x.toPrecision(3))).replace("-", "−") : "no number";

  let best = [0, 0];
  for (const [row, column] of place.values()) {
    if (Math.abs(value(row, column)) > Math.abs(value(...best)) || !Number.isFinite(value(...best))) best = [row, column];
  }
  let selected = best, held = false, preview = null, marked = null;
  const hint = [...readout.childNodes];

  function describe([row, column]) {
    const restored = value(row, column), answer = data.corrupted + restored * (data.clean - data.corrupted);
    readout.replaceChildren(node("span", { className: "what" }, "layer " + data.layers[row] + ", ", node("bdi", { textContent: names[column] })),
      " restores " + exact(restored) + ": the answer becomes " + exact(answer));
  }

  function update(touched = true) {
    const place = preview ?? selected;
    marked?.classList.remove("on", "held");
    marked = rows[place[0]][place[1]];
    if (touched) marked.classList.add("on");
    marked.classList.toggle("held", held && preview === null);
    for (const cell of table.querySelectorAll("[tabindex='0'],[aria-pressed=true]")) {
      cell.tabIndex = -1;
      cell.setAttribute("aria-pressed", "false");
    }
    const cell = rows[selected[0]][selected[1]];
    cell.tabIndex = 0;
    cell.setAttribute("aria-pressed", held);
    if (touched) describe(place);
    else readout.replaceChildren(...hint);
  }

  function choose(cell) {
    held = !(held && cell[0] === selected[0] && cell[1] === selected[1]);
    selected = cell;
    preview = null;
    update();
  }

  const at = (event) => place.get(event.target.closest("td"));
  table.addEventListener("pointerover", (event) => {
    const cell = at(event);
    if (!cell || held || event.pointerType === "touch") return;
    preview = cell;
    update();
  });
  table.addEventListener("pointerleave", () => {
    if (preview === null) return;
    preview = null;
    update(held);
  });
  table.addEventListener("click", (event) => {
    const cell = at(event);
    if (!cell) return;
    choose(cell);
    rows[cell[0]][cell[1]].focus();
  });
  table.addEventListener("keydown", (event) => {
    const [row, column] = selected;
    const to = event.ctrlKey || event.metaKey || event.altKey ? undefined : {
      ArrowLeft: [row, column - 1], ArrowRight: [row, column + 1], ArrowUp: [row - 1, column], ArrowDown: [row + 1, column],
      Home: [row, 0], End: [row, width - 1],
    }[event.key];
    if (to) {
      selected = [Math.min(Math.max(to[0], 0), height - 1), Math.min(Math.max(to[1], 0), width - 1)];
      preview = null;
      update();
      rows[selected[0]][selected[1]].focus();
    } else if (event.key === "Enter" && !event.shiftKey && !event.ctrlKey || event.key === " ") choose(selected);
    else if (event.key === "Escape" && (held || preview !== null)) {
      held = false;
      preview = null;
      update();
    } else return;
    event.preventDefault();
    event.stopPropagation(); // the notebook has its own meaning for these keys
  });
  table.addEventListener("focusin", () => update());

  table.setAttribute("role", "grid");
  table.setAttribute("aria-label", "Layers by " + (view.querySelector("thead div") ? "positions" : "heads") + ". Arrow keys move, Enter holds a cell, Escape releases it.");
  readout.setAttribute("role", "status");
  for (const cell of place.keys()) {
    cell.tabIndex = -1;
    cell.setAttribute("role", "gridcell");
    cell.removeAttribute("title");
  }
  saveMenu(view, host, data, {
    svg: ["image/svg+xml", () => drawn()],
  });

  // The table as it stands on the screen.
  function drawn() {
    const frame = table.getBoundingClientRect();
    const title = "Activation patching of " + data.site + ": " + data.answer;
    const { add, text, source } = drawing(view, title, Math.ceil(frame.width) + 16, Math.ceil(frame.height) + 16);
    for (const cell of table.querySelectorAll("th,td")) {
      const { x, y, width, height } = cell.getBoundingClientRect(), left = x - frame.x + 8, top = y - frame.y + 8;
      const turned = cell.querySelector("div");
      const font = { "font-size": 10, fill: getComputedStyle(cell).color };
      if (cell.localName === "td") add("rect", { x: left, y: top, width, height, ...ground(getComputedStyle(cell)) });
      if (turned) text(turned.textContent, { ...font, transform: "translate(" + (left + width / 2 + 3) + " " + (top + height - 16) + ") rotate(-90)" });
      else text(cell.textContent, { ...font, x: left + width / 2, y: top + height / 2 + 4, "text-anchor": "middle" });
    }
    return source();
  }
  update(false);
});
