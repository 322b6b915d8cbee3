define("ecco-patch-map", "patch-map-3", (view, data, host) => {
  const measured = (row, part) => {
    const cell = data.estimate.measured.find((cell) => cell.row === row && cell.column === part);
    return cell ? "; measured: " + exact(cell.restored) : "";
  };
  const says = (row, part, restored) => {
    const answer = data.corrupted + restored * (data.clean - data.corrupted);
    return data.estimate ? "would restore " + exact(restored) + measured(row, part) : "restores " + exact(restored) + ": the answer becomes " + exact(answer);
  };
  if (walkParts(view, data, data.restored, 0, says)) saveMenu(view, host, data);
});
