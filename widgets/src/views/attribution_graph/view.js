define("ecco-attribution-graph", "attribution-graph-1", (view, data, host) => {
  const svg = view.querySelector(".graph > svg"), readout = view.querySelector(".readout");
  if (!svg) return void saveMenu(view, host, data);
  const { nodes, edges } = data, label = labeller(view), count = nodes.length;
  const boxes = [...svg.querySelectorAll(".node")], layer = svg.querySelector(".edges");
  const place = boxes.map((box) => box.getAttribute("transform").match(/-?[\d.]+/g).join(" "));
  const into = nodes.map(() => []), out = nodes.map(() => []), size = nodes.map((node) => Math.abs(node.others) || 0);
  edges.forEach((edge) => {
    if (!into[edge.to] || !out[edge.from]) return;
    into[edge.to].push(edge);
    out[edge.from].push(edge);
    size[edge.to] += Math.abs(edge.weight);
  });
  // The share of the answer that goes along an edge.
  const through = (edge) => nodes[edge.to].influence * Math.abs(edge.weight) / size[edge.to] || 0;
  const main = [...edges].filter((edge) => into[edge.to] && out[edge.from]).sort((a, b) => through(b) - through(a)), peak = main.length ? through(main[0]) : 1;
  const rank = new Map([...nodes.keys()].sort((a, b) => nodes[b].influence - nodes[a].influence).map((at, k) => [at, k]));
  const is_end = (at) => nodes[at].kind === "token" || nodes[at].kind === "answer";
  // A token that stands in the text twice is told by its position.
  const texts = data.tokens.map((one) => label(one)), twice = texts.map((text) => texts.indexOf(text) !== texts.lastIndexOf(text));
  const token = (position) => position in texts ? texts[position] + (twice[position] ? lower(position) : "") : "";
  const name = (at) => nodes[at].label ?? (nodes[at].kind === "token" ? token(nodes[at].position) : nodes[at].name);
  const where = (at) => is_end(at) ? "" : " at " + token(nodes[at].position);
  const pinned = new Set(), groups = data.groups ?? [];
  let n_nodes = Math.min(80, count), n_edges = Math.min(150, main.length), held = null, group = null, query = "", only = false;

  const shown = (at) => is_end(at) || (only ? pinned.has(at) : rank.get(at) < n_nodes);
  const chosen = (at) => group !== null ? new Set(groups[group].nodes) : at === null ? null : new Set([at]);

  function draw(at) {
    const of = chosen(at);
    const some = of ? edges.filter(({ from, to }) => of.has(from) !== of.has(to) && (of.has(from) || of.has(to))) : main.slice(0, n_edges);
    const most = of ? Math.max(...some.map((edge) => Math.abs(edge.weight) / size[edge.to]), 1e-30) : peak;
    const near = new Set(of ?? []);
    const paths = some.filter(({ from, to }) => shown(from) && shown(to)).map((edge) => {
      near.add(edge.from).add(edge.to);
      const path = document.createElementNS(svg.namespaceURI, "path"), share = (of ? Math.abs(edge.weight) / size[edge.to] : through(edge)) / most;
      path.setAttribute("class", edge.weight < 0 ? "less" : "more");
      path.setAttribute("d", "M" + place[edge.from] + "L" + place[edge.to]);
      path.setAttribute("stroke-width", (0.5 + 3 * Math.sqrt(Math.min(share || 0, 1))).toFixed(1));
      return path;
    });
    layer.replaceChildren(...paths.toReversed());
    boxes.forEach((box, i) => {
      box.classList.toggle("gone", !shown(i));
      box.classList.toggle("faint", of !== null && !near.has(i));
      box.classList.toggle("at", of !== null && of.has(i));
      box.classList.toggle("pinned", pinned.has(i));
      box.classList.toggle("found", query !== "" && matches(i));
    });
  }

  const words = nodes.map((one) => [one.label, one.name, ...(one.promotes ?? []), ...(one.suppresses ?? [])].join(" ").toLowerCase());
  const matches = (at) => words[at].includes(query) || (!is_end(at) && token(nodes[at].position).toLowerCase().includes(query));

  const entry = (at, weight) => node("li", {}, node("button", { type: "button", title: name(at) + where(at), onclick: () => hold(at) }, node("bdi", { textContent: name(at) }), where(at)), node("span", { textContent: signed(weight) }));
  const plain = (text, weight) => node("li", {}, node("span", { textContent: text }), node("span", { textContent: signed(weight) }));
  function list(title, entries, more) {
    const all = node("ol", {}, node("li", {}, node("b", { textContent: title })), ...entries.slice(0, 8));
    if (entries.length > 8) all.append(node("li", { textContent: "and " + (entries.length - 8) + " more" }));
    all.append(...more);
    return all;
  }
  const sorted = (some) => [...some].sort((a, b) => Math.abs(b.weight) - Math.abs(a.weight));

  function tell(at) {
    if (group !== null) return void tellGroup(groups[group]);
    if (at === null) return void readout.replaceChildren(rest);
    const one = nodes[at], line = node("div", {}, node("bdi", {}, node("b", { textContent: name(at) })), where(at));
    const say = (text) => line.append(" · " + text);
    if (one.label && one.kind !== "token") say(one.name);
    if (one.kind === "neuron" || one.kind === "feature") say("activation " + short(one.value));
    if (one.kind !== "answer") say("score " + signed(one.score));
    if (one.measured !== null && one.measured !== undefined) say("without it the answer changes by " + signed(-one.measured));
    if (one.kind !== "answer") say(fineShare(one.influence) + " of the answer goes through it");
    const lines = [line];
    for (const [what, list] of [["promotes", one.promotes], ["suppresses", one.suppresses]]) if (list?.length) lines.push(node("div", {}, what + " ", node("bdi", { textContent: list.map((text) => label({ text })).join("  ") })));
    if (one.kind !== "token") {
      const rests = [["other parts", one.others], ["biases and positions", one.constant]].filter(([, weight]) => weight).map(([text, weight]) => plain(text, weight));
      lines.push(node("div", { className: "detail" }, list("comes from", sorted(into[at]).map(({ from, weight }) => entry(from, weight)), rests), list("goes to", sorted(out[at]).map(({ to, weight }) => entry(to, weight)), [])));
    } else lines.push(node("div", { className: "detail" }, list("goes to", sorted(out[at]).map(({ to, weight }) => entry(to, weight)), [])));
    readout.replaceChildren(...lines);
  }

  function tellGroup({ name, nodes: members }) {
    const of = new Set(members), sum = new Map();
    const add = (key, at, weight) => { const map = sum.get(key) ?? sum.set(key, new Map()).get(key); map.set(at, (map.get(at) ?? 0) + weight); };
    for (const { from, to, weight } of edges) {
      if (of.has(to) && !of.has(from)) add("comes from", from, weight);
      if (of.has(from) && !of.has(to)) add("goes to", to, weight);
    }
    const total = members.reduce((total, at) => total + (nodes[at]?.score ?? 0), 0);
    const side = (key) => list(key, [...(sum.get(key) ?? [])].sort((a, b) => Math.abs(b[1]) - Math.abs(a[1])).map(([at, weight]) => entry(at, weight)), []);
    readout.replaceChildren(node("div", {}, node("bdi", {}, node("b", { textContent: name })), " · " + members.length + " nodes · scores " + signed(total)), node("div", { className: "detail" }, side("comes from"), side("goes to")));
  }

  const rest = readout.textContent;
  function update(at = held) {
    draw(at);
    tell(at);
  }
  function hold(at) {
    held = at;
    group = null;
    chips();
    pin.disabled = at === null;
    pin.textContent = at !== null && pinned.has(at) ? "unpin" : "pin";
    boxes.forEach((box, i) => { box.tabIndex = i === (at ?? count - 1) ? 0 : -1; box.setAttribute("aria-pressed", i === at); });
    update();
  }

  boxes.forEach((box, i) => {
    box.setAttribute("role", "button");
    box.setAttribute("aria-label", name(i) + where(i));
    box.addEventListener("pointerenter", (event) => { if (event.pointerType !== "touch" && held === null && group === null) update(i); });
    box.addEventListener("pointerleave", () => { if (held === null && group === null) update(null); });
    box.addEventListener("click", () => hold(held === i ? null : i));
    box.addEventListener("focus", () => { if (held === null && group === null) update(i); });
    box.addEventListener("blur", () => { if (held === null && group === null) update(null); });
    box.addEventListener("keydown", (event) => {
      // Up and down follow the strongest way, left and right go to the next of the same height.
      const row = [...nodes.keys()].filter((at) => nodes[at].row === nodes[i].row && shown(at)).sort((a, b) => place[a].split(" ")[0] - place[b].split(" ")[0]), k = row.indexOf(i);
      const to = { ArrowUp: sorted(out[i]).find((edge) => shown(edge.to))?.to, ArrowDown: sorted(into[i]).find((edge) => shown(edge.from))?.from, ArrowLeft: row[k - 1], ArrowRight: row[k + 1] }[event.key];
      if (to !== undefined) { if (held !== null) hold(to); boxes[i].tabIndex = -1; boxes[to].tabIndex = 0; boxes[to].focus(); }
      else if (event.key === "Enter" || event.key === " ") hold(held === i ? null : i);
      else if (event.key === "p") toggle(i);
      else if (event.key === "Escape") hold(null);
      else return;
      event.preventDefault();
      event.stopPropagation();
    });
  });

  function toggle(at) {
    if (at === null) return;
    if (!pinned.delete(at)) pinned.add(at);
    only = only && pinned.size > 0;
    pins.setAttribute("aria-pressed", only);
    pin.textContent = pinned.has(at) ? "unpin" : "pin";
    update();
  }
  const slider = (text, max, value, change) => {
    const input = node("input", { type: "range", min: 0, max, value, oninput: () => change(Number(input.value)) });
    return node("label", {}, text, input);
  };
  const button = (textContent, onclick) => node("button", { type: "button", textContent, onclick });
  const search = node("input", { type: "search", placeholder: "find", ariaLabel: "find nodes by name, token or what they promote", oninput: () => { query = search.value.trim().toLowerCase(); update(); } });
  const pin = button("pin", () => toggle(held)), pins = button("pinned only", () => { only = !only && pinned.size > 0; pins.setAttribute("aria-pressed", only); update(); });
  pins.setAttribute("aria-pressed", false);
  const naming = node("input", { type: "text", placeholder: "name the pinned", ariaLabel: "a name for the pinned nodes together", maxLength: 60, onkeydown: (event) => {
    event.stopPropagation();
    if (event.key !== "Enter" || !naming.value.trim() || !pinned.size) return;
    data.groups = groups;
    groups.push({ name: naming.value.trim(), nodes: [...pinned] });
    naming.value = "";
    pinned.clear();
    chips();
    update();
  } });
  const places = node("div", { className: "groups" });
  function chips() {
    places.replaceChildren(...groups.map((one, k) => {
      const chip = button(one.name, () => { held = null; group = group === k ? null : k; chips(); update(); });
      chip.setAttribute("aria-pressed", group === k);
      return chip;
    }));
  }
  let zoom = 1;
  const [width, height] = ["width", "height"].map((side) => Number(svg.getAttribute(side)));
  const scale = (by) => {
    zoom = Math.min(Math.max(zoom * by, 0.4), 3);
    svg.setAttribute("width", width * zoom);
    svg.setAttribute("height", height * zoom);
  };
  const parts = nodes.filter((_, at) => !is_end(at)).length;
  view.querySelector(".graph").before(node("div", { className: "tools" }, search,
    slider("nodes", count, n_nodes, (n) => { n_nodes = n; update(); }), slider("edges", main.length, n_edges, (n) => { n_edges = n; update(); }),
    node("span", {}, button("−", () => scale(0.8)), " ", button("+", () => scale(1.25))), pin, pins, ...(parts ? [naming] : [])), places);
  const rows = () => csv([["from", "to", "weight"], ...edges.map(({ from, to, weight }) => [name(from) + where(from), name(to) + where(to), weight])]);
  saveMenu(view, host, data, { csv: ["text/csv", rows] });
  hold(null);
  scrollTo_answer();
  function scrollTo_answer() {
    const graph = view.querySelector(".graph"), layers = [...svg.querySelectorAll(".rows text")];
    // Layers' names stay at the left of what is seen, above the edges.
    const names = document.createElementNS(svg.namespaceURI, "g");
    names.setAttribute("class", "rows");
    names.append(...layers);
    svg.append(names);
    graph.addEventListener("scroll", () => { for (const text of layers) text.setAttribute("transform", `translate(${Math.round(graph.scrollLeft / zoom)} 0)`); }, { passive: true });
    requestAnimationFrame(() => { graph.scrollLeft = graph.scrollWidth; });
  }
});
