/* The editor of a message template: the preview follows what is typed. */
document.addEventListener("DOMContentLoaded", () => {
  "use strict";

  const box = document.getElementById("template-preview");
  const form = box && box.closest("form");
  if (!form) return;
  const text = box.querySelector("[data-text]"), error = box.querySelector("[data-error]");
  const token = form.querySelector("[name=csrfmiddlewaretoken]").value;
  let waiting = 0, asked = 0;

  async function renew() {
    const fields = new URLSearchParams(new FormData(form));
    /* What the provider has approved cannot be typed, so the form does not hold it. */
    if (!fields.has("body")) fields.set("body", box.dataset.body);
    fields.delete("csrfmiddlewaretoken");
    const number = ++asked;
    try {
      const response = await fetch(box.dataset.address, {
        method: "POST", credentials: "same-origin", headers: { "X-CSRFToken": token }, body: fields,
      });
      const told = await response.json();
      if (number !== asked) return;
      error.hidden = !told.error;
      error.textContent = told.error || "";
      if (!told.error) text.textContent = told.text;
    } catch {
      /* Signed out or offline: the last preview stays, and saving says what is wrong. */
    }
  }

  form.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(renew, 300);
  });
});
