// What the page asks the server. Addresses are relative, so that it also works behind a prefix.

const address = path => new URL(`play/api/${path}`, document.baseURI);

async function answered(response) {
  const answer = await response.json().catch(() => null);
  if (response.ok && answer) return answer;
  const error = new Error(answer?.error?.message ?? `The server answered ${response.status}.`);
  error.status = response.status;
  throw error;
}

const posted = (path, body, signal) => fetch(address(path), {
  method: "POST",
  headers: { "content-type": "application/json" },
  body: JSON.stringify(body),
  signal,
});

export const about = async () => answered(await fetch(address("about")));
export const ask = async (path, body) => answered(await posted(path, body));

// One question under way at a time; of those that come meanwhile only the last is asked. So a slider
// that moves faster than the server answers never builds up a queue.
export function latest(question, answer, failed) {
  let busy = false, waiting = null;
  const run = async body => {
    busy = true;
    try {
      const told = await question(body);
      // An answer that a newer question has overtaken is still shown: it is what keeps a drag alive.
      answer(told, body);
    } catch (error) {
      failed(error, body);
    }
    busy = false;
    if (waiting) {
      const next = waiting;
      waiting = null;
      run(next);
    }
  };
  const begin = body => {
    if (busy) waiting = body;
    else run(body);
  };
  begin.busy = () => busy;
  return begin;
}

// The events of a text that is being written, one at a time.
export async function* stream(body, signal) {
  const response = await posted("write", body, signal);
  if (!response.ok) await answered(response);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const line of lines) {
      if (!line.startsWith("data:")) continue;
      const data = line.slice(5).trim();
      if (data === "[DONE]") return;
      const event = JSON.parse(data);
      if (event.error) throw new Error(event.error.message);
      yield event;
    }
  }
}
