// Attention as a matrix that can be enlarged: what looks down, what is looked at across. A head has a hue; where several are chosen a
// cell has the mean of their hues, each by its weight, and is as strong as the largest of them.
const HUES = [[31, 111, 235], [217, 119, 6], [22, 150, 80], [200, 30, 110], [124, 58, 237], [13, 148, 160]];
const hue = (i) => HUES[i % HUES.length];
const NARROWEST = 9, WIDEST = 40;

// `rows(q)` gives what query q looks at, a row for each chosen head; `point` hears which cell is pointed at, or null, `choose` which
// is clicked or held.
function matrix({ keys, queries, first, rows, point, choose }) {
  const n = queries.length - first, canvas = node("canvas"), mark = node("span", { className: "mark", hidden: true });
  const pane = node("div", { className: "pane", tabIndex: 0 }, canvas, mark), across = node("div", { className: "tops" }), down = node("div", { className: "lefts" });
  const whole = node("div", { className: "matrix" }, node("small", { textContent: "looks ↓ at →" }), across, down, pane);
  const image = node("canvas", { width: keys.length, height: n }), pixels = image.getContext("2d").createImageData(keys.length, n);
  // The cell at the pane's upper left, in cells; how wide one is, in pixels; what is pointed at by keys.
  let [x, y] = [0, 0], size = 0, at = [first, 0], seen = [0, 0];
  const label = (box) => node("span", {}, box.querySelector("bdi").cloneNode(true), " ", node("small", { textContent: box.querySelector("small").textContent }));

  function fill() {
    const all = queries.slice(first).map((_, i) => rows(first + i));
    let peak = 0;
    for (const some of all) for (const row of some) for (const weight of row) if (weight > peak) peak = weight;
    pixels.data.fill(0);
    all.forEach((some, i) => {
      for (let k = 0; k < some[0].length; k++) {
        let sum = 0, most = 0, colour = [0, 0, 0];
        some.forEach((row, head) => {
          const weight = row[k] > 0 ? row[k] : 0;
          sum += weight;
          most = Math.max(most, weight);
          colour = colour.map((part, c) => part + weight * hue(head)[c]);
        });
        if (sum) pixels.data.set([...colour.map((part) => part / sum), 255 * most / peak], 4 * (i * keys.length + k));
      }
    });
    image.getContext("2d").putImageData(pixels, 0, 0);
    draw();
    return peak;
  }

  // As much as the view is wide and a screen is high.
  function fit() {
    const room = whole.clientWidth - 110;
    size = Math.min(Math.max(Math.min(room / keys.length, 460 / n), 1), 22);
    [x, y] = [0, 0];
    draw();
  }
  function zoom(factor, [fx, fy] = [0.5, 0.5]) {
    const before = size;
    size = Math.min(Math.max(size * factor, 1), WIDEST);
    x += fx * seen[0] * (1 - before / size);
    y += fy * seen[1] * (1 - before / size);
    draw();
  }
  function draw() {
    if (!size) return;
    const room = Math.max(whole.clientWidth - 110, 60), width = Math.min(room, size * keys.length), height = Math.min(460, size * n), sharp = devicePixelRatio || 1;
    seen = [width / size, height / size];
    x = Math.min(Math.max(x, 0), keys.length - seen[0]);
    y = Math.min(Math.max(y, 0), n - seen[1]);
    Object.assign(canvas, { width: Math.round(width * sharp), height: Math.round(height * sharp) });
    canvas.style.cssText = "width:" + width + "px;height:" + height + "px";
    const pen = canvas.getContext("2d");
    pen.imageSmoothingEnabled = size < 1;
    pen.drawImage(image, x, y, ...seen, 0, 0, canvas.width, canvas.height);
    // As many labels as there is room for, of cells that are seen.
    const step = Math.max(Math.ceil(NARROWEST / size), 1);
    const axis = (boxes, from, count, place) => [...Array(Math.ceil(count) + 1).keys()].map((i) => Math.floor(from) + i)
      .filter((i) => i % step === 0 && i + 0.5 >= from && i + 0.5 <= from + count && boxes[i]).map((i) => {
        const name = label(boxes[i]);
        name.style.cssText = place((i + 0.5 - from) * size);
        return name;
      });
    across.replaceChildren(...axis(keys, x, seen[0], (left) => "left:" + left + "px"));
    down.replaceChildren(...axis(queries.slice(first), y, seen[1], (top) => "top:" + top + "px"));
    across.style.width = width + "px";
    down.style.height = height + "px";
    stand();
  }
  function stand() {
    const [q, k] = at;
    mark.style.cssText = "left:" + (k - x) * size + "px;top:" + (q - first - y) * size + "px;width:" + size + "px;height:" + size + "px";
  }
  const under = (event) => {
    const frame = canvas.getBoundingClientRect();
    const k = Math.floor((event.clientX - frame.left) / size + x), q = first + Math.floor((event.clientY - frame.top) / size + y);
    return q >= first && q < queries.length && k >= 0 && k < keys.length ? [q, k] : null;
  };
  function go(to) {
    at = to;
    mark.hidden = false;
    const [q, k] = [at[0] - first, at[1]];
    if (k < x || k + 1 > x + seen[0] || q < y || q + 1 > y + seen[1]) {
      [x, y] = [k - seen[0] / 2, q - seen[1] / 2];
      draw();
    }
    stand();
    point(at);
  }

  let grip = null, isMoved = false;
  pane.addEventListener("pointerdown", (event) => {
    grip = [event.clientX, event.clientY, x, y];
    isMoved = false;
  });
  pane.addEventListener("pointermove", (event) => {
    if (grip && event.buttons) {
      const [dx, dy] = [grip[0] - event.clientX, grip[1] - event.clientY];
      if (Math.hypot(dx, dy) < 4 && !isMoved) return;
      isMoved = true;
      pane.setPointerCapture(event.pointerId);
      [x, y] = [grip[2] + dx / size, grip[3] + dy / size];
      return void draw();
    }
    const cell = under(event);
    if (cell) go(cell);
  });
  pane.addEventListener("pointerleave", () => {
    mark.hidden = true;
    point(null);
  });
  pane.addEventListener("click", (event) => {
    const cell = under(event);
    grip = null;
    if (cell && !isMoved) choose(cell);
  });
  // A wheel alone scrolls the page.
  pane.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    const frame = canvas.getBoundingClientRect();
    zoom(event.deltaY < 0 ? 1.25 : 0.8, [(event.clientX - frame.left) / frame.width, (event.clientY - frame.top) / frame.height]);
  }, { passive: false });
  pane.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const [q, k] = at, moves = { ArrowUp: [q - 1, k], ArrowDown: [q + 1, k], ArrowLeft: [q, k - 1], ArrowRight: [q, k + 1], Home: [q, 0], End: [q, keys.length - 1] }[event.key];
    if (moves) go([Math.min(Math.max(moves[0], first), queries.length - 1), Math.min(Math.max(moves[1], 0), keys.length - 1)]);
    else if (event.key === "+" || event.key === "=") zoom(1.5);
    else if (event.key === "-") zoom(1 / 1.5);
    else if (event.key === "0") fit();
    else if (event.key === "Enter" || event.key === " ") choose(at);
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
  pane.setAttribute("role", "group");
  pane.setAttribute("aria-label", "Matrix: tokens that look, down; those that are looked at, across. Arrow keys move, plus and minus change its size, Enter holds the row.");
  new ResizeObserver(draw).observe(whole);
  const button = (textContent, ariaLabel, onclick) => node("button", { type: "button", textContent, ariaLabel, title: ariaLabel, onclick });
  const tools = node("span", { className: "choices", role: "group", ariaLabel: "Size of the matrix" },
    button("−", "Smaller", () => zoom(1 / 1.5)), button("+", "Larger", () => zoom(1.5)), button("fit", "As a whole", fit));
  return { whole, tools, fill, fit };
}
