// The charts of the page: the map of the networks, profiles, sections. What they show is in app.js.
"use strict";

const CHART = { responsive: true, displaylogo: false, displayModeBar: false };

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// draws a chart; its place is as high as the chart, so that nothing below it moves or is covered
function draw(id, traces, height, more) {
  $(id).style.height = `${height}px`;
  return Plotly.react(id, traces, layout(height, more), CHART);
}

function layout(height, more) {
  const axis = { gridcolor: colour("--line"), zerolinecolor: colour("--line"), automargin: true, fixedrange: true };
  const made = {
    height, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", dragmode: false,
    font: { family: "system-ui, -apple-system, Segoe UI, sans-serif", size: 14, color: colour("--text") },
    margin: { l: 60, r: 15, t: 20, b: 50 }, hovermode: "closest", showlegend: false,
    hoverlabel: { bgcolor: colour("--card"), bordercolor: colour("--line"), font: { color: colour("--text") } },
    ...more,
  };
  for (const name of Object.keys(made)) {
    if (!/^[xy]axis/.test(name)) continue;
    made[name] = { ...axis, ...made[name] };
    if (made[name].title) made[name].title = { ...made[name].title, font: { size: 14 } };
  }
  return made;
}

function drawMap() {
  const map = architecture.maps[moment];
  $("moments").hidden = !Object.keys(architecture.maps).length;
  $("map").hidden = !map;
  if (!map) {
    $("map-note").textContent = "A map needs three networks and the distances of all; choose from the list.";
    return;
  }
  const [unit, measure] = map.measure === "hamming"
    ? ["fraction of weights", "fraction of weights that differ"] : ["radians", "mean angle"];
  const place = new Map(map.names.map((name, at) => [name, [map.x[at], map.y[at]]]));
  const traces = architecture.solvers.map((solver) => {
    const own = architecture.networks.filter((one) => one.solver === solver.name && place.has(one.name));
    return {
      type: "scatter", mode: "markers", name: plain(solver.label),
      x: own.map((one) => place.get(one.name)[0]), y: own.map((one) => place.get(one.name)[1]),
      customdata: own.map((one) => one.name),
      text: own.map((one) => `${plain(short(one.name))}<br>test error ${within(one.test_error, one.test_error_stderr)}`),
      hovertemplate: "%{text}<extra></extra>",
      marker: { size: 13, symbol: solver.symbol, color: solver.colour, line: { width: 1, color: colour("--back") } },
    };
  }).filter((trace) => trace.x.length);
  const rings = chosen.filter((name) => place.has(name));
  traces.push({
    type: "scatter", mode: "markers+text", hoverinfo: "skip", showlegend: false, cliponaxis: false,
    x: rings.map((name) => place.get(name)[0]), y: rings.map((name) => place.get(name)[1]),
    text: rings.map((name) => `<b>${LETTERS[chosen.indexOf(name)]}</b>`), textposition: "top center",
    customdata: rings, textfont: { size: 17 },
    marker: { size: 24, symbol: "circle-open", color: colour("--text"), line: { width: 2.5 } },
  });
  draw("map", traces, narrow() ? 380 : 460, {
    showlegend: true, legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom" },
    margin: { l: 60, r: 15, t: 10, b: 50 },
    xaxis: { title: { text: `position (${unit})` }, range: extent("x"), constrain: "domain" },
    yaxis: { range: extent("y"), scaleanchor: "x", constrain: "domain" },
  });
  $("map").removeAllListeners?.("plotly_click");
  $("map").on("plotly_click", (event) => toggle(event.points[0].customdata));
  $("map-note").textContent =
    `Distances on the map are as close to those of the networks (${measure}) as a plane allows, stress ` +
    `${number(map.stress)}; directions mean nothing. Both maps have one scale.`;
}

// one range for both maps, so that one sees how far alignment brings the networks together
function extent(axis) {
  const all = Object.values(architecture.maps).flatMap((map) => map[axis]);
  const [low, high] = [Math.min(...all), Math.max(...all)];
  const beyond = 0.12 * (high - low) || 0.1;
  return [low - beyond, high + beyond];
}

const narrow = () => innerWidth < 600;

function drawProfile(found) {
  const traces = [];
  for (const path of run.paths.filter((one) => one.name in found.profiles)) {
    const curve = found.profiles[path.name];
    const width = curve.orders > 1 ? curve.error_spread : curve.error_stderr;
    const edge = (sign) => curve.error.map((error, at) => (error == null ? null : Math.max(error + sign * width[at], 0)));
    traces.push({
      type: "scatter", mode: "none", fill: "toself", hoverinfo: "skip", opacity: 0.18, fillcolor: path.colour,
      x: [...curve.t, ...curve.t.slice().reverse()], y: [...edge(1), ...edge(-1).reverse()],
    }, {
      type: "scatter", mode: "lines", x: curve.t, y: curve.error, name: path.label,
      line: { color: path.colour, dash: path.dash, width: 2.5 }, hovertemplate: "%{y:.2%}",
    });
  }
  draw("chart", traces, narrow() ? 340 : 420, {
    hovermode: "x unified",
    hoverlabel: { bgcolor: colour("--card"), bordercolor: colour("--line"), font: { color: colour("--text") }, namelength: -1 },
    xaxis: { title: { text: "position t on the path, from A to B" }, range: [0, 1] },
    yaxis: { title: { text: "train error" }, tickformat: ".1~%", rangemode: "tozero" },
  });
}

// one scale of colours below the chart, from no error to the highest
function colours(values) {
  const highest = Math.max(...values.flat(Infinity).filter((value) => value != null));
  return {
    colorscale: "Viridis", cmin: 0, cmax: highest || 0.01,
    colorbar: {
      tickformat: ".1~%", thickness: 14, orientation: "h", yref: "container", y: 0, yanchor: "bottom", x: 0.5, len: 0.9,
    },
  };
}
const spots = (x, y, text, textposition, axes = {}) => ({
  type: "scatter", mode: "markers+text", x, y, text, textposition, hoverinfo: "skip", cliponaxis: false,
  textfont: { color: "white", size: 16, shadow: "auto" },
  marker: { color: "white", size: 11, line: { color: "black", width: 1.5 } }, ...axes,
});

function drawPlane(found) {
  const traces = [
    {
      type: "contour", x: found.x, y: found.y, z: found.error, coloraxis: "coloraxis", ncontours: 20,
      line: { width: 0.5 }, hoverongaps: false,
      hovertemplate: "(%{x:.3g}, %{y:.3g})<br>train error %{z:.2%}<extra></extra>",
    },
    spots(found.points.map((at) => at[0]), found.points.map((at) => at[1]), LETTERS, "top center"),
  ];
  draw("chart", traces, narrow() ? 440 : 580, {
    coloraxis: colours(found.error), margin: { l: 60, r: 15, t: 20, b: 115 },
    xaxis: { title: { text: "distance along A and B" }, constrain: "domain" },
    yaxis: { title: { text: "distance from their line" }, scaleanchor: "x", constrain: "domain" },
  });
}

function drawFaces(found) {
  const one = $("result").clientWidth < 560; // faces below each other
  const traces = [];
  const axes = {};
  found.faces.forEach(([i, j], face) => {
    const id = face ? String(face + 1) : "";
    const [across, up] = [found.distances[i], found.distances[j]];
    const on = { xaxis: `x${id}`, yaxis: `y${id}` };
    const domain = one ? [0, 1] : [0.37 * face, 0.37 * face + 0.26];
    const rise = one ? [0.365 * (2 - face), 0.365 * (2 - face) + 0.265] : [0, 1];
    traces.push({
      type: "heatmap", x: across, y: up, coloraxis: "coloraxis", hoverongaps: false, ...on,
      z: up.map((_, q) => across.map((_, p) => found.error[face][p][q])),
      hovertemplate: `to ${LETTERS[i]} %{x:.3g}, to ${LETTERS[j]} %{y:.3g}<br>train error %{z:.2%}<extra></extra>`,
    }, spots([0, across.at(-1), 0], [0, 0, up.at(-1)], ["median", LETTERS[i], LETTERS[j]],
      ["top right", "top left", "bottom right"], on));
    axes[`xaxis${id}`] = { domain, anchor: `y${id}`, constrain: "domain", title: { text: `median to ${LETTERS[i]}` } };
    axes[`yaxis${id}`] = { domain: rise, anchor: `x${id}`, constrain: "domain", scaleanchor: `x${id}`, title: { text: `median to ${LETTERS[j]}` } };
  });
  const margin = { l: 60, r: 15, t: 20, b: 115 };
  draw("chart", traces, one ? 1050 : 400, { coloraxis: colours(found.error), margin, ...axes });
}
