// The text: the prompt, what was written behind it token by token, and the ways to go on.

import { stream } from "./api.js";
import { chip, readable, refill, roving } from "./chip.js";
import { LETTERS, announce, make, notice, part } from "./dom.js";
import { spelling } from "./distribution.js";
import { lineOf } from "./lines.js";
import { pause, question, readOf, shown, tipNow, showEnd } from "./reading.js";
import { changed, childrenOf, clearTree, grow, pathTo, state } from "./state.js";

const SOME = 40, MANY = 1000;

export function go(place) {
  state.at = place;
  changed("at");
}
// A token of a text shows the place where it was chosen: what it was chosen from, and why.
export const goBefore = place => go(state.nodes[place].parent);

export function take(token, which = null, at = state.at) {
  const place = grow(at, token, which);
  showEnd(place);
  state.at = place;
  changed("tree");
  announce(`${spelling(token)} taken`);
}

// Tokens that are only parts of a character are one with those that complete it.
function whole(tokens) {
  const merged = [];
  let short = 0; // bytes that the last character still lacks
  for (const { id, text, bytes } of tokens) {
    if (short > 0 && bytes) {
      const last = merged.at(-1);
      last.ids.push(id);
      last.bytes = [...last.bytes, ...bytes];
    } else merged.push({ ids: [id], text, bytes });
    const all = merged.at(-1).bytes ?? [], lead = all.findLastIndex(byte => byte >= 0xc0);
    short = lead < 0 ? 0 : (all[lead] < 0xe0 ? 2 : all[lead] < 0xf0 ? 3 : 4) - (all.length - lead);
  }
  return merged;
}

export function textPart(about) {
  const prompt = part("prompt"), text = part("text"), seed = part("seed"), writers = part("writers");
  let stopper = null;
  roving(text);

  let timer = 0;
  prompt.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(() => setPrompt(prompt.value), 120);
  });
  const examples = part("examples");
  examples.append(make("option", { value: "" }, "Examples…"), ...about.examples.map(each => make("option", { value: each }, each.replaceAll("\n", " ⏎ "))));
  examples.addEventListener("change", () => {
    if (examples.value) setPrompt(examples.value);
    examples.value = "";
  });
  const sayOfSeed = text => {
    part("seed-told").textContent = text;
    seed.setAttribute("aria-invalid", String(Boolean(text)));
  };
  seed.addEventListener("blur", () => { // what is no seed gives way to the one that holds
    if (seed.getAttribute("aria-invalid") !== "true") return;
    seed.value = state.seed;
    sayOfSeed("");
  });
  seed.addEventListener("input", () => {
    const value = Number(seed.value);
    if (!seed.value || !Number.isSafeInteger(value) || value < 0) return sayOfSeed(`a whole number from 0 is needed; it is still ${state.seed}`);
    sayOfSeed("");
    state.seed = value;
    changed("seed");
  });
  part("dice").addEventListener("click", () => {
    state.seed = Math.floor(Math.random() * 100000);
    changed("seed");
  });

  // What was written belongs to its prompt: another prompt begins anew, and the old texts can be had back.
  function setPrompt(value) {
    stop();
    if (value === state.prompt) return;
    const old = { prompt: state.prompt, nodes: state.nodes, at: state.at };
    state.prompt = value;
    if (old.nodes.length > 1) {
      clearTree();
      notice("Another prompt: the tree begins anew.", { name: "Undo", run: () => { Object.assign(state, old); changed("prompt"); } });
    }
    changed("prompt");
  }

  const stop = () => stopper?.abort();
  function clear() {
    stop();
    const old = { prompt: state.prompt, nodes: state.nodes, at: state.at };
    clearTree();
    changed("tree");
    notice("All texts are thrown away.", { name: "Undo", run: () => { Object.assign(state, old); changed("prompt"); } });
  }
  async function write(which, count) {
    stop();
    const own = stopper = new AbortController();
    pause(true);
    buttons();
    let place = state.at, written = 0, ended = false;
    try {
      for await (const event of stream({ ...question(), line: lineOf(state.chains[which]), count, top: 5 }, own.signal)) {
        if (own.signal.aborted) break;
        place = grow(place, event, which);
        state.nodes[place].read = readOf(event, which);
        state.at = place;
        showEnd(place);
        written += 1;
        ended = event.end;
        changed("streamed");
      }
    } catch (error) {
      if (error.name !== "AbortError") notice(error.message);
    }
    if (stopper === own) stopper = null;
    pause(false);
    changed("tree");
    announce(`${written} tokens written by chain ${LETTERS[which]}${ended ? "; it ended the text" : ""}`);
  }

  const button = (name, run, more = {}) => make("button", { type: "button", onclick: run, ...more }, name);
  function buttons() {
    const path = pathTo(tipNow()), here = path.indexOf(state.at);
    const walk = make("div", { class: "walk", role: "group", "aria-label": "Move in the text" },
      button("←", () => go(state.nodes[state.at].parent), { disabled: state.at === 0, "aria-label": "One token back", title: "One token back" }),
      button("→", () => go(path[here + 1]), { disabled: here + 1 >= path.length, "aria-label": "One token on", title: "One token on" }),
      button("⇥", () => go(path.at(-1)), { disabled: here + 1 >= path.length, "aria-label": "To the end of the text", title: "To the end of the text" }),
      button("Clear", clear, { disabled: state.nodes.length < 2, title: "Throw all texts away" }));
    const rows = state.chains.flatMap((chain, which) => (chain.on ? [row(which)] : []));
    writers.replaceChildren(...rows, stopper ? make("div", { class: "writer" }, button("Stop writing", stop, { class: "stop" })) : walk);
  }

  function row(which) {
    const place = shown.letters.indexOf(which), told = shown.answer?.chains[place];
    const drawn = told && !told.error && told.drawn !== null && shown.at === state.at && !shown.failed ? told : null;
    const found = drawn && shown.answer.rows.find(each => each.id === drawn.drawn);
    const token = drawn && (found ?? { id: drawn.drawn, text: drawn.drawn_text, bytes: null });
    return make("div", { class: "writer", role: "group", "aria-label": `Write on with chain ${LETTERS[which]}` },
      make("span", { class: `letter c${which}` }, LETTERS[which]),
      button(["Take ", make("b", { class: "token" }, token ? spelling(token) : "…")], () => take(token, which, shown.at), { disabled: !token || Boolean(stopper), class: "main", title: `The token that chain ${LETTERS[which]} draws next` }),
      button(`Write ${SOME}`, () => write(which, SOME), { disabled: Boolean(stopper) || shown.failed, title: `Write ${SOME} tokens` }),
      button("To the end", () => write(which, MANY), { disabled: Boolean(stopper) || shown.failed, title: `Write until the model ends the text, or ${MANY} tokens` }));
  }

  // The prompt as the tokens that the model reads, then the path; behind `at` the text is pale.
  function build() {
    if (document.activeElement !== prompt || prompt.value !== state.prompt) prompt.value = state.prompt;
    if (document.activeElement !== seed) seed.value = state.seed;
    const path = pathTo(tipNow()), here = path.indexOf(state.at);
    const given = whole(shown.answer?.prompt_tokens ?? []).map(({ ids, ...token }) =>
      make("span", { class: "given", title: ids.length > 1 ? `tokens ${ids.join(", ")}` : `token ${ids[0]}` }, readable(token)));
    const chips = path.map((place, i) => {
      const one = chip(place, goBefore);
      one.classList.toggle("ahead", i > here);
      return one;
    });
    chips.splice(here + 1, 0, make("span", { class: "caret", "aria-hidden": "true" }));
    const scrolled = text.scrollTop;
    refill(text, ...given, ...chips);
    text.scrollTop = scrolled;
    follow();
    buttons();
  }

  // Keep the place in sight, in the box alone: the page stays where it is.
  function follow() {
    const caret = text.querySelector(".caret"), y = caret.offsetTop;
    if (y < text.scrollTop || y + 40 > text.scrollTop + text.clientHeight) text.scrollTop = y - text.clientHeight / 2;
  }

  // One more token of a text that is being written.
  function streamed() {
    const caret = text.querySelector(".caret"), path = pathTo(state.at);
    if (!caret || path.length !== text.querySelectorAll(".chip:not(.ahead)").length + 1) return build();
    text.querySelectorAll(".chip.ahead").forEach(each => each.remove());
    caret.before(chip(state.at, goBefore));
    follow();
    return undefined;
  }

  return { build, streamed, buttons, taken: () => new Set(childrenOf(state.at).map(place => state.nodes[place].token.id)) };
}
