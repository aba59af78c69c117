import type { Changed } from "./text";

const STYLES = {
  "+": "bg-approve-soft text-approve",
  "-": "bg-decline-soft text-decline",
  " ": "text-soft",
};

export function Diff({ changes }: { changes: Changed[] }) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls
    <pre tabIndex={0} className="overflow-x-auto rounded-md border border-line font-mono text-xs">
      {changes.map((line, n) => (
        <div key={n} className={`px-2 ${STYLES[line.sign]}`}>
          {line.sign} {line.text}
        </div>
      ))}
    </pre>
  );
}
