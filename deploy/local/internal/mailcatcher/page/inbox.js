// Everything from a mail is put on the page as text, never as markup; its HTML
// is shown by a sandboxed frame.
"use strict";

const byId = (id) => document.getElementById(id);
const filter = byId("filter");
let messages = [];
let current = "";
let view = "";
let listed = "";

async function refresh() {
  try {
    const response = await fetch("/api/messages?limit=500");
    if (!response.ok) throw new Error(response.statusText);
    messages = (await response.json()).items;
    showList();
  } catch {
    listed = "";
    byId("state").textContent = "The catcher does not answer; trying again.";
  }
}

function showList() {
  const wanted = filter.value.trim().toLowerCase();
  const shown = messages.filter((m) =>
    [m.subject, m.from, ...m.to].some((text) => text.toLowerCase().includes(wanted)));
  const now = JSON.stringify([current, messages.length, ...shown.map((m) => m.id)]);
  if (now === listed) return;
  listed = now;
  byId("state").textContent = messages.length === 0
    ? "No mail yet. This page refreshes by itself."
    : `${shown.length} of ${messages.length} messages, newest first`;
  const focused = document.activeElement?.dataset?.id;
  byId("messages").replaceChildren(...shown.map(listItem));
  if (focused) document.querySelector(`[data-id="${CSS.escape(focused)}"]`)?.focus();
}

function listItem(message) {
  const button = document.createElement("button");
  button.type = "button";
  button.dataset.id = message.id;
  button.title = new Date(message.received_at).toLocaleString();
  if (message.id === current) button.setAttribute("aria-current", "true");
  button.append(
    element("strong", message.subject || "(no subject)"),
    element("span", `to ${message.to.join(", ")}`),
    element("span", clock(message.received_at)));
  button.addEventListener("click", () => { location.hash = message.id; });
  const item = document.createElement("li");
  item.append(button);
  return item;
}

/** The time of today, else the day. */
function clock(text) {
  const time = new Date(text);
  return time.toDateString() === new Date().toDateString()
    ? time.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit" })
    : time.toLocaleDateString([], { dateStyle: "medium" });
}

function element(name, text) {
  const made = document.createElement(name);
  made.textContent = text;
  return made;
}

async function open(id) {
  const response = await fetch(`/api/messages/${encodeURIComponent(id)}`);
  if (!response.ok) return close();
  const message = await response.json();
  byId("message").hidden = false;
  if (id !== current) hideAnswer();
  current = id;
  byId("subject").textContent = message.subject || "(no subject)";
  byId("envelope").replaceChildren(
    element("dt", "From"), element("dd", message.headers.From?.[0] || message.from || "(nobody)"),
    element("dt", "To"), element("dd", message.to.join(", ")),
    element("dt", "Received"), element("dd", new Date(message.received_at).toLocaleString()));
  byId("text").textContent = message.text || "(no text part)";
  byId("html").src = message.html ? `/messages/${encodeURIComponent(id)}/html` : "about:blank";
  byId("headers").querySelector("tbody").replaceChildren(...Object.entries(message.headers).sort().flatMap(([name, values]) =>
    values.map((value) => {
      const row = document.createElement("tr");
      row.append(element("td", name), element("td", value));
      return row;
    })));
  byId("raw").href = `/api/messages/${encodeURIComponent(id)}/raw`;
  byId("from").replaceChildren(...message.to.map((address) => element("option", address)));
  document.querySelector('[data-view="html"]').hidden = !message.html;
  select(view === "html" && !message.html || view === "" ? (message.html ? "html" : "text") : view);
  showList();
}

function close() {
  current = "";
  byId("message").hidden = true;
  showList();
}

function select(name) {
  view = name;
  for (const tab of document.querySelectorAll("[data-view]")) {
    tab.setAttribute("aria-selected", String(tab.dataset.view === name));
    byId(tab.dataset.view).hidden = tab.dataset.view !== name;
  }
}

for (const tab of document.querySelectorAll("[data-view]")) {
  tab.addEventListener("click", () => select(tab.dataset.view));
}

function hideAnswer() {
  byId("answer").hidden = true;
  byId("answer").reset();
  say("");
  byId("reply").setAttribute("aria-expanded", "false");
}

function say(text, wrong = false) {
  byId("sent").textContent = text;
  byId("sent").classList.toggle("wrong", wrong);
}

/** Sends what was typed; it stays on the page unless the listener took it. */
async function send(event) {
  event.preventDefault();
  say("Sending…");
  try {
    const response = await fetch(`/api/messages/${encodeURIComponent(current)}/reply`, { method: "POST", body: new FormData(byId("answer")) });
    const answer = await response.json();
    if (!response.ok) return say(answer.detail, true);
    byId("answer-text").value = byId("file").value = "";
    say(`Sent to ${answer.to.join(", ")}.`);
  } catch {
    say("The catcher does not answer. Nothing was sent.", true);
  }
}

byId("reply").addEventListener("click", () => {
  byId("answer").hidden = false;
  byId("reply").setAttribute("aria-expanded", "true");
  byId("answer-text").focus();
});
byId("cancel").addEventListener("click", () => { hideAnswer(); byId("reply").focus(); });
byId("answer").addEventListener("submit", send);
byId("answer-text").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) byId("answer").requestSubmit();
});
filter.addEventListener("input", showList);
byId("clear").addEventListener("click", async () => {
  if (!confirm("Delete all caught mail?")) return;
  await fetch("/api/messages", { method: "DELETE" });
  location.hash = "";
  refresh();
});

const openHash = () => (location.hash.length > 1 ? open(location.hash.slice(1)) : close());
window.addEventListener("hashchange", openHash);

refresh();
openHash();
setInterval(refresh, 2000);
