// A token in a text: coloured by how surprising it is to the model, underlined by the probability
// under each chain, with its alternatives when it is pointed at or focused.

import { LETTERS, chance, make, number, part, percent } from "./dom.js";
import { spelled, spelling } from "./distribution.js";
import { state } from "./state.js";

const DEEP = 8; // nats of surprise at which the colour is full

// The text itself where it can be read as text: blanks stay blanks, so that lines wrap.
export function readable(token) {
  return spelled(token).flatMap(([text, stands]) => {
    if (!stands) return [text];
    return text.split(/([␣⏎])/).filter(Boolean).map(sign =>
      (sign === "␣" ? " " : make("i", { class: "sign" }, sign === "⏎" ? "⏎\n" : sign)));
  });
}

export function paint(element, node) {
  const read = node.read;
  element.classList.toggle("unread", !read);
  if (!read) return;
  element.style.setProperty("--surprise", `${Math.round(100 * Math.min(1, -(read.raw_log_prob ?? -DEEP) / DEEP))}%`);
  element.setAttribute("data-value", String(read.raw_log_prob));
  element.setAttribute("aria-label", `${spelling(node.token)}, ${percent(chance(read.raw_log_prob))}`);
  for (const letter of [0, 1]) {
    const chain = read.chains[read.letters.indexOf(letter)];
    element.style.setProperty(`--under${letter}`, `${Math.round(1000 * chance(chain?.final_log_prob)) / 10}%`);
    element.classList.toggle(`out${letter}`, chain?.final_log_prob === null);
  }
}

// `place` is that of the node; `go` is called when it is chosen.
export function chip(place, go, short = false) {
  const node = state.nodes[place];
  // No button element: a text has to wrap inside of a token too, as a text does.
  const element = make("span", {
    role: "button",
    tabindex: -1,
    class: `chip${short ? " short" : ""}`,
    "data-place": place,
    "data-id": node.token.id,
    onclick: () => go(place),
    onpointerenter: event => event.pointerType !== "touch" && showCard(element, place),
    onpointerleave: hideCard,
    onfocus: () => element.matches(":focus-visible") && showCard(element, place),
    onblur: hideCard,
    onkeydown: event => {
      if (event.key === "Escape") hideCard();
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      go(place);
    },
  }, short ? spelled(node.token).map(([text, stands]) => (stands ? make("i", { class: "sign" }, text) : text)) : readable(node.token));
  element.setAttribute("aria-label", spelling(node.token));
  if (place === state.at) element.setAttribute("aria-current", "true");
  paint(element, node);
  return element;
}

// The tokens of a text are one stop of the tab key; arrow keys move among them.
export function roving(container) {
  container.addEventListener("keydown", event => {
    const chips = [...container.querySelectorAll(".chip")], at = chips.indexOf(event.target);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: chips.length - 1 }[event.key];
    if (at < 0 || to === undefined) return;
    event.preventDefault();
    stop(container, chips[Math.max(0, Math.min(chips.length - 1, to))])?.focus();
  });
}
export function stop(container, chip = container.querySelector(".chip:last-of-type")) {
  container.querySelectorAll('.chip[tabindex="0"]').forEach(each => { each.tabIndex = -1; });
  if (chip) chip.tabIndex = 0;
  return chip;
}
// Put new tokens into a container, and the focus where it was.
export function refill(container, ...children) {
  const place = container.contains(document.activeElement) ? document.activeElement.dataset.place : null;
  container.replaceChildren(...children);
  if (anchor && !anchor.isConnected) hideCard();
  const chips = container.querySelectorAll(".chip");
  const same = place && container.querySelector(`.chip[data-place="${place}"]`);
  stop(container, same || chips[chips.length - 1]);
  if (same) same.focus({ preventScroll: true });
}

let anchor = null; // the token whose alternatives are shown
export function hideCard() {
  anchor = null;
  part("card").hidden = true;
}

const brief = name => (name ?? "").replace(/\(.*/s, "");

function showCard(element, place) {
  anchor = element;
  const box = part("card"), node = state.nodes[place], read = node.read;
  if (!node) return;
  const names = read?.chains.map((_, i) => LETTERS[read.letters[i]]) ?? [];
  const cell = (log, removed, stages, what) => make("td", removed === null || removed === undefined ? {} : { class: "cut" },
    number(log, removed === null || removed === undefined ? percent(chance(log)) : `✕ ${brief(stages?.[removed])}`, what));
  const row = (token, raw, chains) => make("tr", token.id === node.token.id ? { class: "own" } : {},
    make("th", { scope: "row" }, spelling(token)), cell(raw, null, null, "log-probability of the model:"),
    chains.map((chain, i) => cell(chain?.final_log_prob ?? null, chain?.removed_by, read.stages?.[i], `log-probability under ${names[i]}:`)));
  const others = read?.alternatives ?? [];
  const own = others.some(each => each.id === node.token.id) || !read ? [] : [row(node.token, read.raw_log_prob, read.chains)];
  const by = node.which === null ? "taken by hand" : `drawn by chain ${LETTERS[node.which]}`;
  box.replaceChildren(
    make("p", {}, make("b", {}, spelling(node.token)), ` ${by}${read?.rank === undefined ? "" : `, rank ${read.rank + 1}`}`),
    read ? make("table", {}, make("thead", {}, make("tr", {}, make("th", { scope: "col" }, "instead of"), make("th", { scope: "col" }, "model"), names.map(name => make("th", { scope: "col" }, name)))),
      make("tbody", {}, others.map(each => row(each, each.raw_log_prob, each.chains)), own)) : make("p", {}, "not read yet"));
  box.hidden = false;
  const from = anchor.getClientRects()[0] ?? anchor.getBoundingClientRect(), size = box.getBoundingClientRect();
  const left = Math.max(8, Math.min(from.left, innerWidth - size.width - 8));
  const below = from.bottom + 6 + size.height < innerHeight;
  box.style.left = `${left + scrollX}px`;
  box.style.top = `${(below ? from.bottom + 6 : Math.max(8, from.top - size.height - 6)) + scrollY}px`;
}
