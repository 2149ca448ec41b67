// Why this token: where the random number fell among the tokens, and what would have to change.

import { ask, latest } from "./api.js";
import { LETTERS, draw, make, number, part, percent } from "./dom.js";
import { spelling } from "./distribution.js";
import { chainOf } from "./lines.js";
import { shown } from "./reading.js";
import { changed, state } from "./state.js";

const HIGH = 64;

export function whyPart() {
  const box = part("why"), kinds = part("why-chain");
  let which = 0;

  const boxes = LETTERS.map((letter, i) => make("label", {}, make("input", { type: "radio", name: "why-chain", checked: i === 0, onchange: () => { which = i; soon(); } }), `Chain ${letter}`));
  kinds.append(...boxes);

  const next = latest(
    body => ask("why", body),
    (told, body) => show(told, body),
    error => box.replaceChildren(make("p", { class: "note" }, error.message)),
  );
  let timer = 0;
  // It is more work than the next token: it waits until a slider rests.
  function soon() {
    if (which === 1 && !state.chains[1].on) which = 0;
    boxes.forEach((label, i) => { label.firstChild.checked = i === which; });
    kinds.hidden = !state.chains[1].on;
    clearTimeout(timer);
    timer = setTimeout(() => {
      const place = shown.letters.indexOf(which), told = shown.answer?.chains[place];
      // The next token says already what is wrong, or that there is none.
      if (told && !told.error && told.drawn !== null) {
        const { prompt, tokens, seed, lines } = shown.body;
        next({ prompt, tokens, seed, line: lines[place] });
      } else box.replaceChildren(make("p", { class: "note" }, `Chain ${LETTERS[which]} draws no token here.`));
    }, 250);
  }

  function show(told, body) {
    const token = make("b", { class: "token" }, spelling(told));
    const mass = told.high - told.low;
    const sentence = make("p", {},
      `Token ${body.tokens.length + 1} with seed ${body.seed} has the random number `, number(told.uniform, told.uniform.toFixed(4), "uniform number:"),
      ". Laid end to end by their ids, the tokens that stay fill the line from 0 to 1; ", token, " has the part from ",
      number(told.low, told.low.toFixed(4), "from"), " to ", number(told.high, told.high.toFixed(4), "to"), ` (${percent(mass)}), where the number fell.`);
    const changes = told.changes.length
      ? [make("h3", {}, "The nearest change found that draws another token"), make("ul", { class: "changes" }, told.changes.map(change(which)))]
      : [make("p", { class: "note" }, "No change of one setting that draws another token was found.")];
    box.replaceChildren(sentence, picture(told, Math.max(260, box.clientWidth)), ...changes);
  }

  const change = chain => each => make("li", {}, make("button", {
    type: "button",
    title: "Make this change",
    onclick: () => { state.chains[chain] = { ...chainOf(each.line), on: true }; changed("cards"); },
  }, make("span", {}, `${each.setting} `, number(each.from, brief(each.from)), " → ", number(each.to, brief(each.to))), " draws ", make("b", { class: "token" }, spelling(each))));

  return { soon };
}

const brief = value => (typeof value === "number" ? String(Number(value.toPrecision(4))) : JSON.stringify(value));

// The line from 0 to 1 with a part for each token, and the number that fell.
function picture(told, WIDE) {
  const x = value => value * WIDE;
  const rest = draw("rect", { x: 0, y: 26, width: WIDE, height: 22, class: "rest" });
  const parts = told.around.flatMap(each => {
    const own = each.id === told.id, width = x(each.high) - x(each.low);
    const name = spelling(each), fits = width > 9 * name.length + 8;
    return [
      draw("rect", { x: x(each.low), y: 26, width: Math.max(width, own ? 2 : 0.5), height: 22, class: own ? "own" : "piece" },
        draw("title", {}, `${name}: from ${each.low} to ${each.high}`)),
      fits ? draw("text", { x: x((each.low + each.high) / 2), y: 42, "text-anchor": "middle", class: own ? "on" : "" }, name) : null];
  });
  const at = x(told.uniform), side = at > WIDE * 0.7 ? "end" : at < WIDE * 0.3 ? "start" : "middle";
  return make("div", { class: "line01" }, draw("svg", { width: WIDE, height: HIGH, role: "img", "aria-label": `The number ${told.uniform.toFixed(4)} on the line from 0 to 1, in the part of ${spelling(told)}` },
    rest, parts, draw("path", { d: `M${at} 50V20m-6 -7l6 8l6 -8z`, class: "needle" }),
    draw("text", { x: at, y: 9, "text-anchor": side, class: "value" }, told.uniform.toFixed(4)),
    draw("text", { x: 0, y: 62, class: "tick" }, "0"), draw("text", { x: WIDE, y: 62, "text-anchor": "end", class: "tick" }, "1")));
}
