/**
 * A WebAssembly module: types, imports, functions, exports, and functions put into an imported table. Constants of an instance
 * are imported globals.
 * Document: WebAssembly core specification, 5.5; threads proposal (shared memories).
 * Left out: globals that change, data segments, memories and tables of its own.
 */

import { Bytes } from "./bytes.ts";
import { Code, VALTYPE_BYTE } from "./code.ts";
import { type Expr, global, type ValType } from "./expr.ts";

export interface FuncType {
  readonly params: readonly ValType[];
  readonly results: readonly ValType[];
}

interface Imported {
  readonly module: string;
  readonly name: string;
}

const SECTION = { type: 1, import: 2, function: 3, export: 7, element: 9, code: 10 } as const;
const FUNCREF = 0x70;

export class ModuleBuilder {
  readonly #types: FuncType[] = [];
  readonly #imports: (Imported & { readonly type: number })[] = [];
  readonly #globals: (Imported & { readonly type: ValType })[] = [];
  #memory: (Imported & { readonly pages: number }) | undefined;
  #table: (Imported & { readonly size: number }) | undefined;
  readonly #functions: { readonly type: number; readonly code: Code; readonly name: string }[] = [];
  #indexed = false;
  /** Where in the table the functions go, all of them in their order. */
  #elements: number | undefined;

  /** Imports a function; returns its index. This may come late, but not after indexOf() told the index of a function. */
  import(module: string, name: string, type: FuncType): number {
    if (this.#indexed) throw new Error("an import after indexOf() would move the functions");
    return this.#imports.push({ module, name, type: this.type(type) }) - 1;
  }

  /** Imports the shared memory of `pages` pages (64 KiB), initial == maximum. */
  importMemory(module: string, name: string, pages: number): void {
    this.#memory = { module, name, pages };
  }

  /** Imports an immutable global. */
  importGlobal(module: string, name: string, type: ValType): Expr {
    return global(type, this.#globals.push({ module, name, type }) - 1);
  }

  /** The index by which other functions of the module call the one whose code this is. */
  indexOf(code: Code): number {
    this.#indexed = true;
    return this.#imports.length + this.#functions.findIndex((other) => other.code === code);
  }

  /** Imports a table of functions with at least `size` slots. */
  importTable(module: string, name: string, size: number): void {
    this.#table = { module, name, size };
  }

  /** A function exported under `name`, or not at all; the caller fills its code. */
  define(name: string, type: FuncType): Code {
    const code = new Code(type.params);
    this.#functions.push({ type: this.type(type), code, name });
    return code;
  }

  /** Instantiation puts the functions into the table, from slot `first` on. */
  fillTable(first: number): void {
    this.#elements = first;
  }

  /** Index of a function type, for Code.callIndirect. */
  type(type: FuncType): number {
    const key = JSON.stringify(type);
    const found = this.#types.findIndex((other) => JSON.stringify(other) === key);
    return found >= 0 ? found : this.#types.push(type) - 1;
  }

  encode(): Uint8Array {
    const out = new Bytes();
    out.bytes(0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00);
    section(out, SECTION.type, this.#types, (to, type) => {
      to.byte(0x60);
      for (const list of [type.params, type.results]) {
        to.unsigned(list.length);
        for (const valType of list) to.byte(VALTYPE_BYTE[valType]);
      }
    });
    section(out, SECTION.import, this.#importEntries(), (to, write) => write(to));
    section(out, SECTION.function, this.#functions, (to, { type }) => to.unsigned(type));
    const exported = this.#functions.map(({ name }, i) => ({ name, i })).filter(({ name }) => name !== "");
    section(out, SECTION.export, exported, (to, { name, i }) => {
      to.name(name);
      to.byte(0x00);
      to.unsigned(this.#imports.length + i);
    });
    const first = this.#elements;
    if (first !== undefined) {
      section(out, SECTION.element, [first], (to) => {
        to.bytes(0x00, 0x41); // table 0, at a constant
        to.signed(first);
        to.byte(0x0b);
        to.unsigned(this.#functions.length);
        this.#functions.forEach((_, i) => {
          to.unsigned(this.#imports.length + i);
        });
      });
    }
    section(out, SECTION.code, this.#functions, (to, { code }) => {
      const body = code.encode();
      to.unsigned(body.length);
      to.append(body);
    });
    return out.view().slice();
  }

  #importEntries(): ((to: Bytes) => void)[] {
    const entry = ({ module, name }: Imported, kind: number, describe: (to: Bytes) => void) => {
      return (to: Bytes): void => {
        to.name(module);
        to.name(name);
        to.byte(kind);
        describe(to);
      };
    };
    const entries = this.#imports.map((imported) => entry(imported, 0x00, (to) => to.unsigned(imported.type)));
    const [table, memory] = [this.#table, this.#memory];
    if (table) {
      entries.push(
        entry(table, 0x01, (to) => {
          to.bytes(FUNCREF, 0x00); // no maximum
          to.unsigned(table.size);
        }),
      );
    }
    if (memory) {
      entries.push(
        entry(memory, 0x02, (to) => {
          to.byte(0x03); // shared, with a maximum
          to.unsigned(memory.pages);
          to.unsigned(memory.pages);
        }),
      );
    }
    for (const imported of this.#globals) {
      entries.push(entry(imported, 0x03, (to) => to.bytes(VALTYPE_BYTE[imported.type], 0x00))); // immutable
    }
    return entries;
  }
}

function section<T>(out: Bytes, id: number, rows: readonly T[], write: (to: Bytes, row: T, i: number) => void): void {
  const body = new Bytes();
  body.unsigned(rows.length);
  rows.forEach((row, i) => {
    write(body, row, i);
  });
  out.byte(id);
  out.unsigned(body.length);
  out.append(body);
}
