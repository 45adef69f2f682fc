/* One conversation: shows what the server renders, asks for news every few seconds, sends what the manager decides. */
(() => {
  "use strict";

  const EVERY = 3000;
  const AT_THE_END = 80;
  const root = document.getElementById("chat");
  const byId = (id) => document.getElementById(id);
  const thread = byId("chat-thread"), list = byId("chat-items"), older = byId("chat-older"), fresh = byId("chat-new");
  const text = byId("chat-text"), form = byId("chat-reply"), status = byId("chat-status");
  const token = root.querySelector("[name=csrfmiddlewaretoken]").value;
  const shown = new Map();
  const choice = byId("chat-template");
  const offers = new Map((form ? JSON.parse(byId("chat-templates").textContent) : []).map((one) => [String(one.id), one]));
  let windowClosed = false;
  let version = "", first = 0, last = 0, panels = {}, asking = false, fading = 0;

  /* The HTML comes from the server's own templates, which escape every text. */
  function fragment(html) {
    const holder = document.createElement("template");
    holder.innerHTML = html;
    return holder.content;
  }

  function element(item) {
    const box = document.createElement("div");
    box.className = "sd-item";
    box.dataset.key = item.key;
    box.dataset.day = item.day;
    box.append(fragment(item.html));
    return box;
  }

  function put(item, before) {
    const known = shown.get(item.key);
    if (known && known.html === item.html) return known.box;
    const box = element(item);
    if (known) {
      const open = known.box.querySelector("details")?.open;
      if (open && box.querySelector("details")) box.querySelector("details").open = true;
      /* A recording that plays is moved over, and plays on. */
      const player = known.box.querySelector("audio"), next = box.querySelector("audio");
      if (player && next && player.getAttribute("src") === next.getAttribute("src")) next.replaceWith(player);
      known.box.replaceWith(box);
    } else {
      list.insertBefore(box, before || null);
    }
    shown.set(item.key, { html: item.html, box });
    return box;
  }

  function days() {
    list.querySelectorAll(".sd-day").forEach((line) => line.remove());
    let day = "";
    for (const box of [...list.children]) {
      if (box.dataset.day === day) continue;
      day = box.dataset.day;
      const line = document.createElement("div");
      line.className = "sd-day";
      line.textContent = day;
      list.insertBefore(line, box);
    }
  }

  function panel(id, html) {
    if (panels[id] === html) return;
    panels[id] = html;
    byId(id).replaceChildren(fragment(html));
  }

  function show(feed) {
    version = feed.version;
    if (!feed.items) return;
    const atEnd = thread.scrollHeight - thread.scrollTop - thread.clientHeight < AT_THE_END;
    const top = thread.scrollTop;
    if (last && feed.first > last + 1) return say(root.dataset.stale);
    let news = false;
    /* Newest first: each is put before the one that follows it, so handovers and messages keep the server's order. */
    let next = null;
    for (const item of [...feed.items].reverse()) {
      news = news || (!shown.has(item.key) && shown.size > 0);
      next = put(item, next);
    }
    if (!first) {
      first = feed.first;
      older.hidden = !feed.more;
    }
    last = Math.max(last, ...feed.items.map((item) => item.seq));
    days();
    panel("chat-head", feed.head);
    panel("chat-side", feed.side);
    showWindow(feed.window || "");
    if (atEnd || !news) {
      thread.scrollTop = atEnd ? thread.scrollHeight : top;
    } else {
      thread.scrollTop = top;
      fresh.hidden = false;
    }
  }

  /* Outside the reply window only what the provider has approved may be chosen, and nothing typed. */
  function showWindow(words) {
    const note = byId("chat-window");
    if (!note) return;
    note.hidden = !words;
    note.textContent = words;
    windowClosed = Boolean(words);
    for (const option of choice ? choice.options : []) {
      const offer = offers.get(option.value);
      option.hidden = Boolean(offer) && windowClosed && !offer.approved;
    }
    lockText();
  }

  function lockText() {
    const offer = choice && offers.get(choice.value);
    text.readOnly = Boolean(offer && offer.approved) || windowClosed;
  }

  /* An approved template is sent as it stands; one of our own is a text to begin with. */
  function choose() {
    const offer = offers.get(choice.value);
    text.value = offer ? offer.text : "";
    if (offer && !offer.approved) choice.value = "";
    lockText();
    grow();
    text.focus();
  }

  function say(words, tone = "bad") {
    status.hidden = !words;
    status.textContent = words || "";
    status.dataset.tone = tone;
    clearTimeout(fading);
    if (tone === "ok") fading = setTimeout(() => say(""), 4000);
  }

  async function answer(response) {
    if (response.redirected || !(response.headers.get("Content-Type") || "").includes("json")) {
      throw new Error(response.redirected || response.status === 403 ? root.dataset.signedOut : root.dataset.lost);
    }
    return response.json();
  }

  async function look() {
    if (asking || document.hidden) return;
    asking = true;
    try {
      show(await answer(await fetch(`${root.dataset.feed}?version=${version}`, { credentials: "same-origin" })));
      if (status.dataset.tone === "lost") say("");
    } catch (error) {
      say(error instanceof TypeError ? root.dataset.lost : error.message, "lost");
    } finally {
      asking = false;
    }
  }

  async function post(url, fields) {
    const response = await fetch(url, {
      method: "POST",
      credentials: "same-origin",
      headers: { "X-CSRFToken": token },
      body: new URLSearchParams(fields),
    });
    const told = await answer(response);
    if (!response.ok) throw new Error(told.error);
    return told;
  }

  async function decide(button) {
    if (button.dataset.confirm && !window.confirm(button.dataset.confirm)) return;
    button.disabled = true;
    try {
      const told = await post(root.dataset.decide, { do: button.dataset.do, id: button.dataset.id || "0" });
      say(told.done, "ok");
    } catch (error) {
      say(error instanceof TypeError ? root.dataset.lost : error.message);
    } finally {
      button.disabled = false;
    }
    await look();
  }

  async function send() {
    const words = text.value.trim();
    if (!words) return;
    const button = form.querySelector("button");
    button.disabled = true;
    try {
      await post(root.dataset.reply, { text: words, template: choice ? choice.value : "" });
      text.value = "";
      if (choice) choice.value = "";
      lockText();
      grow();
      say("");
      thread.scrollTop = thread.scrollHeight;
    } catch (error) {
      say(error instanceof TypeError ? root.dataset.lost : error.message);
    } finally {
      button.disabled = false;
      text.focus();
    }
    await look();
  }

  async function lookBack() {
    older.disabled = true;
    try {
      const found = await answer(await fetch(`${root.dataset.older}?before=${first}`, { credentials: "same-origin" }));
      const below = thread.scrollHeight - thread.scrollTop;
      let next = list.querySelector(".sd-item");
      for (const item of [...found.items].reverse()) next = put(item, next);
      if (found.first) first = found.first;
      older.hidden = !found.more;
      days();
      thread.scrollTop = thread.scrollHeight - below;
    } catch (error) {
      say(error instanceof TypeError ? root.dataset.lost : error.message, "lost");
    } finally {
      older.disabled = false;
    }
  }

  function grow() {
    text.style.height = "auto";
    text.style.height = `${Math.min(text.scrollHeight + 2, 220)}px`;
  }

  /* A player does not say why it plays nothing; the server does. */
  async function explain(player) {
    try {
      const response = await fetch(player.src, { credentials: "same-origin", headers: { Range: "bytes=0-0" } });
      say(response.ok || response.redirected ? root.dataset.unplayable : await response.text());
    } catch {
      say(root.dataset.lost);
    }
  }

  root.addEventListener("error", (event) => { if (event.target.tagName === "AUDIO") explain(event.target); }, true);
  root.addEventListener("click", (event) => {
    const button = event.target.closest("[data-do]");
    if (button) decide(button);
  });
  thread.addEventListener("scroll", () => {
    if (thread.scrollHeight - thread.scrollTop - thread.clientHeight < AT_THE_END) fresh.hidden = true;
  });
  fresh.addEventListener("click", () => { thread.scrollTop = thread.scrollHeight; });
  older.addEventListener("click", lookBack);
  document.addEventListener("visibilitychange", look);
  if (form) {
    form.addEventListener("submit", (event) => { event.preventDefault(); send(); });
    text.addEventListener("input", grow);
    if (choice) choice.addEventListener("change", choose);
    text.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); send(); }
    });
  }

  show(JSON.parse(byId("chat-feed").textContent));
  thread.scrollTop = thread.scrollHeight;
  setInterval(look, EVERY);
})();
