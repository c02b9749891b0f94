/**
 * AES, carry-less multiplication and SHA: one generated function each.
 * Document: SDM volume 2, AESENC AESENCLAST AESDEC AESDECLAST AESIMC AESKEYGENASSIST PCLMULQDQ SHA1* SHA256*.
 * Left out: VEX forms; they come with AVX. The functions: kvm-core/vector.
 */

import type { CpuFeature } from "../../../shared/cpu-features.ts";
import { i64 } from "../../wasm/expr.ts";
import { type Insn, insn } from "../insn.ts";

/** Of destination and source. */
const binary = (mnemonic: string, form: string, cpuid: CpuFeature): Insn =>
  insn(mnemonic, {
    forms: [`${form} /r Vdq,Wdq`],
    unit: "sse",
    cpuid,
    exec: (e, dst, src) => e.writeV(dst!, e.call(mnemonic, "v128", e.readV(dst!), e.readV(src!))),
  });

/** Of destination, source and an immediate. */
const chosen = (mnemonic: string, form: string, cpuid: CpuFeature, name: string): Insn =>
  insn(mnemonic, {
    forms: [`${form} /r ib Vdq,Wdq,Ib`],
    unit: "sse",
    cpuid,
    exec: (e, dst, src, choice) =>
      e.writeV(dst!, e.call(name, "v128", e.readV(dst!), e.readV(src!), i64.toI32(e.read(choice!)))),
  });

export const SIMD_CRYPTO: readonly Insn[] = [
  binary("aesenc", "66 0F 38 DC", "aes"),
  binary("aesenclast", "66 0F 38 DD", "aes"),
  binary("aesdec", "66 0F 38 DE", "aes"),
  binary("aesdeclast", "66 0F 38 DF", "aes"),
  insn("aesimc", {
    forms: ["66 0F 38 DB /r Vdq,Wdq"],
    unit: "sse",
    cpuid: "aes",
    exec: (e, dst, src) => e.writeV(dst!, e.call("aesimc", "v128", e.readV(src!))),
  }),
  insn("aeskeygenassist", {
    forms: ["66 0F 3A DF /r ib Vdq,Wdq,Ib"],
    unit: "sse",
    cpuid: "aes",
    exec: (e, dst, src, constant) =>
      e.writeV(dst!, e.call("aeskeygen", "v128", e.readV(src!), i64.toI32(e.read(constant!)))),
  }),
  chosen("pclmulqdq", "66 0F 3A 44", "pclmulqdq", "pclmul"),
  chosen("sha1rnds4", "NP 0F 3A CC", "sha-ni", "sha1rnds4"),
  binary("sha1nexte", "NP 0F 38 C8", "sha-ni"),
  binary("sha1msg1", "NP 0F 38 C9", "sha-ni"),
  binary("sha1msg2", "NP 0F 38 CA", "sha-ni"),
  binary("sha256rnds2", "NP 0F 38 CB", "sha-ni"),
  binary("sha256msg1", "NP 0F 38 CC", "sha-ni"),
  binary("sha256msg2", "NP 0F 38 CD", "sha-ni"),
];
