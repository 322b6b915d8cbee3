define("ecco-heads", "heads-1", (view, data, host) => {
  const table = view.querySelector("table"), readout = view.querySelector(".readout");
  const values = data.values.map((layers) => layers.map((heads) => unpack(heads).values));
  const rows = [...table.tBodies[0].rows].map((row) => ({ row, at: row.cells[0].textContent.match(/\d+/g).map(Number) }));
  const headings = [...table.tHead.rows[0].cells].slice(1);
  const value = (score, [layer, head]) => values[score][layer][head];
  let by = Math.max(data.scores.indexOf(data.by), 0), down = true;

  function sort() {
    const size = (at) => { const found = value(by, at); return Number.isFinite(found) ? (down ? -found : found) : Infinity; };
    rows.sort((a, b) => { const x = size(a.at), y = size(b.at); return x < y ? -1 : x > y ? 1 : a.at[0] - b.at[0] || a.at[1] - b.at[1]; });
    table.tBodies[0].append(...rows.map(({ row }) => row));
    for (const [score, heading] of headings.entries()) {
      if (score === by) heading.setAttribute("aria-sort", down ? "descending" : "ascending");
      else heading.removeAttribute("aria-sort");
    }
    readout.replaceChildren("Sorted by " + headings[by].textContent + (down ? ", largest first." : ", smallest first."));
  }

  for (const [score, heading] of headings.entries()) {
    const button = node("button", { type: "button", textContent: heading.textContent });
    button.addEventListener("click", () => {
      down = score === by ? !down : true;
      by = score;
      sort();
    });
    heading.replaceChildren(button);
  }
  saveMenu(view, host, data);
  if (headings.length) sort();
});
