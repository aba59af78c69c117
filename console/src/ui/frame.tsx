/** Panels, buttons, dialogs. */
import { type ButtonHTMLAttributes, type ReactNode, useEffect, useRef } from "react";
import { useModal } from "../keys";

interface PanelProps {
  title?: ReactNode;
  aside?: ReactNode;
  children: ReactNode;
  className?: string;
  isBare?: boolean;
}

export function Panel({ title, aside, children, className = "", isBare = false }: PanelProps) {
  return (
    <section
      className={`flex min-w-0 flex-col rounded-lg border border-line bg-surface ${className}`}
    >
      {title !== undefined && (
        <header className="flex min-h-9 items-center justify-between gap-3 border-b border-line px-3 py-1">
          <h2 className="font-medium">{title}</h2>
          <div className="flex items-center gap-2 text-xs text-soft">{aside}</div>
        </header>
      )}
      <div className={`min-h-0 grow ${isBare ? "" : "p-3"}`}>{children}</div>
    </section>
  );
}

type Kind = "plain" | "main" | "fraud" | "genuine" | "quiet";

const KINDS: Record<Kind, string> = {
  plain: "border-line bg-surface hover:bg-raised",
  main: "border-transparent bg-accent text-on-accent hover:opacity-90",
  fraud: "border-current bg-surface text-decline hover:bg-decline-soft",
  genuine: "border-current bg-surface text-approve hover:bg-approve-soft",
  quiet: "border-transparent text-soft hover:bg-raised hover:text-ink",
};

interface ButtonProps extends ButtonHTMLAttributes<HTMLButtonElement> {
  kind?: Kind;
}

export function Button({ kind = "plain", className = "", ...rest }: ButtonProps) {
  return (
    <button
      type="button"
      {...rest}
      className={`inline-flex h-7 items-center gap-1.5 rounded-md border px-2.5 font-medium whitespace-nowrap disabled:cursor-not-allowed disabled:opacity-50 ${KINDS[kind]} ${className}`}
    />
  );
}

interface ChipProps {
  isOn: boolean;
  onClick: () => void;
  children: ReactNode;
}

export function Chip({ isOn, onClick, children }: ChipProps) {
  const style = isOn
    ? "border-accent bg-accent-soft text-ink"
    : "border-line text-soft hover:bg-raised";
  return (
    <button
      type="button"
      aria-pressed={isOn}
      onClick={onClick}
      className={`h-6 rounded-full border px-2 text-xs whitespace-nowrap ${style}`}
    >
      {children}
    </button>
  );
}

export const fieldStyle =
  "h-7 rounded-md border border-line bg-surface px-2 placeholder:text-soft disabled:opacity-60";

interface DialogProps {
  title: string;
  onClose: () => void;
  children: ReactNode;
  className?: string;
  isTitleHidden?: boolean;
}

/** The browser's own modal dialog: it keeps the focus and closes by Escape. */
export function Dialog({ title, onClose, children, className = "", isTitleHidden }: DialogProps) {
  const place = useRef<HTMLDialogElement>(null);
  useModal();
  useEffect(() => {
    const dialog = place.current;
    dialog?.showModal();
    return () => dialog?.close();
  }, []);
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: Escape does what a click beside it does
    <dialog
      ref={place}
      aria-label={title}
      onCancel={(event) => {
        event.preventDefault();
        onClose();
      }}
      onClick={(event) => event.target === place.current && onClose()}
      className={`mx-auto mt-[12vh] rounded-xl border border-line bg-surface p-0 text-ink shadow-2xl outline-none backdrop:bg-black/40 ${className}`}
    >
      {!isTitleHidden && <h2 className="border-b border-line px-4 py-2.5 font-medium">{title}</h2>}
      {children}
    </dialog>
  );
}

/** Names and values, one under the other. */
export function Facts({ children }: { children: ReactNode }) {
  return (
    <dl className="grid grid-cols-[auto_1fr] gap-x-4 gap-y-1 [&>dd]:min-w-0 [&>dd]:break-words [&>dt]:text-soft">
      {children}
    </dl>
  );
}

export function Stat({
  name,
  children,
  aside,
}: {
  name: string;
  children: ReactNode;
  aside?: ReactNode;
}) {
  return (
    <div className="min-w-0 rounded-lg border border-line bg-surface px-3 py-2">
      <div className="text-xs text-soft">{name}</div>
      <div className="truncate text-xl leading-7 font-semibold">{children}</div>
      {aside && <div className="truncate text-xs text-soft">{aside}</div>}
    </div>
  );
}
