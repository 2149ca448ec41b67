// A widget in a notebook: the distribution of the playground, and what each stage of a chain did.
// It stands behind distribution.js in one module, since a notebook loads no others.

const share = x => `${(100 * x).toPrecision(3)} %`;

function stagesOf(chain, label) {
  const table = document.createElement("table");
  table.style.cssText = "font: 12px system-ui, sans-serif; border-collapse: collapse; margin: 0 0 8px";
  const caption = table.createCaption();
  caption.textContent = `${label}: ${chain.kept} tokens stay` +
    (chain.drawn_text === null ? "" : `, drawn is ${JSON.stringify(chain.drawn_text)}`);
  caption.style.cssText = "text-align: left; font-weight: 600; padding: 2px 0";
  const head = table.createTHead().insertRow();
  for (const name of ["stage", "tokens", "mass removed", "entropy, nats"]) {
    const cell = document.createElement("th");
    cell.scope = "col";
    cell.textContent = name;
    cell.style.cssText = "text-align: left; padding: 0 12px 0 0; font-weight: 400; opacity: .75";
    head.append(cell);
  }
  const body = table.createTBody();
  for (const stage of chain.stages) {
    const row = body.insertRow();
    const cells = [stage.name, stage.tokens_after, share(stage.removed_mass), stage.entropy_after.toFixed(3)];
    const whole = [stage.name, stage.tokens_after, stage.removed_mass, stage.entropy_after];
    cells.forEach((text, i) => {
      const cell = row.insertCell();
      cell.textContent = text;
      cell.title = String(whole[i]);
      cell.style.cssText = "padding: 0 12px 0 0";
    });
  }
  return table;
}

export default {
  render({ model, el }) {
    const answer = model.get("answer"), waiting = new Map();
    const element = document.createElement("token-distribution");
    element.style.height = "420px";
    element.source = (first, count) => new Promise(done => {
      const id = `${Date.now()} ${Math.random()}`;
      waiting.set(id, done);
      model.send({ id, first, count });
    });
    const hear = ({ id, answer: rows }) => {
      waiting.get(id)?.(rows);
      waiting.delete(id);
    };
    model.on("msg:custom", hear);
    answer.chains.forEach((chain, i) => el.append(stagesOf(chain, element.labels[i])));
    el.append(element);
    element.show(answer);
    return () => model.off("msg:custom", hear);
  },
};
