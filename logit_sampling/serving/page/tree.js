// The tree of texts: a line for each stretch without a fork, indented under what it goes on from.

import { chip, refill, roving } from "./chip.js";
import { chance, counted, make, number, part, percent } from "./dom.js";
import { go, goBefore } from "./text.js";
import { changed, childrenOf, cut, pathTo, state } from "./state.js";

// The sum of log-probabilities from the prompt to a node; null if one is not known, or removed.
function joint(place, of) {
  let sum = 0;
  for (const each of pathTo(place)) {
    const log = state.nodes[each].read ? of(state.nodes[each].read) : null;
    if (log === null || log === undefined) return null;
    sum += log;
  }
  return sum;
}

const minus = log => log.toFixed(1).replace("-", "−");

function stretch(first) {
  const nodes = [first];
  for (;;) {
    const next = childrenOf(nodes.at(-1));
    if (next.length !== 1) return { nodes, next };
    nodes.push(next[0]);
  }
}

function branch(first, here) {
  const { nodes, next } = stretch(first), end = nodes.at(-1);
  const chips = nodes.map(place => {
    const read = state.nodes[place].read, one = chip(place, goBefore, true);
    if (read) one.append(number(read.raw_log_prob, percent(chance(read.raw_log_prob)), "log-probability of the model:"));
    return one;
  });
  const model = joint(end, read => read.raw_log_prob);
  const own = [0, 1].flatMap(letter => {
    const log = joint(end, read => read.chains[read.letters.indexOf(letter)]?.final_log_prob);
    if (log === null) return nodes.some(place => state.nodes[place].read?.letters.includes(letter)) ? [make("span", { class: `t${letter}`, title: "the chain removes a token of this text" }, ` ${"AB"[letter]} ✕`)] : [];
    return [make("span", { class: `t${letter}` }, ` ${"AB"[letter]} `, number(log, minus(log), "log-probability of the text under the chain:"))];
  });
  const open = make("button", { type: "button", class: "plain", title: "Go to the end of this branch", onclick: () => go(end) }, "Open");
  if (end === state.at) open.setAttribute("aria-current", "true");
  const drop = make("button", { type: "button", class: "plain", title: "Remove this branch", "aria-label": "Remove this branch", onclick: () => { cut(first); changed("tree"); } }, "✕");
  return make("li", { class: nodes.some(place => here.has(place)) ? "here" : "" },
    make("div", { class: "stretch" }, chips),
    make("div", { class: "facts" }, open, drop, make("span", { class: "note" }, model === null ? "" : "log p: model ", model === null ? null : number(model, minus(model), "log-probability of the text:"), own)),
    next.length ? make("ul", {}, next.map(place => branch(place, here))) : null);
}

export function treePart() {
  const box = part("tree"), count = part("tree-count");
  roving(box);
  const build = () => {
    const first = childrenOf(0), here = new Set(pathTo(state.at));
    const leaves = state.nodes.filter((_, i) => i > 0 && !childrenOf(i).length).length;
    count.textContent = leaves ? `${counted(leaves, "text")}, ${counted(state.nodes.length - 1, "token")}` : "";
    refill(box, leaves ? make("ul", {}, first.map(place => branch(place, here)))
      : make("p", { class: "hint" }, "Take a token, then go back and take another: each text becomes a branch here."));
  };
  // While a text is written the tree follows at leisure.
  let timer = 0;
  const soon = () => { timer ||= setTimeout(() => { timer = 0; build(); }, 400); };
  return { build, soon };
}
