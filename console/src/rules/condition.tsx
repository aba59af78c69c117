/** The condition's field, which completes the names that a rule may use. */
import { useId, useRef, useState } from "react";
import { fieldStyle } from "../ui/frame";

const MOST = 8;

/** The word that ends where the caret is. */
function wordAt(text: string, caret: number): string {
  return /[a-z_][a-z0-9_]*$/i.exec(text.slice(0, caret))?.[0] ?? "";
}

/** Names that begin with the word, then those that hold it. */
function matching(names: [string, string][], word: string): [string, string][] {
  if (word.length < 2) return [];
  const lower = word.toLowerCase();
  const held = names.filter(([name]) => name.toLowerCase().includes(lower) && name !== word);
  return held
    .sort(
      ([a], [b]) =>
        Number(b.startsWith(lower)) - Number(a.startsWith(lower)) || a.length - b.length,
    )
    .slice(0, MOST);
}

interface ConditionProps {
  value: string;
  names: Record<string, string[]>;
  onChange: (value: string) => void;
  isWrong: boolean;
}

export function Condition({ value, names, onChange, isWrong }: ConditionProps) {
  const field = useRef<HTMLTextAreaElement>(null);
  const [word, setWord] = useState("");
  const [at, setAt] = useState(0);
  const id = useId();
  const known = Object.entries(names).flatMap(([kind, all]) =>
    all.map((name): [string, string] => [name, kind]),
  );
  const found = matching(known, word);
  const look = () => {
    const box = field.current;
    if (!box) return;
    setWord(box.selectionStart === box.selectionEnd ? wordAt(box.value, box.selectionEnd) : "");
    setAt(0);
  };
  const take = (name: string) => {
    const box = field.current;
    if (!box) return;
    const end = box.selectionEnd;
    box.focus();
    box.setRangeText(name, end - word.length, end, "end");
    onChange(box.value);
    setWord("");
  };
  const press = (event: React.KeyboardEvent) => {
    if (found.length === 0) return;
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step !== undefined) {
      event.preventDefault();
      setAt((at + step + found.length) % found.length);
    } else if (event.key === "Tab" || event.key === "Enter") {
      event.preventDefault();
      take(found[at]?.[0] ?? word);
    } else if (event.key === "Escape") {
      event.preventDefault();
      setWord("");
    }
  };
  return (
    <div className="relative">
      <textarea
        ref={field}
        aria-label="When"
        aria-invalid={isWrong}
        aria-controls={id}
        aria-autocomplete="list"
        spellCheck={false}
        rows={Math.max(4, value.split("\n").length + 1)}
        value={value}
        onChange={(event) => {
          onChange(event.target.value);
          look();
        }}
        onClick={look}
        onKeyDown={press}
        onBlur={() => setWord("")}
        className={`${fieldStyle} h-auto w-full resize-y py-1.5 font-mono text-xs leading-5 ${isWrong ? "border-decline" : ""}`}
      />
      <div
        id={id}
        role="listbox"
        aria-label="Names"
        className={
          found.length === 0
            ? "hidden"
            : "absolute top-full right-0 left-0 z-10 mt-1 rounded-md border border-line bg-surface p-1 shadow-lg"
        }
      >
        {found.map(([name, kind], n) => (
          <div
            key={`${kind} ${name}`}
            role="option"
            tabIndex={-1}
            aria-selected={n === at}
            // Before the field loses the focus.
            onMouseDown={(event) => {
              event.preventDefault();
              take(name);
            }}
            className={`flex cursor-pointer justify-between gap-4 rounded px-2 py-0.5 ${n === at ? "bg-accent-soft" : "hover:bg-raised"}`}
          >
            <span className="font-mono text-xs">{name}</span>
            <span className="text-xs text-soft">{kind}</span>
          </div>
        ))}
      </div>
    </div>
  );
}
