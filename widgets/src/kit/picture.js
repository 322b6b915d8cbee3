// The picture of a view: as it stands on the screen, but whole, in light colours, and without what is only there to be used.
// Text stays text.
const WHOLE = ".ecco.ecco.ecco{width:fit-content}.ecco.ecco.ecco .head{padding-right:0}.ecco .legend{margin-left:0}.ecco.ecco.ecco :is(.corner,.readout,.ask,.talk,.choices,.tools,.call,.next,.finder,.overview,input){display:none}.ecco.ecco.ecco table{zoom:1!important}";

// Calls `work` while the view looks as a picture does.
function staged(view, host, work) {
  const whole = node("style", { textContent: WHOLE }), changed = [];
  const change = (element, css) => {
    changed.push([element, element.getAttribute("style")]);
    element.style.cssText += ";" + css;
  };
  for (const { media, cssRules } of host.querySelector("style").sheet.cssRules) {
    const rule = media?.mediaText === "print" && cssRules[0];
    if (rule && rule.selectorText.startsWith(".ecco-root.")) change(host, rule.style.cssText);
  }
  view.before(whole);
  dispatchEvent(new Event("beforeprint")); // paints what waited for the screen
  const scrolled = [...view.querySelectorAll("*")].filter((element) => /auto|scroll/.test(getComputedStyle(element).overflow));
  for (const element of scrolled) change(element, "overflow:visible!important;max-height:none!important");
  try {
    return work();
  } finally {
    for (const [element, style] of changed.toReversed()) {
      if (style === null) element.removeAttribute("style");
      else element.setAttribute("style", style);
    }
    whole.remove();
    dispatchEvent(new Event("afterprint"));
  }
}

// A colour's parts in 0..255, and its opacity: those that the style sheet mixes are told in fractions.
function parts(colour) {
  const [r, g, b, opacity = 1] = colour.match(/[\d.]+(?:e-?\d+)?/g).map(Number), unit = colour.startsWith("color(") ? 255 : 1;
  return [[r, g, b].map((part) => part * unit), opacity];
}

const rgb = (colour) => "rgb(" + colour.map(Math.round) + ")";

// A colour as SVG has it; nothing where it is not seen.
function ink(colour, of = "fill") {
  const [solid, opacity] = parts(colour);
  return opacity && { [of]: rgb(solid), ...(opacity < 1 && { [of + "-opacity"]: opacity }) };
}

const COLOUR = /(?:rgba?|color)\([^()]*\)/g;
const pen = document.createElement("canvas").getContext("2d");
// How far below the top of a line of so many pixels its letters stand.
function ascent(style, height) {
  pen.font = style.fontWeight + " " + style.fontSize + " " + style.fontFamily;
  const { fontBoundingBoxAscent: above, fontBoundingBoxDescent: below } = pen.measureText("x");
  return height * above / (above + below);
}

// The parts of a text that stand on a line of their own, with their places; what lies outside of `frame` is cut off, as the
// page does.
function lines(text, frame, upright) {
  const range = document.createRange(), found = [];
  for (let i = 0, next; i < text.data.length; i = next) {
    next = i + String.fromCodePoint(text.data.codePointAt(i)).length;
    range.setStart(text, i);
    range.setEnd(text, next);
    const { left, top, right, bottom, width, height } = range.getBoundingClientRect();
    if (!width && !height) continue; // white space that is not shown
    const glyph = text.data.slice(i, next).replace(/\s/, " "), line = found.at(-1);
    const goes_on = line && Math.abs(upright ? line.top - top : line.left - left) < 1;
    if (frame && (right > frame.right + 1 || top < frame.top - 1)) {
      if (goes_on && !line.text.endsWith("…")) line.text = line.text.replace(/.$/u, "…");
    } else if (goes_on) {
      line.text += glyph;
      line.right = Math.max(line.right, right);
      line.bottom = Math.max(line.bottom, bottom);
    } else found.push({ text: glyph, left, top, right, bottom });
  }
  return found;
}

// The SVG of a view, with its measures.
function picture(view, host) {
  return staged(view, host, () => {
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg"), origin = view.getBoundingClientRect();
    const [paper] = parts(getComputedStyle(view).backgroundColor);
    const heads = [...view.querySelectorAll(".head > :is(b,span):not(.legend,.choices,.talk,.corner)")];
    const title = heads.map((part) => part.textContent.trim()).filter(Boolean).join(" · ");
    let right = 0, bottom = 0, group = svg, n_gradients = 0;
    const put = (element, attributes) => Object.entries(attributes).forEach(([key, value]) => element.setAttribute(key, value));
    const add = (name, attributes, content) => {
      const element = group.appendChild(document.createElementNS(svg.namespaceURI, name));
      put(element, attributes);
      if (content !== undefined) element.textContent = content;
      return element;
    };
    const round = (value) => Math.round(value * 100) / 100;
    const at = ({ left, top, width, height }) => {
      right = Math.max(right, left + width - origin.left);
      bottom = Math.max(bottom, top + height - origin.top);
      return { x: round(left - origin.left), y: round(top - origin.top), width: round(width), height: round(height) };
    };
    // A ground of several colours: all of the box, or a part of it as bars have it.
    function gradient(box, style) {
      const colours = style.backgroundImage.match(COLOUR), id = "g" + n_gradients++;
      const across = style.backgroundImage.includes("90deg");
      const scale = add("linearGradient", { id, ...(!across && { x2: 0, y2: 1 }) });
      colours.forEach((colour, i) => {
        const stop = scale.appendChild(document.createElementNS(svg.namespaceURI, "stop"));
        const told = style.backgroundImage.split(colour)[1]?.match(/^ ([\d.]+)%/), [solid, opacity] = parts(colour);
        // Mixed with the paper: between a clear colour and a full one SVG would go through the clear one's black.
        const mixed = solid.map((part, k) => opacity * part + (1 - opacity) * paper[k]);
        put(stop, { offset: told ? told[1] / 100 : i / (colours.length - 1 || 1), "stop-color": rgb(mixed) });
      });
      const size = (word, all) => word === undefined || word === "auto" ? all : word.endsWith("%") ? parseFloat(word) / 100 * all : parseFloat(word);
      const [wide, tall] = style.backgroundSize.split(",")[0].split(" "), [x, y] = style.backgroundPosition.split(",")[0].split(" ");
      const width = size(wide, box.width), height = size(tall, box.height);
      const left = box.left + size(x, box.width - width), top = box.top + size(y, box.height - height);
      add("rect", { ...at({ left, top, width, height }), fill: "url(#" + id + ")" });
    }
    function ground(box, style) {
      const fill = ink(style.backgroundColor), rx = Math.min(parseFloat(style.borderTopLeftRadius) || 0, box.height / 2);
      if (fill) add("rect", { ...at(box), ...(rx && { rx }), ...fill });
      if (style.backgroundImage.startsWith("linear-gradient")) gradient(box, style);
      const ring = style.boxShadow.match(/^(.*?\)) 0px 0px 0px ([\d.]+)px/), widths = ["Top", "Right", "Bottom", "Left"].map((side) => parseFloat(style["border" + side + "Width"]));
      const stroke = ring && ring[2] > 0 ? [ring[1], Number(ring[2])] : widths.every((width) => width) && [style.borderTopColor, widths[0]];
      const within = (by) => ({ left: box.left + by, top: box.top + by, width: box.width - 2 * by, height: box.height - 2 * by });
      if (stroke && box.width > stroke[1]) return void add("rect", { ...at(within(stroke[1] / 2)), ...(rx && { rx }), fill: "none", ...ink(stroke[0], "stroke"), "stroke-width": stroke[1] });
      const sides = [[0, 0, 1, 0], [1, 0, 0, 1], [0, 1, 1, 0], [0, 0, 0, 1]];
      widths.forEach((width, i) => {
        const [x, y, wide, tall] = sides[i], name = ["Top", "Right", "Bottom", "Left"][i];
        const line = width && ink(style["border" + name + "Color"]);
        if (line) add("rect", { ...at({ left: box.left + x * (box.width - width), top: box.top + y * (box.height - width), width: wide ? box.width : width, height: tall ? box.height : width }), ...line });
      });
    }
    // What a style sheet draws before or behind the content of a box: bars and marks, no text.
    function drawn(element, box, which) {
      const style = getComputedStyle(element, which), width = parseFloat(style.width), height = parseFloat(style.height);
      if (style.content !== '""' || !(height > 0)) return;
      const own = getComputedStyle(element), inner = [parseFloat(own.paddingLeft), parseFloat(own.paddingTop)];
      const [x, y] = style.position === "absolute" ? [parseFloat(style.left) || 0, parseFloat(style.top) || 0] : inner;
      const edge = parseFloat(style.borderLeftWidth), fill = ink(edge ? style.borderLeftColor : style.backgroundColor);
      if (fill) add("rect", { ...at({ left: box.left + x, top: box.top + y, width: edge || width, height }), ...fill, ...(style.opacity < 1 && { opacity: style.opacity }) });
    }
    function words(text, style, frame) {
      const upright = !style.writingMode.startsWith("vertical");
      for (const line of lines(text, frame, upright)) {
        const { x, y } = at({ ...line, width: line.right - line.left, height: line.bottom - line.top });
        if (!line.text.trim()) continue;
        const font = { ...ink(style.color), "font-family": style.fontFamily.replaceAll('"', "'"), "font-size": parseFloat(style.fontSize), ...(style.fontWeight !== "400" && { "font-weight": style.fontWeight }), "xml:space": "preserve" };
        const turned = () => "translate(" + round(x + ascent(style, line.right - line.left)) + " " + round(line.bottom - origin.top) + ") rotate(-90)";
        const place = upright ? { x, y: round(y + ascent(style, line.bottom - line.top)) } : { transform: turned() };
        add("text", { ...place, ...font }, line.text);
      }
    }
    // A drawing of the view's own, with the style that its sheet gives it.
    function copied(element, box) {
      const copy = element.cloneNode(true), from = [...element.querySelectorAll("*")];
      [...copy.querySelectorAll("*")].forEach((child, i) => {
        const style = getComputedStyle(from[i]);
        for (const name of ["fill", "stroke", "stroke-width", "stroke-dasharray", "opacity", "font-size", "font-family", "font-weight", "text-anchor"]) child.setAttribute(name, style.getPropertyValue(name).replaceAll('"', "'"));
        if (style.fill.startsWith("color(")) put(child, ink(style.fill) || { fill: "none" }); // mixed by the style sheet
        child.removeAttribute("class");
        child.removeAttribute("style");
      });
      put(copy, at(box));
      copy.removeAttribute("class");
      group.append(copy);
    }
    function walk(element, frame) {
      const style = getComputedStyle(element), box = element.getBoundingClientRect();
      if (style.display === "none" || style.visibility === "hidden") return;
      if (element.localName === "svg") return void copied(element, box);
      const outer = group;
      if (style.opacity < 1) group = add("g", { opacity: style.opacity });
      if (element !== view && box.width && box.height) {
        ground(box, style);
        drawn(element, box, "::before");
        drawn(element, box, "::after");
      }
      const href = element.localName === "canvas" ? element.toDataURL() : element.localName === "img" && element.src;
      if (href) add("image", { ...at(box), href, preserveAspectRatio: "none", style: "image-rendering:" + style.imageRendering });
      const within = style.textOverflow === "ellipsis" && style.overflow.includes("hidden") ? box : frame;
      // Of what can be chosen in a list, what is chosen.
      for (const child of element.selectedOptions?.[0].childNodes ?? element.childNodes) {
        if (element.selectedOptions) add("text", { x: at(box).x + 4, y: at(box).y + 15, ...ink(style.color), "font-size": parseFloat(style.fontSize), "font-family": style.fontFamily.replaceAll('"', "'") }, child.data);
        else if (child.nodeType === Node.TEXT_NODE) words(child, style, within);
        else if (child.nodeType === Node.ELEMENT_NODE) walk(child, within);
      }
      group = outer;
    }
    add("title", {}, title);
    const sheet = add("rect", { fill: rgb(paper) });
    walk(view);
    const width = Math.ceil(right + 12), height = Math.ceil(bottom + 10);
    put(svg, { width, height, viewBox: "0 0 " + width + " " + height });
    put(sheet, { width, height });
    return new XMLSerializer().serializeToString(svg);
  });
}

// An SVG picture as PNG, two pixels for each of its own.
async function pixels(svg) {
  const image = new Image();
  image.src = "data:image/svg+xml;charset=utf-8," + encodeURIComponent(svg);
  await image.decode();
  const canvas = Object.assign(document.createElement("canvas"), { width: 2 * image.naturalWidth, height: 2 * image.naturalHeight });
  canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
  return new Promise((done) => canvas.toBlob(done, "image/png"));
}

// A menu that saves the result and its picture; nothing leaves the page.
function saveMenu(view, host, data, formats) {
  const name = data.type.replaceAll("_", "-");
  const save = async (extension, type, content) => {
    const url = URL.createObjectURL(new Blob([await content], { type }));
    node("a", { href: url, download: name + "." + extension }).click();
    setTimeout(() => URL.revokeObjectURL(url), 10000);
  };
  const page = () => "<!doctype html><meta charset=utf-8><meta name=viewport content='width=device-width'><title>" + name + "<" + "/title>" + host.outerHTML;
  const all = {
    png: ["image/png", () => pixels(picture(view, host))],
    svg: ["image/svg+xml", () => picture(view, host)],
    ...formats,
    json: ["application/json", () => JSON.stringify(unpackAll(data))],
    html: ["text/html", page],
  };
  const item = (textContent, act) => node("button", { type: "button", textContent, onclick: () => { menu.open = false; act(); } });
  const copy = () => navigator.clipboard.write([new ClipboardItem({ "image/png": pixels(picture(view, host)) })]);
  const menu = node("details", { className: "save" }, node("summary", { textContent: "Save" }), node("div", {},
    // Browsers have a clipboard for pictures on pages that they hold for safe.
    ...(globalThis.ClipboardItem && navigator.clipboard ? [item("Copy picture", copy)] : []),
    ...Object.entries(all).map(([extension, [type, make]]) => item(extension.toUpperCase(), () => save(extension, type, make())))));
  menu.addEventListener("keydown", (event) => {
    event.stopPropagation();
    if (event.key === "Escape") { menu.open = false; menu.firstChild.focus(); }
  });
  if (host.dataset.call) view.querySelector(".head > b").after(" ", copier(host.eccoTalk?.line() || host.dataset.call));
  const corner = node("span", { className: "corner" }, menu);
  view.querySelector(".head").append(corner);
  corner.prepend(pins(view, host));
}
