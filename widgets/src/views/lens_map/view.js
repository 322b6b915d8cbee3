define("ecco-lens", "lens-3", (view, data, host) => {
  const label = labeller(view);
  const heads = [...view.querySelectorAll(".grid thead th")].slice(1);
  const all = data.readings.flat();
  // Missing numbers count for nothing in a maximum, and have no colour.
  const largest = (name) => Math.max(...all.map((reading) => reading[name] ?? 0), 1e-9);
  const most = largest("entropy"), far = largest("divergence"), below = (value, top) => (value === null ? 0 : 1 - value / top);
  // Name, what is drawn, what the scale's ends are, what a cell says. Strong colours are what one looks for: sure, and near
  // to the output.
  const shares = ["0", "100%"], toNone = (nats) => [short(nats) + " nats", "0"];
  const metrics = {
    probability: [(reading) => reading.top[0]?.probability ?? 0, shares],
    ...(all.some((reading) => reading.rank !== undefined) && {
      "text's token": [(reading) => reading.probability ?? 0, shares, (reading) => "rank " + ranked(reading.rank)],
    }),
    entropy: [(reading) => below(reading.entropy, most), toNone(most), (reading) => short(reading.entropy)],
    "KL to the output": [(reading) => below(reading.divergence, far), toNone(far), (reading) => short(reading.divergence)],
  };
  const describe = (row, column) => {
    const reading = data.readings[row][column], { position, token } = data.columns[column];
    const top = reading.top.slice(0, 5).map((token) => part(strong(label(token)), " " + share(token.probability)));
    return [part("layer " + data.layers[row] + ", position " + position), ...top,
      part("entropy " + short(reading.entropy) + " nats, KL to the output " + short(reading.divergence) + " nats"),
      ...(token && reading.rank !== undefined ? [part(heads[column].querySelector("bdi").cloneNode(true), " rank " + ranked(reading.rank) + ", " + share(reading.probability))] : [])];
  };
  const best = (row, column) => data.readings[row][column].top[0]?.id;
  const table = walk(view, "Each layer's most probable token at each place.", describe, ([row, column], [r, c]) => c === column && best(r, c) === best(row, column), undefined,
    (at) => hold(host, at && { position: data.columns[at[1]].position }));
  if (!table) return;
  const cells = table.rows.map((row) => row.map((cell) => ({ cell, label: cell.querySelector("bdi") })));

  function colour(name) {
    const [strength, ends, text] = metrics[name];
    [".low", ".peak"].forEach((end, i) => { view.querySelector(".legend " + end).textContent = ends[i]; });
    data.readings.forEach((row, r) => row.forEach((reading, c) => {
      const { cell, label } = cells[r][c];
      cell.removeAttribute("style"); // inline colours are for pages without styles
      cell.style.setProperty("--s", Math.min(Math.max(strength(reading), 0), 1).toFixed(3));
      cell.replaceChildren(label, ...(text ? [" ", node("small", { textContent: text(reading) })] : []));
    }));
    for (const button of choices.children) button.setAttribute("aria-pressed", button.textContent === name);
  }
  const choices = node("span", { className: "choices" }, ...Object.keys(metrics).map((name) =>
    node("button", { type: "button", textContent: name, onclick: () => colour(name) })));
  choices.setAttribute("role", "group");
  choices.setAttribute("aria-label", "What colours show");
  view.querySelector(".metric").replaceChildren("coloured by ", choices);
  saveMenu(view, host, data);
  colour("probability");
  table.update();
});
