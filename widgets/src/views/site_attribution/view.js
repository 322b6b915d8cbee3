define("ecco-site-attribution", "site-attribution-1", (view, data, host) => {
  const says = (row, _, contribution) => {
    const { sum, promised } = data.sums[row] ?? {};
    const whole = promised === null || promised === undefined ? "" : ", promised " + exact(promised);
    return "contributes " + exact(contribution) + " to " + exact(data.value) + "; the layer sums to " + exact(sum) + whole;
  };
  if (walkParts(view, host, data, data.contributions, 1, says)) saveMenu(view, host, data);
});
