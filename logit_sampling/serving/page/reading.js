// What the server tells of the state: the next token, and the numbers of the texts written so far.

import { ask, latest } from "./api.js";
import { notice } from "./dom.js";
import { lineOf } from "./lines.js";
import { changed, endOf, idsTo, pathTo, state } from "./state.js";

export const shown = { answer: null, at: 0, letters: [0], body: null, failed: false };
const listeners = [];
export const onAnswer = listener => listeners.push(listener);
const failures = [];
export const onFailure = listener => failures.push(listener);

// The chains that are on, as [place, line].
export const asked = () => state.chains.flatMap((chain, i) => (chain.on ? [[i, lineOf(chain)]] : []));
export const question = () => ({ prompt: state.prompt, tokens: idsTo(state.at), seed: state.seed });

let view = null; // the element that shows the rows
export const showIn = element => {
  view = element;
  view.source = (first, count) => ask("next", { ...shown.body, first, count });
};

// A text as long as what the model reads has no next token.
let context = null;
export const limit = length => { context = length; };
const full = place => context !== null && place > 0 && shown.body?.prompt === state.prompt
  && shown.answer.prompt_tokens.length + pathTo(place).length >= context;

let top = false, failing = "";
const next = latest(
  ({ body }) => ask("next", body),
  (answer, { body, at, letters }) => {
    Object.assign(shown, { answer, at, letters, body, failed: false });
    failing = "";
    for (const listener of listeners) listener(answer, top);
    top = false;
    later();
  },
  error => {
    failing = error.message;
    shown.failed = true;
    for (const listener of failures) listener(error.message);
  },
);

// Ask for the next token as the state is now; `fresh` where it is about another place.
export function refresh(fresh = false) {
  if (full(state.at)) {
    while (full(state.at)) state.at = state.nodes[state.at].parent;
    notice(`The text fills the context of the model: ${context} tokens.`);
  }
  top ||= fresh;
  const chains = asked(), by = chains.findIndex(([place]) => place === state.by);
  const { first, count } = top || !view ? { first: 0, count: 60 } : view.window();
  next({
    at: state.at,
    letters: chains.map(([place]) => place),
    body: { ...question(), lines: chains.map(([, line]) => line), first, count, by: by < 0 ? null : by },
  });
}

// The end of the text that is shown: the branch that one is on, though one may have gone back in it.
let tip = 0;
export function tipNow() {
  if (tip >= state.nodes.length || !(state.at === 0 || pathTo(tip).includes(state.at)) || endOf(tip) !== tip) tip = endOf(state.at);
  return tip;
}
export const showEnd = place => { tip = endOf(place); };

// Numbers of the texts are asked for when a chain has been left alone for a moment: reading a long
// text again is more work than the next token.
let timer = 0, reading = false, writing = false;
const key = () => JSON.stringify([state.prompt, state.seed, asked()]);
export function later(wait = 350) {
  clearTimeout(timer);
  timer = setTimeout(read, wait);
}
export function pause(value) {
  writing = value;
  if (!value) later();
}

// A text is read in pieces, so that a slider that begins to move never waits long for one.
let piece = 4;
const PIECE_TIME = 80; // ms
async function read() {
  if (reading || writing || next.busy()) return;
  const now = key(), stale = place => state.nodes[place].read?.key !== now;
  const path = pathTo(tipNow());
  const end = path.some(stale) ? path.at(-1) : state.nodes.findLastIndex((_, i) => i > 0 && stale(i));
  if (!(end > 0)) return;
  reading = true;
  const whole = pathTo(end), from = whole.findIndex(stale), chains = asked();
  const nodes = whole.map(place => state.nodes[place]), began = performance.now();
  try {
    const told = await ask("path", { ...question(), tokens: nodes.map(node => node.token.id), lines: chains.map(([, line]) => line), top: 5, first: from, count: piece });
    piece = Math.max(2, Math.min(64, Math.round(piece * PIECE_TIME / (performance.now() - began))));
    told.tokens.forEach((token, i) => {
      const node = nodes[from + i];
      node.token = { id: token.id, text: token.text, bytes: token.bytes };
      node.read = { ...token, key: now, letters: chains.map(([place]) => place), stages: told.chains.map(chain => chain.stages) };
    });
    changed("read");
  } catch (error) {
    const unread = { chains: [], letters: [], alternatives: [], raw_log_prob: null };
    nodes.forEach(node => { node.read = { ...(node.read ?? unread), key: now }; });
    if (error.message !== failing) notice(error.message);
  } finally {
    reading = false;
    later(20);
  }
}

// What `write` told of a token, in the form of `path`.
export const readOf = (event, which) => ({
  raw_log_prob: event.log_prob,
  letters: [which],
  chains: [{ final_log_prob: event.sampler_log_prob, removed_by: null }],
  alternatives: event.alternatives.map(each => ({ ...each, chains: [{ final_log_prob: each.final_log_prob, removed_by: each.removed_by }] })),
  stages: [event.stages],
  key: null,
});
