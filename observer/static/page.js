"use strict";
// Pages work without this file: it only keeps them fresh.

const SHOWN = 1 << 20; // characters of a log that stay on the page
const PIECE = 1 << 18; // bytes of a log fetched at once

// The host's, a task's and a process's page: every few seconds, while somebody looks, take the new <main>.
const main = document.querySelector("main[data-refresh]");
if (main) {
  setInterval(async () => {
    if (document.hidden || document.activeElement instanceof HTMLInputElement || String(getSelection())) return;
    try {
      const answer = await fetch(location.href);
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const fresh = page.querySelector("main");
      if (fresh) main.replaceChildren(...fresh.childNodes);
    } catch {
      // the observer is away: the page stays as it is
    }
  }, 1000 * Number(main.dataset.refresh));
}

// A log's page: fetch what was appended since, by its offset.
const log = document.getElementById("log");
if (log) {
  const label = document.getElementById("follow");
  const follow = label.querySelector("input");
  const decoder = new TextDecoder();
  let end = Number(log.dataset.end);

  const toTheEnd = () => { log.scrollTop = log.scrollHeight; };
  const append = (text) => {
    const stay = log.scrollHeight - log.scrollTop - log.clientHeight > 40;
    log.append(text.replace(/\x1b\[[0-?]*[ -/]*[@-~]/g, ""));
    if (log.textContent.length > SHOWN) log.textContent = log.textContent.slice(-SHOWN / 2);
    if (!stay) toTheEnd();
  };
  const more = async () => {
    if (document.hidden || !follow.checked) return false;
    const answer = await fetch(log.dataset.source, { headers: { Range: `bytes=${end}-${end + PIECE - 1}` } });
    if (answer.status === 416) {
      const size = Number((answer.headers.get("Content-Range") || "").split("/")[1]);
      if (size < end) location.reload(); // the file was cut or replaced
      return false;
    }
    if (answer.status !== 206) return false;
    const bytes = new Uint8Array(await answer.arrayBuffer());
    end += bytes.length;
    append(decoder.decode(bytes, { stream: true }));
    return bytes.length === PIECE;
  };
  const look = async () => {
    try {
      while (await more());
    } catch {
      // the observer is away: try again later
    }
    setTimeout(look, 1500);
  };
  label.hidden = false;
  toTheEnd();
  look();
}
