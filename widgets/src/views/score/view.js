define("ecco-score", "score-2", (view, data, host) => {
  const flow = view.querySelector(".flow"), readout = view.querySelector(".readout");
  const boxes = [...flow.children].filter((child) => child.localName === "span");
  const scored = boxes.flatMap((_, i) => (Number.isInteger(data.ranks[i]) ? [i] : []));
  if (!readout || !scored.length) return;
  const label = labeller(view), logs = unpack(data.log_probabilities).values, bits = (i) => -logs[i] / Math.LN2;

  function describe(i) {
    for (const box of flow.querySelectorAll(":scope > .on")) box.classList.remove("on");
    boxes[i].classList.add("on");
    const line = fineShare(Math.exp(logs[i])) + ", " + fixed(bits(i), 1) + " bits, rank " + ranked(data.ranks[i]);
    readout.replaceChildren(node("span", { className: "what" }, ...named(boxes[i]), " " + line));
    const best = data.most_probable[i];
    if (best) readout.append(node("span", {}, "most probable: ", node("bdi", { textContent: label(best) }), " " + share(best.probability)));
  }

  const known = scored.filter((i) => Number.isFinite(logs[i]));
  const most = known.reduce((best, i) => (bits(i) > bits(best) ? i : best), known[0] ?? scored[0]);
  readout.setAttribute("role", "status");
  const next = nextCalls(view, host);
  chooser(scored.map((i) => boxes[i]), {
    first: scored.indexOf(most),
    label: "Tokens. Arrow keys choose one,",
    show: (k) => describe(scored[k]),
    holds: (k) => next(k === null ? null : scored[k]),
  });
  saveMenu(view, host, data);
  longText(view, boxes, (i) => parseFloat(boxes[i].style.getPropertyValue("--s")));
});
