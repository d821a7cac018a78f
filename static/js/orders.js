/* The list of orders, one order, the ledger. Open orders are live on the first page without filters; the rest is paper. */
import { del, own } from "portal/api";
import { Blotter } from "portal/blotter";
import { $, noteFor, on, say } from "portal/dom";
import { connectPrivate } from "portal/socket";

const holder = $("#page-data");
const data = holder ? JSON.parse(holder.textContent) : {};
if (data.account && data.order_id) {
  // One order: it is short, so a change reloads the page rather than patching five places.
  const line = connectPrivate(data.account, {
    order: ({ order }) => { if (order.order_id === data.order_id && (order.seq ?? 0) > (data.seq ?? 0)) location.reload(); },
  });
  line.eid = null;
  const button = $("[data-cancel]");
  on(button, "click", async () => {
    button.disabled = true;
    button.setAttribute("aria-busy", "true");
    try {
      await del(own(`orders/${data.order_id}`));
      say("Order cancelled");
      location.reload();
    } catch (error) {
      $("[data-f=table-note]").replaceChildren(noteFor({ ...error.problem, title: "Not cancelled" }));
      button.disabled = false;
      button.removeAttribute("aria-busy");
    }
  });
} else if (data.account && Array.isArray(data.open)) {
  const blotter = new Blotter(data);
  if (!data.live) {
    // A filtered or older page must not grow rows that do not belong to it; rows on it still change.
    const draw = blotter.drawOrder.bind(blotter);
    blotter.drawOrder = (order) => { if (blotter.open.there && blotter.open.row(order.order_id)) draw(order); };
  }
}
