(function () {
  "use strict";
  // On a touch screen a drag over a plot must scroll the page, not zoom the plot.
  var touch = window.matchMedia("(pointer: coarse)").matches;
  var hover = window.matchMedia("(hover: hover)").matches;
  var config = {
    responsive: true, displaylogo: false, displayModeBar: hover ? "hover" : false,
    modeBarButtons: [["toImage", "zoom2d", "pan2d", "resetScale2d"]],
    toImageButtonOptions: { format: "svg" }
  };

  // With a viewBox the style sheet for paper can scale a plot that was drawn for the screen.
  function makeScalable(place) {
    place.querySelectorAll(".main-svg").forEach(function (svg) {
      var width = parseFloat(svg.getAttribute("width")), height = parseFloat(svg.getAttribute("height"));
      if (width > 0 && height > 0) {
        svg.setAttribute("viewBox", "0 0 " + width + " " + height);
        place.style.setProperty("--shape", width + " / " + height);
      }
    });
  }

  // The plots are written in the colours of paper; a dark screen has a counterpart of each.
  var palette = JSON.parse(document.getElementById("dark-colours").textContent);
  var dark = window.matchMedia("(prefers-color-scheme: dark)");
  function recoloured(value) {
    if (typeof value === "string") { return palette[value] || value; }
    if (value === null || typeof value !== "object") { return value; }
    var copy = Array.isArray(value) ? [] : {};
    Object.keys(value).forEach(function (key) { copy[key] = recoloured(value[key]); });
    return copy;
  }

  // Paper has its own width whatever the screen: draw for it, so that letters keep their size.
  // (Where a browser does not announce printing, the style sheet scales the plots down instead.)
  var MM = 96 / 25.4;
  function paperSize(place) {
    var figure = place.closest("figure");
    var wide = figure.classList.contains("wide"), square = figure.classList.contains("square");
    return { autosize: false, width: (wide ? 182 : 88) * MM, height: (wide ? 80 : square ? 88 : 60) * MM };
  }
  function figureOf(source, onPaper) {
    var figure = JSON.parse(source.textContent);
    if (touch) { figure.layout.dragmode = false; }
    if (onPaper) { Object.assign(figure.layout, paperSize(placeOf(source))); }
    return !onPaper && dark.matches ? recoloured(figure) : figure;
  }
  function placeOf(source) { return document.getElementById(source.dataset.plot); }

  var plots = Array.from(document.querySelectorAll("script[data-plot]"));
  plots.forEach(function (source) {
    var place = placeOf(source), figure = figureOf(source, false);
    Plotly.newPlot(place, figure.data, figure.layout, config).then(function () {
      makeScalable(place);
      place.on("plotly_afterplot", function () { makeScalable(place); });
    });
  });
  function redraw(onPaper) {
    plots.forEach(function (source) {
      var figure = figureOf(source, onPaper);
      Plotly.react(placeOf(source), figure.data, figure.layout, config);
    });
  }
  function forPaper() { redraw(true); }
  function forScreen() { redraw(false); }
  dark.addEventListener("change", forScreen);
  window.addEventListener("beforeprint", forPaper);
  window.addEventListener("afterprint", forScreen);

  document.querySelectorAll("button[data-copy]").forEach(function (button) {
    button.addEventListener("click", function () {
      var text = document.getElementById(button.dataset.copy);
      function done() { button.textContent = "Copied"; }
      function byHand() {
        var range = document.createRange();
        range.selectNodeContents(text);
        var selection = window.getSelection();
        selection.removeAllRanges();
        selection.addRange(range);
        if (document.execCommand("copy")) { done(); }
      }
      if (navigator.clipboard) { navigator.clipboard.writeText(text.textContent).then(done, byHand); }
      else { byHand(); }
    });
  });
})();
