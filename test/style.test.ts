/**
 * The house rules that a machine can check: who may import whom, how a file begins, how long it is, what must not be
 * in it. CONTRIBUTING.md says why; a failure here says which file to edit.
 */
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const PARTS = ["shared", "kvm-core", "qemu-user", "test"];
const SOURCE = /\.(ts|cc|c|h|S)$/;

/**
 * Folder -> the folders of ours that it may import, itself apart; "kvm-core" alone means the files at its top.
 * `shared` may be imported by everyone and is not listed; tests may import everything.
 */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  shared: [],

  // The instruction set knows nothing of engines, the assembler nothing of x86.
  "kvm-core/wasm": [],
  "kvm-core/cpu": [],
  "kvm-core/mmu": ["kvm-core/cpu", "kvm-core/wasm"],
  "kvm-core/float": ["kvm-core/cpu", "kvm-core/wasm"],
  "kvm-core/vector": ["kvm-core/cpu", "kvm-core/wasm"],
  "kvm-core/sse": ["kvm-core/cpu", "kvm-core/float", "kvm-core/wasm"],
  "kvm-core/x87": ["kvm-core/cpu", "kvm-core/float", "kvm-core/wasm"],
  "kvm-core/emit": ["kvm-core/cpu", "kvm-core/sse", "kvm-core/wasm"],
  "kvm-core/isa": ["kvm-core/cpu", "kvm-core/emit", "kvm-core/sse", "kvm-core/wasm", "kvm-core/x87"],
  "kvm-core/engine": [
    "kvm-core/cpu",
    "kvm-core/emit",
    "kvm-core/float",
    "kvm-core/isa",
    "kvm-core/mmu",
    "kvm-core/sse",
    "kvm-core/vector",
    "kvm-core/wasm",
    "kvm-core/x87",
  ],
  // What runs in a vCPU's thread and what the main thread keeps of it; a VM owns its vCPUs.
  "kvm-core/irqchip": ["kvm-core/cpu", "kvm-core/vm"],
  "kvm-core/vcpu": ["kvm-core/cpu", "kvm-core/engine", "kvm-core/irqchip", "kvm-core/vm", "kvm-core/wasm"],
  "kvm-core/vm": ["kvm-core/cpu", "kvm-core/irqchip", "kvm-core/mmu", "kvm-core/vcpu"],
  "kvm-core/server": ["kvm-core/cpu", "kvm-core/irqchip", "kvm-core/vcpu", "kvm-core/vm"],
  "kvm-core": ["kvm-core/engine", "kvm-core/server"],

  // Devices get interfaces and never the machine; the board puts them together.
  "qemu-user/acpi": [],
  "qemu-user/bus": [],
  // A disk knows no device; a virtio device knows its back end and no transport.
  "qemu-user/block": [],
  "qemu-user/virtio": ["qemu-user/block", "qemu-user/bus"],
  "qemu-user/backend": ["qemu-user/bus"],
  "qemu-user/hw": ["qemu-user/bus"],
  "qemu-user/pci": ["qemu-user/bus"],
  // The memory map is one of memory and of what a loader tells the guest about it.
  "qemu-user/machine": [
    "qemu-user/acpi",
    "qemu-user/block",
    "qemu-user/bus",
    "qemu-user/hw",
    "qemu-user/loader",
    "qemu-user/pci",
    "qemu-user/virtio",
  ],
  "qemu-user/loader": [],
  "qemu-user/cli": ["qemu-user/backend", "qemu-user/block", "qemu-user/bus", "qemu-user/machine"],
  "qemu-user/kvm": ["qemu-user/device"],
  "qemu-user/device": ["qemu-user/backend", "qemu-user/block", "qemu-user/bus", "qemu-user/kvm", "qemu-user/machine"],
  "qemu-user": [
    "qemu-user/acpi",
    "qemu-user/backend",
    "qemu-user/cli",
    "qemu-user/device",
    "qemu-user/kvm",
    "qemu-user/loader",
    "qemu-user/machine",
  ],
};

/**
 * Folders whose imports of each other are allowed though they go both ways, with the reason. Layouts and types that
 * two sides share may look like a cycle; everything else is one.
 */
const PAIRS: Readonly<Record<string, string>> = {
  "kvm-core/vcpu kvm-core/vm": "a VM owns vCPUs, and a vCPU's thread reads the VM's shared state (vm-state.ts)",
  "kvm-core/irqchip kvm-core/vm": "a VM owns its 8259s, whose state lies in the VM's shared state (vm-state.ts)",
  "qemu-user/device qemu-user/kvm": "claims.ts reports the regions of the device thread (types of messages.ts alone)",
};

const MAX_LINES = 500;
/** Files that may be longer, with the reason: tables that are read row by row. */
const LONG: Readonly<Record<string, string>> = {};

const FORBIDDEN: readonly (readonly [RegExp, string])[] = [
  [/^export default\b/m, "has a default export: name it"],
  [new RegExp("\\bTO" + "DO\\b|\\bFIX" + "ME\\b"), "has a note of unfinished work: finish it, or open an issue"],
  [new RegExp("\\.(skip|on" + "ly)\\("), "skips tests, or runs one alone: let all of them run"],
];

type Source = { readonly path: string; readonly text: string };

function sources(folder: string): Source[] {
  return readdirSync(join(ROOT, folder), { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && SOURCE.test(entry.name))
    .map((entry) => relative(ROOT, join(entry.parentPath, entry.name)))
    .map((path) => ({ path, text: readFileSync(join(ROOT, path), "utf8") }))
    .sort((a, b) => (a.path < b.path ? -1 : 1));
}

const ALL = PARTS.flatMap(sources);

/** The folder that the rules speak of: the part, or one level inside kvm-core and qemu-user. */
function folderOf(path: string): string {
  const [part, inside, ...rest] = path.split("/") as [string, string, ...string[]];
  return (part === "kvm-core" || part === "qemu-user") && rest.length > 0 ? `${part}/${inside}` : part;
}

/** Files of ours that a source imports, from the top folder. (`new URL` names programs and threads to start.) */
function imports({ path, text }: Source): string[] {
  const found = text.matchAll(/(?:from|import)\s*\(?"(\.{1,2}\/[^"]+\.ts)"/g);
  return [...found].map((match) => relative(ROOT, join(ROOT, dirname(path), match[1]!)));
}

/** [file, imported file] between different folders. */
const EDGES = ALL.filter(({ path }) => path.endsWith(".ts") && !path.startsWith("test/"))
  .flatMap((source) => imports(source).map((imported) => [source.path, imported] as const))
  .filter(([from, to]) => folderOf(from) !== folderOf(to));

test("there are sources to look at, and imports among them", () => {
  expect(ALL.length).toBeGreaterThan(100);
  expect(EDGES.length).toBeGreaterThan(100);
});

describe("imports", () => {
  test("go only where the table above lets them", () => {
    const wrong = EDGES.filter(([from, to]) => {
      const target = folderOf(to);
      return target !== "shared" && !MAY_IMPORT[folderOf(from)]?.includes(target);
    });
    expect(wrong.map(([from, to]) => `${from} must not import ${to}`)).toEqual([]);
    // shared is at the bottom: it may not import anything of ours, not even by a rule for "shared".
    expect(EDGES.filter(([from]) => from.startsWith("shared/"))).toEqual([]);
  });

  test("of kvm-core and qemu-user never reach each other", () => {
    const wrong = EDGES.filter(([from, to]) => {
      const parts = [from.split("/")[0], to.split("/")[0]];
      return parts.includes("kvm-core") && parts.includes("qemu-user");
    });
    expect(wrong.map(([from, to]) => `${from} must not import ${to}: they speak by the protocol alone`)).toEqual([]);
  });

  test("the products import no test", () => {
    expect(EDGES.filter(([, to]) => to.startsWith("test/"))).toEqual([]);
  });

  test("the table has no row that nothing needs", () => {
    const used = new Set(EDGES.map(([from, to]) => `${folderOf(from)} -> ${folderOf(to)}`));
    const rows = Object.entries(MAY_IMPORT).flatMap(([from, targets]) => targets.map((to) => `${from} -> ${to}`));
    expect(rows.filter((row) => !used.has(row)).map((row) => `test/style.test.ts: take "${row}" out`)).toEqual([]);
  });

  test("between folders run in no circle, but for the pairs with a reason", () => {
    const graph = new Map<string, Set<string>>();
    for (const [from, to] of EDGES) {
      const [a, b] = [folderOf(from), folderOf(to)];
      if (PAIRS[[a, b].sort().join(" ")] !== undefined) continue;
      graph.set(a, (graph.get(a) ?? new Set()).add(b));
    }
    const circles: string[] = [];
    const done = new Set<string>();
    const visit = (folder: string, trail: readonly string[]): void => {
      if (trail.includes(folder)) {
        circles.push([...trail.slice(trail.indexOf(folder)), folder].join(" -> "));
        return;
      }
      if (done.has(folder)) return;
      for (const next of graph.get(folder) ?? []) visit(next, [...trail, folder]);
      done.add(folder);
    };
    for (const folder of graph.keys()) visit(folder, []);
    expect(circles).toEqual([]);
  });

  test("devices import no other device: they meet on the board", () => {
    const isDevice = (path: string) => path.startsWith("qemu-user/hw/");
    const wrong = ALL.filter(({ path }) => isDevice(path)).flatMap((source) =>
      imports(source)
        .filter((imported) => isDevice(imported))
        .map((imported) => `${source.path} must not import ${imported}`),
    );
    expect(wrong).toEqual([]);
  });
});

describe("files", () => {
  test("begin with a comment: what it is, which document it implements, what it leaves out", () => {
    const bare = ALL.filter(({ text }) => !/^(\/\*|\/\/|# )/.test(text));
    expect(bare.map(({ path }) => `${path}: begin with a header comment`)).toEqual([]);
  });

  test(`have at most ${MAX_LINES} lines`, () => {
    const long = ALL.filter(({ path, text }) => text.split("\n").length - 1 > MAX_LINES && LONG[path] === undefined);
    expect(long.map(({ path, text }) => `${path}: ${text.split("\n").length - 1} lines, split it`)).toEqual([]);
  });

  test.each(FORBIDDEN)("%s", (pattern, complaint) => {
    const wrong = ALL.filter(({ text }) => pattern.test(text));
    expect(wrong.map(({ path }) => `${path} ${complaint}`)).toEqual([]);
  });
});
