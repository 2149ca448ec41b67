// Scales with ticks that have labels, frames, markers, and labels that keep out of each other's way.

const font = document.createElement("canvas").getContext("2d");
font.font = '12px system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif';
const widthOf = text => font.measureText(text).width;

function plainTicks(low, high, count) {
  const rough = (high - low) / Math.max(1, count);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map(n => n * power).find(size => size >= rough * 0.72);
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  const found = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i++) {
    const at = i * step || 0; // and not -0
    found.push({ at, label: at.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits }) });
  }
  return found;
}

function logTicks(low, high, count) {
  const found = [];
  for (const steps of [[1], [1, 3], [1, 2, 5], [1, 2, 3, 4, 5, 6, 7, 8, 9]]) {
    const own = [];
    for (let power = Math.floor(Math.log10(low)); 10 ** power <= high; power++) {
      for (const n of steps) {
        const at = Number((n * 10 ** power).toPrecision(3));
        if (at >= low && at <= high) own.push({ at, label: at.toLocaleString("en", { maximumSignificantDigits: 3 }) });
      }
    }
    if (own.length > count + 2 && found.length > 1) break;
    found.splice(0, found.length, ...own);
  }
  return found;
}

// From numbers to pixels, `from` to `to`, with a share of `room` at both ends; by their logarithms
// where they are of several orders of magnitude, unless that is forbidden.
function scale(numbers, from, to, { room = 0.05, count = 6, linear = false } = {}) {
  let low = Math.min(...numbers), high = Math.max(...numbers);
  const log = !linear && low > 0 && high > 20 * low;
  const f = log ? Math.log : x => x;
  if (low === high) [low, high] = [low - 1, high + 1];
  const [a, b] = [f(low), f(high)], edge = room * (b - a);
  const at = x => from + (to - from) * (f(x) - a + edge) / (b - a + 2 * edge);
  const back = y => (log ? Math.exp(y) : y);
  const [least, most] = [back(a - edge), back(b + edge)];
  return Object.assign(at, { ticks: log ? logTicks(least, most, count) : plainTicks(least, most, count) });
}

function frame(x, y, box, titles) {
  const parts = [];
  for (const { at, label } of x.ticks) {
    parts.push(draw("path", { class: "grid", d: `M${x(at)} ${box.top}V${box.bottom}` }),
      draw("text", { class: "tick", x: x(at), y: box.bottom + 16, "text-anchor": "middle" }, label));
  }
  for (const { at, label } of y.ticks) {
    parts.push(draw("path", { class: "grid", d: `M${box.left} ${y(at)}H${box.right}` }),
      draw("text", { class: "tick", x: box.left - 6, y: y(at) + 4, "text-anchor": "end" }, label));
  }
  parts.push(draw("text", { class: "title", x: box.left, y: box.top - 10 }, titles.y),
    draw("text", { class: "title", x: box.right, y: box.bottom + 34, "text-anchor": "end" }, titles.x));
  return parts;
}

function marker(shape, x, y, r, colour, title) {
  const d = {
    circle: `M${x - r} ${y}a${r} ${r} 0 1 0 ${2 * r} 0a${r} ${r} 0 1 0 ${-2 * r} 0`,
    square: `M${x - r} ${y - r}h${2 * r}v${2 * r}h${-2 * r}z`,
    triangle: `M${x} ${y - 1.3 * r}L${x + 1.2 * r} ${y + r}H${x - 1.2 * r}z`,
    diamond: `M${x} ${y - 1.5 * r}L${x + 1.5 * r} ${y}L${x} ${y + 1.5 * r}L${x - 1.5 * r} ${y}z`,
    cross: `M${x - r} ${y - r}L${x + r} ${y + r}M${x - r} ${y + r}L${x + r} ${y - r}`,
  }[shape];
  const width = shape === "cross" ? 2.5 : 1.5;
  const stroke = shape === "cross" ? colour : "var(--ground)";
  return draw("path", { d, fill: colour, stroke, "stroke-width": width }, draw("title", {}, title));
}

const chart = (label, width, height, parts) =>
  draw("svg", { class: "chart", role: "img", "aria-label": label, width, height, viewBox: `0 0 ${width} ${height}` }, parts);

const overlap = (a, b) => Math.max(0, Math.min(a.x1, b.x1) - Math.max(a.x0, b.x0))
  * Math.max(0, Math.min(a.y1, b.y1) - Math.max(a.y0, b.y0));

// Puts each label (`x`, `y` of its point, `text`) where it covers least of labels, markers and lines.
function labelled(labels, lines, box) {
  const points = labels.map(({ x, y }) => ({ x0: x - 7, x1: x + 7, y0: y - 7, y1: y + 7 }));
  const placed = [], parts = [];
  for (const label of labels.filter(own => own.text)) {
    const width = widthOf(label.text), height = 13;
    let best = null;
    for (const far of [10, 16, 24, 36, 52, 72]) {
      for (const [dx, dy] of [[1, 0], [-1, 0], [0, -1], [0, 1], [0.8, -0.8], [0.8, 0.8], [-0.8, -0.8], [-0.8, 0.8]]) {
        const x0 = label.x + dx * far + (dx > 0 ? 0 : dx < 0 ? -width : -width / 2);
        const y0 = label.y + dy * far - height / 2;
        const own = { x0, y0, x1: x0 + width, y1: y0 + height };
        const outside = x0 < box.left || own.x1 > box.right || y0 < box.top || own.y1 > box.bottom;
        const cost = far + (outside ? 1e4 : 0)
          + 10 * placed.reduce((sum, other) => sum + overlap(own, other), 0)
          + 3 * points.reduce((sum, other) => sum + overlap(own, other), 0)
          + 0.6 * lines.reduce((sum, other) => sum + overlap(own, other), 0);
        if (!best || cost < best.cost) best = { ...own, cost, far };
      }
    }
    if (best.cost > 80 && label.minor) continue; // no room: the table and the marker's title tell it
    placed.push(best);
    if (best.far > 20) {
      const x = Math.min(best.x1, Math.max(best.x0, label.x)), y = (best.y0 + best.y1) / 2;
      parts.push(draw("path", { class: "leader", d: `M${label.x} ${label.y}L${x} ${y}` }));
    }
    parts.push(draw("text", { class: "halo", x: best.x0, y: best.y1 - 2.5 }, label.text));
  }
  return parts;
}

// Moves heights apart, by at least `gap`, and as little as that takes, in a range.
function apart(heights, gap, low, high) {
  const order = heights.map((y, i) => [y, i]).sort((a, b) => a[0] - b[0]);
  let last = low - gap;
  for (const own of order) own[0] = last = Math.max(own[0], last + gap);
  last = high + gap;
  for (const own of order.reverse()) own[0] = last = Math.min(own[0], last - gap);
  const found = [];
  for (const [y, i] of order) found[i] = y;
  return found;
}
