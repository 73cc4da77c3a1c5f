// Flagged structures in 3D, one drawing for all of them, made when it is asked for.
(function () {
  "use strict";
  var viewer = document.getElementById("viewer");
  if (!viewer) { return; }
  var content = JSON.parse(document.getElementById("viewer-data").textContent);
  function part(name) { return document.getElementById("viewer-" + name); }
  var choice = part("choice"), place = part("plot"), turn = part("turn");
  var stage = viewer.querySelector(".stage");
  var INK = "#27272a", FAINT = "#a8a29e", PAPER = "#ffffff";
  // Balls at half the covalent radius leave the bonds in sight.
  var BALL = 0.5, BOND = 1.15;
  var open = false;

  var solid = (function () {
    try {
      var canvas = document.createElement("canvas");
      return Boolean(canvas.getContext("webgl2") || canvas.getContext("webgl"));
    } catch (error) { return false; }
  })();
  if (!solid) { part("show").textContent = "Show"; }

  // A ball of triangles: an icosahedron, each face cut into four as often as asked.
  function ball(cuts) {
    var t = (1 + Math.sqrt(5)) / 2, points = [], faces = [];
    [[-1, t, 0], [1, t, 0], [-1, -t, 0], [1, -t, 0], [0, -1, t], [0, 1, t], [0, -1, -t], [0, 1, -t],
      [t, 0, -1], [t, 0, 1], [-t, 0, -1], [-t, 0, 1]].forEach(add);
    function add(p) {
      var norm = Math.hypot(p[0], p[1], p[2]);
      return points.push([p[0] / norm, p[1] / norm, p[2] / norm]) - 1;
    }
    faces = [[0, 11, 5], [0, 5, 1], [0, 1, 7], [0, 7, 10], [0, 10, 11], [1, 5, 9], [5, 11, 4], [11, 10, 2],
      [10, 7, 6], [7, 1, 8], [3, 9, 4], [3, 4, 2], [3, 2, 6], [3, 6, 8], [3, 8, 9], [4, 9, 5], [2, 4, 11],
      [6, 2, 10], [8, 6, 7], [9, 8, 1]];
    for (var cut = 0; cut < cuts; cut += 1) {
      var middles = {}, finer = [];
      faces.forEach(function (f) {
        var m = [[f[0], f[1]], [f[1], f[2]], [f[2], f[0]]].map(function (edge) {
          var key = Math.min(edge[0], edge[1]) + " " + Math.max(edge[0], edge[1]);
          if (middles[key] === undefined) {
            var a = points[edge[0]], b = points[edge[1]];
            middles[key] = add([a[0] + b[0], a[1] + b[1], a[2] + b[2]]);
          }
          return middles[key];
        });
        finer.push([f[0], m[0], m[2]], [f[1], m[1], m[0]], [f[2], m[2], m[1]], m);
      });
      faces = finer;
    }
    return { points: points, faces: faces };
  }

  function inverse(m) {
    function cross(a, b) { return [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]; }
    var c = [cross(m[1], m[2]), cross(m[2], m[0]), cross(m[0], m[1])];
    var volume = m[0][0] * c[0][0] + m[0][1] * c[0][1] + m[0][2] * c[0][2];
    return c.map(function (row) { return row.map(function (v) { return v / volume; }); });
  }
  function dot(a, b) { return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]; }

  // The atoms in the cell, and again those on a face where they meet the other side.
  function atomsOf(one) {
    var atoms = one.symbols.map(function (symbol, k) {
      return { symbol: symbol, name: symbol + " " + (k + 1), at: one.positions[k], image: false };
    });
    if (!one.cell) { return atoms; }
    var back = inverse(one.cell), all = [];
    atoms.forEach(function (atom) {
      var fraction = back.map(function (row) { return dot(row, atom.at); });
      var whole = fraction.map(function (f, k) { return one.pbc[k] ? Math.floor(f + 1e-6) : 0; });
      var steps = fraction.map(function (f, k) { return one.pbc[k] && f - whole[k] < 0.02 ? [0, 1] : [0]; });
      steps[0].forEach(function (a) { steps[1].forEach(function (b) { steps[2].forEach(function (c) {
        var shift = [a - whole[0], b - whole[1], c - whole[2]];
        all.push({ symbol: atom.symbol, name: atom.name, image: Boolean(a || b || c),
          at: atom.at.map(function (x, k) {
            return x + shift[0] * one.cell[0][k] + shift[1] * one.cell[1][k] + shift[2] * one.cell[2][k];
          }) });
      }); }); });
    });
    return all;
  }

  function radius(symbol) { return content.elements[symbol].radius; }

  function bondsOf(atoms) {
    var found = [];
    for (var i = 0; i < atoms.length; i += 1) {
      for (var j = 0; j < i; j += 1) {
        var a = atoms[i].at, b = atoms[j].at;
        var reach = BOND * (radius(atoms[i].symbol) + radius(atoms[j].symbol));
        if (Math.hypot(a[0] - b[0], a[1] - b[1], a[2] - b[2]) < reach) { found.push([a, b]); }
      }
    }
    return found;
  }

  function edgesOf(cell) {
    if (!cell) { return []; }
    function corner(i, j, k) { return [0, 1, 2].map(function (x) { return i * cell[0][x] + j * cell[1][x] + k * cell[2][x]; }); }
    var found = [];
    [[0, 0], [0, 1], [1, 0], [1, 1]].forEach(function (p) {
      found.push([corner(0, p[0], p[1]), corner(1, p[0], p[1])], [corner(p[0], 0, p[1]), corner(p[0], 1, p[1])],
        [corner(p[0], p[1], 0), corner(p[0], p[1], 1)]);
    });
    return found;
  }

  // Pairs of points as one broken line: [x…], [y…], [z…].
  function broken(pairs) {
    var line = [[], [], []];
    pairs.forEach(function (pair) {
      [0, 1, 2].forEach(function (k) { line[k].push(pair[0][k], pair[1][k], null); });
    });
    return line;
  }

  function inThree(one) {
    var atoms = atomsOf(one), sphere = ball(atoms.length > 60 ? 1 : 2), data = [];
    [[bondsOf(atoms), FAINT, 5], [edgesOf(one.cell), INK, 2]].forEach(function (lines) {
      var xyz = broken(lines[0]);
      if (xyz[0].length) {
        data.push({ type: "scatter3d", mode: "lines", x: xyz[0], y: xyz[1], z: xyz[2], hoverinfo: "skip",
          line: { color: lines[1], width: lines[2] } });
      }
    });
    Object.keys(content.elements).forEach(function (symbol) {
      var mine = atoms.filter(function (atom) { return atom.symbol === symbol; });
      if (!mine.length) { return; }
      var mesh = { type: "mesh3d", name: symbol, x: [], y: [], z: [], i: [], j: [], k: [], text: [],
        color: content.elements[symbol].colour, hoverinfo: "text", flatshading: false,
        lighting: { ambient: 0.6, diffuse: 0.55, specular: 0.15, roughness: 0.6, fresnel: 0.1 },
        // From over the left shoulder: to the right, up and away from the reader are positive.
        lightposition: { x: -60000, y: 80000, z: -400000 } };
      mine.forEach(function (atom) {
        var first = mesh.x.length, r = BALL * radius(symbol);
        sphere.points.forEach(function (p) {
          mesh.x.push(atom.at[0] + r * p[0]); mesh.y.push(atom.at[1] + r * p[1]); mesh.z.push(atom.at[2] + r * p[2]);
          mesh.text.push(atom.name + (atom.image ? " (periodic image)" : ""));
        });
        sphere.faces.forEach(function (f) { mesh.i.push(first + f[0]); mesh.j.push(first + f[1]); mesh.k.push(first + f[2]); });
      });
      data.push(mesh);
    });
    var hidden = { visible: false, showspikes: false };
    var layout = { autosize: true, showlegend: false, margin: { l: 0, r: 0, t: 0, b: 0 }, paper_bgcolor: PAPER,
      uirevision: choice.value,
      scene: { xaxis: hidden, yaxis: hidden, zaxis: hidden, aspectmode: "data", dragmode: "orbit", bgcolor: PAPER,
        camera: { projection: { type: "orthographic" }, eye: { x: 0.8, y: 0.4, z: 0.3 } } } };
    return { data: data, layout: layout };
  }

  // Without WebGL: the same seen from one side, the near before the far.
  function flat(one) {
    var angle = Number(turn.value) * Math.PI / 180, tilt = 0.35;
    var axes = [[Math.cos(angle), Math.sin(angle), 0],
      [Math.sin(tilt) * Math.sin(angle), -Math.sin(tilt) * Math.cos(angle), Math.cos(tilt)],
      [Math.cos(tilt) * Math.sin(angle), -Math.cos(tilt) * Math.cos(angle), -Math.sin(tilt)]];
    function seen(p) { return axes.map(function (axis) { return dot(axis, p); }); }
    var atoms = atomsOf(one).map(function (atom) { return Object.assign({ seen: seen(atom.at) }, atom); });
    atoms.sort(function (a, b) { return a.seen[2] - b.seen[2]; });
    var edges = edgesOf(one.cell).map(function (pair) { return pair.map(seen); });
    var bonds = bondsOf(atoms).map(function (pair) { return pair.map(seen); });
    var points = atoms.map(function (atom) { return atom.seen; });
    edges.forEach(function (pair) { points = points.concat(pair); });
    var width = Math.max(200, place.clientWidth), height = Math.max(200, place.clientHeight);
    var bounds = [0, 1].map(function (k) {
      var values = points.map(function (p) { return p[k]; });
      return [Math.min.apply(null, values) - 1, Math.max.apply(null, values) + 1];
    });
    var scale = Math.min(width / (bounds[0][1] - bounds[0][0]), height / (bounds[1][1] - bounds[1][0]));
    var data = [[bonds, FAINT, 3], [edges, INK, 1]].map(function (lines) {
      var xy = broken(lines[0]);
      return { type: "scatter", mode: "lines", x: xy[0], y: xy[1], hoverinfo: "skip", line: { color: lines[1], width: lines[2] } };
    });
    // The symbol of an atom behind another would lie on top of that.
    function size(atom) { return 2 * BALL * radius(atom.symbol); }
    function covered(atom, k) {
      return atoms.slice(k + 1).some(function (other) {
        return Math.hypot(other.seen[0] - atom.seen[0], other.seen[1] - atom.seen[1]) < size(other) / 2;
      });
    }
    data.push({ type: "scatter", mode: atoms.length > 80 ? "markers" : "markers+text",
      x: atoms.map(function (atom) { return atom.seen[0]; }), y: atoms.map(function (atom) { return atom.seen[1]; }),
      text: atoms.map(function (atom, k) { return covered(atom, k) ? "" : atom.symbol; }), textfont: { size: 10, color: "#1c1917" },
      hovertext: atoms.map(function (atom) { return atom.name; }), hoverinfo: "text",
      marker: { opacity: 1, size: atoms.map(function (atom) { return Math.max(6, size(atom) * scale); }),
        color: atoms.map(function (atom) { return content.elements[atom.symbol].colour; }),
        line: { color: INK, width: 1 } } });
    var axis = { visible: false, fixedrange: true };
    var layout = { autosize: true, showlegend: false, margin: { l: 0, r: 0, t: 0, b: 0 }, dragmode: false,
      paper_bgcolor: PAPER, plot_bgcolor: PAPER, hovermode: "closest",
      xaxis: Object.assign({ range: bounds[0], constrain: "domain" }, axis),
      yaxis: Object.assign({ range: bounds[1], scaleanchor: "x", constrain: "domain" }, axis) };
    return { data: data, layout: layout };
  }

  function draw() {
    var one = content.structures[Number(choice.value)];
    stage.hidden = false;
    part("show").hidden = true;
    turn.closest(".turn").hidden = solid;
    // A list cuts off what is long.
    part("name").textContent = choice.selectedOptions[0].textContent;
    part("caption").textContent = one.caption;
    var list = part("elements");
    list.textContent = "";
    Array.from(new Set(one.symbols)).forEach(function (symbol) {
      var entry = document.createElement("span"), dotted = document.createElement("i");
      dotted.style.background = content.elements[symbol].colour;
      entry.append(dotted, symbol);
      list.append(entry);
    });
    var figure = solid ? inThree(one) : flat(one);
    if (pestlePlots.dark.matches) { figure = pestlePlots.recoloured(figure); }
    Plotly.react(place, figure.data, figure.layout, { responsive: true, displaylogo: false, displayModeBar: false });
    open = true;
  }
  function move(step) {
    choice.selectedIndex = (choice.selectedIndex + step + choice.length) % choice.length;
    draw();
  }

  choice.addEventListener("change", draw);
  turn.addEventListener("input", draw);
  part("show").addEventListener("click", draw);
  part("before").addEventListener("click", function () { move(-1); });
  part("after").addEventListener("click", function () { move(1); });
  document.querySelectorAll("a[data-place]").forEach(function (link) {
    link.addEventListener("click", function () { choice.value = link.dataset.place; draw(); });
  });
  pestlePlots.dark.addEventListener("change", function () { if (open) { draw(); } });
})();
