define("ecco-circuit-curve", "circuit-curve-1", (view, data, host) => {
  const csv = () => ["edges,kept,faithfulness,without,random", ...data.circuits.map(({ n, kept, faithfulness, without, random }) =>
    [n, kept, faithfulness ?? "", without ?? "", random.length ? random.reduce((sum, share) => sum + share, 0) / random.length : ""].join(","))].join("\r\n");
  saveMenu(view, host, data, { csv: ["text/csv", csv] });
});
