// What all parts share: the data, elements, numbers as text, menus, the theme, tables that sort.

const data = JSON.parse(document.getElementById("data").textContent);
data.measures.forEach(measure => { measure.of = result => estimate(result, measure); });
const everyone = [...data.humans, ...data.results];
const section = name => document.getElementById(name);

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.flat().filter(child => child !== null && child !== undefined));
  return element;
}
// A text among the children is a text, whatever it says.
const make = (tag, attributes = {}, ...children) => fill(document.createElement(tag), attributes, children);
const draw = (tag, attributes = {}, ...children) =>
  fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);

function estimate(result, measure) {
  const [mean, low, high] = result.numbers[measure.name]
    .map(value => (value === null ? null : value * measure.scale));
  return mean === null ? null : { mean, low: low ?? mean, high: high ?? mean, known: low !== null };
}
const shown = (measure, value) => value.toFixed(measure.digits) + measure.unit;
function told(measure, own) {
  const interval = own.known ? ` [${shown(measure, own.low)}, ${shown(measure, own.high)}]` : "";
  return shown(measure, own.mean) + interval;
}
const humanOf = result => data.humans.find(human => human.model === result.model) ?? null;

// A line of a sweep has one colour and marker, and so has each other result; those of a line differ
// in how their lines are broken.
const BREAKS = ["", "7 3", "2 3", "9 3 2 3", "14 4", "4 6"];
const SHAPES = ["circle", "square", "triangle", "diamond", "cross"];
const looks = (() => {
  const found = new Map();
  const groups = data.sweeps.flatMap(sweep => sweep.lines.map(line => line.places));
  const swept = new Set(groups.flat());
  data.results.forEach((result, place) => swept.has(place) || groups.push([place]));
  groups.sort((a, b) => a[0] - b[0]).forEach((places, group) => places.forEach((place, i) =>
    found.set(data.results[place], {
      colour: `var(--c${group % 6})`,
      shape: SHAPES[group % SHAPES.length],
      breaks: BREAKS[i % BREAKS.length],
    })));
  data.humans.forEach(human => found.set(human, { colour: "var(--ink)", shape: "diamond", breaks: "" }));
  return found;
})();

function menu(label, options, chosen, change) {
  const select = make("select", { onchange: () => change(Number(select.value)) },
    options.map((option, i) => make("option", { value: i, selected: i === chosen }, option)));
  return make("label", {}, label, select);
}

// Boxes to choose results, at first some from all over the list; `change` is told of each choice.
function chooser(results, count, change) {
  const title = make("summary");
  const first = new Set([...Array(Math.min(count, results.length)).keys()]
    .map(i => Math.round(i * (results.length - 1) / Math.max(1, count - 1))));
  if (results.length <= count) results.forEach((result, i) => first.add(i));
  const boxes = results.map((result, i) =>
    make("input", { type: "checkbox", checked: first.has(i), onchange: () => update() }));
  const set = value => () => { boxes.forEach(box => { box.checked = value; }); update(); };
  const element = make("details", { class: "chooser" }, title, make("div", { class: "boxes" },
    results.map((result, i) => make("label", {}, boxes[i], ` ${result.name}`))),
    make("button", { type: "button", onclick: set(true) }, "all"), " ",
    make("button", { type: "button", onclick: set(false) }, "none"));
  element.chosen = () => results.filter((result, i) => boxes[i].checked);
  const say = () => { title.textContent = `Samplers: ${element.chosen().length} of ${results.length}`; };
  const update = () => { say(); change(); };
  say();
  return element;
}

// Calls `render` with the width of an element on the page, now and whenever it changes.
const widthIn = element => Math.floor(element.getBoundingClientRect().width);
function atEachWidth(element, render) {
  let last = 0;
  const update = () => {
    const width = widthIn(element);
    if (width && width !== last) render(last = width);
  };
  update();
  new ResizeObserver(() => requestAnimationFrame(update)).observe(element);
}

const THEMES = { "": "auto", light: "light", dark: "dark" };
function theme(name) {
  document.documentElement.dataset.theme = name;
  section("theme").textContent = `Theme: ${THEMES[name]}`;
}
section("theme").addEventListener("click", () => {
  const names = Object.keys(THEMES);
  theme(names[(names.indexOf(document.documentElement.dataset.theme) + 1) % names.length]);
});
theme("");

for (const table of document.querySelectorAll("table.numbers")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => head.addEventListener("click", () => {
    const down = head.getAttribute("aria-sort") === "ascending";
    heads.forEach(other => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const key = row => (column ? Number(row.cells[column].dataset.v ?? NaN) : Number(row.dataset.place));
    const last = row => Number.isNaN(key(row));
    const rows = [...table.tBodies[0].rows].sort((a, b) =>
      last(a) - last(b) || (last(a) ? 0 : (down ? -1 : 1) * (key(a) - key(b))));
    table.tBodies[0].append(...rows);
  }));
}

// Parts that have nothing to show are left out; the others are in the list at the top.
window.addEventListener("DOMContentLoaded", () => {
  for (const part of document.querySelectorAll("main > section")) {
    if (part.children.length < 2) part.remove();
    else document.querySelector("nav").append(make("a", { href: `#${part.id}` }, part.firstElementChild.textContent));
  }
});
