define("ecco-circuit", "circuit-1", (view, data, host) => {
  const svg = view.querySelector(".graph > svg"), readout = view.querySelector(".readout"), rest = readout.textContent;
  const nodes = svg ? [...svg.querySelectorAll(".node")] : [];
  // As they are drawn: the strongest last.
  const paths = svg ? [...svg.querySelectorAll("path")] : [];
  const drawn = data.edges.filter(({ from, to }) => from < data.nodes.length && to < data.nodes.length).slice(0, paths.length).toReversed();
  const name = ({ from, to, by }, side) => side === "in" ? data.nodes[from].name + (by && " by " + by) : data.nodes[to].name + (by && "." + by);
  let held = null;

  function show(at) {
    svg.classList.toggle("chosen", at !== null);
    const near = new Set([at]);
    drawn.forEach(({ from, to }, i) => {
      const on = from === at || to === at;
      paths[i].classList.toggle("on", on);
      if (on) near.add(from).add(to);
    });
    nodes.forEach((element, i) => {
      element.classList.toggle("on", near.has(i));
      element.classList.toggle("at", i === at);
    });
    if (at === null) return void readout.replaceChildren(rest);
    const list = (side, edges) => edges.length ? node("span", { textContent: side + ": " + edges.toReversed().map((edge) => name(edge, side) + " " + (edge.score === null ? "–" : exact(edge.score))).join(", ") }) : "";
    const into = drawn.filter(({ to }) => to === at), out = drawn.filter(({ from }) => from === at);
    readout.replaceChildren(node("bdi", { textContent: data.nodes[at].name }), " ", list("in", into), list("out", out));
  }

  nodes.forEach((element, i) => {
    element.setAttribute("tabindex", 0);
    element.setAttribute("role", "button");
    element.setAttribute("aria-label", data.nodes[i].name);
    element.addEventListener("pointerenter", () => held === null && show(i));
    element.addEventListener("pointerleave", () => held === null && show(null));
    element.addEventListener("focus", () => show(i));
    element.addEventListener("blur", () => show(held));
    element.addEventListener("click", () => show(held = held === i ? null : i));
    element.addEventListener("keydown", (event) => {
      if (event.key === "Enter" || event.key === " ") { event.preventDefault(); show(held = held === i ? null : i); }
      if (event.key === "Escape") show(held = null);
    });
  });
  const rows = () => csv([["from", "to", "by", "score"], ...data.edges.map(({ from, to, by, score }) => [data.nodes[from].name, data.nodes[to].name, by, score])]);
  saveMenu(view, host, data, { csv: ["text/csv", rows] });
});
