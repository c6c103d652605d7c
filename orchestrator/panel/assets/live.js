// Keeps the page's live part up to date: asks for it every two seconds, and swaps it in when it changed.
const part = document.querySelector("[data-live]");
const lost = document.getElementById("link");
const said = document.getElementById("said");
let tag = "";
let failures = 0;

// states is what a screen reader should hear about: the badges, by row.
const states = () => [...part.querySelectorAll("tbody tr")].map((row) => {
  const name = row.querySelector(".name")?.textContent ?? "";
  const badge = row.querySelector(".badge")?.textContent ?? "";
  return `${name} ${badge}`;
});

function swap(html) {
  const before = states();
  const open = [...part.querySelectorAll("details")].map((d) => d.open);
  const focus = part.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
  part.replaceChildren(...new DOMParser().parseFromString(html, "text/html").body.childNodes);
  part.querySelectorAll("details").forEach((d, i) => { d.open = open[i] ?? false; });
  if (focus) part.querySelector(`[href="${CSS.escape(focus)}"]`)?.focus();
  const news = states().filter((s) => !before.includes(s));
  if (news.length > 0) said.textContent = news.join(", ");
}

async function refresh() {
  try {
    const answer = await fetch(location.href, {
      headers: { "Hardnode-Live": "1", ...(tag ? { "If-None-Match": tag } : {}) },
      signal: AbortSignal.timeout(5000),
    });
    if (answer.status === 401) { location.assign("/panel/login"); return; }
    if (answer.status === 200) {
      tag = answer.headers.get("ETag") ?? "";
      swap(await answer.text());
    } else if (answer.status !== 304) {
      throw new Error(String(answer.status));
    }
    failures = 0;
  } catch {
    failures++;
  }
  lost.hidden = failures < 2;
}

async function run() {
  for (;;) {
    await new Promise((done) => setTimeout(done, Math.min(2000 * (failures + 1), 15000)));
    if (!document.hidden) await refresh();
  }
}

document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
run();
