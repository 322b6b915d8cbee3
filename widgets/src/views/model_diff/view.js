define("ecco-model-diff", "model-diff-1", (view, data, host) => {
  const rows = () => csv([["text", "position", "token", "divergence"], ...data.texts.flatMap(({ tokens, divergences }, text) =>
    [...unpack(divergences).values].map((value, position) => [text, position, tokens[position]?.text, Number.isFinite(value) ? value : null]))]);
  saveMenu(view, host, data, { csv: ["text/csv", rows] });
});
