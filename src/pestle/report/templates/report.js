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

  var plots = [];
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

  document.querySelectorAll("script[data-plot]").forEach(function (source) {
    var place = document.getElementById(source.dataset.plot);
    var figure = JSON.parse(source.textContent);
    if (touch) { figure.layout.dragmode = false; }
    plots.push(place);
    Plotly.newPlot(place, figure.data, figure.layout, config).then(function () {
      makeScalable(place);
      place.on("plotly_afterplot", function () { makeScalable(place); });
    });
  });

  // Paper has its own width whatever the screen: redraw for it, so that letters keep their size.
  // (Where a browser does not announce printing, the style sheet scales the plots down instead.)
  var MM = 96 / 25.4;
  function forPaper() {
    plots.forEach(function (place) {
      var figure = place.closest("figure");
      var wide = figure.classList.contains("wide"), square = figure.classList.contains("square");
      Plotly.relayout(place, {
        autosize: false, width: (wide ? 182 : 88) * MM, height: (wide ? 80 : square ? 88 : 60) * MM
      });
    });
  }
  function forScreen() {
    plots.forEach(function (place) {
      Plotly.relayout(place, { autosize: true, width: null, height: null });
    });
  }
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
