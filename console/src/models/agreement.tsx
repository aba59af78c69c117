/** How often champion and challenger would act alike, and how, where they would not. */
import type { Finding } from "../api/types";
import { count, percent } from "../format";
import { Panel } from "../ui/frame";
import { ActionBadge } from "../ui/words";

type Matrix = Finding["evidence"]["actions"];

export function Agreement({ found }: { found: Finding | null }) {
  if (!found) return null;
  const { actions, agreement, transactions } = found.evidence;
  const rows = Object.keys(actions);
  const columns = Object.keys(Object.values(actions)[0] ?? {});
  return (
    <Panel title="Agreement" aside={`alike on ${percent(agreement)}`} isBare>
      <table className="w-full [&_td]:px-3 [&_td]:py-1.5 [&_td]:text-right [&_th]:px-3 [&_th]:py-1.5">
        <caption className="px-3 pt-2 text-left text-xs text-soft">
          What the champion did (rows), what the challenger would have done (columns)
        </caption>
        <thead>
          <tr>
            <th />
            {columns.map((action) => (
              <th key={action} scope="col" className="text-right!">
                <ActionBadge action={action} />
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <tr key={row} className="border-t border-line">
              <th scope="row">
                <ActionBadge action={row} />
              </th>
              {columns.map((column) => (
                <Cell key={column} {...{ actions, row, column, transactions }} />
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </Panel>
  );
}

interface CellProps {
  actions: Matrix;
  row: string;
  column: string;
  transactions: number;
}

function Cell({ actions, row, column, transactions }: CellProps) {
  const value = actions[row]?.[column] ?? 0;
  const isAlike = row === column;
  return (
    <td
      className={isAlike || value === 0 ? "text-soft" : "font-medium"}
      title={`${percent(value / Math.max(transactions, 1))} of the payments`}
    >
      {count(value)}
    </td>
  );
}
