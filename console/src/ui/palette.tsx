/** Everything by typing: pages, payments, cards, merchants, devices. */
import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { useEffect, useId, useState } from "react";
import { get } from "../api/client";
import type { EntityKind, Line, Page } from "../api/types";
import { money, shortened } from "../format";
import { go, to } from "../router";
import { toggleTheme } from "../theme";
import { told } from "../toasts";
import { Dialog } from "./frame";
import { PAGES, signOut } from "./nav";
import { actionOf } from "./words";

interface Choice {
  key: string;
  kind: string;
  name: string;
  aside?: string;
  act: () => void;
}

const FIXED: Choice[] = [
  ...PAGES.map((page) => ({
    key: page.href,
    kind: "Page",
    name: page.name,
    act: () => go(page.href),
  })),
  { key: "theme", kind: "Do", name: "Light or dark", act: toggleTheme },
  { key: "propose", kind: "Do", name: "Write a rule", act: () => go("/rules?edit=new") },
  { key: "out", kind: "Do", name: "Sign out", act: () => void signOut() },
];

function entitiesIn(lines: Line[], text: string): Choice[] {
  const found = new Map<string, Choice>();
  const kinds: [EntityKind, keyof Line][] = [
    ["card", "card_id"],
    ["merchant", "merchant_id"],
    ["device", "device_id"],
  ];
  for (const line of lines) {
    for (const [kind, column] of kinds) {
      const id = line[column];
      if (typeof id !== "string" || !id.toLowerCase().startsWith(text.toLowerCase())) continue;
      const key = `${kind} ${id}`;
      found.set(key, { key, kind, name: shortened(id, 40), act: () => go(to.entity(kind, id)) });
    }
  }
  return [...found.values()].slice(0, 6);
}

function paymentOf(line: Line): Choice {
  return {
    key: line.transaction_id,
    kind: "payment",
    name: shortened(line.transaction_id, 32),
    aside: `${money(line.amount_minor, line.currency)} · ${actionOf(line.action).past}`,
    act: () => go(to.decision(line.transaction_id)),
  };
}

export default function Palette({ onClose }: { onClose: () => void }) {
  const [text, setText] = useState("");
  const [settled, setSettled] = useState("");
  const [at, setAt] = useState(0);
  const id = useId();
  useEffect(() => {
    const timer = setTimeout(() => setSettled(text.trim()), 150);
    return () => clearTimeout(timer);
  }, [text]);
  const search = useQuery({
    queryKey: ["find", settled],
    queryFn: ({ signal }) => get<Page>("/v1/decisions", { text: settled, limit: 20 }, signal),
    enabled: settled.length > 1,
    placeholderData: keepPreviousData,
  });
  const fixed = FIXED.filter((one) => one.name.toLowerCase().includes(text.trim().toLowerCase()));
  const lines = settled.length > 1 ? (search.data?.items ?? []) : [];
  const choices = [...fixed, ...entitiesIn(lines, settled), ...lines.slice(0, 8).map(paymentOf)];
  const chosen = Math.min(at, choices.length - 1);
  const take = (choice: Choice | undefined) => {
    if (!choice) return;
    onClose();
    choice.act();
  };
  const press = (event: React.KeyboardEvent) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step !== undefined) {
      event.preventDefault();
      setAt(Math.max(0, Math.min(choices.length - 1, chosen + step)));
    } else if (event.key === "Enter") {
      event.preventDefault();
      take(choices[chosen]);
    }
  };
  return (
    <Dialog title="Find" isTitleHidden onClose={onClose} className="w-[600px]">
      <input
        autoFocus
        role="combobox"
        aria-label="Find"
        aria-expanded="true"
        aria-controls={id}
        aria-activedescendant={choices[chosen] ? `${id}-${chosen}` : undefined}
        value={text}
        onChange={(event) => {
          setText(event.target.value);
          setAt(0);
        }}
        onKeyDown={press}
        placeholder="The beginning of a payment's, card's, merchant's or device's id, or a page"
        className="h-12 w-full border-b border-line bg-transparent px-4 text-base outline-none placeholder:text-soft"
      />
      <div id={id} role="listbox" aria-label="Found" className="max-h-96 overflow-y-auto p-1.5">
        {choices.map((choice, n) => (
          // biome-ignore lint/a11y/useKeyWithClickEvents: keys are the input's
          <div
            key={choice.key}
            id={`${id}-${n}`}
            role="option"
            tabIndex={-1}
            aria-selected={n === chosen}
            onClick={() => take(choice)}
            onMouseMove={() => setAt(n)}
            className={`flex cursor-pointer items-center gap-3 rounded-md px-2.5 py-1.5 ${n === chosen ? "bg-accent-soft" : ""}`}
          >
            <span className="w-16 shrink-0 text-xs text-soft">{choice.kind}</span>
            <span className="truncate">{choice.name}</span>
            <span className="ml-auto shrink-0 text-xs text-soft">{choice.aside}</span>
          </div>
        ))}
      </div>
      {search.error && <p className="px-4 py-3 text-decline">{told(search.error)}</p>}
      {choices.length === 0 && !search.error && (
        <p className="px-4 pb-4 text-soft">
          {search.isFetching ? "Looking…" : "Nothing begins like this."}
        </p>
      )}
    </Dialog>
  );
}
