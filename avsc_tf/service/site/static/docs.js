"use strict";
// Shows openapi.json: every operation with its parameters, body, answers and a call by curl.

function make(name, text, ...inside) {
  const node = document.createElement(name);
  if (text) node.textContent = text;
  node.append(...inside);
  return node;
}

function find(api, schema) {
  while (schema && schema.$ref) schema = schema.$ref.slice(2).split("/").reduce((tree, key) => tree[key], api);
  return schema || {};
}

function kind(api, schema) {
  const found = find(api, schema);
  if (found.enum) return found.enum.join(" or ");
  if (found.anyOf) return found.anyOf.map((one) => kind(api, one)).filter((one) => one !== "null").join(" or ");
  if (found.type === "array") return `list of ${kind(api, found.items)}`;
  const limits = [found.minimum !== undefined ? `from ${found.minimum}` : "", found.maximum !== undefined ? `to ${found.maximum}` : "",
    found.pattern ? `like ${found.pattern}` : ""];
  return [schema.$ref ? schema.$ref.split("/").pop() : found.format || found.type || "any", ...limits].filter(Boolean).join(" ");
}

function table(rows) { return make("table", "", ...rows.map((cells) => make("tr", "", ...cells.map((cell) => make("td", cell))))); }

function example(api, schema) {
  const found = find(api, schema);
  return found.examples ? found.examples[0] : null;
}

function curl(api, path, method, operation) {
  const parts = ["curl"];
  if (method !== "get") parts.push(`-X ${method.toUpperCase()}`);
  if (api.security) parts.push("-H 'Authorization: Bearer TOKEN'");
  const content = (operation.requestBody || {}).content || {};
  if (content["multipart/form-data"]) parts.push("-F file=@clip.mp4");
  else if (content["application/json"]) parts.push(`-H 'Content-Type: application/json' -d '...'`);
  if (path.endsWith("/events")) parts.push("-N");
  if (path.endsWith("/result")) parts.push("-o converted.mp4");
  parts.push(`'${location.origin}${path}'`);
  return parts.join(" ");
}

function body(api, operation) {
  const content = Object.entries((operation.requestBody || {}).content || {});
  return content.flatMap(([type, { schema }]) => {
    const found = find(api, schema);
    const rows = Object.entries(found.properties || {}).map(([name, one]) =>
      [name + ((found.required || []).includes(name) ? " (needed)" : ""), kind(api, one), one.description || find(api, one).description || ""]);
    return [make("h3", `Body: ${type}`), rows.length ? table(rows) : make("p", kind(api, schema))];
  });
}

function operationNode(api, path, method, operation) {
  const inside = make("div", "", make("p", (operation.description || "").replaceAll("`", "")));
  inside.append(make("pre", curl(api, path, method, operation)));
  if ((operation.parameters || []).length) {
    inside.append(make("h3", "Parameters"), table(operation.parameters.map((one) =>
      [one.name + (one.required ? " (needed)" : ""), `${one.in}: ${kind(api, one.schema)}`, one.description || one.schema.description || ""])));
  }
  inside.append(...body(api, operation), make("h3", "Answers"), table(Object.entries(operation.responses).map(([status, one]) =>
    [status, one.description || "", Object.keys(one.content || {}).join(", ")])));
  for (const one of Object.values(operation.responses)) {
    const shown = example(api, ((one.content || {})["application/json"] || {}).schema || {});
    if (shown) { inside.append(make("h3", "Example"), make("pre", JSON.stringify(shown, null, 2))); break; }
  }
  return make("details", "", make("summary", "", make("code", `${method.toUpperCase()} ${path}`), make("span", operation.summary || "")), inside);
}

async function begin() {
  const api = await (await fetch("/openapi.json")).json();
  document.getElementById("about").replaceChildren(...api.info.description.split("\n\n").map((text) => make("p", text.replaceAll("`", ""))));
  const groups = new Map();
  for (const [path, methods] of Object.entries(api.paths)) {
    for (const [method, operation] of Object.entries(methods)) {
      const group = (operation.tags || ["other"])[0];
      if (!groups.has(group)) groups.set(group, [make("h2", group)]);
      groups.get(group).push(operationNode(api, path, method, operation));
    }
  }
  document.getElementById("operations").replaceChildren(...[...groups.values()].flat());
}
begin();
