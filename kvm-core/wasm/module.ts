/**
 * A WebAssembly module: types, imports, functions, exports. Constants of an instance are imported globals.
 * Document: WebAssembly core specification, 5.5; threads proposal (shared memories).
 * Left out: tables, globals that change, data segments, memories of its own.
 */

import { Bytes } from "./bytes.ts";
import { Code, VALTYPE_BYTE } from "./code.ts";
import { type Expr, global, type ValType } from "./expr.ts";

export interface FuncType {
  readonly params: readonly ValType[];
  readonly results: readonly ValType[];
}

const SECTION = { type: 1, import: 2, function: 3, export: 7, code: 10 } as const;

export class ModuleBuilder {
  readonly #types: FuncType[] = [];
  readonly #imports: { readonly module: string; readonly name: string; readonly type: number }[] = [];
  readonly #globals: { readonly module: string; readonly name: string; readonly type: ValType }[] = [];
  #memory: { readonly module: string; readonly name: string; readonly pages: number } | undefined;
  readonly #functions: { readonly type: number; readonly code: Code; readonly name: string }[] = [];

  /** Imports a function; all imports come before the first define(). Returns its index. */
  import(module: string, name: string, type: FuncType): number {
    if (this.#functions.length > 0) throw new Error("imports come before functions");
    return this.#imports.push({ module, name, type: this.#type(type) }) - 1;
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
    return this.#imports.length + this.#functions.findIndex((other) => other.code === code);
  }

  /** A function exported under `name`; the caller fills its code. */
  define(name: string, type: FuncType): Code {
    const code = new Code(type.params);
    this.#functions.push({ type: this.#type(type), code, name });
    return code;
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
    const imports: ((to: Bytes) => void)[] = this.#imports.map(({ module, name, type }) => (to) => {
      to.name(module);
      to.name(name);
      to.byte(0x00);
      to.unsigned(type);
    });
    const memory = this.#memory;
    if (memory) {
      imports.push((to) => {
        to.name(memory.module);
        to.name(memory.name);
        to.bytes(0x02, 0x03); // a memory; shared, with a maximum
        to.unsigned(memory.pages);
        to.unsigned(memory.pages);
      });
    }
    for (const { module, name, type } of this.#globals) {
      imports.push((to) => {
        to.name(module);
        to.name(name);
        to.bytes(0x03, VALTYPE_BYTE[type], 0x00); // a global; immutable
      });
    }
    section(out, SECTION.import, imports, (to, write) => write(to));
    section(out, SECTION.function, this.#functions, (to, { type }) => to.unsigned(type));
    section(out, SECTION.export, this.#functions, (to, { name }, i) => {
      to.name(name);
      to.byte(0x00);
      to.unsigned(this.#imports.length + i);
    });
    section(out, SECTION.code, this.#functions, (to, { code }) => {
      const body = code.encode();
      to.unsigned(body.length);
      to.append(body);
    });
    return out.view().slice();
  }

  #type(type: FuncType): number {
    const key = JSON.stringify(type);
    const found = this.#types.findIndex((other) => JSON.stringify(other) === key);
    return found >= 0 ? found : this.#types.push(type) - 1;
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
