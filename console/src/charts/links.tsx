/** What an entity paid with and where: shared nodes are emphasised, a click goes there. */
import type { EntityKind, EntityShown, Line, Linked } from "../api/types";
import { counted, shortened } from "../format";
import { go, to } from "../router";
import { useWidth } from "./story";

const ROW = 38;
const NODE_MAX = 190;
/** Between the columns, for the lines. */
const GAP = 56;
const LETTER = 7.3;
const MOST = 6;

/** The most telling first: fraud, then shared, then how often. */
function weight(node: Linked): number {
  return (
    node.fraud_count * 1e6 +
    node.shared_cards * 1e3 +
    node.not_approved_count * 100 +
    node.transaction_count
  );
}

function isOfPayment(node: Linked, line: Line | undefined): boolean {
  return line !== undefined && [line.card_id, line.merchant_id, line.device_id].includes(node.id);
}

function sideOf(linked: Linked[], kinds: EntityKind[], marked: Line | undefined): Linked[] {
  return linked
    .filter((node) => kinds.includes(node.kind))
    .sort(
      (a, b) =>
        Number(isOfPayment(b, marked)) - Number(isOfPayment(a, marked)) || weight(b) - weight(a),
    )
    .slice(0, MOST);
}

export function Links({ entity, marked }: { entity: EntityShown; marked?: Line }) {
  const [box, width] = useWidth();
  const isMerchant = entity.kind === "merchant";
  const left = sideOf(
    entity.linked,
    isMerchant ? ["card", "customer"] : ["device", "customer", "account"],
    marked,
  );
  const right = sideOf(
    entity.linked,
    isMerchant
      ? ["device"]
      : entity.kind === "card"
        ? ["merchant", "counterparty"]
        : ["card", "merchant"],
    marked,
  );
  const node = Math.min(NODE_MAX, (width - 2 * GAP) / 3);
  const letters = Math.floor((node - 16) / LETTER);
  const rows = Math.max(left.length, right.length, 2);
  const height = rows * ROW + 8;
  const middle = { x: (width - node) / 2, y: height / 2 };
  const shown = left.length + right.length;
  return (
    <div ref={box}>
      {shown === 0 && <p className="text-soft">Nothing else took part in its payments.</p>}
      {shown > 0 && (
        <svg width={width} height={height} role="group" aria-label="Linked entities">
          <Side
            nodes={left}
            x={0}
            middle={middle}
            height={height}
            width={node}
            letters={letters}
            isLeft
            marked={marked}
          />
          <Side
            nodes={right}
            x={width - node}
            middle={middle}
            height={height}
            width={node}
            letters={letters}
            marked={marked}
          />
          <g>
            <title>{entity.id}</title>
            <rect
              x={middle.x}
              y={middle.y - 17}
              width={node}
              height={34}
              rx={6}
              fill="var(--accent-soft)"
              stroke="var(--accent)"
            />
            <text x={middle.x + 10} y={middle.y - 3} className="fill-soft text-[11px]">
              {entity.kind}
            </text>
            <text x={middle.x + 10} y={middle.y + 11} className="fill-ink font-mono text-xs">
              {shortened(entity.id, letters)}
            </text>
          </g>
        </svg>
      )}
      {entity.linked.length > shown && (
        <p className="text-xs text-soft">and {counted(entity.linked.length - shown, "other")}</p>
      )}
    </div>
  );
}

interface SideProps {
  nodes: Linked[];
  x: number;
  middle: { x: number; y: number };
  height: number;
  width: number;
  letters: number;
  isLeft?: boolean;
  marked: Line | undefined;
}

function Side(props: SideProps) {
  const { nodes, x, middle, height, width, letters, isLeft = false, marked } = props;
  const start = (height - nodes.length * ROW) / 2;
  return nodes.map((node, n) => {
    const y = start + n * ROW + ROW / 2;
    const edge = isLeft ? x + width : x;
    const end = isLeft ? middle.x : middle.x + width;
    const bend = (edge + end) / 2;
    const isHot = isOfPayment(node, marked);
    const isShared = node.shared_cards > 0;
    const tone =
      node.fraud_count > 0 ? "var(--decline)" : isShared ? "var(--review)" : "var(--line)";
    const told = [
      counted(node.transaction_count, "payment"),
      isShared && counted(node.shared_cards, "other card"),
      node.fraud_count > 0 && counted(node.fraud_count, "fraud"),
    ].filter(Boolean);
    return (
      <g key={`${node.kind} ${node.id}`}>
        <path
          d={`M${edge} ${y}C${bend} ${y} ${bend} ${middle.y} ${end} ${middle.y}`}
          fill="none"
          stroke={isHot ? "var(--accent)" : tone}
          strokeWidth={isHot ? 2 : 1 + Math.min(2, Math.log10(node.transaction_count + 1))}
        />
        <a
          href={to.entity(node.kind, node.id)}
          onClick={(event) => {
            if (event.metaKey || event.ctrlKey) return;
            event.preventDefault();
            go(to.entity(node.kind, node.id));
          }}
        >
          <title>{`${node.kind} ${node.id}: ${told.join(", ")}`}</title>
          <rect
            x={x + 1}
            y={y - 16}
            width={width - 2}
            height={32}
            rx={6}
            fill="var(--surface)"
            stroke={isHot ? "var(--accent)" : tone}
            strokeWidth={isShared || node.fraud_count > 0 ? 2 : 1}
          />
          <text x={x + 9} y={y - 2} className="fill-ink font-mono text-xs">
            {shortened(node.id, letters)}
          </text>
          <text x={x + 9} y={y + 11} className="fill-soft text-[11px]">
            {node.kind} · {told.at(-1)}
          </text>
        </a>
      </g>
    );
  });
}
