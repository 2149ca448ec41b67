// The editor of one chain: its cards in order, what to add, the choice at the end, and its line.

import { LETTERS, announce, brief, make, number, part } from "./dom.js";
import { cardOf, effectOf } from "./card.js";
import { asLine, chainOf, freshCard, idle, known, lineOf, matched, strategyOf, titleOf } from "./lines.js";
import { changed, state } from "./state.js";

const GROUPS = { scaling: "Temperature and scaling", truncation: "Truncation", penalties: "Penalties",
  constraints: "Constraints", adaptive: "Adaptive", guidance: "Guidance", watermark: "Watermark" };

export function chainEditor(place, about) {
  const letter = LETTERS[place], section = part(`chain-${letter.toLowerCase()}`);
  const list = make("ol", { class: "cards", "aria-label": `Strategies of chain ${letter}, in order` });
  const end = make("div", { class: "effect end" }), error = make("p", { class: "wrong", role: "status" });
  const line = make("input", { type: "text", class: "line", spellcheck: "false", "aria-label": `Chain ${letter} as a line`, onchange: () => replace(line.value) });
  const add = make("select", { "aria-label": `Add a strategy to chain ${letter}`, onchange: () => added(add.value) });
  const presets = make("select", { "aria-label": `Load a chain into ${letter}`, onchange: () => {
    if (presets.value) replace(presets.value);
    presets.value = "";
  } }, make("option", { value: "" }, "Presets…"), about.chains.map(each => make("option", { value: each.line }, each.name)));
  const kinds = [[false, "Draw", "draw a token from what stays"], [true, "Greedy", "take the likeliest of what stays"]].map(([greedy, name, title]) =>
    make("label", { title }, make("input", { type: "radio", name: `kind-${letter}`, onchange: () => {
      chain().greedy = greedy;
      changed("chains");
    } }), name));
  const on = place === 0 ? null : make("input", { type: "checkbox", id: `on-${letter}`, onchange: () => {
    chain().on = on.checked;
    changed("cards");
  } });
  const canonical = make("button", { type: "button", hidden: true, onclick: () => replace(canonical.value) }, "Make cards of this line");
  const body = make("div", { class: "body" },
    make("div", { class: "bar" }, presets, make("fieldset", { class: "kinds" }, make("legend", { class: "hidden" }, `At the end of chain ${letter}`), kinds)),
    make("p", { class: "flow" }, "logits ↓"), list, add, end, error, line, canonical);
  section.replaceChildren(
    make("h2", {}, make("span", { class: `letter c${place}` }, letter), on ? make("label", { for: on.id }, on, `Compare with chain ${letter}`) : `Chain ${letter}`), body);

  const chain = () => state.chains[place];
  const cards = () => [...list.children];

  function replace(text) {
    state.chains[place] = { ...chainOf(asLine(text) || "sample"), on: true };
    changed("cards");
  }

  function added(name) {
    chain().cards.push(freshCard(name));
    changed("cards");
    announce(`${strategyOf(chain().cards.at(-1)).name} added to chain ${letter}`);
    list.lastElementChild.querySelector("input:not([type=checkbox])")?.focus();
  }

  // A setting that is said once a line, whichever card it stands on, is the same on all of them.
  function share(card, name) {
    chain().cards.forEach((other, i) => {
      if (other === card || !name || !strategyOf(other).settings.some(setting => setting.name === name)) return;
      if (card.values[name] === undefined) delete other.values[name];
      else other.values[name] = card.values[name];
      list.children[i].put(name, other.values[name]);
    });
  }

  function moved(card, by) {
    const all = chain().cards, from = all.indexOf(card), to = from + by;
    if (to < 0 || to >= all.length) return;
    all.splice(to, 0, ...all.splice(from, 1));
    changed("cards");
    list.children[to].handle.focus();
    announce(`${strategyOf(card).name} is now number ${to + 1} of ${all.length}`);
  }

  // A drag moves the card as soon as its middle passes that of another.
  function dragged(card, event) {
    event.preventDefault();
    const all = chain().cards;
    const move = at => {
      const from = all.indexOf(card);
      const others = cards().filter((_, i) => i !== from);
      const to = others.filter(other => {
        const box = other.getBoundingClientRect();
        return at.clientY > box.top + box.height / 2;
      }).length;
      if (to === from) return;
      const held = list.children[from];
      all.splice(to, 0, ...all.splice(from, 1));
      // The others move around the one that is held, which so stays where the pointer has it.
      if (to > from) held.before(...cards().slice(from + 1, to + 1));
      else held.after(...cards().slice(to, from));
      changed("chains");
    };
    const stop = () => {
      document.removeEventListener("pointermove", move);
      document.removeEventListener("pointerup", stop);
      document.removeEventListener("pointercancel", stop);
      cards().forEach(each => each.classList.remove("held"));
      list.children[all.indexOf(card)]?.handle.focus();
      announce(`${titleOf(strategyOf(card))} is now number ${all.indexOf(card) + 1} of ${all.length}`);
    };
    list.children[all.indexOf(card)].classList.add("held");
    document.addEventListener("pointermove", move);
    document.addEventListener("pointerup", stop);
    document.addEventListener("pointercancel", stop);
  }

  // All of it anew: when cards came, went or moved.
  function build() {
    section.classList.toggle("idle", !chain().on);
    body.hidden = !chain().on;
    if (on) on.checked = chain().on;
    kinds.forEach((label, i) => { label.firstChild.checked = chain().greedy === (i === 1); label.firstChild.disabled = chain().line !== null; });
    const unfolded = new Set(cards().filter(each => each.querySelector("details").open).map(each => each.dataset.switch));
    list.replaceChildren(...chain().cards.map((card, i) => cardOf(card, `${letter}-${card.switch}`, {
      change: setting => {
        share(card, setting);
        changed("chains");
      },
      move: by => moved(card, by),
      drag: event => dragged(card, event),
      remove: () => {
        chain().cards.splice(chain().cards.indexOf(card), 1);
        changed("cards");
        announce(`${strategyOf(card).name} removed from chain ${letter}`);
        (list.children[Math.min(i, chain().cards.length - 1)]?.handle ?? add).focus();
      },
    })));
    cards().forEach(each => { each.querySelector("details").open = unfolded.has(each.dataset.switch); });
    const there = new Set(chain().cards.map(card => card.switch));
    const names = Object.keys(GROUPS), groups = Object.groupBy?.(known(), one => one.group) ?? grouped(known());
    add.replaceChildren(make("option", { value: "" }, "Add a strategy…"), ...Object.entries(groups).sort(([one], [other]) => names.indexOf(one) - names.indexOf(other)).map(([group, ones]) =>
      make("optgroup", { label: GROUPS[group] ?? group }, ones.map(one =>
        make("option", { value: one.switch, disabled: there.has(one.switch), title: one.summary }, titleOf(one))))));
    add.hidden = chain().line !== null;
    update();
  }

  function update() {
    if (document.activeElement !== line) line.value = lineOf(chain());
  }

  // What the server told of this chain, or null where it was not asked.
  function tell(told, entropy) {
    error.textContent = brief(told?.error ?? "");
    const stages = told?.stages ?? [], { own, rest } = matched(chain(), stages), without = idle(chain());
    cards().forEach((element, i) => {
      const card = chain().cards[i];
      if (told && !told.error && without.has(card)) element.idle();
      else element.tell(told && !told.error ? own.get(card) : undefined);
    });
    canonical.hidden = chain().line === null || !told?.canonical || chainOf(told.canonical).line !== null;
    canonical.value = told?.canonical ?? "";
    const kept = told && told.kept === 0 && !told.error ? make("p", { class: "wrong" }, "No token stays: there is nothing to draw from.") : told && !told.error ? make("p", {}, make("b", {}, number(told.kept, told.kept.toLocaleString("en"), "tokens that stay:")),
      told.kept === 1 ? " token stays" : " tokens stay", ", entropy ",
      number(stages.at(-1)?.entropy_after ?? entropy, (stages.at(-1)?.entropy_after ?? entropy).toFixed(2), "entropy:"), " nats") : null;
    end.replaceChildren(...rest.flatMap(stage => [make("div", { class: "stage" }, make("strong", {}, stage.name), ...effectOf(stage))]), ...(kept ? [kept] : []));
  }

  build();
  return { build, update, tell };
}

function grouped(all) {
  const groups = {};
  for (const one of all) (groups[one.group] ??= []).push(one);
  return groups;
}
