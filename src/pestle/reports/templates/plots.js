// Draws every <script data-plot> of an open section: first what is in sight; on paper all at once.
var pestlePlots = (function () {
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
  var ON_PAPER = { wide: [182, 80], square: [88, 88], small: [58, 46], half: [88, 66] };
  function paperSize(place) {
    var classes = place.closest("figure").classList;
    var size = Object.keys(ON_PAPER).find(function (name) { return classes.contains(name); });
    return { autosize: false, width: ON_PAPER[size][0] * MM, height: ON_PAPER[size][1] * MM };
  }
  function figureOf(source, onPaper) {
    var figure = JSON.parse(source.textContent);
    if (touch) { figure.layout.dragmode = false; }
    if (onPaper) { Object.assign(figure.layout, paperSize(placeOf(source))); }
    return !onPaper && dark.matches ? recoloured(figure) : figure;
  }
  function placeOf(source) { return document.getElementById(source.dataset.plot); }

  var plots = Array.from(document.querySelectorAll("script[data-plot]"));
  // Plot → how it is drawn: "screen", or "stale" where that was for paper or in other colours.
  var drawn = new Map();
  function draw(source, onPaper) {
    var place = placeOf(source), figure = figureOf(source, onPaper);
    var before = drawn.has(source);
    drawn.set(source, onPaper ? "stale" : "screen");
    if (before) {
      Plotly.react(place, figure.data, figure.layout, config);
      return;
    }
    Plotly.newPlot(place, figure.data, figure.layout, config).then(function () {
      makeScalable(place);
      place.on("plotly_afterplot", function () { makeScalable(place); });
    });
  }

  // A plot of a closed section is drawn when that is opened: then it has a size, and takes no time before.
  function isOpen(source) {
    for (var part = source.closest("details"); part; part = part.parentElement.closest("details")) {
      if (!part.open) { return false; }
    }
    return true;
  }
  function inSight(source) {
    var box = placeOf(source).getBoundingClientRect();
    return box.bottom > 0 && box.top < window.innerHeight;
  }
  var root = document.documentElement, timer = null;
  function next() {
    timer = null;
    var waiting = plots.filter(function (source) { return isOpen(source) && drawn.get(source) !== "screen"; });
    if (!waiting.length) {
      root.dataset.drawn = "yes";
      return;
    }
    draw(waiting.find(inSight) || waiting[0], false);
    timer = window.setTimeout(next, 0);
  }
  function drawOpen() {
    root.dataset.drawn = "no";
    if (timer === null) { next(); }
  }
  drawOpen();
  document.addEventListener("toggle", function (event) {
    if (!event.target.open) { return; }
    // The window may have had another width when they were drawn.
    plots.forEach(function (source) {
      var place = placeOf(source);
      if (drawn.get(source) === "screen" && event.target.contains(place) && isOpen(source)) { Plotly.Plots.resize(place); }
    });
    drawOpen();
  }, true);

  function again() {
    plots.forEach(function (source) { if (drawn.has(source)) { drawn.set(source, "stale"); } });
    drawOpen();
  }
  dark.addEventListener("change", again);
  window.addEventListener("beforeprint", function () {
    plots.forEach(function (source) { draw(source, true); });
  });
  window.addEventListener("afterprint", again);
  return { recoloured: recoloured, dark: dark };
})();
