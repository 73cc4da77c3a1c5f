// Buttons at each plot that save it as a picture (SVG) and its data (CSV), as `pestle report
// --figures` does (pictures/data.py). Nothing is sent anywhere.
(function () {
  "use strict";
  function plain(text) {
    return String(text === undefined || text === null ? "" : text).replace(/<br>/g, " ")
      .replace(/&lt;/g, "<").replace(/&gt;/g, ">").replace(/&amp;/g, "&");
  }
  function titleOf(axis, otherwise) {
    var title = axis && axis.title;
    return plain(title && title.text !== undefined ? title.text : title) || otherwise;
  }

  // One row a point: series, x, y, and the range of its error where it is known.
  function rowsOf(trace, layout) {
    var name = plain(trace.name || trace.legendgroup), x = trace.x || [], y = trace.y || [];
    if (!name) { return []; }
    if (trace.type === "bar" && trace.customdata) { y = trace.customdata; } // where bars are cut
    if (trace.fill === "toself") {
      var half = x.length / 2, lower = y.slice(half).reverse();
      return x.slice(0, half).map(function (value, k) { return [name, value, null, lower[k], y[k]]; });
    }
    if (trace.type === "violin" && layout.meta && layout.meta.logarithms) {
      y = y.map(function (value) { return value === null ? null : parseFloat(Math.pow(10, value).toPrecision(6)); });
    }
    var error = (trace.error_y && trace.error_y.array) || [];
    return x.map(function (value, k) {
      var e = error[k], known = e !== undefined && e !== null && y[k] !== null;
      return [name, typeof value === "string" ? plain(value) : value, y[k], known ? y[k] - e : null, known ? y[k] + e : null];
    });
  }
  function quoted(value) {
    if (value === null || value === undefined) { return ""; }
    var text = String(value);
    return /[",\n\r]/.test(text) ? '"' + text.replace(/"/g, '""') + '"' : text;
  }
  // The same for a number and its rounded form.
  function place(x) { return typeof x === "number" ? String(Number(x.toPrecision(6))) : String(x); }
  // Name of a series and x → number of runs that the point is the mean of.
  function countsOf(layout) {
    var found = {};
    ((layout.meta && layout.meta.runs) || []).forEach(function (of) {
      of.slice(1).forEach(function (point) { found[JSON.stringify([of[0], place(point[0])])] = point[1]; });
    });
    return found;
  }
  function csvOf(figure) {
    var rows = [], layout = figure.layout;
    figure.data.forEach(function (trace) { rows = rows.concat(rowsOf(trace, layout)); });
    var ranges = rows.some(function (row) { return row[3] !== null; });
    var head = ["series", titleOf(layout.xaxis, "x"), titleOf(layout.yaxis, "y"), "lower", "upper"];
    var counts = countsOf(layout), counted = Object.keys(counts).length > 0;
    return [head].concat(rows).map(function (row, k) {
      var shown = row.slice(0, ranges ? 5 : 3);
      if (counted) { shown.push(k ? counts[JSON.stringify([row[0], place(row[1])])] : "n"); }
      return shown.map(quoted).join(",") + "\n";
    }).join("");
  }

  function download(name, href) {
    var link = document.createElement("a");
    link.href = href;
    link.download = name;
    document.body.appendChild(link);
    link.click();
    link.remove();
  }
  function saveCsv(source) {
    var text = csvOf(JSON.parse(source.textContent));
    var href = URL.createObjectURL(new Blob([text], { type: "text/csv;charset=utf-8" }));
    download(source.dataset.plot + ".csv", href);
    window.setTimeout(function () { URL.revokeObjectURL(href); }, 1000);
  }
  // In the colours of paper, whatever the screen.
  function saveSvg(source) {
    var figure = JSON.parse(source.textContent), kind = source.closest("figure").classList;
    var width = kind.contains("wide") ? 900 : 500, height = kind.contains("square") ? 500 : 370;
    Plotly.toImage({ data: figure.data, layout: figure.layout }, { format: "svg", width: width, height: height })
      .then(function (href) { download(source.dataset.plot + ".svg", href); });
  }

  document.querySelectorAll("script[data-plot]").forEach(function (source) {
    var place = document.createElement("p");
    place.className = "save";
    [["SVG", "Save the picture", saveSvg], ["CSV", "Save the data", saveCsv]].forEach(function (kind) {
      var button = document.createElement("button");
      button.type = "button";
      button.textContent = kind[0];
      button.title = kind[1] + " (" + kind[0] + ")";
      button.setAttribute("aria-label", button.title);
      button.addEventListener("click", function () { kind[2](source); });
      place.appendChild(button);
    });
    source.after(place);
  });
})();
