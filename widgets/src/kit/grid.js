// A table whose cells can be walked through by pointer and keys, from `first` on. `describe(row, column)` gives what the
// readout says of a cell; `mark(at, place)`, which may be missing, answers whether a cell is like the one in focus; `holds(at)`
// learns which is held, or null.
function walk(view, label, describe, mark, first = [0, 0], holds = () => {}) {
  const table = view.querySelector("table"), readout = view.querySelector(".readout");
  const rows = [...table.tBodies[0].rows].map((row) => [...row.cells].filter((cell) => cell.localName === "td"));
  if (!rows.length || !rows[0].length) return null;
  const hint = [...readout.childNodes];
  const place = new Map(rows.flatMap((cells, row) => cells.map((cell, column) => [cell, [row, column]])));
  let cursor = first, held = false, preview = null, told = null;
  const cell = ([row, column]) => rows[row][column];

  function update() {
    const now = held ? cursor : null;
    if (now !== told) holds(told = now);
    const at = preview ?? (held || table.contains(table.getRootNode().activeElement) ? cursor : null);
    for (const old of table.querySelectorAll("td:is(.on,.same,.held)")) old.classList.remove("on", "same", "held");
    for (const old of table.querySelectorAll("td[tabindex='0']")) old.tabIndex = -1;
    cell(cursor).tabIndex = 0;
    for (const each of place.keys()) if (held || each.ariaSelected === "true") each.ariaSelected = held && each === cell(cursor);
    if (!at) return void readout.replaceChildren(...hint);
    if (mark) for (const [each, there] of place) if (mark(at, there)) each.classList.add("same");
    cell(at).classList.remove("same");
    cell(at).classList.add("on");
    if (held) cell(cursor).classList.add("held");
    readout.replaceChildren(...describe(...at).flatMap((part) => [part, " "]));
  }

  const at = (event) => place.get(event.target.closest("td"));
  table.addEventListener("pointerover", (event) => {
    if (held || event.pointerType === "touch") return;
    preview = at(event) ?? null;
    update();
  });
  table.addEventListener("pointerleave", () => { preview = null; update(); });
  table.addEventListener("click", (event) => {
    const to = at(event);
    if (!to) return;
    held = !(held && cell(to) === cell(cursor));
    cursor = to;
    preview = null;
    cell(to).tabIndex = 0;
    cell(to).focus({ preventScroll: true });
    update();
  });
  table.addEventListener("keydown", (event) => {
    const [row, column] = cursor;
    const to = { ArrowLeft: [row, column - 1], ArrowRight: [row, column + 1], ArrowUp: [row - 1, column], ArrowDown: [row + 1, column],
      Home: [row, 0], End: [row, Infinity], PageUp: [0, column], PageDown: [Infinity, column] }[event.key];
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (to) {
      const next = Math.min(Math.max(to[0], 0), rows.length - 1);
      cursor = [next, Math.min(Math.max(to[1], 0), rows[next].length - 1)];
      preview = null;
      cell(cursor).tabIndex = 0;
      cell(cursor).focus();
      update();
    } else if (event.key === "Enter" && !event.shiftKey || event.key === " ") {
      held = !held;
      update();
    } else if (event.key === "Escape" && (held || preview)) {
      held = false;
      preview = null;
      update();
    } else return;
    event.preventDefault();
    event.stopPropagation(); // the notebook has its own meaning for these keys
  });
  table.addEventListener("focusin", (event) => {
    cursor = at(event) ?? cursor;
    update();
  });
  table.addEventListener("focusout", (event) => { if (!table.contains(event.relatedTarget)) update(); });

  table.setAttribute("role", "grid");
  table.setAttribute("aria-label", label + " Arrow keys move, Enter holds a cell, Escape releases it.");
  readout.setAttribute("role", "status");
  for (const [each] of place) {
    each.setAttribute("role", "gridcell");
    each.tabIndex = -1;
  }
  cell(cursor).tabIndex = 0;
  if (rows.length > 11 || rows[0].length > 7) sized(view, table);
  return { rows, update };
}

// A large table is made smaller, to be seen as a whole, or larger; a wheel does that with Ctrl, alone it scrolls the page.
function sized(view, table) {
  const SIZES = [0.35, 0.5, 0.7, 1, 1.4, 2];
  let at = 3;
  const change = (to) => {
    at = Math.min(Math.max(to, 0), SIZES.length - 1);
    table.style.zoom = SIZES[at];
    [smaller.disabled, larger.disabled] = [at === 0, at === SIZES.length - 1];
  };
  const button = (textContent, ariaLabel, by) => node("button", { type: "button", textContent, ariaLabel, title: ariaLabel, onclick: () => change(at + by) });
  const smaller = button("−", "Smaller", -1), larger = button("+", "Larger", 1);
  view.querySelector(".head").append(node("span", { className: "choices", role: "group", ariaLabel: "Size of the table" }, smaller, larger));
  table.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    change(at + (event.deltaY < 0 ? 1 : -1));
  }, { passive: false });
}

const part = (...children) => node("span", {}, ...children);
const strong = (text) => node("bdi", { textContent: text });
