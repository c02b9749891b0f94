/**
 * `make guest`: Debian's kernels with busybox, and memtest86+, as an ordinary user, into build/guest/debian/NAME.
 *   fetch.ts FOLDER
 * Document: apt-get(8), apt.conf(5), dpkg-deb(1). apt gets a state of its own below FOLDER, so that neither root, nor filled lists,
 * nor the i386 architecture of the host are needed; where to get packages from is the host's /etc/apt.
 * Versions move: what was fetched is noted in NAME/packages, and nothing is fetched again while that is there.
 * Left out: the initramfs (pack.ts); checking signatures, which apt does.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";

interface Guest {
  /** Its folder. */
  readonly name: string;
  readonly arch: string;
  /** A metapackage: what it depends on is the kernel. */
  readonly kernel?: string;
  readonly packages: readonly string[];
  /** What of /boot is the guest: its file's name, or how that begins, and the name it gets here. */
  readonly images: readonly (readonly [prefix: string, name: string])[];
  /** True if the packages' other files are needed later: modules and busybox, for the initramfs. */
  readonly keepsRoot: boolean;
}

const linux = (arch: string, kernel: string): Guest => ({
  name: arch,
  arch,
  kernel,
  packages: ["busybox-static"],
  images: [["vmlinuz-", "vmlinuz"]],
  keepsRoot: true,
});

const GUESTS: readonly Guest[] = [
  linux("amd64", "linux-image-cloud-amd64"),
  linux("i386", "linux-image-686"),
  {
    name: "memtest86+",
    arch: "amd64",
    packages: ["memtest86+"],
    images: [
      ["memtest86+x64.bin", "x64.bin"],
      ["memtest86+ia32.bin", "ia32.bin"],
    ],
    keepsRoot: false,
  },
];
const WITHOUT =
  "make guest needs apt-get and dpkg-deb of a Debian system; elsewhere: make run KERNEL=path/of/a/bzImage INITRD=path";

const say = (line: string): void => void process.stderr.write(`guest: ${line}\n`);

function fail(message: string): never {
  process.stderr.write(`guest: ${message}\n`);
  process.exit(1);
}

const folder = resolve(process.argv[2] ?? fail("usage: fetch.ts FOLDER"));
const state = join(folder, "apt");

/** apt's options: a state, a cache and a dpkg database of our own, as whoever we are. */
function aptOptions(): string[] {
  for (const part of ["lists/partial", "cache/archives/partial", "download"])
    mkdirSync(join(state, part), { recursive: true });
  writeFileSync(join(state, "status"), "");
  const settings: Readonly<Record<string, string>> = {
    "Dir::State": state,
    "Dir::State::lists": join(state, "lists"),
    "Dir::State::status": join(state, "status"),
    "Dir::Cache": join(state, "cache"),
    "APT::Architecture": "amd64",
    "APT::Architectures::": "amd64,i386",
    "APT::Sandbox::User": "",
    "Acquire::Languages": "none",
    "Acquire::Retries": "3",
  };
  return Object.entries(settings).flatMap(([name, value]) =>
    value.split(",").flatMap((part) => ["-o", `${name}=${part}`]),
  );
}

const options = aptOptions();

function start(program: string, args: readonly string[], cwd: string) {
  const result = spawnSync(program, args, { cwd, encoding: "utf8", maxBuffer: 1 << 28 });
  if (result.error) fail(`${program} cannot be run (${result.error.message}). ${WITHOUT}`);
  return result;
}

/** What the program printed; anything but success ends us with what it said. */
function run(program: string, args: readonly string[], cwd = state): string {
  const { status, stdout, stderr } = start(program, args, cwd);
  const words = args.filter((arg) => arg !== "-o" && !arg.includes("="));
  if (status !== 0) fail(`${program} ${words.join(" ")} failed:\n${stderr.trim()}`);
  return stdout;
}

/** One list that a mirror has not whole must not stop what the others have: what is missing then says so itself. */
function update(): void {
  say("reading Debian's lists of packages");
  const { status, stderr } = start("apt-get", [...options, "update"], state);
  if (status !== 0) say(`not all lists could be read:\n${stderr.trim()}`);
}

/** The package that a metapackage stands for. */
function kernelOf(kernel: string, arch: string): string {
  const shown = run("apt-cache", [...options, "show", `${kernel}:${arch}`]);
  const depends = /^Depends: .*?\b(linux-image-\d[^\s,(]*)/m.exec(shown)?.[1];
  return depends ?? fail(`${kernel}:${arch} depends on no kernel`);
}

/** Downloads a package and unpacks it into `into`; its file's name, which has the version. */
function unpack(name: string, arch: string, into: string): string {
  const download = join(state, "download");
  rmSync(download, { recursive: true });
  mkdirSync(download);
  say(`downloading ${name}:${arch}`);
  run("apt-get", [...options, "download", `${name}:${arch}`], download);
  const file =
    readdirSync(download).find((entry) => entry.endsWith(".deb")) ?? fail(`apt-get brought no ${name}:${arch}`);
  run("dpkg-deb", ["-x", join(download, file), into]);
  return file;
}

function make({ name, arch, kernel, packages, images, keepsRoot }: Guest): void {
  const place = join(folder, name);
  const fresh = `${place}.new`;
  rmSync(fresh, { recursive: true, force: true });
  mkdirSync(fresh, { recursive: true });
  const root = join(fresh, "root");
  const wanted = kernel === undefined ? packages : [kernelOf(kernel, arch), ...packages];
  const files = wanted.map((each) => unpack(each, arch, root));
  for (const [prefix, image] of images) {
    const found = readdirSync(join(root, "boot")).find((file) => file.startsWith(prefix));
    copyFileSync(join(root, "boot", found ?? fail(`${files[0]} has no /boot/${prefix}*`)), join(fresh, image));
  }
  if (!keepsRoot) rmSync(root, { recursive: true });
  writeFileSync(join(fresh, "packages"), `${files.join("\n")}\n`);
  rmSync(place, { recursive: true, force: true });
  renameSync(fresh, place);
}

const missing = GUESTS.filter(({ name }) => !existsSync(join(folder, name, "packages")));
if (missing.length > 0) {
  try {
    execFileSync("apt-get", ["--version"], { stdio: "ignore" });
  } catch {
    fail(WITHOUT);
  }
  update();
  for (const guest of missing) make(guest);
  say(`ready in ${folder}`);
}
