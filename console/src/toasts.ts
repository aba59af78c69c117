/** Short messages at the foot of the page. */
import { useSyncExternalStore } from "react";
import { Problem } from "./api/client";

export interface Toast {
  id: number;
  text: string;
  isProblem: boolean;
}

const SHOWN_MS = 6_000;
const PROBLEM_MS = 12_000;
let toasts: Toast[] = [];
let last = 0;
const listeners = new Set<() => void>();

function change(next: Toast[]) {
  toasts = next;
  for (const listener of listeners) listener();
}

export function dismiss(id: number) {
  change(toasts.filter((toast) => toast.id !== id));
}

export function toast(text: string, isProblem = false) {
  last += 1;
  const id = last;
  change([...toasts.slice(-3), { id, text, isProblem }]);
  setTimeout(() => dismiss(id), isProblem ? PROBLEM_MS : SHOWN_MS);
}

export function told(error: unknown): string {
  return error instanceof Problem || error instanceof Error ? error.message : String(error);
}

/** `what` failed, and why. */
export function toastProblem(what: string, error: unknown) {
  toast(`${what}: ${told(error)}`, true);
}

export function useToasts(): Toast[] {
  return useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => toasts,
  );
}
