/* Small things of every page: copying an address, and numbers that renew themselves. */
(() => {
  "use strict";

  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    const icon = button.querySelector(".material-symbols-outlined");
    try {
      await navigator.clipboard.writeText(button.dataset.copy);
      icon.textContent = "check";
    } catch {
      /* Without https the browser keeps its clipboard: select the text, so that Ctrl+C takes it. */
      const range = document.createRange();
      range.selectNodeContents(button.parentElement.querySelector("code"));
      window.getSelection().removeAllRanges();
      window.getSelection().addRange(range);
      icon.textContent = "select_all";
    }
    setTimeout(() => { icon.textContent = "content_copy"; }, 2000);
  });

  document.addEventListener("submit", (event) => {
    const asked = event.submitter?.dataset.confirm;
    if (asked && !window.confirm(asked)) event.preventDefault();
  });

  document.addEventListener("DOMContentLoaded", () => {
    const board = document.querySelector("[data-refresh]");
    if (!board) return;
    let asking = false, shown = "";
    setInterval(async () => {
      if (asking || document.hidden) return;
      asking = true;
      try {
        const response = await fetch(board.dataset.refresh, { credentials: "same-origin" });
        if (response.ok && !response.redirected) {
          const { html } = await response.json();
          if (html !== shown) {
            const holder = document.createElement("template");
            holder.innerHTML = html;
            board.replaceChildren(holder.content);
            shown = html;
          }
          delete board.dataset.stale;
        }
      } catch {
        board.dataset.stale = "1";
      } finally {
        asking = false;
      }
    }, Number(board.dataset.every) * 1000);
  });
})();
