define("ecco-score", "score-1", (view, data, host) => {
  const flow = view.querySelector(".flow"), readout = view.querySelector(".readout");
  const boxes = [...flow.children].filter((child) => child.localName === "span");
  const scored = boxes.flatMap((_, i) => (data.scored[i] ? [i] : []));
  if (!readout || !scored.length) return;
  const bits = (i) => -data.log_probabilities[i] / Math.LN2;

  function describe(i) {
    for (const box of flow.querySelectorAll(":scope > .on")) box.classList.remove("on");
    boxes[i].classList.add("on");
    const line = fineShare(Math.exp(data.log_probabilities[i])) + ", " + bits(i).toFixed(1) + " bits, rank " + data.ranks[i].toLocaleString("en");
    readout.replaceChildren(node("span", { className: "what" }, ...named(boxes[i]), " " + line));
    const best = data.best[i];
    if (best) readout.append(node("span", {}, "most probable: ", node("bdi", { textContent: best[0] }), " " + share(best[1])));
  }

  const known = scored.filter((i) => data.log_probabilities[i] !== null);
  const most = known.reduce((best, i) => (bits(i) > bits(best) ? i : best), known[0] ?? scored[0]);
  readout.setAttribute("role", "status");
  chooser(scored.map((i) => boxes[i]), {
    first: scored.indexOf(most),
    label: "Tokens. Arrow keys choose one,",
    show: (k) => describe(scored[k]),
  });
  saveMenu(view, host, "score", {
    svg: ["image/svg+xml", () => {
      const scale = stops(host, "--ecco-scale");
      return picture(view, "Surprisal", (box) => shade(scale, Number(box.style.getPropertyValue("--s"))));
    }],
    json: ["application/json", () => JSON.stringify({ n_input: data.n_input, tokens: data.tokens.map((text, i) => ({
      text, id: data.ids[i], ...(data.scored[i] && { log_probability: data.log_probabilities[i], rank: data.ranks[i] }),
    })) })],
  });
});
