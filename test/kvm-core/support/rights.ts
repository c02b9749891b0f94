/**
 * An oracle for access rights, written from the manual's sentences and from nothing else.
 * Document: SDM volume 3, 4.6.1 (determination of access rights), 4.7 (figure 4-12, page-fault error code).
 * Left out: protection keys; entries that are not present or have reserved bits set.
 */

export interface Controls {
  readonly wp: boolean;
  readonly smep: boolean;
  readonly smap: boolean;
  readonly nxe: boolean;
}

/** A page: what all entries that control it say together. */
export interface PageRights {
  /** U/S is 1 in every entry: a user-mode address. */
  readonly user: boolean;
  /** R/W is 1 in every entry. */
  readonly writable: boolean;
  /** XD is 1 in some entry. */
  readonly noExecute: boolean;
}

export type Kind = "read" | "write" | "fetch";

export interface TestAccess {
  readonly kind: Kind;
  /** Made with CPL 3. */
  readonly user: boolean;
  /** RFLAGS.AC at an explicit access. */
  readonly ac: boolean;
}

function allowed(page: PageRights, access: TestAccess, on: Controls): boolean {
  if (access.user) {
    // "For user-mode accesses": data and fetches from user-mode addresses only.
    if (!page.user) return false;
    switch (access.kind) {
      case "read":
        return true;
      case "write":
        return page.writable;
      case "fetch":
        return !(on.nxe && page.noExecute);
    }
  }
  // "For supervisor-mode accesses".
  switch (access.kind) {
    case "read":
      return !page.user || !on.smap || access.ac;
    case "write":
      if (page.user && on.smap && !access.ac) return false;
      return !on.wp || page.writable;
    case "fetch":
      if (page.user && on.smep) return false;
      return !(on.nxe && page.noExecute);
  }
}

/** undefined: allowed; else the error code of the page fault. `xd`: the paging mode has XD, so NXE counts in the code. */
export function expectedFault(page: PageRights, access: TestAccess, on: Controls, xd: boolean): number | undefined {
  if (allowed(page, access, on)) return undefined;
  let code = 1;
  if (access.kind === "write") code += 2;
  if (access.user) code += 4;
  if (access.kind === "fetch" && (on.smep || (xd && on.nxe))) code += 16;
  return code;
}

/** Every combination of the values of the given lists. */
export function* combinations<T extends Record<string, readonly unknown[]>>(
  lists: T,
): Generator<{ [K in keyof T]: T[K][number] }> {
  const names = Object.keys(lists);
  const total = names.reduce((n, name) => n * lists[name]!.length, 1);
  for (let i = 0; i < total; i++) {
    const row: Record<string, unknown> = {};
    let rest = i;
    for (const name of names) {
      const list = lists[name]!;
      row[name] = list[rest % list.length];
      rest = Math.floor(rest / list.length);
    }
    yield row as { [K in keyof T]: T[K][number] };
  }
}

export const BOOLEANS = [false, true] as const;
