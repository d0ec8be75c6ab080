/** What an experiment writes: `results.json` with the raw data of every job and what decided each claim, `report.md`, and a page with the figures and their numbers. */
import { availableParallelism, cpus } from "node:os";
import { join } from "node:path";
import { csv, type Page, type PageTable, type Section } from "../../figures/page/page.ts";
import { writePage } from "../../figures/page/write-page.ts";
import { replaceFile } from "../../train/run/durable-file.ts";
import { ConfigError } from "../../errors.ts";
import type { Chart, Conclusion, Experiment, ExperimentFigure, ExperimentTable, Holds, Scale } from "../experiment.ts";
import type { KeptJob } from "./pool.ts";

export interface Report {
  readonly experiment: Experiment;
  readonly scale: Scale;
  readonly conclusion: Conclusion;
  /** In the order in which they were run. */
  readonly jobs: readonly KeptJob[];
  /** Jobs that are still to be run. */
  readonly left: number;
  /** What made it: `lowrank 1.0`, versions. */
  readonly software: readonly string[];
}

/** @returns paths of what was written */
export async function writeReport(dir: string, given: Report): Promise<string[]> {
  const figures = given.conclusion.figures.flatMap(drawn);
  const report = { ...given, conclusion: { ...given.conclusion, figures } };
  const { experiment, scale, conclusion, jobs, left } = report;
  const { claims, tables, measurements = [], notes = [] } = conclusion;
  const raw = {
    experiment: experiment.name,
    command: commandOf(report),
    scale,
    claims,
    tables,
    measurements,
    figures: figures.map(({ name, title, caption }) => ({
      name,
      title,
      caption,
      files: [`figures/${name}.svg`, `figures/${name}.png`],
      data: `data/${name}.csv`,
    })),
    notes,
    jobs_left: left,
    machine: machineText(),
    software: report.software,
    jobs: jobs.map(({ format: _format, ...job }) => job),
  };
  const paths = ["results.json", "report.md"].map((name) => join(dir, name));
  await replaceFile(paths[0]!, `${JSON.stringify(raw)}\n`);
  await replaceFile(paths[1]!, reportMarkdown(report));
  const { htmlFile } = await writePage(pageOf(report, figures), dir);
  return [htmlFile, ...paths, ...figures.map(({ name }) => join(dir, "figures", `${name}.png`))];
}

type DrawnFigure = ExperimentFigure & { readonly chart: Chart };

/** Nothing where there is nothing to draw: jobs failed, or are still to be run. */
function drawn(figure: ExperimentFigure): DrawnFigure[] {
  const { chart } = figure;
  if (typeof chart !== "function") return [{ ...figure, chart }];
  try {
    return [{ ...figure, chart: chart() }];
  } catch (error) {
    if (error instanceof ConfigError) return [];
    throw error;
  }
}

/** What gives the same again. */
export function commandOf({ experiment, scale }: Pick<Report, "experiment" | "scale">): string {
  const seeds = scale.quick ? "0" : "0,1,2";
  const options = [
    ...(scale.quick ? ["--quick"] : []),
    ...(scale.seeds.join() === seeds ? [] : [`--seeds ${scale.seeds.join()}`]),
  ];
  return ["npx lowrank experiment", experiment.name, ...options].join(" ");
}

/** The table "published direction / found / holds?". */
export function claimsMarkdown({ claims }: Pick<Conclusion, "claims">): string {
  const head = "| claim | published | found | holds? |\n| --- | --- | --- | --- |\n";
  return (
    head +
    claims
      .map(({ claim, source, published, found, holds }) =>
        ["", escaped(`${claim} (${source})`), escaped(published), escaped(found), `**${holds}**`, ""]
          .join(" | ")
          .trim(),
      )
      .join("\n") +
    "\n"
  );
}

/** For a cell of a table. */
function escaped(text: string): string {
  return text.replaceAll("|", "\\|").replaceAll("\n", " ");
}

export function reportMarkdown(report: Report): string {
  const { experiment, conclusion, jobs, left } = report;
  const { figures, tables, notes = [], claims } = conclusion;
  const rules = [...new Set(claims.map(({ rule }) => rule))];
  const failed = jobs.filter((job) => job.status === "failed");
  return `${[
    `# ${experiment.title}`,
    `${experiment.about} (${experiment.source})`,
    `\`${commandOf(report)}\`: ${scaleText(report)}`,
    ...(left > 0 ? [`**${left} jobs are still to be run: this is what is known so far.**`] : []),
    claimsMarkdown(conclusion),
    `## How it was decided\n\n${rules.map((rule) => `- ${rule}`).join("\n")}`,
    ...(notes.length === 0 ? [] : [`## Notes\n\n${notes.map((note) => `- ${note}`).join("\n")}`]),
    ...figures.map(
      ({ name, title, caption }) =>
        `## ${title}\n\n![${title}](figures/${name}.svg)\n\n${caption} Its numbers: [data/${name}.csv](data/${name}.csv).`,
    ),
    ...tables.map((table) => `## ${table.title}\n\n${tableMarkdown(table)}`),
    `## What was run\n\n${experiment.setting.map((line) => `- ${line}`).join("\n")}\n- ${machineText()}; ${report.software.join(", ")}`,
    ...(failed.length === 0
      ? []
      : [`## Failed\n\n${failed.map((job) => `- ${job.label}: ${job.reason.split("\n")[0]!}`).join("\n")}`]),
  ].join("\n\n")}\n`;
}

function tableMarkdown({ columns, rows }: ExperimentTable): string {
  const line = (cells: readonly string[]) => `| ${cells.map(escaped).join(" | ")} |`;
  return [line(columns), line(columns.map(() => "---")), ...rows.map((row) => line(row.map(cellText)))].join("\n");
}

export function cellText(cell: string | number | null): string {
  if (cell === null) return "–";
  if (typeof cell === "string") return cell;
  return Number.isInteger(cell) ? String(cell) : String(Number(cell.toPrecision(4)));
}

const LEVELS = { yes: "good", no: "bad", inconclusive: "warning" } as const satisfies Record<Holds, string>;

function pageOf(report: Report, figures: readonly DrawnFigure[]): Page {
  const { experiment, conclusion, jobs, left, software } = report;
  const { claims, tables, measurements = [], notes = [] } = conclusion;
  const failed = jobs.filter((job) => job.status === "failed");
  const counts = (["yes", "no", "inconclusive"] as const).map((holds) => ({
    label: { yes: "hold here", no: "do not hold here", inconclusive: "cannot be decided" }[holds],
    value: String(claims.filter((claim) => claim.holds === holds).length),
  }));
  const warnings = [
    ...(left > 0 ? [`${left} jobs are still to be run: this is what is known so far.`] : []),
    ...failed.map((job) => `failed: ${job.label}: ${job.reason.split("\n")[0]!}`),
    ...(report.scale.seeds.length < 2 ? ["A single seed: nothing about a direction can be said."] : []),
  ];
  const sections: Section[] = [
    {
      id: "claims",
      title: "Published and found",
      blocks: [
        {
          kind: "table",
          table: {
            columns: ["claim", "holds?", "published", "found"].map((title) => ({ title })),
            rows: claims.map(({ claim, source, published, found, holds }) => [
              `${claim} (${source})`,
              { text: holds, level: LEVELS[holds] },
              published,
              found,
            ]),
            stacks: true,
            data: {
              name: "claims.csv",
              text: csv(
                ["claim", "source", "published", "found", "holds", "rule"],
                claims.map((one) => [one.claim, one.source, one.published, one.found, one.holds, one.rule]),
              ),
            },
          },
        },
        { kind: "list", items: [...new Set(claims.map(({ rule }) => `Rule: ${rule}`)), ...notes] },
      ],
    },
    {
      id: "figures",
      title: "Figures",
      blocks: [
        {
          kind: "figures",
          figures: figures.map(({ name, title, caption, chart: { svg, data } }) => ({
            id: name,
            title,
            svg,
            explanation: caption,
            data: [{ name: `${name}.csv`, label: "CSV", text: csv(data.columns, data.rows) }],
          })),
        },
      ],
    },
    {
      id: "numbers",
      title: "Numbers",
      blocks: [
        ...tables.map((table) => ({ kind: "table" as const, table: pageTable(table) })),
        ...measurements.flatMap(({ name, title, columns, rows }) => [
          { kind: "text" as const, text: `${title}, unrounded, as a file:` },
          { kind: "downloads" as const, files: [{ name: `${name}.csv`, text: csv(columns, rows) }] },
        ]),
        {
          kind: "text",
          text: "In `results.json` beside this page are the raw data of every job, and the numbers by seed that decided each claim (`evidence`).",
        },
      ],
    },
    {
      id: "setting",
      title: "What was run",
      blocks: [
        { kind: "list", items: [...experiment.setting, `${jobs.length} jobs; ${scaleText(report)}.`] },
        {
          kind: "details",
          details: {
            id: "jobs",
            summary: "Jobs",
            note: `${jobs.length}`,
            blocks: [
              {
                kind: "table",
                table: {
                  columns: ["job", "status", "seconds"].map((title) => ({ title })),
                  rows: jobs.map((job) => [
                    job.label,
                    job.status,
                    { text: job.seconds.toFixed(1), value: job.seconds },
                  ]),
                  sortable: true,
                },
              },
            ],
          },
        },
      ],
    },
  ];
  return {
    title: experiment.title,
    subtitle: `${experiment.about} ${experiment.source}. \`${commandOf(report)}\``,
    lead: [
      { kind: "facts", facts: counts },
      ...(warnings.length === 0 ? [] : [{ kind: "warnings" as const, items: warnings }]),
    ],
    sections: sections.filter(({ blocks }) => blocks.length > 0),
    footer: [`${machineText()}; ${software.join(", ")}`],
  };
}

function pageTable({ name, title, columns, rows }: ExperimentTable): PageTable {
  return {
    caption: title,
    columns: columns.map((column) => ({ title: column })),
    rows: rows.map((row) =>
      row.map((cell) => (typeof cell === "number" ? { text: cellText(cell), value: cell } : cellText(cell))),
    ),
    sortable: true,
    data: { name: `${name}.csv`, text: csv(columns, rows) },
  };
}

function scaleText({ scale, jobs }: Pick<Report, "scale" | "jobs">): string {
  const { seeds, quick } = scale;
  const minutes = jobs.reduce((sum, { seconds }) => sum + seconds, 0) / 60;
  const named = seeds.length === 1 ? `seed ${seeds[0]!}` : `seeds ${seeds.join(", ")}`;
  return `${named}${quick ? ", the quick form" : ""}, ${jobs.length} jobs in ${minutes.toFixed(1)} minutes`;
}

function machineText(): string {
  const [first] = cpus();
  return `${first?.model.trim() ?? "unknown processor"}, ${availableParallelism()} cores`;
}
