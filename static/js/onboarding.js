/* The checklist waits for news while a case is being checked: it asks every two seconds, less often after a minute, and shows the new page. */
const badge = document.querySelector("[data-case-state]");
const RUNNING = new Set(["submitted", "checking"]);
let asked = 0;

async function ask() {
  if (document.hidden) return setTimeout(ask, 2000);
  asked += 1;
  try {
    const answer = await fetch("/onboarding/status", { credentials: "same-origin", headers: { Accept: "application/json" } });
    if (answer.ok) {
      const now = await answer.json();
      if (!RUNNING.has(now.state)) return location.reload();
    }
  } catch {
    // Away for a moment: asked again.
  }
  return setTimeout(ask, asked < 30 ? 2000 : 10000);
}
if (badge && RUNNING.has(badge.dataset.caseState)) setTimeout(ask, 1000);
