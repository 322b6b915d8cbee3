define("ecco-factors", "factors-6", (view, data, host) => {
  const flow = view.querySelector(".flow");
  const list = view.querySelector(".list");
  const readout = view.querySelector(".readout");
  const lines = [...list.querySelectorAll(".line")];
  const boxes = [...flow.children].filter((child) => child.localName === "span");
  const numbers = boxes.map((box) => box.querySelector("em"));
  const position = new Map(boxes.map((box, i) => [box, i]));
  const hues = lines.map((line) => line.style.getPropertyValue("--c"));
  const count = lines.length;
  for (const box of boxes) {
    box.style.removeProperty("background-color"); // inline colours are for pages without styles
    box.style.removeProperty("color");
  }
  if (!count || !boxes.length) return;
  const hint = readout.textContent, shares = unpack(data.explained_variance_ratio).values;
  const usable = (value) => Number.isFinite(value) && (data.signed || value > 0);
  // In units of a factor's largest; what is no number, or negative where nothing should be, counts as 0.
  const peaks = data.components.map((row) => unpack(row).values.reduce((peak, value) => usable(value) ? Math.max(peak, Math.abs(value)) : peak, 0));
  // Where a token's value stands: at the token itself, where it was read; or, asked for what went before a token that was
  // written, at the one before.
  let isBefore = false;
  const textOf = boxes.map((_, i) => data.texts.findLastIndex(({ start }) => start <= i));
  const isWritten = (i) => i > 0 && textOf[i] >= 0 && i - data.texts[textOf[i]].start >= data.texts[textOf[i]].n_input;
  const source = (i) => (isBefore && isWritten(i) ? i - 1 : i);
  const isUnread = (i) => textOf[i] >= 0 && source(i) - data.texts[textOf[i]].start >= data.texts[textOf[i]].n_read;
  const amount = (k, i) => {
    const value = unpack(data.components[k]).values[source(i)];
    return usable(value) ? value : 0;
  };
  const strength = (k, i) => peaks[k] > 0 && Number.isFinite(amount(k, i)) ? amount(k, i) / peaks[k] : 0;
  const size = (k, i) => Math.abs(strength(k, i));
  const strongest = (i) => hues.reduce((best, _, k) => (size(k, i) > size(best, i) ? k : best), 0);
  const what = data.signed ? "component" : "factor";
  // Numbers of a factor that a line of script takes: a question has 64 kB at most.
  const MOST_TOLD = 4096;

  let shown = null;

  const repaint = painter(boxes, (i) => {
    const k = shown ?? (data.signed ? 0 : strongest(i)), number = shown === null && size(k, i) && !isUnread(i) ? String(k) : "";
    if (numbers[i] && numbers[i].textContent !== number) numbers[i].textContent = number;
    if (boxes[i].classList.toggle("unread", isUnread(i))) return void boxes[i].style.removeProperty("--s");
    if (!data.signed) boxes[i].style.setProperty("--c", hues[k]);
    boxes[i].style.setProperty("--s", strength(k, i).toFixed(3));
  });

  function paint(focus) {
    list.classList.toggle("focused", focus !== null);
    shown = focus;
    repaint();
  }

  function describe(focus) {
    if (focus === null) return void (readout.textContent = hint);
    const top = boxes.map((_, i) => i).sort((a, b) => size(focus, b) - size(focus, a) || a - b).slice(0, 5);
    const share = shares[focus] === undefined ? "" : " (" + fineShare(shares[focus]) + " of the variance)";
    readout.replaceChildren(factor(focus, share + " strongest at "),
      ...top.filter((i) => strength(focus, i)).flatMap((i) => [node("span", {}, ...named(boxes[i]), place(i) + " " + exact(amount(focus, i))), " "]),
      ...neurons(focus));
  }

  // Which of several texts a token belongs to.
  function place(i) {
    return data.texts.length > 1 ? " in text " + textOf[i] : "";
  }

  function neurons(k) {
    const all = data.neurons[k] ?? [];
    if (!all.length) return [];
    const name = (n) => neuronName(n.layer, n.neuron) + " (" + short(n.weight) + ")";
    return [node("span", { className: "made" }, "made of " + all.map(name).join(", "))];
  }

  function factor(k, text) {
    const element = node("span", {}, node("bdi", { textContent: what + " " + k }), text);
    element.style.setProperty("--c", hues[k]);
    return element;
  }

  function describeToken(i) {
    const order = hues.map((_, k) => k).filter((k) => strength(k, i)).sort((a, b) => size(b, i) - size(a, i)).slice(0, 4);
    readout.replaceChildren(node("span", { className: "what" }, ...named(boxes[i]), place(i) + " id " + data.tokens[i].id), " ",
      ...(isUnread(i) ? ["not read"] : order.flatMap((k) => [factor(k, " " + share(strength(k, i)) + " of its max (" + exact(amount(k, i)) + ")"), " "])));
  }

  function show(focus) {
    if (focus !== shown) paint(focus);
    lines.forEach((line, k) => line.classList.toggle("on", k === focus));
    describe(focus);
  }

  const tokenAt = (event) => {
    const i = position.get(event.target.closest(".flow>span"));
    if (i === undefined) return;
    list.style.setProperty("--x", (source(i) + 0.5) / boxes.length);
    describeToken(i);
  };
  flow.addEventListener("pointerover", tokenAt);
  flow.addEventListener("click", tokenAt);
  flow.addEventListener("pointerleave", () => {
    list.removeAttribute("style");
    describe(shown);
  });

  readout.setAttribute("role", "status");
  const when = view.querySelector(".when");
  if (when) {
    when.replaceChildren(ways("Where a value stands", ["at what was read", "before what was written"], (i) => {
      isBefore = i === 1;
      repaint();
      describe(shown);
    }));
  }
  // A factor's weights layer by layer, each a direction of its site, of heads all together: where the page has them all, and they fit
  // into a line.
  function directions(k) {
    const weights = data.weights?.[k] && unpack(data.weights[k]).values;
    if (!weights || weights.length > MOST_TOLD) return null;
    let start = 0;
    return data.layers.map(({ layer, neurons }) => [{ site: data.site, ...(layer !== null && { layer }) }, weights.subarray(start, start += neurons)]);
  }
  const told = (weights, times) => [...weights].map((weight) => Number((weight * times).toPrecision(4)));
  // A factor that is held, and what there is of it where it is strongest: of a site other than neurons' as directions; of neurons
  // those that it is mostly made of, though all of them are added where that can be said.
  function made(k) {
    const all = data.neurons[k] ?? [], whole = directions(k);
    const added = whole?.map(([place, weights]) => ({ ...place, vector: told(weights, peaks[k]) }));
    if (data.site !== "mlp_inner") return whole && { name: what + " " + k, entries: whole.map(([place, weights]) => ({ ...place, direction: told(weights, 1) })), vectors: added };
    if (!all.length || all.some(({ layer }) => layer === null)) return undefined;
    const groups = [...new Set(all.map(({ layer }) => layer))].map((layer) => all.filter((neuron) => neuron.layer === layer));
    const entries = groups.map((group) => ({ layer: group[0].layer, neurons: group.map(({ neuron }) => neuron) }));
    const vectors = entries.map((entry, i) => ({ ...entry, vector: told(groups[i].map(({ weight }) => weight), peaks[k]) }));
    return { name: what + " " + k + "'s " + all.length + " strongest neurons", entries, vectors: added ?? vectors };
  }
  chooser(lines, { label: "Factors. Arrow keys choose one,", rests: true, show, holds: (k) => hold(host, k === null ? null : { part: made(k) }) });
  saveMenu(view, host, data);
  longText(view, boxes);
});
