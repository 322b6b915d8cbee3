define("ecco-side-by-side", "side-by-side-2", (view, data, host) => {
  const flow = view.querySelector(".b .flow"), readout = view.querySelector(".readout");
  const boxes = [...flow.querySelectorAll(":scope > span")], others = [...view.querySelectorAll(".a .flow > span")];
  const bars = [...view.querySelectorAll(".bars rect")];
  const position = new Map(boxes.map((box, i) => [box, i]));
  const kl = boxes.map((_, i) => data.predictions[i]?.kl ?? NaN), label = labeller(view), names = [data.untouched.name, data.intervened.name];
  if (!boxes.length) return;
  // Where the texts part, or the furthest divergence.
  const first = data.predictions[data.first_difference] ? data.first_difference : strongest(kl.map((value) => value || 0), 1)[0] ?? 0;
  bars[data.first_difference]?.classList.add("part");

  const nats = (value) => !Number.isFinite(value) ? "–" : value !== 0 && value < 0.005 ? value.toExponential(1) : String(Number(value.toFixed(2)));
  let selected = first, held = false, preview = null;

  function said(side, i) {
    const predicted = data.predictions[i], best = predicted.best[side];
    return node("span", {}, names[side] + ": ", node("bdi", { textContent: label(best) }), " " + share(best.probability) + ", this one " + share(predicted.of_token[side]));
  }

  function describe(i) {
    const predicted = data.predictions[i];
    const what = node("span", { className: "what" }, ...named(boxes[i]));
    if (!predicted) return void readout.replaceChildren(what, " nothing predicts this token");
    what.append(" KL " + nats(kl[i]) + (data.first_difference === i ? " · the texts part here" : ""));
    readout.replaceChildren(what, said(0, i), " ", said(1, i));
  }

  function update() {
    const shown = preview ?? selected;
    for (const element of view.querySelectorAll(".on,.held")) element.classList.remove("on", "held");
    boxes.forEach((box, i) => {
      box.tabIndex = i === selected ? 0 : -1;
      box.setAttribute("aria-pressed", held && i === selected);
    });
    for (const element of [boxes[shown], others[shown], bars[shown]]) element?.classList.add("on");
    if (held) boxes[selected].classList.add("held");
    describe(shown);
  }

  function choose(i) {
    held = !(held && i === selected);
    selected = i;
    preview = null;
    update();
  }

  const at = (event) => {
    const box = event.target.closest(".flow > span"), bar = bars.indexOf(event.target);
    return bar >= 0 ? bar : position.get(box) ?? (others.includes(box) ? Math.min(others.indexOf(box), boxes.length - 1) : undefined);
  };
  view.addEventListener("pointerover", (event) => {
    const i = at(event);
    if (i === undefined || held || event.pointerType === "touch") return;
    preview = i;
    update();
  });
  view.addEventListener("pointerleave", () => {
    preview = null;
    update();
  });
  view.addEventListener("click", (event) => {
    const i = at(event);
    if (i === undefined) return;
    choose(i);
    boxes[i].focus();
  });
  flow.addEventListener("keydown", (event) => {
    const to = step(event, selected, boxes.length);
    if (to >= 0) {
      selected = to;
      preview = null;
      update();
      boxes[to].focus();
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
  flow.setAttribute("aria-label", "Tokens of the " + names[1] + " text. Arrow keys choose one, Enter holds it, Escape releases it.");
  readout.setAttribute("role", "status");
  for (const box of boxes) box.setAttribute("role", "button");
  saveMenu(view, host, data, {
    svg: ["image/svg+xml", () => chart()],
  });

  // The bars with their numbers, without the page's styles.
  function chart() {
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg"), cell = 18, tall = 120;
    const add = (name, attributes, text) => {
      const element = svg.appendChild(document.createElementNS(svg.namespaceURI, name));
      for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
      if (text !== undefined) element.textContent = text;
    };
    const width = 24 + boxes.length * cell, height = tall + 150, peak = Math.max(0, ...kl.filter(Number.isFinite)) || 1;
    for (const [key, value] of Object.entries({ width, height, viewBox: "0 0 " + width + " " + height })) svg.setAttribute(key, value);
    add("title", {}, "KL(untouched ‖ intervened) of each prediction, in nats");
    add("rect", { width, height, fill: getComputedStyle(view).backgroundColor });
    boxes.forEach((box, i) => {
      const size = Number.isFinite(kl[i]) ? kl[i] / peak * tall : 0, color = getComputedStyle(view).color;
      add("rect", { x: 12 + i * cell + 1, y: 20 + tall - size, width: cell - 2, height: size, fill: data.first_difference === i ? "#d98e04" : "#1f6feb" });
      add("text", { transform: "translate(" + (12 + i * cell + 12) + " " + (tall + 28) + ") rotate(-90)", "text-anchor": "end", "font-size": 10, "font-family": "system-ui,sans-serif", fill: color }, box.querySelector("bdi").textContent);
    });
    return new XMLSerializer().serializeToString(svg);
  }
  update();
});
