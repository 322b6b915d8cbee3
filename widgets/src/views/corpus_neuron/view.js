define("ecco-corpus-neuron", "corpus-neuron-1", (view, data, host) => {
  for (const box of view.querySelectorAll(".flow > span")) {
    box.style.removeProperty("background-color"); // inline colours are for pages without styles
    box.style.removeProperty("color");
  }
  saveMenu(view, host, data);
});
