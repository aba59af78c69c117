/** A card's last 30 days: its payments, and beside them where it paid. */
import type { Line } from "../api/types";
import { Places } from "./places";
import { Story } from "./story";

export function Month({ lines, marked }: { lines: Line[]; marked?: Line }) {
  const of = marked ? { lines, marked } : { lines };
  return (
    <div className="@container">
      <div className="grid gap-3 @2xl:flex @2xl:items-start">
        <div className="min-w-0 grow">
          <Story {...of} />
        </div>
        <Places {...of} />
      </div>
    </div>
  );
}
