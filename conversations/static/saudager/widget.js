/* Saudager website chat: <script src="https://HOST/widget/widget.js" data-channel="ID" async></script>
   data-lang="ru|kk|en" sets the language, data-target="#id" puts the chat into an element; Saudager.open(), .close().
   A Content-Security-Policy needs HOST in script-src and connect-src. */
(() => {
"use strict";
const script = document.currentScript, {channel, target, lang} = script.dataset, name = "saudager-" + channel;
if (!channel || document.getElementById(name)) return;
const api = new URL(encodeURIComponent(channel) + "/", script.src);
const TEXTS = {
  en: ["Chat", "Close", "online", "no connection", "Message", "Send", "not sent", "Typing"],
  ru: ["Чат", "Закрыть", "на связи", "нет связи", "Сообщение", "Отправить", "не отправлено", "Печатает"],
  kk: ["Чат", "Жабу", "байланыста", "байланыс жоқ", "Хабарлама", "Жіберу", "жіберілмеді", "Жазып жатыр"],
};
const [CHAT, CLOSE, ONLINE, OFFLINE, MESSAGE, SEND, NOT_SENT, TYPING] =
  TEXTS[(lang || document.documentElement.lang || navigator.language).slice(0, 2)] || TEXTS.en;
const CSS = `
:host{all:initial;--a:#0c6b58;--bg:#fff;--soft:#f0f3f1;--ink:#16211d;--dim:#606b66;--line:#e0e5e2;color-scheme:light}
@media(prefers-color-scheme:dark){:host{--bg:#171c1a;--soft:#262d2a;--ink:#eef2f0;--dim:#9aa6a1;--line:#303834;color-scheme:dark}}
*{box-sizing:border-box;margin:0;font:inherit;color:inherit}
.root{font:15px/1.45 system-ui,sans-serif;color:var(--ink);height:100%}
button{border:0;background:none;padding:0;border-radius:50%;display:grid;place-items:center;cursor:pointer;flex:none}
:focus-visible{outline:2px solid var(--a);outline-offset:2px}
svg{width:24px;fill:none;stroke:currentColor;stroke-width:1.8;stroke-linecap:round}
[hidden]{display:none!important}
.launch,.panel{position:fixed;right:24px;bottom:24px;z-index:9999999}
.launch,.face,.send,.own .t{background:var(--a);color:#fff}
.launch{width:60px;height:60px;box-shadow:0 8px 28px #0004}
.launch svg{width:28px}
.badge{position:absolute;top:-3px;right:-3px;min-width:22px;border-radius:11px;background:#d9412b;font:600 12px/22px system-ui}
.panel{width:384px;height:min(680px,100vh - 48px);display:flex;flex-direction:column;overflow:hidden;
 background:var(--bg);border-radius:20px;border:1px solid var(--line);box-shadow:0 16px 56px #0003;animation:rise .2s}
.inline .panel{position:static;width:100%;height:100%}
.inline .close{display:none}
header{display:flex;align-items:center;gap:12px;padding:14px 18px;border-bottom:1px solid var(--line)}
.face{width:40px;border-radius:50%;text-align:center;font:600 17px/40px system-ui}
.who{flex:1;min-width:0}
.who *{display:block;overflow:hidden;text-overflow:ellipsis;white-space:nowrap;font-size:13px;color:var(--dim)}
.who b{font-size:15px;font-weight:600;color:var(--ink)}
.who span:before{content:"";display:inline-block;width:7px;height:7px;margin:0 6px 1px 0;border-radius:50%;background:#23a26d}
.off .who span:before{background:#d9912b}
.close{width:36px;height:36px;color:var(--dim)}
.log{flex:1;overflow-y:auto;overscroll-behavior:contain;padding:18px;display:flex;flex-direction:column;gap:4px}
.log:before{content:"";margin-top:auto}
.m,.dots{max-width:84%;align-self:flex-start;margin-top:8px}
.bot+.bot,.own+.own{margin-top:0}
.own{align-self:flex-end;text-align:right}
.t,.dots{padding:9px 14px;border-radius:18px;background:var(--soft);white-space:pre-wrap;overflow-wrap:anywhere;text-align:left}
.bot .t{border-bottom-left-radius:6px}
.own .t{border-bottom-right-radius:6px}
.wait .t{opacity:.6}
.i{margin:3px 6px 0;font-size:11px;color:var(--dim)}
.bad .i{color:#d9412b}
.bot:has(+.bot) .i,.own:has(+.own):not(.bad) .i{display:none}
.dots{display:flex;gap:5px;padding:15px}
.dots i{width:7px;height:7px;border-radius:50%;background:var(--dim);animation:dot 1.2s infinite}
.dots i+i{animation-delay:.15s}.dots i+i+i{animation-delay:.3s}
form{display:flex;align-items:flex-end;margin:0 12px 12px;padding:5px 5px 5px 16px;border:1px solid var(--line);border-radius:24px}
form:focus-within{border-color:var(--a)}
textarea{flex:1;min-width:0;border:0;outline:0!important;background:none;resize:none;font-size:16px;line-height:22px;padding:7px 0;
 height:36px;max-height:124px}
.send{width:36px;height:36px}
.send:disabled{background:var(--soft);color:var(--dim)}
@keyframes rise{0%{opacity:0;transform:translateY(12px)}}
@keyframes dot{0%,60%,100%{opacity:.35}30%{opacity:1;transform:translateY(-3px)}}
@media(max-width:480px){.root:not(.inline) .panel{inset:0;width:100%;height:100dvh;border:0;border-radius:0}}
@media(prefers-reduced-motion:reduce){*{animation:none!important}}`;

// What outlives a reload, if it can be stored.
const kept = {token: "", seen: 0, queue: []};
try { Object.assign(kept, JSON.parse(localStorage.getItem(name))); } catch {}
const keep = () => { try { localStorage.setItem(name, JSON.stringify(kept)); } catch {} };

// The page: texts enter it as text nodes only.
const make = (tag, className, attributes, ...children) => {
  const node = document.createElement(tag);
  node.className = className;
  for (const key in attributes) node.setAttribute(key, attributes[key]);
  node.append(...children);
  return node;
};
const icon = (path) => {
  const [svg, line] = ["svg", "path"].map((tag) => document.createElementNS("http://www.w3.org/2000/svg", tag));
  svg.setAttribute("viewBox", "0 0 24 24");
  line.setAttribute("d", path);
  svg.append(line);
  return svg;
};
const badge = make("span", "badge", {hidden: ""}), title = make("b", ""), status = make("span", "");
const launch = make("button", "launch", {"aria-label": CHAT},
  icon("M21 11.5a8.4 8.4 0 0 1-12.2 7.5L3 21l2-5.6A8.4 8.4 0 1 1 21 11.5Z"), badge);
const close = make("button", "close", {"aria-label": CLOSE}, icon("M6 9l6 6 6-6"));
const face = make("div", "face");
const dots = make("div", "dots", {role: "img", "aria-label": TYPING, hidden: ""}, make("i", ""), make("i", ""), make("i", ""));
const log = make("div", "log", {role: "log", tabindex: 0}, dots);
const input = make("textarea", "", {rows: 1, placeholder: MESSAGE, "aria-label": MESSAGE, enterkeyhint: "send"});
const send = make("button", "send", {"aria-label": SEND, disabled: ""}, icon("M12 19V5M6 11l6-6 6 6"));
const form = make("form", "", {}, input, send);
const panel = make("section", "panel", {role: "dialog", "aria-label": CHAT, hidden: ""},
  make("header", "", {}, face, make("div", "who", {}, title, status), close), log, form);
const root = make("div", "root", {}, launch, panel), host = make("div", "", {id: name});
const sheet = new CSSStyleSheet(), shadow = host.attachShadow({mode: "open"});
sheet.replaceSync(CSS);
shadow.adoptedStyleSheets = [sheet];
shadow.append(root);

let items = [], session, cursor = 0, unread = 0, typingTimer, saidTyping = 0;
const last = (item) => item.seq ?? Infinity;
const toEnd = () => { log.scrollTop = log.scrollHeight; };
const place = (item) => {
  items = items.filter((other) => other !== item);
  const next = items.find((other) => last(other) > last(item));
  items.splice(next ? items.indexOf(next) : items.length, 0, item);
  log.insertBefore(item.node, next ? next.node : dots);
  item.node.className = "m " + (item.own ? "own " + item.state : "bot");
  const at = new Date(item.at || Date.now()), day = new Date() - at > 864e5 && {day: "numeric", month: "short"};
  item.info.textContent = item.state === "bad" ? NOT_SENT
    : at.toLocaleString([], {hour: "2-digit", minute: "2-digit", ...day})
      + (item.own ? {wait: " ○", sent: " ✓"}[item.state] || " ✓✓" : "");
};
const show = (item) => {
  const atEnd = item.own || log.scrollHeight - log.scrollTop - log.clientHeight < 99;
  const body = make("div", "t"), info = make("div", "i");
  for (const part of item.text.split(/(https?:\/\/[^\s<>"']*[^\s<>"'.,:;!?)\]»])/)) {
    body.append(/^https?:\/\//.test(part) ? make("a", "", {href: part, target: "_blank", rel: "noopener"}, part) : part);
  }
  place(Object.assign(item, {info, node: make("div", "", {}, body, info)}));
  if (atEnd) toEnd();
};
const receive = ({seq, author, text, at, client_id: id}) => {
  const own = author === "customer";
  const known = items.find((item) => item.seq === seq || (own && item.id === id));
  if (!known) show({seq, id, text, at, own, state: ""});
  else if (!known.seq) place(Object.assign(known, {seq, at, state: ""}));
  if (own) kept.queue = kept.queue.filter((item) => item.id !== id);
  else typing(false);
  if (!own && !known && panel.hidden && seq > kept.seen) unread += 1;
  look();
};
const look = () => {
  if (!panel.hidden) {
    unread = 0;
    kept.seen = Math.max(kept.seen, ...items.map((item) => item.seq || 0));
  }
  keep();
  badge.hidden = !unread;
  badge.textContent = unread;
};
const typing = (on) => {
  clearTimeout(typingTimer);
  dots.hidden = !on;
  if (!on) return;
  typingTimer = setTimeout(typing, 3e4);
  toEnd();
};
const connected = (yes) => {
  root.classList.toggle("off", !yes);
  status.textContent = yes ? [session?.assistant.title, ONLINE].filter(Boolean).join(" · ") : OFFLINE;
};

// The server: pauses vary, and end when the browser is online again.
const wakers = new Set();
const sleep = (ms) => new Promise((done) => {
  const wake = () => { wakers.delete(wake); done(); };
  wakers.add(wake);
  setTimeout(wake, ms * (0.5 + Math.random()));
});
const call = async (path, body, signal = AbortSignal.timeout(15e3)) => {
  const answer = await fetch(new URL(path, api), {
    method: body ? "POST" : "GET", body: body && JSON.stringify(body), signal, cache: "no-store", credentials: "omit",
    headers: {Authorization: "Bearer " + kept.token, ...(body && {"Content-Type": "application/json"})},
  });
  if (answer.status === 401) begin(session = null);
  return answer;
};
let beginning, sending, living;
const begin = async () => {
  if (session || beginning) return;
  beginning = true;
  for (let pause = 1000; !session; pause = Math.min(pause * 2, 6e4)) {
    const answer = await call("session/", {token: kept.token}).catch(() => 0);
    if ([403, 404].includes(answer.status)) return host.remove();
    if (answer.ok) session = await answer.json().catch(() => null);
    connected(session);
    if (!session) await sleep(pause);
  }
  beginning = false;
  const {assistant, company, color, resumed, token, history} = session;
  if (!resumed) items.forEach((item) => { item.seq &&= 0; });
  Object.assign(kept, {token, seen: resumed ? kept.seen : 0});
  cursor = session.cursor;
  title.textContent = [assistant.name, company].filter(Boolean).join(" · ");
  face.textContent = (assistant.name || company)[0];
  input.maxLength = session.max_length;
  if (color) host.style.setProperty("--a", color);
  if (assistant.greeting && !items.length) show({seq: 0, text: assistant.greeting, at: history[0]?.at});
  history.forEach(receive);
  for (const {id, text} of kept.queue) if (!items.some((item) => item.id === id)) show({id, text, own: true, state: "wait"});
  look();
  flush();
  live();
};
const flush = async () => {  // in order; repeated, an id counts once
  if (sending) return;
  sending = true;
  for (let pause = 1000; session && kept.queue.length; pause = Math.min(pause * 2, 3e4)) {
    const {id, text} = kept.queue[0], item = items.find((shown) => shown.id === id);
    const answer = await call("messages/", {client_id: id, text, page: location.href}).catch(() => 0);
    connected(answer);
    if (answer.ok || answer.status === 400) {
      pause = 500;
      kept.queue = kept.queue.filter((other) => other.id !== id);
      keep();
      if (item.seq === undefined) place(Object.assign(item, {state: answer.ok ? "sent" : "bad"}));
    } else await sleep(answer && answer.headers.get("Retry-After") * 1000 || pause);
  }
  sending = false;
};
const stream = async () => {  // true where it worked until it ended
  const gone = new AbortController();
  let ready = false, rest = "", timer;
  const patience = (ms) => { clearTimeout(timer); timer = setTimeout(() => gone.abort(), ms); };
  patience(8e3);
  try {
    const answer = await call("events/?after=" + cursor, null, gone.signal);
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let part; answer.ok && !(part = await reader.read()).done;) {
      const events = (rest + part.value).split("\n\n");
      rest = events.pop();
      for (const lines of events) {
        const {event, id, data} = Object.fromEntries(lines.split("\n").map((line) => line.split(/: (.*)/s)));
        if (event === "ready") connected(ready = true);
        if (event === "typing") typing(true);
        if (event === "message") { cursor = Math.max(cursor, id); receive(JSON.parse(data)); }
      }
      if (ready) patience(4e4);
    }
  } catch {}
  clearTimeout(timer);
  return ready;
};
const poll = async () => {
  const answer = await call("messages/?after=" + cursor).catch(() => 0);
  const news = answer.ok && await answer.json().catch(() => null);
  connected(news);
  if (news) { cursor = news.cursor; news.messages.forEach(receive); }
};
const live = async () => {
  if (living) return;
  living = true;
  for (let failed = 0; host.isConnected;) {
    if (session && await stream()) { failed = 0; await sleep(800); continue; }
    const again = Date.now() + 2000 * 2 ** Math.min(++failed, 5);
    do { if (session) await poll(); await sleep(3000); } while (Date.now() < again);
  }
};

const open = () => {
  launch.hidden = true;
  panel.hidden = false;
  begin();
  look();
  toEnd();
};
const shut = () => {
  panel.hidden = true;
  launch.hidden = false;
  launch.focus();
};
const grow = () => {
  send.disabled = !input.value.trim();
  input.style.height = "36px";
  input.style.height = input.scrollHeight + "px";
};
launch.onclick = () => { open(); input.focus(); };
close.onclick = shut;
panel.onkeydown = (event) => { if (event.key === "Escape" && !target) shut(); };
input.onkeydown = (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); form.requestSubmit(); }
};
input.oninput = () => {
  grow();
  if (!items.at(-1)?.own || Date.now() - saidTyping < 1000) return;
  saidTyping = Date.now();
  call("typing/", {}).catch(() => 0);
};
form.onsubmit = (event) => {
  event.preventDefault();
  const text = input.value.trim(), id = URL.createObjectURL(new Blob()).slice(-36);  // a UUID, on plain HTTP too
  if (!text) return;
  input.value = "";
  grow();
  kept.queue.push({id, text});
  keep();
  show({id, text, own: true, state: "wait"});
  flush();
};
addEventListener("online", () => wakers.forEach((wake) => wake()));
window.Saudager = {open, close: shut};
const start = () => {
  (document.querySelector(target || "body") || document.body).append(host);
  root.classList.toggle("inline", !!target);
  if (target) open(); else if (kept.token) begin();
};
if (document.body) start(); else addEventListener("DOMContentLoaded", start);
})();
