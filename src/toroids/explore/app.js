// The page of a run: choose networks on the map or in the list; the server measures what lies
// between them. The address keeps the choice: #a,b,c.
"use strict";

const $ = (id) => document.getElementById(id);
const LETTERS = ["A", "B", "C"];
const DASHES = { solid: "", dot: "2 4", dash: "7 4", longdash: "11 4", dashdot: "8 3 2 3" };
const SHAPES = {
  circle: "M8 2a6 6 0 1 0 .01 0z",
  diamond: "M8 1l7 7-7 7-7-7z",
  square: "M2.5 2.5h11v11h-11z",
  "triangle-up": "M8 2l6.5 11.5h-13z",
  x: "M3.5 1L8 5.5 12.5 1 15 3.5 10.5 8l4.5 4.5-2.5 2.5L8 10.5 3.5 15 1 12.5 5.5 8 1 3.5z",
  star: "M8 1l2 4.9 5.3.4-4 3.5 1.2 5.2L8 12.2 3.5 15l1.2-5.2-4-3.5 5.3-.4z",
  cross: "M6 1h4v5h5v4h-5v5H6v-5H1V6h5z",
};
const HINT = "Choose two networks to see the error between them, three for the section through them.";
const dark = matchMedia("(prefers-color-scheme: dark)");

let run; // what /networks.json gave
let architecture; // the one that is shown
let moment = "after";
let chosen = []; // names, in the study's order
let shown; // what the server measured for them
let asking; // ends the question that is being asked
const fineness = {}; // points of a path, lines of a section, where not the study's

// ---- words and numbers

const percent = (value) => (value == null ? "–" : `${(100 * value).toFixed(2)}\u00a0%`);
function number(value) {
  if (value == null) return "–";
  return Math.abs(value) < 1000 ? Number(value).toPrecision(3) : Math.round(value).toLocaleString("en");
}
function within(value, stderr) {
  if (value == null || stderr == null) return percent(value);
  return `${(100 * value).toFixed(2)}\u00a0±\u00a0${(100 * stderr).toFixed(2)}\u00a0%`;
}
const disturbance = () =>
  architecture.binary ? `${+(100 * run.sigma).toPrecision(3)}\u00a0% of the weights flipped` : `σ\u00a0=\u00a0${run.sigma}`;
const short = (name) => (name.startsWith(`${architecture.name}-`) ? name.slice(architecture.name.length + 1) : name);
// plotly reads some HTML in its texts; names are shown as they are
const plain = (text) => text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
const network = (name) => architecture.networks.find((one) => one.name === name);
const solverOf = (name) => architecture.solvers.find((one) => one.name === network(name).solver);

// ---- elements

function element(tag, text = "", attributes = {}) {
  const made = document.createElement(tag);
  made.textContent = text;
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

// a cell with a number and its standard error, which a phone puts below it
function measured(value, stderr) {
  const cell = element("td", value == null || stderr == null ? percent(value) : (100 * value).toFixed(2));
  if (value != null && stderr != null) cell.append(" ", element("span", `±\u00a0${(100 * stderr).toFixed(2)}\u00a0%`));
  return cell;
}

function drawn(kind, inner, attributes) {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  svg.setAttribute("class", kind);
  svg.setAttribute("aria-hidden", "true");
  svg.setAttribute("viewBox", kind === "mark" ? "0 0 16 16" : "0 0 38 12");
  const shape = document.createElementNS(space, inner);
  for (const [name, value] of Object.entries(attributes)) shape.setAttribute(name, value);
  svg.append(shape);
  return svg;
}

const mark = (solver) => drawn("mark", "path", { d: SHAPES[solver.symbol], fill: solver.colour });
const stroke = (path) =>
  drawn("stroke", "path", {
    d: "M1 6H37", fill: "none", stroke: path.colour, "stroke-width": 3,
    "stroke-dasharray": DASHES[path.dash],
  });

function say(text, wrong = false) {
  $("message").textContent = text;
  $("message").classList.toggle("wrong", wrong);
}

function fill(table, head, rows) {
  const line = (cells, tag) => {
    const row = element("tr");
    cells.forEach((cell, column) => {
      const made = element(column ? tag : "th", "", column ? {} : { scope: tag === "th" ? "col" : "row" });
      made.append(...[cell].flat());
      row.append(made);
    });
    return row;
  };
  const top = element("thead");
  const body = element("tbody");
  top.append(line(head, "th"));
  body.append(...rows.map((row) => line(row, "td")));
  table.replaceChildren(top, body);
}

// ---- what was measured

const apartNames = { mean_angle: "mean angle (radians)", distance: "length of the geodesic (radians)", hamming: "fraction of weights that differ" };

function showProfile(found) {
  $("outcome-title").textContent = "Train error between A and B";
  $("chart").setAttribute("aria-label", "Train error along the paths from A to B; the table below has the barriers");
  drawProfile(found);
  $("chart-note").textContent =
    `A stays, B is aligned to it (${found.method}). Errors on ${found.examples} training examples; bands: ` +
    (architecture.binary ? "standard deviation over orders of flips, of one order standard error over examples." : "one standard error over examples.");
  const paths = run.paths.filter((one) => one.name in found.profiles);
  const over = architecture.binary ? "barrier ± standard error over orders" : "barrier ± standard error";
  fill($("numbers"), ["path", over], paths.map((path) => {
    const { barrier, barrier_stderr } = found.profiles[path.name];
    return [[stroke(path), path.label], within(barrier, barrier_stderr)];
  }));
  fill($("distances"), ["A to B", "before alignment", "after"], [
    ...Object.keys(apartNames).filter((name) => name in found).map((name) =>
      [apartNames[name], number(found[name].before), number(found[name].after)]),
    ["similarity (inner product)", number(found.similarity.before), number(found.similarity.after)],
  ]);
  $("layers-box").hidden = false;
  fill($("layers"), ["layer", "before alignment", "after"], found.layers.map((layer) =>
    [layer.space, number(layer.before), number(layer.after)]));
  remark(paths.flatMap((path) => found.profiles[path.name].notes.map((note) => `${path.label}: ${note}`)));
}

function showSection(found) {
  $("outcome-title").textContent = "Train error on the section through A, B and C";
  $("chart").setAttribute("aria-label", "Train error on the section through A, B and C; the table below has their errors");
  (found.faces ? drawFaces : drawPlane)(found);
  $("chart-note").textContent =
    `B and C are aligned to A (${found.method}). Train error on ${found.examples} examples. ` +
    (found.faces
      ? "Three faces around the median, the majority of the three; distances are fractions of all weights."
      : "The plane through the three canonical networks in Euclidean distances, every point moved to the toroid.");
  fill($("numbers"), ["network", "train error ± standard error"], [
    ...found.networks.map((name, at) => [`${LETTERS[at]}: ${short(name)}`, within(found.errors[at], found.errors_stderr[at])]),
    ...(found.faces ? [["median of the three", within(found.median_error, found.median_error_stderr)]] : []),
  ]);
  const measures = Object.keys(apartNames).filter((name) => name in found.apart[0]);
  fill($("distances"), ["after alignment to A", ...measures.map((name) => apartNames[name])], found.apart.map((row) =>
    [`${LETTERS[row.pair[0]]} to ${LETTERS[row.pair[1]]}`, ...measures.map((name) => number(row[name]))]));
  $("layers-box").hidden = true;
  remark(found.notes);
}

const remark = (notes) => $("remarks").replaceChildren(...notes.map((note) => element("li", note)));

async function measure() {
  asking?.abort();
  asking = shown = undefined;
  $("elapsed").textContent = "";
  $("go").hidden = true;
  const two = chosen.length === 2;
  const busy = chosen.length > 1;
  $("result").setAttribute("aria-busy", String(busy));
  $("fineness-box").hidden = !busy;
  if (!busy) {
    $("outcome").hidden = true;
    return say(chosen.length ? `${short(chosen[0])} is chosen. Choose another, or two.` : HINT);
  }
  const kind = two ? "points" : "resolution";
  offerFineness(kind, two ? "points on a path" : "lines of the section");
  const query = new URLSearchParams(chosen.map((name, at) => ["abc"[at], name]));
  if (fineness[kind]) query.set(kind, fineness[kind]);
  const address = `/${two ? "profile" : "section"}.json?${query}`;
  const mine = (asking = new AbortController());
  const clock = count();
  say(two ? "Measuring the error between A and B…" : "Measuring the section through A, B and C…");
  try {
    const response = await fetch(address, { signal: mine.signal });
    const found = await response.json();
    if (!response.ok) throw new Error(found.error);
    if (mine.signal.aborted) return;
    shown = found;
    $("json").href = address;
    $("json").setAttribute("download", `${chosen.join("_")}.json`);
    show();
    say(`${two ? "A and B" : "A, B and C"} measured in ${found.seconds.toFixed(1)} s.`);
    $("go").hidden = false;
  } catch (error) {
    if (mine.signal.aborted) return;
    $("outcome").hidden = true;
    const away = error instanceof TypeError; // fetch found nobody
    say(away ? "The server does not answer; start `toroids explore` again." : error.message, true);
  } finally {
    clearInterval(clock);
    if (asking === mine) $("elapsed").textContent = "";
  }
  $("result").setAttribute("aria-busy", "false");
}

// seconds that pass, for the eye only: a screen reader would read every one of them
function count() {
  const begun = Date.now();
  return setInterval(() => ($("elapsed").textContent = ` ${Math.round((Date.now() - begun) / 1000)} s`), 1000);
}

function show() {
  if (!shown) return;
  $("outcome").hidden = false;
  (shown.profiles ? showProfile : showSection)(shown);
}

function offerFineness(kind, name) {
  const own = run[kind];
  const sizes = kind === "points" ? [13, 25, 49, 97] : [9, 15, 25, 41];
  const offered = [...new Set([own, ...sizes])].sort((a, b) => a - b);
  $("fineness-name").textContent = name;
  $("fineness").dataset.kind = kind;
  $("fineness").replaceChildren(...offered.map((size) => element("option", `${size}${size === own ? " (as in the study)" : ""}`, { value: size })));
  $("fineness").value = fineness[kind] ?? own;
}

// ---- choosing

function toggle(name) {
  if (chosen.includes(name)) return choose(chosen.filter((one) => one !== name));
  return choose(chosen.length === 3 ? [name] : [...chosen, name]); // a fourth begins a new choice
}

function choose(names) {
  chosen = architecture.networks.map((one) => one.name).filter((name) => names.includes(name));
  const hash = chosen.map(encodeURIComponent).join(",");
  history.replaceState(null, "", hash ? `#${hash}` : location.pathname);
  showChoice();
  measure();
}

function showChoice() {
  $("clear").disabled = !chosen.length;
  for (const box of $("list").querySelectorAll("input")) {
    box.checked = chosen.includes(box.value);
    box.closest("tr").classList.toggle("chosen", box.checked);
  }
  $("chosen").replaceChildren(...chosen.map(card));
  drawMap();
}

function card(name, at) {
  const own = network(name);
  const made = element("li");
  const title = element("strong", ` ${LETTERS[at]}: ${short(name)}`);
  title.prepend(mark(solverOf(name)));
  const facts = element("dl");
  const flat = own.flatness && `+${within(own.flatness.increase, own.flatness.stderr)} at ${disturbance()}`;
  for (const [term, fact] of [
    ["solver", solverOf(name).label],
    ["test error", within(own.test_error, own.test_error_stderr)],
    ["train error", percent(own.train_error)],
    ["flatness", flat || "–"],
    ...own.notes.map((note) => ["note", note]),
  ]) facts.append(element("dt", term), element("dd", fact));
  made.append(title, facts);
  return made;
}

function showArchitecture(name) {
  architecture = run.architectures.find((one) => one.name === name);
  $("architecture").value = name;
  $("list-note").textContent = `± one standard error. Flatness: increase of the train error, ${disturbance()}; less is flatter.`;
  $("family").hidden = architecture.binary || architecture.networks.length < 2;
  $("family").href = `/family.html?${new URLSearchParams({ architecture: name })}`;
  $("list").tBodies[0].replaceChildren(...architecture.networks.map((one) => {
    const row = element("tr");
    const cell = element("td");
    const label = element("label");
    const box = element("input", "", { type: "checkbox", value: one.name });
    box.addEventListener("change", () => toggle(one.name));
    label.append(box, mark(solverOf(one.name)), element("span", short(one.name)));
    cell.append(label);
    row.append(cell, measured(one.test_error, one.test_error_stderr), measured(one.flatness?.increase, one.flatness?.stderr));
    return row;
  }));
}

// the choice that the address names, as far as this run has it
function restore() {
  let names = [];
  try {
    names = location.hash.slice(1).split(",").filter(Boolean).map(decodeURIComponent);
  } catch { /* not an address that this page wrote */ }
  const home = (name) => run.architectures.find((one) => one.networks.some((other) => other.name === name));
  const known = names.filter(home);
  const own = home(known[0] ?? "") ?? architecture ?? run.architectures[0];
  const kept = known.filter((name) => home(name) === own).slice(0, 3);
  showArchitecture(own.name);
  choose(kept);
  const lost = names.find((name) => !home(name));
  if (lost !== undefined) say(`The address names ${lost}, which this run does not have.`, true);
  else if (kept.length < new Set(names).size) say("The address names too many networks, or of two architectures; the first are chosen.", true);
}

async function start() {
  const response = await fetch("/networks.json");
  run = await response.json();
  if (!response.ok) throw new Error(run.error);
  document.title = $("title").textContent = `Study ${run.study}${run.finished ? "" : " (not finished)"}`;
  $("architecture-box").hidden = run.architectures.length < 2;
  $("architecture").replaceChildren(...run.architectures.map((one) => element("option", one.label, { value: one.name })));
  $("architecture").addEventListener("change", (event) => { showArchitecture(event.target.value); choose([]); });
  for (const radio of document.getElementsByName("moment")) {
    radio.checked = radio.value === moment;
    radio.addEventListener("change", () => { moment = radio.value; drawMap(); });
  }
  $("go").addEventListener("click", () => $("outcome-title").scrollIntoView());
  $("clear").addEventListener("click", () => choose([]));
  $("fineness").addEventListener("change", (event) => { fineness[event.target.dataset.kind] = event.target.value; measure(); });
  addEventListener("keydown", (event) => { if (event.key === "Escape" && event.target.tagName !== "SELECT") choose([]); });
  addEventListener("hashchange", restore);
  let width = innerWidth;
  addEventListener("resize", () => { if (innerWidth !== width) { width = innerWidth; drawMap(); show(); } });
  dark.addEventListener("change", () => { showChoice(); show(); });
  restore();
}

start().catch((error) => say(error.message, true));
