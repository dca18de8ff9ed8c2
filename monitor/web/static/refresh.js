// Keeps an open page fresh: fetches the same address and swaps the content, unless somebody is working in it.
// Without this script the page is complete; it only does not refresh by itself.
"use strict";
(() => {
  const seconds = Number(document.body.dataset.refreshS);
  const lost = document.querySelector(".lost");

  const busy = () => {
    const field = document.activeElement;
    const typing = field && ["INPUT", "SELECT", "TEXTAREA"].includes(field.tagName);
    const selecting = !document.getSelection().isCollapsed;
    return document.hidden || typing || selecting || document.querySelector("main details[open]") !== null;
  };

  const refresh = async () => {
    if (busy()) return;
    try {
      const response = await fetch(location.href, { headers: { Accept: "text/html" } });
      if (response.status === 401) {
        location.reload();
        return;
      }
      if (response.status >= 500) throw new Error(String(response.status));
      if (!response.ok) return;
      const fresh = new DOMParser().parseFromString(await response.text(), "text/html");
      if (busy()) return;
      const focused = document.activeElement && document.activeElement.getAttribute("href");
      document.querySelector("main").replaceWith(fresh.querySelector("main"));
      const again = focused && document.querySelector(`main a[href="${CSS.escape(focused)}"]`);
      if (again) again.focus({ preventScroll: true });
      lost.hidden = true;
    } catch {
      lost.hidden = false;
    }
  };

  if (seconds > 0) setInterval(refresh, seconds * 1000);
})();
