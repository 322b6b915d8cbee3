define("ecco-steering", "steering-1", (view, data, host) => saveMenu(view, host, data));
