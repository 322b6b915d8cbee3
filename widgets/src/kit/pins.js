// Pictures that are kept to be compared: what a view shows stays beneath it, while another target or option is chosen in the view.
// Those of other views of its kind, of another run perhaps, can be brought here.
const MOST_PINS = 4;
registry.pins ??= new Set();

function pins(view, host) {
  const button = (textContent, title, onclick) => node("button", { type: "button", textContent, title, onclick });
  const others = () => [...registry.pins].filter((pin) => pin.isConnected && pin.dataset.kind === host.dataset.view && pin.getRootNode().host !== host);
  function put(pin) {
    const root = view.getRootNode();
    let place = root.querySelector(".pins");
    if (!place) root.append(place = node("div", { className: "pins" }));
    place.append(pin);
    while (place.children.length > MOST_PINS) free(place.firstChild);
  }
  function free(pin) {
    registry.pins.delete(pin);
    pin.remove();
  }
  // As it looks now: nothing in it can be used.
  function keep() {
    dispatchEvent(new Event("beforeprint")); // paints what waited for the screen
    const copy = view.cloneNode(true), canvases = view.querySelectorAll("canvas");
    copy.querySelectorAll("canvas").forEach((canvas, i) => {
      canvas.replaceWith(node("img", { src: canvases[i].toDataURL(), style: canvas.getAttribute("style"), alt: "" }));
    });
    const chosen = [...view.querySelectorAll("select")].map((select) => select.selectedOptions[0]?.textContent ?? "");
    copy.querySelectorAll("select").forEach((select, i) => select.replaceWith(chosen[i] + " "));
    for (const old of copy.querySelectorAll(".corner,.tools,.foot,.next,.finder,.choices,.overview")) old.remove();
    copy.querySelector(".tall")?.classList.remove("tall");
    for (const old of copy.querySelectorAll("[role],[tabindex]")) for (const name of ["role", "tabindex"]) old.removeAttribute(name);
    copy.classList.remove("live");
    copy.inert = true;
    const pin = node("div", {}, copy, button("×", "Let go (Escape)", () => free(pin)));
    pin.dataset.kind = host.dataset.view;
    registry.pins.add(pin);
    put(pin);
  }
  const bring = button("Bring pins", "Those of other views of this kind, beneath this one", () => { others().forEach(put); bring.hidden = true; });
  bring.hidden = true;
  view.addEventListener("pointerenter", () => { bring.hidden = !others().length; });
  // What is held in the view takes the key first.
  if (!host.eccoPins) host.addEventListener("keydown", (event) => {
    const kept = host.shadowRoot.querySelectorAll(".pins>div");
    if (event.key !== "Escape" || !kept.length) return;
    kept.forEach(free);
    event.stopPropagation();
  });
  host.eccoPins = true;
  view.querySelector(".head").append(node("span", { className: "choices" }, bring));
  return button("Pin", "Keeps this picture beneath, to compare; Escape lets go", keep);
}
