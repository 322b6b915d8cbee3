define("ecco-candidates", "candidates-1", (view, data, host) => {
  // Without a place there is no head.
  if (data.places.length) saveMenu(view, host, data);
});
