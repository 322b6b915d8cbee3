// Walks a table of layers, or of heads, by positions, heads or neurons, from its largest cell on: `values` are by layer and part, `behind` columns
// of the table stand behind the parts, and `says(row, part, value)` is what a cell says. False where there is no cell.
function walkParts(view, host, data, values, behind, says) {
  const table = view.querySelector("table");
  const rows = table ? [...table.tBodies[0].rows].map((row) => [...row.querySelectorAll("td")]) : [];
  const columns = table ? [...table.tHead.rows[0].cells] : [], heads = columns.slice(1, columns.length - behind);
  if (!heads.length || !rows.length) return false;
  // Of a large table the page has some of the columns.
  const shown = heads.map((head) => Number((head.querySelector("small") ?? head).textContent));
  const what = "neurons" in data.columns ? "neuron" : "head";
  const names = heads.map((head, i) => head.querySelector("bdi") ? cut(head.querySelector("bdi").textContent, 24) + " " + shown[i] : what[0] + shown[i]);
  // Where rows are heads the page may have some of them.
  const name = (row) => "L" + data.layers[row] + (data.heads ? " h" + data.heads[row] : "");
  const places = data.heads && new Map(data.heads.map((_, row) => [name(row), row]));
  const at = [...table.tBodies[0].rows].map((row, i) => places ? places.get(row.cells[0].textContent) : i);
  const value = (row, column) => unpack(values[at[row]] ?? []).values[shown[column]];
  const describe = (row, column) => [
    node("span", { className: "what" }, name(at[row]) + " ", node("bdi", { textContent: names[column] })),
    says(at[row], shown[column], value(row, column)),
  ];
  let best = [0, 0];
  rows.forEach((cells, row) => cells.forEach((cell, column) => {
    cell.removeAttribute("title");
    if (Math.abs(value(row, column)) > Math.abs(value(...best)) || !Number.isFinite(value(...best))) best = [row, column];
  }));
  const isPlaces = Boolean(view.querySelector("thead div"));
  // What is held: a part of a layer, or of a head, and where.
  const cell = ([row, column]) => ({ layer: data.layers[at[row]], ...(data.heads && { head: data.heads[at[row]] }),
    ...(isPlaces ? { positions: shown[column] } : what === "neuron" ? { neurons: [shown[column]] } : { head: shown[column] }) });
  walk(view, (places ? "Heads by " : "Layers by ") + (isPlaces ? "positions." : what + "s."), describe, null, best,
    (held) => hold(host, held && { position: isPlaces ? shown[held[1]] : undefined, cell: cell(held) })).update();
  return true;
}
