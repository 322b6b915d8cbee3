// The table as it stands on the screen.
function drawnTable(view, table, title) {
  const frame = table.getBoundingClientRect();
  const { add, text, source } = drawing(view, title, Math.ceil(frame.width) + 16, Math.ceil(frame.height) + 16);
  for (const cell of table.querySelectorAll("th,td")) {
    const { x, y, width, height } = cell.getBoundingClientRect(), left = x - frame.x + 8, top = y - frame.y + 8;
    const turned = cell.querySelector("div");
    const font = { "font-size": 10, fill: getComputedStyle(cell).color };
    if (cell.localName === "td") add("rect", { x: left, y: top, width, height, ...ground(getComputedStyle(cell)) });
    if (turned) text(turned.textContent, { ...font, transform: "translate(" + (left + width / 2 + 3) + " " + (top + height - 16) + ") rotate(-90)" });
    else text(cell.textContent, { ...font, x: left + width / 2, y: top + height / 2 + 4, "text-anchor": "middle" });
  }
  return source();
}
