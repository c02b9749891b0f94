/**
 * Cases and outcomes as the bytes that runner.c reads and writes.
 * Document: runner.c, whose struct setup, request, result, word and image stand here as offsets.
 * Left out: the process: native.ts.
 */

import {
  type Case,
  CODE,
  CODE_SIZE,
  DATA,
  GS_BASE,
  IMAGE,
  type Outcome,
  PAGE_KINDS,
  PAGES,
  type Word,
} from "./case.ts";
import { FXSAVE, fromFxsave, toFxsave } from "./fpu-case.ts";

const CODE_BYTES = 32;
const CHANGES = 80;
const WORD_SIZE = 16;
const SETUP = {
  cases: 0,
  wants32: 4,
  words: 8,
  images: 12,
  data: 16,
  code: 24,
  codeSize: 32,
  gsBase: 40,
  pages: 48,
  size: 64,
} as const;
const REQUEST = {
  gpr: 0,
  flags: 128,
  rip: 136,
  code: 144,
  length: 176,
  mode: 180,
  firstPlant: 184,
  plants: 188,
  fpu: 192,
  size: 200,
} as const;
const RESULT = {
  gpr: 0,
  flags: 128,
  rip: 136,
  vector: 144,
  error: 148,
  cr2: 152,
  firstChange: 160,
  changed: 164,
  size: 168,
} as const;

/** More than the runner's answer to so many cases can have. */
export const answerLimit = (cases: number): number => cases * (RESULT.size + FXSAVE.size + CHANGES * WORD_SIZE) + 65536;

/** What the runner reads. */
export function encodeRequests(cases: readonly Case[]): Uint8Array {
  const words = cases.reduce((sum, { plants }) => sum + plants.length, 0);
  const images = cases.reduce((sum, { fpu }) => sum + (fpu ? 1 : 0), 0);
  const head = SETUP.size + IMAGE.length;
  const wordsAt = head + cases.length * REQUEST.size;
  const imagesAt = wordsAt + words * WORD_SIZE;
  const bytes = new Uint8Array(imagesAt + images * FXSAVE.size);
  const view = new DataView(bytes.buffer);
  view.setUint32(SETUP.cases, cases.length, true);
  view.setUint32(SETUP.wants32, cases.some(({ mode }) => mode === 32) ? 1 : 0, true);
  view.setUint32(SETUP.words, words, true);
  view.setUint32(SETUP.images, images, true);
  view.setBigUint64(SETUP.data, BigInt(DATA), true);
  view.setBigUint64(SETUP.code, BigInt(CODE), true);
  view.setBigUint64(SETUP.codeSize, BigInt(CODE_SIZE), true);
  view.setBigUint64(SETUP.gsBase, BigInt(GS_BASE), true);
  PAGES.forEach((kind, i) => {
    view.setUint8(SETUP.pages + i, PAGE_KINDS[kind]);
  });
  bytes.set(IMAGE, SETUP.size);
  let [word, image] = [0, 0];
  cases.forEach((one, i) => {
    const at = head + i * REQUEST.size;
    if (one.code.length > CODE_BYTES) throw new Error(`case too large: ${one.name}`);
    one.gpr.forEach((value, r) => {
      view.setBigUint64(at + REQUEST.gpr + r * 8, value, true);
    });
    view.setBigUint64(at + REQUEST.flags, BigInt(one.flags), true);
    view.setBigUint64(at + REQUEST.rip, BigInt(one.rip), true);
    bytes.set(one.code, at + REQUEST.code);
    view.setUint32(at + REQUEST.length, one.code.length, true);
    view.setUint32(at + REQUEST.mode, one.mode, true);
    view.setUint32(at + REQUEST.firstPlant, word, true);
    view.setUint32(at + REQUEST.plants, one.plants.length, true);
    for (const [address, value] of one.plants) {
      view.setBigUint64(wordsAt + word * WORD_SIZE, BigInt(address), true);
      view.setBigUint64(wordsAt + word * WORD_SIZE + 8, value, true);
      word++;
    }
    if (one.fpu) {
      toFxsave(one.fpu, view, imagesAt + image * FXSAVE.size);
      view.setUint32(at + REQUEST.fpu, ++image, true);
    }
  });
  return bytes;
}

/** The runner's answer to `cases`. */
export function decodeResults(bytes: Uint8Array, cases: readonly Case[]): Outcome[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const images = cases.reduce((sum, { fpu }) => sum + (fpu ? 1 : 0), 0);
  let imageAt = cases.length * RESULT.size;
  const changesAt = imageAt + images * FXSAVE.size;
  return cases.map((one, i): Outcome => {
    const at = i * RESULT.size;
    const changed = view.getUint32(at + RESULT.changed, true);
    if (changed > CHANGES) throw new Error(`${one.name} changes ${changed} words of memory: generate a smaller one`);
    const first = changesAt + view.getUint32(at + RESULT.firstChange, true) * WORD_SIZE;
    const outcome: Outcome = {
      gpr: one.gpr.map((_, r) => view.getBigUint64(at + RESULT.gpr + r * 8, true)),
      flags: Number(view.getBigUint64(at + RESULT.flags, true)),
      rip: view.getBigUint64(at + RESULT.rip, true),
      vector: view.getUint32(at + RESULT.vector, true),
      error: view.getUint32(at + RESULT.error, true),
      cr2: view.getBigUint64(at + RESULT.cr2, true),
      changes: Array.from({ length: changed }, (_, c): Word => {
        const word = first + c * WORD_SIZE;
        return [Number(view.getBigUint64(word, true)), view.getBigUint64(word + 8, true)];
      }),
    };
    if (!one.fpu) return outcome;
    const fpu = fromFxsave(view, imageAt, one.fpu.xmm.length);
    imageAt += FXSAVE.size;
    return { ...outcome, fpu };
  });
}
