define("ecco-patch-map", "patch-map-3", (view, data, host) => {
  const table = view.querySelector("table");
  const rows = table ? [...table.tBodies[0].rows].map((row) => [...row.querySelectorAll("td")]) : [];
  const heads = table ? [...table.tHead.rows[0].cells].slice(1) : [], width = heads.length, height = rows.length;
  if (!width || !height) return;
  // Of a large map the page has some of the columns.
  const shown = heads.map((head) => Number((head.querySelector("small") ?? head).textContent));
  const what = "neurons" in data.columns ? "neuron " : "head ";
  const names = heads.map((head, i) => head.querySelector("bdi") ? cut(head.querySelector("bdi").textContent, 24) + " " + shown[i] : what + shown[i]);
  const value = (row, column) => unpack(data.restored[row] ?? []).values[shown[column]];
  const exact = (x) => Number.isFinite(x) ? String(Number(x.toPrecision(3))).replace("-", "−") : "no number";
  const measured = (row, column) => {
    const cell = data.estimate.measured.find((cell) => cell.row === row && cell.column === shown[column]);
    return cell ? "; measured: " + exact(cell.restored) : "";
  };
  const describe = (row, column) => {
    const restored = value(row, column), answer = data.corrupted + restored * (data.clean - data.corrupted);
    return [node("span", { className: "what" }, "layer " + data.layers[row] + ", ", node("bdi", { textContent: names[column] })),
      data.estimate ? "would restore " + exact(restored) + measured(row, column) : "restores " + exact(restored) + ": the answer becomes " + exact(answer)];
  };
  let best = [0, 0];
  rows.forEach((cells, row) => cells.forEach((cell, column) => {
    cell.removeAttribute("title");
    if (Math.abs(value(row, column)) > Math.abs(value(...best)) || !Number.isFinite(value(...best))) best = [row, column];
  }));
  walk(view, "Layers by " + (view.querySelector("thead div") ? "positions." : what.trim() + "s."), describe, null, best).update();
  saveMenu(view, host, data);
});
