define("ecco-side-by-side", "side-by-side-3", (view, data, host) => {
  const readout = view.querySelector(".readout"), sides = view.querySelector(".sides");
  const boxes = [...view.querySelectorAll(".flow.b > span")], others = [...view.querySelectorAll(".flow.a > span")];
  const bars = [...view.querySelectorAll(".bars rect")];
  const kl = boxes.map((_, i) => data.predictions[i]?.kl ?? NaN), label = labeller(view), names = [data.untouched.name, data.intervened.name];
  if (!boxes.length) return;
  // Where the texts part, or the furthest divergence.
  const first = data.predictions[data.first_difference] ? data.first_difference : strongest(kl.map((value) => value || 0), 1)[0] ?? 0;
  bars[data.first_difference]?.classList.add("part");

  function said(side, i) {
    const predicted = data.predictions[i], best = predicted.best[side];
    return node("span", {}, names[side] + ": ", node("bdi", { textContent: label(best) }), " " + share(best.probability) + ", this one " + share(predicted.of_token[side]));
  }

  function describe(i) {
    const predicted = data.predictions[i];
    const what = node("span", { className: "what" }, ...named(boxes[i]));
    if (!predicted) return void readout.replaceChildren(what, " nothing predicts this token");
    what.append(" KL " + nats(kl[i]) + " nats" + (data.first_difference === i ? " · the texts part here" : ""));
    readout.replaceChildren(what, said(0, i), " ", said(1, i));
  }

  function show(i) {
    for (const element of view.querySelectorAll(".on")) element.classList.remove("on");
    for (const element of [boxes[i], others[i], bars[i]]) element?.classList.add("on");
    describe(i);
  }

  // Lines that are the same on both sides may be left out.
  const [ones, twos] = [".flow.a", ".flow.b"].map((side) => [...sides.querySelectorAll(side)]);
  const words = (line) => [...line.querySelectorAll("bdi")].map((label) => label.textContent).join("\n");
  const same = ones.flatMap((line, k) => words(line) === words(twos[k]) ? [line, twos[k]] : []);
  const leave = (out) => same.forEach((line) => line.classList.toggle("gone", out));
  if (same.length && same.length < 2 * ones.length) view.querySelector(".head").append(ways("Which lines", ["all lines", "differences only"], (i) => leave(i === 1)));

  readout.setAttribute("role", "status");
  chooser(boxes, {
    first, show,
    label: "Tokens of the " + names[1] + " text. Arrow keys choose one,",
    parts: [view],
    also: [others, bars].flatMap((side) => side.map((element, i) => [element, Math.min(i, boxes.length - 1)])),
  });
  saveMenu(view, host, data);
});
