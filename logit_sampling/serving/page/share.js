// To take with one: Python, a command line, JSON for the server, a link, pictures, and the whole state.

import { copy, make, notice, part, save } from "./dom.js";
import { spelling } from "./distribution.js";
import { lineOf } from "./lines.js";
import { asPNG, asSVG, pictureOf } from "./picture.js";
import { asked, shown } from "./reading.js";
import { changed, packed, pathTo, state, toLink, unpack } from "./state.js";

const MAX_TOKENS = 60;
// As Python writes a text between double quotes.
const quoted = text => JSON.stringify(text).replace(/[\u007f-\uffff]/g, sign => (/\p{C}/u.test(sign) ? `\\u${sign.charCodeAt(0).toString(16).padStart(4, "0")}` : sign));
// As a shell takes it: nothing is special between single quotes but the quote itself.
const shell = text => `'${text.replaceAll("'", "'\\''")}'`;

export function sharePart(about) {
  const code = part("code"), kinds = part("code-kinds");
  let which = 0, kind = "Python";
  const told = () => shown.answer?.chains[shown.letters.indexOf(which)];
  const line = () => lineOf(state.chains[which]);
  const forms = {
    Python: () => [
      "import logit_sampling as ls", "",
      `model = ls.load_model(${quoted(about.model.path ?? about.model.name)})`,
      `sampler = ${told()?.python ?? `ls.Sampler.parse(${quoted(line())})`}`,
      `result = ls.generate(model, ${quoted(state.prompt)}, sampler=sampler, seed=${state.seed})`,
      "print(result)"].join("\n"),
    "Command line": () => `logit-sampling generate ${shell(state.prompt)} --sampler ${shell(line())} --seed ${state.seed}`,
    "JSON for the server": () => JSON.stringify({ prompt: state.prompt, sampler: line(), seed: state.seed, max_tokens: MAX_TOKENS }, null, 1),
  };
  const radios = (name, values, chosen, choose) => values.map(value => make("label", {},
    make("input", { type: "radio", name, checked: value === chosen, onchange: () => { choose(value); build(); } }), value));
  const chains = make("fieldset", { class: "kinds" }, make("legend", { class: "hidden" }, "Chain"), radios("code-chain", ["Chain A", "Chain B"], "Chain A", value => { which = value === "Chain A" ? 0 : 1; }));
  kinds.append(make("fieldset", { class: "kinds" }, make("legend", { class: "hidden" }, "Form"), radios("code-kind", Object.keys(forms), kind, value => { kind = value; })), chains,
    make("button", { type: "button", onclick: () => copy(code.textContent, kind) }, "Copy"));

  const link = () => `${location.href.split("#")[0]}#${toLink(packed())}`;
  const picture = () => {
    const chosen = asked(), text = pathTo(state.at).map(place => spelling(state.nodes[place].token)).join("");
    const whole = state.prompt.replaceAll("\n", "⏎") + text;
    return pictureOf(shown.answer, shown.letters, chosen.map(([, each]) => each), `“${whole.length > 70 ? `…${whole.slice(-69)}` : whole}”`);
  };
  // The whole state, with the numbers of each token, so that other programs can read it too.
  const whole = () => ({
    ...packed(),
    model: about.model.name,
    tree: state.nodes.slice(1).map(node => [node.parent, node.token.id, node.which, node.token.text, node.token.bytes]),
    read: state.nodes.slice(1).map(node => node.read && { raw_log_prob: node.read.raw_log_prob, chains: node.read.chains, stages: node.read.stages, alternatives: node.read.alternatives }),
    next: shown.answer,
  });
  const actions = {
    "copy-link": () => copy(link(), "Link"),
    "share-link": () => copy(link(), "Link"),
    "save-svg": () => save("distribution.svg", asSVG(picture())),
    "save-png": async () => save("distribution.png", await asPNG(picture())),
    "save-json": () => save("playground.json", new Blob([JSON.stringify(whole(), null, 1)], { type: "application/json" })),
    "load-json": () => part("file").click(),
  };
  for (const [id, run] of Object.entries(actions)) {
    part(id).addEventListener("click", () => (id === "load-json" || shown.answer ? run() : notice("Nothing to share yet.")));
  }
  part("file").addEventListener("change", async event => {
    const [file] = event.target.files;
    event.target.value = "";
    if (!file) return;
    try {
      unpack(JSON.parse(await file.text()));
      changed("all");
      notice("Opened.");
    } catch (error) {
      notice(`This file cannot be opened: ${error.message}`);
    }
  });

  // The address of the page follows the state, so that it can be kept or sent as it is.
  let timer = 0;
  function build() {
    chains.hidden = !state.chains[1].on;
    if (!state.chains[1].on && which === 1) {
      which = 0;
      chains.querySelector("input").checked = true;
    }
    code.textContent = forms[kind]();
    clearTimeout(timer);
    timer = setTimeout(() => history.replaceState(null, "", `#${toLink(packed())}`), 300);
  }
  return { build };
}
