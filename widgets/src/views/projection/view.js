define("ecco-projection", "projection-1", (view, data, host) => {
  const svg = view.querySelector(".map > svg"), readout = view.querySelector(".readout");
  if (!svg) return void saveMenu(view, host, data);
  const label = labeller(view), x = unpack(data.x).values, y = unpack(data.y).values;
  const count = Math.min(x.length, y.length), most = Math.min(count, 5000);
  // The points that are drawn, as the picture without a script has them.
  const drawn = Array.from({ length: most }, (_, i) => Math.floor(i * count / most)).filter((at) => Number.isFinite(x[at]) && Number.isFinite(y[at]));
  const marks = [...svg.querySelectorAll(".points > g")], names = svg.querySelector(".names");
  for (const title of svg.querySelectorAll("title")) title.remove(); // the readout says more
  const place = marks.map(({ firstChild: mark }) => mark.localName === "circle" ? [mark.getAttribute("cx"), mark.getAttribute("cy")].map(Number) : mark.getAttribute("d").match(/-?[\d.]+/g).slice(0, 2).map(Number));
  const keys = [...view.querySelectorAll(".key")], of = { label: data.labels, cluster: data.clusters, text: data.texts };
  const name = (at) => label({ text: data.names[at] ?? "" });
  const put = (element, attributes) => Object.entries(attributes).forEach(([key, value]) => element.setAttribute(key, value));
  const ring = svg.appendChild(document.createElementNS(svg.namespaceURI, "circle"));
  put(ring, { class: "ring", r: 8, visibility: "hidden" });
  let way = 0, cursor = null, held = false, only = new Set(), query = "";

  const groupOf = (i) => keys.length ? of[keys[way].dataset.by][drawn[i]] : 0;
  const chips = (key) => [...key.querySelectorAll(":scope > span")];

  // Marks and colours are those of the legend.
  function paint() {
    const entries = keys.length ? chips(keys[way]) : [];
    marks.forEach((mark, i) => {
      const entry = entries[groupOf(i)], [cx, cy] = place[i];
      const shape = entry?.querySelector("svg > *").cloneNode(true) ?? document.createElementNS(svg.namespaceURI, "circle");
      if (shape.localName === "circle") put(shape, { cx, cy, r: 4 });
      else put(shape, { d: shape.getAttribute("d").replace(/^M[^a-z]*/, "M" + cx + " " + cy) });
      mark.setAttribute("fill", entry ? entry.style.getPropertyValue("--c") : keys.length ? "#8b949e" : mark.getAttribute("fill"));
      mark.replaceChildren(shape);
    });
  }

  function choose() {
    const low = query.toLowerCase();
    const is = (i) => (!only.size || only.has(groupOf(i))) && (!low || name(drawn[i]).toLowerCase().includes(low));
    marks.forEach((mark, i) => mark.classList.toggle("faint", !is(i)));
    names.classList.toggle("faded", only.size > 0 || low !== "");
    for (const key of keys) chips(key).forEach((chip, group) => { chip.ariaPressed = only.has(group) && !key.hidden; });
  }

  // The point, and what stands around it in its text.
  function tell(i) {
    cursor = i;
    ring.setAttribute("visibility", i === null ? "hidden" : "visible");
    if (i === null) return void readout.replaceChildren(rest);
    const [cx, cy] = place[i], at = drawn[i], text = data.texts[at], line = node("div");
    put(ring, { cx, cy });
    line.append(node("bdi", {}, node("b", { textContent: cut(name(at), 200) })));
    const say = (words) => line.append(" · ", node("bdi", { textContent: words }));
    if (data.labels.length && data.label_names[data.labels[at]] !== undefined) say(data.label_names[data.labels[at]]);
    if (data.clusters.length) say("cluster " + data.clusters[at]);
    if (data.texts.length) say("text " + text);
    const lines = [line];
    if (data.texts.length) {
      let from = at, to = at;
      while (from > 0 && data.texts[from - 1] === text && at - from < 8) from--;
      while (to + 1 < count && data.texts[to + 1] === text && to - at < 8) to++;
      const plain = (from, to) => data.names.slice(from, to).join("");
      if (from < to) lines.push(node("bdi", {}, plain(from, at), node("b", { textContent: data.names[at] }), plain(at + 1, to + 1)));
    }
    readout.replaceChildren(...lines);
  }
  const rest = node("span", { textContent: readout.textContent });

  function nearest(event) {
    const box = svg.getBoundingClientRect(), scale = svg.viewBox.baseVal.width / box.width;
    const [px, py] = [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
    let best = null, least = 14 * 14;
    place.forEach(([cx, cy], i) => {
      const distance = (cx - px) ** 2 + (cy - py) ** 2;
      if (distance < least && !marks[i].classList.contains("faint")) [best, least] = [i, distance];
    });
    return best;
  }
  const hold = (is) => { held = is; svg.classList.toggle("held", is); ring.setAttribute("stroke-dasharray", is ? "none" : "3 2"); };
  svg.addEventListener("pointermove", (event) => { if (!held && event.pointerType !== "touch") tell(nearest(event)); });
  svg.addEventListener("pointerleave", () => { if (!held && svg.getRootNode().activeElement !== svg) tell(null); });
  svg.addEventListener("click", (event) => {
    const i = nearest(event);
    hold(i !== null && !(held && i === cursor));
    tell(i);
  });
  svg.addEventListener("blur", () => { if (!held) tell(null); });
  // The next point towards a side: within a right angle around that way the nearest.
  function towards(i, dx, dy) {
    const [fx, fy] = place[i];
    let best = i, least = Infinity;
    place.forEach(([cx, cy], k) => {
      const along = (cx - fx) * dx + (cy - fy) * dy, aside = Math.abs((cx - fx) * dy) + Math.abs((cy - fy) * dx);
      if (along > 0 && aside <= along && along + aside < least && !marks[k].classList.contains("faint")) [best, least] = [k, along + aside];
    });
    return best;
  }
  svg.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (way) tell(cursor === null ? 0 : towards(cursor, ...way));
    else if (event.key === "Home") tell(0);
    else if (event.key === "End") tell(marks.length - 1);
    else if (event.key === "Enter" || event.key === " ") hold(!held && cursor !== null);
    else if (event.key === "Escape" && cursor !== null) { hold(false); tell(null); }
    else return;
    event.preventDefault();
    event.stopPropagation(); // the notebook has its own meaning for these keys
  });
  put(svg, { tabindex: "0", role: "group", "aria-label": "Points. Arrow keys walk to the next one towards a side, Enter holds it, Escape releases it." });

  for (const key of keys) chips(key).forEach((chip, group) => {
    const toggle = () => { if (!only.delete(group)) only.add(group); choose(); };
    put(chip, { role: "button", tabindex: "0", "aria-pressed": "false", title: "These alone" });
    chip.addEventListener("click", toggle);
    chip.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      toggle();
      event.preventDefault();
      event.stopPropagation();
    });
  });
  const find = node("input", { type: "search", placeholder: "find", ariaLabel: "find points by name", oninput: () => { query = find.value.trim(); choose(); } });
  find.addEventListener("keydown", (event) => event.stopPropagation());
  const tools = node("span", { className: "tools" });
  if (keys.length > 1) tools.append(ways("colour by", keys.map((key) => key.dataset.by), (i) => {
    keys.forEach((key, k) => { key.hidden = k !== i; });
    way = i;
    only = new Set();
    paint();
    choose();
  }));
  tools.append(find);
  view.querySelector(".head").append(tools);
  hold(false);

  const rows = () => csv([["name", "text", "label", "cluster", "x", "y"], ...Array.from({ length: count }, (_, at) =>
    [data.names[at], data.texts[at], data.label_names[data.labels[at]], data.clusters[at], x[at], y[at]])]);
  saveMenu(view, host, data, { csv: ["text/csv", rows] });
});
