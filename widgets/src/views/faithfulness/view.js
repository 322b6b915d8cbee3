define("ecco-faithfulness", "faithfulness-3", (view, data, host) => {
  const plots = [...view.querySelectorAll(".plots > svg")];
  const chips = [...view.querySelectorAll(".targets > span")];
  const steps = unpack(data.steps).values;
  const targets = data.targets.map(({ deletion, insertion, random }) => ({
    found: [deletion, insertion].map((row) => unpack(row).values),
    random: random?.map((row) => unpack(row).values),
  }));
  // Point by point over the targets that reach so far.
  const mean = (curves) => Array.from(steps, (_, i) => {
    const values = curves.filter((curve) => i < curve.length).map((curve) => curve[i]);
    return values.reduce((sum, value) => sum + value, 0) / values.length;
  });
  const both = (of) => [0, 1].map((which) => mean(targets.map((target) => of(target)[which])));
  const all = [{ found: both((target) => target.found), random: targets.every((target) => target.random) && both((target) => target.random) }, ...targets];
  const highest = Math.max(Number.MIN_VALUE, ...targets.flatMap(({ found, random }) => [...found, ...(random ?? [])]).flatMap((curve) => [...curve.filter(Number.isFinite)]));
  // The picture's own geometry: where its axis starts and ends.
  const axis = plots[0]?.querySelector(".axis").getAttribute("d").match(/[\d.]+/g).map(Number);
  function line(values) {
    const [left, top, bottom, right] = axis;
    let on = false, path = "";
    steps.forEach((step, i) => {
      const value = values[i];
      if (!Number.isFinite(value)) return void (on = false);
      const y = top + (1 - Math.min(Math.max(value / highest, 0), 1)) * (bottom - top);
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
  const rows = () => csv([["target", "curve", "step", "value"], ...all.flatMap(({ found, random }, k) => [["deletion", found[0]], ["insertion", found[1]],
    ["random deletion", random?.[0] ?? []], ["random insertion", random?.[1] ?? []]].flatMap(([name, values]) =>
    Array.from(values, (value, i) => [k ? k - 1 : "mean", name, decimal(steps[i]), decimal(Math.fround(value))])))]);
  saveMenu(view, host, data, { csv: ["text/csv", rows] });
});
