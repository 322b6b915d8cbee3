define("ecco-neuron", "neuron-1", (view, data, host) => {
  const flow = view.querySelector(".flow"), readout = view.querySelector(".readout");
  const boxes = [...flow.children].filter((child) => child.localName === "span");
  for (const box of boxes) {
    box.style.removeProperty("background-color"); // inline colours are for pages without styles
    box.style.removeProperty("color");
    box.removeAttribute("title");
  }
  const places = data.texts.flatMap((text) => text.tokens.map((_, i) => [text, i]));
  const json = () => JSON.stringify({ ...data, texts: data.texts.toSorted((a, b) => a.index - b.index) });
  const scale = () => stops(host, "--ecco-diverging");
  saveMenu(view, host, "neuron", {
    svg: ["image/svg+xml", () => {
      const stops = scale();
      return picture(view, "Neuron " + data.neuron, (box) => shade(stops, (Number(box.style.getPropertyValue("--s")) + 1) / 2));
    }],
    json: ["application/json", json],
  });
  if (!boxes.length) return;

  const most = places.map(([text, i]) => text.values[i] ?? -Infinity);
  readout.setAttribute("role", "status");
  let shown = null;
  chooser(boxes, {
    first: most.indexOf(Math.max(...most)),
    label: "Tokens. Arrow keys choose one,",
    show: (k) => {
      const [text, i] = places[k], value = text.values[i];
      boxes[shown]?.classList.remove("on");
      boxes[shown = k].classList.add("on");
      readout.replaceChildren(...named(boxes[k]), (data.texts.length > 1 ? " in text " + text.index : "") + " id " + text.ids[i] + ": "
        + (value === null ? "not read" : short(value)));
    },
  });
});
