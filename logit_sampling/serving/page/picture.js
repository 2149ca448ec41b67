// The picture of the distribution, as SVG that needs nothing else, and as PNG made of it.

import { LETTERS, draw, percent, chance } from "./dom.js";
import { spelling } from "./distribution.js";

const ROWS = 20, ROW = 30, LEFT = 170, TOP = 92, BARS = 400, COLUMN = 92;

const colours = () => {
  const style = getComputedStyle(document.body);
  const of = name => {
    const probe = document.createElement("span"); // a variable is a formula; the colour of an element is a colour
    probe.style.color = `var(--${name})`;
    document.body.append(probe);
    const told = getComputedStyle(probe).color;
    probe.remove();
    return told;
  };
  return { ground: of("ground"), ink: of("ink"), grey: of("grey"), line: of("faint"), model: of("model"), chains: [of("a"), of("b")], font: style.fontFamily };
};

// `letters` are the places of the chains in the answer, `lines` what they are, `title` the text before.
export function pictureOf(answer, letters, lines, title) {
  const WIDTH = LEFT + BARS + COLUMN * (1 + letters.length) + 20;
  const own = colours(), rows = answer.rows.filter(row => row.rank < ROWS);
  const height = TOP + rows.length * ROW + 34;
  const top = Math.max(1e-9, ...rows.flatMap(row => [row.raw_log_prob, ...row.chains.map(chain => chain?.final_log_prob)]).map(chance));
  const text = (x, y, content, more = {}) => draw("text", { x, y, fill: own.ink, ...more }, content);
  const number = i => LEFT + BARS + COLUMN * (i + 1);
  const bars = (y, logs) => logs.map((log, i) => draw("rect", {
    x: LEFT, y: y + 4 + i * 8, width: (BARS * chance(log)) / top, height: 7, fill: i ? own.chains[letters[i - 1]] : own.model,
  }));
  const body = rows.flatMap((row, k) => {
    const y = TOP + k * ROW, logs = [row.raw_log_prob, ...row.chains.map(chain => chain?.final_log_prob ?? null)];
    const drawn = answer.chains.flatMap((chain, i) => (chain.drawn === row.id ? [LETTERS[letters[i]]] : []));
    const cells = logs.map((log, i) => {
      const removed = i ? row.chains[i - 1]?.removed_by : null;
      const stage = removed === null || removed === undefined ? null : answer.chains[i - 1].stages[removed]?.name.replace(/\(.*/s, "");
      return text(number(i), y + 20, stage ? `✕ ${stage}` : log === null ? "–" : percent(chance(log)), { "text-anchor": "end", fill: stage ? own.grey : own.ink, "font-size": stage ? 11 : 13 });
    });
    return [draw("line", { x1: 20, x2: WIDTH - 20, y1: y + ROW, y2: y + ROW, stroke: own.line }),
      text(20, y + 20, shortened(spelling(row)), { "font-family": "ui-monospace, Menlo, Consolas, monospace" }),
      text(LEFT - 10, y + 20, drawn.join(" "), { "text-anchor": "end", "font-weight": 700, fill: drawn.length ? own.chains[LETTERS.indexOf(drawn[0])] : own.ink }),
      ...bars(y, logs), ...cells];
  });
  const heads = ["model", ...letters.map(i => LETTERS[i])].map((name, i) =>
    text(number(i), TOP - 8, name, { "text-anchor": "end", "font-weight": 600, fill: i ? own.chains[letters[i - 1]] : own.grey }));
  const keys = letters.map((letter, i) => text(20, 52 + i * 17, `${LETTERS[letter]}: ${lines[i]}`, { fill: own.chains[letter], "font-size": 12 }));
  return draw("svg", { xmlns: "http://www.w3.org/2000/svg", width: WIDTH, height, viewBox: `0 0 ${WIDTH} ${height}`, "font-family": own.font, "font-size": 13 },
    draw("title", {}, title), draw("rect", { width: WIDTH, height, fill: own.ground }),
    text(20, 30, `Next token after ${title}`, { "font-size": 16, "font-weight": 600 }), ...keys, ...heads, ...body,
    text(20, height - 12, `${answer.vocab_size.toLocaleString("en")} tokens, entropy ${answer.entropy.toFixed(3)} nats`, { fill: own.grey, "font-size": 12 }));
}

const shortened = text => (text.length > 15 ? `${text.slice(0, 14)}…` : text);

export const asSVG = svg => new Blob([new XMLSerializer().serializeToString(svg)], { type: "image/svg+xml" });

export async function asPNG(svg, scale = 2) {
  const image = new Image(), address = URL.createObjectURL(asSVG(svg));
  image.src = address;
  await image.decode();
  const canvas = document.createElement("canvas");
  canvas.width = svg.getAttribute("width") * scale;
  canvas.height = svg.getAttribute("height") * scale;
  canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
  URL.revokeObjectURL(address);
  return new Promise(done => canvas.toBlob(done, "image/png"));
}
