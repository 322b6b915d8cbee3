define("ecco-vocabulary", "vocabulary-1", (view, data, host) => {
  const label = labeller(view);
  const n = (view.querySelector("thead tr")?.cells.length - 1) / 2;
  const describe = (row, column) => {
    const { label: name, promotes, suppresses } = data.rows[row];
    const at = column < n ? promotes[column] : suppresses[column - n];
    return at ? [part(strong(name)), part(strong(label(at.token)), " " + (at.value > 0 ? "+" : "") + short(at.value))] : [part(strong(name))];
  };
  const table = walk(view, "Tokens that each row promotes and suppresses.", describe);
  saveMenu(view, host, data);
  table?.update();
});
