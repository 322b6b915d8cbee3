define("ecco-attention", "attention-2", (view, data, host) => {
  const spans = (flow) => [...flow.children].filter((child) => child.localName === "span");
  const keyFlow = view.querySelector(".keys"), queryFlow = view.querySelector(".queries") ?? keyFlow;
  const keys = spans(keyFlow), queries = queryFlow === keyFlow ? keys : spans(queryFlow);
  const keyAt = new Map(keys.map((box, i) => [box, i]));
  const readout = view.querySelector(".readout"), first = data.first_query, last = queries.length - 1;
  if (!readout || !data.patterns.length || last < first) return;
  for (const box of keys) box.removeAttribute("style"); // inline colours are for pages without styles

  const packed = new Map(data.patterns.map(({ layer, head, weights }) => [layer + "." + head, weights]));
  const weights = (layer, head) => unpack(packed.get(layer + "." + head)).values;
  const start = (q) => data.causal ? (q * (q + 1) - first * (first + 1)) / 2 : (q - first) * keys.length;
  const headsOf = (layer) => [...Array(data.n_heads).keys()].filter((head) => packed.has(layer + "." + head));
  const has = (layer, head) => head === null ? headsOf(layer).length === data.n_heads : packed.has(layer + "." + head);
  // What a query looks at, by key; of the mean of a layer's heads where the head is null.
  function row(layer, head, q) {
    const heads = head === null ? headsOf(layer) : [head];
    const rows = heads.map((head) => weights(layer, head).subarray(start(q), start(q + 1)));
    return Float64Array.from(rows[0], (_, i) => rows.reduce((sum, row) => sum + row[i], 0) / rows.length);
  }

  const ends = view.querySelector(".legend .peak");
  let { layer, head } = data, shown = last, values = [], peak = 0;
  const painted = new Array(keys.length).fill("");
  const repaint = painter(keys, (i) => {
    const strength = Number.isFinite(values[i]) && values[i] && peak > 0 ? (values[i] / peak).toFixed(3) : "";
    if (painted[i] === strength) return;
    painted[i] = strength;
    if (strength) keys[i].style.setProperty("--s", strength);
    else keys[i].style.removeProperty("--s");
  });

  // The place that is held, and the head that was chosen.
  let position, chosen;
  const tell = () => hold(host, position === undefined && !chosen ? null : { position, part: chosen && { entries: [{ layer, head }], name: "L" + layer + " h" + head } });
  const choose = () => {
    chosen = head !== null;
    show(shown);
    tell();
  };

  const looks = (q) => node("span", {}, ...named(queries[q]), " looks at");
  function describe(q) {
    const top = [...values.keys()].filter((i) => values[i] >= 0.0005).sort((a, b) => values[b] - values[a] || a - b).slice(0, 6);
    readout.replaceChildren(looks(q), " ", ...top.flatMap((i) => [node("span", {}, ...named(keys[i]), " " + share(values[i])), " "]));
  }
  function describePair(i) {
    if (values[i] === undefined) return describe(shown);
    readout.replaceChildren(looks(shown), " ", node("span", {}, ...named(keys[i]), " ", node("bdi", { textContent: Number.isFinite(values[i]) ? (values[i] * 100).toFixed(2) + "%" : "no number" })));
  }

  function show(q) {
    for (const box of queryFlow.querySelectorAll(":scope > .on")) box.classList.remove("on");
    queries[q].classList.add("on");
    shown = q;
    layers.value = layer;
    heads.value = head ?? "mean";
    place();
    if (!has(layer, head)) {
      values = [];
      repaint();
      return void readout.replaceChildren("L" + layer + (head === null ? "" : " h" + head) + " is not here in full" + (data.hint ? ": " + data.hint : ""));
    }
    values = row(layer, head, q);
    peak = Math.max(...values);
    ends.textContent = share(peak);
    repaint();
    describe(q);
  }

  // The map: one picture, in which a place is a head.
  const image = view.querySelector("img.map"), mark = node("span", {});
  const pick = node("div", { className: "pick", tabIndex: 0 });
  image.replaceWith(pick);
  pick.append(image, mark);
  function place() {
    mark.style.cssText = "top:" + (100 * layer) / data.n_layers + "%;height:" + 100 / data.n_layers + "%;left:" +
      (head === null ? 0 : (100 * head) / data.n_heads) + "%;width:" + (head === null ? 100 : 100 / data.n_heads) + "%";
  }
  const headAt = (event) => {
    const frame = image.getBoundingClientRect(), within = (x, n) => Math.min(Math.max(Math.floor(x * n), 0), n - 1);
    return [within((event.clientY - frame.top) / frame.height, data.n_layers), within((event.clientX - frame.left) / frame.width, data.n_heads)];
  };
  pick.addEventListener("click", (event) => { [layer, head] = headAt(event); choose(); });
  pick.addEventListener("pointermove", (event) => { const [l, h] = headAt(event); pick.title = "L" + l + " h" + h; });
  pick.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const moves = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    if (!moves) return;
    layer = Math.min(Math.max(layer + moves[0], 0), data.n_layers - 1);
    if (moves[1]) head = Math.min(Math.max((head ?? (moves[1] > 0 ? -1 : data.n_heads)) + moves[1], 0), data.n_heads - 1);
    choose();
    event.preventDefault();
    event.stopPropagation();
  });
  pick.setAttribute("role", "group");
  pick.setAttribute("aria-label", "Map of heads: layers down, heads across. Arrow keys choose a head.");

  const options = (n) => [...Array(n).keys()].map((i) => node("option", { value: i, textContent: i }));
  const layers = node("select", {}, ...options(data.n_layers));
  const heads = node("select", {}, node("option", { value: "mean", textContent: "mean" }), ...options(data.n_heads));
  layers.setAttribute("aria-label", "layer");
  heads.setAttribute("aria-label", "head");
  layers.onchange = () => { layer = +layers.value; choose(); };
  heads.onchange = () => { head = heads.value === "mean" ? null : +heads.value; choose(); };
  for (const select of [layers, heads]) select.addEventListener("keydown", (event) => event.stopPropagation());
  view.querySelector(".which").replaceChildren("layer ", layers, " head ", heads);

  if (keyFlow !== queryFlow) {
    keyFlow.addEventListener("pointerover", (event) => {
      const i = keyAt.get(event.target.closest(".flow>span"));
      if (i !== undefined) describePair(i);
    });
    keyFlow.addEventListener("pointerleave", () => show(shown));
  }
  readout.setAttribute("role", "status");
  chooser(queries.slice(first), {
    first: last - first,
    label: "Tokens. Arrow keys choose the one that looks,",
    show: (k) => show(first + k),
    point: (box) => queryFlow === keyFlow && keyAt.has(box) && describePair(keyAt.get(box)),
    holds: (k) => { position = k === null ? undefined : first + k; tell(); },
  });
  saveMenu(view, host, data);
});
