define("ecco-faithfulness", "faithfulness-1", (view, data, host) => {
  const plots = [...view.querySelectorAll(".plots > svg")];
  const chips = [...view.querySelectorAll(".targets > span")];
  const all = [data.mean, ...data.targets];
  // The picture's own geometry: where its axis starts and ends.
  const axis = plots[0]?.querySelector(".axis").getAttribute("d").match(/[\d.]+/g).map(Number);
  function line(values) {
    const [left, top, bottom, right] = axis;
    let on = false, path = "";
    data.steps.forEach((step, i) => {
      const value = values[i];
      if (typeof value !== "number") return void (on = false);
      const y = top + (1 - Math.min(Math.max(value / data.highest, 0), 1)) * (bottom - top);
      path += (on ? "L" : "M") + (left + step * (right - left)).toFixed(1) + " " + y.toFixed(1);
      on = true;
    });
    return path;
  }
  function show(k) {
    chips.forEach((chip, i) => chip.classList.toggle("on", i === k));
    plots.forEach((plot, which) => {
      plot.querySelector(".found").setAttribute("d", line(all[k].found[which]));
      plot.querySelector(".random")?.setAttribute("d", all[k].random ? line(all[k].random[which]) : "");
    });
  }
  if (plots.length && chips.length) chooser(chips, { label: "Targets. Arrow keys choose one,", show });
  const csv = () => ["target,curve,step,value", ...all.flatMap(({ found, random }, k) => [["deletion", found[0]], ["insertion", found[1]],
    ["random deletion", random?.[0] ?? []], ["random insertion", random?.[1] ?? []]].flatMap(([name, values]) =>
    values.map((value, i) => [k ? k - 1 : "mean", name, data.steps[i], value].join(","))))].join("\r\n");
  saveMenu(view, host, "faithfulness", {
    csv: ["text/csv", csv],
    json: ["application/json", () => JSON.stringify(data)],
  });
});
