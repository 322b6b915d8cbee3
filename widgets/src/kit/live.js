// Views that ask the kernel: docs/live.md. A host with a channel takes the event `ecco:ask` by preventDefault, and answers
// with `ecco:answer`. What was answered stays in the page, which shows it without a kernel too.
const MOST_KEPT = 8, LARGEST_KEPT = 1 << 20;
const PLACES = ["target", "contrast", "position", "positions", "spans", "ignore_tokens"];

function live(view, host) {
  if (host.dataset.live || host.querySelector(":scope > script.kept")) (host.eccoTalk ??= talk(host)).enter(view);
}

function talk(host) {
  const waiting = new Map(), own = host.querySelector(':scope > div > .ecco'), island = host.querySelector('script[type="application/json"]');
  let script = host.querySelector(":scope > script.kept");
  const kept = script ? JSON.parse(script.textContent) : [], first = { call: {}, line: "", html: own.outerHTML, data: island.textContent };
  let view, state = "", asked = 0, now = first, place = null, busy = false;

  // The kernel's answer, or null where nobody takes the question.
  const ask = (call) => new Promise((done) => {
    waiting.set(++asked, done);
    const detail = { ask: asked, question: { result: host.dataset.live, ...(call && { call }) } };
    if (host.dispatchEvent(new CustomEvent("ecco:ask", { bubbles: true, composed: true, cancelable: true, detail }))) {
      waiting.delete(asked);
      done(null);
    }
  });
  host.addEventListener("ecco:answer", ({ detail }) => {
    waiting.get(detail.ask)?.(detail);
    waiting.delete(detail.ask);
  });
  host.addEventListener("ecco:channel", () => greet());

  async function greet() {
    const reply = host.dataset.live ? await ask() : null, answer = reply?.answer;
    state = !reply ? "none" : answer && !answer.gone ? "live" : "gone";
    if (state === "live") Object.assign(first, { choices: answer, line: answer.line });
    draw();
  }

  // Asks for another view in the place of this one.
  async function go(call) {
    const known = kept.find((entry) => JSON.stringify(entry.call) === JSON.stringify(call));
    if (known) return show(known);
    say("…");
    busy = true;
    let reply = await ask(call);
    if (reply?.closed) reply = await ask(call); // by what somebody else said there
    if (reply?.replaced) return;
    busy = false;
    if (!reply?.answer?.html) return say(reply?.error ?? "The kernel does not answer: run the cell again.");
    const part = new DOMParser().parseFromString(reply.answer.html, "text/html"), element = part.querySelector(host.localName);
    if (element?.dataset.view !== host.dataset.view) return say("The kernel is of another version: run the cell again.");
    const { line, choices } = reply.answer;
    keep({ call, line, choices, html: element.querySelector(".ecco").outerHTML, data: element.querySelector("script").textContent });
  }

  function keep(entry) {
    kept.push(entry);
    let text;
    while (kept.length > MOST_KEPT || (text = JSON.stringify(kept)).length > LARGEST_KEPT) kept.shift();
    script ??= host.insertBefore(node("script", { type: "application/ecco+json", className: "kept" }), island); // parsed before the script that reads it
    script.textContent = text.replaceAll("<", "\\u003c");
    show(entry);
  }

  function show(entry) {
    const focus = view.getRootNode().activeElement;
    const fresh = document.importNode(new DOMParser().parseFromString(entry.html, "text/html").querySelector(".ecco"), true);
    if (entry.call.text !== now.call.text) place = null;
    now = entry;
    fresh.classList.add("live");
    const old = view;
    registry.mounts.get(host.dataset.view)(fresh, JSON.parse(entry.data), host);
    old.replaceWith(fresh);
    if (panel.contains(focus)) focus.focus({ preventScroll: true });
  }

  const change = (options) => go({ text: now.call.text, options: { ...now.choices.options, ...options } });

  // The same with another text: places in it mean nothing any more.
  function rewrite(tokens, at) {
    const { n_input: n, writes, options } = now.choices, count = now.choices.tokens.length - n;
    const text = { read: tokens.slice(0, n).join(""), written: tokens.slice(n).join("") };
    if (writes && at < n) Object.assign(text, { written: "", generate: count });
    go({ text, options: Object.fromEntries(Object.entries(options).filter(([name]) => !PLACES.includes(name))) });
  }

  const say = (text) => { message.textContent = text; };
  const button = (textContent, onclick, properties) => node("button", { type: "button", textContent, onclick, ...properties });
  const visible = (text) => text.replace(/^ +| +$/g, (spaces) => "·".repeat(spaces.length)).replace(/\n/g, "⏎").replace(/\t/g, "⇥") || "·";

  const choices = node("div", { className: "choices" }), text = node("div", { className: "choices text" }), editor = node("div", { className: "choices" });
  const visited = node("div", { className: "choices visited" }), code = node("code"), message = node("span", { className: "say" });
  message.setAttribute("role", "status");
  const copy = button("Copy", () => navigator.clipboard.writeText(code.textContent).then(() => say("copied"), () => getSelection().selectAllChildren(code)));
  const panel = node("div", { className: "ask", hidden: true }, choices, text, editor, visited, node("div", { className: "line" }, code, copy), message);
  // The notebook's keys are letters and Enter.
  panel.addEventListener("keydown", (event) => event.stopPropagation());
  panel.addEventListener("focusin", () => { host.dataset.lmSuppressShortcuts = true; });
  panel.addEventListener("focusout", () => { delete host.dataset.lmSuppressShortcuts; });
  const opener = button("Ask", () => { panel.hidden = !panel.hidden; draw(); });
  const quiet = node("span", { className: "quiet", textContent: "not live" });
  const again = button("Run the cell", () => host.dispatchEvent(new CustomEvent("ecco:run", { bubbles: true, composed: true })));
  const status = node("span", { className: "talk choices" });

  function enter(fresh) {
    view = fresh;
    view.querySelector(".head").append(status);
    view.append(panel);
    if (!state) greet();
    // Where a channel came later.
    view.addEventListener("pointerenter", () => { if (state === "none") greet(); });
    draw();
  }

  function draw() {
    const open = state === "live" || kept.length > 0;
    quiet.title = state === "gone" ? "The kernel that made this view has ended, or forgotten it." : "No kernel answers here; the view needs none.";
    status.replaceChildren(...(open ? [opener] : []), ...(state && state !== "live" ? [quiet] : []), ...(state === "gone" ? [again] : []));
    opener.setAttribute("aria-expanded", !panel.hidden);
    if (!open) panel.hidden = true;
    if (!panel.hidden) fill();
  }

  function fill() {
    const can = state === "live" && now.choices;
    choices.replaceChildren(...(can ? can.offers.map(offered) : []));
    text.replaceChildren(...(can ? can.tokens.map((token, i) =>
      button(visible(token), () => { place = place === i ? null : i; fill(); }, { title: "position " + i, ariaPressed: place === i, disabled: !token })) : []));
    editor.replaceChildren(...(can && place !== null ? edited(can) : []));
    visited.replaceChildren(...(kept.length ? [first, ...kept].map((entry) =>
      button(entry.line || "as it was", () => show(entry), { ariaPressed: entry === now })) : []));
    code.textContent = now.line;
    code.parentNode.hidden = !now.line;
    if (!busy) say(can ? place === null ? "Choose a token to change it, or to ask about its place." : "" : kept.length ? "Not live: what was asked before is kept." : "");
  }

  // An option and its values, the default first where none is chosen.
  function offered({ name, values }) {
    const chosen = now.choices.options[name] ?? values[0];
    const select = node("select", { onchange: () => change({ [name]: values[select.selectedIndex] }) },
      ...values.map((value) => node("option", { textContent: value, selected: value === chosen })));
    return node("label", {}, name + " ", select);
  }

  function edited({ tokens, can_edit: canEdit, place: option, has_targets: hasTargets }) {
    const at = place, input = node("input", { value: tokens[at], size: 12, ariaLabel: "In the place of this token" });
    const put = (value) => rewrite(Object.assign([...tokens], { [at]: value }), at);
    const list = option === "positions" ? [at] : at;
    input.onkeydown = ({ key }) => { if (key === "Enter") put(input.value); };
    const parts = canEdit ? [input, button("Replace", () => put(input.value)), button("Remove", () => put(""))] : [];
    parts.push(button(hasTargets ? "Why this" : "Only here", () => change({ target: null, contrast: null, [option]: list })));
    const candidates = node("span", { className: "choices" });
    const not = node("input", { type: "checkbox" });
    if (hasTargets) ask({ text: now.call.text, place: at }).then((reply) => {
      const rows = reply?.answer?.json?.places?.[0]?.candidates ?? [], stands = rows.find((row) => row.chosen);
      candidates.replaceChildren(...rows.filter((row) => row.id !== undefined && row !== stands).map((row) =>
        button(visible(row.label) + " " + share(row.probability), () => change({ position: at, target: row.id,
          contrast: not.checked && stands ? stands.id : null }))), ...(rows.length && stands ? [node("label", {}, not, " rather than " + visible(tokens[at]))] : []));
      if (reply?.error) say(reply.error);
    });
    return [...parts, candidates];
  }

  return { enter, line: () => now.line };
}
