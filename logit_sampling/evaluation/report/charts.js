// Quality against diversity: each result is a point with its interval in both directions.

const DIVERSITY = ["distinct_2", "distinct", "entropy", "self_bleu", "seq_rep"];
const QUALITY = ["perplexity", "judge_perplexity", "frontier", "log_prob"];

if (data.measures.length > 1 && data.results.length) {
  const first = (starts, not) => starts
    .map(start => data.measures.findIndex((m, i) => i !== not && m.name.replaceAll("-", "_").startsWith(start)))
    .find(i => i >= 0);
  let x = first(DIVERSITY, -1) ?? 0;
  let y = first(QUALITY, x) ?? data.measures.findIndex((m, i) => i !== x);
  const titles = data.measures.map(measure => measure.title);
  const holder = make("div");
  const render = width => holder.replaceChildren(plane(data.measures[x], data.measures[y], width));
  const again = () => render(widthIn(holder));
  section("plane").append(make("div", { class: "bar" },
    menu("across", titles, x, i => { x = i; again(); }),
    menu("up", titles, y, i => { y = i; again(); })), holder);
  atEachWidth(holder, render);
}

// A line as small boxes, which labels keep out of.
function along([x0, y0], [x1, y1]) {
  const count = Math.ceil(Math.hypot(x1 - x0, y1 - y0) / 5);
  return [...Array(count).keys()].map(i => {
    const x = x0 + (x1 - x0) * i / count, y = y0 + (y1 - y0) * i / count;
    return { x0: x - 2, x1: x + 2, y0: y - 2, y1: y + 2 };
  });
}

function plane(across, up, width) {
  const points = everyone.map(result => ({ result, x: across.of(result), y: up.of(result) }))
    .filter(point => point.x && point.y);
  if (!points.length) return make("p", {}, "No sampler has both numbers.");
  const height = Math.max(340, Math.min(560, width * 0.55));
  const numbers = name => points.flatMap(point => [point[name].low, point[name].mean, point[name].high]);
  const y = scale(numbers("y"), height - 44, 26);
  const box = { left: 14 + Math.max(...y.ticks.map(tick => widthOf(tick.label))), right: width - 8, top: 26, bottom: height - 44 };
  const x = scale(numbers("x"), box.left, box.right, { count: Math.max(2, width / 110) });
  const parts = frame(x, y, box, { x: `${across.title} →`, y: `↑ ${up.title}` });
  const lines = [];
  for (const { result, x: a, y: b } of points) {
    const { colour } = looks.get(result);
    if (result.human) {
      lines.push({ x0: x(a.mean) - 1, x1: x(a.mean) + 1, y0: box.top, y1: box.bottom });
      parts.push(draw("path", { class: "human", opacity: 0.6, d: `M${x(a.mean)} ${box.top}V${box.bottom}M${box.left} ${y(b.mean)}H${box.right}` }));
    }
    parts.push(draw("path", {
      stroke: colour, "stroke-width": 1.4, opacity: 0.55,
      d: `M${x(a.low)} ${y(b.mean)}H${x(a.high)}M${x(a.mean)} ${y(b.low)}V${y(b.high)}`,
    }));
    lines.push({ x0: x(a.low), x1: x(a.high), y0: y(b.mean) - 1, y1: y(b.mean) + 1 },
      { x0: x(a.mean) - 1, x1: x(a.mean) + 1, y0: y(b.high), y1: y(b.low) });
  }
  const at = new Map(points.map(point => [point.result, point]));
  const short = new Map();
  for (const sweep of data.sweeps) {
    for (const { places } of sweep.lines) {
      const own = places.map(place => data.results[place]).filter(result => at.has(result));
      own.slice(0, -1).forEach(result => short.set(result, String(result.settings[sweep.names[0]])));
      const path = own.map(result => [x(at.get(result).x.mean), y(at.get(result).y.mean)]);
      path.slice(1).forEach((end, i) => lines.push(...along(path[i], end)));
      const d = path.map(([px, py], i) => `${i ? "L" : "M"}${px} ${py}`);
      parts.push(draw("path", { fill: "none", stroke: looks.get(own[0] ?? data.results[places[0]]).colour, "stroke-width": 1.6, d: d.join("") }));
    }
  }
  const labels = points.map(({ result, x: a, y: b }) => ({
    x: x(a.mean), y: y(b.mean), text: short.get(result) ?? result.name, minor: short.has(result),
  })).sort((a, b) => a.minor - b.minor);
  for (const { result, x: a, y: b } of points) {
    const { colour, shape } = looks.get(result);
    const title = `${result.name}\n${across.title} ${told(across, a)}\n${up.title} ${told(up, b)}`;
    parts.push(marker(shape, x(a.mean), y(b.mean), result.human ? 5.5 : 4.5, colour, title));
  }
  parts.push(...labelled(labels, lines, box));
  const label = `${up.title} against ${across.title} of ${points.length} results; the numbers are in the table`;
  return chart(label, width, height, parts);
}
