define("ecco-patch-map", "patch-map-5", (view, data, host) => {
  const intervals = data.pairs?.interval.map((row) => unpack(row).values);
  const measured = (row, part) => {
    const cell = data.estimate.measured.find((cell) => cell.row === row && cell.column === part);
    return cell ? "; measured: " + exact(cell.restored) : "";
  };
  const says = (row, part, restored) => {
    if (intervals) return "restores " + exact(restored) + (Number.isFinite(intervals[row][part]) ? " ± " + exact(intervals[row][part]) : "") + " on average";
    const answer = data.corrupted + restored * (data.clean - data.corrupted);
    return data.estimate ? "would restore " + exact(restored) + measured(row, part) : "restores " + exact(restored) + ": the answer becomes " + exact(answer);
  };
  if (walkParts(view, host, data, data.restored, 0, says)) saveMenu(view, host, data);
});
