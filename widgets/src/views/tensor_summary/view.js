define("ecco-tensor", "tensor-1", (view, data, host) => {
  const { places, deepest, infinite = [], minus_infinite = [] } = data.cells, SHADES = 16;
  // Of each axis how far two neighbours are apart in the order of values.
  const strides = places.map((_, axis) => places.slice(axis + 1).reduce((n, of) => n * of.length, 1));
  const values = data.cells.values ? unpack(data.cells.values).values : Float64Array.from(gathered(data.data, 0), (value) => value ?? NaN);
  for (const at of infinite) values[at] = Infinity;
  for (const at of minus_infinite) values[at] = -Infinity;
  const name = (axis) => data.axes[axis] || "axis " + axis;

  function gathered(value, axis) {
    if (axis === places.length) return [value];
    const row = Array.isArray(value) ? value : floats(value);
    return places[axis].flatMap((at) => gathered(row[at], axis + 1));
  }

  // Where cells stand along a direction, as in `picture.rs`: {at, number, of: the place on each of its axes}; and its facets, the
  // blocks of its outermost axis where there are axes within.
  function direction(axes) {
    let cells = [{ at: 0, number: 0, of: [] }], extent = 1, facets = [];
    axes.toReversed().forEach((axis, level) => {
      let at = 0;
      const isWithin = cells.length > 1, blocks = [];
      const outer = places[axis].flatMap((place, i) => {
        if (i) at += extent + level + (places[axis][i - 1] + 1 !== place ? level + 1 : 0);
        blocks.push({ at, extent, text: (i ? "" : name(axis) + " ") + place });
        return cells.map((cell) => ({ at: at + cell.at, number: i * strides[axis] + cell.number, of: [[axis, place], ...cell.of] }));
      });
      if (places[axis].length > 1) facets = isWithin ? blocks : [];
      cells = outer;
      extent += at;
    });
    return { cells, extent, facets };
  }

  // First as the picture without a script has it.
  const across = places.map(() => false), sides = [1, 1];
  for (let axis = places.length - 1; axis >= 0; axis--) {
    across[axis] = sides[0] <= sides[1];
    sides[across[axis] ? 0 : 1] *= places[axis].length;
  }

  const frame = view.querySelector(".picture"), svg = frame.querySelector("svg.cells"), readout = view.querySelector(".readout");
  const put = (element, attributes) => Object.entries(attributes).forEach(([key, value]) => element.setAttribute(key, value));
  const shape = (of, attributes) => put(svg.appendChild(document.createElementNS(svg.namespaceURI, of)), attributes);
  const top = node("div", { className: "top" }), left = node("div", { className: "left" }), drawn = node("div", { className: "drawn" }, node("span"), top, left);
  svg.replaceWith(drawn);
  drawn.append(svg);
  let columns, rows, cursor = null;

  // The names of facets, where they have room.
  function names(strip, { facets, extent }, size, [start, length], least) {
    const pixels = (cells) => cells / extent * size, every = Math.max(Math.ceil(least / pixels(facets[0]?.extent ?? extent)), 1);
    strip.replaceChildren(...facets.filter((_, i) => i % every === 0).map(({ at, extent: n, text }) => {
      const label = node("span", { textContent: text });
      label.style[start] = pixels(at) + "px";
      label.style[length] = Math.max(pixels(n), least) + "px";
      return label;
    }));
    strip.hidden = !facets.length;
  }

  function paint() {
    [columns, rows] = [true, false].map((is) => direction(places.keys().filter((axis) => across[axis] === is).toArray()));
    const side = (most, extent) => Math.min(Math.max(most / extent, 0.5), 22), wide = columns.extent, high = rows.extent;
    svg.replaceChildren();
    put(svg, { width: wide * side(700, wide), height: high * side(360, high), viewBox: "0 0 " + wide + " " + high });
    names(top, columns, wide * side(700, wide), ["left", "width"], 48);
    names(left, rows, high * side(360, high), ["top", "height"], 14);
    const paths = new Map();
    for (const { at: y, number: row } of rows.cells) {
      for (let i = 0, n; i < columns.cells.length; i += n) {
        const { at: x, number } = columns.cells[i], shade = shadeOf(row + number);
        for (n = 1; columns.cells[i + n]?.at === x + n && shadeOf(row + columns.cells[i + n].number) === shade; n++);
        const crosses = () => Array.from({ length: n }, (_, k) => "M" + (x + k) + " " + y + "l1 1m-1 0l1 -1").join("");
        const path = shade === null ? crosses() : "M" + x + " " + y + "h" + n + "v1h-" + n + "z";
        paths.set(shade, (paths.get(shade) ?? "") + path);
      }
    }
    for (const [shade, d] of paths) {
      if (shade === null) shape("path", { class: "bad", d });
      else if (shade === 0) shape("path", { class: "ground", d });
      else shape("path", { style: "--s:" + shade / SHADES, d });
    }
    mark(null);
  }

  function shadeOf(number) {
    const value = values[number];
    return Number.isFinite(value) ? Math.round(Math.min(Math.max(deepest > 0 ? value / deepest : 0, -1), 1) * SHADES) : null;
  }

  // What stands at a cell, and a ring around it.
  function mark(place) {
    cursor = place;
    svg.querySelector(".mark")?.remove();
    if (!place) return void (readout.textContent = "Point at a value, or walk with the arrow keys.");
    const [x, y] = [columns.cells[place[0]], rows.cells[place[1]]];
    shape("rect", { class: "mark", x: x.at, y: y.at, width: 1, height: 1 });
    const at = [...x.of, ...y.of].sort(([a], [b]) => a - b).map(([axis, of]) => name(axis) + " " + of);
    readout.textContent = at.join(" · ") + ": " + short(values[x.number + y.number]);
  }

  // The last cell that begins before a place; none in a gap.
  function under(cells, place) {
    const at = cells.findLastIndex((cell) => cell.at <= place);
    return at >= 0 && place < cells[at].at + 1 ? at : null;
  }
  function point(event) {
    const box = svg.getBoundingClientRect();
    const x = under(columns.cells, (event.clientX - box.left) / box.width * columns.extent);
    const y = under(rows.cells, (event.clientY - box.top) / box.height * rows.extent);
    if (x !== null && y !== null) mark([x, y]);
  }
  svg.addEventListener("pointermove", point);
  svg.addEventListener("click", point);
  svg.addEventListener("keydown", (event) => {
    const [dx, dy] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key] ?? [0, 0];
    if (event.ctrlKey || event.metaKey || event.altKey || !(dx || dy || event.key === "Escape" && cursor)) return;
    const within = (at, n) => Math.min(Math.max(at, 0), n - 1);
    mark(event.key === "Escape" ? null : cursor ? [within(cursor[0] + dx, columns.cells.length), within(cursor[1] + dy, rows.cells.length)] : [0, 0]);
    event.preventDefault();
    event.stopPropagation(); // the notebook has its own meaning for these keys
  });
  svg.setAttribute("tabindex", "0");
  svg.setAttribute("aria-label", "Values as colours. Arrow keys walk from one to the next.");

  // A button for each axis that has something to choose.
  const turned = places.keys().filter((axis) => places[axis].length > 1).toArray();
  const label = (axis) => name(axis) + (across[axis] ? " → across" : " ↓ down");
  const buttons = turned.map((axis) => node("button", {
    type: "button", textContent: label(axis), ariaPressed: across[axis], title: "Lay it out the other way", onclick: (event) => {
      across[axis] = !across[axis];
      event.currentTarget.textContent = label(axis);
      event.currentTarget.ariaPressed = across[axis];
      paint();
    },
  }));
  frame.querySelector(".about").replaceWith(node("div", { className: "axes" }, "axes, the outermost first:", node("span", { className: "choices", role: "group", ariaLabel: "Axes across" }, ...buttons)));
  paint();

  const table = () => csv([[...places.keys().map(name), "value"], ...rows.cells.flatMap((y) => columns.cells.map((x) =>
    [...[...x.of, ...y.of].sort(([a], [b]) => a - b).map(([, of]) => of), values[x.number + y.number]]))]);
  saveMenu(view, host, data, { csv: ["text/csv", table] });
});
