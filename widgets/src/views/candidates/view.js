define("ecco-candidates", "candidates-2", (view, data, host) => saveMenu(view, host, data));
