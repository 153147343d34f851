// Draws /openapi.json as a page to read and to try. Text is only ever set as text; nothing is loaded from elsewhere.
"use strict";

const METHODS = ["get", "post", "put", "patch", "delete"];
const $ = (id) => document.getElementById(id);

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

const table = (heads, rows) =>
  element("table", {}, element("thead", {}, element("tr", {}, ...heads.map((head) => element("th", {}, head)))), element("tbody", {}, ...rows));

const row = (...cells) => element("tr", {}, ...cells.map((cell) => element("td", {}, cell)));

function resolved(api, schema) {
  const name = schema && schema.$ref && schema.$ref.split("/").pop();
  return name ? api.components.schemas[name] || api.components.responses[name] : schema || {};
}

/** What a schema allows, in a few words. */
function kind(api, schema) {
  if (schema.$ref) return schema.$ref.split("/").pop();
  const either = schema.anyOf || schema.oneOf;
  if (either) return either.map((one) => kind(api, one)).join(" or ");
  if (schema.enum) return schema.enum.join(" | ");
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.type === "array") return `list of ${kind(api, schema.items || {})}`;
  const bounds = [];
  if (schema.maximum !== undefined) bounds.push(`${schema.minimum ?? ""} to ${schema.maximum}`);
  else if (schema.minimum !== undefined) bounds.push(`at least ${schema.minimum}`);
  if (schema.maxLength !== undefined) bounds.push(`${schema.minLength ?? 0} to ${schema.maxLength} characters`);
  return [schema.format || schema.type || "anything", ...bounds].join(", ");
}

function members(api, schema, seen = new Set()) {
  const found = resolved(api, schema);
  const title = schema.$ref || "";
  if (seen.has(title)) return [];
  const next = new Set(seen).add(title);
  return Object.entries(found.properties || {}).flatMap(([name, one]) => {
    const needed = (found.required || []).includes(name) ? "" : " (optional)";
    const inner = (one.anyOf || [one.items || one]).flatMap((part) => members(api, part, next)).map(([path, ...rest]) => [`${name}.${path}`, ...rest]);
    return [[name, kind(api, one) + needed, one.description || ""], ...inner];
  });
}

function shape(api, schema) {
  const rows = members(api, schema).map(([name, type, text]) => row(element("code", {}, name), type, text));
  return rows.length ? table(["Member", "Type", ""], rows) : element("p", { class: "quiet" }, "Nothing.");
}

function parameters(operation) {
  return operation.parameters.map((one) => {
    const input = element("input", { "data-name": one.name, "data-in": one.in, "aria-label": one.name });
    if (one.name === "Idempotency-Key") input.value = crypto.randomUUID ? crypto.randomUUID() : String(Math.random()).slice(2);
    const needed = one.required ? "" : " (optional)";
    return row(element("code", {}, one.name), `${one.in}${needed}`, one.description || one.schema.description || "", input);
  });
}

async function send(path, method, box, output) {
  const query = new URLSearchParams();
  const headers = {};
  let target = path;
  for (const input of box.querySelectorAll("input[data-name]")) {
    const { name, in: place } = input.dataset;
    if (place === "path") target = target.replace(`{${name}}`, encodeURIComponent(input.value));
    else if (input.value && place === "query") query.set(name, input.value);
    else if (input.value) headers[name] = input.value;
  }
  const body = box.querySelector("textarea");
  if (body && body.value.trim()) headers["Content-Type"] = "application/json";
  if ($("token").value) headers.Authorization = `Bearer ${$("token").value.trim()}`;
  output.textContent = "…";
  try {
    const answer = await fetch(query.size ? `${target}?${query}` : target, { method: method.toUpperCase(), headers, body: headers["Content-Type"] && body.value });
    const text = await answer.text();
    const shown = ["etag", "location", "idempotent-replayed", "retry-after", "x-request-id"].filter((name) => answer.headers.has(name));
    const pretty = (answer.headers.get("content-type") || "").includes("json") && text ? JSON.stringify(JSON.parse(text), null, 2) : text;
    output.textContent = [`${answer.status} ${answer.statusText}`, ...shown.map((name) => `${name}: ${answer.headers.get(name)}`), "", pretty].join("\n");
  } catch (error) {
    output.textContent = String(error);
  }
}

function responses(api, operation) {
  return Object.entries(operation.responses).map(([status, given]) => {
    const answer = given.$ref ? resolved(api, given) : given;
    const media = Object.values(answer.content || {})[0];
    const reasons = given.$ref ? given.$ref.split("/").pop().split(".").slice(1) : [];
    const what = element("div", {}, answer.description);
    for (const reason of reasons) what.append(" ", element("a", { href: `#${reason}` }, reason));
    return row(element("code", {}, status), reasons.length || !media ? what : element("div", {}, what, shape(api, media.schema || {})));
  });
}

function drawn(api, path, method, operation) {
  const box = element("div", {}, element("p", {}, operation.description || ""));
  if (operation.parameters && operation.parameters.length) box.append(element("h3", {}, "Parameters"), table(["Name", "Where", "", "Value"], parameters(operation)));
  const content = operation.requestBody && operation.requestBody.content["application/json"];
  if (content) {
    const example = (resolved(api, content.schema).examples || [{}])[0];
    const text = element("textarea", { "aria-label": "body", spellcheck: "false" });
    text.value = JSON.stringify(example, null, 2);
    box.append(element("h3", {}, "Body"), shape(api, content.schema), text);
  }
  const output = element("pre", { hidden: "" });
  const button = element("button", { type: "button" }, "Send");
  button.addEventListener("click", () => { output.hidden = false; send(path, method, box, output); });
  box.append(button, output, element("h3", {}, "Answers"), table(["Status", ""], responses(api, operation)));
  return box;
}

function route(api, path, method, operation) {
  const role = (operation.description || "").match(/Takes the role (\w+)\./);
  const head = element("summary", {}, element("b", { class: `method ${method}` }, method.toUpperCase()), element("code", {}, path.replace("/api/v1", "")));
  if (role) head.append(element("i", { class: "role" }, role[1]));
  head.append(element("span", {}, operation.summary));
  const box = element("details", { id: operation.operationId }, head);
  box.addEventListener("toggle", () => { if (box.open && box.children.length === 1) box.append(drawn(api, path, method, operation)); });
  box.dataset.words = `${method} ${path} ${operation.summary} ${operation.description}`.toLowerCase();
  return box;
}

function draw(api) {
  $("version").textContent = api.info.version;
  $("introduction").textContent = api.info.description;
  const groups = new Map();
  for (const [path, methods] of Object.entries(api.paths))
    for (const method of METHODS.filter((one) => one in methods)) {
      const tag = methods[method].tags[0];
      if (!groups.has(tag)) groups.set(tag, element("section", {}, element("h2", {}, tag)));
      groups.get(tag).append(route(api, path, method, methods[method]));
    }
  $("routes").replaceChildren(...groups.values());
  const reasons = Object.entries(api.components.schemas.Problem["x-reasons"]);
  const rows = reasons.map(([reason, { status, title }]) => row(String(status), element("code", {}, reason), title));
  rows.forEach((one, index) => { one.id = reasons[index][0]; });
  $("reasons").tBodies[0].replaceChildren(...rows);
  if (location.hash) { const place = $(location.hash.slice(1)); if (place) { if (place.tagName === "DETAILS") place.open = true; location.replace(location.hash); } }
}

$("tools").addEventListener("submit", (event) => event.preventDefault());
$("find").addEventListener("input", () => {
  const words = $("find").value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const box of document.querySelectorAll("#routes details")) box.hidden = !words.every((word) => box.dataset.words.includes(word));
  for (const group of document.querySelectorAll("#routes section")) group.hidden = !group.querySelector("details:not([hidden])");
});
fetch("/openapi.json").then((answer) => answer.json()).then(draw).catch((error) => { $("routes").textContent = `The description could not be loaded: ${error}`; });
