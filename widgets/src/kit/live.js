// Views that ask the kernel: docs/live.md. A host with a channel takes the event `ecco:ask` by preventDefault, and answers
// with `ecco:answer`. What was answered stays in the page, which shows it without a kernel too.
const MOST_KEPT = 8, LARGEST_KEPT = 1 << 20, MOST_CARDS = 4;
const PLACES = ["target", "contrast", "position", "positions", "spans", "ignore_tokens"];

function live(view, host) {
  if (host.dataset.live || host.querySelector(":scope>script.kept,:scope>[slot]")) (host.eccoTalk ??= talk(host)).enter(view);
}

// A page of the kernel as an element: what is parsed does not run its scripts, so they are made anew.
function opened(html) {
  const parsed = new DOMParser().parseFromString(html, "text/html").body.firstElementChild, element = document.importNode(parsed, true);
  for (const old of element.querySelectorAll("script:not([type])")) old.replaceWith(node("script", { textContent: old.textContent }));
  return element;
}

function talk(host) {
  const waiting = new Map(), own = host.querySelector(":scope>div>.ecco"), island = host.querySelector('script[type="application/json"]');
  let script = host.querySelector(":scope>script.kept");
  const kept = script ? JSON.parse(script.textContent) : [], first = { call: {}, line: "", html: own.outerHTML, data: island.textContent };
  let view, state = "", why = "", asked = 0, now = first, place = null, busy = false, what = null, turn = 0;

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
  // Said anew by a view whose focus has gone: a button must not change under a click.
  host.addEventListener("ecco:held", ({ detail }) => {
    if (JSON.stringify(detail) === JSON.stringify(what)) return;
    what = detail;
    draw();
  });

  // A question may be lost: Python's kernel takes comms in a thread of its own, and not all of them while a cell runs.
  async function greet(tries = 5) {
    const later = new Promise((done) => setTimeout(done, 5000));
    const reply = host.dataset.live ? await Promise.race([ask(), later]) : null, answer = reply?.answer;
    if (reply?.replaced || reply === undefined && !tries) return;
    if (reply === undefined) return void greet(tries - 1);
    state = !reply ? "none" : answer && !answer.gone ? "live" : "gone";
    why = reply?.error ?? "";
    if (state === "live") Object.assign(first, { choices: answer, line: answer.line });
    draw();
  }

  // An answer that is a page, or null, where the reader has been told why not.
  async function page(call) {
    let reply = await ask(call);
    if (reply?.closed) reply = await ask(call); // by what somebody else said there
    if (reply?.replaced) return null;
    if (reply?.answer?.html) return reply.answer;
    say(reply?.error ?? "The kernel does not answer: run the cell again.");
    return null;
  }

  // Has something done that no view comes of: the line that does it, or null, where the reader has been told why not. What it changes,
  // others on the page may ask about.
  async function act(call) {
    const reply = await ask(call);
    if (!reply?.answer?.done) return say(reply?.error ?? "The kernel does not answer: run the cell again."), null;
    for (const other of document.querySelectorAll("[data-live]")) other.dispatchEvent(new CustomEvent("ecco:channel"));
    return reply.answer.line;
  }

  // The document of something else that is known of the text; null where nobody can tell, undefined where something came between.
  async function look(call) {
    if (state !== "live" || !first.choices.next.some(({ member }) => member === call.next)) return state ? null : undefined;
    const of = now, reply = await ask({ text: now.call.text, ...call, json: true });
    return reply?.replaced || of !== now ? undefined : reply?.answer?.json ?? null;
  }
  // What a view has learned besides stays in the page.
  function remember(data) {
    now.data = JSON.stringify(data);
    if (now === first) island.textContent = escaped(now.data);
    else store();
  }
  const escaped = (json) => json.replaceAll("<", "\\u003c");

  // Asks for another view in the place of this one.
  async function go(call) {
    const known = kept.find((entry) => JSON.stringify(entry.call) === JSON.stringify(call));
    if (known) return show(known);
    say("…");
    busy = true;
    const answer = await page(call);
    busy = false;
    if (!answer) return;
    const part = new DOMParser().parseFromString(answer.html, "text/html"), element = part.querySelector(host.localName);
    if (element?.dataset.view !== host.dataset.view) return say("The kernel is of another version: run the cell again.");
    const { line, choices } = answer;
    keep({ call, line, choices, html: element.querySelector(".ecco").outerHTML, data: element.querySelector("script").textContent });
  }

  function keep(entry) {
    kept.push(entry);
    store();
    show(entry);
  }
  function store() {
    let text;
    while (kept.length > MOST_KEPT || (text = JSON.stringify(kept)).length > LARGEST_KEPT) kept.shift();
    script ??= host.insertBefore(node("script", { type: "application/ecco+json", className: "kept" }), island); // parsed before the script that reads it
    script.textContent = escaped(text);
  }

  function show(entry) {
    const focus = view.getRootNode().activeElement, isOther = JSON.stringify(entry.call.text) !== JSON.stringify(now.call.text);
    const fresh = document.importNode(new DOMParser().parseFromString(entry.html, "text/html").querySelector(".ecco"), true);
    if (isOther) place = what = null;
    now = entry;
    fresh.classList.add("live");
    const old = view;
    registry.mounts.get(host.dataset.view)(fresh, JSON.parse(entry.data), host);
    old.replaceWith(fresh);
    if (panel.contains(focus)) focus.focus({ preventScroll: true });
    if (isOther) renew();
  }

  const asIs = () => ({ text: now.call.text, ...(now.call.arguments && { arguments: now.call.arguments }), options: now.choices.options });
  const change = (options) => go({ ...asIs(), options: { ...now.choices.options, ...options } });

  // The same with another text: places in it mean nothing any more.
  const retext = (text) => go({ ...asIs(), text, options: Object.fromEntries(Object.entries(now.choices.options).filter(([name]) => !PLACES.includes(name))) });
  function rewrite(tokens, at) {
    const { n_input: n, writes } = now.choices, count = now.choices.tokens.length - n;
    const text = { read: tokens.slice(0, n).join(""), written: tokens.slice(n).join("") };
    retext(writes && at < n ? { ...text, written: "", generate: count } : text);
  }
  function another(read) {
    const { n_input: n, tokens, writes } = now.choices;
    if (read) retext({ read, written: "", ...(writes && { generate: tokens.length - n }) });
  }

  // Cards beneath the view: what was asked besides. They stand in the host's own tree, where its notebook finds them.
  const frames = node("div", { className: "cards" });
  const cards = [];
  function card(element, call, name) {
    const slot = element.slot || "c" + ++turn, close = node("button", { type: "button", textContent: "×", title: "Close", onclick: () => drop(entry) });
    const frame = node("div", {}, close, node("slot", { name: slot })), entry = { name, call, element, frame };
    element.slot = slot;
    frames.append(frame);
    if (!element.parentNode) host.append(element);
    cards.push(entry);
    if (cards.length > MOST_CARDS) drop(cards[0]);
  }
  function drop(entry) {
    cards.splice(cards.indexOf(entry), 1);
    entry.element.remove();
    entry.frame.remove();
  }
  // Those of a saved page, which may be parsed after this runs.
  function adopt() {
    for (const element of host.querySelectorAll(":scope>[slot]")) {
      turn = Math.max(turn, Number(element.slot.slice(1)) || 0);
      card(element, null, element.slot);
    }
  }
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", adopt);
  else adopt();

  // Asks something else of the text; a card of the same name gets the new answer.
  async function follow(name, call) {
    say("…");
    const answer = await page({ text: now.call.text, ...call });
    if (!answer) return;
    say("");
    put(name, call, opened(answer.html));
  }
  function put(name, call, element) {
    const old = cards.find((entry) => entry.name === name);
    if (!old) return card(element, call, name);
    element.slot = old.element.slot;
    old.element.replaceWith(element);
    Object.assign(old, { element, call });
  }
  // The cards about a text that has changed, one after the other: of several questions the newest counts. What was said of
  // one place is not said of another text.
  let renewed = 0;
  async function renew() {
    const mine = ++renewed;
    for (const { name, call } of [...cards]) {
      if (!call || call.arguments || PLACES.some((option) => call.options?.[option] !== undefined)) continue;
      const answer = await page({ text: now.call.text, ...call });
      if (mine !== renewed) return;
      if (answer) put(name, call, opened(answer.html));
    }
  }

  const say = (text) => { message.textContent = text; };
  const button = (textContent, onclick, properties) => node("button", { type: "button", textContent, onclick, ...properties });
  const visible = (text) => text.replace(/^ +| +$/g, (spaces) => "·".repeat(spaces.length)).replace(/\n/g, "⏎").replace(/\t/g, "⇥") || "·";

  const row = (name = "") => node("div", { className: "choices " + name });
  const choices = row(), numbers = node("details", {}, node("summary", { textContent: "more options" })), text = row("text"), editor = row(), whole = row();
  const visited = row("visited"), code = node("code"), message = node("span", { className: "say" }), acts = row("acts");
  message.setAttribute("role", "status");
  const copy = button("Copy", () => navigator.clipboard.writeText(code.textContent).then(() => say("copied"), () => getSelection().selectAllChildren(code)));
  const panel = node("div", { className: "ask", hidden: true }, choices, numbers, text, editor, whole, visited, node("div", { className: "line" }, code, copy));
  const foot = node("div", { className: "foot" }, acts, panel, message, frames);
  // The notebook's keys are letters and Enter.
  foot.addEventListener("keydown", (event) => event.stopPropagation());
  foot.addEventListener("focusin", () => { host.dataset.lmSuppressShortcuts = true; });
  foot.addEventListener("focusout", () => { delete host.dataset.lmSuppressShortcuts; });
  const opener = button("Ask", () => { panel.hidden = !panel.hidden; draw(); });
  const quiet = node("span", { className: "quiet", textContent: "not live" });
  const again = button("Run the cell", () => host.dispatchEvent(new CustomEvent("ecco:run", { bubbles: true, composed: true })));
  const status = node("span", { className: "talk choices" });

  function enter(fresh) {
    view = fresh;
    view.append(foot);
    (view.querySelector(".head") ?? foot).append(status);
    if (!state) greet();
    // Where a channel came later.
    view.addEventListener("pointerenter", () => { if (state === "none") greet(); });
    draw();
  }

  function draw() {
    const can = state === "live" && now.choices, open = can && can.offers.length + can.tokens.length + can.next.filter(({ place }) => place !== "row").length > 0 || kept.length > 0;
    quiet.textContent = state === "gone" && why ? cut(why.split("\n")[0], 60) : "not live";
    quiet.title = state === "gone" ? why || "The kernel that made this view has ended, or forgotten it." : "No kernel answers here; the view needs none.";
    status.replaceChildren(...(open ? [opener] : []), ...(state && state !== "live" ? [quiet] : []), ...(state === "gone" ? [again] : []));
    opener.setAttribute("aria-expanded", !panel.hidden);
    view.classList.toggle("talks", state === "live");
    acts.replaceChildren(...(can && what ? about(can, what) : []));
    if (!open) panel.hidden = true;
    if (!panel.hidden) fill();
  }

  function fill() {
    const can = state === "live" && now.choices, isChoice = ({ values, argument }) => values || argument !== undefined, offers = can ? can.offers : [];
    choices.replaceChildren(...offers.filter(isChoice).map(offered));
    const rest = offers.filter((offer) => !isChoice(offer)).map(offered);
    numbers.hidden = !rest.length;
    numbers.replaceChildren(numbers.firstChild, ...rest);
    text.replaceChildren(...(can ? can.tokens.map((token, i) =>
      button(visible(token), () => { place = place === i ? null : i; fill(); }, { title: "position " + i, ariaPressed: place === i, disabled: !token })) : []));
    editor.replaceChildren(...(can && place !== null ? edited(can) : []));
    whole.replaceChildren(...(can ? besides(can) : []));
    visited.replaceChildren(...(kept.length ? [first, ...kept].map((entry) =>
      button(entry.line || "as it was", () => show(entry), { ariaPressed: entry === now })) : []));
    code.textContent = now.line;
    code.parentNode.hidden = !now.line;
    if (!busy) say(can ? place === null && can.tokens.length ? "Choose a token to change it, or to ask about its place." : "" : kept.length ? "Not live: what was asked before is kept." : "");
  }

  // An option and its values, the default first where none is chosen; or a number.
  function offered({ name, doc, values, default: usual, argument, least }) {
    const chosen = argument === undefined ? now.choices.options[name] : (now.call.arguments ?? now.choices.arguments)[argument];
    const set = (value) => argument === undefined ? change({ [name]: value })
      : go({ ...asIs(), arguments: Object.assign([...(now.call.arguments ?? now.choices.arguments)], { [argument]: value }) });
    if (values) {
      const select = node("select", { ariaLabel: name, onchange: () => set(values[select.selectedIndex]) },
        ...values.map((value) => node("option", { textContent: value ?? cut(usual, 32), selected: value === (chosen ?? values[0]) })));
      return node("label", { title: doc }, name + " ", select);
    }
    const input = node("input", { type: "number", ariaLabel: name, value: chosen ?? "", placeholder: cut(usual ?? "", 18), step: least === null ? "any" : 1, onchange: () =>
      set(input.value === "" ? null : Number(input.value)) });
    if (least !== null) input.min = least;
    return node("label", { title: doc ?? "" }, name + " ", input);
  }

  const at = (next, position) => ({ next: next.member, ...(next.place === "own" ? asIs() : position === undefined || !next.place ? {}
    : next.place === "arguments" ? { arguments: [position] } : { options: { [next.place]: next.place === "positions" ? [position] : position } }) });

  // What else can be asked of the whole text, and another text.
  function besides({ next }) {
    const input = node("input", { size: 28, placeholder: "another text", ariaLabel: "Another text" });
    input.onkeydown = ({ key }) => { if (key === "Enter") another(input.value); };
    const others = next.filter(({ place }) => !["arguments", "cell"].includes(place)).map((one) => button(one.member, () => follow(one.member, at(one))));
    return now.choices.tokens.length ? [...others, input, button("Read it", () => another(input.value))] : others;
  }

  // Of what is held in the view: what can be asked of its place, and what the text would be without its part.
  function about({ next, can_compare: canCompare }, { position, part, cell }) {
    const behind = cell && next.find(({ place }) => place === "cell");
    if (behind) return [button("the pass behind it", () => follow("behind", { next: behind.member, options: cell }))];
    const asks = Number.isInteger(position) ? next.filter(({ place }) => place && place !== "own") : [];
    const all = asks.map((one) => button(one.member, () => follow(one.member + "@", at(one, position))));
    if (all.length) all.unshift(node("span", { textContent: "at " + position + ":" }));
    if (!part || !canCompare) return all;
    const { name, entries, vectors } = part;
    // One question after the other, and of a slider's many values the last.
    let wanted = null, isAsking = false;
    async function under(intervene) {
      wanted = intervene;
      if (isAsking) return;
      isAsking = true;
      for (let asked = null; asked !== wanted;) {
        asked = wanted;
        await follow("compare", { next: "compare", options: { intervene: asked } });
      }
      isAsking = false;
    }
    // Of several sliders one counts: the others go back.
    const sliders = [];
    function slider(ariaLabel, title, sign, [min, max], usual, of) {
      const range = node("input", { type: "range", min, max, step: 0.5, value: usual, ariaLabel }), says = node("span", { className: "factor" });
      const say = (value) => { says.textContent = sign + " " + minus(value); };
      range.oninput = () => {
        for (const other of sliders) if (other.range !== range) other.reset();
        say(range.value);
        under(of(Number(range.value)));
      };
      const reset = () => { range.value = usual; say(usual); };
      reset();
      sliders.push({ range, reset });
      return node("label", { title }, range, says);
    }
    const scale = slider("Factor of " + name, "times so much", "×", [-2, 4], 1, (factor) =>
      factor ? { scale: entries.map((entry) => ({ ...entry, factor })) } : { ablate: entries });
    const without = button("without " + name, () => { sliders[0].range.value = 0; sliders[0].range.oninput(); });
    const steer = vectors ? [slider("Added of " + name, "so many times what it is where it is strongest, at every token", "+", [-2, 2], 0, (factor) =>
      ({ add: vectors.map((entry) => ({ ...entry, factor })) }))] : [];
    return [...all, without, scale, ...steer];
  }

  function edited({ tokens, can_edit: canEdit, place: option, has_targets: hasTargets, next }) {
    const here = place, input = node("input", { value: tokens[here], size: 12, ariaLabel: "In the place of this token" });
    const put = (value) => rewrite(Object.assign([...tokens], { [here]: value }), here);
    input.onkeydown = ({ key }) => { if (key === "Enter") put(input.value); };
    const parts = canEdit ? [input, button("Replace", () => put(input.value)), button("Insert before", () => put(input.value + tokens[here])), button("Remove", () => put(""))] : [];
    if (option) parts.push(button(hasTargets ? "Why this" : "Only here", () =>
      change({ ...(hasTargets && { target: null, contrast: null }), [option]: option === "positions" ? [here] : here })));
    parts.push(...next.filter(({ place }) => place && place !== "own").map((one) => button(one.member, () => follow(one.member + "@", at(one, here)))));
    const candidates = node("span", { className: "choices" });
    const not = node("input", { type: "checkbox" });
    if (hasTargets) ask({ text: now.call.text, next: "candidates", arguments: [here], options: { topk: 8 }, json: true }).then((reply) => {
      const rows = reply?.answer?.json?.places?.[0]?.candidates ?? [], stands = rows.find((row) => row.chosen);
      candidates.replaceChildren(...rows.filter((row) => row.id !== undefined && row !== stands).map((row) =>
        button(visible(row.label) + " " + share(row.probability), () => change({ position: here, target: row.id,
          contrast: not.checked && stands ? stands.id : null }))), ...(rows.length && stands ? [node("label", {}, not, " rather than " + visible(tokens[here]))] : []));
      if (reply?.error) say(reply.error);
    });
    return [...parts, candidates];
  }

  return { enter, act, look, remember, line: () => now.line };
}
