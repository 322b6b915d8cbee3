define("ecco-comparison", "comparison-4", (view, data, host) => {
  const chips = [...view.querySelectorAll(".targets > span")];
  const lines = [...view.querySelectorAll(".strips > .line:not(.names)")];
  // A strip has as many cells as the longest target needs; those behind its own target are hidden.
  const most = Number(lines[0]?.querySelector(".cells").style.getPropertyValue("--n"));
  const strips = lines.map((line) => {
    const strip = line.querySelector(".cells");
    while (strip.children.length < most) strip.append(node("i"));
    return [...strip.children];
  });
  const of = view.querySelector(".shown"), names = [...view.querySelectorAll(".names .cells > i")];
  if (!chips.length || !strips.length) return;
  let shown = 0, column = -1;
  const row = (m, k = shown) => unpack(data.methods[m].scores[k] ?? []);
  const labels = data.tokens.map(labeller(view)), n_cells = strips[0].length;
  const n_sources = Math.min(Math.max(...data.methods.flatMap((_, m) => data.methods[m].scores.map((_, k) => row(m, k).values.length))), labels.length);
  const number = (m, value) => (data.methods[m].scale === "signed" ? signed : share)(value);
  const isPooled = n_cells < n_sources;

  // A target on one line: `·Denmark rather than ·Iceland at 12`.
  const line = (chip) => [...chip.querySelectorAll(":scope > bdi")].map((name) => cut(name.textContent, 24)).join(" rather than ")
    + [...chip.querySelectorAll(":scope > small")].map((place) => " at " + place.textContent).join("");
  // The strongest of the tokens that a cell stands for.
  function strength(m, cell) {
    const { values, peak } = row(m);
    const from = Math.ceil(cell * n_sources / n_cells), to = Math.ceil((cell + 1) * n_sources / n_cells);
    let most = 0;
    for (let i = from; i < Math.min(to, values.length); i++) if (Math.abs(values[i]) > Math.abs(most)) most = values[i];
    return peak > 0 ? (data.methods[m].scale === "signed" ? most : Math.abs(most)) / peak : 0;
  }
  function show(k) {
    if (shown !== k) chips[shown].classList.remove("on");
    chips[k].classList.add("on");
    shown = k;
    if (of) of.textContent = line(chips[k]);
    const most = Math.max(...data.methods.map((_, m) => row(m).values.length));
    names.forEach((name, i) => { name.style.visibility = i < most ? "" : "hidden"; });
    strips.forEach((cells, m) => {
      const end = Math.ceil(row(m).values.length * n_cells / n_sources);
      cells.forEach((cell, i) => {
        cell.style.setProperty("--s", strength(m, i).toFixed(3));
        cell.style.visibility = i < end ? "" : "hidden";
      });
    });
    point(column);
  }
  // Lines keep their height, so that nothing moves under the pointer.
  function point(i) {
    for (const element of view.querySelectorAll(".cells > .at")) element.classList.remove("at");
    column = i;
    for (const cells of [...strips, names]) cells[i]?.classList.add("at");
    const token = isPooled ? Math.ceil(i * n_sources / n_cells) : i;
    const last = Math.ceil((i + 1) * n_sources / n_cells) - 1;
    const name = isPooled ? "tokens " + token + " to " + last : cut(labels[token] ?? "", 24) + lower(token);
    lines.forEach((line, m) => {
      const { values, peak } = row(m);
      const value = isPooled ? strength(m, i) * peak : values[token];
      const top = strongest(values, 3).filter((i) => i < labels.length);
      line.classList.toggle("pointed", i >= 0);
      line.querySelector("small").textContent = i < 0 ? top.map((i) => cut(labels[i], 24) + lower(i) + " " + number(m, values[i])).join(", ")
        : name + " " + (token < values.length ? number(m, value) : "comes after the target");
    });
  }

  for (const cells of [...strips, names]) {
    const part = cells[0]?.parentNode;
    part?.addEventListener("pointerover", (event) => {
      const i = cells.indexOf(event.target.closest(".cells > i"));
      if (i >= 0) point(i);
    });
    part?.addEventListener("pointerleave", () => point(-1));
  }
  for (const line of lines) line.querySelector("small").setAttribute("role", "status");
  // The arrow keys walk along the tokens of a strip that has the focus.
  lines.forEach((line, m) => {
    const part = line.querySelector(".cells");
    part.tabIndex = 0;
    part.setAttribute("aria-label", data.methods[m].method + ": arrow keys read the numbers token by token");
    part.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && column >= 0) point(-1);
      else {
        const to = step(event, Math.max(column, 0), n_cells);
        if (to < 0) return;
        point(to);
      }
      event.preventDefault();
      event.stopPropagation();
    });
  });
  chooser(chips, { label: "Targets. Arrow keys choose one,", show });
  sortable(view.querySelector("table"));

  // Rows in the order of any column, the largest first, and turned round by another click.
  function sortable(table) {
    const [first, ...rest] = table.tBodies[0].rows, value = (line, column) => parseFloat(line.cells[column].textContent.replace("−", "-").replaceAll(",", ""));
    [...first.cells].slice(1).forEach((heading, i) => heading.replaceChildren(node("button", { type: "button", textContent: heading.textContent, onclick: () => {
      const way = heading.ariaSort === "descending" ? 1 : -1;
      for (const other of first.cells) other.removeAttribute("aria-sort");
      heading.setAttribute("aria-sort", way < 0 ? "descending" : "ascending");
      // What has no number stands last.
      rest.sort((a, b) => { const [x, y] = [value(a, i + 1), value(b, i + 1)]; return Number.isNaN(x) - Number.isNaN(y) || way * (x - y) || 0; });
      table.tBodies[0].append(...rest);
    } })));
  }
  const all = () => csv([["method", "target", "position", "token", "score"], ...data.methods.flatMap(({ method }, m) => chips.flatMap((chip, k) =>
    Array.from(row(m, k).values, (value, i) => [method, line(chip), i, labels[i], decimal(value)])))]);
  saveMenu(view, host, data, { csv: ["text/csv", all] });
});
