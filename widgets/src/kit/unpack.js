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
  new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate-raw"))).text().then((code) => {
    const script = document.createElement("script");
    script.textContent = code;
    document.head.append(script);
    script.remove();
  });
}
