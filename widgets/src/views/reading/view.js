define("ecco-reading", "reading-1", (view, data, host) => {
  const boxes = [...view.querySelector(".flow").children].filter((child) => child.localName === "span");
  // Of what is read and written on its own, places of the latter are counted.
  if (boxes.length && !data.target?.length) chooser(boxes, {
    label: "Tokens. Arrow keys choose one,", rests: true, show: () => {}, holds: (k) => hold(host, k === null ? null : { position: k }),
  });
  saveMenu(view, host, data);
});
