// Curves and heat maps of sweeps, and curves step by step.

// A chart of lines (`name`, `look`, `points` with `x`, `y`, and maybe `low` and `high`).
function curves(width, { across, up, lines, rules = [], places = null, linear = false }) {
  const height = 290, points = lines.flatMap(line => line.points);
  const names = [...lines.map(line => line.name), ...rules.map(rule => rule.name)];
  const side = Math.max(0, ...names.map(widthOf)) + 16;
  const below = side > width * 0.4;
  const numbers = [...points.flatMap(p => [p.y, p.low ?? p.y, p.high ?? p.y]), ...rules.map(rule => rule.y)];
  const y = scale(numbers, height - 44, 26, { count: 5 });
  const left = 12 + Math.max(0, ...y.ticks.map(tick => widthOf(tick.label)));
  const box = { left, right: width - (below ? 10 : side), top: 26, bottom: height - 44 };
  const x = scale(points.map(p => p.x), box.left, box.right, { linear, room: 0.03, count: Math.max(2, (box.right - box.left) / 70) });
  if (places) x.ticks = places.map((label, at) => ({ at, label }));
  const parts = frame(x, y, box, { x: across, y: up });
  for (const rule of rules) parts.push(draw("path", { class: "human", d: `M${box.left} ${y(rule.y)}H${box.right}` }));
  for (const { look, points: own } of lines) {
    if (own.some(p => p.low !== undefined)) {
      const edge = (side, order) => order.map(p => `${x(p.x)} ${y(p[side])}`).join("L");
      parts.push(draw("path", { fill: look.colour, opacity: 0.16, d: `M${edge("high", own)}L${edge("low", [...own].reverse())}Z` }));
    }
  }
  for (const { name, look, points: own, marked } of lines) {
    const d = own.map((p, i) => `${i ? "L" : "M"}${x(p.x)} ${y(p.y)}`).join("");
    parts.push(draw("path", { fill: "none", stroke: look.colour, "stroke-width": 1.8, "stroke-dasharray": look.breaks, d }, draw("title", {}, name)));
    if (marked) parts.push(...own.map(p => marker(look.shape, x(p.x), y(p.y), 3.6, look.colour, p.title)));
  }
  const svg = chart(`${up} by ${across} of ${names.join(", ")}`, width, height, parts);
  const ends = [...lines.map(line => [line.name, line.points.at(-1), line.look]),
    ...rules.map(rule => [rule.name, { y: rule.y }, null])];
  if (below) return make("div", {}, svg, make("ul", { class: "keys" }, ends.filter(([name]) => name).map(([name, , look]) => make("li", {}, swatch(look), ` ${name}`))));
  const heights = apart(ends.map(([, end]) => y(end.y)), 14, box.top, box.bottom);
  ends.forEach(([name, end, look], i) => {
    const from = end.x === undefined ? box.right : x(end.x);
    if (name) svg.append(draw("path", { class: "leader", d: `M${from + 3} ${y(end.y)}L${box.right + 10} ${heights[i]}`, style: look && `stroke:${look.colour}` }),
      draw("text", { x: box.right + 13, y: heights[i] + 4 }, name));
  });
  return svg;
}

function swatch(look) {
  const line = look ? { stroke: look.colour, "stroke-width": 2, "stroke-dasharray": look.breaks } : { class: "human" };
  return draw("svg", { width: 26, height: 8, "aria-hidden": "true" }, draw("path", { ...line, d: "M0 4H26" }));
}

for (const sweep of data.sweeps) {
  const [along, ...others] = sweep.names;
  const title = `${sweep.names.join(" and ")}${sweep.title ? ` of ${sweep.title}` : ""}`;
  const panels = make("div", { class: "panels" });
  section("sweeps").append(make("h3", {}, title), panels);
  for (const measure of data.measures) {
    const panel = make("div");
    panels.append(panel);
    atEachWidth(panel, width => panel.replaceChildren(sweepCurves(sweep, along, measure, width)));
  }
  if (others.length === 1) section("sweeps").append(...heatMaps(sweep, along, others[0]));
}

function sweepCurves(sweep, along, measure, width) {
  const values = data.sweeps.length && sweep.lines.flatMap(line => line.places).map(place => data.results[place].settings[along]);
  const numeric = values.every(value => typeof value === "number");
  const places = numeric ? null : [...new Set(values.map(String))];
  const lines = sweep.lines.map(({ label, places: own }) => {
    const results = own.map(place => data.results[place]).filter(result => measure.of(result));
    return {
      name: label, look: { ...looks.get(data.results[own[0]]), breaks: "" }, marked: true,
      points: results.map(result => {
        const { mean, low, high } = measure.of(result), value = result.settings[along];
        return { x: numeric ? value : places.indexOf(String(value)), y: mean, low, high, title: `${result.name}\n${told(measure, measure.of(result))}` };
      }),
    };
  }).filter(line => line.points.length);
  if (!lines.length) return make("p", {}, `${measure.title} is not known.`);
  const human = humanOf(data.results[sweep.lines[0].places[0]]);
  const own = human && measure.of(human);
  const rules = own ? [{ name: human.name, y: own.mean }] : [];
  return curves(width, { across: `${along} →`, up: `↑ ${measure.title}`, lines, rules, places });
}

function heatMaps(sweep, along, other) {
  const results = sweep.lines.flatMap(line => line.places).map(place => data.results[place]);
  const values = name => [...new Map(results.map(({ settings }) => [String(settings[name]), settings[name]])).values()]
    .sort((a, b) => (typeof a === "number" && typeof b === "number" ? a - b : 0));
  const holder = make("div", { class: "scroll", tabindex: 0 }), note = make("p", { class: "note" });
  const show = index => {
    const measure = data.measures[index];
    const means = results.map(measure.of).filter(Boolean).map(own => own.mean);
    const [low, high] = [Math.min(...means), Math.max(...means)];
    const cell = (a, b) => {
      const result = results.find(({ settings }) => String(settings[along]) === String(a) && String(settings[other]) === String(b));
      const own = result && measure.of(result);
      if (!own) return make("td", {}, "-");
      const part = 6 + 44 * (high > low ? (own.mean - low) / (high - low) : 0);
      const style = `background: color-mix(in srgb, var(--c1) ${part}%, var(--ground))`;
      const interval = own.known ? make("small", {}, `${shown(measure, own.low)}, ${shown(measure, own.high)}`) : null;
      return make("td", { style }, shown(measure, own.mean), interval);
    };
    const human = humanOf(results[0]), own = human && measure.of(human);
    note.textContent = `More colour is more.${own ? ` ${human.name}: ${told(measure, own)}.` : ""}`;
    holder.replaceChildren(make("table", { class: "heat" },
      make("tbody", {}, make("tr", {}, make("th"), values(along).map(a => make("th", { scope: "col" }, `${along}=${a}`))),
        values(other).map(b => make("tr", {}, make("th", { scope: "row" }, `${other}=${b}`), values(along).map(a => cell(a, b)))))));
  };
  show(0);
  return [make("div", { class: "bar" }, menu("in each cell", data.measures.map(m => m.title), 0, show)), note, holder];
}

const KINDS = { kept: "tokens left", entropies: "entropy of what is left, in nats" };
const stepped = data.results.filter(result => Object.keys(result.steps).length);
if (stepped.length) {
  const kinds = Object.keys(KINDS).filter(kind => stepped.some(result => result.steps[kind]));
  // What tells more than a setting does.
  let kind = kinds.find(name => stepped.some(result => new Set(result.steps[name]).size > 1)) ?? kinds[0];
  const holder = make("div");
  const render = width => {
    const lines = boxes.chosen().filter(result => result.steps[kind]).map(result => ({
      name: result.name, look: looks.get(result), points: result.steps[kind].map((y, i) => ({ x: i + 1, y })),
    }));
    holder.replaceChildren(lines.length
      ? curves(width, { across: "token →", up: `↑ ${KINDS[kind]}, mean over the texts`, lines, linear: true })
      : make("p", {}, "Choose a sampler."));
  };
  const again = () => render(widthIn(holder));
  const boxes = chooser(stepped, 12, again);
  section("steps").append(make("div", { class: "bar" },
    menu("number", kinds.map(name => KINDS[name]), kinds.indexOf(kind), i => { kind = kinds[i]; again(); })), boxes, holder);
  atEachWidth(holder, render);
}
