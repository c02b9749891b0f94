/**
 * Forms and the opcode map: what is refused at start-up, and what every description must have.
 * Document: SDM volume 2A, 3.1.1.1; volume 2D, appendix A.
 * Left out: the coverage table of all opcodes.
 */

import { describe, expect, it } from "vitest";
import { interpreterBytes, opcodeMap } from "../../../kvm-core/engine/interpreter.ts";
import { parseForm } from "../../../kvm-core/isa/form.ts";
import { INSNS } from "../../../kvm-core/isa/insn/all.ts";
import { insn } from "../../../kvm-core/isa/insn.ts";
import { buildOpcodeMap } from "../../../kvm-core/isa/opcode-map.ts";

describe("form", () => {
  it("reads the manual's notation", () => {
    expect(parseForm("81 /0 iz Ev,Iz")).toMatchObject({
      map: 0,
      opcode: 0x81,
      digit: 0,
      modrm: true,
      sized: true,
      prefix: 0,
    });
    expect(parseForm("F3 0F B8 /r Gv,Ev")).toMatchObject({ map: 1, opcode: 0xb8, digit: -1, prefix: 0xf3 });
    expect(parseForm("50+r Zv d64")).toMatchObject({ plusR: true, d64: true, modrm: false });
    expect(parseForm("0F 01 F8 o64")).toMatchObject({ map: 1, opcode: 1, exact: 0xf8, o64: true });
    expect(parseForm("0F 38 F0 /r Gv,Mv")).toMatchObject({ map: 2, opcode: 0xf0 });
  });

  it.each(["81 /0 Ev,Iz", "01 Ev,Gv", "81 /0 ib Ev,Iz", "50+r Ev /r", "01 /r Ev,Qv", "01 02 03 04"])(
    "refuses %s",
    (text) => {
      expect(() => parseForm(text)).toThrow();
    },
  );
});

describe("opcode map", () => {
  const one = (mnemonic: string, form: string) => insn(mnemonic, { forms: [form], exec() {} });

  it("refuses two forms of one encoding", () => {
    expect(() => buildOpcodeMap([one("a", "01 /r Ev,Gv"), one("b", "01 /2 Ev")])).toThrow(
      '"01 /2 Ev" and a "01 /r Ev,Gv" collide',
    );
  });

  it("lets memory and register forms, digits and mandatory prefixes share an opcode", () => {
    expect(() =>
      buildOpcodeMap([one("a", "01 /1 Mv"), one("b", "01 /1 Rv"), one("c", "01 /2 Ev"), one("d", "F3 01 /1 Ev")]),
    ).not.toThrow();
  });

  it("holds at most about 3,000 cases, and no two of one name", () => {
    const names = opcodeMap().cases.flatMap((c) => (c ? [c.name] : []));
    expect(names.length).toBeLessThan(3000);
    expect(new Set(names).size).toBe(names.length);
  });

  it("lets descriptions share a case only if they are one", () => {
    const shared = opcodeMap().rows.flatMap((row) => {
      const others = [...(row?.cases ?? [])].filter(
        (number) => number && opcodeMap().cases[number]?.insn.exec !== row!.insn.exec,
      );
      return others.length > 0 ? [`${row!.insn.mnemonic} ${row!.form.text}`] : [];
    });
    expect(shared).toEqual([]);
  });

  it("gives each form at least one case", () => {
    for (const row of opcodeMap().rows) {
      if (row)
        expect(
          row.cases.some((number) => number !== 0),
          `${row.insn.mnemonic} ${row.form.text}`,
        ).toBe(true);
    }
    expect(INSNS.length).toBeGreaterThan(100);
  });

  it("makes a valid module with one function", () => {
    const bytes = interpreterBytes();
    expect(WebAssembly.validate(bytes)).toBe(true);
  });
});
