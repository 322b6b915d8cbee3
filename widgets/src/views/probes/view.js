define("ecco-probes", "probes-1", (view, data, host) => {
  const rows = () => csv([["layer", "position", "accuracy", "spread", "shuffled", "auc", "calibration_error"], ...data.places.map((place) =>
    [place.layer, place.position, place.accuracy, place.spread, place.control, place.auc, place.calibration_error])]);
  saveMenu(view, host, data, { csv: ["text/csv", rows] });
});
