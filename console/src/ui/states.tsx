/** What a place shows while there is nothing to show, or no longer anything new. */
import type { UseQueryResult } from "@tanstack/react-query";
import type { ReactNode } from "react";
import { Problem } from "../api/client";
import { clock } from "../format";
import { told } from "../toasts";
import { Button } from "./frame";

export function Skeleton({ lines = 4, className = "" }: { lines?: number; className?: string }) {
  return (
    <div role="status" className={`space-y-2 p-3 ${className}`}>
      <span className="sr-only">Loading</span>
      {Array.from({ length: lines }, (_, line) => (
        <div
          key={line}
          className={`skeleton h-4 ${["w-full", "w-4/5", "w-11/12", "w-3/5"][line % 4]}`}
        />
      ))}
    </div>
  );
}

export function Empty({ title, children }: { title: string; children?: ReactNode }) {
  return (
    <div className="flex flex-col items-center gap-1 px-6 py-10 text-center">
      <p className="font-medium">{title}</p>
      {children && <div className="max-w-md text-soft">{children}</div>}
    </div>
  );
}

interface FailedProps {
  what: string;
  error: Error;
  retry?: () => void;
}

export function Failed({ what, error, retry }: FailedProps) {
  const status = error instanceof Problem ? error.status : 0;
  if (status === 403) {
    return (
      <Empty title={`You may not see ${what}`}>
        {told(error)}. An administrator can change your role.
      </Empty>
    );
  }
  if (status === 404) {
    return <Empty title={`Nothing is known of ${what}`}>{told(error)}</Empty>;
  }
  return (
    <div role="alert" className="flex flex-col items-center gap-2 px-6 py-10 text-center">
      <p className="font-medium text-decline">Could not load {what}</p>
      <p className="max-w-md text-soft">{told(error)}</p>
      {retry && <Button onClick={retry}>Try again</Button>}
    </div>
  );
}

export function Stale({ since, why }: { since: number; why: string }) {
  return (
    <p
      role="status"
      className="flex items-center gap-2 border-b border-line bg-review-soft px-3 py-1 text-xs text-review"
    >
      <span aria-hidden>◔</span>
      As of {clock(since)}: {why} Trying again.
    </p>
  );
}

interface LoadedProps<T> {
  query: UseQueryResult<T>;
  what: string;
  skeleton?: ReactNode;
  children: (data: T) => ReactNode;
}

/** Skeleton, error, or what was loaded, with a word on its age where it could not be renewed. */
export function Loaded<T>({ query, what, skeleton, children }: LoadedProps<T>) {
  if (query.data === undefined) {
    if (query.error) {
      return <Failed what={what} error={query.error} retry={() => void query.refetch()} />;
    }
    return skeleton ?? <Skeleton />;
  }
  return (
    <>
      {query.error && (
        <div className="mb-3">
          <Stale since={query.dataUpdatedAt} why={told(query.error)} />
        </div>
      )}
      {children(query.data)}
    </>
  );
}
