// The settings of a chain as other systems would read them, on the same logits and noise.

import { ask, latest } from "./api.js";
import { LETTERS, brief, chance, make, number, part, percent } from "./dom.js";
import { spelling } from "./distribution.js";
import { lineOf, systemName } from "./lines.js";
import { question } from "./reading.js";
import { state } from "./state.js";

const TOKENS = 6;
const plain = name => name.replace(/\(.*/s, "");

export function systemsPart(about) {
  const box = part("systems-table");
  const next = latest(
    ({ body }) => ask("next", body),
    (answer, { names }) => show(answer, names),
    error => box.replaceChildren(make("p", { class: "note" }, error.message)),
  );
  let timer = 0, seen = false;
  const soon = () => {
    clearTimeout(timer);
    if (!seen) return;
    timer = setTimeout(() => {
      const chain = state.chains[0];
      const names = ["written", ...about.orders], lines = names.map(name => lineOf(chain, name));
      if (lines.includes(null)) {
        box.replaceChildren(make("p", { class: "note" }, "Chain A is a line that says more than settings: it cannot be put in other orders."));
        return;
      }
      next({ names, body: { ...question(), lines, first: 0, count: TOKENS, by: null } });
    }, 250);
  };
  // Only for those who look at it.
  new IntersectionObserver(([entry]) => {
    if (entry.isIntersecting !== seen) {
      seen = entry.isIntersecting;
      soon();
    }
  }, { rootMargin: "200px" }).observe(part("systems"));

  function show(answer, names) {
    const own = answer.chains[0]?.drawn;
    const head = make("tr", {}, ["system", "order of the stages", "stay", "entropy", "draws"].map(text => make("th", { scope: "col" }, text)),
      answer.rows.map(row => make("th", { scope: "col", class: "token" }, spelling(row))));
    const rows = answer.chains.map((chain, i) => {
      const name = make("th", { scope: "row" }, i === 0 ? `Chain ${LETTERS[0]}` : systemName(names[i]));
      if (chain.error) return make("tr", {}, name, make("td", { colspan: 4 + answer.rows.length, class: "note" }, brief(chain.error)));
      const end = chain.stages.at(-1);
      const entropy = end?.entropy_after ?? answer.entropy;
      return make("tr", {}, name,
        make("td", { class: "stages" }, chain.stages.length ? chain.stages.map(stage => make("span", { title: stage.name }, plain(stage.name))) : "nothing"),
        make("td", {}, number(chain.kept, chain.kept.toLocaleString("en"), "tokens that stay:")),
        make("td", {}, number(entropy, entropy.toFixed(3), "entropy:")),
        make("td", { class: chain.drawn === own ? "token" : "token other" }, chain.drawn === null ? "–" : spelling({ text: chain.drawn_text })),
        answer.rows.map(row => cell(row.chains[i])));
    });
    box.replaceChildren(make("table", {}, make("thead", {}, head), make("tbody", {}, rows)));
  }
  const cell = told => {
    const p = chance(told?.final_log_prob);
    const element = make("td", { class: "heat", style: `--heat:${Math.round(Math.sqrt(p) * 52)}%` });
    element.append(number(told?.final_log_prob ?? null, told?.final_log_prob === null ? "✕" : percent(p), "log-probability:"));
    return element;
  };
  return { soon };
}
