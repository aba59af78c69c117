import { useQuery } from "@tanstack/react-query";
import { get, send } from "../api/client";
import type { SystemState } from "../api/types";
import { Link, usePlace } from "../router";
import { signedIn, useSession } from "../session";
import { toggleTheme, useTheme } from "../theme";
import { toastProblem } from "../toasts";
import { Button } from "./frame";
import { Key } from "./words";

export const PAGES = [
  { name: "Live", href: "/" },
  { name: "Alerts", href: "/alerts" },
  { name: "Models", href: "/models" },
  { name: "Rules", href: "/rules" },
  { name: "System", href: "/system" },
];

export async function signOut() {
  try {
    await send("DELETE", "/v1/session");
    signedIn(null);
  } catch (error) {
    toastProblem("You are still signed in", error);
  }
}

export function Nav({ onHelp, onFind }: { onHelp: () => void; onFind: () => void }) {
  const { parts } = usePlace();
  const theme = useTheme();
  const { data: caller } = useSession();
  const name = parts[0] ?? "";
  const at = name === "case" || name === "entity" ? "alerts" : name;
  return (
    <header className="flex h-11 shrink-0 items-center gap-4 border-b border-line bg-surface px-4">
      <Link href="/" className="flex items-center gap-2 font-semibold">
        <img src="/assets/alcyon.svg" alt="" className="size-5" />
        Alcyon
      </Link>
      <nav aria-label="Pages" className="flex h-full items-stretch gap-1">
        {PAGES.map((page) => {
          const isHere = page.href === `/${at}`;
          const style = isHere
            ? "border-accent font-medium"
            : "border-transparent text-soft hover:text-ink";
          return (
            <Link
              key={page.href}
              href={page.href}
              aria-current={isHere ? "page" : undefined}
              className={`flex items-center border-b-2 px-2.5 pt-0.5 ${style}`}
            >
              {page.name}
            </Link>
          );
        })}
      </nav>
      <button
        type="button"
        onClick={onFind}
        className="ml-auto flex h-7 w-72 items-center justify-between rounded-md border border-line px-2 text-soft hover:bg-raised"
      >
        Find a card, a merchant, a page…
        <Key>⌘K</Key>
      </button>
      <Health />
      <Button kind="quiet" onClick={toggleTheme} aria-label="Light or dark" title="Light or dark">
        {theme === "dark" ? "☾" : "☀"}
      </Button>
      <Button kind="quiet" onClick={onHelp} aria-label="Keys" title="Keys">
        ?
      </Button>
      <span className="text-soft" title={`Your role is ${caller?.role}`}>
        {caller?.name} · {caller?.role}
      </span>
      <Button kind="quiet" onClick={signOut}>
        Sign out
      </Button>
    </header>
  );
}

/** Whether decisions are made, on every page. */
function Health() {
  const { data, error } = useQuery({
    queryKey: ["system"],
    queryFn: () => get<SystemState>("/v1/system"),
    refetchInterval: 10_000,
  });
  if (error)
    return (
      <Link href="/system" className="text-decline">
        ✕ no answer
      </Link>
    );
  if (!data) return null;
  if (data.ready)
    return (
      <Link href="/system" className="text-approve">
        ● ready
      </Link>
    );
  return (
    <Link href="/system" className="text-review" title={data.reasons.join("; ")}>
      ◐ {data.phase ?? "worker away"}
    </Link>
  );
}
