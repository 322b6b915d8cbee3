"use strict";
// Shared by every view: each brings a copy, in any order, before or after its data.
const registry = (globalThis.eccoViews ??= { mounts: new Map(), waiting: new Set() });
registry.upgrade ??= (element) => {
  if (element.shadowRoot) return; // moved within the page: still mounted
  const mount = registry.mounts.get(element.dataset.view);
  const island = element.querySelector('script[type="application/json"]');
  // While a page is being parsed the island may be missing or half there; the script after it comes back here.
  if (!mount || !island || !island.nextElementSibling) return void registry.waiting.add(element);
  registry.waiting.delete(element);
  try {
    const view = element.querySelector(".ecco").cloneNode(true);
    view.classList.add("live");
    for (const hint of view.querySelectorAll(".readout > [hidden]")) hint.hidden = false; // of what only a script can do
    mount(view, JSON.parse(island.textContent), element);
    element.attachShadow({ mode: "open" }).append(element.querySelector("style").cloneNode(true), view);
  } catch (error) {
    console.error("ecco: " + element.dataset.view + " stays static", error);
  }
};

function define(tag, view, mount) {
  registry.mounts.set(view, (element, data, host) => {
    // What `:has` says of a static view: asked of one that changes, it would give all of it its style anew with every change.
    element.classList.toggle("fits", !!element.querySelector(":scope>:is(.flow,.scroll,.wide)"));
    mount(element, data, host);
    copies(element);
    live(element, host);
  });
  if (!customElements.get(tag)) {
    customElements.define(tag, class extends HTMLElement {
      connectedCallback() { registry.upgrade(this); }
    });
  }
  for (const element of [...registry.waiting]) registry.upgrade(element);
}

// The floats of a row as it stands in the page: packed or, where it is short, an array.
function floats(row) {
  if (Array.isArray(row)) return row;
  const bytes = Uint8Array.from(atob(row.f32 ?? row.i16), (c) => c.charCodeAt(0)), bits = new DataView(bytes.buffer);
  if (row.f32 !== undefined) return Float32Array.from({ length: bytes.length / 4 }, (_, i) => bits.getFloat32(4 * i, true));
  const peak = Math.fround(row.peak);
  return Float32Array.from({ length: bytes.length / 2 }, (_, i) => {
    const unit = bits.getInt16(2 * i, true);
    return unit === -32768 ? NaN : (unit / 32767) * peak;
  });
}

// A row as numbers, NaN where there is none, and the largest size among them; kept once decoded.
const decoded = new WeakMap();
function unpack(row) {
  if (!decoded.has(row)) {
    const values = Float64Array.from(floats(row), (value) => value ?? NaN);
    decoded.set(row, { values, peak: values.reduce((peak, value) => Number.isFinite(value) ? Math.max(peak, Math.abs(value)) : peak, 0) });
  }
  return decoded.get(row);
}

// A table of texts and numbers as CSV. A text that a spreadsheet would run as a formula has a ' before it, as in the files of `save`.
function csv(rows) {
  const cell = (value) => (typeof value === "string" ? '"' + (/^[=+\-@\t\r＝＋－＠]/.test(value) ? "'" : "") + value.replaceAll('"', '""') + '"' : String(value ?? ""));
  return rows.map((row) => row.map(cell).join(",") + "\r\n").join("");
}

// The shortest decimal that is this 32-bit float, as documents have it.
function decimal(value) {
  if (!Number.isFinite(value)) return null;
  for (let digits = 6; ; digits++) {
    const short = Number(value.toPrecision(digits));
    if (digits === 9 || Math.fround(short) === value) return short;
  }
}

// The document: what stands in the page with every row unpacked.
function unpackAll(value) {
  if (Array.isArray(value)) return value.map(unpackAll);
  if (value === null || typeof value !== "object") return value;
  if (typeof (value.f32 ?? value.i16) === "string") return Array.from(floats(value), decimal);
  return Object.fromEntries(Object.entries(value).map(([name, field]) => [name, unpackAll(field)]));
}

// Numbers for people, as `numbers.rs` has them; both are held to `tests/numbers.json`. What lies exactly between two
// decimals goes to the even one, as in Rust; the browser's own functions round it up.
function even(rounded, exact, digits) {
  const point = exact.indexOf("."), lower = exact.slice(0, point + (digits && digits + 1));
  return /^50*$/.test(exact.slice(point + 1 + digits)) && "02468".includes(lower.at(-1)) ? lower : rounded;
}

function fixed(value, digits) {
  if (!Number.isFinite(value)) return "–";
  return even(value.toFixed(digits), value.toFixed(Math.min(digits + 30, 100)), digits);
}

function scientific(value, digits) {
  const [rounded, exponent] = value.toExponential(digits).split("e"), [exact, same] = value.toExponential(digits + 30).split("e");
  return (same === exponent ? even(rounded, exact, digits) : rounded) + "e" + Number(exponent);
}

// As people write it: with a minus, and no hyphen, before it.
const minus = (number) => String(number).replace(/^-/, "−");

function share(value) {
  const percent = value * 100, size = Math.abs(percent);
  return !Number.isFinite(value) ? "–" : size < 0.05 ? "0%" : minus(fixed(percent, size >= 9.95 ? 0 : 1)) + "%";
}

// The same with two digits however small: 0.024%.
function fineShare(value) {
  const percent = value * 100;
  return percent >= 0.05 || !(percent > 0) || !Number.isFinite(value) ? share(value) : signed(percent).slice(1) + "%";
}

// A contribution with its sign and two digits.
function signed(value) {
  const size = Math.abs(value);
  if (!Number.isFinite(value) || size === 0) return value === 0 ? "0" : "–";
  const text = scientific(size, 1), exponent = Number(text.split("e")[1]);
  return (value < 0 ? "−" : "+") + (exponent < -4 || exponent >= 6 ? text : fixed(size, Math.max(1 - exponent, 0)));
}

// A divergence: 1.5, 0.03, 4.2e-4.
function nats(value) {
  return !Number.isFinite(value) ? "–" : value > 0 && value < 0.005 ? scientific(value, 1) : String(Number(fixed(value, 2)));
}

// About four significant digits.
function short(value) {
  const size = Math.abs(value);
  if (!Number.isFinite(value)) return value === Infinity ? "inf" : value === -Infinity ? "−inf" : "NaN";
  if (size && (size < 1e-4 || size >= 1e6)) return minus(scientific(value, 3));
  return minus(Number(fixed(value, Math.min(Math.max(3 - Math.floor(Math.log10(size || 1)), 0), 7))));
}

// A number for a sentence.
const exact = (value) => Number.isFinite(value) ? minus(Number(value.toPrecision(3))) : "no number";

// A position beside a token in plain text: ₁₉.
const lower = (position) => String(position).replace(/\d/g, (digit) => String.fromCharCode(0x2080 + Number(digit)));

// One way to name a neuron, as `names.rs` has it.
const neuronName = (layer, neuron) => (layer === null ? "" : "L" + layer + " ") + "n" + neuron;

// A rank, from 1 on; 0 says that there is none.
function ranked(rank) {
  return rank ? String(rank).replace(/\B(?=(\d{3})+$)/g, ",") : "–"; // a browser's own way takes ten milliseconds for its first number
}

// Values in order of their size, the first `n` that are not zero.
function strongest(values, n) {
  return [...values.keys()].filter((i) => values[i]).sort((a, b) => Math.abs(values[b]) - Math.abs(values[a]) || a - b).slice(0, n);
}

function node(name, properties, ...children) {
  const element = Object.assign(document.createElement(name), properties);
  element.append(...children);
  return element;
}

// Buttons of which one is on: `choose(i)` is called with it.
function ways(label, names, choose, first = 0) {
  const group = node("span", { className: "choices", role: "group", ariaLabel: label }), buttons = names.map((textContent, i) => node("button", {
    type: "button", textContent, ariaPressed: i === first, onclick: () => {
      buttons.forEach((button, k) => { button.ariaPressed = k === i; });
      choose(i);
    },
  }));
  group.append(...buttons);
  return group;
}

// A line of script that a click copies.
function copier(text) {
  const done = (is) => code.classList.toggle("copied", is);
  const code = node("button", { type: "button", className: "call", title: "Copy", textContent: text, onclick: () => {
    const copied = navigator.clipboard?.writeText(code.textContent) ?? Promise.reject();
    copied.then(() => { done(true); setTimeout(done, 1500, false); }, () => getSelection().selectAllChildren(code));
  } });
  return code;
}

// What is held in a view, or null: a place (`position`), a part of the model (`part`: its name, and as entries of
// interventions its layer and head, neurons or site), a cell of a map (`cell`: such an entry). The same place of the same text is marked in the other views on the page.
function hold(host, what) {
  host.dispatchEvent(new CustomEvent("ecco:held", { detail: what }));
  const { text } = host.dataset;
  if (text) for (const other of document.querySelectorAll('[data-text="' + text + '"]')) if (other !== host) mark(other, what);
}

function mark(host, what) {
  const view = host.shadowRoot?.querySelector(".ecco");
  if (!view) return;
  for (const old of view.querySelectorAll(".marked")) old.classList.remove("marked");
  const position = String(what?.position), part = what?.part?.name;
  for (const number of view.querySelectorAll(".flow>span>small,.targets>span>small,thead th small")) if (number.textContent === position) number.parentNode.classList.add("marked");
  if (part) for (const row of view.querySelectorAll("tbody th")) if (row.textContent.trim() === part) row.classList.add("marked");
}

// Beneath a view whose token at a position is held, or null: what to ask of that place, to be copied.
function nextCalls(view, host) {
  const line = node("div", { className: "next", hidden: true }), of = host.dataset.call?.match(/^(\w+)\.\w+\(/)?.[1];
  (view.querySelector(".readout") ?? view.querySelector(".flow")).after(line);
  return (position) => {
    hold(host, Number.isInteger(position) ? { position } : null);
    line.hidden = position === null || position === undefined || of === "lm";
    const name = (of ?? "output") + ".", option = "(#{position: " + position + "})";
    if (!line.hidden) line.replaceChildren(copier(name + "candidates(" + position + ")"), copier(name + "logit_attribution" + option), copier(name + "layer_predictions" + option));
  };
}

// The first `n` characters, with an ellipsis if there are more.
function cut(label, n) {
  const characters = [...label];
  return characters.length <= n ? label : characters.slice(0, n - 1).join("") + "…";
}

// What labels tokens as the page does: texts with dots for the spaces at their ends, and the page's list of exceptions.
function labeller(view) {
  const exceptions = JSON.parse(view.dataset.labels);
  const plain = (text) => text.replace(/^ +| +$/g, (spaces) => "·".repeat(spaces.length));
  return ({ text, part }) => (exceptions[text] ?? plain(text)) + (part ? " " + part.join("/") : "");
}

// A token's label as it stands in its box, and its position.
function named(box) {
  return [box.querySelector("bdi").cloneNode(true), " ", node("small", { textContent: box.querySelector("small").textContent })];
}

// Moves the focus among buttons of which one is in the tab order; false if the key is not ours.
function step(event, at, count) {
  const to = { ArrowLeft: at - 1, ArrowUp: at - 1, ArrowRight: at + 1, ArrowDown: at + 1, Home: 0, End: count - 1 }[event.key];
  return to === undefined || event.ctrlKey || event.metaKey || event.altKey ? -1 : Math.min(Math.max(to, 0), count - 1);
}

// Choosing one of some elements: the arrow keys or a hover show it, a click or Enter holds it, Escape releases it.
// `show(k)` shows choice k, `point(box)` a token that is pointed at besides; `parts` are where pointers count, `also` other
// elements that stand for a choice; those where `isQuiet(k)` only a click or a key chooses. `holds(k)` learns which is held, or
// null. Where `rests`, nothing is chosen, and null shown, until something is pointed at or held.
function chooser(choices, { first = 0, label, parts = [], also = [], rests = false, isQuiet = () => false, holds, show, point }) {
  const index = new Map([...also, ...choices.map((element, k) => [element, k])]);
  const groups = [...new Set(choices.map((element) => element.parentNode))];
  let selected = first, held = false, preview = null;
  function update() {
    for (const element of groups.flatMap((group) => [...group.querySelectorAll(":scope > [role=button]:is([aria-pressed=true],[tabindex='0'])")])) {
      element.setAttribute("aria-pressed", "false");
      element.tabIndex = -1;
      element.classList.remove("held");
    }
    choices[selected].tabIndex = 0;
    choices[selected].setAttribute("aria-pressed", held);
    choices[selected].classList.toggle("held", held);
    show(preview ?? (rests && !held ? null : selected));
    holds?.(held ? selected : null);
  }
  function release() {
    preview = null;
    update();
  }
  function choose(k) {
    held = !(held && k === selected);
    selected = k;
    release();
  }
  // A choice, or undefined; other tokens are pointed at.
  const under = (event) => {
    let element = event.target;
    while (element !== event.currentTarget && !index.has(element)) element = element.parentNode;
    return [index.get(element), event.target.closest(".flow > span")];
  };
  function over(event) {
    if (event.pointerType === "touch") return;
    const [k, element] = under(event);
    if (k !== undefined && !held && !isQuiet(k)) {
      preview = k;
      update();
    } else point?.(element);
  }
  function click(event) {
    const [k, element] = under(event);
    if (k === undefined) return void point?.(element);
    choose(k);
    choices[k].focus();
  }
  function key(event) {
    const to = step(event, selected, choices.length);
    if (to >= 0) {
      selected = to;
      preview = rests && !held ? to : null;
      update();
      choices[to].focus();
    } else if (event.key === "Enter" && !event.shiftKey && !event.ctrlKey || event.key === " ") choose(selected);
    else if (event.key === "Escape" && (held || preview !== null)) {
      held = false;
      if (isQuiet(selected)) selected = first;
      release();
    } else return;
    event.preventDefault();
    event.stopPropagation(); // the notebook has its own meaning for these keys
  }
  const areas = [...groups.filter((group) => !parts.some((part) => part.contains(group))), ...parts];
  for (const part of new Set(areas)) {
    part.addEventListener("pointerover", over);
    part.addEventListener("pointerleave", release);
    part.addEventListener("click", click);
  }
  for (const group of groups) {
    group.addEventListener("keydown", key);
    if (rests) group.addEventListener("focusout", (event) => { if (!group.contains(event.relatedTarget)) release(); });
    group.setAttribute("role", "group");
    group.setAttribute("aria-label", label + " Enter holds it, Escape releases it.");
  }
  for (const element of choices) {
    element.tabIndex = -1;
    element.setAttribute("role", "button");
    element.setAttribute("aria-pressed", "false");
  }
  update();
}

// The index of the first box that passes, where those after it do too; boxes stand in reading order, so it is found by halving.
function firstBox(boxes, passes) {
  let low = 0, high = boxes.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (boxes[middle].classList.contains("later") || passes(boxes[middle].getBoundingClientRect())) high = middle;
    else low = middle + 1;
  }
  return low;
}

// A function that paints all boxes. Of a long sequence only those near the screen, the others when they come near;
// `paint.all` is for when everything is looked at.
function painter(boxes, paintBox) {
  const all = () => boxes.forEach((_, i) => paintBox(i));
  if (boxes.length <= 600) return Object.assign(() => all(), { all });
  const near = () => {
    listen(boxes[0].isConnected);
    if (!boxes[0].isConnected) return; // taken off the page, perhaps for good
    const end = firstBox(boxes, (place) => place.top > innerHeight + 400);
    for (let i = firstBox(boxes, (place) => place.bottom > -400); i < end; i++) paintBox(i);
  };
  let waiting = false;
  const later = () => {
    if (!waiting) requestAnimationFrame(() => { waiting = false; near(); });
    waiting = true;
  };
  function listen(yes) {
    const change = yes ? addEventListener : removeEventListener;
    change("scroll", later, { capture: true, passive: true });
    change("resize", later);
    change("beforeprint", all);
  }
  boxes[0].parentNode.addEventListener("scroll", later, { passive: true }); // which does not leave the view
  later();
  return Object.assign(near, { all });
}
