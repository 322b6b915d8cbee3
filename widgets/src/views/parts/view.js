define("ecco-parts", "parts-3", (view, data, host) => {
  const heads = [...view.querySelectorAll(".grid thead th")].slice(1).map((head) => head.textContent);
  const written = ({ attention, cross, mlp }) => attention + (cross ?? 0) + mlp;
  const value = (row, column) => {
    const layer = data.layers[row], at = heads[column];
    if (data.by === "neuron") return data.neurons[row].part;
    if (at.startsWith("head ")) return unpack(data.heads[row]).values[column];
    if (at === "logit so far") return data.layers.slice(0, row + 1).reduce((sum, layer) => sum + written(layer), data.embedding + data.bias);
    return { attention: layer.attention, MLP: layer.mlp, "cross-attention": layer.cross, bias: unpack(data.attention_bias).values[row] }[at];
  };
  const plus = (size) => (size > 0 ? "+" : "") + short(size);
  const describe = (row, column) => {
    const part_of = value(row, column), ofLogit = data.logit && Number.isFinite(part_of) ? ", " + share(part_of / data.logit) + " of the " + (data.contrast ? "difference" : "logit") : "";
    const neuron = data.by === "neuron" ? data.neurons[row] : null, at = heads[column];
    if (at === "logit so far") return [part(strong("L" + row)), part((data.contrast ? "difference" : "logit") + " after it: " + short(part_of))];
    const name = neuron ? neuronName(neuron.layer, neuron.neuron) : "L" + row + " " + (at.startsWith("head ") ? "h" + at.slice(5) : at === "bias" ? "attention's bias" : at);
    return [part(strong(name)), part("wrote " + plus(part_of) + ofLogit), ...(neuron ? [part("activation " + short(neuron.activation))] : [])];
  };
  // What is held as a part of the model.
  const held = ([row, column]) => {
    const at = heads[column], neuron = data.by === "neuron" ? data.neurons[row] : null;
    if (neuron) return { entries: [{ layer: neuron.layer, neurons: [neuron.neuron] }], name: neuronName(neuron.layer, neuron.neuron) };
    if (at.startsWith("head ")) return { entries: [{ layer: row, head: column }], name: "L" + row + " h" + column };
    const site = { attention: "attention_output", MLP: "mlp_output" }[at];
    return site ? { entries: [{ layer: row, site }], name: "L" + row + " " + at } : undefined;
  };
  const table = walk(view, "What each part wrote to the logit.", describe, null, undefined, (at) => hold(host, at && { position: data.position, part: held(at) }));
  if (table && data.by !== "neuron") few(table.rows);
  saveMenu(view, host, data);
  table?.update();

  // Of many parts only the largest, if wanted.
  function few(rows) {
    const MOST = 10, cells = rows.flatMap((cells, row) => cells.map((cell, column) => [cell, Math.abs(value(row, column)) || 0, column]))
      .filter(([, , column]) => heads[column] !== "logit so far").sort((a, b) => b[1] - a[1]);
    if (cells.length <= 2 * MOST) return;
    const show = (only) => cells.forEach(([cell], i) => cell.classList.toggle("small", only && i >= MOST));
    view.querySelector(".head").append(ways("Which parts", ["all", "the " + MOST + " largest"], (i) => show(i === 1)));
  }
});
