// Keeps the page's live part up to date: asks for it every two seconds, and swaps it in when it changed. Times are shown in the browser's zone.
const part = document.querySelector("[data-live]");
const lost = document.getElementById("link");
const said = document.getElementById("said");
const zoned = new Intl.DateTimeFormat(undefined, {
  year: "numeric", month: "short", day: "2-digit", hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23", timeZoneName: "short",
});
let tag = "";
let shown = "";
let failures = 0;
let gone = false;

function localize(root) {
  for (const t of root.querySelectorAll("time[datetime]")) {
    const at = new Date(t.dateTime);
    if (!Number.isNaN(at.getTime())) t.textContent = zoned.format(at);
  }
}

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
  const next = new DOMParser().parseFromString(html, "text/html").body;
  localize(next);
  part.replaceChildren(...next.childNodes);
  part.querySelectorAll("details").forEach((d, i) => { d.open = open[i] ?? false; });
  if (focus) part.querySelector(`[href="${CSS.escape(focus)}"]`)?.focus();
  const news = states().filter((s) => !before.includes(s));
  if (news.length > 0) said.textContent = news.join(", ");
}

// trouble is what to say of an answer, or of none, that tells nothing of the page's object.
function trouble(status) {
  if (status === 0) return "The orchestrator does not answer.";
  if (status === 429) return "Too much is asked at this moment; this page goes on by itself.";
  if (status >= 502 && status <= 504) return "The orchestrator can't answer just now.";
  return `The orchestrator answers with an error (${status}); its log says more: hnctl node logs --component orchestrator.`;
}

async function refresh() {
  let status = 0;
  let html = "";
  try {
    const answer = await fetch(location.href, {
      headers: { "Hardnode-Live": "1", ...(tag ? { "If-None-Match": tag } : {}) },
      signal: AbortSignal.timeout(5000),
    });
    status = answer.status;
    if (status === 200 || status === 404) html = await answer.text();
    tag = status === 200 ? answer.headers.get("ETag") ?? "" : status === 304 ? tag : "";
  } catch {
    status = 0;
  }
  if (status === 401) { // the session ended: the sign-in page says why, and leads back
    location.assign(`/panel/login?to=${encodeURIComponent(location.pathname + location.search)}`);
    return;
  }
  if (status === 304 || html !== "") {
    failures = 0;
    const was = gone;
    gone = status === 404; // what the page shows is not there (any more): its part says so; it may come back
    if (html !== "" && html !== shown) {
      shown = html;
      swap(html);
    }
    if (gone && !was) said.textContent = part.querySelector("h1")?.textContent ?? "";
  } else {
    failures++;
  }
  lost.hidden = failures < 2;
  if (!lost.hidden) lost.textContent = `${trouble(status)} What you see is as last known.`;
}

async function run() {
  for (;;) {
    await new Promise((done) => setTimeout(done, gone ? 10000 : Math.min(2000 * (failures + 1), 15000)));
    if (!document.hidden) await refresh();
  }
}

localize(document);
document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
run();
