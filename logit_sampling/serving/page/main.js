// Puts the parts of the page together: what has to be asked or drawn anew when something changes.

import { about as askAbout } from "./api.js";
import { chainEditor } from "./chain.js";
import { hideCard, paint } from "./chip.js";
import { LETTERS, counted, make, notice, number, part } from "./dom.js";
import { NOTHING } from "./distribution.js";
import { learn } from "./lines.js";
import { later, limit, onAnswer, onFailure, refresh, showIn, shown } from "./reading.js";
import { sharePart } from "./share.js";
import { begin, changed, fromLink, onChange, state, unpack } from "./state.js";
import { systemsPart } from "./systems.js";
import { take, textPart } from "./text.js";
import { treePart } from "./tree.js";
import { whyPart } from "./why.js";

const THEMES = { "": "auto", light: "light", dark: "dark" };
function theme(name) {
  document.documentElement.dataset.theme = name;
  part("theme").textContent = `Theme: ${THEMES[name]}`;
}
part("theme").addEventListener("click", () => {
  const names = Object.keys(THEMES);
  theme(names[(names.indexOf(document.documentElement.dataset.theme) + 1) % names.length]);
});
theme("");

function open() {
  if (location.hash.length < 2) return false;
  try {
    unpack(fromLink(location.hash));
    return true;
  } catch {
    notice("This link cannot be opened: a part of it is missing or changed.");
    return false;
  }
}

function sorter() {
  const select = part("by");
  select.addEventListener("change", () => {
    state.by = select.value === "" ? null : Number(select.value);
    changed("by");
  });
  return () => {
    const ons = state.chains.flatMap((chain, i) => (chain.on ? [i] : []));
    select.replaceChildren(make("option", { value: "" }, "the model"), ...ons.map(i => make("option", { value: i }, `chain ${LETTERS[i]}`)));
    part("and-b").hidden = !state.chains[1].on;
    select.value = state.by === null || !ons.includes(state.by) ? "" : String(state.by);
  };
}

// How many tokens there are, how many each chain leaves, and the entropy of it.
function factsOf(answer) {
  const nats = entropy => number(entropy, entropy.toFixed(2), "entropy, nats:");
  const own = answer.chains.map((chain, i) => {
    const letter = shown.letters[i], entropy = chain.stages.at(-1)?.entropy_after ?? answer.entropy;
    return make("span", { class: `t${letter}` }, `${LETTERS[letter]} `, chain.error ? "has an error" : number(chain.kept, `${counted(chain.kept, "token")}, `), chain.error ? null : nats(entropy));
  });
  return [make("span", {}, `Model ${counted(answer.total, "token")}, entropy `, nats(answer.entropy), " nats"), ...own];
}

async function start() {
  const about = await askAbout();
  learn(about.strategies);
  begin(about);
  open();
  part("model").textContent = about.model.name;
  part("model").title = `${counted(about.model.vocab_size, "token")}${about.model.context_length ? `, context of ${about.model.context_length}` : ""}`;

  const view = part("distribution");
  const editors = [chainEditor(0, about), chainEditor(1, about)];
  const text = textPart(about), tree = treePart(), why = whyPart(), systems = systemsPart(about), share = sharePart(about);
  const sort = sorter();
  showIn(view);
  limit(about.model.context_length ?? null);
  part("log").addEventListener("change", event => {
    view.logarithmic = event.target.checked;
    if (shown.answer) view.show(view.answer);
  });
  view.addEventListener("take", event => take(event.detail, null, shown.at));

  const stale = is => [view, part("why"), part("text")].forEach(each => each.classList.toggle("stale", is));
  // What stands there is about another text: it fades until there is an answer again.
  onFailure(message => {
    stale(true);
    text.buttons();
    part("facts").replaceChildren(make("span", { class: "wrong" }, message));
  });
  onAnswer((answer, fresh) => {
    stale(false);
    view.labels = shown.letters.map(letter => LETTERS[letter]);
    view.taken = text.taken();
    view.show(answer, fresh);
    editors.forEach((editor, i) => editor.tell(answer.chains[shown.letters.indexOf(i)], answer.entropy));
    part("facts").replaceChildren(...factsOf(answer));
    if (fresh) text.build();
    else text.buttons();
    share.build();
    why.soon();
    systems.soon();
  });

  const whole = kind => {
    hideCard();
    if (kind === "cards" || kind === "all") editors.forEach(editor => editor.build());
    sort();
    text.build();
    tree.build();
  };
  onChange(kind => {
    if (kind === "streamed") {
      text.streamed();
      tree.soon();
      return;
    }
    if (kind === "read") {
      const chips = [...document.querySelectorAll("#text .chip")];
      if (chips.some(chip => !chip.textContent || chip.textContent === NOTHING)) text.build(); // the spelling came in too
      else chips.forEach(chip => paint(chip, state.nodes[chip.dataset.place]));
      tree.soon();
      return;
    }
    if (kind === "chains") editors.forEach(editor => editor.update());
    refresh(kind !== "chains" && kind !== "cards");
    if (kind !== "chains") whole(kind);
    later();
    share.build();
  });
  window.addEventListener("hashchange", () => open() && changed("all"));
  changed("all");
  document.documentElement.dataset.ready = "yes";
}

start().catch(error => notice(`The playground cannot start: ${error.message}`));
