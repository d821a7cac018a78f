/* The markets page: live table, search, class filter, sort. */
import { $, $$, on, setText } from "portal/dom";
import { quoteOf, spreadText, startQuotes } from "portal/quotes";
import { arrows, sortable } from "portal/table";

const data = JSON.parse($("#page-data").textContent);
startQuotes(data.quotes);
const table = $("#markets");
sortable(table, (row, name) => {
  if (name === "symbol" || name === "asset_class") return row.dataset[name === "symbol" ? "symbol" : "class"];
  const quote = quoteOf(row.dataset.symbol);
  if (!quote) return "";
  return name === "spread" ? spreadText(quote) : quote[name];
});
arrows(table);

const input = $("#market-filter");
let group = new URLSearchParams(location.search).get("class") || "";
function apply() {
  const words = input.value.trim().toLowerCase();
  let shown = 0;
  for (const row of table.tBodies[0].rows) {
    const hit = (!group || row.dataset.class === group) && (!words || row.dataset.words.includes(words));
    row.hidden = !hit;
    if (hit) shown += 1;
  }
  $("#markets-none").hidden = shown > 0;
  setText($("#markets-count"), `${shown} of ${table.tBodies[0].rows.length}`);
}
on(input, "input", apply);
for (const button of $$("[data-class-filter]")) {
  on(button, "click", (event) => {
    event.preventDefault();
    group = button.dataset.classFilter;
    for (const b of $$("[data-class-filter]")) b.setAttribute("aria-current", String(b === button));
    const url = new URL(location.href);
    if (group) url.searchParams.set("class", group); else url.searchParams.delete("class");
    history.replaceState(null, "", url);
    apply();
  });
}
apply();
