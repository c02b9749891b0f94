/** placeholder while the engine is being built */
export function compileInterpreter(): WebAssembly.Module { throw new Error("not built yet"); }
