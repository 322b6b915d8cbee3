define("ecco-top-k", "top-k-1", (view, data, host) => {
  const label = labeller(view);
  const describe = (row) => {
    const { position, rank, probability, top } = data.positions[row];
    return [part("position " + position), ...top.map((token) => part(strong(label(token)), " " + share(token.probability))),
      ...(rank > top.length ? [part("the one that stands there: rank " + ranked(rank) + ", " + fineShare(probability))] : [])];
  };
  const table = walk(view, "The most probable tokens, a row for each position.", describe, ([row], [r]) => r === row);
  saveMenu(view, host, data);
  table?.update();
});
