"use strict";
// Draws the figures when they come into view, in the page's colours and at its width, and saves
// figures and numbers as files. Plotly is read only after the first paint: it takes a while.
(() => {
  const root = document.documentElement;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const touch = matchMedia("(pointer: coarse)").matches;
  const charts = [...document.querySelectorAll(".chart")];
  const drawn = new Map(); // chart -> the width at which it was drawn
  const SAVED_WIDTH = 900;
  // the same hues, as far from a dark page as the palette is from a light one
  const LIGHTER = {
    "#0072B2": "#3D9BE0", "#D55E00": "#FF8A3D", "#009E73": "#2BC79B", "#CC79A7": "#E7A3C8",
    "#E69F00": "#FFC84A", "#56B4E9": "#8FD3FF", "#808080": "#A0A5AD",
  };
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : dark.matches);

  const dataOf = (element) =>
    JSON.parse(element.closest("[data-holder]").querySelector("script[type='application/json']").textContent);

  // this script runs while the page is still being read: plotly's text may not have come yet
  const read = new Promise((resume) => document.addEventListener("DOMContentLoaded", resume));

  async function usePlotly() {
    await read;
    const source = document.getElementById("plotly");
    if (!source) return;
    const script = document.createElement("script");
    script.textContent = source.textContent;
    source.remove();
    document.head.append(script);
  }

  // --- layout: as many panels side by side as there is room for

  const panelAxes = (number) => (number ? [`xaxis${number + 1}`, `yaxis${number + 1}`] : ["xaxis", "yaxis"]);

  // Breaks an axis title into lines that fit; a letter is about half as wide as it is high.
  function fold(axis, width, size) {
    if (!axis.title || !axis.title.text) return;
    const lines = [""];
    for (const word of axis.title.text.split(" ")) {
      const longer = `${lines.at(-1)} ${word}`.trim();
      if (lines.at(-1) && longer.length * size * 0.55 > width) lines.push(word);
      else lines[lines.length - 1] = longer;
    }
    axis.title.text = lines.join("<br>");
  }

  // `taken`: what labels and legend were found to need on each side, in pixels
  function arrange(layout, width, taken) {
    const { panels, height, width: least, square, shared } = layout.meta;
    const narrow = width < 520;
    const titled = (layout.annotations || []).some((note) => note.name === "panel" && note.text);
    const noted = (layout.annotations || []).some((note) => !note.name);
    layout.margin = {
      l: Math.max(narrow ? 44 : 56, taken.left),
      r: Math.max(narrow ? 10 : 16, taken.right),
      t: taken.legend + (titled || noted ? 30 : 12),
      b: (narrow ? 50 : 56) + (layout.coloraxis ? 66 : 0),
    };
    layout.font = { ...layout.font, size: narrow ? 12 : 14 };
    if (narrow) {
      for (const [name, axis] of Object.entries(layout)) {
        if (/^[xy]axis/.test(name) && axis.title) axis.title.font = { size: 12 };
      }
    }
    const inner = width - layout.margin.l - layout.margin.r;
    const gap = shared ? 24 : 72;
    let columns = Math.max(1, Math.min(panels, Math.floor((inner + gap) / (least + gap))));
    const rows = Math.ceil(panels / columns);
    columns = Math.ceil(panels / rows);
    const panelWidth = (inner - (columns - 1) * gap) / columns;
    const panelHeight = square ? Math.min(height, panelWidth) : height;
    const step = panelHeight + 96;
    const total = rows * step - 96;
    for (let number = 0; number < panels; number += 1) {
      const [x, y] = panelAxes(number).map((name) => layout[name]);
      const column = number % columns;
      const row = Math.floor(number / columns);
      const left = (column * (panelWidth + gap)) / inner;
      const top = 1 - (row * step) / total;
      x.domain = [left, Math.min(1, left + panelWidth / inner)];
      y.domain = [Math.max(0, top - panelHeight / total), top];
      fold(x, panelWidth, layout.font.size);
      fold(y, panelHeight, layout.font.size);
      if (shared && column > 0) {
        y.showticklabels = false;
        delete y.title;
      } else if (shared) {
        y.showticklabels = true;
      }
    }
    layout.height = Math.round(total + layout.margin.t + layout.margin.b);
    layout.width = width;
    if (touch) layout.dragmode = false; // a finger scrolls the page
  }

  function paint(layout, element) {
    const style = getComputedStyle(element);
    const colour = (name) => style.getPropertyValue(`--${name}`).trim();
    layout.paper_bgcolor = layout.plot_bgcolor = element.dataset.paper || "rgba(0,0,0,0)";
    layout.font = { ...layout.font, family: style.fontFamily, color: colour("ink") };
    layout.hoverlabel = { ...layout.hoverlabel, bgcolor: colour("raised"), bordercolor: colour("muted"), font: { color: colour("ink") } };
    for (const [name, axis] of Object.entries(layout)) {
      if (!/^[xy]axis\d*$/.test(name)) continue;
      Object.assign(axis, { gridcolor: colour("grid"), zerolinecolor: colour("line"), linecolor: colour("line"), tickcolor: colour("line"), ticks: "outside", ticklen: 4, zerolinewidth: 1 });
    }
  }

  function prepared(figure, element, taken) {
    const text = JSON.stringify(figure);
    const night = element.dataset.paper !== "white" && isDark();
    const { data, layout } = JSON.parse(night ? text.replace(/#[0-9A-F]{6}/g, (c) => LIGHTER[c] || c) : text);
    arrange(layout, Math.floor(element.clientWidth), taken);
    paint(layout, element);
    return [data, layout, { displayModeBar: false, responsive: false }];
  }

  async function draw(element, figure) {
    let taken = { left: 0, right: 0, legend: 0 };
    await Plotly.newPlot(element, ...prepared(figure, element, taken));
    // only now is it known how wide labels are, and into how many lines the legend is broken, which
    // depends on each other; two rounds are enough, and a third does no harm
    for (let round = 0; round < 3; round += 1) {
      const { l, r } = element._fullLayout._size;
      const legend = element.querySelector(".legend");
      const high = legend ? legend.getBoundingClientRect().height + 4 : 0;
      const found = { left: Math.ceil(l), right: Math.ceil(r), legend: Math.ceil(high) };
      if (Object.keys(found).every((side) => found[side] <= taken[side])) break;
      taken = found;
      // not react(), which leaves the title of a colour bar where it was
      await Plotly.newPlot(element, ...prepared(figure, element, taken));
    }
  }

  async function show(chart) {
    await usePlotly();
    drawn.set(chart, chart.clientWidth);
    await draw(chart, dataOf(chart).figure);
    chart.style.minHeight = "0";
    chart.dataset.drawn = "yes";
  }

  // --- when to draw

  const waiting = [];
  let busy = false;
  async function work() {
    if (busy) return;
    busy = true;
    while (waiting.length) {
      await show(waiting.shift());
      await new Promise((resume) => setTimeout(resume)); // lets the page scroll in between
    }
    busy = false;
  }

  const near = new IntersectionObserver(
    (entries) => {
      for (const { isIntersecting, target } of entries) {
        if (!isIntersecting) continue;
        near.unobserve(target);
        waiting.push(target);
      }
      work();
    },
    { rootMargin: "600px" },
  );
  // after a paint: the reader sees the text while plotly is being compiled
  read.then(() => requestAnimationFrame(() => setTimeout(() => charts.forEach((chart) => near.observe(chart)))));

  const again = () => [...drawn.keys()].forEach((chart) => show(chart));
  let timer;
  addEventListener("resize", () => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      for (const [chart, width] of drawn) if (chart.clientWidth !== width) show(chart);
    }, 150);
  });
  dark.addEventListener("change", again);

  // --- light or dark, on request

  const toggle = document.querySelector("[data-toggle]");
  const tell = () => {
    if (toggle) toggle.textContent = isDark() ? "Light colours" : "Dark colours";
  };
  if (toggle) {
    toggle.hidden = false;
    toggle.addEventListener("click", () => {
      root.dataset.theme = isDark() ? "light" : "dark";
      tell();
      again();
    });
    dark.addEventListener("change", tell);
    tell();
  }

  let before;
  addEventListener("beforeprint", () => {
    before = root.dataset.theme;
    root.dataset.theme = "light"; // paper is white
    charts.forEach((chart) => show(chart));
  });
  addEventListener("afterprint", () => {
    if (before) root.dataset.theme = before;
    else delete root.dataset.theme;
    again();
  });

  // --- files to save

  function save(content, type, name) {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([content], { type }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  }

  async function svgOf(figure) {
    await usePlotly();
    const element = document.createElement("div");
    element.dataset.theme = "light"; // for a white page, whatever the scheme
    element.dataset.paper = "white";
    element.style.cssText = `position: absolute; left: -10000px; width: ${SAVED_WIDTH}px`;
    document.body.append(element);
    await draw(element, figure);
    const url = await Plotly.toImage(element, { format: "svg", width: SAVED_WIDTH, height: element._fullLayout.height });
    Plotly.purge(element);
    element.remove();
    return decodeURIComponent(url.slice(url.indexOf(",") + 1));
  }

  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-save]");
    if (!button) return;
    const held = dataOf(button);
    const kind = button.dataset.save;
    if (kind === "svg") save(await svgOf(held.figure), "image/svg+xml", `${held.name}.svg`);
    else save(held[kind], kind === "csv" ? "text/csv;charset=utf-8" : "text/plain;charset=utf-8", `${held.name}.${kind}`);
  });

  const contents = document.querySelector("nav details");
  const wide = matchMedia("(min-width: 82rem)");
  if (contents && wide.matches) contents.open = true;
  if (contents) wide.addEventListener("change", () => (contents.open = wide.matches));
})();
