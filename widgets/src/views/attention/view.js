define("ecco-attention", "attention-3", (view, data, host) => {
  const spans = (flow) => [...flow.children].filter((child) => child.localName === "span");
  const keyFlow = view.querySelector(".keys"), queryFlow = view.querySelector(".queries") ?? keyFlow;
  const keys = spans(keyFlow), queries = queryFlow === keyFlow ? keys : spans(queryFlow);
  const readout = view.querySelector(".readout"), first = data.first_query, last = queries.length - 1;
  if (!readout || !data.patterns.length || last < first) return;
  for (const box of keys) box.removeAttribute("style"); // inline colours are for pages without styles
  const isOne = keyFlow === queryFlow, boxes = isOne ? keys : [...keys, ...queries], nChoices = last - first + 1;

  const packed = new Map(data.patterns.map(({ layer, head, weights }) => [layer + "." + head, weights]));
  const weights = (layer, head) => unpack(packed.get(layer + "." + head)).values;
  const start = (q) => data.causal ? (q * (q + 1) - first * (first + 1)) / 2 : (q - first) * keys.length;
  const headsOf = (layer) => [...Array(data.n_heads).keys()].filter((head) => packed.has(layer + "." + head));
  const has = (layer, head) => head === null ? headsOf(layer).length === data.n_heads : packed.has(layer + "." + head);
  const rowOf = (layer, head, q) => weights(layer, head).subarray(start(q), start(q + 1));
  const isThere = () => more.length ? true : has(layer, head);
  // The heads that are chosen; rows of each of them, or of the mean of a layer's heads where none is.
  const picked = () => more.length ? more : head === null ? headsOf(layer).map((head) => [layer, head]) : [[layer, head]];
  // What a query looks at, by key, in the mean of the chosen heads.
  function row(q) {
    const rows = picked().map(([layer, head]) => rowOf(layer, head, q));
    return rows.length === 1 ? rows[0] : Float64Array.from(rows[0], (_, i) => rows.reduce((sum, row) => sum + row[i], 0) / rows.length);
  }

  const ends = view.querySelector(".legend .peak");
  let { layer, head } = data, shown = nChoices - 1, values = [], peak = 0;
  // Several heads to look at side by side, in the matrix by their hues. Whether what looks at a token is shown, of texts that look at
  // themselves; of two texts the one that is chosen says that.
  let more = [], isBackwards = false;
  const isKey = (k) => k >= nChoices || isBackwards, placeOf = (k) => k >= nChoices ? k - nChoices : first + k;
  const painted = new Array(boxes.length).fill("");
  const repaint = painter(boxes, (i) => {
    const strength = Number.isFinite(values[i]) && values[i] && peak > 0 ? (values[i] / peak).toFixed(3) : "";
    if (painted[i] === strength) return;
    painted[i] = strength;
    if (strength) boxes[i].style.setProperty("--s", strength);
    else boxes[i].style.removeProperty("--s");
  }), overview = longText(view, keys, (i) => values[i] / peak);

  // The place that is held, and the head that was chosen.
  let position, chosen;
  const tell = () => hold(host, position === undefined && !chosen ? null : { position, part: chosen && { entries: [{ layer, head }], name: "L" + layer + " h" + head } });
  function again() {
    show(shown);
    if (table) peakOf(table.fill());
  }
  function choose() {
    chosen = head !== null;
    if (isMany && head !== null && has(layer, head)) {
      const at = more.findIndex(([l, h]) => l === layer && h === head);
      if (at >= 0) more.splice(at, 1);
      else more.push([layer, head]);
      if (more.length > HUES.length) more.shift();
    } else more = [];
    name();
    again();
    tell();
  }

  const asks = (k) => (isKey(k) ? keys : queries)[placeOf(k)];
  function describe(k) {
    const at = values.map((value, i) => [value, i]).filter(([value]) => value >= 0.0005).sort((a, b) => b[0] - a[0] || a[1] - b[1]).slice(0, 6);
    readout.replaceChildren(node("span", {}, ...named(asks(k)), isKey(k) ? " is looked at by" : " looks at"), " ",
      ...at.flatMap(([value, i]) => [node("span", {}, ...named(boxes[i]), " " + share(value)), " "]), ...(isKey(k) && !at.length ? ["nothing here"] : []));
  }
  function describePair(q, k) {
    const there = q >= first ? row(q) : [], weight = there[k];
    readout.replaceChildren(node("span", {}, ...named(queries[q]), " looks at"), " ", node("span", {}, ...named(keys[k]), " ",
      node("bdi", { textContent: k >= there.length ? "not: it comes later" : Number.isFinite(weight) ? (weight * 100).toFixed(2) + "%" : "no number" })),
    ...(more.length > 1 && k < there.length ? more.flatMap(([l, h]) => [" ", node("span", {}, "L" + l + " h" + h + " " + share(rowOf(l, h, q)[k]))]) : []));
  }
  // Of the token that is shown and a box.
  function describeBox(i) {
    const at = placeOf(shown);
    if (!isThere()) return;
    if (!isKey(shown) && i < keys.length) describePair(at, i);
    else if (isKey(shown) && (isOne ? i >= first : i >= keys.length)) describePair(isOne ? i : i - keys.length, at);
  }

  const peakOf = (peak) => { ends.textContent = share(peak); };
  function show(k) {
    for (const box of boxes) box.classList.remove("on");
    asks(k).classList.add("on");
    shown = k;
    layers.value = layer;
    heads.value = head ?? "mean";
    place();
    values = [];
    if (!isThere()) {
      repaint();
      return void readout.replaceChildren("L" + layer + (head === null ? "" : " h" + head) + " is not here in full" + (data.hint ? ": " + data.hint : ""));
    }
    if (isKey(k)) for (let q = first; q <= last; q++) values[isOne ? q : keys.length + q] = row(q)[placeOf(k)] ?? 0;
    else values = [...row(placeOf(k))];
    peak = values.reduce((peak, value) => Math.max(peak, value || 0), 0);
    if (!table) peakOf(peak);
    repaint();
    overview();
    describe(k);
  }

  // The map: one picture, in which a place is a head.
  const image = view.querySelector("img.map"), mark = node("span", {}), scale = shades(view, view.querySelector(".head"));
  const pick = node("div", { className: "pick", tabIndex: 0 });
  image.replaceWith(pick);
  pick.append(image, mark);
  // The picture's points are opacities of one hue, for pages without scripts; here they have the colours of the scale.
  const canvas = node("canvas", { className: "map", ariaLabel: image.alt });
  canvas.setAttribute("role", "img");
  function colourMap() {
    const { naturalWidth: width, naturalHeight: height } = image;
    if (!width || !pick.isConnected) return;
    Object.assign(canvas, { width, height });
    const pen = canvas.getContext("2d", { willReadFrequently: true }), colour = scale();
    for (let i = 0; i < 256; i++) {
      pen.fillStyle = colour(i / 255);
      pen.clearRect(0, 0, 1, 1);
      pen.fillRect(0, 0, 1, 1);
      colours.set(pen.getImageData(0, 0, 1, 1).data, 4 * i);
    }
    pen.clearRect(0, 0, width, height);
    pen.drawImage(image, 0, 0);
    const pixels = pen.getImageData(0, 0, width, height), across = (width - 1) / data.n_heads, down = (height - 1) / data.n_layers;
    for (let i = 0; i < width * height; i++) {
      const isBetween = i % width % across === 0 || Math.floor(i / width) % down === 0, step = 4 * pixels.data[4 * i + 3];
      pixels.data.set(isBetween ? [0, 0, 0, 0] : colours.subarray(step, step + 4), 4 * i);
    }
    pen.putImageData(pixels, 0, 0);
    if (image.parentNode) image.replaceWith(canvas);
  }
  const colours = new Uint8ClampedArray(4 * 256);
  image.decode().then(() => requestAnimationFrame(colourMap));
  view.addEventListener("pointerenter", colourMap);
  const around = ["beforeprint", "afterprint"], repainted = () => {
    if (pick.isConnected) colourMap();
    else for (const type of around) removeEventListener(type, repainted);
  };
  for (const type of around) addEventListener(type, repainted);
  function place() {
    mark.style.cssText = "top:" + (100 * layer) / data.n_layers + "%;height:" + 100 / data.n_layers + "%;left:" +
      (head === null ? 0 : (100 * head) / data.n_heads) + "%;width:" + (head === null ? 100 : 100 / data.n_heads) + "%";
  }
  const headAt = (event) => {
    const frame = pick.getBoundingClientRect(), within = (x, n) => Math.min(Math.max(Math.floor(x * n), 0), n - 1);
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

  // Beneath the map: what is picked, and heads in the order of a score.
  const names = node("div", { className: "picked" });
  function name() {
    names.replaceChildren(...more.map(([l, h], i) => {
      const button = node("button", { type: "button", textContent: "L" + l + " h" + h, title: "Leave out", onclick: () => { [layer, head] = [l, h]; choose(); } });
      button.style.setProperty("--hue", rgb(hue(i)));
      return button;
    }));
  }
  let isMany = false;
  const many = ways("Heads", ["one head", "several"], (i) => {
    isMany = i === 1;
    more = [];
    view.classList.toggle("several", isMany);
    choose();
  });
  const all = data.patterns.map(({ layer, head }) => [layer, head]);
  const found = node("div", { className: "found" }), by = node("select", { ariaLabel: "score" },
    ...Object.keys(FINDS).filter((name) => isOne && data.causal || OF_ANY.includes(name)).map((name) => node("option", { value: name, textContent: name, title: FINDS[name] })));
  const ids = isOne ? data.keys.map(({ id }) => id) : null;
  function find() {
    const chosen = isKey(shown) || isOne ? placeOf(shown) : 0;
    const where = places(by.value, first, last + 1, ids, chosen);
    const scored = all.map(([l, h]) => [scoreOf(by.value, (q) => rowOf(l, h, q), where), l, h]).filter(([score]) => Number.isFinite(score));
    scored.sort((a, b) => b[0] - a[0] || a[1] - b[1] || a[2] - b[2]);
    found.replaceChildren(node("small", { textContent: FINDS[by.value] + (by.value === "chosen" ? " (" + chosen + ")" : "") }), ...scored.slice(0, 8).map(([score, l, h]) => node("button", {
      type: "button", textContent: "L" + l + " h" + h + " " + score.toFixed(2), onclick: () => { [layer, head] = [l, h]; choose(); } })), ...(scored.length ? [] : [" no place of that kind here"]));
  }
  by.onchange = find;
  by.addEventListener("keydown", (event) => event.stopPropagation());
  const finder = node("details", { className: "finder", ontoggle: () => finder.open && find() }, node("summary", { textContent: "Find heads" }), node("label", {}, "that look ", by), found);
  view.querySelector("figure").append(names, finder);

  // As a text, or as a matrix.
  let table = null;
  const tools = node("div", { className: "tools" });
  tools.append(ways("Picture", ["text", "matrix"], (i) => {
    table?.whole.remove();
    table?.tools.remove();
    table = i ? matrix({ keys, queries, first, rows: (q) => isThere() ? hued().map((row) => row(q)) : [[]],
      point: (cell) => cell && isThere() ? describePair(...cell) : describe(shown),
      choose: ([q, k]) => queries[isBackwards && isOne ? Math.max(k, first) : q].click() }) : null;
    for (const flow of new Set([keyFlow, queryFlow])) flow.hidden = Boolean(table);
    view.classList.toggle("hued", Boolean(table));
    if (!table) return show(shown);
    keyFlow.before(table.whole);
    tools.append(table.tools);
    peakOf(table.fill());
    table.fit();
  }), many);
  // One row a hue: of the mean of a layer there is one.
  const hued = () => more.length ? more.map(([l, h]) => (q) => rowOf(l, h, q)) : [row];
  if (isOne) tools.append(ways("Direction", ["looks at", "is looked at by"], (i) => { isBackwards = i === 1; show(shown); }));
  view.querySelector(".head").after(tools);

  readout.setAttribute("role", "status");
  const index = new Map(boxes.map((box, i) => [box, i]));
  chooser([...queries.slice(first), ...(isOne ? [] : keys)], {
    first: last - first,
    label: "Tokens. Arrow keys choose the one that looks, or is looked at,",
    // Of two texts one that is looked at says what it is for the other's token; held, it shows all that look.
    isQuiet: (k) => k >= nChoices,
    show: (k) => {
      show(k);
      if (finder.open && by.value === "chosen") find();
    },
    point: (box) => index.has(box) && describeBox(index.get(box)),
    holds: (k) => { position = k === null ? undefined : placeOf(k); tell(); },
  });
  saveMenu(view, host, data);
});
