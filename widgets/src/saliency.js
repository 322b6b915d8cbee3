define("ecco-saliency", "saliency-1", (view, data, host) => {
  const flow = view.querySelector(".flow");
  const readout = view.querySelector(".readout");
  const peakLabel = view.querySelector(".peak");
  const boxes = [...flow.children].filter((child) => child.localName === "span");
  const position = new Map(boxes.map((box, i) => [box, i]));
  const bars = boxes.map((box) => box.querySelector("em"));
  const count = Math.min(data.rows.length, boxes.length - data.n_input);
  if (count < 1) return;
  const target = (k) => boxes[data.n_input + k];

  let selected = 0, held = false, preview = null, shown = -1;
  const painted = new Array(boxes.length).fill("");
  for (const box of boxes) box.removeAttribute("style"); // inline colours are for pages without styles

  // Touches only boxes whose colour changes; the style sheet turns --s into colours.
  function paintBox(i) {
    const { values, peak } = unpack(data.rows[shown]);
    const value = i < data.n_input + shown && i < values.length ? values[i] : undefined;
    const strength = peak > 0 && Math.abs(value) > 0 ? (Math.abs(value) / peak).toFixed(3) : "";
    if (painted[i] !== strength) {
      if (strength) boxes[i].style.setProperty("--s", strength);
      else boxes[i].style.removeProperty("--s");
      painted[i] = strength;
    }
    if (!bars[i]) return;
    const text = value === undefined ? "" : share(value);
    if (bars[i].textContent !== text) bars[i].textContent = text;
  }
  const repaint = painter(boxes, paintBox);

  function paint(k) {
    if (shown >= 0) target(shown).classList.remove("on");
    target(k).classList.add("on");
    shown = k;
    if (peakLabel) peakLabel.textContent = share(unpack(data.rows[k]).peak);
    repaint();
  }

  function describe(k) {
    const { values } = unpack(data.rows[k]);
    const top = [...values.keys()].filter((i) => values[i] && i < boxes.length)
      .sort((a, b) => Math.abs(values[b]) - Math.abs(values[a]) || a - b).slice(0, 5);
    readout.replaceChildren(node("span", { className: "what" }, ...named(target(k)), " draws on "),
      ...top.flatMap((i) => [node("span", {}, ...named(boxes[i]), " " + share(values[i])), " "]));
  }

  function describePair(i) {
    const value = unpack(data.rows[shown]).values[i];
    if (value === undefined || i >= data.n_input + shown) return describe(shown);
    const exact = Number.isFinite(value) ? (value * 100).toFixed(2) + "%" : "no number";
    readout.replaceChildren(node("span", { className: "what" }, ...named(boxes[i]), " → ", ...named(target(shown))),
      node("span", {}, node("bdi", { textContent: exact })), " ", node("span", {}, "id " + data.ids[i]));
  }

  function update() {
    const k = preview ?? selected;
    if (k !== shown) paint(k);
    for (const box of flow.querySelectorAll("[aria-pressed=true],[tabindex='0']")) {
      box.setAttribute("aria-pressed", "false");
      box.tabIndex = -1;
      box.classList.remove("held");
    }
    target(selected).tabIndex = 0;
    target(selected).setAttribute("aria-pressed", held);
    target(selected).classList.toggle("held", held);
    describe(k);
  }

  function choose(k) {
    held = !(held && k === selected);
    selected = k;
    preview = null;
    update();
  }

  const at = (event) => position.get(event.target.closest(".flow>span"));
  flow.addEventListener("pointerover", (event) => {
    const i = at(event), k = i - data.n_input;
    if (i === undefined || event.pointerType === "touch") return;
    if (k >= 0 && k < count && !held) {
      preview = k;
      update();
    } else describePair(i);
  });
  flow.addEventListener("pointerleave", () => {
    preview = null;
    update();
  });
  flow.addEventListener("click", (event) => {
    const i = at(event), k = i - data.n_input;
    if (k >= 0 && k < count) {
      choose(k);
      target(k).focus();
    } else if (i !== undefined) describePair(i);
  });
  flow.addEventListener("keydown", (event) => {
    const to = step(event, selected, count);
    if (to >= 0) {
      selected = to;
      preview = null;
      update();
      target(to).focus();
    } else if (event.key === "Enter" && !event.shiftKey && !event.ctrlKey || event.key === " ") choose(selected);
    else if (event.key === "Escape" && (held || preview !== null)) {
      held = false;
      preview = null;
      update();
    } else return;
    event.preventDefault();
    event.stopPropagation(); // the notebook has its own meaning for these keys
  });

  flow.setAttribute("role", "group");
  flow.setAttribute("aria-label", "Tokens. Arrow keys choose a generated token, Enter holds it, Escape releases it.");
  readout.setAttribute("role", "status");
  for (let k = 0; k < count; k++) {
    target(k).tabIndex = -1;
    target(k).setAttribute("role", "button");
    target(k).setAttribute("aria-pressed", "false");
  }
  // The style sheet's scale as [place, red, green, blue, opacity], for a picture that knows no style sheet.
  const stops = () => [...getComputedStyle(host).getPropertyValue("--ecco-scale").matchAll(/rgb\((\d+) (\d+) (\d+)(?:\/([\d.]+))?\) (\d+)%/g)]
    .map(([, r, g, b, opacity = 1, place]) => [place / 100, +r, +g, +b, +opacity]);
  function ground(box, scale) {
    const strength = Number(box.style.getPropertyValue("--s"));
    const upper = Math.max(1, scale.findIndex((stop) => stop[0] >= strength)), low = scale[upper - 1], high = scale[upper];
    const t = (strength - low[0]) / (high[0] - low[0]);
    const [, r, g, b, opacity] = low.map((value, i) => value + (high[i] - value) * t);
    return { fill: "rgb(" + [r, g, b].map(Math.round) + ")", "fill-opacity": opacity, ...(box.classList.contains("on") && { stroke: "#1f6feb", "stroke-width": 1.5 }) };
  }
  saveMenu(view, host, "saliency", {
    svg: ["image/svg+xml", () => {
      const scale = stops();
      repaint.all();
      return picture(view, "Input saliency, " + data.method, (box) => ground(box, scale));
    }],
    json: ["application/json", () => JSON.stringify({
      tokens: data.tokens.map((text, i) => ({ text, id: data.ids[i] })), n_input: data.n_input, method: data.method,
      scores: data.rows.map((row) => Array.from(unpack(row).values, (value) => Number.isFinite(value) ? Number(value.toPrecision(4)) : null)),
    })],
  });
  update();
});
