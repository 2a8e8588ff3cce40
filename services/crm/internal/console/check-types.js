// Checks the types of the console's modules, and of what their templates pass to parts.
// tsc alone doesn't look into html`<${Part} a=${b} />`. So each module is copied with its
// templates, read by htm itself, written as calls, $part(Part, { a: b }), on the same
// lines, and tsc checks the copies: a prop that is unknown, missing or of the wrong type
// is an error.
import { spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import htm from "htm";
import { isNoSubstitutionTemplateLiteral, isTaggedTemplateExpression } from "typescript/unstable/ast";
import { API } from "typescript/unstable/sync";

const root = new URL(".", import.meta.url).pathname;
const copies = join(root, "test-results/types");

/** What a template has in the place of its nth expression, until it is written. */
class Field {
  /** @param {number} n */
  constructor(n) {
    Object.defineProperty(this, "n", { value: n });
    /** @type {any} */ (this)[`...${n}`] = this; // what remains of it where it is spread
  }

  toString() {
    return `\0${/** @type {any} */ (this).n}\0`; // where it is a part of a text
  }
}

/** An element or part of a template. */
class Call {
  /** @param {any} tag @param {Record<string, any> | null} props @param {any[]} children */
  constructor(tag, props, ...children) {
    Object.assign(this, { tag, props: props ?? {}, children });
  }
}

const parse = htm.bind((/** @type {any} */ tag, /** @type {any} */ props, /** @type {any[]} */ ...children) => new Call(tag, props, ...children));

/**
 * The text of a module with its templates as calls.
 * @param {string} text
 * @param {any} file its syntax tree
 */
function rewrite(text, file) {
  let out = "";
  /** @type {any[]} */
  const templates = [];
  const visit = (/** @type {any} */ node) => {
    if (isTaggedTemplateExpression(node) && text.slice(node.tag.end - 4, node.tag.end) === "html") templates.push(node);
    node.forEachChild(visit);
  };
  visit(file);

  const lines = (/** @type {string} */ s) => s.split("\n").length;

  /** Copies a piece of the module. @param {number} from @param {number} to */
  function copy(from, to) {
    const inner = templates.filter((t) => t.pos >= from && t.end <= to && !templates.some((o) => o !== t && o.pos >= from && o.end <= to && o.pos <= t.pos && o.end >= t.end));
    for (const t of inner) {
      out += text.slice(from, t.tag.end - 4);
      write(t);
      from = t.end;
    }
    out += text.slice(from, to);
  }

  /** Writes a template as calls. @param {any} node */
  function write(node) {
    const spans = isNoSubstitutionTemplateLiteral(node.template) ? [] : node.template.templateSpans;
    const parts = [isNoSubstitutionTemplateLiteral(node.template) ? node.template : node.template.head, ...spans.map((/** @type {any} */ s) => s.literal)];
    const made = parse(/** @type {any} */ (parts.map((p) => p.text)), ...spans.map((/** @type {any} */ _, /** @type {number} */ i) => new Field(i)));
    const expression = (/** @type {number} */ n) => {
      const { pos, end } = spans[n].expression;
      out += "\n".repeat(Math.max(0, lines(text.slice(0, pos)) - lines(out))) + "(";
      copy(pos, end);
      out += ")";
    };
    const value = (/** @type {any} */ v) => {
      if (v instanceof Field) return expression(/** @type {any} */ (v).n);
      if (v instanceof Call) return call(/** @type {any} */ (v));
      if (Array.isArray(v)) return list(v);
      if (typeof v !== "string" || !v.includes("\0")) return void (out += JSON.stringify(v));
      v.split("\0").forEach((piece, i) => {
        if (i > 0) out += " + ";
        if (i % 2) expression(Number(piece));
        else out += JSON.stringify(piece);
      });
    };
    const list = (/** @type {any[]} */ values) => {
      out += "[";
      for (const v of values) (value(v), (out += ", "));
      out += "]";
    };
    const call = (/** @type {{tag: any, props: Record<string, any>, children: any[]}} */ { tag, props, children }) => {
      out += tag instanceof Field ? "$part(" : "$element(";
      value(tag);
      out += ", { ";
      for (const [name, v] of Object.entries(props)) {
        out += name.startsWith("...") ? "..." : `${JSON.stringify(name)}: `;
        value(v);
        out += ", ";
      }
      if (children.length > 0) {
        out += "children: ";
        value(children.length === 1 ? children[0] : children);
      }
      out += " })";
    };
    value(made);
    out += "\n".repeat(Math.max(0, lines(text.slice(0, node.end)) - lines(out)));
  }

  copy(0, text.length);
  return out;
}

const declarations = `
type Own = { key?: unknown, ref?: unknown };
type PropsOf<F extends (props: any) => any> = 0 extends 1 & F ? any : Parameters<F> extends [] ? Own : Parameters<F>[0] & Own;
declare function $part<F extends (props: any) => any>(part: F, props: PropsOf<F>): any;
declare function $element(name: string, props: Record<string, any>): any;
`;

// What must be found, to show that it would be.
const control = `
/** @param {{title: string, open?: boolean, children: any}} props */
const Part = ({ title, open, children }) => html\`<p>\${title}\${open}\${children}</p>\`;
html\`<\${Part} title="t">text<//>\`;
html\`<p>
  <\${Part} title="t" opne>text<//></p>\`; // 6: unknown
html\`<\${Part} open>text<//>\`; // 7: missing
html\`<\${Part} title=\${7}>text<//>\`; // 8: of another type
html\`<\${Part} title="t" />\`; // 9: no children
`;
const wrong = [6, 7, 8, 9];

/** @param {string} name @param {string} text */
function put(name, text) {
  mkdirSync(dirname(join(copies, name)), { recursive: true });
  writeFileSync(join(copies, name), text);
}

rmSync(copies, { recursive: true, force: true });
const { include, exclude, ...config } = JSON.parse(readFileSync(join(root, "tsconfig.json"), "utf8"));
put("tsconfig.json", JSON.stringify({ compilerOptions: { ...config.compilerOptions, rootDirs: [".", "../.."] }, include: ["page/**/*.js", "*.ts"] }));
put("calls.d.ts", declarations);
put("page/control.js", `import { html } from "./html.js";${control}`);
const modules = readdirSync(join(root, "page"), { recursive: true, encoding: "utf8" }).filter((f) => f.endsWith(".js") && !f.startsWith("lib/"));
for (const name of modules) put(`page/${name}`, readFileSync(join(root, "page", name), "utf8"));

const api = new API({ cwd: copies });
const project = api.updateSnapshot({ openProjects: [join(copies, "tsconfig.json")] }).getProjects()[0];
for (const name of [...modules, "control.js"]) {
  const file = join(copies, "page", name);
  const text = readFileSync(file, "utf8");
  put(`page/${name}`, rewrite(text, project.program.getSourceFile(file)));
}
api.close();

const checked = spawnSync("npx", ["tsc", "--pretty", "false", "-p", copies], { cwd: copies, encoding: "utf8" });
const found = checked.stdout.trim().split(/\n(?! )/).filter(Boolean); // what follows, indented, explains
const ofControl = new Set(found.filter((e) => e.startsWith("page/control.js")).map((e) => Number(/\((\d+),/.exec(e)?.[1])));
const errors = found.filter((e) => !e.startsWith("page/control.js"));
if (String([...ofControl].sort((a, b) => a - b)) !== String(wrong)) errors.push(`of the control, lines ${wrong} are wrong; found were ${[...ofControl]}`);
if (checked.error) errors.push(String(checked.error));
console.log(errors.join("\n") || `The types of ${modules.length} modules and their templates are right.`);
process.exitCode = errors.length > 0 ? 1 : 0;
