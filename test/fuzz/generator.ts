/**
 * Frames for the fuzzer: requests of the IOCTLS table with values of right and wrong types, and the same with bytes
 * changed, cut or repeated. Everything follows from the seed.
 * Leaves out: sending them and judging the answers (frames.ts).
 */
import type { Fields, FieldType } from "../../shared/fields.ts";
import { encodeFrame } from "../../shared/frame.ts";
import { IOCTLS, type IoctlName } from "../../shared/ioctls.ts";

/** xorshift32, as a function that gives integers below `n`. */
export type Random = (n: number) => number;

export function random(seed: number): Random {
  let state = Math.imul(seed ^ 0x9e37_79b9, 0x85eb_ca6b) | 1;
  return (n) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % n;
  };
}

/** What a connection knows of the other side: numbers that may mean something there. */
export type Known = {
  readonly vms: readonly number[];
  readonly vcpus: readonly number[];
  readonly descriptors: readonly number[];
  /** VM names that connections share. */
  readonly names: readonly string[];
};

export type Generated = {
  readonly name: IoctlName | "bytes";
  readonly id: number;
  readonly frame: Buffer;
  /** Every field had a value of its type, so that an answer must come. */
  readonly wellFormed: boolean;
};

const NAMES = Object.keys(IOCTLS) as IoctlName[];
const EDGES: readonly bigint[] = [
  0n,
  1n,
  2n,
  3n,
  4n,
  7n,
  8n,
  15n,
  16n,
  63n,
  64n,
  255n,
  256n,
  4095n,
  4096n,
  0x1_0000n,
  2n ** 20n,
  2n ** 31n - 1n,
  2n ** 31n,
  0xf000_0000n,
  2n ** 32n - 4096n,
  2n ** 32n - 1n,
  2n ** 32n,
  2n ** 52n,
  2n ** 53n - 1n,
  2n ** 53n,
  2n ** 63n,
  2n ** 64n - 4096n,
  2n ** 64n - 1n,
];
const WIDTH = { u8: 8, u16: 16, u32: 32, u64: 64 } as const;
/** Texts that a field of the table may want, and others. */
const TEXTS = ["", "interp", "patch", "serial", "x".repeat(64), "€".repeat(400), "\0", "__proto__", "../../etc"];

export class Generator {
  readonly #random: Random;
  readonly #known: Known;

  constructor(random: Random, known: Known) {
    this.#random = random;
    this.#known = known;
  }

  next(id: number): Generated {
    const kind = this.#random(10);
    const name = this.#pick(NAMES);
    if (kind < 6) return { name, id, frame: this.#request(name, id), wellFormed: true };
    if (kind < 8) return { name, id, frame: this.#strange(name, id), wellFormed: false };
    if (kind === 8 && name !== "SPLITVM_KEEP_VM")
      // A linger that only chance chose would keep VMs for longer than this program runs.
      return { name: "bytes", id, frame: this.#mutated(this.#request(name, id)), wellFormed: false };
    return { name: "bytes", id, frame: this.#noise(), wellFormed: false };
  }

  /** A request whose fields have their types; handles, descriptors and names mostly exist. */
  #request(name: IoctlName, id: number): Buffer {
    const row = IOCTLS[name];
    return encodeFrame([id, row.nr, this.#handle(row.on), this.#fields(name, row.arg)]);
  }

  #handle(on: "system" | "vm" | "vcpu"): number {
    if (this.#random(20) === 0) return this.#random(50);
    if (on === "system") return 0;
    const handles = on === "vm" ? this.#known.vms : this.#known.vcpus;
    return handles.length > 0 ? this.#pick(handles) : this.#random(8);
  }

  #fields(name: IoctlName, fields: Fields): Record<string, unknown> {
    return Object.fromEntries(Object.entries(fields).map(([field, type]) => [field, this.#field(name, field, type)]));
  }

  #field(request: IoctlName, field: string, type: FieldType): unknown {
    const known = this.#known;
    // Requests get through to their work more often when what they name exists.
    if (field === "linger") return this.#pick([0, 1, 86_401, 0xffff_ffff]);
    if ((field === "memfd" || field === "descriptor") && known.descriptors.length > 0)
      return this.#pick(known.descriptors);
    if (field === "name" && request !== "SPLITVM_REGISTER_REGION") return this.#pick(known.names);
    if (field === "type" && request === "KVM_CREATE_VM") return this.#random(8) === 0 ? 1 : 0;
    if (field === "slot" || field === "id") return this.#random(10);
    if (field === "memory_size") return this.#pick([0n, 4096n, 8192n, 2n ** 20n, ...EDGES]);
    if (field === "data" && request === "KVM_RUN") return new Uint8Array(this.#random(9));
    return this.#value(request, type);
  }

  #value(request: IoctlName, type: FieldType): unknown {
    if (typeof type === "object") {
      if ("struct" in type) return this.#fields(request, type.struct);
      const length = this.#random(4) === 0 ? this.#random(type.max + 1) : this.#random(4);
      return Array.from({ length: Math.min(length, type.max, 40) }, () => this.#value(request, type.list));
    }
    switch (type) {
      case "string":
        return this.#pick(TEXTS);
      case "bytes":
        return new Uint8Array(this.#random(3) === 0 ? this.#random(20_000) : this.#random(16)).fill(this.#random(256));
      case "i32":
        return this.#random(2 ** 32) | 0;
      default: {
        const value = BigInt.asUintN(WIDTH[type], this.#random(2) ? this.#pick(EDGES) : this.#big());
        return type === "u64" ? value : Number(value);
      }
    }
  }

  #big(): bigint {
    return (BigInt(this.#random(2 ** 32)) << 32n) | BigInt(this.#random(2 ** 32));
  }

  /** Something that is none of the field types' values, or all of them at the wrong place. */
  #anything(depth = 0): unknown {
    switch (this.#random(depth > 3 ? 9 : 12)) {
      case 0:
        return null;
      case 1:
        return this.#random(2) === 0;
      case 2:
        return -this.#random(2 ** 32);
      case 3:
        return this.#random(1000) / 7;
      case 4:
        return this.#pick(TEXTS);
      case 5:
        return this.#pick(EDGES);
      case 6:
        return new Uint8Array(this.#random(40));
      case 7:
        return -BigInt.asUintN(63, this.#big());
      case 8:
        return "y".repeat(this.#random(3000));
      case 9:
        return Array.from({ length: this.#random(300) }, () => this.#random(4));
      case 10:
        return Array.from({ length: this.#random(4) }, () => this.#anything(depth + 1));
      default:
        return new Map(
          Array.from({ length: this.#random(4) }, () => [
            this.#pick([...TEXTS, "id", "memfd"]),
            this.#anything(depth + 1),
          ]),
        );
    }
  }

  /** A request with a wrong value at one place, a field gone or a field too many. */
  #strange(name: IoctlName, id: number): Buffer {
    const row = IOCTLS[name];
    const frame: unknown[] = [id, row.nr, this.#handle(row.on), this.#fields(name, row.arg)];
    const arg = frame[3] as Record<string, unknown>;
    const fields = Object.keys(arg);
    switch (this.#random(6)) {
      case 0:
        delete arg[this.#pick([...fields, ""])];
        break;
      case 1:
        // A Map, because these names mean something to a JavaScript object.
        frame[3] = new Map([
          ...Object.entries(arg),
          [this.#pick(["extra", "__proto__", "constructor", "z".repeat(this.#random(3000))]), this.#anything()],
        ]);
        break;
      case 2:
        frame[1] = this.#anything();
        break;
      case 3:
        frame[2] = this.#anything();
        break;
      case 4:
        frame[3] = this.#anything();
        break;
      default:
        arg[this.#pick([...fields, "only"])] = this.#anything();
    }
    return encodeFrame(frame);
  }

  /** The bytes of a frame changed, cut or repeated; the length in front is usually made right again. */
  #mutated(frame: Buffer): Buffer {
    let body = Buffer.from(frame.subarray(4));
    for (let times = 1 + this.#random(4); times > 0; times--) {
      const at = this.#random(body.length + 1);
      switch (this.#random(4)) {
        case 0:
          if (at < body.length) body[at] = this.#random(256);
          break;
        case 1:
          if (at < body.length) body[at]! ^= 1 << this.#random(8);
          break;
        case 2:
          body = body.subarray(0, at);
          break;
        default:
          body = Buffer.concat([body.subarray(0, at), body.subarray(this.#random(at + 1))]);
      }
    }
    const length = Buffer.alloc(4);
    length.writeUInt32LE(this.#random(20) === 0 ? this.#random(2 ** 32) : body.length);
    return Buffer.concat([length, body]);
  }

  #noise(): Buffer {
    return Buffer.from(Array.from({ length: 1 + this.#random(64) }, () => this.#random(256)));
  }

  #pick<T>(list: readonly T[]): T {
    return list[this.#random(list.length)]!;
  }
}
