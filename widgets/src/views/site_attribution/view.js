define("ecco-site-attribution", "site-attribution-1", (view, data, host) => {
  const table = view.querySelector("table");
  const rows = table ? [...table.tBodies[0].rows].map((row) => [...row.querySelectorAll("td")]) : [];
  const heads = table ? [...table.tHead.rows[0].cells].slice(1, -1) : [];
  if (!heads.length || !rows.length) return;
  // Of a large table the page has some of the columns.
  const shown = heads.map((head) => Number((head.querySelector("small") ?? head).textContent));
  const what = "neurons" in data.columns ? "neuron " : "head ";
  const names = heads.map((head, i) => head.querySelector("bdi") ? cut(head.querySelector("bdi").textContent, 24) + " " + shown[i] : what + shown[i]);
  const value = (row, column) => unpack(data.contributions[row] ?? []).values[shown[column]];
  const exact = (x) => Number.isFinite(x) ? String(Number(x.toPrecision(3))).replace("-", "−") : "no number";
  const describe = (row, column) => {
    const { sum, promised } = data.sums[row] ?? {};
    const whole = promised === null || promised === undefined ? "" : ", promised " + exact(promised);
    return [node("span", { className: "what" }, "layer " + data.layers[row] + ", ", node("bdi", { textContent: names[column] })),
      "contributes " + exact(value(row, column)) + " to " + exact(data.value) + "; the layer sums to " + exact(sum) + whole];
  };
  let best = [0, 0];
  rows.forEach((cells, row) => cells.forEach((cell, column) => {
    cell.removeAttribute("title");
    if (Math.abs(value(row, column)) > Math.abs(value(...best)) || !Number.isFinite(value(...best))) best = [row, column];
  }));
  walk(view, "Layers by " + (view.querySelector("thead div") ? "positions." : what.trim() + "s."), describe, null, best).update();
  saveMenu(view, host, data);
});
