define("ecco-tokens", "tokens-3", (view, data, host) => {
  const flow = view.querySelector(".flow"), boxes = [...flow.children].filter((child) => child.localName === "span");
  saveMenu(view, host, data);
  if (!boxes.length) return;
  longText(view, boxes);
  const hint = "Point at a token.", readout = node("div", { className: "readout", role: "status", textContent: hint });
  flow.after(readout);
  let pointed = null, isAsked = false;

  function show(k) {
    pointed = k;
    if (k === null) return void (readout.textContent = hint);
    const { probabilities, ranks = [] } = data, isKnown = Number.isInteger(ranks[k]);
    const said = isKnown ? [fineShare(unpack(probabilities).values[k]), "rank " + ranked(ranks[k])] : k < data.n_input ? ["given"] : [];
    readout.replaceChildren(...named(boxes[k]), " " + [...said, "id " + data.tokens[k].id].join(", "));
    if (!isKnown && k >= data.n_input) learn();
  }
  // What the model thought of its tokens is a pass more: the first token that is pointed at asks for it, where a kernel answers.
  async function learn() {
    if (isAsked) return;
    isAsked = true;
    const score = await host.eccoTalk?.look({ next: "score" });
    isAsked = score !== undefined;
    if (!score) return;
    Object.assign(data, { probabilities: score.probabilities, ranks: score.ranks });
    host.eccoTalk.remember(data);
    show(pointed);
  }
  chooser(boxes, { label: "Tokens. Arrow keys choose one,", rests: true, first: Math.min(data.n_input, boxes.length - 1), show, holds: nextCalls(view, host) });
});
