"use strict";
// Updates a page in place. When the server reports a change (server-sent events), the page is fetched again and only what
// differs in <main> is replaced: focus, selection, scroll positions and open details are kept. Without events it is
// fetched every few seconds. Without this script a page shows the state at the time it was loaded.
(() => {
  const POLL_MS = 10_000;
  const AT_MOST_EVERY_MS = 1_000;
  const GIVE_UP_MS = 8_000;
  const main = document.getElementById("main");
  if (!main || !main.hasAttribute("data-live")) return;

  // Messages

  const lost = document.createElement("p");
  lost.className = "banner lost";
  lost.setAttribute("role", "alert");
  const spoken = document.createElement("p");
  spoken.className = "hidden";
  spoken.setAttribute("role", "status");
  main.before(lost, spoken);
  lost.hidden = true;
  let updated = new Date();
  const headline = () => main.querySelector("h1")?.textContent.trim() ?? "";

  const showLost = () => {
    const at = updated.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
    lost.textContent = `No connection to alertbot. This page was last updated at ${at}.`;
    lost.hidden = false;
  };

  // What differs

  const same = (before, after) =>
    before.nodeType === after.nodeType && before.nodeName === after.nodeName && before.id === after.id;

  const replace = (before, after) => {
    if (before.isEqualNode(after)) return;
    if (before.nodeType !== Node.ELEMENT_NODE) { before.data = after.data; return; }
    for (const { name } of [...before.attributes]) {
      if (!after.hasAttribute(name) && !(name === "open" && before.nodeName === "DETAILS")) before.removeAttribute(name);
    }
    for (const { name, value } of after.attributes) {
      if (before.getAttribute(name) !== value) before.setAttribute(name, value);
    }
    if (before !== document.activeElement || before.nodeName !== "INPUT") replaceChildren(before, after);
  };

  // Rows have keys: a row that moves keeps its element, and with it the focus.
  const replaceChildren = (before, after) => {
    const keyed = new Map();
    for (const child of before.children) {
      if (child.dataset.key) keyed.set(child.dataset.key, child);
    }
    let here = before.firstChild;
    for (const child of [...after.childNodes]) {
      const key = child.dataset?.key;
      const known = key ? keyed.get(key) : here && !here.dataset?.key && same(here, child) ? here : null;
      if (!known || !same(known, child)) { before.insertBefore(child, here); continue; }
      if (known === here) here = here.nextSibling;
      else before.insertBefore(known, here);
      replace(known, child);
    }
    while (here) {
      const next = here.nextSibling;
      here.remove();
      here = next;
    }
  };

  // Loading

  let loading = false;
  let again = false;
  let timer = 0;

  const load = async () => {
    const response = await fetch(location.href, {
      credentials: "same-origin", cache: "no-store", signal: AbortSignal.timeout(GIVE_UP_MS),
    });
    if (response.redirected) { location.reload(); return; } // the login has ended
    const fresh = new DOMParser().parseFromString(await response.text(), "text/html");
    const body = fresh.getElementById("main");
    if (!body) throw new Error("not a page");
    const before = headline();
    replaceChildren(main, body);
    main.toggleAttribute("data-live", true);
    if (document.title !== fresh.title) document.title = fresh.title;
    updated = new Date();
    lost.hidden = true;
    if (headline() !== before) spoken.textContent = headline();
  };

  const update = async () => {
    if (loading || document.hidden) { again = true; return; }
    loading = true;
    again = false;
    try { await load(); } catch { showLost(); }
    await new Promise((done) => setTimeout(done, AT_MOST_EVERY_MS));
    loading = false;
    if (again) update();
  };

  // When

  const poll = () => { timer ||= setInterval(update, POLL_MS); };
  const rest = () => { clearInterval(timer); timer = 0; };

  const listen = () => {
    const events = new EventSource("/events");
    events.addEventListener("open", () => { rest(); update(); });
    events.addEventListener("changed", update);
    events.addEventListener("error", () => {
      poll();
      // Refused, as when too many pages are open: the browser does not try again by itself.
      if (events.readyState === EventSource.CLOSED) setTimeout(listen, 60_000);
    });
  };

  document.addEventListener("visibilitychange", () => { if (!document.hidden && again) update(); });
  if ("EventSource" in window) listen(); else poll();
})();
