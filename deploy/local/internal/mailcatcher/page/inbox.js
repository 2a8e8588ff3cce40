// Everything from a mail is put on the page as text, never as markup; its HTML
// is shown by a sandboxed frame.
"use strict";

const byId = (id) => document.getElementById(id);
const filter = byId("filter");
let messages = [];
let current = "";
let view = "";

async function refresh() {
  try {
    const response = await fetch("/api/messages?limit=500");
    if (!response.ok) throw new Error(response.statusText);
    messages = (await response.json()).items;
    showList();
  } catch {
    byId("state").textContent = "The catcher does not answer; trying again.";
  }
}

function showList() {
  const wanted = filter.value.trim().toLowerCase();
  const shown = messages.filter((m) =>
    [m.subject, m.from, ...m.to].some((text) => text.toLowerCase().includes(wanted)));
  byId("state").textContent = messages.length === 0
    ? "No mail yet. This page refreshes by itself."
    : `${shown.length} of ${messages.length} messages, newest first`;
  byId("messages").replaceChildren(...shown.map(listItem));
}

function listItem(message) {
  const button = document.createElement("button");
  button.type = "button";
  if (message.id === current) button.setAttribute("aria-current", "true");
  button.append(
    element("strong", message.subject || "(no subject)"),
    element("span", `to ${message.to.join(", ")}`),
    element("span", new Date(message.received_at).toLocaleString()));
  button.addEventListener("click", () => { location.hash = message.id; });
  const item = document.createElement("li");
  item.append(button);
  return item;
}

function element(name, text) {
  const made = document.createElement(name);
  made.textContent = text;
  return made;
}

async function open(id) {
  const response = await fetch(`/api/messages/${encodeURIComponent(id)}`);
  byId("message").hidden = !response.ok;
  if (!response.ok) return;
  const message = await response.json();
  current = id;
  byId("subject").textContent = message.subject || "(no subject)";
  byId("envelope").replaceChildren(
    element("dt", "From"), element("dd", message.from || "(nobody)"),
    element("dt", "To"), element("dd", message.to.join(", ")),
    element("dt", "Received"), element("dd", new Date(message.received_at).toLocaleString()));
  byId("text").textContent = message.text || "(no text part)";
  byId("html").src = message.html ? `/messages/${encodeURIComponent(id)}/html` : "about:blank";
  byId("headers").replaceChildren(...Object.entries(message.headers).sort().flatMap(([name, values]) =>
    values.map((value) => {
      const row = document.createElement("tr");
      row.append(element("td", name), element("td", value));
      return row;
    })));
  byId("raw").href = `/api/messages/${encodeURIComponent(id)}/raw`;
  document.querySelector('[data-view="html"]').hidden = !message.html;
  select(view === "html" && !message.html || view === "" ? (message.html ? "html" : "text") : view);
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
filter.addEventListener("input", showList);
byId("clear").addEventListener("click", async () => {
  if (!confirm("Delete all caught mail?")) return;
  await fetch("/api/messages", { method: "DELETE" });
  byId("message").hidden = true;
  refresh();
});
window.addEventListener("hashchange", () => { if (location.hash) open(location.hash.slice(1)); });

refresh();
if (location.hash) open(location.hash.slice(1));
setInterval(refresh, 2000);
