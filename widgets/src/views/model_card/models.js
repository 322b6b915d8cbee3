define("ecco-models", "models-1", (view, data, host) => {
  const rows = () => csv([["model", "type", "parameters", "device", "dtype", "bytes"], ...data.models.map((model) =>
    [model.name, model.model_type, model.n_parameters, model.device, model.dtype, model.memory_bytes])]);
  saveMenu(view, host, data, { csv: ["text/csv", rows] });
});
