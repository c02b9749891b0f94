/**
 * The part of the WebAssembly JavaScript API that the project uses; TypeScript declares it only in its DOM library.
 * Document: WebAssembly JavaScript Interface, W3C.
 * Left out: streaming compilation, Tag, Exception, which nothing here uses yet.
 */
declare namespace WebAssembly {
  interface MemoryDescriptor {
    readonly initial: number;
    readonly maximum?: number;
    readonly shared?: boolean;
  }
  class Memory {
    constructor(descriptor: MemoryDescriptor);
    readonly buffer: SharedArrayBuffer;
  }
  class Global {
    constructor(descriptor: { readonly value: string; readonly mutable?: boolean }, value?: unknown);
    value: unknown;
  }
  /** A table of functions: a slot holds an exported one, or null. */
  class Table {
    constructor(descriptor: { readonly element: "anyfunc"; readonly initial: number; readonly maximum?: number });
    readonly length: number;
    get(slot: number): ((...args: never[]) => unknown) | null;
    set(slot: number, value: null): void;
  }
  class Module {
    constructor(bytes: Uint8Array);
    static customSections(module: Module, name: string): ArrayBuffer[];
  }
  type Imports = Record<string, Record<string, unknown>>;
  class Instance {
    constructor(module: Module, imports?: Imports);
    readonly exports: Record<string, unknown>;
  }
  class RuntimeError extends Error {}
  class CompileError extends Error {}
  function validate(bytes: Uint8Array): boolean;
  function compile(bytes: Uint8Array): Promise<Module>;
}
