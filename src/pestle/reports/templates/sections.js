// Sections that open: a link opens the one it leads to, and paper has all of them open.
(function () {
  "use strict";
  var all = Array.from(document.querySelectorAll("details"));
  if (!all.length) { return; }

  // Opens whatever closed section a place lies in, or is.
  function reveal(hash) {
    var place = hash.length > 1 && document.getElementById(decodeURIComponent(hash.slice(1)));
    if (!place) { return; }
    var own = place.querySelector(":scope > details");
    if (own) { own.open = true; }
    for (var part = place.closest("details"); part; part = part.parentElement.closest("details")) { part.open = true; }
    place.scrollIntoView();
  }
  // A second click on a link changes no address: no hashchange is told.
  document.addEventListener("click", function (event) {
    var link = event.target.closest && event.target.closest("a[href^='#']");
    if (link) { window.setTimeout(function () { reveal(link.getAttribute("href")); }, 0); }
  });
  window.addEventListener("hashchange", function () { reveal(location.hash); });
  if (location.hash) { reveal(location.hash); }

  document.querySelectorAll("button.open-all").forEach(function (button) {
    button.hidden = false;
    button.addEventListener("click", function () {
      var open = all.some(function (part) { return !part.open; });
      all.forEach(function (part) { part.open = open; });
    });
  });
  function named() {
    var open = all.some(function (part) { return !part.open; });
    document.querySelectorAll("button.open-all").forEach(function (button) {
      button.textContent = open ? "Open all" : "Close all";
    });
  }
  document.addEventListener("toggle", named, true);
  named();

  var shut = [];
  window.addEventListener("beforeprint", function () {
    shut = all.filter(function (part) { return !part.open; });
    shut.forEach(function (part) { part.open = true; });
  });
  window.addEventListener("afterprint", function () {
    shut.forEach(function (part) { part.open = false; });
    shut = [];
  });

  // The index marks the section that is read.
  var links = Array.from(document.querySelectorAll("nav.index a")), waiting = false;
  function mark() {
    waiting = false;
    var here = null;
    links.forEach(function (link) {
      var place = document.getElementById(link.getAttribute("href").slice(1));
      if (place && place.getBoundingClientRect().top < 0.3 * window.innerHeight) { here = link; }
    });
    links.forEach(function (link) {
      if (link === here) { link.setAttribute("aria-current", "true"); } else { link.removeAttribute("aria-current"); }
    });
  }
  mark();
  window.addEventListener("scroll", function () {
    if (!waiting) { waiting = true; window.requestAnimationFrame(mark); }
  }, { passive: true });
})();
