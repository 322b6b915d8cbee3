define("ecco-tokens", "tokens-1", (view, data, host) => {
  const boxes = [...view.querySelector(".flow").children].filter((child) => child.localName === "span"), next = nextCalls(view, host);
  if (boxes.length) chooser(boxes, { label: "Tokens. Arrow keys choose one,", rests: true, first: Math.min(data.n_input, boxes.length - 1), show: () => {}, holds: next });
});
