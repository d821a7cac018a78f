/* The checklist waits for news while a case or a liveness check is being looked at: it asks every two seconds, less often after a minute, and shows
   the new page. */
const badge = document.querySelector("[data-case-state]");
const live = document.querySelector("[data-liveness]");
const RUNNING = new Set(["submitted", "checking"]);
const url = badge?.dataset.caseUrl || "/onboarding/status";
let asked = 0;

const waits = (now) => (live ? now.liveness === "pending" : RUNNING.has(now.state));

async function ask() {
  if (document.hidden) return setTimeout(ask, 2000);
  asked += 1;
  try {
    const answer = await fetch(url, { credentials: "same-origin", headers: { Accept: "application/json" } });
    if (answer.ok && !waits(await answer.json())) return location.reload();
  } catch {
    // Away for a moment: asked again.
  }
  return setTimeout(ask, asked < 30 ? 2000 : 10000);
}
if (live?.dataset.liveness === "pending" || (badge && RUNNING.has(badge.dataset.caseState))) setTimeout(ask, 1000);
