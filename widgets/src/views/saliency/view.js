define("ecco-saliency", "saliency-4", (view, data, host) => {
  const flow = view.querySelector(".flow");
  const readout = view.querySelector(".readout");
  const legend = { low: view.querySelector(".legend .low"), peak: view.querySelector(".legend .peak") };
  const checks = [...view.querySelectorAll(".checks > span")];
  const boxes = [...flow.children].filter((child) => child.localName === "span");
  const bars = boxes.map((box) => box.querySelector("em"));
  const isSigned = data.scale === "signed", number = isSigned ? signed : share;
  // What can be chosen: the generated tokens, or the targets named above them.
  const choices = data.targets ? [...view.querySelectorAll(".targets > span")] : boxes.slice(data.n_input);
  const count = Math.min(data.scores.length, choices.length);
  if (count < 1) return;
  choices.length = count;
  const reach = (k) => Math.min(unpack(data.scores[k]).values.length, data.targets ? boxes.length : data.n_input + k);

  let shown = -1;
  const painted = new Array(boxes.length).fill("");
  for (const box of boxes) box.removeAttribute("style"); // inline colours are for pages without styles

  // Touches only boxes whose colour changes; the style sheet turns --s into colours.
  function paintBox(i) {
    const { values, peak } = unpack(data.scores[shown]);
    const value = i < reach(shown) ? values[i] : undefined;
    const strength = peak > 0 && Number.isFinite(value) && value ? ((isSigned ? value : Math.abs(value)) / peak).toFixed(3) : "";
    if (painted[i] !== strength) {
      if (strength) boxes[i].style.setProperty("--s", strength);
      else boxes[i].style.removeProperty("--s");
      painted[i] = strength;
    }
    if (!bars[i]) return;
    const text = value === undefined ? "" : number(value);
    if (bars[i].textContent !== text) bars[i].textContent = text;
  }
  const repaint = painter(boxes, paintBox);

  function paint(k) {
    if (shown >= 0) choices[shown].classList.remove("on");
    choices[k].classList.add("on");
    for (const box of flow.querySelectorAll(":scope > .at")) box.classList.remove("at");
    boxes[data.targets?.[k].position]?.classList.add("at");
    shown = k;
    const { peak } = unpack(data.scores[k]);
    if (legend.peak) legend.peak.textContent = number(peak);
    if (legend.low && isSigned) legend.low.textContent = number(-peak);
    checks.forEach((element, i) => judge(element, data.checks[i].notes));
    repaint();
  }

  // What a check says of the target that is shown, if it speaks of each.
  function judge(element, notes) {
    const note = notes[notes.length > 1 ? shown : 0];
    if (!note) return;
    element.className = note.is_good === undefined ? "" : note.is_good ? "good" : "bad";
    element.querySelector("i").textContent = note.is_good === undefined ? "·" : note.is_good ? "✓" : "⚠";
    element.querySelector("em").textContent = note.text;
  }

  function targetName(k) {
    if (data.targets) return [...choices[k].childNodes].filter((child) => child.localName !== "em").map((child) => child.cloneNode(true));
    const value = unpack(data.values).values[k];
    return [...named(choices[k]), ...(Number.isFinite(value) ? [" ", node("em", { textContent: short(value) })] : [])];
  }

  function describe(k) {
    const top = strongest(unpack(data.scores[k]).values.subarray(0, reach(k)), 5);
    readout.replaceChildren(node("span", { className: "what" }, ...targetName(k), " draws on "),
      ...top.flatMap((i) => [node("span", {}, ...named(boxes[i]), " " + number(unpack(data.scores[k]).values[i])), " "]));
  }

  function describePair(i) {
    if (i >= reach(shown)) return describe(shown);
    const value = unpack(data.scores[shown]).values[i];
    const exact = !Number.isFinite(value) ? "no number" : isSigned ? value.toPrecision(4).replace("-", "−") : (value * 100).toFixed(2) + "%";
    readout.replaceChildren(node("span", { className: "what" }, ...named(boxes[i]), " → ", ...targetName(shown)),
      node("span", {}, node("bdi", { textContent: exact })), " ", ...(data.unit === "token" ? [node("span", {}, "id " + data.tokens[i].id)] : []));
  }

  readout.setAttribute("role", "status");
  const position = new Map(boxes.map((box, i) => [box, i]));
  chooser(choices, {
    label: data.targets ? "Targets. Arrow keys choose one," : "Tokens. Arrow keys choose a generated token,",
    parts: [flow],
    show: (k) => {
      if (k !== shown) paint(k);
      describe(k);
    },
    point: (element) => position.has(element) && describePair(position.get(element)),
  });
  saveMenu(view, host, data);
  live(view, host);
});
