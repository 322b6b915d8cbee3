define("ecco-edges", "edges-1", (view, data, host) => {
  const cell = (value) => /[",\r\n]/.test(value) ? '"' + value.replaceAll('"', '""') + '"' : value;
  const csv = () => ["from,to,score,measured", ...data.edges.map(({ from, to, score, measured }) => [cell(from), cell(to), score, measured ?? ""].join(","))].join("\r\n");
  saveMenu(view, host, data, { csv: ["text/csv", csv] });
});
