import { Dialog } from "./frame";
import { Key } from "./words";

const KEYS: [string, string[], string][] = [
  ["Everywhere", ["⌘K", "Ctrl K"], "find and do everything"],
  ["", ["/"], "search"],
  ["", ["1", "…", "5"], "go to a page"],
  ["", ["u"], "undo the newest judgement"],
  ["", ["?"], "these keys"],
  ["Alerts", ["j", "k"], "next, previous"],
  ["", ["f"], "fraud"],
  ["", ["g"], "genuine"],
  ["", ["s"], "skip: leave it for later"],
  ["", ["Enter"], "open the case on a page of its own"],
  ["Rules", ["j", "k"], "next, previous"],
  ["", ["Enter"], "change the rule"],
  ["Case", ["f", "g"], "fraud, genuine"],
  ["", ["n"], "note"],
  ["", ["Esc"], "back to the queue"],
];

export function Help({ onClose }: { onClose: () => void }) {
  return (
    <Dialog title="Keys" onClose={onClose} className="w-[440px]">
      <table className="m-4 w-[calc(100%-2rem)]">
        <tbody>
          {KEYS.map(([group, keys, what], n) => (
            <tr key={n}>
              <th scope="row" className="w-24 py-1 font-normal text-soft">
                {group}
              </th>
              <td className="w-28 py-1">
                <span className="flex gap-1">
                  {keys.map((key) => (
                    <Key key={key}>{key}</Key>
                  ))}
                </span>
              </td>
              <td className="py-1">{what}</td>
            </tr>
          ))}
        </tbody>
      </table>
      <p className="border-t border-line px-4 py-3 text-soft">
        A judgement is sent after ten seconds; until then it can be undone.
      </p>
    </Dialog>
  );
}
