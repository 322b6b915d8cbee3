define("ecco-ranks", "ranks-2", (view, data, host) => {
  const heads = [...view.querySelectorAll(".grid thead th")].slice(1);
  const describe = (row, column) => [
    part(heads[column].querySelector("bdi").cloneNode(true), " position " + data.positions[column] + ", id " + data.tokens[column].id),
    part("layer " + data.layers[row] + ": rank ", strong(ranked(data.ranks[row][column])), ", " + share(unpack(data.probabilities[row]).values[column])),
    part("first at rank 1: " + (data.layers.find((_, layer) => data.ranks[layer][column] === 1) ?? "never")),
  ];
  const table = walk(view, "Ranks of tokens after each layer.", describe, ([, column], [, c]) => c === column, undefined,
    (at) => hold(host, at && { position: data.positions[at[1]] }));
  saveMenu(view, host, data);
  table?.update();
});
