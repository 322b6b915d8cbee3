define("ecco-similarity", "similarity-1", (view, data, host) => {
  for (const cell of view.querySelectorAll(".grid td")) {
    cell.style.removeProperty("background-color"); // inline colours are for pages without styles
    cell.style.removeProperty("color");
  }
  saveMenu(view, host, "similarity", {
    svg: ["image/svg+xml", () => tablePicture(view, host, data.title)],
    json: ["application/json", () => JSON.stringify(data)],
  });
  const [row, rows] = data.rows, [column, columns] = data.columns;
  walk(view, data.title + ".", (i, j) => {
    const value = data.values[i][j];
    return [part(strong(row + " " + rows[i]), " and ", strong(column + " " + columns[j])), part(value === null ? "no similarity" : short(value))];
  });
});
