// Makes passkeys and signs in with them (Web Authentication, Level 3). A form says where to ask and to answer; it is shown where the
// browser can, at the address that passkeys are for.
const bytes = (text) => Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));
const text = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer))).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
const named = (list) => (list ?? []).map((c) => ({ ...c, id: bytes(c.id) }));

// ask posts to the panel, and is what it says, or throws why it does not.
async function ask(at, body) {
  const answer = await fetch(at, { method: "POST", body, redirect: "error" }).catch(() => null);
  if (answer === null) throw new Error("That did not work: the panel does not answer, or you are signed out; load this page again.");
  const says = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(says.why ?? `That did not work: the panel answers with an error (${answer.status}).`);
  return says;
}

// signed is the browser's word for the challenge, as the panel reads it.
function signed(credential) {
  const r = credential.response;
  const response = { clientDataJSON: text(r.clientDataJSON) };
  if (r.attestationObject) {
    response.attestationObject = text(r.attestationObject);
    response.transports = r.getTransports?.() ?? [];
  } else {
    response.authenticatorData = text(r.authenticatorData);
    response.signature = text(r.signature);
    if (r.userHandle) response.userHandle = text(r.userHandle);
  }
  return JSON.stringify({ id: credential.id, rawId: text(credential.rawId), type: credential.type, response });
}

async function go(form) {
  const { publicKey } = await ask(form.dataset.ask, new URLSearchParams(new FormData(form)));
  publicKey.challenge = bytes(publicKey.challenge);
  let credential;
  try {
    if (publicKey.user) {
      publicKey.user.id = bytes(publicKey.user.id);
      publicKey.excludeCredentials = named(publicKey.excludeCredentials);
      credential = await navigator.credentials.create({ publicKey });
    } else {
      publicKey.allowCredentials = named(publicKey.allowCredentials);
      credential = await navigator.credentials.get({ publicKey });
    }
  } catch (e) {
    if (e.name === "InvalidStateError") throw new Error("That did not work: this device has a passkey of yours already.");
    throw new Error("That did not work: no passkey was used; try again.");
  }
  const to = form.dataset.to ? `?to=${encodeURIComponent(form.dataset.to)}` : "";
  const { to: next } = await ask(form.dataset.answer + to, signed(credential));
  location.assign(next);
}

for (const form of document.querySelectorAll("form[data-ask]")) {
  if (!window.PublicKeyCredential || location.origin !== form.dataset.origin) continue;
  const why = form.querySelector('[role="alert"]');
  const button = form.querySelector("button");
  form.addEventListener("submit", async (e) => {
    e.preventDefault();
    why.hidden = true;
    button.disabled = true;
    try {
      await go(form);
    } catch (err) {
      why.textContent = err.message;
      why.hidden = false;
      form.querySelectorAll('input[type="password"]').forEach((i) => { i.value = ""; });
    }
    button.disabled = false;
  });
  form.hidden = false;
  document.getElementById("no-passkeys")?.remove();
}
