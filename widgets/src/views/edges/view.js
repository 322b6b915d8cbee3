define("ecco-edges", "edges-1", (view, data, host) => {
  const rows = () => csv([["from", "to", "score", "measured"], ...data.edges.map(({ from, to, score, measured }) => [from, to, score, measured])]);
  saveMenu(view, host, data, { csv: ["text/csv", rows] });
});
