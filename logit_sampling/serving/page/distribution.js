// <token-distribution>: the next token, as the model and chains see it. It stands alone: it imports
// nothing, brings its own style, and asks its owner for rows only by `source`.
//
//   const element = document.createElement("token-distribution");
//   element.source = async (first, count) => ...;   // an answer of play/api/next with those rows
//   element.show(answer);                           // draws it; further rows are fetched as one scrolls
//   element.addEventListener("take", event => event.detail);   // the row of a token that was chosen

const ROW = 30, AHEAD = 20;
const STYLE = `
:host { display: flex; flex-direction: column; min-height: 0; container-type: inline-size;
  --c-ink: var(--ink, light-dark(#22272e, #e4e8ed)); --c-grey: var(--grey, light-dark(#596270, #a3adb9));
  --c-line: var(--line, light-dark(#d5dbe3, #3a434e)); --c-faint: var(--faint, light-dark(#e9edf1, #262d35));
  --c-ground: var(--ground, light-dark(#fff, #14181d)); --c-model: var(--model, light-dark(#9aa4b1, #77818e));
  --b-text: light-dark(#8a5a12, #e0a84f); --c-0: var(--a, light-dark(#3d5a99, #8fa8dc)); --c-1: var(--b, light-dark(#b7791f, #e0a84f));
  color: var(--c-ink); font: 13px/1.3 system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
.row, .head { display: grid; align-items: center; column-gap: 8px; padding: 0 8px;
  grid-template-columns: 2.6em minmax(84px, 22%) minmax(40px, 1fr) repeat(var(--numbers), 5.1em); }
.head { color: var(--c-grey); font-size: 12px; height: 28px; border-bottom: 1px solid var(--c-line); scrollbar-gutter: stable; overflow: hidden; }
.head .p, .p { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; overflow: hidden; }
.head .p0 { color: var(--b-a, var(--c-0)); font-weight: 600 } .head .p1 { color: var(--b-text, var(--c-1)); font-weight: 600 }
.axis { display: flex; justify-content: space-between; font-variant-numeric: tabular-nums; }
.view:focus-visible { outline: 2px solid var(--c-0); outline-offset: -2px; } .view { flex: 1; overflow-y: scroll; overscroll-behavior: contain; min-height: 120px; position: relative; }
.inner { position: relative; }
.row { position: absolute; inset: 0 0 auto; height: ${ROW}px; cursor: pointer; border-bottom: 1px solid var(--c-faint); transition: transform .25s; }
.row:hover { background: var(--c-faint); }
.row:focus-visible { outline: 2px solid var(--c-0); outline-offset: -2px; }
.row.gone .name, .row.gone .rank { color: var(--c-grey); }
.rank { color: var(--c-grey); font-size: 11px; text-align: right; font-variant-numeric: tabular-nums; }
.token { display: flex; gap: 4px; align-items: center; min-width: 0; }
.name { font: 13px/1.2 ui-monospace, Menlo, Consolas, monospace; white-space: pre; overflow: hidden; text-overflow: ellipsis; unicode-bidi: isolate; }
.name i { font-style: normal; color: var(--c-grey); }
.mark { flex: none; font-size: 10px; font-weight: 700; line-height: 15px; padding: 0 4px; border-radius: 8px; color: var(--c-ground); }
.mark0 { background: var(--c-0) } .mark1 { background: var(--b-text, var(--c-1)) }
.bars { display: flex; flex-direction: column; gap: 1px; min-width: 0; }
.bars span { height: 6px; border-radius: 0 2px 2px 0; width: 0; transition: width .18s ease-out; min-width: 0; }
.bars .more { border-radius: 0; mask: linear-gradient(90deg, #000 80%, transparent); } .taken { color: var(--c-grey); font-size: 11px; flex: none; }
.m { background: var(--c-model) } .b0 { background: var(--c-0) } .b1 { background: var(--c-1) }
.p.cut { color: var(--c-grey); font-size: 11px; text-overflow: ellipsis; }
.p.cut::before { content: "✕ "; }
.foot { border-top: 1px solid var(--c-line); padding: 6px 8px; min-height: 4.6em; font-size: 12px; color: var(--c-grey); overflow-wrap: anywhere; }
.foot b { color: var(--c-ink); font: 600 12px ui-monospace, Menlo, Consolas, monospace; white-space: pre-wrap; }
.foot p { margin: 0 0 2px; } .foot .t0 { color: var(--c-0) } .foot .t1 { color: var(--b-text, var(--c-1)) }
@container (max-width: 460px) {
  .row, .head { grid-template-columns: minmax(70px, 26%) minmax(30px, 1fr) repeat(var(--numbers), 4.1em); column-gap: 5px; padding: 0 4px; font-size: 12px; }
  .rank { display: none; } .name { font-size: 12px; } .p.cut { font-size: 10px; } .p.cut::before { content: ""; } }
@media (prefers-reduced-motion: reduce) { .row, .bars span { transition: none; } }`;

export const NOTHING = "(empty)";
// White space and control characters to see, [text, whether it stands for another]; bytes that are
// no character as \\xNN.
export function spelled({ text, bytes }) {
  const parts = [];
  const add = (sign, stands) => {
    const last = parts[parts.length - 1];
    if (last && last[1] === stands) last[0] += sign;
    else parts.push([sign, stands]);
  };
  const pieces = bytes && bytes.length ? decoded(bytes) : [text ?? ""];
  for (const piece of pieces) {
    if (typeof piece === "number") add(`\\x${piece.toString(16).padStart(2, "0")}`, true);
    else for (const sign of piece) add(...visible(sign));
  }
  return parts.length ? parts : [[NOTHING, true]];
}
export const spelling = token => spelled(token).map(([text]) => text).join("");

const NAMED = { " ": "␣", "\n": "⏎", "\t": "⇥", "\x7f": "␡" };
function visible(sign) {
  const code = sign.codePointAt(0);
  if (NAMED[sign]) return [NAMED[sign], true];
  if (code < 32) return [String.fromCodePoint(0x2400 + code), true];
  if (/[\p{Cc}\p{Cf}\p{Zs}\p{Zl}\p{Zp}]/u.test(sign)) return [`\\u{${code.toString(16)}}`, true];
  return [sign, false];
}

// Texts and bytes that are no character, in order.
function decoded(bytes) {
  const pieces = [], reader = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  for (let i = 0; i < bytes.length;) {
    const lead = bytes[i], length = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    try {
      pieces.push(reader.decode(Uint8Array.from(bytes.slice(i, i + length))));
      i += length;
    } catch {
      pieces.push(lead);
      i += 1;
    }
  }
  return pieces;
}

const make = (tag, name, ...children) => {
  const element = document.createElement(tag);
  if (name) element.className = name;
  element.append(...children);
  return element;
};
const chance = log => (log === null || log === undefined ? 0 : Math.exp(log));
function percent(p) {
  const value = 100 * p;
  if (value >= 99.95) return "100 %";
  if (value >= 0.01) return `${value.toFixed(value >= 10 ? 1 : value >= 0.1 ? 2 : 3)} %`;
  return value > 0 ? `${value.toExponential(0).replace("e-", "e−")} %` : "0 %";
}
const plain = name => name.replace(/\(.*/s, "");
const nice = top => [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.75].find(step => step >= top) ?? 1;

export class TokenDistribution extends HTMLElement {
  source = null;
  labels = ["A", "B", "C", "D", "E", "F", "G", "H"];
  taken = new Set(); // ids of tokens that a text already goes on with
  logarithmic = false;
  answer = null;
  #rows = new Map(); // by rank
  #lines = new Map(); // elements by token id
  #at = 0; // the rank that the keys are at
  #asking = false;
  #seek = false;
  #parts = {};

  constructor() {
    super();
    const shadow = this.attachShadow({ mode: "open" });
    const head = make("div", "head"), view = make("div", "view"), inner = make("div", "inner");
    const grid = make("div"), foot = make("div", "foot");
    grid.style.cssText = "display:flex;flex-direction:column;flex:1;min-height:0";
    const headGroup = make("div", "", head);
    for (const [element, role] of [[grid, "grid"], [headGroup, "rowgroup"], [head, "row"], [view, "rowgroup"], [inner, "presentation"]]) element.setAttribute("role", role);
    grid.setAttribute("aria-label", "Next token: arrow keys move, Enter takes a token");
    view.tabIndex = -1; // holds the focus while a row is on its way
    view.append(inner);
    grid.append(headGroup, view);
    shadow.append(make("style", "", STYLE), grid, foot);
    this.#parts = { head, view, inner, grid, foot };
    view.addEventListener("scroll", () => this.#render(), { passive: true });
    grid.addEventListener("keydown", event => this.#key(event));
    new ResizeObserver(() => this.#render()).observe(view);
  }

  // The rows that are in sight, with some ahead: what an answer should hold.
  window() {
    const { view } = this.#parts;
    const first = Math.max(0, Math.floor(view.scrollTop / ROW) - AHEAD);
    return { first, count: Math.ceil((view.clientHeight || 600) / ROW) + 2 * AHEAD };
  }

  show(answer, top = false) {
    const { view, inner, grid } = this.#parts, held = this.shadowRoot.activeElement;
    this.answer = answer;
    this.#rows = new Map(answer.rows.map(row => [row.rank, row]));
    if (top) this.#at = view.scrollTop = 0;
    this.style.setProperty("--numbers", 1 + answer.chains.length);
    inner.style.height = `${answer.total * ROW}px`;
    grid.setAttribute("aria-rowcount", answer.total + 1);
    this.#scale(answer);
    this.#render();
    this.#told(this.#rows.get(this.#at) ?? answer.rows[0]);
    if (held && top) this.focusRow(0);
  }

  focusRow(rank = this.#at) {
    const { view } = this.#parts, total = this.answer?.total ?? 0;
    this.#at = Math.max(0, Math.min(total - 1, rank));
    const y = this.#at * ROW;
    if (y < view.scrollTop) view.scrollTop = y;
    else if (y + ROW > view.scrollTop + view.clientHeight) view.scrollTop = y + ROW - view.clientHeight;
    this.#render();
    const line = this.#lines.get(this.#rows.get(this.#at)?.id);
    this.#seek = !line; // it is being fetched
    (line ?? view).focus({ preventScroll: true });
  }

  // The scale goes with the largest bar, by steps, so that bars can be compared while a chain is
  // edited. A chain that leaves one token has a bar of 100 %, which would make all others small: it
  // runs out of the picture instead.
  #scale(answer) {
    const wide = row => row.chains.filter((_, i) => answer.chains[i].kept > 1);
    const tops = answer.rows.flatMap(row => [row.raw_log_prob, ...wide(row).map(chain => chain?.final_log_prob)]);
    if (answer.rows[0]?.rank === 0 || !this.scale) this.scale = nice(Math.max(...tops.map(chance)));
    const axis = make("div", "axis", make("span", "", this.logarithmic ? percent(1e-6) : "0"), make("span", "", percent(this.#top())));
    const names = [make("div", "rank", "#"), make("div", "", "token"), axis, make("div", "p", "model"),
      ...answer.chains.map((_, i) => make("div", `p p${i}`, this.labels[i]))];
    names.forEach(name => name.setAttribute("role", "columnheader"));
    names[4]?.setAttribute("title", "probability under this chain");
    this.#parts.head.replaceChildren(...names);
  }

  #top = () => (this.logarithmic ? 1 : this.scale);
  #width = p => 100 * (this.logarithmic ? Math.max(0, 1 + Math.log10(p) / 6) : p / this.scale);

  #render() {
    if (!this.answer) return;
    const { view, inner } = this.#parts, { total } = this.answer;
    const low = Math.max(0, Math.floor(view.scrollTop / ROW) - 4);
    const high = Math.min(total, Math.ceil((view.scrollTop + view.clientHeight) / ROW) + 4);
    const stays = new Set();
    let missing = null;
    for (let rank = low; rank < high; rank++) {
      const row = this.#rows.get(rank);
      if (!row) missing ??= rank;
      else {
        stays.add(row.id);
        this.#line(row, rank, inner);
      }
    }
    for (const [id, line] of this.#lines) {
      if (stays.has(id)) continue;
      if (line === this.shadowRoot.activeElement) view.focus({ preventScroll: true });
      line.remove();
      this.#lines.delete(id);
    }
    if (missing !== null) this.#more();
  }

  async #more() {
    if (this.#asking || !this.source) return;
    this.#asking = true;
    const asked = this.answer, { first, count } = this.window();
    try {
      const told = await this.source(first, count);
      if (asked === this.answer) told.rows.forEach(row => this.#rows.set(row.rank, row));
    } finally {
      this.#asking = false;
    }
    requestAnimationFrame(() => {
      this.#render();
      if (this.#seek) this.focusRow();
    });
  }

  #line(row, rank, inner) {
    let line = this.#lines.get(row.id);
    if (!line) {
      line = make("div", "row", make("div", "rank"), make("div", "token", make("span", "name")), make("div", "bars"));
      line.setAttribute("role", "row");
      line.bars = [make("span", "m")];
      line.children[2].append(line.bars[0]);
      line.numbers = [];
      for (const [text, stands] of spelled(row)) line.querySelector(".name").append(stands ? make("i", "", text) : text);
      line.addEventListener("click", () => this.dispatchEvent(new CustomEvent("take", { detail: line.row })));
      line.addEventListener("pointerenter", () => this.#told(line.row));
      line.addEventListener("focus", () => { this.#at = line.rank; this.#told(line.row); });
      this.#lines.set(row.id, line);
      inner.append(line);
    }
    Object.assign(line, { row, rank });
    while (line.bars.length < 1 + row.chains.length) line.children[2].append(line.bars[line.bars.push(make("span", `b${line.bars.length - 1}`)) - 1]);
    while (line.bars.length > 1 + row.chains.length) line.bars.pop().remove();
    while (line.numbers.length < 1 + row.chains.length) line.append(line.numbers[line.numbers.push(make("div", "p")) - 1]);
    while (line.numbers.length > 1 + row.chains.length) line.numbers.pop().remove();
    line.style.transform = `translateY(${rank * ROW}px)`;
    line.tabIndex = rank === this.#at ? 0 : -1;
    line.setAttribute("aria-rowindex", rank + 2);
    line.dataset.id = row.id;
    line.children[0].textContent = rank + 1;
    [...line.children].forEach(cell => cell.setAttribute("role", "gridcell"));
    const logs = [row.raw_log_prob, ...row.chains.map(chain => chain?.final_log_prob ?? null)];
    logs.forEach((log, i) => {
      const width = this.#width(chance(log));
      line.bars[i].style.width = `${Math.min(100, width)}%`;
      line.bars[i].classList.toggle("more", width > 100.01);
      this.#number(line.numbers[i], log, i - 1, row);
    });
    const drawn = this.answer.chains.flatMap((chain, i) => (chain.drawn === row.id && !chain.error ? [i] : []));
    line.querySelectorAll(".mark, .taken").forEach(mark => mark.remove());
    if (this.taken.has(row.id)) line.children[1].append(Object.assign(make("span", "taken", "✓"), { title: "taken already: a text goes on with it" }));
    for (const i of drawn) {
      const mark = make("span", `mark mark${i}`, this.labels[i]);
      mark.title = `chain ${this.labels[i]} draws this token here`;
      line.children[1].append(mark);
    }
    line.classList.toggle("gone", row.chains.length > 0 && row.chains.every(chain => chain && chain.final_log_prob === null));
    line.setAttribute("aria-label", this.#said(row, rank, logs, drawn));
  }

  #number(cell, log, chain, row) {
    const stage = chain < 0 ? null : this.#remover(row, chain);
    cell.classList.toggle("cut", stage !== null);
    cell.dataset.value = String(log);
    cell.textContent = stage ?? (log === null ? "–" : percent(chance(log)));
    cell.title = stage !== null ? `removed by ${this.answer.chains[chain].stages[row.chains[chain].removed_by].name}`
      : `log-probability ${log}, probability ${chance(log)}`;
  }

  #remover(row, chain) {
    const place = row.chains[chain]?.removed_by, stage = this.answer.chains[chain].stages[place];
    return place === null || place === undefined || !stage ? null : plain(stage.name);
  }

  #said(row, rank, logs, drawn) {
    const chains = row.chains.map((_, i) => {
      const stage = this.#remover(row, i);
      return `chain ${this.labels[i]} ${stage === null ? percent(chance(logs[i + 1])) : `removed by ${stage}`}`;
    });
    const marks = drawn.map(i => `drawn by chain ${this.labels[i]}`).concat(this.taken.has(row.id) ? ["taken already"] : []);
    return [`${rank + 1}: ${spelling(row)}`, `model ${percent(chance(logs[0]))}`, ...chains, ...marks].join(", ");
  }

  // What each stage made of one token.
  #told(row) {
    if (!row) return;
    const lines = [make("p", "", make("b", "", spelling(row)), ` token ${row.id}, model ${percent(chance(row.raw_log_prob))}`)];
    row.chains.forEach((chain, i) => {
      if (!chain) return;
      const stages = this.answer.chains[i].stages.map(stage => plain(stage.name));
      const steps = (chain.log_probs ?? []).slice(1).map((log, k) => `${stages[k]} ${log === null ? "✕" : percent(chance(log))}`);
      const end = steps.findIndex(step => step.endsWith("✕"));
      const shown = end < 0 || chain.removed_by === null ? steps : steps.slice(0, end + 1);
      lines.push(make("p", `t${i}`, `${this.labels[i]}: ${shown.join(" → ") || "unchanged"}`));
    });
    this.#parts.foot.replaceChildren(...lines);
  }

  #key(event) {
    const page = Math.max(1, Math.floor(this.#parts.view.clientHeight / ROW) - 1);
    const step = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page }[event.key];
    if (step) this.focusRow(this.#at + step);
    else if (event.key === "Home") this.focusRow(0);
    else if (event.key === "End") this.focusRow(this.answer.total - 1);
    else if (event.key === "Enter" || event.key === " ") {
      const row = this.#rows.get(this.#at);
      if (row) this.dispatchEvent(new CustomEvent("take", { detail: row }));
    } else return;
    event.preventDefault();
  }
}

if (!customElements.get("token-distribution")) customElements.define("token-distribution", TokenDistribution);
