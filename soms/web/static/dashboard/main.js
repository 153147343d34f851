// The page: somebody signs in and sees the board, until they sign out or the session ends.
import { $ } from "./dom.js";
import { setZone } from "./format.js";
import { History } from "./history.js";
import { Lists } from "./lists.js";
import { Live } from "./live.js";
import { renewed, signIn, signOut, whenEnded } from "./session.js";

const REFUSALS = {
  invalid_credentials: "No account has this e-mail and this password.",
  forbidden: "The dashboard is for staff; this account is a customer's.",
  rate_limited: "Too many attempts. Try again in a few minutes.",
  validation_failed: "This is not an e-mail address and a password.",
};
const AWAY = "SOMS cannot be reached right now. Try again in a moment.";
const RETRY_MILLISECONDS = 3_000;
let board = [];

function entrance(word = "") {
  for (const part of board) part.close();
  const was = board.length;
  board = [];
  if (was) { location.reload(); return; } // nothing of one session may be left for the next
  $("refusal").textContent = word;
  if (!$("entrance").hidden) return;
  $("entrance").hidden = false;
  document.title = "SOMS: sign in";
  $("sign-in").elements.email.focus();
}

function enter(session) {
  setZone(session.time_zone);
  $("zone").textContent = session.time_zone;
  $("person").textContent = session.email;
  $("entrance").hidden = true;
  $("board").hidden = false;
  document.title = "SOMS: dashboard";
  const lists = new Lists();
  board = [new Live((figures) => lists.changed(figures)), new History(), lists];
  for (const part of board) part.open();
}

$("sign-in").addEventListener("submit", async (event) => {
  event.preventDefault();
  const { email, password } = event.target.elements;
  const button = event.target.querySelector("button");
  button.disabled = true;
  $("refusal").textContent = "";
  try {
    const session = await signIn(email.value, password.value);
    password.value = "";
    enter(session);
    $("figures").focus({ preventScroll: true });
  } catch (error) {
    $("refusal").textContent = REFUSALS[error.reason] || AWAY;
    password.select();
  } finally {
    button.disabled = false;
  }
});
$("sign-out").addEventListener("click", signOut);
whenEnded(() => entrance());

async function begin() {
  try {
    const session = await renewed();
    if (board.length) return;
    if (session) enter(session); else entrance();
  } catch {
    entrance(AWAY);
    setTimeout(begin, RETRY_MILLISECONDS);
  }
}

begin();
