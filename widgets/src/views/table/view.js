define("ecco-table", "table-1", (view, data, host) => {
  const scroll = view.querySelector(".scroll"), table = view.querySelector("table"), body = table.tBodies[0];
  const readout = view.querySelector(".readout"), figures = view.querySelector(".figures");
  const HEIGHT = 26, BEYOND = 12, AT_FIRST = 40, LONGEST = 300;
  const said = figures.textContent;
  let order = data.rows.map((_, at) => at), by = -1, down = false, query = "", texts = null;
  let active = [0, 0], from = 0, to = 0, chosen = false;

  // What cannot be seen, or turns what follows, by its name: `visible.rs` has the same list.
  const mark = (c) => ({ "\n": "\\n", "\r": "\\r", "\t": "\\t", "\0": "\\0" })[c] ??
    (/\p{Cc}/u.test(c) ? "\\x" + c.codePointAt(0).toString(16).padStart(2, "0") : "U+" + c.codePointAt(0).toString(16).toUpperCase().padStart(4, "0"));
  const HIDDEN = /[\p{Cc}\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\u2028\u2029\ufeff\ufff9-\ufffb\u{e0000}-\u{e007f}\ufdd0-\ufdef\p{Zs}]|\p{Noncharacter_Code_Point}/gu;
  const plain = (text) => text.replace(HIDDEN, (c) => (c === " " ? c : mark(c)));
  const shown = (cell) => (cell === null ? "" : typeof cell === "number" ? (Number.isInteger(cell) && Math.abs(cell) <= 2 ** 53 ? String(cell) : short(cell))
    : typeof cell === "boolean" ? String(cell) : cut(plain(cell), LONGEST));
  const whole = (cell) => (typeof cell === "string" ? cell.split("\n").map(plain).join("\n") : String(cell ?? "nothing"));

  const rank = (cell) => (cell === null ? 3 : typeof cell === "string" ? 2 : typeof cell === "number" ? 1 : 0);
  function compare(a, b) {
    if (a === null || b === null) return (a === null) - (b === null);
    const size = rank(a) - rank(b) || (a < b ? -1 : a > b ? 1 : 0);
    return down ? -size : size;
  }

  // All that stands in a row, in small letters, made when something is first searched.
  function matches(at) {
    texts ??= data.rows.map((row) => row.map((cell) => (typeof cell === "string" ? cell : cell === null ? "" : String(cell))).join("\n").toLowerCase());
    return texts[at].includes(query);
  }

  function arrange() {
    order = data.rows.map((_, at) => at);
    if (query) order = order.filter(matches);
    if (by >= 0) order.sort((a, b) => compare(data.rows[a][by], data.rows[b][by]) || a - b);
    figures.textContent = query ? order.length.toLocaleString("en") + " of " + said : said;
    table.setAttribute("aria-rowcount", order.length + 1);
    active = [0, active[1]];
    scroll.scrollTop = 0;
    render(true);
  }

  const space = (rows) => {
    const cell = node("td", { className: "space", colSpan: data.columns.length + 1 });
    cell.style.height = rows * HEIGHT + "px";
    return node("tr", { ariaHidden: "true" }, cell);
  };

  function line(place) {
    const at = order[place];
    const row = node("tr", {}, node("th", { scope: "row", textContent: at }), ...data.rows[at].map((cell, column) => {
      const is_active = chosen && place === active[0] && column === active[1];
      return node("td", { id: "cell-" + place + "-" + column, className: (typeof cell === "number" ? "n" : "") + (is_active ? " on" : "") },
        node("bdi", { textContent: shown(cell) }));
    }));
    row.setAttribute("aria-rowindex", place + 2);
    for (const cell of row.cells) cell.setAttribute("role", cell.localName === "th" ? "rowheader" : "gridcell");
    return row;
  }

  // Only the rows that are seen, and some around them, stand in the page.
  function render(anew) {
    const top = Math.floor(scroll.scrollTop / HEIGHT), seen = scroll.clientHeight ? Math.ceil(scroll.clientHeight / HEIGHT) : AT_FIRST;
    const first = Math.max(top - BEYOND, 0), end = Math.min(top + seen + BEYOND, order.length);
    if (!anew && first === from && end === to) return;
    [from, to] = [first, end];
    const rows = [];
    if (first > 0) rows.push(space(first));
    for (let place = first; place < end; place++) rows.push(line(place));
    if (end < order.length) rows.push(space(order.length - end));
    body.replaceChildren(...rows);
    point();
  }

  function point() {
    const cell = chosen && body.querySelector("#cell-" + active[0] + "-" + active[1]);
    if (cell) table.setAttribute("aria-activedescendant", cell.id);
    else table.removeAttribute("aria-activedescendant");
  }

  function choose(row, column) {
    if (!order.length || !data.columns.length) return;
    body.querySelector("td.on")?.classList.remove("on");
    active = [Math.min(Math.max(row, 0), order.length - 1), Math.min(Math.max(column, 0), data.columns.length - 1)];
    chosen = true;
    // The names of the columns lie over the first row that is seen.
    const head = table.tHead.offsetHeight, top = active[0] * HEIGHT, bottom = top + HEIGHT + head;
    if (top < scroll.scrollTop) scroll.scrollTop = top;
    else if (bottom > scroll.scrollTop + scroll.clientHeight) scroll.scrollTop = bottom - scroll.clientHeight;
    render(false);
    const cell = body.querySelector("#cell-" + active[0] + "-" + active[1]);
    cell?.classList.add("on");
    const side = table.rows[0].cells[0].offsetWidth;
    if (cell && cell.offsetLeft - side < scroll.scrollLeft) scroll.scrollLeft = cell.offsetLeft - side;
    else if (cell && cell.offsetLeft + cell.offsetWidth > scroll.scrollLeft + scroll.clientWidth) scroll.scrollLeft = cell.offsetLeft + cell.offsetWidth - scroll.clientWidth;
    point();
    const at = order[active[0]];
    readout.replaceChildren(node("b", { textContent: plain(data.columns[active[1]]) }), " of row " + at + ": ",
      node("bdi", { textContent: whole(data.rows[at][active[1]]) }));
  }

  table.addEventListener("keydown", (event) => {
    if (event.target !== table || event.ctrlKey || event.metaKey || event.altKey) return;
    const page = Math.max(Math.floor(scroll.clientHeight / HEIGHT) - 2, 1), [row, column] = active;
    const moved = { ArrowUp: [row - 1, column], ArrowDown: [row + 1, column], ArrowLeft: [row, column - 1], ArrowRight: [row, column + 1],
      PageUp: [row - page, column], PageDown: [row + page, column], Home: [0, column], End: [Infinity, column], Enter: [row, column] }[event.key];
    if (!moved || event.shiftKey) return;
    if (chosen || event.key === "End") choose(...moved);
    else choose(row, column);
    event.preventDefault();
    event.stopPropagation(); // the notebook has its own meaning for these keys
  });
  table.addEventListener("click", (event) => {
    const [, row, column] = event.target.closest("td")?.id.split("-") ?? [];
    if (column !== undefined) choose(Number(row), Number(column));
  });
  let waiting = false;
  scroll.addEventListener("scroll", () => {
    if (!waiting) requestAnimationFrame(() => { waiting = false; render(false); });
    waiting = true;
  }, { passive: true });

  for (const [column, heading] of [...table.tHead.rows[0].cells].slice(1).entries()) {
    const button = node("button", { type: "button", title: "Sort" }, ...heading.childNodes);
    button.addEventListener("click", () => {
      // Up, down, as they were.
      if (by !== column) [by, down] = [column, false];
      else if (!down) down = true;
      else by = -1;
      for (const [other, each] of [...table.tHead.rows[0].cells].slice(1).entries()) {
        if (other === by) each.setAttribute("aria-sort", down ? "descending" : "ascending");
        else each.removeAttribute("aria-sort");
      }
      arrange();
    });
    heading.replaceChildren(button);
  }
  const search = node("input", { type: "search", placeholder: "Search", ariaLabel: "Search in all columns" });
  let typed;
  search.addEventListener("input", () => {
    clearTimeout(typed);
    typed = setTimeout(() => { query = search.value.toLowerCase(); arrange(); }, data.rows.length > 10000 ? 150 : 0);
  });
  search.addEventListener("keydown", (event) => event.stopPropagation());
  figures.setAttribute("role", "status");
  figures.after(search);

  table.tabIndex = 0;
  table.setAttribute("role", "grid");
  table.setAttribute("aria-colcount", data.columns.length + 1);
  table.setAttribute("aria-rowcount", order.length + 1);
  table.setAttribute("aria-label", "Table. Arrow keys move from cell to cell, the names of columns sort.");
  readout.setAttribute("role", "status");

  saveMenu(view, host, data, { csv: ["text/csv", () => csv([data.columns, ...order.map((at) => data.rows[at])])] });
  render(true);
});
