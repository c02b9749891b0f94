/**
 * Written layouts: a list of fields becomes a table of byte offsets.
 * Bytes that two threads or two processes share have exactly one such list (style: "one layout, written as a list").
 * Leaves out: access. Readers use typed arrays or a DataView at the offsets.
 */

const SIZES = { u8: 1, u16: 2, u32: 4, u64: 8, f64: 8 } as const;

/** A scalar of the layout; `f64` holds counts and addresses up to 2^53 that JavaScript reads without BigInt. */
export type Scalar = keyof typeof SIZES;
/** One field: a scalar, `[scalar, count]`, or either of them at a fixed offset. */
export type Field =
  | Scalar
  | readonly [Scalar, number]
  | { readonly at: number; readonly of: Scalar | readonly [Scalar, number] };

/** Offsets in bytes by field name, and the total size in bytes. */
export type Layout<F extends Record<string, Field>> = { readonly [N in keyof F]: number } & { readonly size: number };

/**
 * Places the fields in order, each aligned to its scalar's size; `at` moves the cursor forward to a cache line or a page.
 * Throws when an `at` would overlap an earlier field or is misaligned: that is our own mistake, found at start-up.
 */
export function layout<const F extends Record<string, Field>>(fields: F): Layout<F> {
  const offsets: Record<string, number> = {};
  let cursor = 0;
  for (const [name, field] of Object.entries(fields) as [string, Field][]) {
    let of: Scalar | readonly [Scalar, number];
    if (typeof field === "object" && "of" in field) {
      if (field.at < cursor)
        throw new Error(`layout: ${name} at ${field.at} overlaps the field that ends at ${cursor}`);
      cursor = field.at;
      of = field.of;
    } else {
      of = field;
    }
    const scalar = typeof of === "string" ? of : of[0];
    const count = typeof of === "string" ? 1 : of[1];
    const size = SIZES[scalar];
    if (of !== field && cursor % size !== 0) throw new Error(`layout: ${name} at ${cursor} is not aligned to ${size}`);
    cursor = Math.ceil(cursor / size) * size;
    offsets[name] = cursor;
    cursor += size * count;
  }
  return { ...offsets, size: Math.ceil(cursor / 8) * 8 } as Layout<F>;
}
