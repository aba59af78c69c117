// What Grafana itself says a dashboard is (@grafana/schema), made strict: each kind of panel with the
// options of that kind, each query as the Prometheus data source reads it. The schema alone leaves
// options and queries open.
import type {
  AnnotationQuery,
  Dashboard as Loose,
  FieldConfig,
  Panel as AnyPanel,
  RowPanel,
} from "@grafana/schema/dist/esm/raw/dashboard/x/Dashboard_types.gen";
import type { Options as BarGauge } from "@grafana/schema/dist/esm/raw/composable/bargauge/panelcfg/x/BarGaugePanelCfg_types.gen";
import type {
  FieldConfig as HeatmapField,
  Options as Heatmap,
} from "@grafana/schema/dist/esm/raw/composable/heatmap/panelcfg/x/HeatmapPanelCfg_types.gen";
import type { Options as Stat } from "@grafana/schema/dist/esm/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen";
import type {
  FieldConfig as TimelineField,
  Options as Timeline,
} from "@grafana/schema/dist/esm/raw/composable/statetimeline/panelcfg/x/StateTimelinePanelCfg_types.gen";
import type {
  FieldConfig as TableField,
  Options as Table,
} from "@grafana/schema/dist/esm/raw/composable/table/panelcfg/x/TablePanelCfg_types.gen";
import type {
  FieldConfig as SeriesField,
  Options as Series,
} from "@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen";

// JSON has words where the schema has enums.
type Plain<T> = T extends string
  ? `${T}`
  : T extends number | boolean | null | undefined
    ? T
    : T extends Array<infer One>
      ? Array<Plain<One>>
      : T extends object
        ? { [Key in keyof T]: Plain<T[Key]> }
        : T;

// @grafana/prometheus, dataquery.ts.
type Source = { type: "prometheus"; uid: string };
type Query = {
  refId: string;
  datasource: Source;
  editorMode: "code" | "builder";
  expr: string;
  legendFormat: string;
  format: "time_series" | "table" | "heatmap";
  instant: boolean;
  range: boolean;
};

type Of<Kind extends string, Options, Custom> = Omit<
  Plain<AnyPanel>,
  "type" | "options" | "fieldConfig" | "targets" | "datasource"
> & {
  type: Kind;
  datasource: Source;
  targets: Array<Query>;
  options: Plain<Options>;
  fieldConfig: {
    defaults: Omit<Plain<FieldConfig>, "custom"> & { custom: Plain<Custom> };
    overrides: Array<{
      matcher: { id: "byName"; options: string };
      properties: Array<{ id: "color"; value: Plain<FieldConfig["color"]> }>;
    }>;
  };
};

type Nothing = Record<string, never>;
type Panel =
  | Of<"stat", Stat, Nothing>
  | Of<"timeseries", Series, SeriesField>
  | Of<"bargauge", BarGauge, Nothing>
  | Of<"heatmap", Heatmap, HeatmapField>
  | Of<"table", Table, TableField>
  | Of<"state-timeline", Timeline, TimelineField>;
type Row = Omit<Plain<RowPanel>, "panels"> & { panels: Array<Panel> };

// @grafana/prometheus, annotations.ts.
type Annotation =
  | Plain<AnnotationQuery>
  | (Plain<AnnotationQuery> & {
      expr: string;
      step: string;
      titleFormat: string;
      textFormat: string;
      tagKeys: string;
      useValueForTime: boolean;
    });

export type Dashboard = Omit<Plain<Loose>, "panels" | "annotations"> & {
  panels: Array<Panel | Row>;
  annotations: { list: Array<Annotation> };
};
