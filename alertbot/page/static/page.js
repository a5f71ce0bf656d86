"use strict";
// Updates the page in place: loads it again every few seconds, and replaces what is in <main>.
(() => {
  const EVERY = 10_000;
  const main = document.getElementById("main");
  if (!main || !main.hasAttribute("data-live")) return;
  const update = async () => {
    if (document.hidden || main.contains(document.activeElement) && document.activeElement !== main) return;
    const response = await fetch(location.href, { credentials: "same-origin", cache: "no-store" });
    if (response.redirected) { location.reload(); return; }
    if (!response.ok) return;
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    const fresh = page.getElementById("main");
    if (fresh) main.replaceChildren(...fresh.childNodes);
  };
  setInterval(() => update().catch(() => {}), EVERY);
})();
