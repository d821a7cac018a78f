/* Sorting and filtering of tables whose rows are on the page. Rows are moved, never made again. */
import { $$, on } from "portal/dom";
import { cmp, parse } from "portal/decimal";

const collator = new Intl.Collator("en", { numeric: true });
function compare(a, b) {
  const x = parse(a);
  const y = parse(b);
  if (x && y) return cmp(x, y);
  // A value that is not known stays last, whatever the direction.
  if (x || y) return x ? -1 : 1;
  return collator.compare(a, b);
}
/** Buttons in th[data-sort] sort by the row's value of that name: value(row, name) → text. */
export function sortable(table, value) {
  const body = table.tBodies[0];
  const heads = $$("th[data-sort]", table);
  function sort(head, dir) {
    for (const other of heads) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", dir > 0 ? "ascending" : "descending");
    const name = head.dataset.sort;
    const rows = [...body.rows].map((row) => [value(row, name) ?? "", row]);
    rows.sort(([a], [b]) => {
      if ((a === "") !== (b === "")) return a === "" ? 1 : -1;
      return dir * compare(a, b);
    });
    body.append(...rows.map(([, row]) => row));
  }
  for (const head of heads) {
    on(head.querySelector("button"), "click", () => {
      const now = head.getAttribute("aria-sort");
      const first = head.dataset.first === "desc" ? -1 : 1;
      sort(head, now === "ascending" ? -1 : now === "descending" ? 1 : first);
    });
  }
}
/** Up and down move between rows; Enter opens the row's link. */
export function arrows(table) {
  on(table, "keydown", (event) => {
    if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
    const row = event.target.closest("tbody tr");
    if (!row || event.target.matches("input, select")) return;
    let next = row;
    do next = event.key === "ArrowDown" ? next.nextElementSibling : next.previousElementSibling; while (next?.hidden);
    const focus = next?.querySelector("a, button");
    if (focus) { event.preventDefault(); focus.focus(); }
  });
}
