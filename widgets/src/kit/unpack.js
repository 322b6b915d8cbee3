// A view's script as every output brings it: packed, and run once on a page. DecompressionStream is in browsers since 2023; in
// older ones views stay static.
function unpack(view, packed) {
  const registry = (globalThis.eccoViews ??= { mounts: new Map(), waiting: new Set() });
  if ((registry.sent ??= new Set()).has(view)) {
    for (const element of [...registry.waiting]) registry.upgrade?.(element);
    return;
  }
  registry.sent.add(view);
  const bytes = Uint8Array.from(atob(packed), (c) => c.charCodeAt(0));
  // Read by hand: promises alone wait for it, so that the view is there before the page is drawn without it.
  const { readable, writable } = new DecompressionStream("deflate-raw"), writer = writable.getWriter(), reader = readable.getReader(), text = new TextDecoder();
  writer.write(bytes);
  writer.close();
  const read = (code) => reader.read().then(({ done, value }) => done ? code : read(code + text.decode(value, { stream: true })));
  read("").then((code) => {
    const script = document.createElement("script");
    script.textContent = code;
    document.head.append(script);
    script.remove();
  });
}
