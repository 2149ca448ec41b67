// The state of the page: prompt, seed, two chains and the tree of texts; and the link that holds it.

import { chainOf, strategyOf } from "./lines.js";

export const state = {
  prompt: "",
  seed: 7,
  chains: [], // two, see lines.js
  nodes: [], // {parent, token, which, read}; the first is the prompt itself
  at: 0,
  by: null, // what the tokens are sorted by: null for the model, or a chain
};

const listeners = [];
// `kind` is what changed: "prompt", "seed", "chains" (a value), "cards" (which there are), "tree",
// "at" or "read" (numbers came in).
export const changed = kind => listeners.forEach(listener => listener(kind));
export const onChange = listener => listeners.push(listener);

const root = () => ({ parent: -1, token: null, which: null, read: null });

export function begin(about) {
  Object.assign(state, {
    prompt: about.examples[0] ?? "",
    seed: 7,
    chains: [chainOf(about.chains[0]?.line ?? "sample"), { ...chainOf("greedy"), on: false }],
    nodes: [root()],
    at: 0,
    by: null,
  });
}

// The places of the nodes from the first token to `at`.
export function pathTo(place) {
  const path = [];
  for (; place > 0; place = state.nodes[place].parent) path.unshift(place);
  return path;
}
export const idsTo = place => pathTo(place).map(each => state.nodes[each].token.id);
// The children of all nodes, kept as long as there are no new ones: trees have thousands of nodes.
let index = { nodes: null, children: [] };
export function childrenOf(place) {
  if (index.nodes !== state.nodes) index = { nodes: state.nodes, children: [] };
  for (let i = index.children.length; i < state.nodes.length; i++) {
    index.children.push([]);
    if (i > 0) index.children[state.nodes[i].parent].push(i);
  }
  return index.children[place] ?? [];
}

// The end of the text that goes on from a node: of several branches that which was begun last.
export function endOf(place) {
  for (;;) {
    const next = childrenOf(place).at(-1);
    if (next === undefined) return place;
    place = next;
  }
}

// Add a token behind a node, or find it there; return its place.
export function grow(parent, token, which) {
  const there = childrenOf(parent).find(place => state.nodes[place].token.id === token.id);
  if (there !== undefined) return there;
  state.nodes.push({ parent, token: { id: token.id, text: token.text, bytes: token.bytes }, which, read: null });
  return state.nodes.length - 1;
}

export function cut(place) {
  const gone = new Set([place]);
  state.nodes.forEach((node, i) => gone.has(node.parent) && gone.add(i)); // a child is behind its parent
  if (gone.has(state.at)) state.at = state.nodes[place].parent;
  const kept = state.nodes.flatMap((_, i) => (gone.has(i) ? [] : [i]));
  const now = new Map(kept.map((old, i) => [old, i]));
  state.nodes = kept.map(i => ({ ...state.nodes[i], parent: now.get(state.nodes[i].parent) ?? -1 }));
  state.at = now.get(state.at);
}

export function clearTree() {
  state.nodes = [root()];
  state.at = 0;
}

export function packed() {
  const chains = state.chains.map(({ on, greedy, cards, line }) => (line !== null ? { on, line } : {
    on,
    greedy,
    cards: cards.map(card => ({ switch: card.switch, values: card.values, ...(card.off && { off: true }) })),
  }));
  return {
    v: 1,
    prompt: state.prompt,
    seed: state.seed,
    by: state.by,
    chains: chains.map((chain, i) => ({ name: "AB"[i], ...chain })),
    tree: state.nodes.slice(1).map(node => [node.parent, node.token.id, node.which]),
    at: state.at,
  };
}

export function unpack(told) {
  if (told?.v !== 1 || typeof told.prompt !== "string") throw new Error("This is no state of the playground.");
  const chains = [...(told.chains ?? []), { on: true, line: "sample" }, { on: false, line: "greedy" }].slice(0, 2);
  const nodes = [root()];
  for (const [parent, id, which, text = "", bytes = null] of told.tree ?? []) {
    if (!(parent >= 0 && parent < nodes.length && Number.isInteger(id))) throw new Error("The tree of this state is broken.");
    nodes.push({ parent, token: { id, text, bytes }, which: which ?? null, read: null });
  }
  Object.assign(state, {
    prompt: told.prompt,
    seed: Number.isSafeInteger(told.seed) ? told.seed : 7,
    by: told.by === 0 || told.by === 1 ? told.by : null,
    chains: chains.map((chain, i) => unpackedChain(chain, i === 0)),
    nodes,
    at: told.at > 0 && told.at < nodes.length ? told.at : 0,
  });
}

function unpackedChain(chain, first) {
  const on = first || chain.on !== false;
  if (typeof chain.line === "string") return { ...chainOf(chain.line), on };
  const known = (chain.cards ?? []).filter(strategyOf); // a link may come from another version
  const cards = known.map(card => ({ switch: card.switch, values: { ...card.values }, off: card.off === true }));
  return { on, greedy: chain.greedy === true, cards, line: null };
}

export function toLink(told) {
  const bytes = new TextEncoder().encode(JSON.stringify(told));
  const text = Array.from(bytes, byte => String.fromCharCode(byte)).join("");
  return btoa(text).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
}

export function fromLink(hash) {
  const text = atob(hash.replace(/^#/, "").replaceAll("-", "+").replaceAll("_", "/"));
  return JSON.parse(new TextDecoder().decode(Uint8Array.from(text, sign => sign.charCodeAt(0))));
}
