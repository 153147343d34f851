// Who is signed in. The refresh token is in a cookie that no script sees; the access token is in this module's memory alone.
const SESSION = "/dashboard/session";
const EARLY_SECONDS = 60;
const WAIT_MILLISECONDS = 15_000;
const RETRY_MILLISECONDS = 5_000;

let session = null;
let renewing = null;
let timer = 0;
let ended = () => {};

/** Calls `listener` when the session is over. */
export const whenEnded = (listener) => { ended = listener; };

export class Refusal extends Error {
  constructor(status, problem) {
    super(problem.detail || `status ${status}`);
    this.status = status;
    this.reason = problem.reason;
    this.told = { 403: "Your role may not see this.", 429: "Too many requests; a moment, please.", 503: "These figures are not available right now." }[status];
  }
}

async function request(path, options = {}) {
  const answer = await fetch(path, { credentials: "same-origin", signal: AbortSignal.timeout(WAIT_MILLISECONDS), ...options });
  if (answer.status === 204) return null;
  const body = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Refusal(answer.status, body);
  return body;
}

function begin(found) {
  session = found;
  clearTimeout(timer);
  timer = setTimeout(() => renewed().catch(() => {}), Math.max(5, found.expires_in - EARLY_SECONDS) * 1000);
  return found;
}

export async function signIn(email, password) {
  return begin(await request(SESSION, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ email, password }) }));
}

/** A fresh session, of the cookie; null without one. Asked twice at once, it is asked for once. */
export function renewed() {
  renewing ||= request(SESSION, { method: "PUT" })
    .then((found) => {
      if (found) return begin(found);
      if (session) over();
      return null;
    })
    .catch((error) => {
      clearTimeout(timer);
      if (session) timer = setTimeout(() => renewed().catch(() => {}), RETRY_MILLISECONDS);
      throw error;
    })
    .finally(() => { renewing = null; });
  return renewing;
}

function over() {
  session = null;
  clearTimeout(timer);
  ended();
}

export async function signOut() {
  await request(SESSION, { method: "DELETE" }).catch(() => {});
  over();
}

/** The JSON below /api/v1; a token that has ended is renewed once. */
export async function get(path, query = {}) {
  const asked = new URLSearchParams(Object.entries(query).filter(([, value]) => value !== undefined));
  const target = `/api/v1${path}${asked.size ? `?${asked}` : ""}`;
  const ask = () => request(target, { headers: { Authorization: `Bearer ${session?.access_token}` } });
  try {
    return await ask();
  } catch (error) {
    if (error.status !== 401 || !(await renewed())) throw error;
    return ask();
  }
}
