/** Rules as TOML: one block is taken out and put back, the others stay as they are. */
import type { Rule } from "../api/types";

const START = /^\[\[rule\]\][^\n]*$/m;

function escaped(text: string): string {
  return [...text]
    .map((one) => {
      const code = one.codePointAt(0) ?? 0;
      if (one === '"' || one === "\\") return `\\${one}`;
      const isControl = (code < 32 && one !== "\n") || code === 127;
      return isControl ? `\\u${code.toString(16).padStart(4, "0")}` : one;
    })
    .join("");
}

/** Several lines where the text has them, so that a change shows as lines. */
function quoted(text: string): string {
  return text.includes("\n") ? `"""\n${escaped(text)}"""` : `"${escaped(text)}"`;
}

export function blockOf(rule: Rule): string {
  return [
    "[[rule]]",
    `id = ${quoted(rule.id)}`,
    `name = ${quoted(rule.name)}`,
    `when = ${quoted(rule.when)}`,
    `action = ${quoted(rule.action)}`,
    `reason_code = ${quoted(rule.reason_code)}`,
    `priority = ${rule.priority}`,
    `status = ${quoted(rule.status)}`,
    "",
  ].join("\n");
}

function blocksOf(text: string): [string, string[]] {
  const [head = "", ...rest] = text.split(new RegExp(START, "gm"));
  return [head, rest.map((body) => `[[rule]]${body}`)];
}

function idIn(block: string): string | undefined {
  return /^id\s*=\s*["']([^"']*)["']/m.exec(block)?.[1];
}

export function blockIn(text: string, id: string): string {
  return blocksOf(text)[1].find((block) => idIn(block) === id) ?? "";
}

/** The text with this rule changed, or added at its end. */
export function withRule(text: string, rule: Rule): string {
  const [head, blocks] = blocksOf(text);
  const at = blocks.findIndex((block) => idIn(block) === rule.id);
  const block = blockOf(rule);
  if (at < 0) return `${text.trimEnd()}\n\n${block}`.trimStart();
  const isLast = at === blocks.length - 1;
  return head + blocks.with(at, isLast ? block : `${block}\n`).join("");
}

export interface Changed {
  sign: " " | "+" | "-";
  text: string;
}

/** Lines that went and came: the longest common subsequence of two short texts. */
export function changesOf(before: string, after: string): Changed[] {
  const a = before.trimEnd().split("\n");
  const b = after.trimEnd().split("\n");
  const common = Array.from({ length: a.length + 1 }, () =>
    new Array<number>(b.length + 1).fill(0),
  );
  const at = (i: number, j: number) => common[i]?.[j] ?? 0;
  for (let i = a.length - 1; i >= 0; i -= 1) {
    for (let j = b.length - 1; j >= 0; j -= 1) {
      const row = common[i];
      if (row) row[j] = a[i] === b[j] ? at(i + 1, j + 1) + 1 : Math.max(at(i + 1, j), at(i, j + 1));
    }
  }
  const found: Changed[] = [];
  let i = 0;
  let j = 0;
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && a[i] === b[j]) {
      found.push({ sign: " ", text: a[i] ?? "" });
      i += 1;
      j += 1;
    } else if (j >= b.length || (i < a.length && at(i + 1, j) >= at(i, j + 1))) {
      found.push({ sign: "-", text: a[i] ?? "" });
      i += 1;
    } else {
      found.push({ sign: "+", text: b[j] ?? "" });
      j += 1;
    }
  }
  return found;
}

/** A unified diff, as the server keeps it with a proposal. */
export function changesIn(diff: string): Changed[] {
  return diff
    .split("\n")
    .filter((line) => line !== "" && !/^(---|\+\+\+|@@)/.test(line))
    .map((line) => {
      const sign = line.startsWith("+") ? "+" : line.startsWith("-") ? "-" : " ";
      return { sign, text: line.slice(1) };
    });
}
