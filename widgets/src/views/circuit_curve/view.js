define("ecco-circuit-curve", "circuit-curve-1", (view, data, host) => {
  const mean = (values) => values.length ? values.reduce((sum, value) => sum + value, 0) / values.length : "";
  const csv = () => ["edges,kept,faithfulness,without,random", ...data.circuits.map(({ n, kept, faithfulness, without, random }) =>
    [n, kept, faithfulness ?? "", without ?? "", mean([...unpack(random).values])].join(","))].join("\r\n");
  saveMenu(view, host, data, { csv: ["text/csv", csv] });
});
