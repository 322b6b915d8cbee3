define("ecco-parts", "parts-2", (view, data, host) => {
  const heads = [...view.querySelectorAll(".grid thead th")].slice(1).map((head) => head.textContent);
  const value = (row, column) => {
    const layer = data.layers[row], at = heads[column];
    if (data.by === "neuron") return data.neurons[row].part;
    if (at.startsWith("head ")) return unpack(data.heads[row]).values[column];
    return { attention: layer.attention, MLP: layer.mlp, "cross-attention": layer.cross, bias: unpack(data.attention_bias).values[row] }[at];
  };
  const at = (column) => heads[column] === "bias" ? "attention's bias" : heads[column];
  const describe = (row, column) => {
    const written = value(row, column), ofLogit = data.logit && Number.isFinite(written) ? ", " + share(written / data.logit) + " of the " + (data.contrast ? "difference" : "logit") : "";
    const neuron = data.by === "neuron" ? data.neurons[row] : null;
    const full = at(column), name = neuron ? "layer " + neuron.layer + ", neuron " + neuron.neuron : "layer " + row + ", " + full;
    return [part(strong(name)), part((written > 0 ? "+" : "") + short(written) + ofLogit),
      ...(neuron ? [part("activation " + short(neuron.activation))] : [])];
  };
  const table = walk(view, "What each part wrote to the logit.", describe);
  saveMenu(view, host, data);
  table?.update();
});
