// What a long text needs besides its boxes: a search for tokens, and the whole of it as a strip of its colours, beside which the text
// scrolls: an overview that is pulled as a scroll bar is. `strength(i)` is a box's colour on the view's scale, no number where it has none.
const SEARCHED = 60, OVERVIEWED = 300, MOST_COLUMNS = 1200, STEPS = 32;
// So many boxes are drawn at once, more than a tall text shows of itself; the others when the page is idle, in parts.
const FIRST_DRAWN = 400;

const whenIdle = (work) => requestAnimationFrame(() => globalThis.requestIdleCallback ? requestIdleCallback(work, { timeout: 1000 }) : setTimeout(work, 30));

function longText(view, boxes, strength) {
  if (boxes.length <= SEARCHED) return () => {};
  const flow = boxes[0].parentNode, isTall = strength && boxes.length > OVERVIEWED;
  let found = [], at = 0;
  function bring(i) {
    if (!isTall) return boxes[i].scrollIntoView({ block: "nearest" });
    drawAll();
    const box = boxes[i].getBoundingClientRect(), frame = flow.getBoundingClientRect();
    flow.scrollTop += box.top + box.height / 2 - frame.top - frame.height / 2;
  }

  // Where the text has what is looked for, also across tokens: the box in which each place begins.
  const words = boxes.map((box) => box.querySelector("bdi").textContent.replaceAll("·", " ").toLowerCase()), starts = [];
  words.reduce((from, word, i) => (starts[i] = from) + word.length, 0);
  const whole = words.join("");
  function look(query) {
    const places = [];
    for (let from = query ? whole.indexOf(query) : -1, i = 0; from >= 0; from = whole.indexOf(query, from + 1)) {
      while (starts[i + 1] <= from) i++;
      if (places.at(-1) !== i) places.push(i);
    }
    return places;
  }
  const says = node("small", { role: "status" }), input = node("input", { type: "search", className: "find", placeholder: "find", ariaLabel: "Find in the text; Enter for the next place" });
  function go(to) {
    at = (to + found.length) % (found.length || 1);
    says.textContent = found.length ? at + 1 + " of " + found.length : input.value ? "nowhere" : "";
    if (found.length) bring(found[at]);
  }
  input.oninput = () => {
    for (const i of found) boxes[i].classList.remove("found");
    found = look(input.value.toLowerCase());
    for (const i of found) boxes[i].classList.add("found");
    go(0);
    draw();
  };
  input.onkeydown = (event) => {
    event.stopPropagation(); // the notebook's keys are letters and Enter
    if (event.key === "Enter") go(at + (event.shiftKey ? -1 : 1));
    if (event.key === "Escape") { input.value = ""; input.oninput(); }
  };
  view.querySelector(".head").append(node("span", { className: "choices" }, input, " ", says));
  if (!isTall) return draw;

  flow.classList.add("tall");
  const { drawAll } = later(flow, boxes);
  const columns = Math.min(boxes.length, MOST_COLUMNS), canvas = node("canvas", { width: columns, height: 9 }), pen = canvas.getContext("2d");
  const seen = node("i"), strip = node("div", { className: "overview", title: "The whole text: pull to go on" }, canvas, seen), colours = shades(view, strip);
  flow.before(strip);
  function draw() {
    if (!isTall || !canvas.isConnected) return;
    const colour = colours(), strongest = new Float64Array(columns), column = (i) => Math.floor(i * columns / boxes.length);
    boxes.forEach((_, i) => { if (Math.abs(strength(i)) > Math.abs(strongest[column(i)])) strongest[column(i)] = strength(i); });
    pen.clearRect(0, 0, columns, 9);
    strongest.forEach((value, x) => {
      pen.fillStyle = colour(value);
      pen.fillRect(x, 0, 1, 8);
    });
    pen.fillStyle = getComputedStyle(strip).color;
    for (const i of found) pen.fillRect(column(i), 6, Math.max(1, columns / 300), 3);
    frame();
  }
  function frame() {
    const { top, bottom } = flow.getBoundingClientRect();
    const first = firstBox(boxes, (place) => place.bottom > top), end = firstBox(boxes, (place) => place.top >= bottom);
    seen.style.cssText = "left:" + 100 * first / boxes.length + "%;width:" + 100 * (end - first) / boxes.length + "%";
  }
  flow.addEventListener("scroll", frame, { passive: true });
  const pull = ({ clientX, buttons }) => {
    const { left, width } = strip.getBoundingClientRect();
    if (buttons) bring(Math.max(0, Math.min(Math.floor((clientX - left) / width * boxes.length), boxes.length - 1)));
  };
  strip.addEventListener("pointerdown", (event) => { strip.setPointerCapture(event.pointerId); pull(event); });
  strip.addEventListener("pointermove", pull);
  whenIdle(draw);
  return draw;
}

// Gives what says the colour of a strength on a view's scale, in the theme that is on now, for what is no element of a style sheet.
function shades(view, place) {
  const probe = node("i", { hidden: true });
  place.append(probe);
  let colours = new Map(), ground = "";
  const colour = (strength) => {
    const step = Math.round(Math.max(-1, Math.min(strength, 1)) * STEPS);
    if (!colours.has(step)) {
      probe.setAttribute("style", "--s:" + step / STEPS);
      colours.set(step, getComputedStyle(probe).backgroundColor);
    }
    return colours.get(step);
  };
  return () => {
    const now = getComputedStyle(view).backgroundColor;
    if (now !== ground) colours = new Map();
    ground = now;
    return colour;
  };
}

// Leaves out of the drawing what stands behind a text's first boxes, until the page has nothing else to do, or somebody goes there.
function later(flow, boxes) {
  const rest = boxes.length > FIRST_DRAWN ? [...flow.children].slice([...flow.children].indexOf(boxes[FIRST_DRAWN])) : [];
  let drawn = FIRST_DRAWN;
  for (const element of rest) element.classList.add("later");
  function more(count) {
    for (const element of rest.splice(0, count)) element.classList.remove("later");
    drawn += count;
    flow.dispatchEvent(new Event("scroll")); // what is near the screen is painted
  }
  const drawAll = () => { if (rest.length) more(rest.length); }, going = ["keydown", "focusin"];
  function idle() {
    if (rest.length) more(drawn);
    if (rest.length) return whenIdle(idle);
    removeEventListener("beforeprint", drawAll);
    for (const type of going) flow.removeEventListener(type, drawAll, true);
  }
  addEventListener("beforeprint", drawAll);
  for (const type of going) flow.addEventListener(type, drawAll, true);
  whenIdle(idle);
  return { drawAll };
}

// What is copied of a text is the text: no positions and no marks for what cannot be seen, each token whole.
const SEEN = { "·": " ", "\\n": "\n", "\\t": "\t", "\\r": "\r", "∅": "" };
function copies(view) {
  const unseen = (mark) => mark.replace(/·|\\[ntr]|∅|U\+([0-9A-F]{2,6})/g, (one, code) => code ? String.fromCodePoint(parseInt(code, 16)) : SEEN[one]);
  const textOf = (bdi) => [...bdi.childNodes].map((part) => part.nodeType === Node.TEXT_NODE ? part.data : unseen(part.textContent)).join("");
  view.addEventListener("copy", (event) => {
    const chosen = view.getRootNode().getSelection?.(), range = chosen?.rangeCount && !chosen.isCollapsed ? chosen.getRangeAt(0) : null;
    const boxes = range ? [...view.querySelectorAll(".flow>span:not(.more)")].filter((box) => range.intersectsNode(box)) : [];
    if (boxes.length < 2) return; // a part of a token, or what is no text of the model's
    event.clipboardData.setData("text/plain", boxes.map((box) => textOf(box.querySelector("bdi>bdi") ?? box.querySelector("bdi"))).join(""));
    event.preventDefault();
  });
}
