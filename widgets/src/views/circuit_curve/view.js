define("ecco-circuit-curve", "circuit-curve-1", (view, data, host) => {
  const mean = (values) => values.length ? values.reduce((sum, value) => sum + value, 0) / values.length : null;
  const rows = () => csv([["edges", "kept", "faithfulness", "without", "random"], ...data.circuits.map(({ n, kept, faithfulness, without, random }) =>
    [n, kept, faithfulness, without, mean([...unpack(random).values])])]);
  saveMenu(view, host, data, { csv: ["text/csv", rows] });
});
