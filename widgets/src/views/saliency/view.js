define("ecco-saliency", "saliency-5", (view, data, host) => {
  const flow = view.querySelector(".flow");
  const readout = view.querySelector(".readout");
  const legend = { low: view.querySelector(".legend .low"), peak: view.querySelector(".legend .peak") };
  const checks = [...view.querySelectorAll(".checks > span")];
  const boxes = [...flow.children].filter((child) => child.localName === "span");
  const bars = boxes.map((box) => box.querySelector("em"));
  const isSigned = data.scale === "signed", number = isSigned ? signed : share;
  // Of what was put into units, the boxes are the tokens where these are known.
  const pieces = data.pieces?.length === boxes.length ? data.pieces : null;
  // What can be chosen: the generated tokens, or the targets named above them. Behind the named ones, and before the generated
  // ones, stand what they draw on.
  const chips = data.targets ? [...view.querySelectorAll(".targets > span")] : boxes.slice(data.n_input);
  const count = Math.min(data.scores.length, chips.length), end = data.targets ? boxes.length : data.n_input + count;
  if (count < 1) return;
  chips.length = count;
  const place = (k) => data.targets ? data.targets[k].token ?? data.targets[k].position : data.n_input + k;
  const reach = (k) => {
    if (pieces) return data.reach?.[k] ?? boxes.length;
    return Math.min(unpack(data.scores[k]).values.length, data.targets ? boxes.length : data.n_input + k);
  };

  // The first box of what each box is a part of: of its own, or of a word, line or sentence.
  const each = boxes.map((_, i) => i);
  const firsts = (starts) => { let at = 0; return each.map((i) => { while (starts[at + 1] <= i) at++; return starts[at]; }); };
  const units = { token: each, ...Object.fromEntries(Object.entries(data.units ?? {}).map(([name, starts]) => [name, firsts(starts)])) };
  let unit = pieces ? firsts(data.spans.map(([start]) => start)) : each, isOneScale = false;
  const given = new Map(pieces ? data.spans.map(([start], i) => [start, i]) : []);

  // Row k by box, up to its target: each has what all of its unit have.
  let rows = new Map();
  function row(k) {
    if (!rows.has(k)) {
      const scores = unpack(data.scores[k]).values, values = new Float64Array(reach(k));
      for (let i = 0; i < values.length; i++) values[unit[i]] += pieces ? (unit[i] === i ? scores[given.get(i)] : 0) : scores[i];
      for (let i = 0; i < values.length; i++) values[i] = values[unit[i]];
      rows.set(k, values);
    }
    return rows.get(k);
  }
  const largest = (values) => values.reduce((peak, value) => Number.isFinite(value) ? Math.max(peak, Math.abs(value)) : peak, 0);

  // Of the row that is shown, or of a source what each target draws from it.
  let shown = -1, values = [], peak = 0;
  const painted = new Array(boxes.length).fill("");
  for (const box of boxes) box.removeAttribute("style"); // inline colours are for pages without styles

  // Touches only boxes whose colour changes; the style sheet turns --s into colours.
  function paintBox(i) {
    const value = values[i];
    const strength = peak > 0 && Number.isFinite(value) && value ? ((isSigned ? value : Math.abs(value)) / peak).toFixed(3) : "";
    if (painted[i] !== strength) {
      if (strength) boxes[i].style.setProperty("--s", strength);
      else boxes[i].style.removeProperty("--s");
      painted[i] = strength;
    }
    if (!bars[i]) return;
    const text = value === undefined || isRow() && unit[i] !== i ? "" : number(value);
    if (bars[i].textContent !== text) bars[i].textContent = text;
  }
  const repaint = painter(boxes, paintBox), overview = longText(view, boxes, (i) => (isSigned ? values[i] : Math.abs(values[i])) / peak);
  // What is chosen: targets from 0 on, sources by their boxes.
  const isRow = () => data.targets ? shown < count : shown >= data.n_input;
  const target = (k) => data.targets ? k : k - data.n_input;
  const source = (k) => data.targets ? k - count : k;
  const choices = data.targets ? [...chips, ...boxes] : boxes.slice(0, end);

  function paint(k) {
    choices[shown]?.classList.remove("on");
    choices[k].classList.add("on");
    for (const box of flow.querySelectorAll(":scope > .at")) box.classList.remove("at");
    shown = k;
    if (isRow()) {
      if (data.targets) boxes[place(target(k))]?.classList.add("at");
      values = row(target(k));
      peak = isOneScale ? Math.max(...chips.map((_, k) => largest(row(k)))) : largest(values);
    } else {
      values = [];
      chips.forEach((_, t) => { if (place(t) !== undefined && source(k) < reach(t)) values[place(t)] = row(t)[source(k)]; });
      peak = largest(values);
    }
    if (legend.peak) legend.peak.textContent = number(peak);
    if (legend.low && isSigned) legend.low.textContent = number(-peak);
    checks.forEach((element, i) => judge(element, data.checks[i].notes));
    repaint();
    overview();
  }

  // What a check says of the target that is shown, if it speaks of each.
  function judge(element, notes) {
    const note = notes[notes.length > 1 ? target(shown) : 0];
    if (!note || !isRow()) return;
    element.className = note.is_good === undefined ? "" : note.is_good ? "good" : "bad";
    element.querySelector("i").textContent = note.is_good === undefined ? "·" : note.is_good ? "✓" : "⚠";
    element.querySelector("em").textContent = note.text;
  }

  // `p(·Croatia) = 85% · token 23`
  function what(k) {
    const isProbability = data.of === "probability", value = unpack(data.values).values[k];
    const name = data.targets ? [...chips[k].childNodes].filter(({ localName }) => localName !== "em" && localName !== "small").map((child) => child.cloneNode(true)) : [chips[k].querySelector("bdi").cloneNode(true)];
    if (name.at(-1).data?.trim() === "") name.pop();
    if (name.at(-1).data?.trim() === "") name.pop();
    return node("span", { className: "what" }, ...(isProbability ? ["p(", ...name, ")"] : data.of ? [data.of + " of ", ...name] : name),
      Number.isFinite(value) ? " = " + (isProbability ? fineShare : short)(value) : "", place(k) === undefined ? "" : " · token " + place(k));
  }
  // Boxes that belong together, from their first one on, up to where a target may look.
  function together(i, to = boxes.length) {
    let last = unit[i];
    while (last + 1 < to && unit[last + 1] === unit[i]) last++;
    const label = boxes.slice(unit[i], last + 1).map((box) => box.querySelector("bdi").textContent).join("");
    return [node("bdi", { textContent: cut(label, 24) }), " ", node("small", { textContent: unit[i] === last ? String(last) : unit[i] + "–" + last })];
  }

  function describe(k) {
    const values = row(k).map((value, i) => unit[i] === i ? value : 0), top = strongest(values, 5), n = values.filter((_, i) => unit[i] === i).length;
    readout.replaceChildren(what(k), " ", ...(top.length ? [isSigned ? "Largest parts: " : "Largest shares: ",
      ...top.flatMap((i) => [node("span", {}, ...together(i, reach(k)), " " + number(values[i])), " "]),
      node("span", {}, "these " + top.length + " of " + n + ": " + number(top.reduce((sum, i) => sum + values[i], 0)))] : ["draws on nothing"]));
  }

  // The same the other way round.
  function describeSource(i) {
    const by = chips.map((_, k) => i < reach(k) ? row(k)[i] : 0), top = strongest(by, 5);
    readout.replaceChildren(node("span", { className: "what" }, ...together(i), top.length ? isSigned ? " has its largest parts in" : " has its largest shares in" : " is not drawn on"), " ",
      ...top.flatMap((k) => [node("span", {}, what(k).querySelector("bdi"), " ", node("small", { textContent: place(k) ?? "" }), " " + number(by[k])), " "]));
  }

  function describePair(i, k) {
    if (!(i < reach(k))) return isRow() ? describe(k) : describeSource(source(shown));
    const value = row(k)[i];
    const size = !Number.isFinite(value) ? "no number" : isSigned ? minus(value.toPrecision(4)) : (value * 100).toFixed(2) + "%";
    readout.replaceChildren(node("span", { className: "what" }, ...together(i, reach(k)), isSigned ? ": part " : ": share ", node("bdi", { textContent: size }), " of"), " ", what(k), " ",
      ...(data.unit === "token" && unit === each ? [node("span", {}, "id " + data.tokens[i].id)] : []));
  }

  readout.setAttribute("role", "status");
  const next = nextCalls(view, host);
  const position = new Map(boxes.map((box, i) => [box, i]));
  const at = new Map(chips.map((_, k) => [place(k), k]));
  chooser(choices, {
    first: data.targets ? 0 : data.n_input,
    label: data.targets ? "Targets, and what they draw on. Arrow keys choose one," : "Tokens. Arrow keys choose a generated token, or one that it draws on,",
    parts: [flow],
    holds: (k) => next(k === null ? null : (data.targets ? k < count : k >= data.n_input) ? place(target(k)) : source(k)),
    // A source under the pointer says what it is for the target that is shown; held, it shows all targets.
    isQuiet: (k) => data.targets ? k >= count : k < data.n_input,
    show: (k) => {
      if (k !== shown) paint(k);
      if (isRow()) describe(target(k));
      else describeSource(source(k));
    },
    point: (element) => {
      const i = position.get(element);
      if (i === undefined) return;
      if (isRow()) describePair(i, target(shown));
      else if (at.has(i)) describePair(source(shown), at.get(i));
      else describeSource(source(shown));
    },
  });

  function again() {
    rows = new Map();
    paint(shown);
    if (isRow()) describe(target(shown));
    else describeSource(source(shown));
    grid?.remove();
    if (grid) flow.after(grid = matrix());
  }

  // Targets down, what they draw on across.
  let grid = null;
  function matrix() {
    const n = Math.max(...chips.map((_, k) => reach(k)));
    const all = chips.map((_, k) => largest(row(k))), most = Math.max(...all);
    const head = each.slice(0, n).map((i) => node("bdi", { textContent: cut(boxes[i].querySelector("bdi").textContent, 14) }));
    const cells = chips.flatMap((chip, k) => [node("b", {}, ...[...chip.querySelectorAll(":scope > bdi")].map((name) => cut(name.textContent, 14)).join(" / "), " ", node("small", { textContent: place(k) ?? "" })),
      ...each.slice(0, n).map((i) => {
        const cell = node("i"), peak = isOneScale ? most : all[k], value = i < reach(k) ? row(k)[i] : 0;
        if (peak > 0 && value) cell.style.setProperty("--s", ((isSigned ? value : Math.abs(value)) / peak).toFixed(3));
        cell.addEventListener("pointerover", () => describePair(i, k));
        return cell;
      })]);
    const table = node("div", { className: "matrix" }, node("b"), ...head, ...cells);
    table.style.gridTemplateColumns = "auto repeat(" + n + ",minmax(9px,18px))";
    table.addEventListener("pointerleave", () => isRow() && describe(target(shown)));
    return table;
  }

  const tools = node("div", { className: "tools" });
  if (count > 1 && count <= 60 && boxes.length <= 120) tools.append(ways("Picture", ["text", "matrix"], (i) => {
    grid?.remove();
    grid = i ? matrix() : null;
    flow.hidden = !!i;
    if (grid) flow.after(grid);
  }));
  tools.append(ways("Boxes", ["colours", "numbers"], (i) => {
    view.classList.toggle("detailed", i === 1);
    boxes.forEach((box, k) => { if (!bars[k]) box.append(bars[k] = node("em")); });
    repaint();
  }, view.classList.contains("detailed") ? 1 : 0));
  const names = ["token", "word", "line", "sentence"].filter((name) => units[name]);
  if (names.length > 1 && !pieces) tools.append(ways("Sums", names, (i) => { unit = units[names[i]]; again(); }));
  if (count > 1) tools.append(ways("Scale", ["each row", "all rows"], (i) => { isOneScale = i === 1; again(); }));
  view.querySelector(".head").after(tools);
  saveMenu(view, host, data);
});
