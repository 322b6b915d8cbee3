define("ecco-layer-predictions", "layer-predictions-2", (view, data, host) => {
  const token = (row, column) => data.readings[row].top[column];
  const label = (row, column) => table.rows[row][column].querySelector("bdi").cloneNode(true);
  const describe = (row, column) => {
    const { id } = token(row, column), { entropy, divergence } = data.readings[row];
    const places = data.readings.flatMap((reading, layer) => {
      const rank = reading.top.findIndex((other) => other.id === id);
      return rank < 0 ? [] : [part("layer " + data.layers[layer] + ": " + (rank + 1) + ", " + share(reading.top[rank].probability))];
    });
    return [part(label(row, column), " id " + id), ...places,
      part("layer " + data.layers[row] + ": entropy " + short(entropy) + " nats, " + short(divergence) + " nats from the output")];
  };
  const table = walk(view, "The most probable tokens after each layer.", describe, ([row, column], [r, c]) => token(row, column).id === token(r, c).id, undefined,
    (at) => hold(host, at && { position: data.position }));
  saveMenu(view, host, data);
  table?.update();
});
