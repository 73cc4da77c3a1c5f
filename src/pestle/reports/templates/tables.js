// Tables that are sorted by a click on a heading: up, down, and back to the order of the page.
(function () {
  "use strict";
  // Column of each cell of the head, whatever spans rows and columns there.
  function columnsOf(head) {
    var taken = [], found = [];
    Array.from(head.rows).forEach(function (row, r) {
      var column = 0;
      Array.from(row.cells).forEach(function (cell) {
        while (taken[r] && taken[r][column]) { column += 1; }
        found.push({ cell: cell, column: column, last: r + cell.rowSpan === head.rows.length });
        for (var down = 0; down < cell.rowSpan; down += 1) {
          taken[r + down] = taken[r + down] || [];
          for (var right = 0; right < cell.colSpan; right += 1) { taken[r + down][column + right] = true; }
        }
        column += cell.colSpan;
      });
    });
    return found.filter(function (entry) { return entry.last && entry.cell.colSpan === 1; });
  }

  // A cell as what it is sorted by: a number where it is one, null where it is empty.
  function keyOf(row, column) {
    var cell = row.cells[column];
    if (!cell) { return null; }
    var text = cell.textContent.trim().replace(/\s+/g, " ");
    if (cell.dataset.sort !== undefined) { return parseFloat(cell.dataset.sort); }
    if (text === "" || text === "—") { return null; }
    var plain = text.replace(/,/g, "").replace(/−/g, "-");
    var match = /^[+-]?\d+(\.\d+)?$/.test(plain) ? plain : (/^[+-]?\d+(\.\d+)? %$/.test(plain) ? plain.slice(0, -2) : null);
    var power = /^([+-]?\d+(?:\.\d+)?)×10([⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+)$/.exec(plain);
    if (power) {
      match = power[1] + "e" + power[2].replace(/./g, function (c) { return c === "⁻" ? "-" : "⁰¹²³⁴⁵⁶⁷⁸⁹".indexOf(c); });
    }
    return match === null ? text : parseFloat(match);
  }

  function compared(a, b) {
    if (typeof a === "number" && typeof b === "number") { return a - b; }
    if (typeof a !== typeof b) { return typeof a === "number" ? -1 : 1; }
    return a.localeCompare(b, "en", { numeric: true });
  }

  function sort(body, column, direction) {
    var rows = Array.from(body.rows).filter(function (row) { return !row.classList.contains("group"); });
    var keyed = rows.map(function (row) {
      return { row: row, key: direction ? keyOf(row, column) : Number(row.dataset.place) };
    });
    keyed.sort(function (a, b) {
      // What is empty stays below, whichever way.
      if (a.key === null || b.key === null) { return (a.key === null) - (b.key === null); }
      return (direction || 1) * compared(a.key, b.key);
    });
    keyed.forEach(function (entry) { body.appendChild(entry.row); });
  }

  document.querySelectorAll("table.sortable").forEach(function (table) {
    var bodies = Array.from(table.tBodies);
    bodies.forEach(function (body) {
      Array.from(body.rows).forEach(function (row, k) { row.dataset.place = k; });
    });
    var heads = columnsOf(table.tHead);
    heads.forEach(function (entry) {
      var button = document.createElement("button");
      button.type = "button";
      button.className = "sort";
      button.title = "Sort by this column";
      while (entry.cell.firstChild) { button.appendChild(entry.cell.firstChild); }
      entry.cell.appendChild(button);
      entry.cell.setAttribute("aria-sort", "none");
      button.addEventListener("click", function () {
        var before = entry.cell.getAttribute("aria-sort");
        var now = before === "none" ? "ascending" : before === "ascending" ? "descending" : "none";
        heads.forEach(function (other) { other.cell.setAttribute("aria-sort", "none"); });
        entry.cell.setAttribute("aria-sort", now);
        var direction = now === "ascending" ? 1 : now === "descending" ? -1 : 0;
        bodies.forEach(function (body) { sort(body, entry.column, direction); });
      });
    });
  });
})();
