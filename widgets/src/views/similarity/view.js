define("ecco-similarity", "similarity-2", (view, data, host) => {
  for (const cell of view.querySelectorAll(".grid td")) {
    cell.style.removeProperty("background-color"); // inline colours are for pages without styles
    cell.style.removeProperty("color");
  }
  saveMenu(view, host, data);
  const [row, rows] = data.rows, [column, columns] = data.columns;
  walk(view, data.title + ".", (i, j) => {
    const value = unpack(data.values[i] ?? []).values[j] ?? NaN;
    return [part(strong(row + " " + rows[i]), " and ", strong(column + " " + columns[j])), part(Number.isNaN(value) ? "no similarity" : short(value))];
  });
});
