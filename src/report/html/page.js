"use strict";
// Without this script everything is there; with it tables sort, and what is in order can be hidden.
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    if (head.classList.contains("fixed")) return;
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === (head.classList.contains("n") ? null : "ascending") || head.getAttribute("aria-sort") === "ascending";
      heads.forEach((h) => h.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const key = (row) => {
        const cell = row.cells[column];
        const raw = cell.dataset.v;
        if (raw === undefined) return cell.textContent;
        return raw === "" ? -Infinity : raw === "inf" || raw === "nan" ? Infinity : Number(raw);
      };
      const order = (a, b) => (typeof key(a) === "number" ? key(a) - key(b) : key(a).localeCompare(key(b)));
      const rows = [...table.tBodies[0].rows].sort(order);
      if (down) rows.reverse();
      table.tBodies[0].append(...rows);
    });
  });
}
for (const table of document.querySelectorAll("table.filterable")) {
  const fine = [...table.tBodies[0].rows].filter((row) => row.dataset.outcome === "ok");
  if (!fine.length || fine.length === table.tBodies[0].rows.length) continue;
  const label = document.createElement("label");
  const box = document.createElement("input");
  label.className = "filter";
  box.type = "checkbox";
  label.append(box, " only what is not ok");
  box.addEventListener("change", () => fine.forEach((row) => { row.hidden = box.checked; }));
  table.parentNode.before(label);
}
const open = () => {
  const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  for (let e = target; e; e = e.parentElement) if (e.tagName === "DETAILS") e.open = true;
  if (target) target.scrollIntoView();
};
addEventListener("hashchange", open);
open();
