define("ecco-neuron", "neuron-2", (view, data, host) => {
  const flow = view.querySelector(".flow"), readout = view.querySelector(".readout");
  const boxes = [...flow.children].filter((child) => child.localName === "span");
  for (const box of boxes) {
    box.style.removeProperty("background-color"); // inline colours are for pages without styles
    box.style.removeProperty("color");
    box.removeAttribute("title");
  }
  // As they stand on the page: the text with the largest activation first.
  const values = new Map(data.texts.map((text) => [text, unpack(text.values).values]));
  const largest = (text) => values.get(text).reduce((most, value) => Number.isFinite(value) ? Math.max(most, value) : most, -Infinity);
  const texts = [...data.texts].sort((a, b) => (largest(b) > largest(a)) - (largest(b) < largest(a)) || a.index - b.index);
  const places = texts.flatMap((text) => text.tokens.map((_, i) => [text, i]));
  saveMenu(view, host, data);
  if (!boxes.length) return;
  longText(view, boxes, (i) => parseFloat(boxes[i].style.getPropertyValue("--s")));

  const at = ([text, i]) => Number.isFinite(values.get(text)[i]) ? values.get(text)[i] : null;
  const most = places.map((place) => at(place) ?? -Infinity);
  readout.setAttribute("role", "status");
  let shown = null;
  const next = nextCalls(view, host);
  chooser(boxes, {
    first: most.indexOf(Math.max(...most)),
    label: "Tokens. Arrow keys choose one,",
    holds: (k) => {
      next(k === null || data.texts.length > 1 ? null : places[k][1]);
      if (k !== null && data.site === "mlp_inner" && data.texts.length === 1) hold(host, { position: places[k][1],
        part: { entries: [{ layer: data.layer, neurons: [data.neuron] }], name: neuronName(data.layer, data.neuron) } });
    },
    show: (k) => {
      const [text, i] = places[k], value = at(places[k]);
      boxes[shown]?.classList.remove("on");
      boxes[shown = k].classList.add("on");
      readout.replaceChildren(...named(boxes[k]), (data.texts.length > 1 ? " in text " + text.index : "") + " id " + text.tokens[i].id + ": "
        + (value === null ? "not read" : short(value)));
    },
  });
});
